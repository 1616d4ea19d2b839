#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes test/data/nib/tiny, a BERT of one layer with a tokenizer of 24 words, and from it the seeds of fuzz_nib, compiled for any CPU.

    tools/make_nib_fixture.py [build/nib]       (needs numpy; without a nib no seeds are written)
"""
import json
import os
import pathlib
import subprocess
import sys

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
TINY = ROOT / "test/data/nib/tiny"
SEEDS = ROOT / "test/fuzz/seeds/nib"
HIDDEN, FFN, HEADS, POSITIONS = 32, 48, 2, 16
WORDS = ("[PAD] [UNK] [CLS] [SEP] [MASK] a b c ab nib ##s ##a ##b pen tip of the is ink , . ##nib été 墨").split()


def tensors(rng):
    layer = "encoder.layer.0."
    shapes = {
        "embeddings.word_embeddings.weight": (len(WORDS), HIDDEN),
        "embeddings.position_embeddings.weight": (POSITIONS, HIDDEN),
        "embeddings.token_type_embeddings.weight": (2, HIDDEN),
        layer + "intermediate.dense.weight": (FFN, HIDDEN),
        layer + "intermediate.dense.bias": (FFN,),
        layer + "output.dense.weight": (HIDDEN, FFN),
    }
    norms = ["embeddings.LayerNorm", layer + "attention.output.LayerNorm", layer + "output.LayerNorm"]
    for name in ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"]:
        shapes[layer + name + ".weight"] = (HIDDEN, HIDDEN)
        shapes[layer + name + ".bias"] = (HIDDEN,)
    shapes[layer + "output.dense.bias"] = (HIDDEN,)
    out = {name: rng.standard_normal(shape).astype("<f4") * 0.3 for name, shape in shapes.items()}
    for name in norms:
        out[name + ".weight"] = 1 + 0.1 * rng.standard_normal(HIDDEN).astype("<f4")
        out[name + ".bias"] = 0.1 * rng.standard_normal(HIDDEN).astype("<f4")
    return {name: out[name].astype("<f4") for name in sorted(out)}


def write_safetensors(path, named):
    header, at = {}, 0
    for name, value in named.items():
        header[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [at, at + value.nbytes]}
        at += value.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(v.tobytes() for v in named.values()))


def tokenizer():
    special = [{"id": i, "content": WORDS[i], "single_word": False, "lstrip": i == 4, "rstrip": False, "normalized": False, "special": True}
               for i in range(5)]
    piece = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": False, "lowercase": True}
    template = {"type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                           {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
                "pair": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                         {"SpecialToken": {"id": "[SEP]", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}},
                         {"SpecialToken": {"id": "[SEP]", "type_id": 1}}],
                "special_tokens": {w: {"id": w, "ids": [i], "tokens": [w]} for w, i in (("[CLS]", 2), ("[SEP]", 3))}}
    vocab = {w: i for i, w in reversed(list(enumerate(WORDS)))}  # not in the order of ids
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": special, "normalizer": piece,
            "pre_tokenizer": {"type": "BertPreTokenizer"}, "post_processor": template, "decoder": None,
            "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
                      "vocab": vocab}}


def main():
    TINY.mkdir(parents=True, exist_ok=True)
    config = {"architectures": ["BertModel"], "model_type": "bert", "hidden_act": "gelu", "hidden_size": HIDDEN,
              "intermediate_size": FFN, "layer_norm_eps": 1e-12, "max_position_embeddings": POSITIONS, "num_attention_heads": HEADS,
              "num_hidden_layers": 1, "type_vocab_size": 2, "vocab_size": len(WORDS)}
    (TINY / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    (TINY / "tokenizer.json").write_text(json.dumps(tokenizer(), ensure_ascii=False, indent=1) + "\n")
    write_safetensors(TINY / "model.safetensors", tensors(np.random.default_rng(7)))
    if len(sys.argv) < 2:
        return
    SEEDS.mkdir(parents=True, exist_ok=True)
    for name, options in (("f32", ["--precision", "f32"]), ("q8", ["--precision", "q8"]), ("bf16", ["--precision", "bf16"])):
        subprocess.run([sys.argv[1], "compile", "test/data/nib/tiny", "-o", str(SEEDS / name), *options], check=True, cwd=ROOT,
                       env={**os.environ, "NIB_CPU": "generic"})


main()
