#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What nib export writes, run by ONNX Runtime: every family of test/data/families against what transformers computed, and a real
folder against nib.

    check_exports.py NIB [FOLDER]

Needs onnx, onnxruntime, numpy, torch, transformers (make_hf_goldens.py has the weights' formula), safetensors. For each of --opset 15,
17, 21, of --precision fp16 and bf16, and with pooling; FOLDER: sentence embeddings of texts, too. Exit 1 where something differs.
"""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import numpy as np
import onnx
import onnxruntime
from make_hf_goldens import weight
from safetensors.numpy import save_file

FAMILIES = Path(__file__).resolve().parent.parent / "test" / "data" / "families"
CASES = [([], 1e-4), (["--opset", "15"], 1e-4), (["--opset", "21"], 1e-4), (["--precision", "f32", "--external-over", "0"], 1e-4),
         (["--precision", "fp16"], 2e-2), (["--precision", "bf16"], 2e-1)]
nib = sys.argv[1]
failures = 0


def say(name, worst, most):
    global failures
    failures += not worst <= most
    print(f"{name:60} {worst:.1e}{'' if worst <= most else '  DIFFERS'}")


def export(folder, args):
    out = Path(tempfile.mkdtemp(dir=folder)) / "out"
    subprocess.run([nib, "export", str(folder), "-o", str(out), *args, "--quiet"], check=True)
    onnx.checker.check_model(str(out / "model.onnx"), full_check=True)
    return onnxruntime.InferenceSession(str(out / "model.onnx"), providers=["CPUExecutionProvider"])


def run(session, ids, mask, types):
    feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": ids % 2 if types else ids * 0}
    for i in session.get_inputs():
        assert i.shape == ["batch_size", "sequence_length"], i.shape
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(names, {i.name: feed[i.name] for i in session.get_inputs()})))


def difference(got, golden):
    rows, want = golden.get("rows"), np.array(golden["values"], np.float64)
    got = np.array([got[b, s] for b, s in rows]) if rows else got
    return np.abs(got.reshape(-1) - want).max() / np.abs(want).max()


def family(name):
    golden = json.loads((FAMILIES / name / "golden.json").read_text())
    with tempfile.TemporaryDirectory() as d:
        folder = Path(d)
        (folder / "config.json").write_text((FAMILIES / name / "config.json").read_text())
        save_file({n: weight(n, shape, scale, shift).astype(np.float32) for n, shape, scale, shift in golden["tensors"]},
                  str(folder / "model.safetensors"))
        for args, most in CASES:
            session, worst = export(folder, args), -1.0
            for batch in golden["batches"]:
                out = run(session, np.array(batch["ids"]), np.array(batch["mask"]), golden["types"])
                worst = max([worst] + [difference(out[k], g) for k, g in batch["outputs"].items() if k in out])
            assert worst >= 0, "no output of the golden's is there"
            say(f"{name} {' '.join(args)}", worst, most)
        session = export(folder, ["--with-pooling"])
        batch = golden["batches"][0]
        ids, mask = np.array(batch["ids"]), np.array(batch["mask"])
        out = run(session, ids, mask, golden["types"])
        assert list(out) == ["token_embeddings", "sentence_embedding"], list(out)
        mean = (out["token_embeddings"] * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
        say(f"{name} --with-pooling", np.abs(mean - out["sentence_embedding"]).max() / np.abs(mean).max(), 1e-5)


def answers(folder):
    """Of a head for answers both outputs, as transformers computes them."""
    import torch
    from transformers import AutoModelForQuestionAnswering

    ids = np.random.RandomState(0).randint(5, 50, (2, 9)).astype(np.int64)
    mask = np.array([[1] * 9, [1] * 6 + [0] * 3], np.int64)
    with tempfile.TemporaryDirectory() as d:
        subprocess.run([nib, "export", str(folder), "-o", d + "/out", "--quiet"], check=True)
        session = onnxruntime.InferenceSession(d + "/out/model.onnx", providers=["CPUExecutionProvider"])
        out = run(session, ids, mask, False)
        assert list(out) == ["start_logits", "end_logits"], list(out)
        feed = {i.name: torch.tensor({"input_ids": ids, "attention_mask": mask}.get(i.name, ids * 0)) for i in session.get_inputs()}
        with torch.no_grad():
            want = AutoModelForQuestionAnswering.from_pretrained(folder).eval()(**feed)
        for name, got in out.items():
            say(f"{folder.name} {name}", (np.abs(got - want[name].numpy()) * mask).max() / np.abs(got).max(), 1e-4)


def real(folder):
    texts = ["a pen of ink", "The nib is the tip of a pen, and it is cut to a point."]
    with tempfile.TemporaryDirectory() as d:
        subprocess.run([nib, "export", folder, "-o", d + "/out", "--with-pooling"], check=True)
        session = onnxruntime.InferenceSession(d + "/out/model.onnx", providers=["CPUExecutionProvider"])
        for text in texts:
            line = subprocess.run([nib, "embed", "--model", folder, text], check=True, capture_output=True, text=True).stdout
            again = subprocess.run([nib, "embed", "--model", d + "/out", text], check=True, capture_output=True, text=True).stdout
            said = subprocess.run([nib, "tokenize", "--model", folder, "--json", text], check=True, capture_output=True, text=True).stdout
            ids = np.array([json.loads(said)["texts"][0]["ids"]])
            feed = {"input_ids": ids, "attention_mask": ids * 0 + 1, "token_type_ids": ids * 0}
            got = session.run(["sentence_embedding"], {i.name: feed[i.name] for i in session.get_inputs()})[0][0]
            say(f"{folder}: ONNX Runtime, {text[:20]}", np.abs(got - json.loads(line)["embedding"]).max(), 1e-5)
            say(f"{folder}: nib on the file", np.abs(np.array(json.loads(again)["embedding"]) - json.loads(line)["embedding"]).max(), 1e-5)


for one in sorted(p.name for p in FAMILIES.iterdir() if p.is_dir()):
    family(one)
for one in sorted((FAMILIES.parent / "tasks").glob("answer-*")):
    answers(one)
for path in sys.argv[2:]:
    real(path)
sys.exit(failures > 0)
