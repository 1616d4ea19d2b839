#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes test/data/text/goldens.json and unicode.json: what the `tokenizers` library (PyPI, 0.23.3) makes of the test texts.

In: test/data/text/minilm-tokenizer.json and multilingual.txt. Out, for each variant of the tokenizer (a patch of the file's
top-level members) and each run (limit, pairs, without specials), one entry per text:

    [count, full count, hash]             FNV-1a over the 32-bit id, type, begin and end of every token
    [count, full count, id, type, ...]    in the first run, the tokens themselves

Spans are in bytes of the text as given. Texts are the lines of multilingual.txt (with "pair": each line and the next) or
the run's own, in hexadecimal, which need not be UTF-8.

unicode.json has, for three settings of BertNormalizer, a CRC-32 for each 4,096 code points: over the words of "a?b " for
each, begin, end (32 bits, little-endian) and normalised bytes. tools/check_unicode.py finds out more.

    python3 tools/make_text_goldens.py
"""
import codecs
import json
import os
import struct
import zlib

from tokenizers import PreTokenizedString, Tokenizer, normalizers, pre_tokenizers

DATA = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "test", "data", "text")
BERT = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True}


def token(i, content, **flags):
    base = {"id": i, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}
    return dict(base, **flags)


def decode(data):
    """The text as Python's errors="replace" reads it, and for every character the byte where it begins, and the end."""
    text, at, begins = "", 0, []
    while at < len(data):
        try:
            good, bad = data[at:].decode(), None
        except UnicodeDecodeError as e:
            good, bad = data[at:at + e.start].decode(), e
        for c in good:
            begins.append(at)
            at += len(c.encode())
        text += good
        if bad:
            begins.append(at)
            text += "\ufffd"
            at += bad.end - bad.start
    assert text == codecs.decode(data, "utf-8", "replace")
    return text, begins + [at]


