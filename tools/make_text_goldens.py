#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes test/data/text/goldens.json and unicode.json: what the `tokenizers` library (PyPI, 0.23.3) makes of the test texts.

In: test/data/text/minilm-tokenizer.json and multilingual.txt. Out, for each variant of the tokenizer (a patch of the file's
top-level members) and each run (limit, pairs, without specials), one entry per text:

    [count, full count, hash]             FNV-1a over the 32-bit id, type, begin and end of every token
    [count, full count, id, type, ...]    in the first run, the tokens themselves

Spans are in bytes of the text as given. Texts are the lines of multilingual.txt (with "pair": each line and the next) or
the run's own, in hexadecimal, which need not be UTF-8.

kinds.json has small tokenizers of many kinds (`families`): vocabularies and merges once, and for each tokenizer the rest of its file,
then for each line two CRC-32: one over count, full count, id, type, begin, end, .. (32 bits, little-endian) of the line and then of its
pair with the line before; one over the decoded ids, a zero, and the same without special tokens. The vocabularies are trained when the
script runs, and not the same each time.

unicode.json has, for three settings of BertNormalizer, a CRC-32 for each 4,096 code points: over the words of "a?b " for
each, begin, end (32 bits, little-endian) and normalised bytes. tools/check_unicode.py finds out more.

    python3 tools/make_text_goldens.py
