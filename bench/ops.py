#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Single operators of networks that are no transformers, each as a model of its own, in ONNX Runtime and in nib; rows as
bench/real.py prints them, by its functions.

    bench/ops.py [--nib build/nib] [--threads 1,2] [--turns 3] [--only WORD]
"""
import argparse
import pathlib
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import real

ROOT = pathlib.Path(__file__).resolve().parent.parent
random = np.random.default_rng(0)
ML = "ai.onnx.ml"


def reals(*shape):
    return random.standard_normal(shape).astype(np.float32)


def bytes_of(dtype, *shape):
    return random.integers(np.iinfo(dtype).min, np.iinfo(dtype).max + 1, shape).astype(dtype)


def weights_of(*shape):
    """7 bits of them: with 8, ONNX Runtime's sums of pairs saturate where the CPU has AVX2 and no VNNI, and are no reference."""
    return random.integers(-64, 64, shape).astype(np.int8)


def model(op, feed, constants, outputs=1, domain="", ml=3, inputs=None, **attributes):
    """One node that reads `inputs` (default: what is fed, then constants in their order)."""
    names = [f"y{i}" for i in range(outputs)]
    node = helper.make_node(op, list(feed) + list(constants) if inputs is None else inputs, names, domain=domain, **attributes)
    given = [helper.make_tensor_value_info(k, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for k, v in feed.items()]
    graph = helper.make_graph([node], "g", given, [helper.make_empty_tensor_value_info(n) for n in names],
                              [numpy_helper.from_array(v, k) for k, v in constants.items()])
    # ONNX Runtime wants the type of an output
    guess = {"ConvInteger": TensorProto.INT32, "NonMaxSuppression": TensorProto.INT64, "QLinearConv": TensorProto.UINT8,
             "QLinearMatMul": TensorProto.UINT8}
    for o in graph.output:
        o.type.tensor_type.elem_type = guess.get(op, TensorProto.FLOAT)
    if op == "TreeEnsembleClassifier":
        graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19), helper.make_opsetid(ML, ml)], ir_version=9)


# ---- forests: 100 trees of depth 8 on 30 features

def forest(trees=100, depth=8, features=30, classes=1):
    """Attributes as TreeEnsembleRegressor and -Classifier name them, without the word in front of targets."""
    inner = 2 ** depth - 1
    ids, trees_of, modes, features_of, values, yes, no = [], [], [], [], [], [], []
    target_tree, target_node, target_id, target_weight = [], [], [], []
    for t in range(trees):
        for i in range(2 * inner + 1):
            leaf = i >= inner
            trees_of.append(t), ids.append(i)
            modes.append("LEAF" if leaf else "BRANCH_LEQ")
            features_of.append(0 if leaf else int(random.integers(features)))
            values.append(0.0 if leaf else float(np.float32(random.standard_normal())))
            yes.append(0 if leaf else 2 * i + 1), no.append(0 if leaf else 2 * i + 2)
            for c in range(classes if leaf else 0):
                target_tree.append(t), target_node.append(i), target_id.append(c)
                target_weight.append(float(np.float32(random.standard_normal() / trees)))
    nodes = dict(nodes_treeids=trees_of, nodes_nodeids=ids, nodes_modes=modes, nodes_featureids=features_of, nodes_values=values,
                 nodes_truenodeids=yes, nodes_falsenodeids=no, nodes_hitrates=[1.0] * len(ids),
                 nodes_missing_value_tracks_true=[0] * len(ids))
    return nodes, dict(treeids=target_tree, nodeids=target_node, ids=target_id, weights=target_weight)


def regressor(rows, **more):
    nodes, targets = forest()
    return model("TreeEnsembleRegressor", {"x": reals(rows, 30)}, {}, domain=ML, n_targets=1, **nodes,
                 **{f"target_{k}": v for k, v in targets.items()}, **more), {"x": reals(rows, 30)}


