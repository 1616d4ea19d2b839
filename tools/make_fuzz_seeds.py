#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the seeds of the fuzz targets, test/fuzz/seeds: small valid files of every kind, made with onnx, numpy and json.

    tools/make_fuzz_seeds.py            (needs onnx and numpy)
"""
import json
import pathlib
import struct

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, parser

ROOT = pathlib.Path(__file__).resolve().parent.parent
SEEDS = ROOT / "test/fuzz/seeds"
HEAD = '<ir_version: 8, opset_import: ["" : 20]> '

# Graphs in ONNX's textual syntax: each feature that a graph can have, once.
TEXTS = {
    "add": "g (float[n] x) => (float[n] y) { y = Add (x, x) }",
    "mlp": "g (float[n,2] x) => (float[n,2] y) <float[2,2] w = {1.0, 2.0, 3.0, 4.0}, float[2] b = {0.5, -0.5}> "
    "{ m = MatMul (x, w) a = Add (m, b) y = Relu (a) }",
    "shape": "g (float[n,4] x) => (float[a,b] y) <int64[1] s = {2}, int64[1] m = {-1}> "
    "{ h = Shape (x) z = Constant <value = int64 {0}> () i = Gather <axis = 0> (h, z) zero = Constant <value_ints = [0]> () u = Unsqueeze (i, zero) "
    "t = Concat <axis = 0> (s, m) y = Reshape (x, t) }",
    "if": "g (bool c, float[n] x) => (float[n] y) { y = If <then_branch = a () => (float[n] r) { r = Neg (x) }, "
    "else_branch = b () => (float[n] s) { s = Identity (x) }> (c) }",
    "loop": "g (int64 n, float[1] x) => (float[1] y, float[t,1] p) { yes = Constant <value = bool {1}> () "
    "y, p = Loop <body = l (int64 i, bool on, float[1] u) => (bool o, float[1] v, float[1] w) "
    "{ o = Identity (on) v = Add (u, u) w = Identity (v) }> (n, yes, x) }",
    "scan": "g (float[1] s, float[n,1] x) => (float[1] e, float[n,1] y) { e, y = Scan <num_scan_inputs = 1, "
    "body = b (float[1] a, float[1] v) => (float[1] c, float[1] d) { c = Add (a, v) d = Identity (c) }> (s, x) }",
    "string": "g (string[n] a) => (string[n] c, bool[n] d) { c = StringConcat (a, a) d = RegexFullMatch <pattern = \"a(b|c)*\"> (a) }",
    "sequence": "g (float[n] x) => (float[m] y) { s = SequenceConstruct (x, x) y = ConcatFromSequence <axis = 0> (s) }",
    "softmax": "g (float[b,s,4] q, float[b,s,4] k) => (float[b,s,s] y) { t = Transpose <perm = [0, 2, 1]> (k) m = MatMul (q, t) y = Softmax <axis = -1> (m) }",
    "norm": "g (float[n,4] x) => (float[n,4] y) <float[4] w = {1.0, 1.0, 1.0, 1.0}> { y = LayerNormalization <axis = -1> (x, w) }",
    "gather": "g (int64[b,s] ids) => (float[b,s,2] y) <float[3,2] t = {0.0, 1.0, 2.0, 3.0, 4.0, 5.0}> { y = Gather (t, ids) }",
    "cast": "g (float[n] x) => (int4[n] y, float16[n] z) { y = Cast <to = 22> (x) z = Cast <to = 10> (x) }",
    "quant": "g (float[n] x) => (uint8[n] y, float[n] z) { y, s, p = DynamicQuantizeLinear (x) z = DequantizeLinear (y, s, p) }",
    "fill": "g (int64[2] s) => (float[a,b] y) { y = ConstantOfShape <value = float[1] {7.0}> (s) }",
    "range": "g (int64 n) => (int64[m] y) { a = Constant <value = int64 {0}> () b = Constant <value = int64 {1}> () y = Range (a, n, b) }",
    "slice": "g (float[8] x) => (float[m] y) <int64[1] a = {1}, int64[1] e = {-1}, int64[1] z = {0}, int64[1] p = {2}> { y = Slice (x, a, e, z, p) }",
    "scatter": "g (float[4] x, int64[2] i, float[2] u) => (float[4] y) { y = ScatterElements <axis = 0> (x, i, u) }",
    "topk": "g (float[8] x) => (float[2] v, int64[2] i) <int64[1] k = {2}> { v, i = TopK (x, k) }",
    "einsum": "g (float[a,b] x, float[b,c] y) => (float[a,c] z) { z = Einsum <equation = \"ab,bc->ac\"> (x, y) }",
    "optional": "g (float[n] x) => (float[n] y) { o = Optional (x) y = OptionalGetElement (o) }",
    "nonzero": "g (float[n] x) => (int64[1,m] y) { y = NonZero (x) }",
    "unique": "g (float[n] x) => (float[m] y, int64[m] i) { y, i = Unique (x) }",
    "pad": "g (float[2,2] x) => (float[a,b] y) <int64[4] p = {1, 0, 0, 1}> { y = Pad (x, p) }",
    "attention": "g (float[b,h,s,4] q, float[b,h,s,4] k, float[b,h,s,4] v) => (float[b,h,s,4] y) { y = Attention (q, k, v) }",
    "reduce": "g (float[n,3] x) => (float[n] y) { a = Constant <value_ints = [1]> () y = ReduceSum <keepdims = 0> (x, a) }",
}

# Encoders in small: what is fused, and written for files.
ATTEND = ("{ %s q = MatMul (x, w) h = Reshape (q, s) t = Transpose <perm = [0, 2, 1, 3]> (h) u = Transpose <perm = [0, 2, 3, 1]> (h) m = MatMul (t, u) "
          "a = Add (m, bias) %s p = Softmax <axis = -1> (a%s) o = MatMul (p, t) r = Transpose <perm = [0, 2, 1, 3]> (o) y = Reshape (r, e) }")
ENCODER = ("g (float[b,s,4] x, int64[b,s] mask) => (float[b,s,4] y) <float[4,4] w = {1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0}, "
           "int64[4] s = {0, 0, 2, 2}, int64[3] e = {0, 0, 4}, int64[2] z = {1, 2}, float zero = {0.0}, float one = {1.0}, float far = {-10000.0}, int64 i = {1}> ")
FUSED = {
    "asked": ENCODER + ATTEND % ("c = Equal (mask, i) d = Unsqueeze (c, z) bias = Where (d, zero, far)", "", ""),
    "filled": ENCODER + ATTEND % ("d = Unsqueeze (mask, z) f = Cast <to = 1> (d) k = Sub (one, f) c = Cast <to = 9> (k) bias = Where (c, far, k)", "", ""),
    "computed": ENCODER + ATTEND % ("d = Unsqueeze (mask, z) f = Cast <to = 1> (d) k = Sub (one, f) bias = Mul (k, far)", "a2 = Add (a, one)", "2"),
    "counted": "g (int64[b,s] ids, int64[b,s] mask) => (float[b,s,2] y) <float[3,2] w = {0.0, 1.0, 2.0, 3.0, 4.0, 5.0}, float[2] c = {1.0, 2.0}, int64 i = {1}> "
    "{ n = CumSum (mask, i) p = Sub (n, i) a = Gather (w, ids) b = Gather (w, p) s = Add (a, b) y = LayerNormalization <axis = -1> (s, c, c) }",
}

# Several nodes in a row, containers in and out, bodies in bodies: without types, so that what flows is seen only when it runs.
CHAINS = {
    "lists": "g (float[n] x, int64 i) => (y, l, t) { s = SequenceConstruct (x, x) r = SequenceInsert (s, x, i) e = SequenceErase (r, i) "
    "t = SequenceAt (e, i) l = SequenceLength (e) o = Optional (e) h = OptionalHasElement (o) q = OptionalGetElement (o) "
    "y = ConcatFromSequence <axis = 0, new_axis = 1> (q) }",
    "split_list": "g (float[n,2] x) => (y) <int64 i = {1}, int64 k = {0}> { s = SplitToSequence <axis = 1, keepdims = 0> (x) e = SequenceErase (s, k) "
    "y = ConcatFromSequence <axis = 0> (e) }",
    "map": "g (float[n,2] x) => (y) { s = SplitToSequence <axis = 1> (x) m = SequenceMap <body = b (e) => (f) { f = Add (e, e) }> (s) "
    "y = ConcatFromSequence <axis = 0> (m) }",
    "loop_list": "g (int64 n, float[2] x) => (y) { yes = Constant <value = bool {1}> () none = SequenceEmpty <dtype = 1> () "
    "all = Loop <body = l (i, on, s) => (on2, t) { on2 = Identity (on) e = Neg (x) t = SequenceInsert (s, e) }> (n, yes, none) "
    "y = ConcatFromSequence <axis = 0> (all) }",
    "loop_if": "g (int64 n, float[1] x) => (y, p) { yes = Constant <value = bool {1}> () y, p = Loop <body = l (i, on, u) => (o, v, w) { "
    "o = Identity (on) v = If <then_branch = a () => (r) { r = Add (u, x) }, else_branch = b () => (q) { q = Identity (u) }> (on) w = Shape (v) }> (n, yes, x) }",
    "scan_scan": "g (float[1] s, float[n,m,1] x) => (e, y) { e, y = Scan <num_scan_inputs = 1, body = b (a, v) => (c, d) { "
    "c, d = Scan <num_scan_inputs = 1, body = k (f, g) => (h, j) { h = Add (f, g) j = Identity (h) }> (a, v) }> (s, x) }",
    "if_list": "g (bool c, float[n] x) => (y) { s = If <then_branch = a () => (r) { r = SequenceConstruct (x) }, else_branch = b () => (q) { q = Neg (x) }> (c) "
    "z = Identity (s) y = SequenceLength (z) }",
    "words": "g (string[n] a, int64[2] s) => (y, u, l) { b = StringConcat (a, a) c, k = StringSplit <delimiter = \"n\"> (b) f = Flatten (c) t = Transpose (f) "
    "u = Unique (t) y = Reshape <allowzero = 1> (t, s) m = StringNormalizer <case_change_action = \"UPPER\", stopwords = [\"nib\"]> (u) l = RegexFullMatch <pattern = \"N.*|(a?){3}\"> (m) }",
    "moves": "g (float[2,3] x, int64[2] s, int64[4] p) => (y) { a = Pad (x, p) b = Tile (a, s) c = Transpose (b) d = Expand (c, s) "
    "f = Concat <axis = 0> (d, d) h = Reshape (f, s) y = Unsqueeze (h, s) }",
}


def put(target, name, data):
    path = SEEDS / target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())


def chains():
    """CHAINS as bytes, in what opset 8's Scan and later ones take, too; no value but the inputs has a type."""
    def value(name):
        return onnx.ValueInfoProto(name=name)

    def graph(nodes, ins, outs, inits=()):
        return helper.make_graph(nodes, "g", ins, [value(o) for o in outs], initializer=list(inits))

    def node(op, ins, outs, **attributes):
        return helper.make_node(op, ins, outs, **attributes)

    def model(opset, *parts):
        return helper.make_model(graph(*parts), opset_imports=[helper.make_opsetid("", opset)], ir_version=8)

    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])
    c = helper.make_tensor_value_info("c", TensorProto.BOOL, [])
    i, s = (helper.make_tensor(n, TensorProto.INT64, d, [1] * k) for n, d, k in (("i", [], 1), ("s", [2], 2)))
    flags = helper.make_tensor("flags", TensorProto.BOOL, [1, 2], [1, 0])
    words = helper.make_tensor("words", TensorProto.STRING, [1], [b"nib"])
    four = helper.make_tensor("four", TensorProto.FLOAT, [4], [1, 2, 3, 4])
    then, other = graph([node("Identity", ["words"], ["t"])], [], ["t"]), graph([node("Identity", ["four"], ["e"])], [], ["e"])
    pick = graph([node("If", ["k"], ["q"], then_branch=then, else_branch=other)], [value("k")], ["q"])
    turn = graph([node("SequenceInsert", ["l", "x"], ["m"]), node("Identity", ["on"], ["go"]), node("SequenceLength", ["m"], ["p"])],
                 [value("t"), value("on"), value("l")], ["go", "m", "p"])
    each = graph([node("Neg", ["e"], ["f"])], [value("e")], ["f"])
    return {
        "chain_lists": model(17, [node("SequenceConstruct", ["x", "x"], ["a"]), node("SequenceErase", ["a", "i"], ["b"]), node("SequenceInsert", ["b", "x"], ["d"]),
                                  node("Optional", ["d"], ["o"]), node("OptionalGetElement", ["o"], ["g"]), node("SequenceAt", ["g", "i"], ["h"]),
                                  node("ConcatFromSequence", ["g"], ["y"], axis=0)], [x], ["y", "h"], [i]),
        "chain_loop": model(17, [node("SequenceEmpty", [], ["a"]), node("Loop", ["i", "c", "a"], ["b", "p"], body=turn), node("Identity", ["b"], ["d"]),
                                 node("SequenceMap", ["d"], ["m"], body=each), node("ConcatFromSequence", ["m"], ["y"], axis=0)], [x, c], ["y", "p"], [i]),
        "chain_scan8": model(8, [node("Scan", ["", "flags"], ["y"], body=pick, num_scan_inputs=1)], [x], ["y"], [flags, words, four]),
        "chain_scan": model(17, [node("Squeeze", ["flags"], ["f"]), node("Scan", ["f"], ["y"], body=pick, num_scan_inputs=1)], [x], ["y"], [flags, words, four]),
        "chain_moves": model(17, [node("Unsqueeze", ["x", "i"], ["a"]), node("Tile", ["a", "s"], ["b"]), node("Transpose", ["b"], ["d"]), node("Expand", ["d", "s"], ["e"]),
                                  node("Concat", ["e", "e"], ["f"], axis=0), node("Reshape", ["f", "s"], ["y"])], [x], ["y"], [i, s]),
    }