"""
import codecs
import json
import os
import random
import struct
import zlib

from tokenizers import PreTokenizedString, Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

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


# ---------------------------------------------------------------- families of tokenizers, small ones

CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
QWEN2 = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
O200K = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+" + CONTRACTIONS + "?|"
         r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*" + CONTRACTIONS + "?|"
         r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
CLIP = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"

SCRIPTS = [(0x20, 0x7F), (0x20, 0x7F), (0xA0, 0x250), (0x300, 0x370), (0x370, 0x530), (0x590, 0x700), (0x900, 0xE80), (0x1100, 0x1200),
           (0x1E00, 0x2000), (0x2000, 0x2070), (0x2100, 0x2400), (0x3000, 0x3100), (0x4E00, 0x5200), (0xAC00, 0xAE00), (0xF900, 0xFB60),
           (0xFE00, 0x10000), (0x10400, 0x10500), (0x1D100, 0x1D200), (0x1D400, 0x1D500), (0x1F300, 0x1F700), (0xE0000, 0xE0080)]
WORDS = ("the of and to in is that it's don't we're I've you'll he'd SHE'S O'Neil naïve café Straße ÉCOLE Ünïcode übermäßig İstanbul ΑΒΓ αβγ ς "
         "Привет мир שלום مرحبا 你好世界 日本語 한국어 สวัสดี नमस्ते 12 345 6789 1234567 3.14 x² ½ Ⅷ ① ﬁne ﬀ ™ … — ' \" '' 's 'S 'ſ ( ) [ ] { } == != += "
         "-> :: // /* */ # @ def return self.x fooBar HTTPServer getHTTPResponse XMLHttpRequest camelCase snake_case CONST_VALUE 😀 👩‍👩‍👧 🇩🇪 ❤️ e\u0301 "
         "a\u0323\u0302 \u0302\u0323 o\u0302\u0323 ZZzz <mask> <s> </s> [MASK] [CLS] <|endoftext|> <|im_end|> ▁ ▁▁ Ġ Ċ </w>").split(" ")
GAPS = [" "] * 12 + ["  ", "   ", "\n", "\r\n", "\n\n", " \n ", "\t", "\t\t", "\u00a0", "\u3000", " \u2003", "", "", "'", "/", "\u200d", "\x00", "\x85"]


def sample_line(rng):
    kind = rng.randrange(10)
    if kind < 5:
        return "".join(rng.choice(WORDS) + rng.choice(GAPS) for _ in range(rng.randrange(1, 14))).encode()
    if kind == 5:
        return "".join(chr(rng.randrange(*rng.choice(SCRIPTS))) for _ in range(rng.randrange(1, 40))).encode()
    if kind == 6:
        first = rng.choice([c for c in range(0, 0x20000, 0x80) if not 0xD800 <= c < 0xE000])
        return "".join(chr(first + rng.randrange(0x80)) + rng.choice(["", "", " "]) for _ in range(rng.randrange(1, 30))).encode()
    if kind == 7:
        return bytes(rng.choice([rng.randrange(256), 0x20, 0x61, 0xC3, 0xA9, 0xE4, 0xB8, 0xAD]) for _ in range(rng.randrange(1, 30)))
    if kind == 8:
        return (rng.choice([" ", ".", "a", "A", "aB", "1", "\n", " \n", "ab ", "é", "中", "=", "e\u0301", "\u0323\u0302"]) * rng.randrange(1, 60)).encode()
    return "".join(rng.choice("abcdefABCDEF  ''.,0123\n\t/-_ſÉéЖжߣ中ʰ\u0301") for _ in range(rng.randrange(0, 40))).encode()


def sample_lines(rng, count):
    return [sample_line(rng) for _ in range(count)]


def corpus(seed=7):
    rng = random.Random(seed)
    lines = [decode(line)[0] for line in sample_lines(rng, 600)]
    return [line.replace("\x00", "") for line in lines for _ in range(3)]


def train(model, trainer, normalizer, pre_tokenizer, last="\U0010ffff"):
    tokenizer = Tokenizer(model)
    if normalizer:
        tokenizer.normalizer = normalizer
    if pre_tokenizer:
        tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.train_from_iterator([line for line in corpus() if max(line, default=" ") <= last], trainer)
    return json.loads(tokenizer.to_str())


def bytes_model(pattern, size=400, **options):
    """A byte-level BPE trained behind a pattern (None: ByteLevel's own)."""
    split = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pattern is None)
    if pattern:
        split = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), split])
    trainer = trainers.BpeTrainer(vocab_size=size, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                  special_tokens=["<|endoftext|>", "<s>", "</s>", "<unk>"])
    out = train(models.BPE(**options), trainer, None, split)
    out["decoder"] = json.loads(json.dumps({"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}))
    return out


def byte_level(**settings):
    return dict({"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}, **settings)


def split(pattern, behavior="Isolated", invert=False):
    return {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}


def sequence(key, *stages):
    return {"type": "Sequence", key: list(stages)}


def special_template(cls, sep, ids):
    def one(name, i):
        return {"SpecialToken": {"id": name, "type_id": i}}
    a, b = {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}
    return {"type": "TemplateProcessing", "single": [one(cls, 0), a, one(sep, 0)], "pair": [one(cls, 0), a, one(sep, 0), b, one(sep, 1)],
            "special_tokens": {n: {"id": n, "ids": [i], "tokens": [n]} for n, i in zip((cls, sep), ids)}}


def with_parts(base, name, **parts):
    out = dict(base)
    for key, value in parts.items():
        out[key] = dict(out[key], **value) if key == "model" else value
    return name, json.dumps(out)


def byte_families():
    own = bytes_model(None)
    size = max(own["model"]["vocab"].values()) + 1
    mask = own["added_tokens"] + [token(size, "<mask>", special=True, lstrip=True)]
    yield with_parts(own, "gpt2", pre_tokenizer=byte_level(), post_processor=byte_level(trim_offsets=False))
    yield with_parts(own, "gpt2 trimmed, prefix", pre_tokenizer=byte_level(add_prefix_space=True), post_processor=byte_level(add_prefix_space=True))
    roberta = {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 1], "trim_offsets": True, "add_prefix_space": False}
    yield with_parts(own, "roberta", added_tokens=mask, pre_tokenizer=byte_level(), post_processor=roberta)
    yield with_parts(own, "roberta prefix", added_tokens=mask, pre_tokenizer=byte_level(add_prefix_space=True),
                     post_processor=dict(roberta, add_prefix_space=True))
    gaps = [token(size + i, g, normalized=True) for i, g in enumerate(["  ", "   ", "\t\t", "<mask>", "|||EMAIL|||"])]
    yield with_parts(own, "modernbert", normalizer={"type": "NFC"}, added_tokens=own["added_tokens"] + gaps, pre_tokenizer=byte_level(),
                     post_processor=special_template("<s>", "</s>", (1, 2)))
    few = {k: v for k, v in own["model"]["vocab"].items() if k not in ("é", "ß", "Ā", "á")}
    lost = [m for m in own["model"]["merges"] if all(p in few for p in m) and "".join(m) in few]
    yield with_parts(own, "bytes missing", model={"vocab": few, "merges": lost}, pre_tokenizer=byte_level(), post_processor=byte_level())
    yield with_parts(own, "bytes missing, unknown", model={"vocab": few, "merges": [" ".join(m) for m in lost], "unk_token": "<unk>"},
                     pre_tokenizer=byte_level(), post_processor=byte_level())
    yield with_parts(own, "bytes as normalizer", normalizer={"type": "ByteLevel"}, pre_tokenizer=split({"Regex": "Ġ?[a-z]+"}))
    for name, pattern, options in (("qwen2", QWEN2, {}), ("llama3", LLAMA3, {"ignore_merges": True}), ("o200k", O200K, {})):
        base = bytes_model(pattern, **options)
        pre = sequence("pretokenizers", split({"Regex": pattern}), byte_level(use_regex=False))
        post = sequence("processors", byte_level(), special_template("<s>", "</s>", (1, 2)))
        yield with_parts(base, name, normalizer={"type": "NFC"} if name == "qwen2" else None, pre_tokenizer=pre, post_processor=post)
        plain = split({"Regex": "(?:%s)" % pattern})  # the same expression, not recognised
        yield with_parts(base, name + " by regex", pre_tokenizer=sequence("pretokenizers", plain, byte_level(use_regex=False)), post_processor=post)


def char_families():
    spm = train(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True),
                trainers.BpeTrainer(vocab_size=480, show_progress=False, limit_alphabet=100,
                                    special_tokens=["<unk>", "<s>", "</s>"] + ["<0x%02X>" % b for b in range(256)]),
                normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]), None)
    meta = [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0}]
    spm["decoder"] = sequence("decoders", *meta)
    yield with_parts(spm, "llama2", post_processor=special_template("<s>", "</s>", (1, 2)))
    for scheme in ("first", "always", "never"):
        metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": scheme != "first"}
        yield with_parts(spm, "metaspace " + scheme, normalizer={"type": "NFKC"}, pre_tokenizer=metaspace, decoder=metaspace,
                         model={"byte_fallback": scheme == "always", "fuse_unk": scheme == "first"})
    clip_split = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(CLIP), "removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    clip = train(models.BPE(unk_token="<|endoftext|>", end_of_word_suffix="</w>"),
                 trainers.BpeTrainer(vocab_size=620, show_progress=False, end_of_word_suffix="</w>", special_tokens=["<|endoftext|>", "<s>", "</s>"],
                                     initial_alphabet=pre_tokenizers.ByteLevel.alphabet()),
                 normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]), clip_split)
    clip["decoder"] = {"type": "BPEDecoder", "suffix": "</w>"}
    yield with_parts(clip, "clip", post_processor={"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 1], "trim_offsets": False,
                                                   "add_prefix_space": False})
    prefixed = train(models.BPE(unk_token="[UNK]", continuing_subword_prefix="##"),
                     trainers.BpeTrainer(vocab_size=330, limit_alphabet=120, show_progress=False, continuing_subword_prefix="##", special_tokens=["[UNK]", "[CLS]", "[SEP]"]),
                     normalizers.NFKD(), pre_tokenizers.Whitespace())
    prefixed["decoder"] = {"type": "WordPiece", "prefix": "##", "cleanup": True}
    yield with_parts(prefixed, "bpe with a prefix", post_processor={"type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 1]})
    yield with_parts(prefixed, "bpe fused unknown", model={"fuse_unk": True}, pre_tokenizer={"type": "WhitespaceSplit"}, decoder=None)


# SentencePiece's map of a few rules: a -> X; e + acute -> E9; CR -> space; U+0001 -> nothing; U+FB01 -> fi; U+0600 -> pr;
# A + ring -> three of U+00C5.
CHARSMAP = (
    "AAQAAAAMAAAAAACAAQ0AAMwwAgABAACAig0AAAsAAIADAACAzAACAIENAAASAACAgB0AAAgAAICsDAIADSkAAIF9AAAFAACAEwAAABAAAAARAAAAFgAAABcAAAAUAAAAFQ"
    "AAABoAAAAbAAAAGAAAABkAAAAeAAAAHwAAABwAAAAdAAAAIgAAACMAAAAgAAAAIQAAACYAAAAnAAAAJAAAACUAAAAqAAAAKwAAACgAAAApAAAALgAAAC8AAAAsAAAALQAA"
    "ADIAAAAzAAAAMAAAADEAAAA2AAAANwAAADQAAAA1AAAAOgAAADsAAAA4AAAAOQAAAD4AAAA/AAAAPAAAAD0AAABCAAAAQwAAAEE0AgBBAAAARgAAAEcAAABEAAAARQAAAE"
    "oAAABLAAAASAAAAEkAAABOAAAATwAAAEwAAABNAAAAUgAAAFMAAABQAAAAUQAAAFYAAABXAAAAVAAAAFUAAABaAAAAWwAAAFgAAABZAAAAXgAAAF8AAABcAAAAXQAAAGIA"
    "AABjAAAAYZUBAGEAAABmAAAAZwAAAGWIAgBlAAAAagAAAGsAAABoAAAAaQAAAG4AAABvAAAAbAAAAG0AAAByAAAAcwAAAHAAAABxAAAAdgAAAHcAAAB0AAAAdQAAAHoAAA"
    "B7AAAAeAAAAHkAAAB+AAAAfwAAAHwAAAB9AAAAggAAAIMAAACAAAAAgQAAAIYAAACHAAAAhAAAAIUAAACKAAAAiwAAAIgAAACJAAAAjgAAAI8AAACMAAAAjQAAAJIAAACT"
    "AAAAkAAAAJEAAACWAAAAlwAAAJQAAACVAAAAmgAAAJsAAACYAAAAmQAAAJ4AAACfAAAAnAAAAJ0AAACiAAAAowAAAKAAAAChAAAApgAAAKcAAACkAAAApQAAAKoAAACrAA"
    "AAqAAAAKkAAACuAAAArwAAAKwAAACtAAAAsgAAALMAAACwAAAAsQAAALYAAAC3AAAAtAAAALUAAAC6AAAAuwAAALgAAAC5AAAAvgAAAL8AAAC8AAAAvQAAAMIAAADDAAAA"
    "wAAAAMEAAADGAAAAxwAAAMQAAADFAAAAygAAAMsAAADIAAAAyQAAAM4AAADPAAAAzAAAAM0AAADSAAAA0wAAANAAAADRAAAA1gAAANcAAADUAAAA1QAAANoAAADbAAAA2A"
    "AAANhAAQDeAAAA3wAAANwAAADdAAAA4gAAAOMAAADgAAAA4QAAAOYAAADnAAAA5AAAAOUAAADqAAAA6wAAAOgAAADpAAAA7zQBAO8AAADsAAAA7QAAAPIAAADzAAAA8AAA"
    "APEAAAD2AAAA9wAAAPQAAAD1AAAA+gAAAPsAAAD4AAAA+QAAAP4AAAD/AAAA/AAAAP0AAAAAIABYAGZpAHByAMOFw4XDhQDDqQA=")


def score_families():
    trainer = trainers.UnigramTrainer(vocab_size=300, show_progress=False, special_tokens=["<unk>", "<s>", "</s>"], unk_token="<unk>",
                                      initial_alphabet=list("abcdefghij"))
    uni = train(models.Unigram(), trainer, normalizers.NFKC(), pre_tokenizers.Metaspace(), "\u024f")
    uni["model"]["vocab"] = [[t, round(score, 3)] for t, score in uni["model"]["vocab"]]
    meta = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    yield with_parts(uni, "unigram", decoder=meta, post_processor=special_template("<s>", "</s>", (1, 2)))
    yield with_parts(uni, "unigram, precompiled", decoder=meta, normalizer=sequence(
        "normalizers", {"type": "Precompiled", "precompiled_charsmap": CHARSMAP}, {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}))
    vocab = uni["model"]["vocab"] + [["<0x%02X>" % b, 0.0] for b in range(256)]
    yield with_parts(uni, "unigram, bytes", normalizer=sequence("normalizers", {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}),
                     pre_tokenizer=dict(meta, split=False), decoder=meta, model={"vocab": vocab, "byte_fallback": True})
    words = train(models.WordLevel(unk_token="[UNK]"), trainers.WordLevelTrainer(vocab_size=120, show_progress=False, special_tokens=["[UNK]", "[CLS]", "[SEP]"]),
                  normalizers.Lowercase(), pre_tokenizers.Whitespace())
    yield with_parts(words, "words", post_processor=special_template("[CLS]", "[SEP]", (1, 2)))


BERTS = {  # name: normalizer, pre-tokenizer
    "bert cased": (dict(BERT, lowercase=False), {"type": "BertPreTokenizer"}),
    "bert among others": (sequence("normalizers", {"type": "NFKC"}, BERT, {"type": "Strip", "strip_left": True, "strip_right": True}),
                          sequence("pretokenizers", {"type": "BertPreTokenizer"}, {"type": "Digits", "individual_digits": True})),
    "lowercase": ({"type": "Lowercase"}, {"type": "BertPreTokenizer"}),
    "stripped": (sequence("normalizers", {"type": "NFD"}, {"type": "StripAccents"}, sequence("normalizers", {"type": "Lowercase"})),
                 {"type": "Whitespace"}),
    "nfkd, numbers": (sequence("normalizers", {"type": "NFKD"}, {"type": "Nmt"}),
                      sequence("pretokenizers", {"type": "WhitespaceSplit"}, {"type": "Digits", "individual_digits": False})),
    "nfc, left": (sequence("normalizers", {"type": "Strip", "strip_left": True, "strip_right": False}, {"type": "NFC"}),
                  {"type": "Punctuation", "behavior": "MergedWithPrevious"}),
    "replaced": (sequence("normalizers", {"type": "Replace", "pattern": {"Regex": "[aeiou]+|\\d"}, "content": "ö"},
                          {"type": "Replace", "pattern": {"String": "th"}, "content": ""}, {"type": "Prepend", "prepend": "x y"}),
                 {"type": "Punctuation", "behavior": "MergedWithNext"}),
    "runs": (None, {"type": "Punctuation", "behavior": "Contiguous"}),
    "removed": ({"type": "NFKC"}, {"type": "Punctuation", "behavior": "Removed"}),
}
for _behavior in ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"):
    for _invert in (False, True):
        BERTS["split %s%s" % (_behavior, ", inverted" if _invert else "")] = (
            None, split({"Regex": "\\p{Lu}+|[\\s.]|b*"} if _invert else {"Regex": "a+?b?|(?i:the)|^e|\\d{2,3}$|\\bw\\w*"}, _behavior, _invert))
        BERTS["split at string %s%s" % (_behavior, ", inverted" if _invert else "")] = (None, split({"String": " "}, _behavior, _invert))


def piece_families():
    bert = train(models.WordPiece(unk_token="[UNK]"),
                 trainers.WordPieceTrainer(vocab_size=330, limit_alphabet=120, show_progress=False, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]),
                 normalizers.BertNormalizer(lowercase=False), pre_tokenizers.BertPreTokenizer())
    bert["decoder"] = {"type": "WordPiece", "prefix": "##", "cleanup": True}
    for name, (normalizer, pre) in BERTS.items():
        yield with_parts(bert, name, normalizer=normalizer, pre_tokenizer=pre, post_processor=special_template("[CLS]", "[SEP]", (2, 3)))


def kinds_goldens():
    rng, words, out = random.Random(11), [], []
    lines = sample_lines(rng, 20) + ["a\u0301 e\u0301 \u0600e\u0301 \x01\u0301 \r\n A\u030a \ufb01x".encode()] + BROKEN[:4] + [b"", b" ", b"  lead and trail  ", "e\u0301\u0323x \u1e9b\u0323 \ufb01 \uac01\u11a8".encode()]
    for name, text in families():
        rest = json.loads(text)
        own = {k: rest["model"].pop(k) for k in ("vocab", "merges") if k in rest["model"]}
        if own not in words:
            words.append(own)
        tokenizer, rows = Tokenizer.from_str(text), []
        for i, line in enumerate(lines):
            single = expect(tokenizer, tokenizer, line, None, False, True)
            pair = expect(tokenizer, tokenizer, line, lines[i - 1], False, True)
            ids = tokenizer.encode(decode(line)[0]).ids
            texts = [tokenizer.decode(ids, skip_special_tokens=skip).encode() if ids else b"" for skip in (False, True)]
            rows.append([zlib.crc32(struct.pack("<%di" % (len(single) + len(pair)), *single, *pair)), zlib.crc32(b"\0".join(texts))])
        for key in ("version", "truncation", "padding"):
            del rest[key]
        out.append({"name": name, "words": words.index(own), "rest": rest, "rows": rows})
    with open(os.path.join(DATA, "kinds.json"), "w") as f:
        json.dump({"lines": [line.hex() for line in lines], "words": words, "tokenizers": out}, f, separators=(",", ":"), ensure_ascii=False)
        f.write("\n")


def families():
    """(name, tokenizer.json) of each."""
    yield from byte_families()
    yield from char_families()
    yield from score_families()
    yield from piece_families()


if __name__ == "__main__":
    main()
    unicode_goldens()
    kinds_goldens()
