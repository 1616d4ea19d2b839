#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes test/data/chunks: vectors of long texts, by transformers' windows, torch and numpy, of the model test/data/nib/tiny.

usage: make_chunk_goldens.py

Needs transformers and torch.
"""
import pathlib

import numpy as np
import torch
from transformers import AutoModel, PreTrainedTokenizerFast

DATA = pathlib.Path(__file__).resolve().parent.parent / "test/data"
TINY, OUT = DATA / "nib/tiny", DATA / "chunks"
TOKENS, OVERLAP, LONGEST = 8, 2, 16
TEXTS = ("a nib is the tip of a pen. the pen is of ink, a nib of a pen! is the ink of a pen the ink of a nib? a pen is a "
         "pen of ink. the tip is a nib", "ink", "a pen is of ink the tip is of a nib a pen a b c a nib pen tip")


def unit(rows):
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)


def windows(tokenizer, text, length, stride):
    return tokenizer(text, truncation=True, max_length=length, stride=stride, return_overflowing_tokens=True,
                     return_offsets_mapping=True)


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    model = AutoModel.from_pretrained(TINY, add_pooling_layer=False).eval()
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(TINY / "tokenizer.json"))

    def rows_of(ids):
        with torch.no_grad():
            return model(input_ids=torch.tensor([ids])).last_hidden_state[0].numpy()

    each, spans, offsets, late, combined = [], [], [0], [], {"mean": [], "max": [], "weighted": []}
    for text in TEXTS:
        cut = windows(tokenizer, text, TOKENS, OVERLAP)
        vectors = unit(np.stack([rows_of(ids).mean(axis=0) for ids in cut["input_ids"]]))
        n = len(vectors)
        each += list(vectors)
        spans += [(o[1][0], o[-2][1], len(o)) for o in cut["offset_mapping"]]
        offsets.append(offsets[-1] + n)
        weights = np.array([1 + min(i, n - 1 - i) for i in range(n)], dtype=np.float32)[:, None]
        combined["mean"].append(unit(vectors.mean(axis=0)))
        combined["max"].append(unit(vectors.max(axis=0)))
        combined["weighted"].append(unit((weights * vectors).sum(axis=0) / weights.sum()))
        # Günther et al., 2024, long late chunking: what a window shares with the one before is that one's.
        whole = windows(tokenizer, text, LONGEST, (LONGEST - 2) // 4)
        rows = np.concatenate([rows_of(ids)[1 + (k and (LONGEST - 2) // 4):-1]
                               for k, ids in enumerate(whole["input_ids"])])
        step, own = TOKENS - 2 - OVERLAP, TOKENS - 2
        late += [unit(rows[k * step:k * step + own].mean(axis=0)) for k in range(n)]
    for name, array in (("each", each), ("late", late), *combined.items()):
        np.save(OUT / f"{name}.npy", np.stack(array).astype(np.float32))
    np.save(OUT / "spans.npy", np.array(spans, dtype=np.int64))
    np.save(OUT / "offsets.npy", np.array(offsets, dtype=np.int64))


main()
