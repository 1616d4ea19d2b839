#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Memory that optimizing a large model takes, beside the files it maps: a BERT of random weights, made in FOLDER (needs torch, transformers,
twice its size in memory and three times on the disk), as TorchScript's exporter writes it with its weights turned (one) or behind
Transposes (two, no folding), and as a Hugging Face folder (three). Prints, for each level, the most anonymous memory of the process
(RssAnon, polled) and the seconds it took.

    bench/large.py build/nib /tmp/large                 # 38 layers of 1280: 3.0 GB, weights beside the model's file
    bench/large.py build/nib /tmp/large --layers 24     # 1.9 GB, one file
"""
import argparse
import pathlib
import re
import shutil
import subprocess
import time

OPTIONS = (["-O1"], ["-O2"], ["-O2", "--target", "onnxruntime"], ["-O4"])


def make(folder, layers):
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.BertConfig(vocab_size=1000, hidden_size=1280, num_hidden_layers=layers, num_attention_heads=20,
                                     intermediate_size=5120, attn_implementation="eager")
    model = transformers.BertModel(config, add_pooling_layer=False).eval()
    names = ["input_ids", "attention_mask", "last_hidden_state"]

    class Tensors(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, input_ids, attention_mask):
            return self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state

    ids = torch.randint(5, 999, (1, 8))
    for kind, folds in (("one", True), ("two", False)):
        (folder / kind).mkdir(parents=True)
        torch.onnx.export(Tensors().eval(), (ids, torch.ones_like(ids)), str(folder / kind / "model.onnx"), input_names=names[:2],
                          output_names=names[2:], dynamic_axes={n: {0: "batch", 1: "tokens"} for n in names}, opset_version=17,
                          dynamo=False, do_constant_folding=folds)
    model.save_pretrained(folder / "three")


def most_memory(command):
    begun, most = time.time(), 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        while process.poll() is None:
            try:
                found = re.search(r"RssAnon:\s+(\d+) kB", pathlib.Path(f"/proc/{process.pid}/status").read_text())
            except OSError:
                break
            most = max(most, int(found[1]) * 1024 if found else 0)
            time.sleep(0.01)
        said = process.stdout.read()
    return most, time.time() - begun, process.returncode, said


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("nib")
    p.add_argument("folder", type=pathlib.Path)
    p.add_argument("--layers", type=int, default=38)
    a = p.parse_args()
    if not (a.folder / "three").exists():
        make(a.folder, a.layers)
    out = a.folder / "out"
    print(f"{'':34} {'MB':>6} {'s':>6}")
    for kind in ("one/model.onnx", "two/model.onnx", "three"):
        for options in OPTIONS:
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir()
            most, took, code, said = most_memory([a.nib, "optimize", str(a.folder / kind), "-o", str(out / pathlib.Path(kind).name), *options])
            why = "" if code == 0 and "differs by at most" in said else f"  exit {code}: {said[-300:]}"
            print(f"{kind:16} {' '.join(options):27} {most / 1e6:6.0f} {took:6.0f}{why}", flush=True)
    shutil.rmtree(out)


if __name__ == "__main__":
    main()
