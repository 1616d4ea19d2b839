#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the include table: which room of src/ may include which (doc/design.md), that only src/base touches the operating
system, and that cli/ sees nothing but the public header. Prints each breach; exit 1 if there is one."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BASE = {"base"}
ROOMS = {
    "base": set(),
    "kernel": BASE,
    "graph": BASE,
    "op": BASE | {"graph", "kernel"},
    "onnx": BASE | {"graph"},
    "hf": BASE | {"graph"},
    "pass": BASE | {"graph", "op", "kernel"},
    "quant": BASE | {"graph", "op", "pass", "kernel"},
    "plan": BASE | {"graph", "op", "kernel"},
    "cpu": BASE | {"plan", "graph", "op", "kernel"},
    "run": BASE | {"plan", "graph", "op"},
    "model": BASE | {"onnx", "hf", "text", "pass", "quant", "plan", "run", "cpu", "graph", "op", "kernel"},
    "compiled": BASE | {"model", "onnx", "hf", "text", "pass", "quant", "plan", "run", "cpu", "graph", "op", "kernel"},
    "rewrite": BASE | {"model", "onnx", "hf", "pass", "plan", "run", "cpu", "graph", "op", "kernel"},
    "quantize": BASE | {"rewrite", "task", "text", "model", "onnx", "hf", "pass", "plan", "run", "cpu", "graph", "op", "kernel"},
    "text": BASE,
    "hub": BASE | {"hf", "graph"},
    "task": BASE | {"model", "run", "text", "hf", "graph", "op", "plan", "pass", "cpu", "onnx", "kernel"},
    "api": None,  # all
}
# Headers of the operating system; only base may include them.
SYSTEM = re.compile(r"^(sys/|unistd\.h|fcntl\.h|pthread\.h|sched\.h|dlfcn\.h|poll\.h|signal\.h|dirent\.h|windows\.h|linux/|time\.h)")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[">]', re.M)


def main():
    breaches = []
    for path in sorted((ROOT / "src").rglob("*.[ch]")):
        room = path.relative_to(ROOT / "src").parts[0]
        name = path.relative_to(ROOT)
        if room not in ROOMS:
            breaches.append(f"{name}: src/{room} is no room of the table")
            continue
        if not path.name.startswith(room) and path.parent.name == room and room != "kernel" and path.name != "device.h":
            breaches.append(f"{name}: file names begin with their folder")
        for kind, header in INCLUDE.findall(path.read_text()):
            if kind == "<":
                if SYSTEM.match(header) and room != "base":
                    breaches.append(f"{name}: only src/base may include <{header}>")
                continue
            target = header.split("/")[0] if "/" in header and not header.startswith("..") else room
            if header.startswith(".."):
                target = (path.parent / header).resolve().relative_to(ROOT / "src").parts[0]
            if target != room and target in ROOMS and ROOMS[room] is not None and target not in ROOMS[room]:
                breaches.append(f"{name}: src/{room} may not include {header}")
    for path in sorted((ROOT / "cli").glob("*.[ch]")):
        for kind, header in INCLUDE.findall(path.read_text()):
            if (kind == "<" and header.startswith("nib/") and header != "nib/nib.h") or (kind == '"' and not header.startswith("cli")):
                breaches.append(f"{path.relative_to(ROOT)}: cli/ sees only nib/nib.h, not {header}")
    print("\n".join(breaches) if breaches else "include table: ok")
    return 1 if breaches else 0


sys.exit(main())