def graphs():
    for name, text in TEXTS.items():
        text = HEAD.replace("20", "23") + text if name == "attention" else HEAD + text
        put("text", name, text)
        try:
            model = parser.parse_model(text)
        except Exception:  # noqa: BLE001: a few use what onnx's own parser does not take; the text alone is the seed then
            continue
        put("onnx", name, model.SerializeToString())
    for name, text in (CHAINS | FUSED).items():
        put("text", name, HEAD + text)
    for name, model in chains().items():
        put("onnx", name, model.SerializeToString())
    w = numpy_helper.from_array(np.array([0, 7, 0, 5], np.float32), "v")
    sparse = helper.make_sparse_tensor(numpy_helper.from_array(np.array([7, 5], np.float32), "sparse"),
                                       numpy_helper.from_array(np.array([1, 3], np.int64), "i"), [4])
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n"]) for n in "xy")
    main = helper.make_graph([helper.make_node("twice", ["x"], ["y"], domain="local")], "g", [x], [y], [w], sparse_initializer=[sparse])
    twice = helper.make_function("local", "twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])], [helper.make_opsetid("", 18)])
    model = helper.make_model(main, functions=[twice], opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid("local", 1)], ir_version=8)
    put("onnx", "function_sparse", model.SerializeToString())
    for name in ("everything", "linear"):
        put("onnx", name, (ROOT / f"test/data/onnx/{name}.onnx").read_bytes())