def classifier(rows):
    nodes, targets = forest(classes=3)
    return model("TreeEnsembleClassifier", {"x": reals(rows, 30)}, {}, outputs=2, domain=ML, classlabels_int64s=[0, 1, 2],
                 post_transform="SOFTMAX", **nodes, **{f"class_{k}": v for k, v in targets.items()}), {"x": reals(rows, 30)}


def ensemble(rows, trees=100, depth=8, features=30):
    """TreeEnsemble of ai.onnx.ml 5: inner nodes and leaves are numbered apart."""
    inner, leaves = 2 ** depth - 1, 2 ** depth
    n = trees * inner
    yes, no, yes_leaf, no_leaf, roots = [], [], [], [], []
    for t in range(trees):
        roots.append(t * inner)
        for i in range(inner):
            for side, where, leaf in ((1, yes, yes_leaf), (2, no, no_leaf)):
                child = 2 * i + side
                leaf.append(int(child >= inner))
                where.append(t * leaves + child - inner if child >= inner else t * inner + child)
    tensor = numpy_helper.from_array
    attributes = dict(n_targets=1, tree_roots=roots, nodes_featureids=random.integers(0, features, n).tolist(),
                      nodes_splits=tensor(reals(n), "s"), nodes_modes=tensor(np.zeros(n, np.uint8), "m"), nodes_truenodeids=yes,
                      nodes_falsenodeids=no, nodes_trueleafs=yes_leaf, nodes_falseleafs=no_leaf,
                      leaf_targetids=[0] * (trees * leaves), leaf_weights=tensor(reals(trees * leaves) / trees, "w"))
    x = reals(rows, features)
    return model("TreeEnsemble", {"x": x}, {}, domain=ML, ml=5, **attributes), {"x": x}


# ---- the rest


def resize(shape, factor, **attributes):
    x = {"x": reals(*shape)}
    return model("Resize", x, {"scales": np.array([1, 1, factor, factor], np.float32)}, inputs=["x", "", "scales"], **attributes), x


def suppression(boxes, classes):
    corners = random.random((1, boxes, 2)).astype(np.float32)
    feed = {"boxes": np.concatenate([corners, corners + 0.1 * random.random((1, boxes, 2)).astype(np.float32)], -1),
            "scores": random.random((1, classes, boxes)).astype(np.float32)}
    return model("NonMaxSuppression", feed, {"most": np.array(100, np.int64), "iou": np.array(0.5, np.float32),
                                             "least": np.array(0.3, np.float32)}), feed


def conv(x, w, **attributes):
    feed = {"x": reals(*x)}
    return model("Conv", feed, {"w": reals(*w), "b": reals(w[0])}, **attributes), feed


def pool(op, x, **attributes):
    feed = {"x": reals(*x)}
    return model(op, feed, {}, **attributes), feed


def conv_integer(x, w, **attributes):
    feed = {"x": bytes_of(np.uint8, *x)}
    return model("ConvInteger", feed, {"w": weights_of(*w), "zero": np.array(119, np.uint8)}, **attributes), feed


def qlinear_conv(x, w, **attributes):
    feed, K = {"x": bytes_of(np.uint8, *x)}, np.prod(w[1:])
    return model("QLinearConv", feed, {
        "xs": np.array(0.02, np.float32), "xz": np.array(119, np.uint8), "w": weights_of(*w),
        "ws": (0.001 + 0.001 * random.random(w[0])).astype(np.float32), "wz": np.zeros(w[0], np.int8),
        "ys": np.array(0.003 * K ** 0.5, np.float32), "yz": np.array(128, np.uint8),
        "b": random.integers(-5000, 5000, w[0]).astype(np.int32)}, **attributes), feed


def qlinear_matmul(rows, K, N):
    feed = {"x": bytes_of(np.uint8, rows, K)}
    return model("QLinearMatMul", feed, {
        "xs": np.array(0.02, np.float32), "xz": np.array(119, np.uint8), "w": weights_of(K, N), "ws": np.array(0.001, np.float32),
        "wz": np.array(0, np.int8), "ys": np.array(0.003 * K ** 0.5, np.float32), "yz": np.array(128, np.uint8)}), feed


