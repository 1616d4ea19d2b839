#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times nib and its peers on the same texts, alternating, in one run, and prints a Markdown table.

usage: bench/peers.py [--nib build/nib] [--model models/all-MiniLM-L6-v2] [--threads 1] [--turns 2] [--workloads single,b32x128,mixed]

Peers: ONNX Runtime in f32 and with dynamic INT8 weights (per channel), and PyTorch, each if its PyPI package is installed
(onnxruntime, torch, transformers, tokenizers, onnx). Tokenizing is included for all: the peers use PyPI `tokenizers` and sort by
length in batches of 32, as sentence-transformers does; nib gets the texts in the order they come. Figures are tokens a second,
padding not counted: the median of the turns, and the ratio to ONNX Runtime f32 in the same turn (median of the ratios).
"""
import argparse
import importlib.util
import json
import os
import pathlib
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time

MAXLEN = {"b32x128": 128, "mixed": 256, "single": 256}


def texts_of(workload, words):
    rng = random.Random(1)
    text = lambda n: " ".join(rng.choice(words) for _ in range(n))  # noqa: E731
    if workload == "single":
        return [text(40) for _ in range(24)]
    if workload == "b32x128":
        return [text(200) for _ in range(96)]
    return [text(max(3, min(180, int(rng.lognormvariate(3.2, 0.9))))) for _ in range(256)]


class Peer:
    """One engine in this process: run(texts) -> seconds."""

    def __init__(self, name, model, threads, cache):
        from tokenizers import Tokenizer

        self.name = name
        self.tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
        self.tokenizer.no_padding()
        if name == "PyTorch f32":
            import torch
            from transformers import AutoModel

            torch.set_num_threads(threads)
            self.torch = torch
            self.model = AutoModel.from_pretrained(model, attn_implementation="sdpa").eval()
        else:
            import onnxruntime as ort

            options = ort.SessionOptions()
            options.intra_op_num_threads = threads
            options.log_severity_level = 3
            path = onnx_file(model, cache, "INT8" in name)
            self.session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def embed(self, batch, maxlen):
        import numpy as np

        ids = [e.ids for e in self.tokenizer.encode_batch(batch)]
        width = max(map(len, ids))
        x = np.zeros((len(ids), width), np.int64)
        mask = np.zeros_like(x)
        for i, row in enumerate(ids):
            x[i, : len(row)] = row
            mask[i, : len(row)] = 1
        if hasattr(self, "session"):
            given = {"input_ids": x, "attention_mask": mask, "token_type_ids": np.zeros_like(x)}
            hidden = self.session.run(["last_hidden_state"], {i.name: given[i.name] for i in self.session.get_inputs()})[0]
        else:
            with self.torch.inference_mode():
                hidden = self.model(self.torch.from_numpy(x), self.torch.from_numpy(mask)).last_hidden_state.numpy()
        pooled = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
        return pooled / np.linalg.norm(pooled, axis=1, keepdims=True)

    def run(self, texts, workload):
        maxlen = MAXLEN[workload]
        self.tokenizer.enable_truncation(maxlen)
        size = 1 if workload == "single" else 32
        begun = time.perf_counter()
        order = sorted(texts, key=len, reverse=True)
        for i in range(0, len(order), size):
            self.embed(order[i : i + size], maxlen)
        return time.perf_counter() - begun


def onnx_file(model, cache, int8):
    f32 = cache / "model.onnx"
    if not f32.exists():
        import torch
        from transformers import AutoModel

        class Wrapped(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.inner = AutoModel.from_pretrained(model, attn_implementation="eager").eval()

            def forward(self, input_ids, attention_mask, token_type_ids):
                return self.inner(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids).last_hidden_state

        names = ["input_ids", "attention_mask", "token_type_ids"]
        x = torch.ones(2, 7, dtype=torch.long)
        axes = {n: {0: "batch", 1: "seq"} for n in names + ["last_hidden_state"]}
        torch.onnx.export(Wrapped(), (x, x, x * 0), str(f32), input_names=names, output_names=["last_hidden_state"], opset_version=17, dynamo=False, dynamic_axes=axes)
    if not int8:
        return f32
    quantized = cache / "model_int8pc.onnx"
    if not quantized.exists():
        from onnxruntime.quantization import QuantType, quantize_dynamic

        quantize_dynamic(str(f32), str(quantized), weight_type=QuantType.QInt8, per_channel=True)
    return quantized


class Nib:
    def __init__(self, args, precision):
        self.name = f"nib {precision}"
        self.command = [args.nib, "bench", "encode", "--model", str(args.model), "--precision", precision, "--threads", str(args.threads), "--rounds", "2", "--json"]

    def measure(self, file, workload):
        out = subprocess.run(self.command + ["--input", file, "--max-tokens", str(MAXLEN[workload])], check=True, capture_output=True, text=True).stdout
        figures = json.loads(out)
        if workload == "single":
            return 1e3 / figures["latency_ms"]["p50"] * figures["tokens"] / figures["texts"], figures["tokens"]
        return figures["tokens_per_second"], figures["tokens"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--nib", default="build/nib")
    parser.add_argument("--model", type=pathlib.Path, default=pathlib.Path("models/all-MiniLM-L6-v2"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--workloads", default="single,b32x128,mixed")
    args = parser.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "true" if args.threads > 1 else "false"
    words = (args.model / "README.md").read_text().split()
    have = lambda *names: all(importlib.util.find_spec(n) for n in names)  # noqa: E731
    cache = pathlib.Path(tempfile.gettempdir()) / "nib-bench"
    cache.mkdir(exist_ok=True)
    engines = [Nib(args, p) for p in ("f32", "bf16", "q8")]
    if have("onnxruntime", "tokenizers") and (have("torch", "transformers", "onnx") or (cache / "model_int8pc.onnx").exists()):
        engines += [Peer(n, args.model, args.threads, cache) for n in ("ONNX Runtime f32", "ONNX Runtime INT8")]
    if have("torch", "transformers", "tokenizers"):
        engines.append(Peer("PyTorch f32", args.model, args.threads, cache))
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.processor())
    print(f"{cpu}, {args.threads} thread{'s' if args.threads > 1 else ''}; tokens a second (ratio to ONNX Runtime f32)\n")
    columns = args.workloads.split(",")
    print("| | " + " | ".join(columns) + " |\n|---|" + "---|" * len(columns))
    table = {e.name: [] for e in engines}
    for workload in args.workloads.split(","):
        texts = texts_of(workload, words)
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write("".join(t + "\n" for t in texts))
            file.flush()
            rates = {e.name: [] for e in engines}
            for turn in range(args.turns + 1):
                print(f"{workload}: turn {turn} of {args.turns}", file=sys.stderr)
                tokens = None
                for engine in engines:
                    if isinstance(engine, Nib):
                        rate, tokens = engine.measure(file.name, workload)
                    else:
                        rate = tokens / engine.run(texts, workload)
                    if turn:  # the first turn warms up
                        rates[engine.name].append(rate)
        base = rates.get("ONNX Runtime f32")
        for name, values in rates.items():
            ratio = f" ({statistics.median(v / b for v, b in zip(values, base)):.2f}x)" if base else ""
            table[name].append(f"{statistics.median(values):,.0f}{ratio}")
    for name, cells in table.items():
        print(f"| {name} | " + " | ".join(cells) + " |")


sys.exit(main())
