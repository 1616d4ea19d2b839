#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Where the error of 8-bit arithmetic comes from, and how small it can get: PyTorch rounds as nib's q8 does (rows to u8 with a scale and
zero point each, weights to s8 with a scale a column, the columns of a norm's output balanced by powers of two), in all Linears, in
weights or rows alone, in one kind of Linear alone, and with weights rounded by GPTQ on the very texts that are measured, which no
quantizer without calibration can reach. Attention stays f32. Needs torch and transformers.

    tools/measure_q8_error.py models/all-MiniLM-L6-v2 [TEXTS]     (default: test/data/embed/texts.txt, lines over 60 bytes)
"""
import pathlib
import sys
import warnings

import torch
import transformers

ROOT = pathlib.Path(__file__).resolve().parent.parent
KINDS = {"queries, keys": ("query", "key"), "values": ("value",), "attention's output": ("attention.output",), "ffn up": ("intermediate",),
         "ffn down": tuple(f"layer.{i}.output" for i in range(64))}


def round_rows(x):
    low, high = x.amin(-1, keepdim=True).clamp(max=0), x.amax(-1, keepdim=True).clamp(min=0)
    scale = ((high - low) / 255).clamp(min=1e-30)
    zero = (-low / scale).round()
    return ((x / scale).round() + zero).clamp(0, 255).sub(zero) * scale


def scales_of(w):
    return (w.abs().amax(1, keepdim=True) / 127).clamp(min=1e-30)


def round_weight(w):
    return (w / scales_of(w)).round() * scales_of(w)


def gptq(w, second_moment, block=64):
    """Frantar et al., 2022: what rounding a weight loses is made up for by those not rounded yet."""
    n = w.shape[1]
    h = second_moment + torch.eye(n, dtype=torch.float64) * (torch.diagonal(second_moment).mean() * 0.005)
    inverse = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(h)), upper=True).float()
    w, scale, out = w.clone(), scales_of(w), torch.zeros_like(w)
    for first in range(0, n, block):
        last = min(first + block, n)
        part, lost = w[:, first:last].clone(), torch.zeros_like(w[:, first:last])
        for j in range(last - first):
            k = first + j
            out[:, k] = ((part[:, j:j + 1] / scale).round().clamp(-127, 127) * scale)[:, 0]
            lost[:, j] = (part[:, j] - out[:, k]) / inverse[k, k]
            part[:, j + 1:] -= lost[:, j][:, None] * inverse[k, k + 1:last][None]
        w[:, last:] -= lost @ inverse[first:last, last:]
    return out


class Model:
    def __init__(self, path):
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(path)
        self.model = transformers.AutoModel.from_pretrained(path, attn_implementation="eager").eval()
        self.linears = {n: m for n, m in self.model.named_modules() if isinstance(m, torch.nn.Linear) and "pooler" not in n}
        self.weights = {n: m.weight.data.clone() for n, m in self.linears.items()}
        self.factors, self.hooks = {}, []

    def balance(self):
        """As src/quant/quant_smooth.c."""
        layers = self.model.encoder.layer
        for i, layer in enumerate(layers):
            before = layers[i - 1].output.LayerNorm if i else self.model.embeddings.LayerNorm
            for norm, names, carried in ((before, ("query", "key", "value"), "attention.self.value"),
                                         (layer.attention.output.LayerNorm, (), "intermediate.dense")):
                rows = 3 * norm.weight.detach().abs() + norm.bias.detach().abs()
                log2 = 0.5 * (rows.log2() - self.weights[f"encoder.layer.{i}.{carried}"].pow(2).sum(0).sqrt().log2())
                factor = 2.0 ** -(log2 - log2.mean()).round().clamp(-8, 8)
                for name in [f"attention.self.{n}" for n in names] or [carried]:
                    self.factors[f"encoder.layer.{i}.{name}"] = factor

    def set(self, rows, weight, kinds=None):
        """rows: round the rows of these Linears; weight(name, w): what becomes of a weight."""
        for hook in self.hooks:
            hook.remove()
        self.hooks = []
        for name, linear in self.linears.items():
            chosen = kinds is None or any(k + "." in name + "." for k in kinds)
            factor = self.factors.get(name) if chosen else None
            w = self.weights[name] if factor is None else self.weights[name] / factor
            linear.weight.data = weight(name, w) if chosen and weight else w.clone()

            def before(_, inputs, factor=factor, rounds=rows and chosen):
                x = inputs[0] if factor is None else inputs[0] * factor
                return (round_rows(x) if rounds else x,)

            self.hooks.append(linear.register_forward_pre_hook(before))

    def second_moments(self, texts):
        """Sums of x xT over all rows of all texts, x as it is when it is rounded."""
        sums = {}
        self.set(False, lambda _, w: w)
        hooks = []
        for name, linear in self.linears.items():
            def note(_, inputs, name=name):
                x = inputs[0].reshape(-1, inputs[0].shape[-1]).double()
                sums[name] = sums.get(name, 0) + x.T @ x
            hooks.append(linear.register_forward_pre_hook(note))
        self.embed(texts)
        for hook in hooks:
            hook.remove()
        return sums

    @torch.no_grad()
    def embed(self, texts):
        rows = [self.model(**self.tokenizer(t, return_tensors="pt", truncation=True, max_length=256)).last_hidden_state[0].mean(0) for t in texts]
        return torch.nn.functional.normalize(torch.stack(rows))


def neighbours_kept(a, b, k=10):
    near = []
    for x in (a, b):
        close = x @ x.T
        near.append(close.fill_diagonal_(-2).topk(k).indices.tolist())
    return sum(len(set(x) & set(y)) for x, y in zip(*near)) / (k * len(a))


def main():
    if not 2 <= len(sys.argv) <= 3:
        sys.exit(__doc__)
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    path = sys.argv[2] if len(sys.argv) > 2 else ROOT / "test/data/embed/texts.txt"
    with open(path, encoding="utf-8", errors="replace") as f:
        texts = [line.rstrip("\n") for line in f if len(line.encode()) > 61]
    model = Model(sys.argv[1])
    model.balance()
    model.set(False, None)
    exact = model.embed(texts)
    moments = model.second_moments(texts)
    cases = [("all Linears", True, lambda _, w: round_weight(w), None), ("weights alone", False, lambda _, w: round_weight(w), None),
             ("rows alone", True, None, None)]
    cases += [(f"{kind}: {side}", side == "rows", (lambda _, w: round_weight(w)) if side == "weights" else None, names)
              for kind, names in KINDS.items() for side in ("weights", "rows")]
    cases.append(("all, weights by GPTQ on these texts", True, lambda n, w: gptq(w, moments[n]), None))
    print(f"{len(texts)} texts; 1 - cosine to f32, mean and worst; share of the ten nearest neighbours that are kept")
    for name, rows, weight, kinds in cases:
        model.set(rows, weight, kinds)
        got = model.embed(texts)
        off = 1 - (got * exact).sum(1)
        print(f"{name:36} {off.mean():.6f} {off.max():.6f} {neighbours_kept(exact, got):.4f}", flush=True)


if __name__ == "__main__":
    main()
