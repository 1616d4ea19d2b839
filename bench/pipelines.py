#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""nib beside what people call from Python, alternating in one run: the script of Optimum's guides (transformers'
pipeline("text-classification") on one long text 100 times), the same on texts of mixed lengths; CrossEncoder.rank and
MultiVectorEncoder of sentence-transformers; fastembed. From texts to scores or vectors, tokenizing included.

    bench/pipelines.py FOLDER [--model models/all-MiniLM-L6-v2] [--threads 1,2] [--turns 3] [--texts 16]
                              [--only classify,rank,embed,colbert]

FOLDER keeps models of known sizes with random weights and the tokenizer of --model; fastembed gets --model itself, as
`nib export` writes it. A peer whose packages are not there is left out. Answers are compared first: nib in f32 must
give those of the first row, or there are no figures. A cell is milliseconds a text, and in brackets how many times as
fast as the first row: medians over the turns, and of the ratios within a turn.
"""
import argparse
import ctypes as c
import importlib.util
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

import engines
import nibc
import numpy as np
from texts import mixed, words_beside

PRECISIONS = ("f32", "bf16", "q8")
QUERY = "who publishes the model and which texts was it trained on?"
WIDTH = 0.04  # standard deviation of random weights
CALLS = 100  # of the one long text, as in the guides


class Ranked(c.Structure):
    _fields_ = [("index", c.c_size_t), ("score", c.c_float)]


class Nib(nibc.Model):
    def strings(self, texts):
        return (c.c_char_p * len(texts))(*[t.encode() for t in texts]), c.c_size_t(len(texts))

    def classify(self, texts):
        self.lib.nib_model_label_count.restype = c.c_int64
        out = np.empty((len(texts), self.lib.nib_model_label_count(self.model)), np.float32)
        pointers, n = self.strings(texts)
        scores = out.ctypes.data_as(c.c_void_p)
        self.check(self.lib.nib_classify(self.model, pointers, None, n, None, scores, c.byref(self.error)))
        return out

    def rank(self, texts):
        pointers, n = self.strings(texts)
        ranked, count, out = (Ranked * len(texts))(), c.c_size_t(), np.empty((len(texts), 1), np.float32)
        query, places = QUERY.encode(), c.byref(count)
        self.check(self.lib.nib_rank(self.model, query, pointers, n, None, ranked, places, c.byref(self.error)))
        for r in ranked:
            out[r.index] = r.score
        return out

    def vectors(self, texts):
        return np.ctypeslib.as_array(self.embed(texts)).reshape(len(texts), self.dim)


def random_model(a, name, architecture, config):
    """The folder of a model; its random weights are wider than training begins with, so that scores differ."""
    import torch
    import transformers

    folder = a.folder / name
    if (folder / "model.safetensors").exists():
        return folder
    torch.manual_seed(0)
    model = getattr(transformers, architecture)(config)
    model.save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)
    transformers.AutoTokenizer.from_pretrained(a.model, model_max_length=512).save_pretrained(folder)
    return folder


def distilbert(a):
    from transformers import DistilBertConfig

    config = DistilBertConfig(initializer_range=WIDTH)
    return random_model(a, "distilbert", "DistilBertForSequenceClassification", config)


def minilm(a):
    from transformers import BertConfig

    sizes = dict(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536)
    config = BertConfig(num_labels=1, initializer_range=WIDTH, **sizes)
    return random_model(a, "cross-encoder", "BertForSequenceClassification", config)


def nibs(folder, threads, what):
    models = {p: Nib(folder, p, threads, 512) for p in PRECISIONS}  # as long as the peers take them
    return {f"nib {p}": getattr(m, what) for p, m in models.items()}


def classify(a, threads):
    import torch
    import transformers

    folder, found = distilbert(a), {}
    for name, dtype in (("f32", torch.float32), ("bf16", torch.bfloat16)):
        pipe = transformers.pipeline("text-classification", model=str(folder), dtype=dtype, device="cpu",
                                     truncation=True, top_k=None)
        labels = sorted(pipe.model.config.label2id, key=pipe.model.config.label2id.get)

        def scores(texts, pipe=pipe, labels=labels):
            rows = [{r["label"]: r["score"] for r in row} for row in pipe(texts, batch_size=32)]
            return np.array([[row[label] for label in labels] for row in rows], np.float32)

        found[f"pipeline, torch {name}"] = scores
    return found | nibs(folder, threads, "classify")


def rank(a, threads):
    import torch
    from sentence_transformers import CrossEncoder

    folder, found = minilm(a), {}
    for name, dtype in (("f32", torch.float32), ("bf16", torch.bfloat16)):
        encoder = CrossEncoder(str(folder), device="cpu", model_kwargs={"dtype": dtype})

        def scores(texts, encoder=encoder):
            out = np.empty((len(texts), 1), np.float32)
            for r in encoder.rank(QUERY, texts):
                out[r["corpus_id"]] = float(r["score"])
            return out

        found[f"CrossEncoder, torch {name}"] = scores
    return found | nibs(folder, threads, "rank")


def embed(a, threads):
    from fastembed import TextEmbedding
    from fastembed.common.model_description import ModelSource, PoolingType

    exported = a.folder / "exported"
    if not (exported / "model.onnx").exists():
        subprocess.run([nibc.ROOT / "build/nib", "export", a.model, "-o", exported], check=True)
        for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
            shutil.copy(a.model / name, exported)
    if not any(m["model"] == "nib/exported" for m in TextEmbedding.list_supported_models()):
        TextEmbedding.add_custom_model(model="nib/exported", sources=ModelSource(hf="nib/exported"), dim=384,
                                       pooling=PoolingType.MEAN, normalization=True, model_file="model.onnx")
    model = TextEmbedding("nib/exported", specific_model_path=str(exported), threads=threads)
    peer = {"fastembed f32": lambda texts: np.array(list(model.embed(texts, batch_size=32)))}
    return peer | nibs(a.model, threads, "vectors")


def colbert(a, threads):
    import colbert as peer
    import shapes
    from sentence_transformers import MultiVectorEncoder

    folder = a.folder / "colbert"
    if not (folder / "model.safetensors").exists():
        shapes.encoder(peer.SHAPE, 6).save_pretrained(folder)
        peer.complete(folder)
    # It opens PyLate's folders; PyLate 1.6 itself wants transformers 5.3 or older.
    model = MultiVectorEncoder(str(folder), device="cpu")

    def rows(texts):
        return np.concatenate([r.numpy() for r in model.encode_document(texts, batch_size=32, show_progress_bar=False)])

    nib = {f"nib {p}": peer.Nib(folder, p, threads).rows_of for p in PRECISIONS}
    return {"MultiVectorEncoder, torch f32": rows} | nib


SECTIONS = {  # the packages it needs, its engines, whether answers are vectors, the title
    "classify": (("torch", "transformers"), classify, False, "Classifying, DistilBERT's size: transformers' pipeline"),
    "rank": (("torch", "sentence_transformers"), rank, False, "Ranking, MiniLM's size: CrossEncoder.rank"),
    "embed": (("fastembed",), embed, True, "Embedding, all-MiniLM-L6-v2: fastembed"),
    "colbert": (("torch", "sentence_transformers"), colbert, True, "Late interaction, ModernColBERT's size, 6 layers"),
}


def workloads(name, a):
    """Title -> the calls of a turn, each a list of texts."""
    if name == "colbert":  # its tokenizer has the words w7, w8, ..
        rng = np.random.default_rng(1)
        lengths = np.clip(rng.lognormal(4.0, 0.8, a.texts), 4, 256).astype(int)
        texts = [" ".join(f"w{i}" for i in rng.integers(7, 8000, n)) for n in lengths]
    else:
        texts = mixed(a.texts, words_beside(a.model))
    if name == "rank":
        return {"mixed lengths, one call": [texts]}
    batches = {"mixed lengths, 32 a call": [texts[i : i + 32] for i in range(0, len(texts), 32)]}
    if name == "colbert":
        return batches
    long = " ".join(words_beside(a.model)[:40])
    often = {f"one long text, {CALLS} times": [[long]] * max(1, CALLS // a.turns)} if name == "classify" else {}
    return often | {"mixed lengths, one a call": [[t] for t in texts]} | batches


def compare(found, texts, vectors):
    """Engine -> how far its answers are from the first one's; ends if nib's f32 is not at rounding distance."""
    answers = {name: engine(texts) for name, engine in found.items()}
    first, close = next(iter(answers.values())), {}
    for name, got in answers.items():
        if vectors:
            cosine = (got * first).sum(1) / np.linalg.norm(got, axis=1) / np.linalg.norm(first, axis=1)
            close[name], good = f"{cosine.mean():.5f}, {cosine.min():.5f}", cosine.min() > 0.9999
        else:
            apart = float(np.abs(got - first).max())
            close[name], good = f"{apart:.5f}", apart < 1e-4
        if name == "nib f32" and not good:
            sys.exit(f"nib f32 does not agree with {next(iter(answers))}: {close[name]}")
    return close, float(first.std(0).max())


def turn(found, batches):
    """Engine -> seconds of all calls."""
    took = {}
    for name, engine in found.items():
        begun = time.perf_counter()
        for batch in batches:
            engine(batch)
        took[name] = time.perf_counter() - begun
        time.sleep(0.05)  # threads of the last engine fall asleep
    return took


def section(name, a, threads):
    needs, make, vectors, title = SECTIONS[name]
    missing = [n for n in needs if importlib.util.find_spec(n) is None]
    if missing:
        print(f"\n{title}: {', '.join(missing)} not installed")
        return
    found, work = make(a, threads), workloads(name, a)
    close, spread = compare(found, [text for batch in list(work.values())[-1] for text in batch], vectors)
    cells = {}
    for kind, batches in work.items():
        turn(found, batches[:4])  # warms up
        took = [turn(found, batches) for _ in range(a.turns)]
        texts, base = sum(map(len, batches)), next(iter(found))
        for engine in found:
            ms = statistics.median(1e3 * t[engine] / texts for t in took)
            ratio = statistics.median(t[base] / t[engine] for t in took)
            cells[engine, kind] = f"{ms:.2f} ms ({ratio:.2f}x)"
    last = "cosine: mean, worst" if vectors else f"scores at most apart (among texts they vary by {spread:.3f})"
    print(f"\n{title}, {threads} thread{'s' if threads > 1 else ''}\n")
    print("| | " + " | ".join(work) + f" | {last} |")
    print("|---|" + "---|" * (len(work) + 1))
    for engine in found:
        print(f"| {engine} | " + " | ".join(cells[engine, kind] for kind in work) + f" | {close[engine]} |", flush=True)


def main():
    p = argparse.ArgumentParser(usage=__doc__)
    p.add_argument("folder", type=pathlib.Path)
    p.add_argument("--model", type=pathlib.Path, default=nibc.ROOT / "models/all-MiniLM-L6-v2")
    p.add_argument("--threads", default="1,2")
    p.add_argument("--turns", type=int, default=3)
    p.add_argument("--texts", type=int, default=16, help="of the mixed lengths")
    p.add_argument("--only", default=",".join(SECTIONS))
    a = p.parse_args()
    a.folder.mkdir(parents=True, exist_ok=True)
    print(f"{engines.machine()}; {engines.versions()}")
    print(f"`bench/pipelines.py FOLDER --threads {a.threads} --turns {a.turns} --texts {a.texts} --only {a.only}`")
    for threads in map(int, a.threads.split(",")):
        if importlib.util.find_spec("transformers"):
            import torch
            import transformers

            transformers.logging.set_verbosity_error()
            transformers.logging.disable_progress_bar()
            torch.set_num_threads(threads)
        for name in a.only.split(","):
            section(name, a, threads)


if __name__ == "__main__":
    main()
