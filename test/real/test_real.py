#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Real files, which `tools/setup model` and `tools/setup real` fetch, against test/data/real/golden.json (tools/make_real_goldens.py):
ids as tokenizers has them, vectors as sentence-transformers, transformers and ONNX Runtime do. A file that is missing fails.

usage: test_real.py NIB SOURCE_FOLDER
"""
import json
import math
import os
import pathlib
import struct
import subprocess
import sys
import tempfile

nib, root = os.path.realpath(sys.argv[1]), pathlib.Path(sys.argv[2]).resolve()
REAL, MINILM = root / ".deps/real", root / "models/all-MiniLM-L6-v2"
golden = json.loads((root / "test/data/real/golden.json").read_text())
TEXTS = golden["texts"]
failed = 0


def check(true, what):
    global failed
    if not true:
        failed += 1
        print("FAILED:", what)


def lines(*args):
    """JSON of each text's line."""
    done = subprocess.run([nib, *map(str, args), *TEXTS], capture_output=True, text=True)
    check(done.returncode == 0, f"nib {args[0]}: {done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def same_ids(what, folder, want):
    for text, ids in zip(TEXTS, want):
        done = subprocess.run([nib, "tokenize", "--json", folder, text], capture_output=True, text=True)
        check(done.returncode == 0 and json.loads(done.stdout)["texts"][0]["ids"] == ids, f"{what}, {text!r}: {done.stdout[:300]}{done.stderr}")


def same_vectors(what, got, want, within):
    check(len(got) == len(want), f"{what}: {len(got)} vectors")
    for text, a, b in zip(TEXTS, got, want):
        largest = max(map(abs, b), default=0) or 1
        worst = max(abs(x - y) for x, y in zip(a, b)) / largest if len(a) == len(b) else math.inf
        check(worst <= within, f"{what}, {text!r}: differs by {worst:.3g} of its largest number")


def npy(path, dtype, shape, values):
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + struct.pack(f"<{len(values)}q", *values))


def rows_of(path):
    data = path.read_bytes()
    begin = 10 + struct.unpack("<H", data[8:10])[0]
    return struct.unpack(f"<{(len(data) - begin) // 4}f", data[begin:])


def encoder(folder):
    """The file as it is, whose operators round to 8 bits as ONNX Runtime's do: a last bit in front of a rounding is a step behind it."""
    span = REAL / "traceforge_title_model/data/span"
    for text, ids, want in zip(TEXTS, golden["span"]["ids"], golden["span"]["means"]):
        npy(folder / "ids.npy", "<i8", (1, len(ids)), ids)
        npy(folder / "mask.npy", "<i8", (1, len(ids)), [1] * len(ids))
        done = subprocess.run([nib, "run", span / "encoder.onnx", "--input", f"input_ids={folder}/ids.npy", "--input",
                               f"attention_mask={folder}/mask.npy", "--output-dir", folder / "out"], capture_output=True, text=True)
        check(done.returncode == 0, done.stderr)
        rows = rows_of(folder / "out/last_hidden_state.npy")
        mean = [sum(rows[k::512]) / len(ids) for k in range(512)]
        check(cosine(mean, want) > 0.9995, f"T5 encoder, {text!r}: cosine {cosine(mean, want):.6f}")


def static(folder):
    (folder / "model.safetensors").symlink_to(REAL / "wordllama/weights/l2_supercat_256.safetensors")
    (folder / "tokenizer.json").symlink_to(REAL / "wordllama/tokenizers/l2_supercat_tokenizer_config.json")
    kind = "sentence_transformers.sentence_transformer.modules.static_embedding.StaticEmbedding"
    (folder / "modules.json").write_text(json.dumps([{"idx": 0, "name": "0", "path": "", "type": kind}]))
    same_vectors("wordllama", [line["embedding"] for line in lines("embed", "--quiet", "--model", folder)], golden["wordllama"], 1e-5)


def minilm():
    got = [line["embedding"] for line in lines("embed", "--quiet", "--model", MINILM)]
    same_vectors("all-MiniLM-L6-v2", got, golden["minilm"]["vectors"], 1e-5)
    rows = [[row[0] for row in line["embedding"]] for line in lines("embed", "--tokens", "--quiet", "--model", MINILM)]
    same_vectors("all-MiniLM-L6-v2, tokens", rows, golden["minilm"]["firsts"], 1e-4)


same_ids("email-signature-detector", REAL / "email_signature_detector/model/tokenizer", golden["signatures"])
same_ids("traceforge-title-model", REAL / "traceforge_title_model/data/span", golden["span"]["ids"])
with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
    encoder(pathlib.Path(one))
    static(pathlib.Path(other))
minilm()
sys.exit(failed > 0)
