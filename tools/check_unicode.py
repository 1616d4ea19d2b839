#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares nib with the `tokenizers` library (PyPI) over every code point; nothing is written, differences are printed.

In: the tool built from test/text/text_tool.c. For every scalar value and each of the 16 settings of BertNormalizer: the words
after BertPreTokenizer, their bytes and their spans, with each character between letters and with all in a row; then white
space and word characters as added tokens see them.

    python3 tools/check_unicode.py build/text_tool
"""
import itertools
import json
import os
import struct
import subprocess
import sys
import tempfile

from tokenizers import PreTokenizedString, Tokenizer, normalizers, pre_tokenizers

SCALARS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def run(tool, verb, config, inputs, *more):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as f:
        json.dump(config, f)
        f.flush()
        data = b"".join(struct.pack("=I", len(x)) + x for x in inputs)
        return subprocess.run([tool, verb, f.name, *more], input=data, stdout=subprocess.PIPE, check=True).stdout


def config(normalizer, added=()):
    return {"normalizer": normalizer, "pre_tokenizer": {"type": "BertPreTokenizer"}, "added_tokens": list(added),
            "model": {"type": "WordPiece", "vocab": {"[UNK]": 0, "a": 1}, "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                      "max_input_chars_per_word": 100}}


def our_words(tool, normalizer, texts):
    out, at, result = run(tool, "words", config(normalizer), [t.encode() for t in texts]), 0, []
    for _ in texts:
        (count,) = struct.unpack_from("=i", out, at)
        at, words = at + 4, []
        for _ in range(count):
            begin, end, n = struct.unpack_from("=iii", out, at)
            words.append((out[at + 12:at + 12 + n].decode(), begin, end))
            at += 12 + n
        result.append(words)
    return result


def their_words(normalizer, splitter, text):
    p = PreTokenizedString(text)
    p.normalize(normalizer.normalize)
    splitter.pre_tokenize(p)
    at = [0]
    for c in text:
        at.append(at[-1] + len(c.encode()))
    return [(w, at[a], at[b]) for w, (a, b), _ in p.get_splits(offset_referential="original", offset_type="char")]


def compare_words(tool):
    splitter, bad = pre_tokenizers.BertPreTokenizer(), 0
    blocks = [SCALARS[i:i + 256] for i in range(0, len(SCALARS), 256)]
    texts = ["".join("a%cb " % c for c in b) for b in blocks] + ["x" + "".join(map(chr, b)) + "y" for b in blocks]
    for flags in itertools.product((True, False), repeat=4):
        names = ("clean_text", "handle_chinese_chars", "strip_accents", "lowercase")
        values, here = dict(zip(names, flags)), 0
        normalizer = normalizers.BertNormalizer(**values)
        for text, ours in zip(texts, our_words(tool, dict(values, type="BertNormalizer"), texts)):
            theirs = their_words(normalizer, splitter, text)
            if ours == theirs:
                continue
            wrong = [(a, b) for a, b in itertools.zip_longest(theirs, ours) if a != b]
            here += 1
            if here <= 5:
                print(values, "from U+%04X" % ord(text[1]), "theirs, ours:", [tuple(map(ascii, w)) for w in wrong[:3]])
        print("%s: %d of %d texts differ" % (values, here, len(texts)), flush=True)
        bad += here
    return bad


def compare_added(tool):
    """A token with single_word after each character, then one with lstrip and rstrip between two of each."""
    added = [{"id": 2, "content": "<w>", "single_word": True, "lstrip": False, "rstrip": False, "normalized": False, "special": True},
             {"id": 3, "content": "<s>", "single_word": False, "lstrip": True, "rstrip": True, "normalized": False, "special": True}]
    texts = [t for c in SCALARS for t in ("%c<w>" % c, "<w>%c" % c, "%c%c<s>%c%c" % (c, c, c, c))]
    settings = config(None, added)
    theirs = Tokenizer.from_str(json.dumps(dict(settings, version="1.0", truncation=None, padding=None, post_processor=None, decoder=None)))
    out, at, bad = memoryview(run(tool, "encode", settings, [t.encode() for t in texts])).cast("i"), 0, 0
    for begin in range(0, len(texts), 4096):
        part = texts[begin:begin + 4096]
        for text, e in zip(part, theirs.encode_batch(part)):
            count = out[at]
            ours = [(out[at + 2 + 4 * i], out[at + 4 + 4 * i], out[at + 5 + 4 * i]) for i in range(count)]
            at += 2 + 4 * count
            place = [0]
            for c in text:
                place.append(place[-1] + len(c.encode()))
            if ours != [(i, place[a], place[b]) for i, (a, b) in zip(e.ids, e.offsets)]:
                bad += 1
                if bad <= 10:
                    print("added token:", ascii(text), e.ids, e.offsets, ours)
    print("added tokens: %d of %d texts differ" % (bad, len(texts)))
    return bad


if __name__ == "__main__":
    sys.exit(1 if compare_words(os.path.abspath(sys.argv[1])) + compare_added(os.path.abspath(sys.argv[1])) else 0)
