#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes test/data/modules/golden.json: small folders of sentence-transformers' modules, and the vectors that it makes; and inputs.json:
what reads texts in place of a Transformer of its own, StaticEmbedding, Model2Vec and Router.

    python tools/make_st_goldens.py

Needs torch, transformers, sentence-transformers, model2vec. Each case has its files as texts, its weights as names, shapes and types, of which
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

import numpy as np
import torch
from make_hf_goldens import weight
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from model2vec import StaticModel
from sentence_transformers.base.modules import Dense, Router, Transformer
from sentence_transformers.sentence_transformer.modules import LayerNorm, Normalize, Pooling, StaticEmbedding
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
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


# ---- what reads texts

ROWS = 12  # of a table that tokens share
INPUT_TEXTS = ["w1 w2 w3", "W7, zzz w39", "zzz", " ".join(f"w{i * 7 % 40}" for i in range(700)), "", "é w5", "[CLS] w1 [SEP]"]


def tokenizer(kind):
    """With a template and a limit: the first is left out by both libraries, the second is sentence-transformers' own."""
    words = {w: i for i, w in enumerate(WORDS)}
    if kind == "unigram":
        t = Tokenizer(models.Unigram([(w, -1.0 - 0.01 * i) for w, i in words.items()] + [(f"▁w{i}", -2.0) for i in range(40)], unk_id=1))
        t.pre_tokenizer = pre_tokenizers.Metaspace()
    else:
        t = Tokenizer(models.WordPiece(words, unk_token="[UNK]"))
        t.normalizer = normalizers.BertNormalizer()
        t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    t.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    t.enable_padding()
    if kind == "short":
        t.enable_truncation(20)
    return t


KINDS = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.float64: "F64", torch.int8: "I8", torch.int64: "I64"}


def whole(shape, modulus, offset):
    n = int(np.prod(shape))
    return ((np.arange(n) * 7 + 3) % modulus + offset).reshape(shape)


def refill(folder):
    """Each weight by the formula that the test knows; each keeps its type."""
    tensors = []
    for path in sorted(folder.rglob("model.safetensors")):
        file = str(path.relative_to(folder))
        made = {}
        for name, t in sorted(load_file(path).items()):
            one = {"file": file, "name": name, "shape": list(t.shape), "dtype": KINDS[t.dtype]}
            if t.is_floating_point():
                scale, shift = spread(name)
                shift = 1.0 if name == "weights" else shift
                made[name] = torch.from_numpy(weight(f"{file}:{name}", t.shape, scale, shift)).to(t.dtype)
                one |= {"scale": scale, "shift": shift}
            elif name in ("mapping", "embeddings"):
                modulus, offset = (ROWS, 0) if name == "mapping" else (255, -127)
                made[name] = torch.from_numpy(whole(t.shape, modulus, offset)).to(t.dtype)
                one |= {"modulus": modulus, "offset": offset}
            else:
                continue
            tensors.append(one)
        save_file(made, path, metadata={"format": "pt"})
    return tensors


def golden(name, folder, tensors, encode, route=None):
    vectors = np.asarray(encode(), dtype=np.float64)
    files = {str(p.relative_to(folder)): p.read_text() for p in sorted(folder.rglob("*.json"))}
    return {"name": name, "files": files, "tensors": tensors, "prompt": "", "route": route,
            "vectors": [[round(x, 6) for x in v] for v in vectors.tolist()]}


def static(kind, dtype=torch.float32):
    t = tokenizer(kind)
    return StaticEmbedding(t, embedding_weights=torch.zeros(t.get_vocab_size(), WIDTH, dtype=dtype))


def make_static(name, modules, path=None):
    with tempfile.TemporaryDirectory() as d:
        folder = Path(d)
        SentenceTransformer(modules=modules).save(str(folder), create_model_card=False)
        if path:  # as the first module lay in older versions, or in the words of those
            (folder / path).mkdir()
            for file in ("model.safetensors", "tokenizer.json"):
                (folder / file).rename(folder / path / file)
            listed = json.loads((folder / "modules.json").read_text())
            listed[0] |= {"path": path, "type": "sentence_transformers.models.StaticEmbedding"}
            (folder / "modules.json").write_text(json.dumps(listed))
        tensors = refill(folder)
        model = SentenceTransformer(str(folder), device="cpu")
        return golden(name, folder, tensors, lambda: model.encode(INPUT_TEXTS, convert_to_tensor=True).double().numpy())


