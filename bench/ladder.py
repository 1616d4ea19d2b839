#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What each lever gives: one run of `nib bench encode` per rung of the ladder, from the plain graph to q8, as a Markdown table.

usage: bench/ladder.py [--nib build/nib] [--model models/all-MiniLM-L6-v2] [--threads 1] [--texts 64] [--turns 3] [--output doc/levers.md]

Every rung adds one lever to the one before it; turns go through all rungs, and the median counts. Lines are those of bench/texts.py. The
slow rungs (no fusing, plain C) get some of the texts, plain C cut to 64 tokens: a turn of them would take minutes. Tokens a second stay
comparable: every rung's texts have the same mixture of lengths, and what a token costs in a MiniLM depends little on them. `--output` writes the whole page.
"""
import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import textwrap

from engines import machine
from texts import mixed, words_beside

SHORT = ["--max-tokens", "64"]  # plain C computes some 100 tokens a second

# what, NIB_CPU, options, share of the texts
RUNGS = [
    ("AVX2, the graph as it is", "avx2", ["--optimize-level", "0", "--no-pack"], 8),
    ("+ simplified", "avx2", ["--optimize-level", "1", "--no-pack"], 8),
    ("+ fused operators", "avx2", ["--no-pack"], 2),
    ("+ no padding computed", "avx2", [], 2),
    ("+ AVX-512 kernels", "avx512", [], 1),
    ("+ bf16 weights (AVX512_BF16)", "avx512bf16", ["--precision", "bf16"], 1),
    ("bf16, tile registers (AMX)", "amx", ["--precision", "bf16"], 1),
    ("q8 instead, AVX2", "avx2", ["--precision", "q8"], 1),
    ("q8, AVX-512 VNNI", "avx512vnni", ["--precision", "q8"], 1),
    ("q8, tile registers (AMX)", "amx", ["--precision", "q8"], 1),
]
ASIDE = [
    ("plain C (the reference kernels), fused, packed", "generic", SHORT, 16),
    ("everything in f32, padding computed", "avx512", ["--no-pack"], 1),
    ("everything in q8, padding computed", "avx512vnni", ["--precision", "q8", "--no-pack"], 1),
]


def runs_here(nib, isa):
    out = subprocess.run([nib, "--version"], env={**os.environ, "NIB_CPU": isa}, capture_output=True, text=True, check=True).stdout
    return isa in out


def measure(args, rung, files):
    _, isa, options, share = rung
    command = [args.nib, "bench", "encode", "--model", str(args.model), "--input", files[share], "--threads", str(args.threads), "--rounds", "1", "--json"]
    done = subprocess.run(command + options, env={**os.environ, "NIB_CPU": isa}, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    return json.loads(done.stdout)


def paragraph(*parts):
    """Lines of at most 120 columns; what stands in backquotes stays on one."""
    text = re.sub("`[^`]*`", lambda m: m[0].replace(" ", "\0"), " ".join(parts))
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False).replace("\0", " ")


def page(args, rows, version):
    command = f"bench/ladder.py --threads {args.threads} --texts {args.texts} --turns {args.turns}"
    lines = ["# What each lever gives", "",
             paragraph(f"{args.model.name} on {machine()}, {args.threads} thread{'s' if args.threads > 1 else ''}, {version}; `{command}` (`make bench-ladder`)",
                       "printed it, on mixed English lines (plain C: some of them, cut to 64 tokens). Machines differ and are shared: the ratios",
                       "count. *Heap* is all that nib takes from the allocator (packed weights, arenas), mapped files not counted; *peak* is the",
                       "share of what the machine's own kernels reach on operands in L1."), ""]
    for title, part in (("Each line adds a lever to the one above", rows[: len(RUNGS)]), ("Levers in other company", rows[len(RUNGS) :])):
        lines += [f"## {title}", "", "| | tokens/s | to the first | to the line above | one text, ms (median) | heap, MB | peak |", "|---|---|---|---|---|---|---|"]
        before = None
        for what, results in part:
            if not results:
                lines.append(f"| {what} | this CPU has it not | | | | | |")
                continue
            rate = statistics.median(r["ids"]["tokens_per_second"] for r in results)
            first = statistics.median(r["ids"]["tokens_per_second"] for r in rows[0][1]) if rows[0][1] else rate
            share = statistics.median(r["ids"]["share_of_peak"] for r in results)
            lines.append(f"| {what} | {rate:,.0f} | {rate / first:.1f}x | {f'{rate / before:.2f}x' if before else ''} | "
                         f"{statistics.median(r['latency_ms']['p50'] for r in results):.2f} | {results[0]['peak_heap_bytes'] / 1e6:.1f} | "
                         f"{f'{100 * share:.0f} %' if share else ''} |")
            before = rate
        lines.append("")
    lines += [paragraph("Levels and packing are switches of `nib bench` and `nib profile` (`--optimize-level`, `--no-pack`), the kernels' rungs are",
                        "capped by `NIB_CPU`; `nib profile` shows where the time of any of these lines goes."), ""]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--nib", default="build/nib")
    parser.add_argument("--model", type=pathlib.Path, default=pathlib.Path("models/all-MiniLM-L6-v2"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--texts", type=int, default=64)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--output", type=pathlib.Path)
    args = parser.parse_args()
    lines = mixed(args.texts, words_beside(args.model))
    lines.sort(key=len)
    rows = [(what, []) for what, *_ in RUNGS + ASIDE]
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for share in {r[3] for r in RUNGS + ASIDE}:
            files[share] = f"{folder}/{share}.txt"
            part = lines[min(share // 2, len(lines) - 1) :: share]  # every n-th by length: the same mixture
            pathlib.Path(files[share]).write_text("".join(line + "\n" for line in part), encoding="utf-8")
        for turn in range(args.turns):
            for row, rung in zip(rows, RUNGS + ASIDE):
                print(f"turn {turn + 1} of {args.turns}: {rung[0]}", file=sys.stderr)
                if runs_here(args.nib, rung[1]):
                    row[1].append(measure(args, rung, files))
    version = subprocess.run([args.nib, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    text = page(args, rows, version)
    if args.output:
        args.output.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
