#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints the instruction sets that this machine runs besides its best, by asking nib itself under each cap."""
import os
import subprocess
import sys

LADDER = ["generic", "avx2", "avxvnni", "avx512", "avx512vnni", "avx512bf16", "amx", "neon", "dotprod"]


def best(cap=None):
    env = dict(os.environ)
    env.pop("NIB_CPU", None)
    if cap:
        env["NIB_CPU"] = cap
    line = subprocess.run([sys.argv[1], "--version"], env=env, check=True, capture_output=True, text=True).stdout
    return line[line.index("(") + 1 : line.index(")")]


top = best()
print(*[isa for isa in LADDER if isa != top and best(isa) == isa])