def fnv(numbers):
    h = 0xCBF29CE484222325
    for n in numbers:
        for byte in (n & 0xFFFFFFFF).to_bytes(4, "little"):
            h = (h ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return "%016x" % h


def expect(tokenizer, full, data, pair, plain, whole):
    texts = [decode(d) for d in (data, pair) if d is not None]
    strings = [t for t, _ in texts]
    e = tokenizer.encode(*strings, add_special_tokens=not plain)
    total = len(full.encode(*strings, add_special_tokens=not plain).ids)
    row = []
    for i, t, (a, b), which in zip(e.ids, e.type_ids, e.offsets, e.sequence_ids):
        row += [i, t, 0, 0] if which is None else [i, t, texts[which][1][a], texts[which][1][b]]
    return [len(e.ids), total] + (row if whole else [fnv(row)])


BROKEN = [b"\xff", b"a\xffb", b"\xc3", b"\xc3(", b"\xc0\x80", b"\xe2\x82", b"\xe2\x82x", b"x\xe2\x28\xa1", b"\xed\xa0\x80\xed\xb0\x80",
          b"\xf0\x9f\x98", b"\xf0\x9f\x98 \xf0\x9f", b"\xf0\x80\x80\x80", b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80", b"\x80\x80\x80",
          b"caf\xe9 ol\xe9", b"\xe0\x9f\xbf\xe0\xa0\x80", b"a\xcc", b"\xfe\xff\x00h\x00i", b"\xc3\xa9\xc3", b"[MASK]\xe2\x82[SEP]\xf0\x9f",
          b"\xe4\xb8\xad\xe4\xb8", b"\xf1\x80\x80\xf1\x80\xf1", b"x" * 99 + b"\xff\xff", bytes(range(256))]
MORE = ["a\nb\r\nc\n", "\n\n", "x " * 9000, "中" * 5000, "é" * 9000 + " end", "a" * 20000, "[MASK]" * 500, ("word. " * 1500 + "[SEP]") * 2,
        "x\u0301 " * 5000, "\u302e\u302f" * 50]
MARKS = ["Hello<m>World <m> x", "a <l> b", "a  \t<r> \u00a0 b", "<s> a<s>b <s>, <s>", "é<s> <s>é \u0301<s> _<s> 9<s> -<s>-", "<l><l> <l>  <r><r> <r> x",
         "say HELLO THERE and hello there", "Café CAFE cafe\u0301 caf", "<m><m> <M>", "foobar foo fooba foob", "x<b>y <b> z", "  <l>  <r>  ",
         "newtoken NewToken NEWTOKEN", "\u3000<l>\u3000", "<r>\u2003\u2003<l>", "", "<l>", "中<s>中 🙂<s>", "the [MASK] <m>[MASK]<l> [MASK]", "hello  there"]


SPACES = ["a    b", "  a x  x  ", "   ", "a [MASK]   b", " x   x", "a \u00a0 \u00a0\u00a0  b", "\u00a0 ", " \u00a0", "x[MASK] \u00a0 \u00a0", "", "ab", "a" + 40 * " " + "b", "<q>  \t <q> a<q>"]


def variants():
    limit = {"max_length": 16, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    yield "base", {}, [dict(max=0), dict(max=128), dict(max=5), dict(max=3), dict(max=2), dict(max=0, plain=True), dict(max=7, plain=True),
                       dict(max=0, pair=True), dict(max=16, pair=True), dict(max=9, pair=True, plain=True), dict(max=-1), dict(max=0, texts=BROKEN),
                       dict(max=0, texts=[m.encode() for m in MORE])]
    for name in ("clean_text", "handle_chinese_chars", "strip_accents", "lowercase"):
        yield name, {"normalizer": dict(BERT, **{name: False})}, [dict(max=0)] + ([dict(max=0, texts=BROKEN)] if name == "clean_text" else [])
    yield "cased accents stripped", {"normalizer": dict(BERT, lowercase=False, strip_accents=True)}, [dict(max=0)]
    yield "nothing", {"normalizer": dict(BERT, lowercase=False, handle_chinese_chars=False, clean_text=False)}, [dict(max=0), dict(max=0, texts=BROKEN)]
    yield "no normalizer", {"normalizer": None}, [dict(max=0), dict(max=0, texts=BROKEN)]
    yield "no post-processor", {"post_processor": None, "truncation": None}, [dict(max=0), dict(max=0, pair=True), dict(max=4), dict(max=-1)]
    yield "BertProcessing", {"post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 102], "cls": ["[CLS]", 101]}}, [
        dict(max=0), dict(max=0, pair=True), dict(max=11, pair=True), dict(max=0, pair=True, plain=True)]
    special = {"SpecialToken": {"id": "[CLS]", "type_id": 3}}
    a, b = {"Sequence": {"id": "A", "type_id": 2}}, {"Sequence": {"id": "B", "type_id": 5}}
    wide = {"type": "TemplateProcessing", "single": [special, special, a], "pair": [b, special, a],
            "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [101, 102, 103], "tokens": ["[CLS]", "[SEP]", "[MASK]"]}}}
    yield "template", {"post_processor": wide}, [dict(max=0), dict(max=8), dict(max=0, pair=True), dict(max=12, pair=True), dict(max=0, plain=True)]
    for strategy in ("LongestFirst", "OnlyFirst", "OnlySecond"):
        for direction in ("Left", "Right"):
            yield strategy + direction, {"truncation": dict(limit, strategy=strategy, direction=direction)}, [dict(max=-1, pair=True), dict(max=-1)]
    yield "stride", {"truncation": dict(limit, stride=5)}, [dict(max=-1)]
    base = json.load(open(os.path.join(DATA, "minilm-tokenizer.json")))["added_tokens"]
    yield "added", {"added_tokens": base + [token(30522, "<m>", special=True), token(30523, "<l>", lstrip=True), token(30524, "<r>", rstrip=True),
                                            token(30525, "<s>", single_word=True), token(30526, "foob"), token(30527, "foobar")]}, [
        dict(max=0), dict(max=0, texts=[m.encode() for m in MARKS]), dict(max=0, texts=BROKEN)]
    yield "added normalized", {"added_tokens": base + [
        token(30522, "NewToken", normalized=True), token(30523, "<l>", lstrip=True, normalized=True), token(30524, "<r>", rstrip=True, normalized=True),
        token(30525, "<s>", single_word=True, normalized=True), token(30526, "hello there", normalized=True), token(30527, "Café", normalized=True),
        token(30528, "<m>", special=True, lstrip=True, rstrip=True)]}, [
        dict(max=0), dict(max=0, texts=[m.encode() for m in MARKS]), dict(max=0, texts=BROKEN)]
    # Tokens that are white space, in white space that others take in.
    for name, left, right in (("none", False, False), ("left", True, False), ("right", False, True), ("both", True, True)):
        for normalized in (False, True):
            flags = dict(lstrip=left, rstrip=right, normalized=normalized)
            yield "added spaces, %s%s" % (name, ", normalized" if normalized else ""), {"normalizer": None, "added_tokens": base + [
                token(30522, " ", **flags), token(30523, "\u00a0", normalized=normalized), token(30524, "<q>", rstrip=True, normalized=normalized)]}, [
                dict(max=0, texts=[m.encode() for m in SPACES if name != "left" or "<q>" not in m]),  # the library panics at that one
                dict(max=0, texts=[(" " * 3000).encode()])]
    yield "added spaces, and a normalized token", {"added_tokens": base + [
        token(30522, " ", rstrip=True), token(30523, "\u00a0"), token(30524, "<q>", rstrip=True, normalized=True)]}, [
        dict(max=0, texts=[m.encode() for m in SPACES])]
    yield "short words", {"model": {"max_input_chars_per_word": 5}}, [dict(max=0)]
    yield "other prefix", {"model": {"continuing_subword_prefix": "", "unk_token": "[MASK]"}}, [dict(max=0)]


def load(base, patch, most):
    config = dict(base, padding=None)
    for key, value in patch.items():
        config[key] = dict(config[key], **value) if key == "model" else value
    if most > 0:
        config["truncation"] = {"max_length": most, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    if most == 0:
        config["truncation"] = None
    return Tokenizer.from_str(json.dumps(config))


def attempt(*args):
    """What fails in the library must fail in nib: [-1]."""
    try:
        return expect(*args)
    except Exception:  # the library raises plain exceptions
        return [-1]


def main():
    with open(os.path.join(DATA, "minilm-tokenizer.json")) as f:
        base = json.load(f)
    with open(os.path.join(DATA, "multilingual.txt"), "rb") as f:
        lines = f.read().split(b"\n")[:-1]
    out, first = [], True
    for name, patch, runs in variants():
        rows = []
        for run in runs:
            tokenizer, full = load(base, patch, run["max"]), load(base, patch, 0)
            texts = run.get("texts", lines)
            pairs = [texts[(i + 1) % len(texts)] if run.get("pair") else None for i in range(len(texts))]
            expected = [attempt(tokenizer, full, a, b, run.get("plain", False), first) for a, b in zip(texts, pairs)]
            row = {"max": run["max"], "pair": run.get("pair", False), "plain": run.get("plain", False), "expect": expected}
            if "texts" in run:
                row["texts"] = [t.hex() for t in texts]
            rows.append(row)
            first = False
        out.append({"name": name, "patch": patch, "runs": rows})
    with open(os.path.join(DATA, "goldens.json"), "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(v, separators=(",", ":")) for v in out) + "\n]\n")


def unicode_goldens():
    names = ("clean_text", "handle_chinese_chars", "strip_accents", "lowercase")
    splitter, out = pre_tokenizers.BertPreTokenizer(), []
    for flags in ((True, True, True, True), (True, True, False, True), (False, False, True, False)):
        settings, sums = dict(zip(names, flags)), []
        normalizer = normalizers.BertNormalizer(**settings)
        for block in range(0, 0x110000, 4096):
            crc = 0
            for first in range(block, block + 4096, 64):
                text = "".join("a%cb " % c for c in range(first, first + 64) if not 0xD800 <= c < 0xE000)
                p, at = PreTokenizedString(text), [0]
                p.normalize(normalizer.normalize)
                splitter.pre_tokenize(p)
                for c in text:
                    at.append(at[-1] + len(c.encode()))
                for word, (a, b), _ in p.get_splits(offset_referential="original", offset_type="char"):
                    crc = zlib.crc32(struct.pack("<II", at[a], at[b]) + word.encode(), crc)
            sums.append(crc)
        out.append({"normalizer": dict(settings, type="BertNormalizer"), "crc": sums})
    with open(os.path.join(DATA, "unicode.json"), "w") as f:
        json.dump(out, f, separators=(",", ":"))


if __name__ == "__main__":
    main()
    unicode_goldens()
