#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Rows of documents for late interaction, nib and ONNX Runtime alternating in one run: documents of 300 tokens a second
of a model of GTE-ModernColBERT's shape (22 layers, 768, Dense 768 -> 128) with random weights.

    bench/colbert.py FOLDER [--layers 22] [--threads 1] [--turns 3] [--documents 4]

FOLDER keeps the model (bench/shapes.py). ONNX Runtime's rows are projected by numpy, which is 0.1 % of the work; nib
tokenizes, too. Cosines are of a document's rows, the mean and the least.
"""
import argparse
import ctypes as c
import json
import pathlib
import statistics
import time

import engines
import nibc
import numpy as np
import shapes

TOKENS, WIDTH, SHAPE = 300, 128, "gte-moderncolbert"


class Tensor(c.Structure):  # nib_tensor as far as `data`
    _fields_ = [("dtype", c.c_int), ("rank", c.c_int), ("dims", c.c_int64 * 16), ("data", c.POINTER(c.c_float))]


def complete(folder):
    """What makes PyLate's folder of the encoder: a tokenizer, the projection and the settings."""
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = ["[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]", "[D]", "[Q]"]
    words += [f"w{i}" for i in range(len(words), shapes.V)]
    t = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    t.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    t.add_special_tokens(words[:7])
    t.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]",
                                                     special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    t.save(str(folder / "tokenizer.json"))
    dense = np.random.default_rng(0).standard_normal((WIDTH, 768)).astype(np.float32) / 28
    (folder / "1_Dense").mkdir(exist_ok=True)
    save_file({"linear.weight": dense}, str(folder / "1_Dense/model.safetensors"))
    for name, said in {
        "1_Dense/config.json": {"in_features": 768, "out_features": WIDTH, "bias": False,
                                "activation_function": "torch.nn.modules.linear.Identity"},
        "config_sentence_transformers.json": {"model_type": "ColBERT", "similarity_fn_name": "MaxSim", "query_length": 32,
                                              "document_length": TOKENS, "query_prefix": "[Q]", "document_prefix": "[D]",
                                              "attend_to_expansion_tokens": False, "skiplist_words": []},
        "modules.json": [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
                         {"idx": 1, "name": "1", "path": "1_Dense", "type": "pylate.models.Dense.Dense"}],
        "tokenizer_config.json": {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "mask_token": "[MASK]",
                                  "unk_token": "[UNK]"},
    }.items():
        (folder / name).write_text(json.dumps(said))
    return dense


class Nib(nibc.Model):
    def rows(self, ids):
        return self.rows_of([" ".join(f"w{i}" for i in row[2:-1]) for row in ids])

    def rows_of(self, documents):
        texts = [d.encode() for d in documents]
        offsets, out = (c.c_int64 * (len(texts) + 1))(), c.POINTER(Tensor)()
        self.check(self.lib.nib_colbert(self.model, c.c_int(2), (c.c_char_p * len(texts))(*texts), c.c_size_t(len(texts)), None, offsets,
                                        c.byref(out), c.byref(self.error)))
        t = out.contents
        rows = np.ctypeslib.as_array(t.data, (t.dims[0], t.dims[1])).copy()
        self.lib.nib_tensor_free(out)
        return rows


class Runtime(shapes.Runtime):
    def __init__(self, path, threads, dense):
        super().__init__(path, threads)
        self.dense = dense.T.copy()

    def rows(self, ids):
        x = np.array(ids, np.int64)
        y = self.session.run(None, {"input_ids": x, "attention_mask": np.ones_like(x)})[0].reshape(-1, 768) @ self.dense
        return y / np.linalg.norm(y, axis=1, keepdims=True)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("folder", type=pathlib.Path)
    for option, value in (("layers", 22), ("threads", 1), ("turns", 3), ("documents", 4)):
        p.add_argument(f"--{option}", type=int, default=value)
    a = p.parse_args()
    folder = a.folder / f"{SHAPE}-{a.layers}"
    folder.mkdir(parents=True, exist_ok=True)
    shapes.make(folder, SHAPE, a.layers)
    dense = complete(folder)
    rng = np.random.default_rng(1)
    ids = [[2, 5, *rng.integers(7, shapes.V, TOKENS - 3).tolist(), 3] for _ in range(a.documents)]
    both = {"nib f32": Nib(folder, "f32", a.threads), "nib q8": Nib(folder, "q8", a.threads),
            "ONNX Runtime f32": Runtime(folder / "f32.onnx", a.threads, dense),
            "ONNX Runtime INT8": Runtime(folder / "int8.onnx", a.threads, dense)}
    rows, took = {k: e.rows(ids) for k, e in both.items()}, {k: [] for k in both}
    for _ in range(a.turns):
        for k, e in both.items():
            begun = time.perf_counter()
            e.rows(ids)
            took[k].append(time.perf_counter() - begun)
    print(f"{engines.machine()}; {a.layers} layers, {a.threads} threads, {a.documents} documents of {TOKENS}, {a.turns} turns")
    print("\n| | documents a second | of ONNX Runtime INT8's | cosine to ONNX Runtime f32: mean | least |\n|---|---|---|---|---|")
    for k in both:
        cosine = (rows[k] * rows["ONNX Runtime f32"]).sum(axis=1)
        ratio = statistics.median(x / y for x, y in zip(took["ONNX Runtime INT8"], took[k]))
        print(f"| {k} | {a.documents / statistics.median(took[k]):.2f} | {ratio:.2f}x | {cosine.mean():.4f} | {cosine.min():.4f} |")


if __name__ == "__main__":
    main()
