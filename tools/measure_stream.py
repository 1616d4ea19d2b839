#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How long a stream's first vector takes, from the start of the process: the median of eleven, in milliseconds.

usage: measure_stream.py MODEL ...    with build/nib; a compiled model (nib compile) starts fastest
"""
import subprocess
import sys
import time

WORDS = b"the tip of a pen is a nib and ink runs down to it. " * 6
for model in sys.argv[1:]:
    times = []
    for _ in range(11):
        begun = time.perf_counter()
        with subprocess.Popen(["build/nib", "embed", "--model", model, "--stream", "--chunk-tokens", "32"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE) as nib:
            nib.stdin.write(WORDS)
            nib.stdin.flush()
            nib.stdout.readline()
            times.append(1000 * (time.perf_counter() - begun))
            nib.stdin.close()
            nib.stdout.read()
    print(f"{model}: {sorted(times)[5]:.0f} ms (from {min(times):.0f} to {max(times):.0f})")
