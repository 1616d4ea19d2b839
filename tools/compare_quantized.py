#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Quantizes a sentence model with nib in each way and runs the files in ONNX Runtime and in nib: cosines to nib's f32, and how near
both are; with --speed how fast both are, too, in turns, on two threads. The models pool by the mean of their tokens. Needs numpy, onnxruntime
and tokenizers.

    tools/compare_quantized.py [--speed] build/nib models/all-MiniLM-L6-v2 [CALIBRATE.txt CHECK.txt]

Without files: test/data/quantize/calibrate.txt and check.txt (tools/make_quantize_texts.py).
"""
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnxruntime
import tokenizers

ROOT = pathlib.Path(__file__).resolve().parent.parent


speed = "--speed" in sys.argv
arguments = [a for a in sys.argv[1:] if a != "--speed"]
nib, model = arguments[:2]
texts_of = ROOT / "test/data/quantize"
calibrate, check = arguments[2:4] if len(arguments) > 3 else (f"{texts_of}/calibrate.txt", f"{texts_of}/check.txt")
tokenizer = tokenizers.Tokenizer.from_file(f"{model}/tokenizer.json")
tokenizer.no_padding()
tokenizer.enable_truncation(256)
lines = [line for line in pathlib.Path(check).read_text().split("\n") if line]


def in_nib(path, scratch, *options):
    out = scratch / "vectors.npy"
    subprocess.run([nib, "embed", "--quiet", "--model", path, "--input", check, "-o", out, *options], check=True)
    return np.load(out)


def in_onnxruntime(path):
    session = onnxruntime.InferenceSession(f"{path}/model.onnx")
    vectors = []
    for line in lines:
        e = tokenizer.encode(line)
        all_inputs = {"input_ids": e.ids, "attention_mask": e.attention_mask, "token_type_ids": e.type_ids}
        rows = session.run(None, {i.name: np.array([all_inputs[i.name]]) for i in session.get_inputs()})[0][0].mean(0)
        vectors.append(rows / np.linalg.norm(rows))
    return np.array(vectors)


def nearest(v):
    scores = v @ v.T
    np.fill_diagonal(scores, -9)
    return [set(row[:10]) for row in np.argsort(-scores, 1)]


def show(what, a, b):
    cosine = (a * b).sum(1)
    kept = np.mean([len(x & y) / 10 for x, y in zip(nearest(a), nearest(b))])
    print(f"{what:58} mean {cosine.mean():.5f} worst {cosine.min():.5f} nearest 10 kept {kept:.3f}")


def round_of_nib(path):
    out = subprocess.run([nib, "bench", "encode", "--quiet", "--model", path, "--input", check, "--rounds", "1", "--threads", "2", "--json"],
                         check=True, capture_output=True, text=True).stdout
    return json.loads(out)["with_tokenizing"]["texts_per_second"]


def round_of_onnxruntime(session):
    """Tokenizing included, 32 texts of about one length at a time."""
    begun = time.perf_counter()
    encoded = sorted(tokenizer.encode_batch(lines), key=lambda e: len(e.ids))
    for at in range(0, len(encoded), 32):
        some = encoded[at:at + 32]
        longest = len(some[-1].ids)
        given = {"input_ids": [e.ids + [0] * (longest - len(e.ids)) for e in some],
                 "attention_mask": [e.attention_mask + [0] * (longest - len(e.ids)) for e in some],
                 "token_type_ids": [[0] * longest for _ in some]}
        session.run(None, {i.name: np.array(given[i.name], np.int64) for i in session.get_inputs()})
    return len(lines) / (time.perf_counter() - begun)


def show_speed(title, path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    session = onnxruntime.InferenceSession(f"{path}/model.onnx", options)
    round_of_onnxruntime(session)
    rounds = [(round_of_nib(path), round_of_onnxruntime(session)) for _ in range(5)]
    ours, theirs = (sorted(r[i] for r in rounds)[2] for i in (0, 1))
    print(f"{title}: nib {ours:.0f} texts/s, ONNX Runtime {theirs:.0f}: {ours / theirs:.2f} times", flush=True)


def measure(scratch, wanted, title, options):
    out, receipt = scratch / "model", scratch / "receipt.json"
    subprocess.run([nib, "quantize", model, "-o", out, "--check", check, "--report", receipt, "--no-speed", *options], check=True,
                   stdout=subprocess.DEVNULL)
    told = json.loads(receipt.read_text())
    a, b = in_nib(out, scratch), in_onnxruntime(out)
    show(f"{title}: ONNX Runtime, {told['weight_bytes_after'] / 1e6:.1f} MB", wanted, b)
    show(f"{title}: nib", wanted, a)
    for key, got in (("in_nib", a), ("as_onnx", b)):
        if abs(told[key]["cosine_mean"] - (wanted * got).sum(1).mean()) > 2e-3:
            sys.exit(f"{title}: the receipt says {told[key]['cosine_mean']:.5f} of {key}")
    if speed and not title.startswith("mixed"):
        show_speed(title, out)
    return told["weight_bytes_after"]


with tempfile.TemporaryDirectory() as name:
    scratch = pathlib.Path(name)
    wanted = in_nib(model, scratch, "--precision", "f32")
    size, texts = {}, ["--calibrate", calibrate]
    for kind in ("int8", "int4"):
        for target in ("standard", "onnxruntime"):
            for options in ([], texts, [*texts, "--min-cosine", "0.99"]):
                if kind == "int8" and len(options) > 2:
                    continue
                title = " ".join([kind, target, *(o for o in options if not o.endswith(".txt"))])
                size.setdefault(kind, measure(scratch, wanted, title, ["--type", kind, "--target", target, *options]))
    for kind, options in (("int8-static", texts), ("int4", ["--block", "64"]), ("fp16", []), ("bf16", [])):
        title = " ".join([kind, *(o for o in options if not o.endswith(".txt"))])
        measure(scratch, wanted, title, ["--type", kind, *options])
    # The curve: from what int4 has to a fifth more than int8 has.
    for step in range(1, 7):
        most = int(size["int4"] + step / 6 * (1.2 * size["int8"] - size["int4"]))
        measure(scratch, wanted, f"mixed --size {most}", ["--type", "mixed", "--size", str(most), "--calibrate", calibrate])
