#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The header, the linker's map and the libraries name the same calls.

usage: check_symbols.py [--nm NM] [LIBRARY ...]

Compares the declarations of include/nib/nib.h that NIB_API marks, the names of cmake/nib.map, and what each library
defines for others (libnib.so: its dynamic symbols; libnib.a: its global ones). Prints what one has and another has not;
exit code 1 if there is any.
"""
import argparse
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
HEADER, MAP = "include/nib/nib.h", "cmake/nib.map"
HEADERS = (HEADER, "include/nib/hub.h", "include/nib/quantize.h", "include/nib/queue.h",
           "include/nib/chunks.h", "include/nib/tasks.h", "include/nib/sparse.h", "include/nib/vectors.h")


def of_header():
    text = "\n".join((ROOT / path).read_text() for path in HEADERS)
    return set(re.findall(r"^NIB_API [^\n;]*?\b(nib_\w+)\(", text, re.M))


def of_map():
    """The names behind `global:`, and the node's, which ends with NIB_ABI_VERSION."""
    text = re.sub(r"/\*.*?\*/", "", (ROOT / MAP).read_text(), flags=re.S)
    node, names, others = re.fullmatch(r"\s*(\w+) \{\s*global:(.*?)local:\s*(\S+)\s*\};\s*", text, re.S).groups()
    abi = re.search(r"^#define NIB_ABI_VERSION (\d+)$", (ROOT / HEADER).read_text(), re.M).group(1)
    if node != f"NIB_{abi}" or others != "*;":
        sys.exit(f"{MAP}: the node is {node}, not NIB_{abi}, or not everything else is local")
    return set(re.findall(r"(\S+);", names))


def of_library(nm, path):
    shared = ".so" in pathlib.Path(path).name
    command = [nm, "-D" if shared else "-g", "--defined-only", path]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    fields = [line.split() for line in listed.splitlines()]
    return {f[2].split("@")[0] for f in fields if len(f) == 3 and f[1] != "A"}  # A: the map's node itself


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--nm", default="nm")
    parser.add_argument("library", nargs="*")
    args = parser.parse_args()
    found = {HEADER: of_header(), MAP: of_map()} | {path: of_library(args.nm, path) for path in args.library}
    every = set().union(*found.values())
    missing = [f"{where} has no {name}" for where, names in found.items() for name in sorted(every - names)]
    if len(found[HEADER]) < 50:
        missing.append(f"{HEADER}: only {len(found[HEADER])} calls are found in it")
    print("\n".join(missing[:20] + [f"... {len(missing)} in all"]) if missing else f"symbols: ok, {len(every)} in each")
    return bool(missing)


if __name__ == "__main__":
    sys.exit(main())