def tensors():
    for dtype in (TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL, TensorProto.FLOAT16, TensorProto.INT4, TensorProto.BFLOAT16):
        put("tensor", f"pb_{dtype}", b"\0" + helper.make_tensor("t", dtype, [2, 2], [0, 1, 1, 0]).SerializeToString())
    strings = helper.make_tensor("t", TensorProto.STRING, [2], [b"nib", b""])
    put("tensor", "pb_string", b"\0" + strings.SerializeToString())
    sequence = onnx.SequenceProto(name="s", elem_type=1, tensor_values=[strings])
    put("tensor", "pb_sequence", b"\1" + sequence.SerializeToString())
    put("tensor", "pb_optional", b"\2" + onnx.OptionalProto(elem_type=3, sequence_value=sequence).SerializeToString())
    path = SEEDS / "tensor"
    for name, value in {"f4": np.ones((2, 3), np.float32), "big": np.arange(4, dtype=">i2"), "fortran": np.asfortranarray(np.ones((2, 2))),
                        "text": np.array(["é", "nib"]), "bytes": np.array([b"ab", b"c"]), "scalar": np.float16(1), "bool": np.array([True])}.items():
        np.save(path / f"npy_{name}.npy", value)


def others():
    for name, parts in {"good": (b"data", b"0", b"8", b"\x08"), "sub": (b"sub/data", b"56", b"8", b"\2\4"), "up": (b"../data", b"0", b"8", b"\x08"),
                        "inner_up": (b"sub/../../x", b"0", b"1", b"\1"), "absolute": (b"/etc/passwd", b"0", b"8", b"\x08"), "link": (b"passwd", b"0", b"8", b"\x08"),
                        "folder": (b"sub", b"0", b"0", b"\0"), "negative": (b"data", b"-1", b"8", b"\x08"), "far": (b"data", b"18446744073709551615", b"8", b"\x08")}.items():
        put("external", name, b"\0".join(parts))
    for name, head in {"one": {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}},
                       "two": {"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}, "b": {"dtype": "F16", "shape": [2, 1], "data_offsets": [4, 8]},
                               "__metadata__": {"format": "pt"}}}.items():
        text = json.dumps(head).encode()
        put("safetensors", name, struct.pack("<Q", len(text)) + text + bytes(8))
    bert = json.loads((ROOT / "test/data/hf/bert-tiny/config.json").read_text())
    modern = json.loads((ROOT / "test/data/hf/modernbert-tiny/config.json").read_text())
    put("config", "bert", b"\0" + json.dumps(bert).encode())
    put("config", "modernbert", b"\0" + json.dumps(modern).encode())
    for family in sorted((ROOT / "test/data/families").iterdir()):
        if "-" not in family.name and family.name not in ("bert", "modernbert"):
            put("config", family.name, b"\0" + json.dumps(json.loads((family / "config.json").read_text())).encode())
    put("config", "modules", b"\1" + json.dumps([{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
                                                   {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]).encode())
    put("config", "sentence", b'\2{"max_seq_length": 256, "do_lower_case": false}')
    put("config", "tokenizer", b'\3{"model_max_length": 512}')
    chats = json.loads((ROOT / "test/data/chat/golden.json").read_text())["rows"]
    for i, row in enumerate(chats[::2]):
        put("config", f"chat-{i}", b"\5" + row["template"].encode())
    put("config", "index", b'\4{"metadata": {}, "weight_map": {"x": "model-00001-of-00001.safetensors"}}')
    vocab = {t: i for i, t in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "nib", "##s", "writes", "un", "##aff", "##able", ","])}
    special = [{"id": i, "content": t, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
               for t, i in vocab.items() if t[0] == "["]
    template = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "[SEP]", "type_id": 0}}], "pair": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}},
                {"SpecialToken": {"id": "[SEP]", "type_id": 1}}],
                "special_tokens": {t: {"id": t, "ids": [vocab[t]], "tokens": [t]} for t in ("[CLS]", "[SEP]")}}
    tokenizer = {"version": "1.0", "truncation": {"direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 0}, "padding": None,
                 "added_tokens": special, "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None,
                 "lowercase": True}, "pre_tokenizer": {"type": "BertPreTokenizer"}, "post_processor": template, "decoder": {"type": "WordPiece", "prefix": "##",
                 "cleanup": True}, "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                 "max_input_chars_per_word": 100, "vocab": vocab}}
    put("tokenizer", "wordpiece", json.dumps(tokenizer) + "\nunaffable nibs, [MASK]")
    for name, parts in tokenizer_kinds().items():
        put("tokenizer", name, json.dumps(dict(tokenizer, truncation=None, **parts), ensure_ascii=False) + "\na nib's  \u00e9te\u0301 12 \u4e2d")


def tokenizer_kinds():
    """What of a tokenizer.json differs, by name: together they have every kind of part."""
    def stage(kind, **settings):
        return dict({"type": kind}, **settings)
    ends = {"sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "n", "i", "b", "\u0120", "ni", "nib", "\u0120a", "</w>", "b</w>", "\u2581", "##b", "<0xC3>", "<0xA9>"]
    bpe = stage("BPE", vocab={t: i for i, t in enumerate(names)}, merges=[["n", "i"], ["ni", "b"], ["\u0120", "a"]], unk_token="[UNK]", fuse_unk=True,
                byte_fallback=True, ignore_merges=True, dropout=None, continuing_subword_prefix=None, end_of_word_suffix=None)
    gpt2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
    split = [stage("Split", pattern={"Regex": p}, behavior=b, invert=i) for p, b, i in (
        (gpt2, "Isolated", False), (r"(?i:a|n)+?(?=[ib])|\d{1,2}|^\w+$", "MergedWithNext", True), (r"\p{Lu}\P{Nd}*", "MergedWithPrevious", False))]
    replace = [stage("Replace", pattern={"String": " "}, content="\u2581"), stage("Replace", pattern={"Regex": r"\s*"}, content="_")]
    byte_level = stage("ByteLevel", add_prefix_space=True, trim_offsets=True, use_regex=True)
    return {
        "bytes": {"model": dict(bpe, byte_fallback=False), "normalizer": stage("NFC"), "pre_tokenizer": byte_level, "decoder": byte_level,
                  "post_processor": stage("RobertaProcessing", trim_offsets=True, add_prefix_space=True, **ends)},
        "characters": {"model": bpe, "normalizer": stage("Sequence", normalizers=[stage("Prepend", prepend="\u2581"), replace[0]]), "pre_tokenizer": None,
                       "decoder": stage("Sequence", decoders=[stage("Replace", pattern={"String": "\u2581"}, content=" "), stage("ByteFallback"),
                                                              stage("Fuse"), stage("Strip", content=" ", start=1, stop=0)]),
                       "post_processor": stage("BertProcessing", **ends)},
        "affixes": {"model": dict(bpe, merges=["n i", "ni ##b"], end_of_word_suffix="</w>", continuing_subword_prefix="##", ignore_merges=False),
                    "normalizer": stage("Sequence", normalizers=[stage("NFKC"), stage("Lowercase"), replace[1], stage("ByteLevel")]),
                    "pre_tokenizer": stage("Sequence", pretokenizers=[split[1], split[2], stage("Whitespace")]),
                    "decoder": stage("BPEDecoder", suffix="</w>"), "post_processor": stage("Sequence", processors=[byte_level])},
        "normalizers": {"normalizer": stage("Sequence", normalizers=[stage("NFKD"), stage("StripAccents"), stage("Nmt"), stage("NFD"),
                                                                     stage("Strip", strip_left=True, strip_right=True)]),
                        "pre_tokenizer": stage("Sequence", pretokenizers=[split[0], stage("WhitespaceSplit"), stage("Digits", individual_digits=True),
                                                                          stage("Punctuation", behavior="Contiguous")])},
        "metaspace": {"model": bpe, "normalizer": None, "pre_tokenizer": stage("Metaspace", replacement="\u2581", prepend_scheme="first", split=True),
                      "decoder": stage("Metaspace", replacement="\u2581", prepend_scheme="first", split=True)},
    }


if __name__ == "__main__":
    graphs()
    tensors()
    others()
    files = [p for p in SEEDS.rglob("*") if p.is_file()]
    print(f"{len(files)} seeds, {sum(p.stat().st_size for p in files)} bytes")
