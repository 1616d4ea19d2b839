#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares `nib optimize` with onnxsim, onnxslim and ONNX Runtime's transformer optimizer on models. For each model one line: nodes (Constant nodes not counted) as
exported, after each tool and after nib -O1, -O2 and -O2 --target onnxruntime; what nib found (attentions, rotary, norms, gated feed-forwards; a * where some stay in their
long form); the largest difference of any output in ONNX Runtime, relative to the output's largest number, over sizes, padding on either side and both written files; whether
optimizing the written files again changes a byte; with --time, ONNX Runtime's time on its own optimized file divided by that on nib's, taken in turns (above 1: nib's is
faster). Needs onnx, onnxruntime, numpy; onnxsim and onnxslim where they are installed.

    compare_optimizers.py [--alone] [--time SECONDS] [--batch B] [--tokens N] NIB MODEL.onnx... [-- OPTIONS OF NIB OPTIMIZE]
        --alone: nib only; --time: how long each model is timed
"""
import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnx
import onnxruntime as ort

FOUND = ("attention", "rotary", "norm", "gated feed-forward")
TARGETS = ("standard", "onnxruntime")


def nodes(graph):
    total = 0
    for n in graph.node:
        total += n.op_type != "Constant"
        for a in n.attribute:
            total += nodes(a.g) if a.HasField("g") else 0
            total += sum(nodes(g) for g in a.graphs)
    return total


def feeds(session, batch, seq, rng, left=False):
    """Random ids, and masks of padded texts."""
    out = {}
    for i in session.get_inputs():
        shape = [d if isinstance(d, int) else (batch if k == 0 else seq) for k, d in enumerate(i.shape)]
        if "mask" in i.name:
            x = np.arange(shape[-1])[None] < rng.integers(1, shape[-1] + 1, shape[0])[:, None]
            x[-1] = True
            x = x[:, ::-1] if left else x
        elif "float" in i.type:
            x = rng.standard_normal(shape)
        else:
            x = rng.integers(0, 2 if "type" in i.name else 500, shape)
        out[i.name] = x.astype({"tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(bool)": bool}.get(i.type, np.float32))
    return out


def session(path, threads=0, optimize=False):
    o = ort.SessionOptions()
    o.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL if optimize else ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    o.log_severity_level = 3
    o.intra_op_num_threads = threads
    return ort.InferenceSession(path, o, providers=["CPUExecutionProvider"])


def difference(a, b):
    """The largest over sizes and outputs, relative to the output's largest number."""
    x, y, rng, worst = session(a), session(b), np.random.default_rng(0), 0.0
    for seq, left in ((1, False), (7, False), (33, False), (33, True), (70, False), (90, True)):
        f = feeds(x, 2, seq, rng, left)
        for p, q in zip(x.run(None, f), y.run([o.name for o in x.get_outputs()], f)):
            if p.shape != q.shape or (np.isnan(p) != np.isnan(q)).any():
                return np.inf
            worst = max(worst, np.nan_to_num(np.abs(p - q)).max() / max(np.nan_to_num(np.abs(p)).max(), 1e-30))
    return worst


def other_tool(name, path, out):
    """Nodes and seconds; the file is left at `out`."""
    try:
        begun = time.perf_counter()
        if name == "onnxsim":
            import onnxsim
            m = onnxsim.simplify(onnx.load(path))[0]
        elif name == "onnxslim":
            import onnxslim
            m = onnxslim.slim(onnx.load(path))
        else:
            import logging
            logging.disable(logging.WARNING)
            from onnxruntime.transformers import optimizer
            best = None
            for kind in ("bert", "gpt2"):  # what it knows of encoders and of decoders; the smaller result counts
                o = optimizer.optimize_model(path, model_type=kind)
                best = o.model if best is None or nodes(o.model.graph) < nodes(best.graph) else best
            m = best
        seconds = time.perf_counter() - begun
        onnx.save(m, out)
        return nodes(m.graph), seconds
    except Exception as e:
        return type(e).__name__[:9], 0.0


def optimize(nib, path, out, options):
    """The report, or None with what went wrong."""
    run = subprocess.run([nib, "optimize", path, "-o", out, *options], capture_output=True, text=True)
    return (run.stdout, "") if run.returncode == 0 else (None, run.stderr.strip()[:150])


def counts(report):
    line = re.search(r"^found: (.*)$", report, re.M)
    text, out = line[1] if line else "", []
    for name in FOUND:
        m = re.search(rf"(?:^|, ){name} (\d+)( \(\d+ in the long form\))?", text)
        out.append((m[1] + ("*" if m[2] else "")) if m else "0")
    return "/".join(out)


def checked(path):
    """onnx.checker, but for ONNX Runtime's own operator in ai.onnx's domain, which it refuses."""
    m = onnx.load(path)
    if not any(n.op_type == "SimplifiedLayerNormalization" for n in m.graph.node):
        onnx.checker.check_model(m)


