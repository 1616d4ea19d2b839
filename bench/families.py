#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""nib and ONNX Runtime on the same ONNX files, one thread, in turns: milliseconds of the fastest run at 1 x 16, 1 x 128 and 8 x 128 ids
without padding, and how many times as fast nib is. Files of every family:

    tools/make_family_models.py --hidden 384 --layers 3 --heads 12 --vocab 8000 --positions 512 --attention eager --kind ts DIR
    bench/families.py build/nib DIR/*.onnx
"""
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnxruntime

SIZES, TURNS = ((1, 16), (1, 128), (8, 128)), 2


def made(name, shape):
    if "mask" in name:
        return np.ones(shape, np.int64)
    if "type" in name:
        return np.zeros(shape, np.int64)
    return np.random.default_rng(0).integers(5, 3000, shape).astype(np.int64)


def time_onnxruntime(path, feed, runs):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    session.run(None, feed)
    took = []
    for _ in range(runs):
        begun = time.perf_counter()
        session.run(None, feed)
        took.append(1e3 * (time.perf_counter() - begun))
    return min(took)


def time_nib(nib, path, feed, runs, folder):
    command = [nib, "run", path, "--threads", "1", "--repeat", str(runs + 1)]
    for name, value in feed.items():
        np.save(folder / f"{name}.npy", value)
        command += ["--input", f"{name}={folder / name}.npy"]
    out = subprocess.run(command, capture_output=True, text=True)
    least = re.search(r"least ([\d.]+)", out.stdout + out.stderr)
    if out.returncode or not least:
        sys.exit(f"{' '.join(command)}: {out.stderr}")
    return float(least.group(1))


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        for path in sys.argv[2:]:
            inputs = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).get_inputs()
            cells = []
            for size in SIZES:
                feed = {i.name: made(i.name, size) for i in inputs}
                runs = 20 if size[0] * size[1] < 1000 else 6
                turns = [(time_onnxruntime(path, feed, runs), time_nib(sys.argv[1], path, feed, runs, pathlib.Path(folder))) for _ in range(TURNS)]
                peer, own = (min(t) for t in zip(*turns))
                cells.append(f"{peer:8.2f} {own:8.2f} {peer / own:5.2f}x")
            print(f"{pathlib.Path(path).stem:28}" + " |".join(cells), flush=True)


if __name__ == "__main__":
    main()