def make_model2vec(name, kind, dtype=np.float32, normalize=False, shared=False, weighted=False, max_length=512, alone=False):
    with tempfile.TemporaryDirectory() as d:
        folder = Path(d)
        t = tokenizer(kind)
        n = t.get_vocab_size()
        StaticModel(np.zeros((ROWS if shared else n, WIDTH), dtype), t, {"model_type": "model2vec", "tokenizer_name": "none"}, normalize,
                    weights=np.ones(n, np.float64) if weighted else None, token_mapping=np.zeros(n, np.int64) if shared else None,
                    max_length=max_length).save_pretrained(folder)
        (folder / "README.md").unlink(missing_ok=True)
        if alone:  # as versions before there was a modules.json
            (folder / "modules.json").unlink()
            config = json.loads((folder / "config.json").read_text())
            config.pop("max_length")
            (folder / "config.json").write_text(json.dumps(config))
        tensors = refill(folder)
        return golden(name, folder, tensors, lambda: StaticModel.from_pretrained(folder).encode(INPUT_TEXTS))


def transformer(at):
    (at / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    BertTokenizer(str(at / "vocab.txt")).save_pretrained(at)
    BertModel(BertConfig(vocab_size=len(WORDS), hidden_size=WIDTH, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24,
                         max_position_embeddings=40), add_pooling_layer=False).save_pretrained(at)
    return Transformer(str(at))


def make_routes(name, router, behind, routes, before=(), old=False):
    """A case for each route: the same folder, asked for another one."""
    with tempfile.TemporaryDirectory() as d:
        base, folder = Path(d) / "base", Path(d) / "model"
        base.mkdir()
        made = [f(base) for f in before] + [router(base)] + list(behind)
        SentenceTransformer(modules=made).save(str(folder), create_model_card=False)
        if old:
            listed = json.loads((folder / "modules.json").read_text())
            at = len(before)
            listed[at]["type"] = "sentence_transformers.models.Asym"
            (folder / "modules.json").write_text(json.dumps(listed))
            config = json.loads((folder / listed[at]["path"] / "router_config.json").read_text())
            config["parameters"] = {"allow_empty_key": config["parameters"]["allow_empty_key"]}
            (folder / listed[at]["path"] / "config.json").write_text(json.dumps(config))
            (folder / listed[at]["path"] / "router_config.json").unlink()
        tensors = refill(folder)
        model = SentenceTransformer(str(folder), device="cpu")
        return [golden(f"{name}_{route}", folder, tensors, lambda: model.encode(INPUT_TEXTS, task=route), route) for route in routes]


def inputs():
    f16, f64 = torch.float16, torch.float64
    return [
        make_static("static", [static("words")]),
        make_static("static_normalized", [static("unigram"), Normalize()]),
        make_static("static_short", [static("short"), dense(WIDTH, 8, nn.Tanh()), Normalize()]),
        make_static("static_folder", [static("words", torch.bfloat16)], "0_StaticEmbedding"),
        make_static("static_f64", [static("words", f64)]),
        make_model2vec("model2vec", "words"),
        make_model2vec("model2vec_normalized", "unigram", normalize=True, max_length=100),
        make_model2vec("model2vec_alone", "short", normalize=True, alone=True),
        make_model2vec("model2vec_f16", "words", np.float16, max_length=None),
        make_model2vec("model2vec_i8", "words", np.int8, normalize=True),
        make_model2vec("model2vec_shared", "words", shared=True, weighted=True, normalize=True),
        make_model2vec("model2vec_weighted", "words", np.float16, weighted=True),
    ] + make_routes(
        "router", lambda at: Router.for_query_document([static("words")], [transformer(at), Pooling(WIDTH, "cls")], default_route="document"),
        [Normalize()], ["query", "document", None],
    ) + make_routes(
        "mapped", lambda at: Router({"a": [dense(WIDTH, 8, nn.Tanh())], "b": [dense(WIDTH, 8), Normalize()]}, allow_empty_key=False,
                                    route_mappings={("query", None): "a", ("document", "text"): "b"}),
        [], ["query", "document", "b"], before=(transformer, lambda at: Pooling(WIDTH)),
    ) + make_routes(
        "asym", lambda at: Router({"query": [dense(WIDTH, 8, nn.Tanh())], "doc": [dense(WIDTH, 8)]}),
        [Normalize()], ["query", "doc", None], before=(transformer, lambda at: Pooling(WIDTH)), old=True,
    )


def write(file, texts, made):
    shared = {k: v for k, v in made[0]["files"].items() if all(m["files"].get(k) == v for m in made)}
    for m in made:
        m["files"] = {k: v for k, v in m["files"].items() if k not in shared}
    (OUT / file).write_text(json.dumps({"texts": texts, "shared": shared, "cases": made}, indent=0, ensure_ascii=False) + "\n")


def main():
    torch.manual_seed(1)
    OUT.mkdir(exist_ok=True)
    write("golden.json", TEXTS, [make(name, *case) for name, case in CASES.items()])
    write("inputs.json", INPUT_TEXTS, inputs())


main()