def loop(turns, rows, K):
    """A product, its bias and a Tanh in the body of a Loop."""
    f32, i64, truth = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["d"]), helper.make_node("MatMul", ["v", "w"], ["p"]), helper.make_node("Add", ["p", "b"], ["s"]),
         helper.make_node("Tanh", ["s"], ["z"])], "body",
        [value("i", i64, []), value("c", truth, []), value("v", f32, [rows, K])], [value("d", truth, []), value("z", f32, [rows, K])],
        [numpy_helper.from_array(reals(K, K) / K ** 0.5, "w"), numpy_helper.from_array(reals(K), "b")])
    feed = {"x": reals(rows, K)}
    return model("Loop", feed, {"turns": np.array(turns, np.int64), "on": np.array(True)}, inputs=["turns", "on", "x"], body=body), feed


SAME, SAME_3D = dict(pads=[1, 1, 1, 1]), dict(pads=[1] * 6)
ROWS = {
    "Resize nearest 2x": lambda: resize((1, 64, 80, 80), 2, mode="nearest", nearest_mode="floor",
                                        coordinate_transformation_mode="asymmetric"),
    "Resize linear 2x": lambda: resize((1, 64, 80, 80), 2, mode="linear", coordinate_transformation_mode="half_pixel"),
    "Resize linear 0.6x": lambda: resize((1, 16, 320, 320), 0.6, mode="linear", coordinate_transformation_mode="half_pixel"),
    "Resize cubic 2x": lambda: resize((1, 16, 80, 80), 2, mode="cubic", coordinate_transformation_mode="half_pixel"),
    "NonMaxSuppression 2000 x 10": lambda: suppression(2000, 10),
    "TreeEnsembleRegressor 1": lambda: regressor(1),
    "TreeEnsembleRegressor 1000": lambda: regressor(1000),
    "TreeEnsembleClassifier 1000 x 3": lambda: classifier(1000),
    "TreeEnsemble 1000": lambda: ensemble(1000),
    "Conv 3-D": lambda: conv((1, 16, 16, 32, 32), (32, 16, 3, 3, 3), **SAME_3D),
    "Conv 3-D, depthwise": lambda: conv((1, 32, 16, 32, 32), (32, 1, 3, 3, 3), group=32, **SAME_3D),
    "MaxPool 3-D": lambda: pool("MaxPool", (1, 32, 16, 32, 32), kernel_shape=[2, 2, 2], strides=[2, 2, 2]),
    "AveragePool 3-D": lambda: pool("AveragePool", (1, 32, 16, 32, 32), kernel_shape=[3, 3, 3], **SAME_3D),
    "ConvInteger 3x3": lambda: conv_integer((1, 64, 56, 56), (64, 64, 3, 3), **SAME),
    "QLinearConv 3x3": lambda: qlinear_conv((1, 64, 56, 56), (64, 64, 3, 3), **SAME),
    "QLinearConv 1x1": lambda: qlinear_conv((1, 256, 28, 28), (128, 256, 1, 1)),
    "QLinearConv depthwise": lambda: qlinear_conv((1, 128, 56, 56), (128, 1, 3, 3), group=128, **SAME),
    "Loop of 50 products 32x256x256": lambda: loop(50, 32, 256),
    "QLinearMatMul 128x384x384": lambda: qlinear_matmul(128, 384, 384),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nib", default=str(ROOT / "build/nib"))
    parser.add_argument("--threads", default="1")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    print(f"{'operator':52} t ONNX Runtime ms / nib ms, ratio; MiB of each")
    for threads in [int(t) for t in args.threads.split(",")]:
        for name, make in ROWS.items():
            if args.only not in name:
                continue
            with tempfile.TemporaryDirectory() as folder:
                made, feed = make()
                path = pathlib.Path(folder) / "model.onnx"
                onnx.save(made, path)
                real.row(args, name, path, feed, threads, pathlib.Path(folder))


if __name__ == "__main__":
    main()
