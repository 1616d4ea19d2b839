#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Quantizes a sentence model by Optimum's AutoQuantizationConfig and by nib's --preset of the same name, from one and the same ONNX file,
and fails where the files differ in how many operators of 8 bits they have, or in the types of their weights. Prints the cosines of both to
f32, in ONNX Runtime. Needs optimum-onnx, onnxruntime, onnx, tokenizers.

    tools/compare_presets.py build/nib models/all-MiniLM-L6-v2
"""
import collections
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
import tokenizers
from optimum.onnxruntime import ORTModelForFeatureExtraction, ORTQuantizer
from optimum.onnxruntime.configuration import AutoQuantizationConfig

ROOT = pathlib.Path(__file__).resolve().parent.parent
OPERATORS = "MatMulInteger DynamicQuantizeLinear QuantizeLinear DequantizeLinear QLinearMatMul MatMul".split()
nib, model = sys.argv[1:3]
tokenizer = tokenizers.Tokenizer.from_file(f"{model}/tokenizer.json")
tokenizer.no_padding()
tokenizer.enable_truncation(256)
texts = [tokenizer.encode(line) for line in (ROOT / "test/data/quantize/check.txt").read_text().split("\n") if line]


def vectors(path):
    session = onnxruntime.InferenceSession(str(path))
    out = []
    for e in texts:
        given = {"input_ids": e.ids, "attention_mask": e.attention_mask, "token_type_ids": e.type_ids}
        rows = session.run(None, {i.name: np.array([given[i.name]]) for i in session.get_inputs()})[0][0].mean(0)
        out.append(rows / np.linalg.norm(rows))
    return np.array(out)


def described(path):
    """Operators of 8 bits, and the weights of products and tables: (type, zero points)."""
    g = onnx.load(str(path)).graph
    weights = {i.name: i for i in g.initializer}
    count = collections.Counter(n.op_type for n in g.node)
    kinds = collections.Counter()
    for n in g.node:
        if n.op_type == "MatMulInteger" and n.input[1] in weights:
            kinds[f"weights {onnx.TensorProto.DataType.Name(weights[n.input[1]].data_type)}, zero points of rank {len(weights[n.input[3]].dims)}"] += 1
        if n.op_type == "Gather" and n.input[0] in weights and len(weights[n.input[0]].dims) == 2:
            kinds[f"tables {onnx.TensorProto.DataType.Name(weights[n.input[0]].data_type)}"] += 1
    return {o: count[o] for o in OPERATORS}, dict(sorted(kinds.items()))


bad = False
with tempfile.TemporaryDirectory() as name:
    scratch = pathlib.Path(name)
    ORTModelForFeatureExtraction.from_pretrained(model, export=True).save_pretrained(scratch / "f32")
    wanted = vectors(scratch / "f32/model.onnx")
    for preset in ("avx2", "avx512", "avx512_vnni", "arm64"):
        for each, options in ((True, ["--per-channel"]), (False, ["--per-tensor"])):
            config = getattr(AutoQuantizationConfig, preset)(is_static=False, per_channel=each)
            ORTQuantizer.from_pretrained(scratch / "f32", file_name="model.onnx").quantize(save_dir=scratch / "there", quantization_config=config)
            subprocess.run([nib, "quantize", scratch / "f32/model.onnx", "-o", scratch / "here.onnx", "--preset", preset, "--dynamic",
                            *options, "--no-speed"], check=True, stdout=subprocess.DEVNULL)
            there, here = scratch / "there/model_quantized.onnx", scratch / "here.onnx"
            same = described(there) == described(here)
            bad |= not same
            cosines = [(wanted * vectors(path)).sum(1) for path in (there, here)]
            print(f"{preset:12} {options[0]:14} {'same' if same else 'DIFFERENT'} {described(here)}; cosine Optimum "
                  f"{cosines[0].mean():.4f} / {cosines[0].min():.4f}, nib {cosines[1].mean():.4f} / {cosines[1].min():.4f}", flush=True)
            if not same:
                print(" " * 12, "Optimum:", described(there))
sys.exit(bad)
