#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Long texts and batches: time and memory of nib and ONNX Runtime on a BERT of MiniLM's sizes with 8192 positions and random weights.

usage: bench/long.py [--threads 1] [--lengths 512,1024,2048,4096,8192] [--batches 1,2,4,8,16,32,64] [--turns 3] [--engines nib,ONNX]

First table: one text of so many tokens a call. Second: so many texts of 128 tokens a call. Cells: milliseconds a call (median over the
turns, engines alternating), and by how many MB the engine's process ever grew (the high water of its resident memory) from what it had before
its first call; for that every length and every engine gets a process of its own, and a warm-up call.
"""
import argparse
import pathlib
import random
import statistics
import sys
import tempfile
import time

import engines

POSITIONS = 8192


def make_model(folder, layers):
    import torch
    from transformers import BertConfig, BertModel

    if (folder / "model.safetensors").exists():
        return
    torch.manual_seed(1)
    config = BertConfig(vocab_size=30522, hidden_size=384, num_hidden_layers=layers, num_attention_heads=12, intermediate_size=1536,
                        max_position_embeddings=POSITIONS)
    BertModel(config, add_pooling_layer=False).eval().save_pretrained(folder)


def cell(workers, batch, turns):
    """name -> (ms, grown MB) or a reason; the workers are stopped."""
    out, times, before = {}, {}, {}
    for w in list(workers):
        try:
            w("ids", "x", [batch])
            before[w.name] = w("rss", True)
            w("run", "x")
        except engines.Failed as e:
            out[w.name] = str(e)[:60]
            workers.remove(w)
    for _ in range(turns):
        for w in workers:
            times.setdefault(w.name, []).append(w("run", "x"))
            time.sleep(0.3)
    for w in workers:
        out[w.name] = f"{1e3 * statistics.median(times[w.name]):,.1f} ms, {(w('rss', False) - before[w.name]) / 1e6:,.0f} MB"
    return out


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--lengths", default="512,1024,2048,4096,8192")
    parser.add_argument("--batches", default="1,2,4,8,16,32,64")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--engines", default="nib,ONNX Runtime f32")
    args = parser.parse_args()
    model = pathlib.Path(tempfile.gettempdir()) / "nib-bench" / f"long-{args.layers}"
    model.mkdir(parents=True, exist_ok=True)
    make_model(model, args.layers)
    names = [n for n in engines.NAMES if any(n.startswith(e) for e in args.engines.split(",")) and engines.available(n)]
    rng = random.Random(1)
    text = lambda n: [101] + [rng.randrange(1000, 30000) for _ in range(n - 2)] + [102]  # noqa: E731
    lengths, sizes = [int(x) for x in args.lengths.split(",") if x], [int(x) for x in args.batches.split(",") if x]
    print(f"{engines.machine()}; BERT, {args.layers} layers, 384 wide, 12 heads, random weights; {args.threads} thread(s); {engines.versions()}")
    for title, head, cases in (("One text of n tokens", lengths, [[text(n)] for n in lengths]),
                               ("n texts of 128 tokens", sizes, [[text(128) for _ in range(n)] for n in sizes])):
        table = {name: [] for name in names}
        for n, batch in zip(head, cases):
            print(f"{title}: n = {n}", file=sys.stderr)
            workers, failed = [], {}
            for name in names:
                try:
                    workers.append(engines.Worker(name, model, args.threads, model, POSITIONS))
                except engines.Failed as e:
                    failed[name] = str(e)[:60]
            started = list(workers)
            got = {**failed, **cell(workers, batch, args.turns)}
            for w in started:
                w.stop()
            for name in names:
                table[name].append(got[name])
        if head:
            print(f"\n{title}\n\n| | " + " | ".join(map(str, head)) + " |\n|---|" + "---|" * len(head))
            for name in names:
                print(f"| {name} | " + " | ".join(table[name]) + " |")


if __name__ == "__main__":
    main()
