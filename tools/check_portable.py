#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A build for older systems asks for no newer glibc than it says, and computes the same bits as this machine's.

usage: check_portable.py BUILD NIB MODEL

BUILD: the folder that the preset zig builds into. NIB: the command of another build. Looks at which versions of glibc's
symbols BUILD/nib and BUILD/libnib.so ask for, against NIB_GLIBC of cmake/zig.cmake, and has both commands embed the
same texts.
"""
import hashlib
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TEXTS = ["A nib is the tip of a pen.", "The cat sleeps on the sofa.", "Stocks fell on Friday, and nobody knew why. " * 8]


def output_of(*command):
    return subprocess.run(command, check=True, capture_output=True).stdout


def number(version):
    return tuple(map(int, version.split(".")))


def newest_glibc(path):
    asked = re.findall(r"\bGLIBC_([0-9.]+)", output_of("objdump", "-T", path).decode())
    if not asked:
        sys.exit(f"{path} asks for no symbol of glibc: is it a dynamic program?")
    return max(asked, key=number)


def vectors_of(nib, model, precision):
    made = output_of(nib, "embed", "--model", model, "--precision", precision, "--output", "-", *TEXTS)
    return hashlib.sha256(made).hexdigest()


def main():
    build, nib, model = sys.argv[1:]
    wanted = re.search(r"^set\(NIB_GLIBC ([0-9.]+)\)$", (ROOT / "cmake/zig.cmake").read_text(), re.M).group(1)
    bad = 0
    for path in (f"{build}/nib", f"{build}/libnib.so"):
        found = newest_glibc(path)
        print(f"{path}: glibc {found}, at most {wanted}")
        bad += number(found) > number(wanted)
    for precision in ("f32", "bf16", "q8"):
        pair = [vectors_of(command, model, precision) for command in (f"{build}/nib", nib)]
        print(f"{precision}: {pair[0][:16]} and {pair[1][:16]} {'are the same' if pair[0] == pair[1] else 'DIFFER'}")
        bad += pair[0] != pair[1]
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
