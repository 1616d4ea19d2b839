#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes test/data/modules/golden.json: small folders of sentence-transformers' modules, and the vectors that it makes.

    python tools/make_st_goldens.py

Needs torch, transformers, sentence-transformers. Each case has its files as texts, its weights as names, shapes and types, of which
number i is a function of the file's name, the tensor's name and i (tools/make_hf_goldens.py, and the test), and a vector for each text, of
all texts at once.
"""

import json
import logging
import os
import sys
import tempfile
import warnings
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1")
warnings.filterwarnings("ignore")
logging.disable(logging.CRITICAL)
sys.path.insert(0, str(Path(__file__).resolve().parent))

import torch
from make_hf_goldens import weight
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Transformer
from sentence_transformers.sentence_transformer.modules import LayerNorm, Normalize, Pooling
from transformers import BertConfig, BertModel, BertTokenizer

OUT = Path(__file__).resolve().parent.parent / "test" / "data" / "modules"
WIDTH = 16
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + [f"w{i}" for i in range(40)] + [":", "query"]
TEXTS = ["w1 w2 w3", "w7", " ".join(f"w{i * 7 % 40}" for i in range(25)), ""]
OLD = {
    "Transformer": "sentence_transformers.models.Transformer",
    "Pooling": "sentence_transformers.models.Pooling",
    "Dense": "sentence_transformers.models.Dense",
    "LayerNorm": "sentence_transformers.models.LayerNorm",
    "Normalize": "sentence_transformers.models.Normalize",
}
FLAGS = {
    "cls": "pooling_mode_cls_token",
    "max": "pooling_mode_max_tokens",
    "mean": "pooling_mode_mean_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}


def dense(n_in, n_out, act=None, **kw):
    return Dense(n_in, n_out, activation_function=act, **kw)


ALL = ["lasttoken", "cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean"]
TOKENS = "token_embeddings"
nn = torch.nn
# name: (modules behind the transformer, dtype of their weights, in the words of old versions, a prompt)
CASES = {
    "dense": ([Pooling(WIDTH), dense(WIDTH, 12, nn.Tanh()), Normalize()], torch.float32, False, ""),
    "dense_old": ([Pooling(WIDTH, "cls"), dense(WIDTH, 12, nn.ReLU(), bias=False)], torch.float16, True, ""),
    "dense_bf16": ([Pooling(WIDTH), dense(WIDTH, 24, nn.GELU()), dense(24, 8), Normalize()], torch.bfloat16, False, ""),
    "residual": ([Pooling(WIDTH), dense(WIDTH, 12, nn.SiLU(), use_residual=True), dense(12, 12, use_residual=True)],
                 torch.float32, False, ""),
    "activations": ([Pooling(WIDTH)] + [dense(WIDTH, WIDTH, a) for a in (nn.Sigmoid(), nn.LeakyReLU(), nn.ReLU6(), nn.Mish(), nn.Hardswish())],
                    torch.float32, False, ""),
    "several": ([Pooling(WIDTH, ALL)], torch.float32, False, ""),
    "several_old": ([Pooling(WIDTH, ["max", "mean"]), dense(2 * WIDTH, 6)], torch.float32, True, ""),
    "prompt": ([Pooling(WIDTH, ["weightedmean", "max", "cls"], include_prompt=False), Normalize()], torch.float32, False, "query: w5 "),
    "layer_norm": ([Pooling(WIDTH), LayerNorm(WIDTH), Normalize()], torch.float32, False, ""),
    "layer_norm_old": ([Pooling(WIDTH), Normalize(), LayerNorm(WIDTH)], torch.float16, True, ""),
    "normalize": ([Normalize(TOKENS), Pooling(WIDTH), Normalize(), dense(WIDTH, 12), Normalize(), Normalize()], torch.float32, False, ""),
    "idle": ([Normalize(), Pooling(WIDTH), Normalize(TOKENS)], torch.float32, False, ""),
    "tokens": ([dense(WIDTH, 24, nn.Tanh(), module_input_name=TOKENS), Pooling(24, ["mean", "lasttoken"])], torch.float32, False, ""),
}


def spread(name):
    """Scale and shift of a weight."""
    is_norm = name.endswith(("norm.weight", "LayerNorm.weight"))
    return (0.2, 1.0) if is_norm else (0.5, 0.0) if name.startswith("linear") or name.startswith("residual") else (0.3, 0.0)


def fill(folder, dtype):
    tensors = []
    for path in sorted(folder.rglob("model.safetensors")):
        file = str(path.relative_to(folder))
        made = {}
        for name, t in sorted(load_file(path).items()):
            if not t.is_floating_point():
                continue
            kind = dtype if "/" in file else torch.float32
            scale, shift = spread(name)
            made[name] = torch.from_numpy(weight(f"{file}:{name}", t.shape, scale, shift)).to(kind)
            tensors.append({"file": file, "name": name, "shape": list(t.shape), "scale": scale, "shift": shift,
                            "dtype": {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}[kind]})
        save_file(made, path, metadata={"format": "pt"})
    return tensors


def in_old_words(folder):
    path = folder / "modules.json"
    modules = json.loads(path.read_text())
    for m in modules:
        kind = m["type"].rsplit(".", 1)[1]
        m["type"] = OLD[kind]
        config = folder / m["path"] / "config.json"
        if kind == "Pooling":
            c = json.loads(config.read_text())
            modes = c["pooling_mode"] if isinstance(c["pooling_mode"], list) else [c["pooling_mode"]]
            old = {"word_embedding_dimension": c["embedding_dimension"], "include_prompt": c.get("include_prompt", True)}
            config.write_text(json.dumps(old | {flag: mode in modes for mode, flag in FLAGS.items()}))
        if kind == "Dense":
            c = json.loads(config.read_text())
            config.write_text(json.dumps({k: c[k] for k in ("in_features", "out_features", "bias", "activation_function")}))
        if kind == "Normalize":
            config.unlink()
    path.write_text(json.dumps(modules))


def make(name, modules, dtype, old, prompt):
    with tempfile.TemporaryDirectory() as t:
        base, folder = Path(t) / "base", Path(t) / "model"
        base.mkdir()
        (base / "vocab.txt").write_text("\n".join(WORDS) + "\n")
        BertTokenizer(str(base / "vocab.txt")).save_pretrained(base)
        BertModel(BertConfig(vocab_size=len(WORDS), hidden_size=WIDTH, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24,
                             max_position_embeddings=40), add_pooling_layer=False).save_pretrained(base)
        SentenceTransformer(modules=[Transformer(str(base))] + modules).save(str(folder), create_model_card=False)
        tensors = fill(folder, dtype)
        if old:
            in_old_words(folder)
        model = SentenceTransformer(str(folder), device="cpu")
        vectors = model.encode(TEXTS, prompt=prompt or None, convert_to_numpy=True).astype(float)
        files = {str(p.relative_to(folder)): p.read_text() for p in sorted(folder.rglob("*.json"))}
        return {"name": name, "files": files, "tensors": tensors, "prompt": prompt,
                "vectors": [[round(x, 6) for x in v] for v in vectors.tolist()]}


def main():
    torch.manual_seed(1)
    OUT.mkdir(exist_ok=True)
    made = [make(name, *case) for name, case in CASES.items()]
    shared = {k: v for k, v in made[0]["files"].items() if all(m["files"].get(k) == v for m in made)}
    for m in made:
        m["files"] = {k: v for k, v in m["files"].items() if k not in shared}
    (OUT / "golden.json").write_text(json.dumps({"texts": TEXTS, "shared": shared, "cases": made}, indent=0, ensure_ascii=False) + "\n")


main()