def ratio(theirs, ours, seconds, batch, tokens):
    """Median time of their file / median time of ours, runs alternating; both with all of ONNX Runtime's own optimizations. None if theirs does not run."""
    try:
        a, b = session(theirs, 1, True), session(ours, 1, True)
        f = feeds(a, batch, tokens, np.random.default_rng(1))
        names = [o.name for o in a.get_outputs()]
        times = ([], [])
        for s in (a, b, a, b):
            s.run(names, f)
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or len(times[0]) < 5:
            for s, t in ((a, times[0]), (b, times[1])):
                begun = time.perf_counter()
                s.run(names, f)
                t.append(time.perf_counter() - begun)
        return statistics.median(times[0]) / statistics.median(times[1])
    except Exception as e:
        print("   not timed:", str(e)[:120].replace("\n", " "))
        return None


def one(a, path, extra, d, seconds):
    files = {t: f"{d}/{t}.onnx" for t in TARGETS}
    again, label = d + "/again.onnx", "/".join(path.split("/")[-2:]).removesuffix(".onnx")
    before, begun = nodes(onnx.load(path).graph), time.perf_counter()
    others = {t: ("-", 0.0) if a.alone else other_tool(t, path, f"{d}/{t}.onnx") for t in ("onnxsim", "onnxslim", "ort")}
    ours, found, worst, same, bad = [], "", 0.0, True, ""
    o1, why = optimize(a.nib, path, d + "/o1.onnx", ["-O", "1", *extra])
    ours.append(nodes(onnx.load(d + "/o1.onnx").graph) if o1 else why)
    for t in TARGETS:
        options = ["-O", "2", "--target", t, *extra]
        report, why = optimize(a.nib, path, files[t], options)
        if not report:
            return f"{label:30} nib: {why}", None
        seconds["nib"] += float(re.search(r"optimized in ([\d.]+) ms", report)[1]) / 1e3
        bad += " not proven" if "not proven" in report else ""
        optimize(a.nib, files[t], again, [*options, "--no-check"])
        same &= open(files[t], "rb").read() == open(again, "rb").read()
        checked(files[t])
        ours.append(nodes(onnx.load(files[t]).graph))
        found = counts(report)
        try:
            worst = max(worst, difference(path, files[t]))
        except Exception as e:
            bad += " " + str(e)[:100].replace("\n", " ")
    for t, (_, s) in others.items():
        seconds[t] += s
    r = None
    if a.time:
        theirs = f"{d}/ort.onnx" if isinstance(others["ort"][0], int) else path  # its optimizer failed: its session's own optimizations
        r = ratio(theirs, files["onnxruntime"], a.time, a.batch, a.tokens)
    line = f"{label:30} {before:6} {others['onnxsim'][0]:>8} {others['onnxslim'][0]:>8} {others['ort'][0]:>9} {ours[0]:>5} {ours[1]:>5} {ours[2]:>5} {found:>12}"
    line += f" {worst:8.1e} {'same' if same else 'OTHER':>6}" + (f" {r:6.2f}x" if r else "") + bad
    least = min([others[t][0] for t in ("onnxsim", "onnxslim") if isinstance(others[t][0], int)], default=before)
    return line, (label, worst, same, r, not isinstance(ours[0], int) or ours[0] > least)  # all three simplify only


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--alone", action="store_true")
    p.add_argument("--time", type=float, default=0)
    p.add_argument("--batch", type=int, default=2)
    p.add_argument("--tokens", type=int, default=128)
    p.add_argument("nib")
    p.add_argument("models", nargs="+")
    argv, extra = sys.argv[1:], []
    if "--" in argv:
        argv, extra = argv[:argv.index("--")], argv[argv.index("--") + 1:]
    a = p.parse_args(argv)
    rows, seconds = [], dict.fromkeys(("onnxsim", "onnxslim", "ort", "nib"), 0.0)
    print(f"{'model':30} {'nodes':>6} {'onnxsim':>8} {'onnxslim':>8} {'ORT':>9} {'-O1':>5} {'-O2':>5} {'ort':>5} {'a/r/n/g':>12} {'differs':>8} {'twice':>6}"
          + (f" {'ORT/nib':>7}" if a.time else ""))
    with tempfile.TemporaryDirectory() as d:
        for path in a.models:
            line, row = one(a, path, extra, d, seconds)
            print(line, flush=True)
            rows.append(row or (path, np.inf, False, None, True))
    print("seconds: " + ", ".join(f"{k} {v:.2f}" for k, v in seconds.items() if v))
    print("beyond 1e-5: " + (", ".join(r[0] for r in rows if not r[1] <= 1e-5) or "none") + "; other bytes: " + (", ".join(r[0] for r in rows if not r[2]) or "none")
          + "; -O1 leaves more nodes than onnxsim or onnxslim: " + (", ".join(r[0] for r in rows if r[4]) or "none"))
    if a.time:
        print("slower than 0.97x: " + (", ".join(r[0] for r in rows if r[3] is not None and r[3] < 0.97) or "none"))


if __name__ == "__main__":
    main()
