#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes test/data/op/*.bin: one-node cases with inputs and expected outputs, for test/op/test_op_golden.c.

In: the operator names that src/op/*.c lists, the node cases of the onnx package (its own conformance suite), and the grids
below, computed by ONNX Runtime or, where that has no kernel, by onnx's reference evaluator. Needs the packages onnx,
onnxruntime and numpy. Cases beyond MAX_BYTES are left out: what is tested is meaning, not size.

A file is "NIBGOLD1", u32 count, then cases: name, op (with its domain and a colon before it, if it has one), u16 opset, attributes, inputs, outputs; little endian throughout. A
string is u16 length and bytes. An attribute is its name, u8 kind (ONNX's AttributeType), and f32, i64, string, tensor, or
u32 count and elements. A tensor slot is u8 present; a tensor is u8 dtype, u8 rank, i64 dims, u32 bytes, raw data.
"""
import glob
import itertools
import os
import re
import struct
import sys
import warnings

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, helper, numpy_helper

warnings.filterwarnings("ignore")
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MAX_BYTES = 7500
# Training modes, types below a byte or with eight-bit floats, strings that are converted: not what eval promises.
SKIP = re.compile(r"train|bernoulli|dropout_default_mask|FLOAT8|float8|e4m3|e5m2|e8m0|int4|uint4|INT4|UINT4|INT2|int2|uint2|float4|FLOAT4"
                  r"|STRING|_string|sequence|optional|expanded|"
                  r"center_crop|batchnorm_.*training|image_decoder|"
                  # expected values rounded to four digits
                  r"ceil_last_window|gridsample_bicubic$|roialign_aligned")


def known():
    names = set()
    for path in glob.glob(os.path.join(ROOT, "src/op/*.c")):
        with open(path, encoding="utf-8") as f:
            names.update(re.findall(r'(?:\{|ROW\(|ROWS\()"([A-Z]\w+)", *(?:"",)? *\d+', f.read()))
    return names


def text(s):
    b = s if isinstance(s, bytes) else s.encode()
    return struct.pack("<H", len(b)) + b


def tensor(t):
    if not isinstance(t, TensorProto):
        t = numpy_helper.from_array(np.asarray(t))
    if t.data_type == TensorProto.STRING:
        raise ValueError("strings")
    if not t.HasField("raw_data"):
        t = numpy_helper.from_array(numpy_helper.to_array(t))
    return (struct.pack("<BB", t.data_type, len(t.dims)) + struct.pack(f"<{len(t.dims)}q", *t.dims) + struct.pack("<I",
            len(t.raw_data)) + t.raw_data)


def slot(t):
    return b"\0" if t is None else b"\1" + tensor(t)


def attribute(a):
    out = text(a.name) + struct.pack("<B", a.type)
    if a.type == AttributeProto.FLOAT:
        return out + struct.pack("<f", a.f)
    if a.type == AttributeProto.INT:
        return out + struct.pack("<q", a.i)
    if a.type == AttributeProto.STRING:
        return out + text(a.s)
    if a.type == AttributeProto.TENSOR:
        return out + tensor(a.t)
    if a.type == AttributeProto.FLOATS:
        return out + struct.pack("<I", len(a.floats)) + struct.pack(f"<{len(a.floats)}f", *a.floats)
    if a.type == AttributeProto.INTS:
        return out + struct.pack("<I", len(a.ints)) + struct.pack(f"<{len(a.ints)}q", *a.ints)
    if a.type == AttributeProto.STRINGS:
        return out + struct.pack("<I", len(a.strings)) + b"".join(text(v) for v in a.strings)
    raise ValueError("attribute kind")


def case(name, node, opset, inputs, outputs):
    b = text(name) + text(f"{node.domain}:{node.op_type}" if node.domain else node.op_type) + struct.pack("<H", opset)
    b += struct.pack("<H", len(node.attribute)) + b"".join(attribute(a) for a in node.attribute)
    b += struct.pack("<H", len(inputs)) + b"".join(slot(t) for t in inputs)
    return b + struct.pack("<H", len(outputs)) + b"".join(slot(t) for t in outputs)


def write(file, cases):
    path = os.path.join(ROOT, "test/data/op", file)
    with open(path, "wb") as f:
        f.write(b"NIBGOLD1" + struct.pack("<I", len(cases)) + b"".join(cases))
    print(f"{file}: {len(cases)} cases, {os.path.getsize(path)} bytes")


def conformance(names):
    from onnx.backend.test.case import node as node_cases

    cases, left = [], 0
    for t in node_cases.collect_testcases(None):
        g = t.model.graph
        if len(g.node) != 1 or g.node[0].op_type not in names or g.node[0].domain or SKIP.search(t.name):
            continue
        n, opset = g.node[0], next(o.version for o in t.model.opset_import if o.domain == "")
        for given, wanted in t.data_sets:
            try:
                by_name = dict(zip([i.name for i in g.input], given))
                results = dict(zip([o.name for o in g.output], wanted))
                b = case(t.name, n, opset, [by_name[i] if i else None for i in n.input], [results.get(o) if o else None for o in n.output])
            except (ValueError, KeyError, TypeError, AttributeError, NotImplementedError):
                left += 1
                continue
            if len(b) <= MAX_BYTES:
                cases.append(b)
            else:
                left += 1
    print(f"left out: {left}")
    return cases


class Grid:
    """Cases of our own, across types, opsets and shapes."""

    def __init__(self):
        self.cases, self.failed, self.rng = [], [], np.random.default_rng(7)

    def add(self, op, inputs, version, outputs=1, domain="", stands_for=None, constants=(), **attrs):
        """constants: the numbers of inputs that ONNX Runtime wants to be constant. stands_for: the case's inputs, where what is computed takes the same numbers in another form."""
        names = [f"x{i}" if x is not None else "" for i, x in enumerate(inputs)]
        node = helper.make_node(op, names, [f"y{i}" for i in range(outputs)], domain=domain, **attrs)
        infos = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape) for i, (n, x) in enumerate(zip(names, inputs)) if n and i not in constants]
        graph = helper.make_graph([node], "g", infos, [onnx.ValueInfoProto(name=f"y{i}") for i in range(outputs)],
                                  [onnx.numpy_helper.from_array(inputs[i], names[i]) for i in constants])
        model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17 if domain else version)] + (
            [helper.make_opsetid(domain, version)] if domain else []))
        feed = {n: x for i, (n, x) in enumerate(zip(names, inputs)) if n and i not in constants}
        got = None
        try:
            import onnxruntime as ort
            options = ort.SessionOptions()
            options.log_severity_level = 4
            got = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"]).run(None, feed)
        except Exception as failure:
            if domain:
                self.failed.append(f"{op} {version}: {str(failure)[-160:]}")
                return
            try:
                from onnx.reference import ReferenceEvaluator
                got = ReferenceEvaluator(model).run(None, feed)
            except Exception as e:
                self.failed.append(f"{op} {version}: {str(e)[:80]}")
                return
        if stands_for is not None:
            node = helper.make_node(op, [f"x{i}" for i in range(len(stands_for))], list(node.output), domain=domain, **attrs)
            inputs = stands_for
        self.cases.append(case(f"{op}_{version}_{len(self.cases)}", node, version, inputs, got))

    def array(self, dtype, shape, low=-5, high=6):
        if np.dtype(dtype) == np.bool_:
            return self.rng.integers(0, 2, shape).astype(np.bool_)
        if np.issubdtype(dtype, np.integer):
            return self.rng.integers(max(low, 0) if np.issubdtype(dtype, np.unsignedinteger) else low, high, shape).astype(dtype)
        return (self.rng.standard_normal(shape) * 2).astype(dtype)


I64 = lambda *v: np.array(v, np.int64)  # noqa: E731
FLOATS = [np.float32, np.float64, np.float16]
SIGNED = [np.int8, np.int16, np.int32, np.int64]
UNSIGNED = [np.uint8, np.uint16, np.uint32, np.uint64]
SHAPES = [((2, 3), (2, 3)), ((2, 3), (3,)), ((2, 1, 3), (4, 1)), ((), (2, 2)), ((0, 3), (3,)), ((1,), (5,))]


def elementwise(g):
    for op, dtype, (a, b) in itertools.product(["Add", "Sub", "Mul", "Div"], FLOATS[:2] + [np.int32, np.int64], SHAPES):
        y = g.array(dtype, b, 1)
        g.add(op, [g.array(dtype, a), np.where(y == 0, np.ones_like(y), y)], 13 if a else 7)
    for op, dtype in itertools.product(["Add", "Sub", "Mul", "Div"], SIGNED + UNSIGNED + [np.float16]):
        g.add(op, [g.array(dtype, (2, 3), 0), g.array(dtype, (3,), 1) if dtype != np.float16 else np.array([1, -2, 0.5], dtype)], 14)
    for op, dtype in itertools.product(["Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual"], [np.float32, np.float64,
            np.int32, np.int64]):
        g.add(op, [g.array(dtype, (3, 4), -1, 2), g.array(dtype, (4,), -1, 2)], 13)
    g.add("Equal", [g.array(np.bool_, (3, 4)), g.array(np.bool_, (4,))], 13)
    for op in ["And", "Or", "Xor"]:
        g.add(op, [g.array(np.bool_, (3, 4)), g.array(np.bool_, (4,))], 7)
    for dtype, opset in itertools.product([np.float32, np.float64, np.int64, np.int32, np.uint8, np.bool_], [9, 16]):
        g.add("Where", [g.array(np.bool_, (2, 1, 4)), g.array(dtype, (3, 1)), g.array(dtype, (4,))], opset)
    for op, dtype, opset in itertools.product(["Min", "Max"], [np.float32, np.float64, np.int32, np.int64], [8, 12, 13]):
        g.add(op, [g.array(dtype, (2, 3)), g.array(dtype, (3,)), g.array(dtype, ())], opset)
    for op, n in itertools.product(["Sum", "Mean"], [1, 2, 4]):
        g.add(op, [g.array(np.float32, (2, 3)) for _ in range(n)], 8)
    for dtype, fmod in itertools.product(SIGNED + UNSIGNED, [0, 1]):
        g.add("Mod", [g.array(dtype, (9,), -9, 10), g.array(dtype, (9,), 1, 5)], 13, fmod=fmod)
    g.add("Mod", [np.array([-7.5, 7.5, 3], np.float32), np.array([2, -2, 2], np.float32)], 13, fmod=1)
    for a, b in itertools.product([np.float32, np.float64, np.int32, np.int64], [np.float32, np.int32, np.int64]):
        g.add("Pow", [g.array(a, (2, 3), 1, 5) if a in (np.int32, np.int64) else abs(g.array(a, (2, 3))), np.abs(g.array(b, (3,), 0,
                3))], 13)
    for dtype, opset in itertools.product([np.float32, np.float64, np.int32, np.int64, np.int8, np.uint8], [12, 13]):
        g.add("Clip", [g.array(dtype, (2, 5), 0), np.array(1, dtype), np.array(3, dtype)], opset)
        g.add("Clip", [g.array(dtype, (2, 5), 0), None, np.array(3, dtype)], opset)
    g.add("Clip", [g.array(np.float32, (2, 5))], 6, min=-1.0, max=1.0)
    g.add("Clip", [g.array(np.float32, (2, 5))], 7, max=1.0)
    g.add("Clip", [g.array(np.float32, (2, 5)), np.array(-1, np.float32)], 11)
    unary = ["Sqrt", "Exp", "Log", "Erf", "Tanh", "Sigmoid", "Relu", "LeakyRelu", "Elu", "Softplus", "Softsign", "Floor", "Ceil",
            "Round", "Sign", "Reciprocal",
             "Sin", "Cos", "Neg", "Abs", "HardSigmoid", "Selu", "ThresholdedRelu", "IsNaN", "HardSwish"]
    for op, dtype in itertools.product(unary, FLOATS):
        x = g.array(dtype, (3, 5))
        g.add(op, [abs(x) + dtype(0.1) if op in ("Sqrt", "Log") else x], 14)
    for op, dtype in itertools.product(["Neg", "Abs", "Sign"], SIGNED):
        g.add(op, [g.array(dtype, (3, 5))], 13)
    special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40, 3e38, -3e38, 0.5, 1.5, 2.5, -0.5], np.float32)
    for op in ["Relu", "Exp", "Tanh", "Sigmoid", "Erf", "Round", "Floor", "IsNaN", "Sign", "Abs", "Neg", "Softplus", "Sqrt"]:
        g.add(op, [special], 13)
    for p, n in itertools.product([0, 1], [0, 1]):
        g.add("IsInf", [special], 10, detect_positive=p, detect_negative=n)
    for how in ["none", "tanh"]:
        g.add("Gelu", [g.array(np.float32, (3, 5))], 20, approximate=how)


def shapes(g):
    types = FLOATS + [np.int32, np.int64, np.uint8, np.int8, np.bool_]
    for a, b in itertools.product(FLOATS + SIGNED + UNSIGNED + [np.bool_], repeat=2):
        g.add("Cast", [np.abs(g.array(a, (7,)))], 13, to=int(helper.np_dtype_to_tensor_dtype(np.dtype(b))))
    for a in FLOATS:
        for b in (np.int32, np.int64, np.int8, np.bool_):
            g.add("Cast", [np.array([-3.9, -0.5, 0, 0.5, 3.9, 100], a)], 9, to=int(helper.np_dtype_to_tensor_dtype(np.dtype(b))))
    g.add("Cast", [g.array(np.float32, (3, 3))], 13, to=16)
    x = g.array(np.float32, (2, 3, 4))
    for shape in [(4, 6), (-1, 6), (0, -1), (0, 0, 2, 2), (24,), (1, -1, 1)]:
        g.add("Reshape", [x, I64(*shape)], 5)
        g.add("Reshape", [x, I64(*shape)], 14)
    g.add("Reshape", [np.zeros((0, 3), np.float32), I64(3, 0)], 14, allowzero=1)
    g.add("Reshape", [np.ones((1,), np.float32), np.zeros((0,), np.int64)], 13)
    for axis in range(-3, 4):
        g.add("Flatten", [x], 11, axis=axis)
    for start, end in [(0, None), (1, None), (-1, None), (0, 2), (-2, -1), (5, 9), (2, 1)]:
        g.add("Shape", [x], 15, start=start, **({} if end is None else {"end": end}))
    g.add("Size", [x], 13)
    one = g.array(np.float32, (1, 3, 1, 2))
    for axes in [[0], [2], [0, 2], [-4, -2], None]:
        g.add("Squeeze", [one], 11, **({"axes": axes} if axes else {}))
        g.add("Squeeze", [one] + ([I64(*axes)] if axes else []), 13)
    for axes in [[0], [1, 3], [-1], [0, 4]]:
        g.add("Unsqueeze", [x], 11, axes=[a for a in axes])
        g.add("Unsqueeze", [x, I64(*axes)], 13)
    for dtype in types:
        g.add("Expand", [g.array(dtype, (3, 1)), I64(2, 1, 4)], 13)
        g.add("Transpose", [g.array(dtype, (2, 3, 4))], 13, perm=[2, 0, 1])
        g.add("Concat", [g.array(dtype, (2, 3)), g.array(dtype, (2, 1))], 13, axis=-1)
        g.add("Tile", [g.array(dtype, (2, 3)), I64(2, 2)], 13)
        g.add("Gather", [g.array(dtype, (5, 3)), I64(0, -1, 2)], 13)
        g.add("Identity", [g.array(dtype, (5, 3))], 13)
        g.add("Slice", [g.array(dtype, (5, 6)), I64(1, -1), I64(4, -5), I64(0, 1), I64(1, -2)], 13)
    g.add("Expand", [g.array(np.float32, (2, 3)), I64(1)], 8)
    g.add("Transpose", [x], 13)
    for perm in itertools.permutations(range(4)):
        g.add("Transpose", [g.array(np.float32, (2, 3, 1, 4))], 13, perm=list(perm))
    for axis in range(-3, 3):
        g.add("Concat", [x, x, np.zeros([0 if i == axis % 3 else d for i, d in enumerate(x.shape)], np.float32)], 11, axis=axis)
    for opset in (11, 13):
        extra = lambda v: ([I64(*v)], {}) if opset == 13 else ([], {"split": v})  # noqa: E731
        for sizes in ([1, 2, 3], [6, 0, 0], [2, 2, 2]):
            more, attrs = extra(sizes)
            g.add("Split", [g.array(np.float32, (2, 6))] + more, opset, outputs=3, axis=1, **attrs)
        g.add("Split", [g.array(np.int64, (6, 2))], opset, outputs=2, axis=-2)
    g.add("Split", [g.array(np.float32, (7,))], 18, outputs=3, num_outputs=3)
    big = 2**62
    slices = [([0], [big], [1], [1]), ([-1], [-big], [0], [-1]), ([1, 0], [9, 2], [1, 2], [2, 1]), ([5], [1], [1], [1]), ([-3], [-1],
            [-1], [1]),
              ([2], [-big], [2], [-2]), ([0], [0], [0], [1]), ([-100], [100], [1], [3]), ([100], [-100], [1], [-2])]
    for s, e, a, st in slices:
        g.add("Slice", [g.array(np.float32, (3, 5, 4)), I64(*s), I64(*e), I64(*a), I64(*st)], 13)
        g.add("Slice", [g.array(np.int64, (3, 5, 4))] + [np.array(np.clip(v, -2**31 + 1, 2**31 - 1), np.int32) for v in (s, e, a, st)], 10)
    g.add("Slice", [x], 9, starts=[0, 1], ends=[1, 100], axes=[0, -1])
    g.add("Slice", [x], 7, starts=[0, 1], ends=[1, -1])
    for mode, pads in itertools.product(["constant", "edge", "reflect"], [[0, 1, 2, 1], [1, 0, 0, 0]]):
        g.add("Pad", [g.array(np.float32, (3, 4)), I64(*pads)], 13, mode=mode)
        g.add("Pad", [g.array(np.float32, (3, 4))], 9, mode=mode, pads=pads, **({"value": 2.5} if mode == "constant" else {}))
    g.add("Pad", [g.array(np.float32, (3, 4)), I64(-1, 1, 0, -2), np.array(7, np.float32)], 13)
    g.add("Pad", [g.array(np.int64, (3, 4)), I64(1, 2), np.array(7, np.int64), I64(1)], 18)
    for dtype in (np.float32, np.int64, np.int32, np.bool_, np.float16):
        g.add("ConstantOfShape", [I64(2, 3)], 9, value=numpy_helper.from_array(np.array([1], dtype)))
    g.add("ConstantOfShape", [np.zeros(0, np.int64)], 9)
    g.add("ConstantOfShape", [I64(2, 0)], 9)
    for dtype, (a, b, d) in itertools.product([np.int64, np.int32, np.float32, np.float64], [(0, 5, 1), (5, 0, -2), (3, 3, 1), (1,
            10, 3), (0, -5, 1)]):
        g.add("Range", [np.array(v, dtype) for v in (a, b, d)], 11)
    for upper, k in itertools.product([0, 1], [-5, -1, 0, 1, 9]):
        g.add("Trilu", [g.array(np.float32, (2, 3, 4)), np.array(k, np.int64)], 14, upper=upper)
    g.add("Trilu", [g.array(np.bool_, (4, 4))], 14)
    for k in (-1, 0, 2):
        g.add("EyeLike", [np.zeros((3, 4), np.float32)], 9, k=k, dtype=7)
    g.add("Dropout", [x], 11)
    g.add("Dropout", [x, np.array(0.5, np.float32)], 13, outputs=2)


def indexing(g):
    for axis, dtype in itertools.product(range(-3, 3), [np.int32, np.int64]):
        g.add("Gather", [g.array(np.float32, (3, 4, 3)), np.array([[0, -1], [2, 1]], dtype)], 11, axis=axis)
        g.add("GatherElements", [g.array(np.float32, (3, 3, 3)), g.array(dtype, (3, 3, 3), -3, 3)], 13, axis=axis)
        g.add("ScatterElements", [g.array(np.float32, (4, 4, 4)), np.array([[[1]], [[-1]]], dtype), g.array(np.float32, (2, 1, 1))],
                13, axis=axis)
    g.add("Gather", [g.array(np.float32, (3, 4)), np.array(1, np.int64)], 11, axis=1)
    g.add("Gather", [g.array(np.float32, (3, 4)), np.zeros((0,), np.int64)], 11, axis=1)
    for batch, idx in [(0, [[0, 1], [-1, 0]]), (1, [[[0], [1]], [[1], [0]]]), (0, [[1]])]:
        g.add("GatherND", [g.array(np.int64, (2, 3, 2)), np.array(idx, np.int64)], 13, batch_dims=batch)
    for how, opset in [("none", 16), ("add", 16), ("mul", 16), ("max", 18), ("min", 18)]:
        for dtype in (np.float32, np.int64, np.int32):
            g.add("ScatterND", [g.array(dtype, (4, 3)), np.array([[0], [2], [-1]], np.int64), g.array(dtype, (3, 3))], opset, reduction=how)
            g.add("ScatterElements", [g.array(dtype, (4, 3)), np.array([[0, 1, 0], [2, -1, 0]], np.int64), g.array(dtype, (2, 3))],
                    opset, reduction=how)
    for axis in (-1, 0, 1):
        g.add("OneHot", [np.array([[0, 2], [-1, 9]], np.int64), np.array(4, np.int64), np.array([0, 1], np.float32)], 11, axis=axis)
    g.add("OneHot", [np.array([1, 2], np.int32), np.array(3, np.int32), np.array([5, 7], np.int32)], 11)
    g.add("Compress", [g.array(np.float32, (3, 4)), np.array([0, 1, 1], np.bool_)], 11, axis=0)
    g.add("Compress", [g.array(np.float32, (3, 4)), np.array([0, 1, 1, 0, 1], np.bool_)], 11)
    for dtype in (np.float32, np.int64, np.bool_, np.int32):
        g.add("NonZero", [g.array(dtype, (3, 4), -1, 2)], 13)
    g.add("NonZero", [np.zeros((2, 2), np.float32)], 13)


def reductions(g):
    ops = ["Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "LogSum", "LogSumExp", "SumSquare"]
    for op, axes, keep in itertools.product(ops, [None, [1], [-1], [0, 2]], [0, 1]):
        x = g.array(np.float32, (2, 3, 4))
        x = abs(x) if op == "LogSum" else x
        attrs = {} if axes is None else {"axes": axes}
        g.add("Reduce" + op, [x], 11, keepdims=keep, **attrs)
        g.add("Reduce" + op, [x] + ([I64(*axes)] if axes else []), 18, keepdims=keep)
    for op, dtype in itertools.product(["Sum", "Max", "Min", "Prod", "Mean"], [np.float64, np.int32, np.int64]):
        g.add("Reduce" + op, [np.abs(g.array(dtype, (2, 3)))] + ([I64(1)] if op == "Sum" else []), 13,
                **({} if op == "Sum" else {"axes": [1]}))
    g.add("ReduceSum", [g.array(np.float32, (2, 3)), np.zeros(0, np.int64)], 13, noop_with_empty_axes=1)
    g.add("ReduceSum", [g.array(np.float32, (2, 3)), np.zeros(0, np.int64)], 13)
    g.add("ReduceSum", [np.zeros((2, 0, 3), np.float32), I64(1)], 13)
    for op, axis, keep, last in itertools.product(["ArgMax", "ArgMin"], [0, -1], [0, 1], [0, 1]):
        g.add(op, [g.array(np.int32, (3, 5), 0, 3)], 13, axis=axis, keepdims=keep, select_last_index=last)
        g.add(op, [g.array(np.float32, (3, 5))], 11, axis=axis, keepdims=keep)
    for ex, rev, axis, dtype in itertools.product([0, 1], [0, 1], [0, -1], [np.float32, np.int32, np.int64]):
        g.add("CumSum", [g.array(dtype, (3, 4)), np.array(axis, np.int64)], 14, exclusive=ex, reverse=rev)
    for largest, axis, dtype in itertools.product([0, 1], [0, -1], [np.float32, np.int64, np.int32]):
        g.add("TopK", [g.array(dtype, (4, 5)), I64(3)], 11, outputs=2, largest=largest, axis=axis, sorted=1)
    g.add("TopK", [g.array(np.float32, (4, 5))], 9, outputs=2, k=2)


def products(g):
    for a, b in [((2, 3), (3, 4)), ((5, 2, 3), (3, 4)), ((2, 1, 2, 3), (4, 3, 5)), ((3,), (3,)), ((3,), (2, 3, 4)), ((2, 4, 3),
            (3,)), ((0, 3), (3, 2)), ((2, 0), (0, 3)),
                 ((1, 70), (70, 67))]:
        for dtype in (np.float32, np.float64, np.int32, np.int64) if a != (1, 70) else (np.float32,):
            g.add("MatMul", [g.array(dtype, a), g.array(dtype, b)], 13)
    g.add("MatMul", [g.array(np.float16, (2, 3)), g.array(np.float16, (3, 4))], 13)
    for ta, tb, c in itertools.product([0, 1], [0, 1], [None, (), (4,), (1, 4), (3, 1), (3, 4)]):
        inputs = [g.array(np.float32, (5, 3) if ta else (3, 5)), g.array(np.float32, (4, 5) if tb else (5, 4))]
        g.add("Gemm", inputs + ([] if c is None else [g.array(np.float32, c)]), 13, transA=ta, transB=tb, alpha=0.5, beta=2.0)
    g.add("Gemm", [g.array(np.float32, (2, 3)), g.array(np.float32, (3, 4)), g.array(np.float32, (4,))], 9)
    for axis in range(-3, 3):
        x = g.array(np.float32, (2, 3, 4))
        for op in ("Softmax", "LogSoftmax", "Hardmax"):
            g.add(op, [x], 13, axis=axis)
            g.add(op, [x], 11, axis=axis)
        g.add("LpNormalization", [x], 1, axis=axis, p=2)
        g.add("LpNormalization", [x], 1, axis=axis, p=1)
        g.add("LayerNormalization", [x, g.array(np.float32, x.shape[axis:] if axis else x.shape), g.array(np.float32,
                x.shape[axis:] if axis else x.shape)], 17, outputs=3, axis=axis)
    for dtype in FLOATS:
        g.add("Softmax", [g.array(dtype, (3, 5))], 13)
        g.add("LayerNormalization", [g.array(dtype, (3, 5)), g.array(dtype, (5,))], 17, epsilon=1e-3)
    g.add("Softmax", [np.array([[1, -np.inf, 0], [1e4, -1e4, 1e4]], np.float32)], 13)
    g.add("RMSNormalization", [g.array(np.float32, (2, 3, 8)), g.array(np.float32, (8,))], 23, epsilon=1e-6)
    g.add("BatchNormalization", [g.array(np.float32, (2, 3, 4))] + [abs(g.array(np.float32, (3,))) for _ in range(4)], 9)
    g.add("InstanceNormalization", [g.array(np.float32, (2, 3, 4))] + [g.array(np.float32, (3,)) for _ in range(2)], 6)
    for opset, n in ((18, 2), (21, 4)):
        g.add("GroupNormalization", [g.array(np.float32, (2, 4, 3))] + [g.array(np.float32, (n,)) for _ in range(2)], opset, num_groups=2)


def quantized(g):
    for k in range(4):
        g.add("DynamicQuantizeLinear", [g.array(np.float32, (3, 5)) + np.float32(3 * (k - 1))], 11, outputs=3)
    g.add("DynamicQuantizeLinear", [np.zeros((2, 2), np.float32)], 11, outputs=3)
    for dtype, opset in itertools.product([np.uint8, np.int8], [10, 13, 19]):
        g.add("QuantizeLinear", [g.array(np.float32, (3, 4)) * 40, np.array(0.5, np.float32), np.array(3, dtype)], opset)
        g.add("DequantizeLinear", [g.array(dtype, (3, 4)), np.array(0.5, np.float32), np.array(3, dtype)], opset)
        if opset > 10:
            for axis in (0, 1, -1):
                n = (3, 4)[axis]
                g.add("QuantizeLinear", [g.array(np.float32, (3, 4)), abs(g.array(np.float32, (n,))) + 1, g.array(dtype, (n,))],
                        opset, axis=axis)
                g.add("DequantizeLinear", [g.array(dtype, (3, 4)), g.array(np.float32, (n,)), g.array(dtype, (n,))], opset, axis=axis)
    g.add("DequantizeLinear", [g.array(np.int32, (3, 4)), np.array(0.25, np.float32)], 13)
    g.add("QuantizeLinear", [np.array([0.5, 1.5, 2.5, -0.5, 1e9, -1e9], np.float32), np.array(1, np.float32)], 13)
    for a, b in itertools.product([np.uint8, np.int8], repeat=2):
        g.add("MatMulInteger", [g.array(a, (2, 3, 4), 0, 100), g.array(b, (4, 5), 0, 100), np.array(3, a), np.array(2, b)], 10)
    g.add("MatMulInteger", [g.array(np.uint8, (3, 4)), g.array(np.int8, (4, 5)), np.array(3, np.uint8), g.array(np.int8, (5,))], 10)
    g.add("MatMulInteger", [g.array(np.uint8, (3, 4)), g.array(np.int8, (4, 5))], 10)


def contrib(g):
    """Domain com.microsoft, as ONNX Runtime computes it on a CPU."""
    f32 = np.float32

    def add(op, inputs, outputs=1, **attrs):
        g.add(op, inputs, 1, outputs, domain="com.microsoft", **attrs)

    def real(*shape):
        return g.array(f32, shape) / f32(2)

    def ints(*v, shape=None):
        return np.array(v, np.int32).reshape(shape or (len(v),))

    for skip in ((2, 3, 8), (3, 8), (1, 3, 8)):
        add("SkipLayerNormalization", [real(2, 3, 8), real(*skip), real(8), real(8), real(8)], epsilon=1e-5)
        add("SkipSimplifiedLayerNormalization", [real(2, 3, 8), real(*skip), real(8), real(8)], epsilon=1e-5)
    add("SkipLayerNormalization", [real(2, 3, 8), real(2, 3, 8), real(8)])
    add("SkipSimplifiedLayerNormalization", [real(2, 3, 8), real(2, 3, 8), real(8)])
    for axis in (-1, 1):
        g.add("SimplifiedLayerNormalization", [real(2, 3, 8), real(8) if axis < 0 else real(3, 8)], 17, axis=axis)
    ids = ints(1, 2, 0, 4, 3, 1, shape=(2, 3))
    for mask in (None, ints(1, 1, 0, 1, 1, 1, shape=(2, 3))):
        for seg, table in ((None, None), (ints(0, 1, 1, 0, 0, 1, shape=(2, 3)), real(2, 8))):
            add("EmbedLayerNormalization", [ids, seg, real(5, 8), real(6, 8), table, real(8), real(8), mask], 2, epsilon=1e-5)
    add("EmbedLayerNormalization", [ids, None, real(5, 8), real(6, 8), None, real(8), real(8), None, ints(2, 3, 5, shape=(1, 3))], 3)
    for op in ("Gelu", "QuickGelu", "FastGelu"):
        add(op, [real(3, 5)])
    add("QuickGelu", [real(3, 5)], alpha=1.0)
    add("FastGelu", [real(3, 5), real(5)])
    add("BiasGelu", [real(3, 5), real(5)])

    for ta, tb in itertools.product([0, 1], repeat=2):
        add("FusedMatMul", [real(2, *((4, 3) if ta else (3, 4))), real(*((5, 4) if tb else (4, 5)))], alpha=0.5, transA=ta, transB=tb)
    for ta, tb in itertools.product([0, 1], repeat=2):
        add("FusedMatMul", [real(3, 2, 4) if not ta else real(4, 2, 3), real(4, 2, 5) if not tb else real(5, 2, 4)],
            transA=ta, transB=tb, transBatchA=1, transBatchB=1)
    for act in ("Relu", "Sigmoid", "Tanh", "LeakyRelu"):
        add("FusedGemm", [real(3, 4), real(5, 4), real(5)], transB=1, alpha=0.5, beta=2.0, activation=act, activation_alpha=0.1)
    for x, w in itertools.product([np.uint8, np.int8], repeat=2):  # no CPU kernel: NumPy
        a, b, sa, sb, za, zb, c = (g.array(x, (3, 4), 0, 100), g.array(w, (4, 5), 0, 100), np.array(0.1, f32), abs(real(5)), np.array(3, x),
                                   g.array(w, (5,), 0, 4), real(5))
        y = ((a.astype(int) - int(za)) @ (b.astype(int) - zb.astype(int)) * (float(sa) * sb.astype(float)) + c).astype(f32)
        node = helper.make_node("MatMulIntegerToFloat", list("abcdefg"), ["y"], domain="com.microsoft")
        g.cases.append(case(f"MatMulIntegerToFloat_{len(g.cases)}", node, 1, [a, b, sa, sb, za, zb, c], [y]))
    for w in (np.uint8, np.int8):
        add("DynamicQuantizeMatMul", [real(2, 3, 4), g.array(w, (4, 5), 0, 100), np.array(0.1, f32), np.array(3, w), real(5)])
        add("DynamicQuantizeMatMul", [real(2, 3, 4), g.array(w, (4, 5), 0, 100), abs(real(5))])
    add("Inverse", [real(2, 3, 3)])
    for act, params in (("Relu", None), ("Tanh", None), ("Sigmoid", None), ("LeakyRelu", [0.1]), ("Clip", [-0.5, 1.0]), ("HardSigmoid", [0.2, 0.5])):
        add("FusedConv", [real(1, 4, 5, 5), real(6, 2, 3, 2), real(6)], group=2, pads=[1, 0, 1, 1], strides=[2, 1], activation=act,
            **({"activation_params": params} if params else {}))
    for bits, k in itertools.product([2, 4, 8], [32, 40]):
        blocks, byte = -(-k // 16), 16 * bits // 8
        w, scale = g.array(np.uint8, (3, blocks, byte), 0, 256), abs(real(3 * blocks))
        zero = g.array(np.uint8, (3 * -(-blocks * bits // 8),), 0, 256)
        for z, b in itertools.product((None, zero), (None, real(3))):
            add("MatMulNBits", [real(2, k), w, scale, z, None, b], K=k, N=3, bits=bits, block_size=16)
    add("MatMulNBits", [real(2, 32), g.array(np.uint8, (3, 2, 8), 0, 256), abs(real(6)), None, g.array(np.int32, (32,), 0, 2)],
        K=32, N=3, bits=4, block_size=16)
    for bits in (4, 8):
        width = 32 * bits // 8
        for zero in (None, g.array(np.uint8, (6, 2 * bits // 8), 0, 256)):
            add("GatherBlockQuantized", [g.array(np.uint8, (6, width), 0, 256), np.array([[1, -2], [5, 0]], np.int64), abs(real(6, 2)), zero],
                bits=bits, block_size=16, gather_axis=0, quantize_axis=1)

    table = [real(16, 4), real(16, 4)]
    for inter, x in itertools.product([0, 1], [real(2, 3, 16), real(2, 2, 3, 8)]):
        add("RotaryEmbedding", [x, I64(2)] + table, interleaved=inter)
        add("RotaryEmbedding", [x, g.array(np.int64, (2, 3), 0, 16)] + table, interleaved=inter)
    add("RotaryEmbedding", [real(2, 3, 24), I64(1), real(16, 2), real(16, 2)], num_heads=3, rotary_embedding_dim=4)
    attention(g, add, real, ints)
    quantized_linear(g, add)

    for w, each, way in itertools.product((np.uint8, np.int8), (0, 1), ("forward", "reverse", "bidirectional")):
        # one text: ONNX Runtime rounds the states of some together
        d, (t, i, h) = 1 + (way == "bidirectional"), (5, 6, 7)
        low, unsigned = (0, True) if w == np.uint8 else (-100, False)
        def scales():
            return (0.01 + 0.01 * g.rng.random((d, 4 * h) if each else (d,))).astype(f32)
        def zeros():
            return np.full((d, 4 * h) if each else (d,), g.rng.integers(90, 130) if unsigned else 0, w)  # it takes no others
        add("DynamicQuantizeLSTM", [real(t, 1, i), g.array(w, (d, i, 4 * h), low, low + 200), g.array(w, (d, h, 4 * h), low, low + 200),
                                    real(d, 8 * h) if each else None, None, real(d, 1, h) if each else None,
                                    real(d, 1, h) if each else None, None, scales(), zeros(), scales(), zeros()],
            outputs=3, constants=(1, 2, 8, 9, 10, 11), hidden_size=h, direction=way)

def attention(g, add, real, ints):
    rows = g.array(np.int32, (2, 3, 3), 0, 2)
    rows[:, :, 0] = 1  # a row of nothing but masks is rounding alone
    w, b = real(6, 24) / np.float32(4), real(24)
    for mask in (None, ints(2, 3), ints(2, 3, 1, 0), ints(1, 0, 1, 1, 1, 1, shape=(2, 3)), rows):
        for causal in (0, 1):
            add("Attention", [real(2, 3, 6), w, b, mask], num_heads=2, unidirectional=causal)
    add("Attention", [real(2, 3, 6), w, b, None, real(2, 2, 2, 4, 4)], 2, num_heads=2, unidirectional=1)
    add("Attention", [real(2, 3, 6), w, b, None, None, real(1, 2, 3, 3)], num_heads=2, scale=0.3)
    add("Attention", [real(2, 3, 6), real(6, 22) / np.float32(4), real(22)], num_heads=2, qkv_hidden_sizes=[8, 8, 6])
    q8 = [g.array(np.uint8, (2, 3, 6), 0, 200), g.array(np.int8, (6, 24), -100, 100), b, np.array(0.02, np.float32), np.array(0.03, np.float32)]
    add("QAttention", q8 + [ints(2, 3), np.array(100, np.uint8), np.array(3, np.int8)], num_heads=2)
    add("QAttention", q8 + [None, np.array(100, np.uint8), np.array(3, np.int8)], num_heads=2, unidirectional=1)
    q, k, v = real(2, 3, 8), real(2, 5, 8), real(2, 5, 8)
    for bias, mask in itertools.product((None, real(24)), (None, ints(3, 5), ints(1, 0, 1, 1, 0, 0, 1, 1, 0, 1, shape=(2, 5)))):
        add("MultiHeadAttention", [q, k, v, bias, mask], num_heads=2)
    add("MultiHeadAttention", [q, k, v, None, None, real(2, 1, 3, 5)], num_heads=2)
    add("MultiHeadAttention", [q, q, q, None, None, None, real(2, 2, 4, 4), real(2, 2, 4, 4)], 3, num_heads=2, unidirectional=1)
    add("MultiHeadAttention", [q, q, q], num_heads=2, unidirectional=1, scale=0.4)
    add("MultiHeadAttention", [q, real(2, 2, 5, 4), real(2, 2, 5, 4)], num_heads=2)
    three, two = real(2, 3, 2, 3, 4), real(2, 5, 2, 2, 4)  # packed, which ONNX Runtime computes on GPUs only
    add("MultiHeadAttention", [three[:, :, :, i].reshape(2, 3, 8) for i in range(3)], stands_for=[three], num_heads=2)
    add("MultiHeadAttention", [q] + [two[:, :, :, i].reshape(2, 5, 8) for i in range(2)], stands_for=[q, two], num_heads=2)
    tables, past = [real(16, 8), real(16, 8)], lambda n: [real(2, 1, n, 16), real(2, 1, n, 16)]
    kv = [real(2, 3, 16), real(2, 3, 16)]
    heads = dict(num_heads=2, kv_num_heads=1)
    first = [real(2, 3, 32)] + kv + [None, None, ints(2, 2), np.array(3, np.int32)]
    later = [real(2, 1, 32), real(2, 1, 16), real(2, 1, 16)] + past(4) + [ints(4, 2), np.array(5, np.int32)]
    for extra in ({}, {"local_window_size": 2}, {"softcap": 1.5}, {"scale": 0.2}, {"smooth_softmax": 1}):
        add("GroupQueryAttention", first, 3, **heads, **extra)
        add("GroupQueryAttention", later, 3, **heads, **extra)
    for inter in (0, 1):
        add("GroupQueryAttention", first + tables, 3, **heads, do_rotary=1, rotary_interleaved=inter)
        add("GroupQueryAttention", later + tables, 3, **heads, do_rotary=1, rotary_interleaved=inter)
    add("GroupQueryAttention", [real(2, 3, 64), None, None] + past(3) + [ints(2, 2), np.array(3, np.int32)] + tables, 3, **heads, do_rotary=1)
    add("GroupQueryAttention", [real(1, 3, 32), real(1, 3, 16), real(1, 3, 16), real(1, 1, 2, 16), real(1, 1, 2, 16), ints(4), np.array(5, np.int32)], 3, **heads)
    add("GroupQueryAttention", later + [None, None, None, real(2, 1, 1, 5)], 3, **heads)
    add("GroupQueryAttention", later + [None, None, None, None, real(2)], 3, **heads)


def quantized_linear(g, add):
    one = lambda v: np.array(v, np.float32)  # noqa: E731
    for t in (np.uint8, np.int8):
        low = 0 if t == np.uint8 else -128
        x, y, z = (g.array(t, s, low, low + 256) for s in ((2, 3, 4), (3, 1), (2, 3, 5)))
        for op in ("QLinearAdd", "QLinearMul"):
            add(op, [x, one(0.03137), np.array(3, t), y, one(0.01719), np.array(7, t), one(0.05071), np.array(9, t)])
        for op in ("QLinearSigmoid", "QLinearLeakyRelu"):
            add(op, [x, one(0.031), np.array(30, t), one(0.0041), np.array(9, t)])
        for axis in (-1, 1):
            add("QLinearSoftmax", [x, one(0.031), np.array(3, t), one(1 / 256), np.array(0, t)], axis=axis, opset=13)
        add("QLinearSoftmax", [x, one(0.031), np.array(3, t), one(1 / 256), np.array(0, t)], axis=1, opset=12)
        add("QLinearConcat", [one(0.03), np.array(5, t), x, one(0.031), np.array(3, t), z, one(0.04), np.array(1, t)], axis=2)
        image = g.array(t, (1, 2, 5, 5), low, low + 256)
        add("QLinearGlobalAveragePool", [image, one(0.031), np.array(3, t), one(0.02), np.array(4, t)], channels_last=0)
        for pad in (0, 1):
            add("QLinearAveragePool", [image, one(0.031), np.array(3, t), one(0.02), np.array(4, t)], kernel_shape=[2, 3], strides=[2, 1],
                pads=[1, 0, 0, 1], count_include_pad=pad)
        add("QuantizeLinear", [g.array(np.float32, (3, 4)), one(0.05), np.array(3, t)])
        add("DequantizeLinear", [x, one(0.05), np.array(3, t)])


def learned(g):
    """Domain ai.onnx.ml, as ONNX Runtime computes it."""
    def add(op, inputs, outputs=1, **attrs):
        g.add(op, inputs, 3, outputs, domain="ai.onnx.ml", **attrs)

    x = g.array(np.float32, (4, 3))
    for norm in ("MAX", "L1", "L2"):
        add("Normalizer", [x], norm=norm)
    add("Scaler", [x], offset=[0.5, 1.0, -1.0], scale=[2.0, 0.5, 1.5])
    add("Scaler", [g.array(np.int64, (4, 3))], offset=[0.5], scale=[2.0])
    add("Imputer", [np.array([[1, np.nan, 3], [np.nan, 5, 6]], np.float32)], imputed_value_floats=[7.0, 8.0, 9.0], replaced_value_float=float("nan"))
    add("Imputer", [np.array([[1, -1, 3], [-1, 5, 6]], np.int64)], imputed_value_int64s=[7], replaced_value_int64=-1)
    add("FeatureVectorizer", [x, g.array(np.float32, (4, 2))], inputdimensions=[3, 2])
    add("OneHotEncoder", [np.array([[1, 5], [3, 1]], np.int64)], cats_int64s=[1, 3, 7])
    w = [float(v) for v in g.array(np.float32, (9,))]
    for after in ("NONE", "SOFTMAX", "LOGISTIC"):
        add("LinearRegressor", [x], coefficients=w, intercepts=w[:3], targets=3, post_transform=after)
        add("LinearClassifier", [x], 2, coefficients=w, intercepts=w[:3], classlabels_ints=[4, 7, 9], post_transform=after)
        add("LinearClassifier", [x], 2, coefficients=w[:6], intercepts=w[:2], classlabels_ints=[4, 7], post_transform=after)
    for kernel in ("LINEAR", "POLY", "RBF", "SIGMOID"):
        add("SVMRegressor", [x], coefficients=w[:2], support_vectors=w[:6], n_supports=2, rho=[0.3], kernel_type=kernel,
            kernel_params=[0.2, 0.1, 2.0])
    # two trees of three and five nodes; node i of a tree leads to 2 i + 1 and 2 i + 2
    def tree(sizes):
        names = [(t, i) for t, n in enumerate(sizes) for i in range(n)]
        leaf = [2 * i + 1 >= sizes[t] for t, i in names]
        return {"nodes_treeids": [t for t, _ in names], "nodes_nodeids": [i for _, i in names],
                "nodes_featureids": [(t + i) % 3 for t, i in names], "nodes_values": [0.5 * (i - 1) for _, i in names],
                "nodes_modes": ["LEAF" if end else "BRANCH_LEQ" for end in leaf],
                "nodes_truenodeids": [0 if end else 2 * i + 1 for (_, i), end in zip(names, leaf)],
                "nodes_falsenodeids": [0 if end else 2 * i + 2 for (_, i), end in zip(names, leaf)]}, [n for n, end in zip(names, leaf) if end]

    nodes, leaves = tree([3, 5])
    x = g.array(np.float32, (8, 3))

    def weights(prefix, ids, values):
        return {prefix + "_treeids": [t for t, _ in leaves], prefix + "_nodeids": [i for _, i in leaves], prefix + "_ids": ids,
                prefix + "_weights": values}

    for how in ("SUM", "AVERAGE", "MIN", "MAX"):
        add("TreeEnsembleRegressor", [x], n_targets=1, aggregate_function=how, **nodes, **weights("target", [0] * 5, [1.0, -2, 3, 0.5, 7]))
    add("TreeEnsembleRegressor", [x], n_targets=2, base_values=[0.5, 1.5], **nodes, **weights("target", [0, 0, 1, 1, 1], [1.0, -2, 3, 0.5, 7]))
    for after in ("NONE", "LOGISTIC", "SOFTMAX"):
        add("TreeEnsembleClassifier", [x], 2, classlabels_int64s=[3, 5, 9], post_transform=after, **nodes,
            **weights("class", [0, 1, 2, 0, 1], [0.4, 0.6, 0.3, 0.5, 0.7]))
    for which, after, values in itertools.product((0, 1), ("NONE", "LOGISTIC"), ([0.1, 0.4, 0.3, 0.2, 0.5], [-1.0, 0.4, 0.3, -0.2, 0.5])):
        add("TreeEnsembleClassifier", [x], 2, classlabels_int64s=[3, 5], post_transform=after, **nodes, **weights("class", [which] * 5, values))


def windows(g):
    """Convolutions, pools, sampling and recurrent layers beyond ONNX's own cases."""
    def real(*shape):
        return g.array(np.float32, shape) / np.float32(4)

    g.add("Conv", [real(2, 8, 6, 7), real(16, 8, 3, 3), real(16)], 17, pads=[1, 1, 1, 1])
    g.add("Conv", [real(1, 4, 9, 11), real(6, 4, 3, 2)], 17, strides=[2, 3], dilations=[2, 1])
    g.add("Conv", [real(2, 4, 5, 4, 6), real(6, 2, 3, 2, 3), real(6)], 17, group=2, auto_pad="SAME_UPPER", strides=[2, 1, 2])
    g.add("Conv", [real(2, 4, 6, 7), real(4, 1, 3, 3), real(4)], 17, group=4, auto_pad="SAME_LOWER")
    g.add("Conv", [real(2, 5, 20), real(7, 5, 3), real(7)], 17, pads=[1, 1], strides=[2])
    g.add("Conv", [real(2, 3, 5, 5).astype(np.float64), real(4, 3, 3, 3).astype(np.float64)], 17)
    g.add("ConvTranspose", [real(2, 4, 4, 5), real(4, 3, 3, 4), real(6)], 17, group=2, strides=[2, 3], pads=[1, 0, 1, 2],
          output_padding=[1, 1], dilations=[2, 1])
    g.add("ConvTranspose", [real(2, 4, 9), real(4, 3, 4)], 17, strides=[2], auto_pad="SAME_UPPER")
    g.add("ConvTranspose", [real(1, 2, 4, 5), real(2, 3, 3, 3)], 17, strides=[2, 2], output_shape=[9, 10])
    for op, how in itertools.product(["MaxPool", "AveragePool"], [
            dict(kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1], ceil_mode=1), dict(kernel_shape=[3, 3], auto_pad="SAME_LOWER"),
            dict(kernel_shape=[3, 3], strides=[2, 3], auto_pad="VALID")]):
        g.add(op, [real(1, 2, 7, 8)], 17, **how)
    g.add("MaxPool", [real(1, 2, 7, 8)], 17, outputs=2, kernel_shape=[3, 3], strides=[2, 2], dilations=[2, 1])
    g.add("AveragePool", [real(1, 2, 7, 8)], 17, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], count_include_pad=1, ceil_mode=1)
    g.add("LpPool", [real(1, 2, 7, 8)], 17, kernel_shape=[3, 3], p=3)
    g.add("GlobalLpPool", [real(1, 2, 7, 8)], 17, p=3)
    g.add("MaxRoiPool", [real(2, 2, 6, 8), np.array([[0, 1, 2, 6, 8], [1, 0, 0, 7, 5], [0, 5, 5, 4, 4]], np.float32)], 17,
          pooled_shape=[2, 3], spatial_scale=0.7)
    for mode, where in itertools.product(["nearest", "linear", "cubic"], ["half_pixel", "asymmetric", "pytorch_half_pixel"]):
        g.add("Resize", [real(1, 1, 5, 6), None, np.array([1, 1, 2, 1.5], np.float32)], 17, mode=mode, coordinate_transformation_mode=where)
        g.add("Resize", [real(1, 1, 5, 6), None, None, I64(1, 1, 4, 9)], 17, mode=mode, coordinate_transformation_mode=where)
    for op, gates, out in (("RNN", 1, 2), ("GRU", 3, 2), ("LSTM", 4, 3)):
        for way, d in (("forward", 1), ("reverse", 1), ("bidirectional", 2)):
            g.add(op, [real(4, 2, 3), real(d, gates * 5, 3), real(d, gates * 5, 5), real(d, 2 * gates * 5), np.array([4, 2], np.int32)]
                  + [real(d, 2, 5)] * (out - 1), 14, outputs=out, hidden_size=5, direction=way)
    g.add("GRU", [real(4, 2, 3), real(1, 15, 3), real(1, 15, 5), real(1, 30)], 14, outputs=2, hidden_size=5, linear_before_reset=1, clip=0.5)
    g.add("LSTM", [real(4, 2, 3), real(1, 20, 3), real(1, 20, 5), real(1, 40), None, None, None, real(1, 15)], 14, outputs=3, hidden_size=5,
          activations=["HardSigmoid", "Elu", "Softsign"], activation_alpha=[0.3, 0.7], activation_beta=[0.4])
    for equation, shapes_of in (("bij,bjk->bik", [(2, 3, 4), (2, 4, 5)]), ("...ij,...jk", [(2, 1, 3, 4), (5, 4, 6)]), ("iij->j", [(3, 3, 4)]),
                                ("abc,cd,de->abe", [(2, 3, 4), (4, 5), (5, 6)])):
        g.add("Einsum", [real(*s) for s in shapes_of], 17, equation=equation)
    g.add("NonMaxSuppression", [abs(real(2, 20, 4)), abs(real(2, 3, 20)), I64(5), np.array([0.3], np.float32), np.array([0.1], np.float32)], 17)
    for mode, pad, corners in itertools.product(["bilinear", "nearest", "bicubic"], ["zeros", "border", "reflection"], [0, 1]):
        g.add("GridSample", [real(1, 2, 4, 5), real(1, 3, 3, 2) * 4], 17, mode=mode, padding_mode=pad, align_corners=corners)
    for scale, rounded in itertools.product([2, 0.6], ["floor", "round_prefer_floor"]):
        g.add("Resize", [real(1, 1, 5, 4), np.zeros(0, np.float32), np.array([1, 1, scale, 1.5], np.float32)], 11, mode="nearest",
              coordinate_transformation_mode="tf_half_pixel_for_nn", nearest_mode=rounded)


def main():
    os.makedirs(os.path.join(ROOT, "test/data/op"), exist_ok=True)
    write("conformance.bin", conformance(known()))
    for fill in (elementwise, shapes, indexing, reductions, products, quantized, contrib, learned, windows):
        g = Grid()
        fill(g)
        write(fill.__name__ + ".bin", g.cases)
        for f in sorted(set(g.failed)):
            print("  no reference:", f, file=sys.stderr)


if __name__ == "__main__":
    main()
