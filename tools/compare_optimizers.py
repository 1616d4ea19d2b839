#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares `nib optimize` with onnxsim and onnxslim on models: nodes (Constant nodes not counted), time, and whether ONNX Runtime loads what nib wrote and
computes the same as with the original. Needs onnx, onnxruntime, numpy; onnxsim and onnxslim where they are installed.

    compare_optimizers.py [--alone] NIB MODEL.onnx... [-- OPTIONS OF NIB OPTIMIZE]      --alone: nib only
"""
import os
import re
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnx
import onnxruntime as ort


ALONE = "--alone" in sys.argv


def nodes(graph):
    total = 0
    for n in graph.node:
        total += n.op_type != "Constant"
        for a in n.attribute:
            total += nodes(a.g) if a.HasField("g") else 0
            total += sum(nodes(g) for g in a.graphs)
    return total


def feeds(session, seq, rng):
    """Random ids, and masks of padded texts."""
    out = {}
    for i in session.get_inputs():
        shape = [d if isinstance(d, int) else (2 if k == 0 else seq) for k, d in enumerate(i.shape)]
        if "mask" in i.name:
            x = np.arange(shape[-1])[None] < rng.integers(1, shape[-1] + 1, shape[0])[:, None]
            x[-1] = True
        elif "float" in i.type:
            x = rng.standard_normal(shape)
        else:
            x = rng.integers(0, 2 if "type" in i.name else 500, shape)
        out[i.name] = x.astype({"tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(bool)": bool}.get(i.type, np.float32))
    return out


def session(path):
    o = ort.SessionOptions()
    o.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    o.log_severity_level = 3
    return ort.InferenceSession(path, o, providers=["CPUExecutionProvider"])


def difference(a, b):
    """The largest over sizes and outputs, relative to the output's largest number."""
    x, y, rng, worst = session(a), session(b), np.random.default_rng(0), 0.0
    for seq in (1, 7, 33, 70):
        f = feeds(x, seq, rng)
        for p, q in zip(x.run(None, f), y.run([o.name for o in x.get_outputs()], f)):
            if p.shape != q.shape:
                return np.inf
            worst = max(worst, np.abs(p - q).max() / max(np.abs(p).max(), 1e-30))
    return worst


def tool(name, path):
    if ALONE:
        return "-", 0.0
    try:
        begun = time.perf_counter()
        if name == "onnxsim":
            import onnxsim
            m = onnxsim.simplify(onnx.load(path))[0]
        else:
            import onnxslim
            m = onnxslim.slim(onnx.load(path))
        return nodes(m.graph), time.perf_counter() - begun
    except Exception as e:
        return type(e).__name__, 0.0


def main():
    args = [a for a in sys.argv[1:] if a != "--alone"]
    extra = args[args.index("--") + 1:] if "--" in args else []
    nib, models = args[0], args[1:len(args) - len(extra) - (1 if "--" in args else 0)]
    totals, worse = [0.0, 0.0, 0.0], []
    for name in ("onnxsim", "onnxslim"):
        tool(name, models[0])  # their imports are not timed
    print(f"{'model':28} {'nodes':>6} {'onnxsim':>8} {'onnxslim':>8} {'nib':>6} {'nib proves':>11} {'ORT differs':>12} {'twice':>6}")
    with tempfile.TemporaryDirectory() as d:
        for path in models:
            out, again, label = d + "/o.onnx", d + "/p.onnx", "/".join(path.split("/")[-2:]).removesuffix(".onnx")
            run = subprocess.run([nib, "optimize", path, "-o", out, *extra], capture_output=True, text=True)
            if run.returncode:
                print(f"{label:28} nib: {run.stderr.strip()[:150]}")
                worse.append(label)
                continue
            ms = float(re.search(r"optimized in ([\d.]+) ms", run.stdout)[1])
            proof = re.search(r"not proven.*|differs by at most (\S+),", run.stdout)
            subprocess.run([nib, "optimize", out, "-o", again, "--no-check", *extra], capture_output=True)
            same = os.path.exists(again) and open(out, "rb").read() == open(again, "rb").read()
            sim, slim, ours = tool("onnxsim", path), tool("onnxslim", path), nodes(onnx.load(out).graph)
            onnx.checker.check_model(out)
            try:
                differs = f"{difference(path, out):.1e}"
            except Exception as e:
                differs = str(e)[:100]
            print(f"{label:28} {nodes(onnx.load(path).graph):6} {sim[0]:>8} {slim[0]:>8} {ours:6} {proof and (proof[1] or 'no')!s:>11} {differs:>12}"
                  f" {'same' if same else 'OTHER':>6}", flush=True)
            for i, t in enumerate((sim[1], slim[1], ms / 1e3)):
                totals[i] += t
            if ours > min([x for x in (sim[0], slim[0]) if isinstance(x, int)], default=ours):
                worse.append(label)
    print(f"seconds: onnxsim {totals[0]:.2f}, onnxslim {totals[1]:.2f}, nib {totals[2]:.3f}; more nodes than either: {', '.join(worse) or 'none'}")


if __name__ == "__main__":
    main()
