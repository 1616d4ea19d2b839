#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares nib with the `tokenizers` library (PyPI) on generated lines: ids, types, offsets and decoded text, of texts and of pairs.
Nothing is written; counts are printed for each tokenizer, and the first differences. Exit 1 if there is one.

In: a build folder with test/text_tool. The tokenizers are those of make_text_goldens.py's `families`, small, and trained on text that the
seed makes; or, with --file, one tokenizer.json. Lines are of many languages, code, emoji, all blocks of Unicode, white space, bytes that
are no UTF-8.

    python3 tools/compare_tokenizers.py build 1 100000
    python3 tools/compare_tokenizers.py build 1 100000 --only gpt2
    python3 tools/compare_tokenizers.py build 1 100000 --file tokenizer.json
"""
import argparse
import array
import json
import os
import random
import struct
import subprocess
import sys
import tempfile

from tokenizers import Tokenizer

from make_text_goldens import decode, families, sample_lines


def run(tool, verb, path, records, *more):
    return subprocess.run([tool, verb, path, *more], input=records, stdout=subprocess.PIPE, check=True).stdout


def record(data):
    return struct.pack("=I", len(data)) + data


def our_encodings(tool, path, inputs, pair):
    out = array.array("i", run(tool, "encode", path, b"".join(record(d) for texts in inputs for d in texts), "0", *(["pair"] if pair else [])))
    at = 0
    for _ in inputs:
        n = out[at]
        yield [tuple(out[at + 2 + 4 * i:at + 6 + 4 * i]) for i in range(max(n, 0))] if n >= 0 else None
        at += 2 + 4 * max(n, 0)


def their_encoding(tokenizer, texts):
    read = [decode(d) for d in texts]
    try:
        e = tokenizer.encode(*[t for t, _ in read])
    except BaseException as problem:  # the library panics at some of what it is given
        if isinstance(problem, KeyboardInterrupt):
            raise
        return None
    rows = []
    for i, t, (a, b), which in zip(e.ids, e.type_ids, e.offsets, e.sequence_ids):
        rows.append((i, t, 0, 0) if which is None else (i, t, read[which][1][a], read[which][1][b]))
    return rows


def compare(tool, name, text, lines, shown):
    tokenizer = Tokenizer.from_str(text)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    wrong = failed = 0
    with tempfile.NamedTemporaryFile("w", suffix=".json") as f:
        f.write(tokenizer.to_str())
        f.flush()
        all_ids = []
        for pair in (False, True):
            inputs = [(a, b) for a, b in zip(lines[::2], lines[1::2])] if pair else [(a,) for a in lines]
            for texts, ours in zip(inputs, our_encodings(tool, f.name, inputs, pair)):
                theirs = their_encoding(tokenizer, texts)
                if theirs is None:
                    failed += 1
                    continue
                if not pair:
                    all_ids.append([row[0] for row in theirs])
                if ours != theirs:
                    wrong += 1
                    if shown > 0:
                        shown -= 1
                        k = next((i for i, (x, y) in enumerate(zip(ours or [], theirs)) if x != y), -1)
                        print("  %s: %r\n    token %d: ours %s, theirs %s (%d and %d tokens)" % (
                            name, texts, k, (ours or [])[k:k + 3], theirs[k:k + 3], len(ours or []), len(theirs)))
        undecoded = 0
        for skip in (False, True):
            out = run(tool, "decode", f.name, b"".join(record(struct.pack("=%di" % len(i), *i)) for i in all_ids), *(["skip"] if skip else []))
            at = 0
            for ids in all_ids:
                n = struct.unpack_from("=I", out, at)[0]
                ours = out[at + 4:at + 4 + n]
                at += 4 + n
                try:
                    theirs = tokenizer.decode(ids, skip_special_tokens=skip).encode()
                except BaseException as problem:
                    if isinstance(problem, KeyboardInterrupt):
                        raise
                    continue
                if ours != theirs:
                    undecoded += 1
                    if shown > 0:
                        shown -= 1
                        print("  %s: decode %s: ours %r, theirs %r" % (name, ids[:20], ours[:80], theirs[:80]))
    print("%-34s %7d texts, %7d pairs: %d encoded differently, %d decoded differently, %d that the library fails at" % (
        name, len(lines), len(lines) // 2, wrong, undecoded, failed), flush=True)
    return wrong + undecoded


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("seed", type=int)
    parser.add_argument("lines", type=int)
    parser.add_argument("--only", default="")
    parser.add_argument("--file")
    parser.add_argument("--show", type=int, default=3)
    args = parser.parse_args()
    lines = sample_lines(random.Random(args.seed), args.lines)
    tool = os.path.join(args.build, "test", "text_tool")
    if args.file:
        with open(args.file) as f:
            tokenizers = [(args.file, f.read())]
    else:
        tokenizers = [(n, t) for n, t in families() if args.only in n]
    sys.exit(1 if sum(compare(tool, n, t, lines, args.show) for n, t in tokenizers) else 0)


if __name__ == "__main__":
    main()
