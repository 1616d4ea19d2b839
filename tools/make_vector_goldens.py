#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes test/data/vectors: small vectors, what sentence-transformers' quantize_embeddings makes of them, and how near it
finds them (util.*_sim, semantic_search, and the rescoring of semantic_search_faiss).

usage: make_vector_goldens.py

Needs sentence-transformers and numpy.
"""
import pathlib

import numpy as np
import torch
from sentence_transformers import util
from sentence_transformers.util.quantization import _dequantize_embeddings, quantize_embeddings

OUT = pathlib.Path(__file__).resolve().parent.parent / "test/data/vectors"
N, QUERIES, WIDTH, CUT, TOP, TIMES = 40, 3, 100, 52, 5, 4


def save(name, array):
    np.save(OUT / f"{name}.npy", np.ascontiguousarray(array))


def unit(rows):
    return torch.nn.functional.normalize(torch.from_numpy(rows), p=2, dim=-1).numpy()


def top(scores, count):
    """The best, of equals the first."""
    return np.stack([np.lexsort((np.arange(scores.shape[1]), -row))[:count] for row in scores])


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(7)
    rows = random.normal(size=(N, WIDTH)).astype(np.float32)
    rows[3] = 0  # no direction
    rows[:, 5] = 0  # a column whose range is empty
    rows[7] = rows[2]  # as near as another
    queries = (rows[[1, 2, 9]] + random.normal(size=(QUERIES, WIDTH)) * 0.7).astype(np.float32)
    calibration = random.normal(size=(60, WIDTH)).astype(np.float32)
    calibration[:, 6] = 0.5
    ranges = np.vstack((calibration.min(axis=0), calibration.max(axis=0)))
    save("rows", rows)
    save("queries", queries)
    save("calibration", calibration)
    save("ranges", ranges)
    save("unit_cut", unit(rows[:, :CUT]))
    save("float16", rows.astype(np.float16))
    stored = {p: quantize_embeddings(rows, p, ranges=ranges) for p in ("int8", "uint8")}
    stored |= {p: quantize_embeddings(rows, p) for p in ("binary", "ubinary")}
    stored["own"] = quantize_embeddings(rows, "int8")  # ranges of the rows themselves
    for name, array in stored.items():
        save(name, array)
    for name in ("cos", "dot", "euclidean", "manhattan"):
        call = getattr(util, f"{name}_sim", None) or getattr(util, f"{name}_score")
        save(f"sim_{name}", call(torch.from_numpy(queries), torch.from_numpy(rows)).numpy())
    found = util.semantic_search(torch.from_numpy(queries), torch.from_numpy(rows), top_k=TOP)
    save("search", np.array([[hit["score"] for hit in hits] for hits in found]))
    # As semantic_search_faiss goes about it, without faiss.
    bits = np.unpackbits(stored["ubinary"], axis=-1)[:, :WIDTH].astype(int)
    asked = (queries > 0).astype(int)
    hamming = -(asked[:, None, :] != bits[None]).sum(axis=-1)
    save("hamming", hamming.astype(np.int64))
    candidates = top(hamming, TOP * TIMES)
    scores = np.einsum("ij,ikj->ik", queries, bits[candidates]).astype(np.float64)
    best = top(scores, TOP)
    save("rescored_at", np.take_along_axis(candidates, best, axis=1).astype(np.int64))
    save("rescored", np.take_along_axis(scores, best, axis=1))
    wide = _dequantize_embeddings(stored["int8"].astype(int), "int8", ranges)
    save("int8_dot", np.einsum("ij,kj->ik", queries, wide))
    print(f"{OUT}: {sum(p.stat().st_size for p in OUT.glob('*.npy'))} bytes")


main()
