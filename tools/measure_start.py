#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures a process from its start to its end with the first vector printed, as a user would: 20 starts of `nib embed` for each model and
one and two threads. Wall clock, CPU time (user and system) and the largest resident set.

    tools/measure_start.py build/nib MODEL ...
"""
import os
import statistics
import subprocess
import sys
import time

STARTS, WARM = 20, 3


def measure(command):
    wall, cpu, peak = [], [], 0
    for i in range(STARTS + WARM):
        begun = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, code, used = os.wait4(process.pid, 0)
        took = time.perf_counter() - begun
        if code != 0:
            sys.exit(f"{' '.join(command)}: failed")
        if i >= WARM:
            wall.append(1e3 * took)
            cpu.append(1e3 * (used.ru_utime + used.ru_stime))
            peak = max(peak, used.ru_maxrss / 1024)
    return statistics.median(wall), min(wall), statistics.median(cpu), peak


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    print(f"{'model':40} threads  wall ms: median, least   cpu ms  peak MB")
    for model in sys.argv[2:]:
        for threads in "12":
            median, least, cpu, peak = measure([sys.argv[1], "embed", "--threads", threads, "--model", model, "hello world"])
            print(f"{model[-40:]:40} {threads:>7}  {median:15.1f}  {least:6.1f}  {cpu:7.1f}  {peak:7.1f}")


main()
