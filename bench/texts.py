#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes lines of English words of mixed lengths (log-normal, from 3 to 180 words), the same for the same arguments.

usage: bench/texts.py COUNT [--words FILE] [--seed N] > texts.txt

The words are those of FILE (default: the README of the model that `make run` fetches). Lines do not repeat in practice.
"""
import argparse
import pathlib
import random
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def words_beside(model):
    """The words of a model's README; of MiniLM's, where a model has none (random weights)."""
    for folder in (model, ROOT / "models/all-MiniLM-L6-v2"):
        if (folder / "README.md").exists():
            return (folder / "README.md").read_text(encoding="utf-8").split()
    raise FileNotFoundError("no README.md to take words from: make run fetches the model that has one")


def mixed(count, words, seed=1):
    rng = random.Random(seed)
    return [" ".join(rng.choice(words) for _ in range(max(3, min(180, int(rng.lognormvariate(3.2, 0.9)))))) for _ in range(count)]


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("count", type=int)
    parser.add_argument("--words", type=pathlib.Path, default=ROOT / "models/all-MiniLM-L6-v2/README.md")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    for line in mixed(args.count, args.words.read_text(encoding="utf-8").split(), args.seed):
        sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
