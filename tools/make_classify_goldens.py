#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes test/data/classify: two random classifiers as ONNX files in folders, and what others make of texts and pairs.

    python tools/make_classify_goldens.py

Needs torch, transformers, sentence-transformers, onnx, onnxruntime. `labels` has three labels, `relevance` one and a
cross encoder's config.json. Scores in *.npy are PyTorch's, raw; *.jsonl has those of transformers'
pipeline("text-classification"), a text or pair a line.
"""
import json
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
import transformers

ROOT = Path(__file__).resolve().parent.parent
OUT, TINY = ROOT / "test/data/classify", ROOT / "test/data/nib/tiny"
TEXTS = ["a nib is a tip of a pen", "ink", "", "the pen is of ink, the ink is of a pen . the tip is a nib , a b c ab abs",
         "墨 été", "a tip, a nib, the ink of the nib", "nibs ab a"]
SECONDS = ["the ink", "a pen is a nib. a pen is a tip of ink , the ink is the ink of the pen", "b", "c c c",
           "été", "is the pen a nib", "a"]
MOST = 16  # tokens: some of these texts and pairs are longer


def folder(name, labels, **config):
    shape = dict(vocab_size=24, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=48,
                 type_vocab_size=2, max_position_embeddings=MOST, id2label=dict(enumerate(labels)))
    torch.manual_seed(len(labels))
    model = transformers.BertForSequenceClassification(transformers.BertConfig(**shape, **config)).eval()
    with torch.no_grad():
        for key, p in model.named_parameters():
            p.add_(torch.randn_like(p) * (0.05 if "LayerNorm" in key else 0.3))
    path = OUT / name
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    shutil.copy(TINY / "tokenizer.json", path)
    said = {"architectures": ["BertForSequenceClassification"], "model_type": "bert", "max_position_embeddings": MOST,
            "id2label": dict(enumerate(labels)), **config}
    (path / "config.json").write_text(json.dumps(said, indent=1) + "\n")

    class Named(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, input_ids, attention_mask, token_type_ids):
            return self.model(input_ids, attention_mask, token_type_ids).logits

    names = ["input_ids", "attention_mask", "token_type_ids"]
    sample = tuple(torch.ones(2, 5, dtype=torch.long) for _ in names)
    axes = {**{k: {0: "batch", 1: "seq"} for k in names}, "logits": {0: "batch"}}
    torch.onnx.export(Named().eval(), sample, str(path / "model.onnx"), input_names=names, output_names=["logits"],
                      opset_version=17, dynamo=False, dynamic_axes=axes)
    exported = onnx.load(path / "model.onnx")
    for node in exported.graph.node:
        node.ClearField("doc_string")
    (path / "model.onnx").write_bytes(exported.SerializeToString(deterministic=True))
    return model.eval()


def raw(model, path, tokenizer, inputs):
    """PyTorch's scores, each text or pair alone; and how far ONNX Runtime's are from them."""
    session = onnxruntime.InferenceSession(path / "model.onnx", providers=["CPUExecutionProvider"])
    rows, worst = [], 0.0
    for text in inputs:
        given = tokenizer(**text, truncation=True, max_length=MOST, return_tensors="pt")
        with torch.no_grad():
            rows.append(model(**given).logits[0].numpy())
        zeros = torch.zeros_like(given["input_ids"])
        feed = {i.name: given.get(i.name, zeros).numpy() for i in session.get_inputs()}
        worst = max(worst, float(np.abs(session.run(None, feed)[0][0] - rows[-1]).max()))
    return np.stack(rows), worst


def main():
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "texts.txt").write_text("".join(t + "\n" for t in TEXTS))
    (OUT / "pairs.txt").write_text("".join(f"{a}\t{b}\n" for a, b in zip(TEXTS, SECONDS)))
    single = [{"text": t} for t in TEXTS]
    pairs = [{"text": a, "text_pair": b} for a, b in zip(TEXTS, SECONDS)]
    cross = {"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity", "version": "5.0.0"}}
    for name, labels, config in (("labels", ["no", "maybe", "yes"], {}), ("relevance", ["LABEL_0"], cross)):
        model = folder(name, labels, **config)
        tokenizer = transformers.AutoTokenizer.from_pretrained(OUT / name, model_max_length=MOST)
        for kind, inputs in (("single", single), ("pair", pairs)):
            logits, worst = raw(model, OUT / name, tokenizer, inputs)
            np.save(OUT / f"{name}.{kind}.npy", logits.astype("<f4"))
            print(f"{name}, {kind}: ONNX Runtime differs from PyTorch by {worst:.2g}")
            if kind == "pair" and name == "labels":
                tokenizer.model_input_names = ["input_ids", "attention_mask"]
                np.save(OUT / f"{name}.untyped.npy", raw(model, OUT / name, tokenizer, inputs)[0].astype("<f4"))
                tokenizer.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
            pipe = transformers.pipeline("text-classification", model=model, tokenizer=tokenizer)
            for suffix, options in (("", {}), (".top2", {"top_k": 2})):
                found = [pipe(text, truncation=True, max_length=MOST, **options) for text in inputs]
                (OUT / f"{name}.{kind}{suffix}.jsonl").write_text("".join(json.dumps(f) + "\n" for f in found))
        if config:
            from sentence_transformers import CrossEncoder
            with tempfile.TemporaryDirectory() as kept:
                model.save_pretrained(kept)
                tokenizer.save_pretrained(kept)
                encoder = CrossEncoder(kept, device="cpu", max_length=MOST)
                said = encoder.predict(list(zip(TEXTS, SECONDS)))
            print(f"{name}: CrossEncoder differs by {np.abs(said - logits[:, 0]).max():.2g}")


sys.exit(main())
