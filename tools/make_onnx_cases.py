#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the cases of ONNX's own backend suite as folders that build/test/onnx_backend runs.

    tools/make_onnx_cases.py DIR

In: the package onnx from PyPI, which makes the node cases and carries the simple and pytorch ones. Nothing is downloaded:
models that the suite would fetch are no cases here. Out, for each case:

    DIR/<kind>/<name>/model.onnx
    DIR/<kind>/<name>/test_data_set_<n>/input_<k>.pb, output_<k>.pb     TensorProto, SequenceProto or OptionalProto
    DIR/operators.txt                                                   every operator and since-version that onnx defines
    DIR/<kind>/<name>/compare.txt                                       where it differs from the suite's usual comparison

compare.txt has lines `rtol X` and `atol X`, and `values any` for operators that draw random numbers: of those, the standard
fixes type and shape only, and what NumPy's generator gave when the case was written is no one's expected value.
"""
import os
import re
import shutil
import sys
import warnings

import onnx
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests

warnings.filterwarnings("ignore")
KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator")
USUAL = (1e-3, 1e-7)
RANDOM = {"Bernoulli", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial"}


def draws(model):
    """Whether the outputs hold random numbers: a random operator, or Dropout told to train with a ratio that is not 0."""
    nodes = list(model.graph.node) + [n for f in model.functions for n in f.node]
    if any(n.op_type in RANDOM for n in nodes):
        return True
    return any(n.op_type == "Dropout" and len(n.input) > 2 and n.input[2] for n in nodes)


def zero_ratio(name):
    return bool(re.search(r"training_dropout_zero_ratio", name))


def proto(value, info):
    kind = info.type.WhichOneof("value")
    if kind == "map_type":
        return numpy_helper.from_dict(value, info.name)
    if kind == "sequence_type":
        return numpy_helper.from_list(value, info.name)
    if kind == "optional_type":
        return numpy_helper.from_optional(value, info.name)
    return value if isinstance(value, onnx.TensorProto) else numpy_helper.from_array(value, info.name)


def write(path, message):
    with open(path, "wb") as f:
        f.write(message.SerializeToString())


def write_case(folder, case):
    if case.model is not None:
        os.makedirs(folder)
        write(os.path.join(folder, "model.onnx"), case.model)
        for n, (inputs, outputs) in enumerate(case.data_sets):
            at = os.path.join(folder, f"test_data_set_{n}")
            os.makedirs(at)
            for what, values, infos in (("input", inputs, case.model.graph.input), ("output", outputs, case.model.graph.output)):
                for k, value in enumerate(values):
                    write(os.path.join(at, f"{what}_{k}.pb"), proto(value, infos[k]))
    else:
        shutil.copytree(case.model_dir, folder)
    model = case.model if case.model is not None else onnx.load(os.path.join(folder, "model.onnx"))
    lines = []
    if (case.rtol, case.atol) != USUAL:
        lines += [f"rtol {case.rtol!r}", f"atol {case.atol!r}"]
    if draws(model) and not zero_ratio(case.name):
        lines.append("values any")
    if lines:
        with open(os.path.join(folder, "compare.txt"), "w", encoding="ascii") as f:
            f.write("\n".join(lines) + "\n")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    total = 0
    for kind in KINDS:
        root = os.path.join(sys.argv[1], kind)
        shutil.rmtree(root, ignore_errors=True)
        for case in sorted(load_model_tests(kind=kind), key=lambda c: c.name):
            if case.model is None and case.model_dir is None:
                continue
            write_case(os.path.join(root, case.name), case)
            total += 1
    with open(os.path.join(sys.argv[1], "operators.txt"), "w", encoding="ascii") as f:
        for s in sorted(onnx.defs.get_all_schemas_with_history(), key=lambda s: (s.domain, s.name, s.since_version)):
            f.write(f"{s.domain or 'ai.onnx'} {s.name} {s.since_version}\n")
    with open(os.path.join(sys.argv[1], "version.txt"), "w", encoding="ascii") as f:
        f.write(f"onnx {onnx.__version__}, {total} cases\n")
    print(f"{total} cases of onnx {onnx.__version__} in {sys.argv[1]}")


if __name__ == "__main__":
    main()
