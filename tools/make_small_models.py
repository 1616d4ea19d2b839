#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Small models, written by hand, of what exporters write seldom: test/data/onnx/small. Needs onnx and numpy.

usage: make_small_models.py [FOLDER]
"""
import pathlib
import sys

import numpy as np
import onnx
from onnx import helper, numpy_helper

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "test/data/onnx/small"


def value(name, shape, kind=onnx.TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def node(op, inputs, outputs, **attributes):
    return helper.make_node(op, inputs, outputs, **attributes)


def constant(name, data):
    return numpy_helper.from_array(np.asarray(data), name)


def model(nodes, inputs, outputs, constants=(), opset=17, **more):
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(constants), **more)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def sums():
    """A mask whose length is the sum of two other inputs' sizes, by name, and an input that is longer by one."""
    i64 = onnx.TensorProto.INT64
    return model(
        [node("Concat", ["past", "x"], ["k"], axis=1), node("Cast", ["mask"], ["m"], to=1), node("Add", ["k", "m"], ["y"]),
         node("Shape", ["longer"], ["n"])],
        [value("mask", ["b", "past_len + seq"], i64), value("x", ["b", "seq"]), value("past", ["b", "past_len"]),
         value("longer", ["past_len + 1"])],
        [value("y", None), value("n", None, i64)])


def stale():
    """Declared shapes of another input size: the operators contradict them."""
    return model(
        [node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1]), node("Transpose", ["a"], ["t"], perm=[0, 2, 3, 1]),
         node("Reshape", ["t", "s"], ["y"])],
        [value("x", [1, 3, 8, 8])], [value("y", [256, 5])],
        [constant("w", np.ones((5, 3, 3, 3), np.float32)), constant("s", [-1, 5])], value_info=[value("a", [1, 5, 16, 16])])


def merged():
    """A decoder with and without a past in one file, as Optimum merges them: both branches use the names of the If's own outputs."""
    outputs = [value("logits", ["b", "s", 4]), value("present", ["b", "t", 4])]
    first = helper.make_graph([node("Identity", ["x"], ["present"]), node("MatMul", ["x", "w"], ["logits"])], "first", [], outputs)
    later = helper.make_graph([node("Concat", ["past", "x"], ["present"], axis=1), node("MatMul", ["present", "w"], ["all"]),
                               node("Slice", ["all", "from", "to", "axis"], ["logits"])], "later", [], outputs)
    return model(
        [node("If", ["use_cache"], ["logits", "present"], then_branch=later, else_branch=first)],
        [value("use_cache", [1], onnx.TensorProto.BOOL), value("x", ["b", "s", 4]), value("past", ["b", "p", 4])], outputs,
        [constant("w", np.arange(16, dtype=np.float32).reshape(4, 4) / 8), constant("from", [-1]), constant("to", [2**31]),
         constant("axis", [1])])


MODELS = [sums, stale, merged]


def main():
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for make in MODELS:
        (folder / f"{make.__name__}.onnx").write_bytes(make().SerializeToString(deterministic=True))


if __name__ == "__main__":
    main()
