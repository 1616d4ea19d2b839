#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""nib q8 and ONNX Runtime INT8 on the shapes of well-known encoders, with random weights and fewer layers, alternating in one run: tokens a
second on texts of log-normal lengths in batches of 32, sorted by length and not. Padding does not count as tokens.

    bench/shapes.py FOLDER [--layers 4] [--threads 1] [--turns 5] [--texts 64] [--only xlm-r-large,...]

FOLDER keeps the models that are made (torch, transformers), as folders and as TorchScript's exporter writes them, quantized by
quantize_dynamic (weights per channel). Ratios are medians of those of a turn.
"""
import argparse
import pathlib
import statistics
import time

import engines
import nibc
import numpy as np

V = 8000
SHAPES = {  # hidden, heads, inner; words of the config
    "xlm-r-large": ("xlm-roberta", 1024, 16, 4096, {}),
    "deberta-v3-base": ("deberta-v2", 768, 12, 3072, dict(relative_attention=True, position_buckets=256, norm_rel_ebd="layer_norm",
                                                          share_att_key=True, pos_att_type=["p2c", "c2p"], type_vocab_size=0,
                                                          position_biased_input=False)),
    "qwen3-0.6b": ("qwen3", 1024, 16, 3072, dict(num_key_value_heads=8, head_dim=128)),
    "nomic-137m": ("nomic_bert", 768, 12, 3072, {}),
    "gte-moderncolbert": ("modernbert", 768, 12, 1152, dict(cls_token_id=2, sep_token_id=3, bos_token_id=2, eos_token_id=3)),
}


def encoder(name, layers):
    """The encoder with random weights, the same ones each time."""
    import torch
    import transformers

    kind, hidden, heads, inner, more = SHAPES[name]
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(kind, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
                                               intermediate_size=inner, vocab_size=V, max_position_embeddings=514, pad_token_id=1, **more)
    return transformers.AutoModel.from_config(config, attn_implementation="eager").eval()


def make(folder, name, layers):
    import torch
    from onnxruntime.quantization import QuantType, quantize_dynamic

    done = folder / "int8.onnx"
    if done.exists():
        return
    model = encoder(name, layers)
    config = model.config
    model.save_pretrained(folder)

    class Wrapped(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, ids, mask):
            kw = {"use_cache": False} if hasattr(config, "use_cache") and config.model_type == "qwen3" else {}
            return self.model(input_ids=ids, attention_mask=mask, **kw)[0]

    names, x = ["input_ids", "attention_mask"], torch.ones(2, 16, dtype=torch.int64)
    axes = {n: {0: "batch", 1: "seq"} for n in names + ["last_hidden_state"]}
    with torch.no_grad():
        torch.onnx.export(Wrapped(), (x + 5, x), str(folder / "f32.onnx"), input_names=names, output_names=["last_hidden_state"],
                          opset_version=17, dynamo=False, dynamic_axes=axes)
    quantize_dynamic(str(folder / "f32.onnx"), str(done), weight_type=QuantType.QInt8, per_channel=True)


class Runtime:
    def __init__(self, path, threads):
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 3
        self.session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def prepare(self, rows):
        return engines.padded(rows)

    def ids(self, prepared):
        ids, mask = prepared
        return engines.pooled(self.session.run(None, {"input_ids": ids, "attention_mask": mask})[0], mask)


class Nib:
    def __init__(self, folder, precision, threads):
        self.model = nibc.Model(folder, precision, threads)
        self.prepare, self.ids = self.model.prepare, self.model.embed_ids


def seconds(engine, prepared):
    begun = time.perf_counter()
    for batch in prepared:
        engine.ids(batch)
    return time.perf_counter() - begun


def main():
    p = argparse.ArgumentParser()
    p.add_argument("folder", type=pathlib.Path)
    for option, value in (("layers", 4), ("threads", 1), ("turns", 5), ("texts", 64)):
        p.add_argument(f"--{option}", type=int, default=value)
    p.add_argument("--only", default=",".join(SHAPES))
    a = p.parse_args()
    print(f"{engines.machine()}; {a.layers} layers, {a.threads} threads, {a.texts} texts, {a.turns} turns")
    print("\n| | | nib q8 | ONNX Runtime INT8 | ratio |\n|---|---|---|---|---|")
    for name in a.only.split(","):
        folder = a.folder / f"{name}-{a.layers}"
        folder.mkdir(parents=True, exist_ok=True)
        make(folder, name, a.layers)
        rng = np.random.default_rng(1)
        lengths = np.clip(rng.lognormal(4.0, 0.8, a.texts), 4, 256).astype(int)
        rows = [rng.integers(5, V, n).tolist() for n in lengths]
        both = {"nib": Nib(folder, "q8", a.threads), "ort": Runtime(folder / "int8.onnx", a.threads)}
        for order in ("sorted", "unsorted"):
            texts = sorted(rows, key=len, reverse=True) if order == "sorted" else rows
            batches = [texts[i : i + 32] for i in range(0, len(texts), 32)]
            given = {k: [e.prepare(b) for b in batches] for k, e in both.items()}
            for k, e in both.items():
                seconds(e, given[k])
            took = [{k: seconds(e, given[k]) for k, e in both.items()} for _ in range(a.turns)]
            rate = {k: sum(lengths) / statistics.median(t[k] for t in took) for k in both}
            ratio = statistics.median(t["ort"] / t["nib"] for t in took)
            print(f"| {name} | {order} | {rate['nib']:,.0f} | {rate['ort']:,.0f} | {ratio:.2f}x |", flush=True)


if __name__ == "__main__":
    main()
