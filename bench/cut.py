#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times nib and the `tokenizers` library (PyPI) on the same texts with the same tokenizer.json, one thread, alternating.

In: a build folder with test/text_tool. The texts are those of the Python that runs this: prose (its help topics), code (its library),
and mixed (test/data/text/multilingual.txt), in texts of about a thousand bytes. The vocabularies have the sizes of the models that
they are named after: one BPE of bytes and one of characters are trained on the same library, which takes minutes once, and are kept in
--cache; the smaller ones are the first merges of these, and Unigram's scores are those of Zipf's law.

Out: a row for each tokenizer and kind of text: MB/s of both (medians of the turns), and the median of the turns' ratios. "cold" is nib
without words that it remembers from texts before: a fresh encoding for each text.

    python3 bench/cut.py build [--only NAME] [--turns 5] [--cache build/bench]
"""
import argparse
import json
import math
import os
import pathlib
import pydoc_data.topics
import statistics
import subprocess
import sys
import sysconfig
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"

from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

from make_text_goldens import CHARSMAP, LLAMA3, O200K, QWEN2  # noqa: E402

TEXT_BYTES = 1000


def library():
    """The source of Python's library, in the order of its paths."""
    root = pathlib.Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(root.rglob("*.py")):
        if "site-packages" not in path.parts:
            yield path.read_text(encoding="utf-8", errors="ignore")


def cut(text, most):
    """Texts of about TEXT_BYTES, cut at ends of lines."""
    out, size = [[]], 0
    for line in text.splitlines(keepends=True):
        if size > TEXT_BYTES:
            out.append([])
            size = 0
        out[-1].append(line)
        size += len(line.encode())
        most -= len(line.encode())
        if most < 0:
            break
    return [t for t in ("".join(lines).replace("\0", " ") for lines in out) if t]


def texts():
    prose = "".join(pydoc_data.topics.topics.values())
    code = "".join(t for i, t in enumerate(library()) if i % 20 == 0)
    mixed = (ROOT / "test/data/text/multilingual.txt").read_text(encoding="utf-8", errors="ignore")
    return {"prose": cut(prose, 1 << 20), "code": cut(code, 1 << 20), "mixed": cut(mixed * (1 + (1 << 18) // len(mixed)), 1 << 19)}


def byte_level(pattern):
    if pattern is None:
        return pre_tokenizers.ByteLevel(add_prefix_space=False)
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"),
                                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def train(cache, name, size, pre, alphabet):
    """The model of a trained BPE, kept in `cache`."""
    path = cache / ("%s-%d.json" % (name, size))
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        t = Tokenizer(models.BPE())
        t.pre_tokenizer = pre
        more = [(ROOT / "test/data/text/multilingual.txt").read_text(encoding="utf-8", errors="ignore")] * 2
        t.train_from_iterator(list(library()) + more, trainers.BpeTrainer(
            vocab_size=size, min_frequency=1, initial_alphabet=alphabet, show_progress=False, max_token_length=24))
        path.write_text(t.to_str())
    return json.loads(path.read_text())["model"]


def bpe(model, size, pattern, **options):
    """The first tokens of a trained model; `pattern` None: GPT-2's, which ByteLevel has."""
    vocab = {t: i for t, i in model["vocab"].items() if i < size}
    merges = [m for m in model["merges"] if "".join(m if isinstance(m, list) else m.split(" ")) in vocab]
    t = Tokenizer.from_str(json.dumps({"version": "1.0", "model": dict(model, vocab=vocab, merges=merges, **options)}))
    t.pre_tokenizer = byte_level(pattern)
    return t.to_str()


def unigram(model, size):
    """XLM-R's kind: a charsmap, Metaspace, and scores by rank."""
    tokens = ["<s>", "<pad>", "</s>", "<unk>"] + [t for t, _ in sorted(model["vocab"].items(), key=lambda x: x[1])][:size - 4]
    by_length = sorted(range(4, len(tokens)), key=lambda i: (len(tokens[i]) > 1, i))
    scores = [0.0] * len(tokens)
    for rank, i in enumerate(by_length):  # single characters first
        scores[i] = -3.0 - 1.0 * math.log(rank + 1)
    return json.dumps({
        "version": "1.0",
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Precompiled", "precompiled_charsmap": CHARSMAP},
            {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "WhitespaceSplit"},
            {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True}]},
        "model": {"type": "Unigram", "unk_id": 3, "vocab": [[t, s] for t, s in zip(tokens, scores)], "byte_fallback": False}})


def tokenizers(cache):
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    of_bytes = train(cache, "bytes", 200000, byte_level(LLAMA3), alphabet)
    of_chars = train(cache, "chars", 250000, pre_tokenizers.Metaspace(), [])
    yield "WordPiece 30522", (ROOT / "test/data/text/minilm-tokenizer.json").read_text()
    yield "GPT-2 50257", bpe(of_bytes, 50257, None)
    yield "Llama-3 128256", bpe(of_bytes, 128256, LLAMA3, ignore_merges=True)
    yield "Qwen2 151643", bpe(of_bytes, 151643, QWEN2)
    yield "o200k 200000", bpe(of_bytes, 200000, O200K)
    yield "other pattern 128256", bpe(of_bytes, 128256, r"[A-Za-z]+|\p{L}+| ?\d+|[^\s\w]+|\s+(?!\S)|\s+")
    yield "XLM-R 250002", unigram(of_chars, 250002)


def ours(tool, path, data, seconds, how):
    out = subprocess.run([tool, "bench", path, data, str(seconds), how], stdout=subprocess.PIPE, check=True, text=True).stdout
    return float(out.split("texts")[1].split()[0]) if how == "texts" else float(out.split(how)[1].split()[0])


def theirs(tokenizer, batch, size, seconds):
    best, end = 1e9, time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        tokenizer.encode_batch(batch)
        best = min(best, time.perf_counter() - start)
    return size / best / 1e6


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--only", default="")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--cache", type=pathlib.Path)
    args = parser.parse_args()
    cache = args.cache or pathlib.Path(args.build) / "bench"
    tool = os.path.join(args.build, "test", "text_tool")
    kinds = texts()
    cache.mkdir(parents=True, exist_ok=True)
    print("%-22s %-6s %8s %8s %8s %7s %7s" % ("tokenizer", "text", "nib", "cold", "library", "ratio", "cold"))
    for name, text in tokenizers(cache):
        if args.only not in name:
            continue
        path = cache / (name.replace(" ", "-") + ".json")
        path.write_text(text)
        for kind, batch in kinds.items():
            data = cache / (kind + ".texts")
            data.write_bytes("\0".join(batch).encode())
            size = sum(len(t.encode()) for t in batch)
            tokenizer = Tokenizer.from_str(text)
            tokenizer.no_truncation()
            tokenizer.no_padding()
            rows = []
            for _ in range(args.turns):
                rows.append((ours(tool, path, data, args.seconds, "texts"), ours(tool, path, data, args.seconds, "cold"),
                             theirs(tokenizer, batch, size, args.seconds)))
            mid = [statistics.median(r[k] for r in rows) for k in range(3)]
            ratios = [statistics.median(r[k] / r[2] for r in rows) for k in range(2)]
            print("%-22s %-6s %8.1f %8.1f %8.1f %6.2fx %6.2fx" % (name, kind, *mid, *ratios), flush=True)


if __name__ == "__main__":
    main()
