#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Converts every node case of ONNX's backend suite to other opsets, and has onnx's checker look at what `nib optimize --opset` wrote.

A file is valid, or the exit code is not 0. Needs onnx; with onnxruntime, what ONNX Runtime computes from both files is compared, too,
where it takes both. usage: check_opset.py [--refused] NIB CASES [OPSET ...]
--refused lists what is refused, and how often.
"""
import collections
import pathlib
import re
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import numpy_helper

OPSETS = [7, 9, 11, 13, 16, 18, 20, 22, 24]
# A Split of 5 into 4 in a branch that is not taken: onnx infers sizes that do not add up, and takes no declared ones that do.
ODD = ("test_affine_grid_3d_expanded", "test_affine_grid_3d_align_corners_expanded")
RANDOM = ("Dropout", "Bernoulli", "Random", "Multinomial")

try:
    import onnxruntime as ort
    ort.set_default_logger_severity(4)
except ImportError:
    ort = None


def tensors(folder, what="input"):
    found = []
    for i in range(32):
        path = folder / f"{what}_{i}.pb"
        if not path.exists():
            return found
        found.append(numpy_helper.to_array(onnx.load_tensor(str(path))))
    return found


def refusal(model):
    try:
        onnx.checker.check_model(model, full_check=True)
        return None
    except Exception as e:  # pylint: disable=broad-except
        return " ".join(str(e).split())[:400]


def run(path, inputs):
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, dict(zip([i.name for i in session.get_inputs()], inputs)))


def same(a, b):
    try:
        return all(x.shape == y.shape and x.dtype == y.dtype and (np.allclose(x, y, 1e-3, 1e-5, equal_nan=True) if x.dtype.kind in "fc"
                                                                   else np.array_equal(x, y)) for x, y in zip(a, b))
    except (AttributeError, TypeError):
        return True  # sequences and optionals


def main():
    args = [a for a in sys.argv[1:] if a != "--refused"]
    nib, cases = args[0], pathlib.Path(args[1])
    opsets = [int(v) for v in args[2:]] or OPSETS
    counts, bad, reasons = collections.Counter(), [], collections.Counter()
    with tempfile.TemporaryDirectory() as work:
        out = pathlib.Path(work) / "out.onnx"
        for path in sorted((cases / "node").glob("*/model.onnx")):
            model = onnx.load(str(path))
            if path.parent.name in ODD:
                continue
            if refusal(model):
                counts["not valid themselves"] += 1
                continue
            before = next((o.version for o in model.opset_import if not o.domain), 0)
            for opset in opsets:
                if opset == before or not before:
                    continue
                out.unlink(missing_ok=True)
                p = subprocess.run([nib, "optimize", str(path), "-o", str(out), "-O0", "--no-check", "--opset", str(opset)],
                                   capture_output=True, text=True, check=False)
                if p.returncode:
                    counts["refused"] += 1
                    said = p.stderr.strip().splitlines() or [""]
                    reasons[f"{before} -> {opset}: " + re.sub(r"^nib: | \(.*", "", said[0])] += 1
                    continue
                name = f"{path.parent.name} {before} -> {opset}"
                why = refusal(str(out))
                if why:
                    bad.append(f"{name}: {why}")
                    continue
                counts["valid"] += 1
                if not ort or any(n.op_type.startswith(RANDOM) for n in model.graph.node):
                    continue
                try:
                    inputs = tensors(path.parent / "test_data_set_0")
                    want = run(path, inputs)
                    if not same(want, tensors(path.parent / "test_data_set_0", "output")):
                        counts["otherwise"] += 1  # than ONNX: what ONNX Runtime does may differ from opset to opset
                        continue
                except Exception:  # pylint: disable=broad-except
                    continue
                try:
                    got = run(out, inputs)
                except Exception as e:  # pylint: disable=broad-except
                    if "NOT_IMPLEMENTED" not in str(e):
                        bad.append(f"{name}: ONNX Runtime: {str(e).strip().splitlines()[0][:150]}")
                    continue
                counts["run"] += 1
                if not same(want, got):
                    bad.append(f"{name}: other numbers")
    for line in bad:
        print(line)
    for reason, n in sorted(reasons.items()) if "--refused" in sys.argv else ():
        print(f"refused {n:3d}  {reason}")
    print(f"{counts['not valid themselves']} cases are not valid themselves; {counts['valid']} valid, "
          f"{counts['refused']} refused, {counts['run']} compared in ONNX Runtime, {counts['otherwise']} of which it has "
          f"other numbers than ONNX, {len(bad)} wrong")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
