#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times nib and its peers alternating, in one run, and prints Markdown tables: tokens a second and the ratio to ONNX Runtime f32.

usage: bench/peers.py [--model models/all-MiniLM-L6-v2] [--threads 1,2] [--turns 5] [--workloads ...] [--texts 256] [--engines ...] [--no-texts]

Every engine gets the same calls: the same ids in the same batches (first table), or the same texts with tokenizing included (second;
peers tokenize with PyPI `tokenizers`, nib with its own). Workloads: `single` one text of 12 words a call; `b32x128` 32 texts of 128
tokens; `mixed` 256 texts (--texts) of log-normal lengths, sorted, in batches of 32; `mixed_unsorted` the same in random order. Padding does not
count as tokens. Figures are medians over the turns, ratios medians of the ratios within a turn; within a turn engines run one after another,
each in its own process with the others asleep. The last column compares each engine's vectors with those of the first f32 peer
(mean and worst cosine on `mixed`).
"""
import argparse
import pathlib
import random
import statistics
import sys
import tempfile
import time

import engines
from texts import mixed, words_beside

LONGEST = {"b32x128": 128}
BASE = "ONNX Runtime f32"


def batches_of(workload, words, count):
    rng = random.Random(1)
    if workload == "single":
        return [[" ".join(rng.choice(words) for _ in range(12))] for _ in range(24)]
    if workload == "b32x128":
        return [[" ".join(rng.choice(words) for _ in range(200)) for _ in range(32)] for _ in range(2)]
    lines = mixed(count, words)
    if workload == "mixed":
        lines.sort(key=len, reverse=True)
    return [lines[i : i + 32] for i in range(0, len(lines), 32)]


def start(names, args, threads, cache):
    workers = []
    for name in names:
        if not engines.available(name):
            print(f"{name}: not installed", file=sys.stderr)
            continue
        try:
            workers.append(engines.Worker(name, args.model, threads, cache))
        except engines.Failed as e:
            print(f"{name}: {e}", file=sys.stderr)
    return workers


def turn(workers, command, rates, tokens, keep):
    for w in list(workers):
        try:
            seconds = w(*command)
        except engines.Failed as e:
            print(f"{w.name}: {e}", file=sys.stderr)
            workers.remove(w)
            continue
        if keep:
            rates.setdefault(w.name, []).append(tokens / seconds)
        time.sleep(0.3)  # idle threads of some engines spin for up to 200 ms


def table(title, columns, cells, order, extra=None):
    print(f"\n{title}\n")
    print("| | " + " | ".join(columns) + (" | cosine: mean, worst |" if extra else " |"))
    print("|---|" + "---|" * (len(columns) + bool(extra)))
    for name in order:
        row = [cells[c].get(name, "-") for c in columns]
        print(f"| {name} | " + " | ".join(row) + (f" | {extra.get(name, '-')} |" if extra else " |"))


def summary(rates):
    base = rates.get(BASE)
    return {name: f"{statistics.median(v):,.0f}" + (f" ({statistics.median(a / b for a, b in zip(v, base)):.2f}x)" if base else "")
            for name, v in rates.items()}


def cosines(workers, key):
    import numpy as np

    vectors = {w.name: w("vectors", key) for w in workers}
    base = next((vectors[n] for n in (BASE, "PyTorch f32", "nib f32") if n in vectors), None)
    out = {}
    for name, v in vectors.items():
        cosine = (v * base).sum(1) / np.linalg.norm(v, axis=1) / np.linalg.norm(base, axis=1)
        out[name] = f"{cosine.mean():.5f}, {cosine.min():.5f}"
    return out


def run(args, threads, cache, tokenizer, words):
    names = [n for n in engines.NAMES if not args.engines or any(n.startswith(e) for e in args.engines.split(","))]
    workers = start(names, args, threads, cache)
    if not workers:
        sys.exit("no engine could be started")
    order, by_ids, by_texts, close = [w.name for w in workers], {}, {}, {}
    for workload in args.workloads.split(","):
        batches, longest = batches_of(workload, words, args.texts), LONGEST.get(workload, 256)
        tokenizer.enable_truncation(longest)
        ids = [[e.ids for e in tokenizer.encode_batch(b)] for b in batches]
        tokens = sum(len(r) for b in ids for r in b)
        rates, text_rates = {}, {}
        for w in list(workers):
            w("ids", workload, ids)
        for i in range(args.turns + 1):  # the first warms up
            print(f"{threads} thread(s), {workload}: turn {i} of {args.turns}", file=sys.stderr)
            turn(workers, ("run", workload), rates, tokens, i)
            if not args.no_texts:
                turn(workers, ("texts", batches, longest), text_rates, tokens, i)
        by_ids[workload], by_texts[workload] = summary(rates), summary(text_rates)
        if workload == "mixed":
            close = cosines(workers, workload)
    for w in workers:
        w.stop()
    columns = args.workloads.split(",")
    base = f" (ratio to {BASE})" if BASE in order else ""
    table(f"From ids, {threads} thread{'s' if threads > 1 else ''}: tokens a second{base}", columns, by_ids, order, close)
    if not args.no_texts:
        table(f"Tokenizing included, {threads} thread{'s' if threads > 1 else ''}: tokens a second{base}", columns, by_texts, order)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--model", type=pathlib.Path, default=pathlib.Path("models/all-MiniLM-L6-v2"))
    parser.add_argument("--threads", default="1")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--workloads", default="single,b32x128,mixed,mixed_unsorted")
    parser.add_argument("--texts", type=int, default=256, help="of the mixed workloads")
    parser.add_argument("--engines", default="", help="beginnings of names, such as nib,ONNX")
    parser.add_argument("--no-texts", action="store_true", help="ids only")
    args = parser.parse_args()
    try:
        from tokenizers import Tokenizer
    except ImportError:
        sys.exit("the PyPI package tokenizers is needed (make bench installs it with the peers)")
    cache = pathlib.Path(tempfile.gettempdir()) / "nib-bench" / args.model.resolve().name
    cache.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer.from_file(str(args.model / "tokenizer.json"))
    tokenizer.no_padding()
    words = words_beside(args.model)
    print(f"{engines.machine()}; {args.model.name}; {engines.versions()}")
    print(f"`bench/peers.py --threads {args.threads} --turns {args.turns} --workloads {args.workloads}`")
    for threads in args.threads.split(","):
        run(args, int(threads), cache, tokenizer, words)


if __name__ == "__main__":
    main()
