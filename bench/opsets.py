#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The same models, exported for an old opset and for new ones that have Attention, RotaryEmbedding and RMSNormalization: times of nib, in turns, and how
many times as long each takes as the first. Two folders of files with the same names, the older opset first:

    for n in 18 23 24; do tools/make_family_models.py DIR/$n --opset $n --only bert,llama,modernbert --attention sdpa --kind ex \\
        --hidden 384 --layers 6 --heads 12 --vocab 8000 --positions 512; done
    bench/opsets.py build/nib DIR/18 DIR/23 DIR/24 [--turns 9]

embed: `nib bench encode` on 128 lines of 4 to 128 random ids, tokens a second; run: `nib run --repeat` at 8 x 128, milliseconds. One thread; medians
of the turns' ratios.
"""
import json
import pathlib
import random
import re
import statistics
import subprocess
import sys
import tempfile


def output_of(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}: {done.stderr}")
    return done.stdout + done.stderr


def embed(nib, model, ids):
    out = output_of([nib, "bench", "encode", "--model", model, "--ids", ids, "--threads", "1", "--rounds", "2", "--json"])
    return 1 / json.loads(out)["ids"]["tokens_per_second"]


def run(nib, model, ids):
    out = output_of([nib, "run", model, "--random", "--shape", "input_ids=8x128", "--shape", "attention_mask=8x128", "--threads", "1", "--repeat", "6"])
    return float(re.search(r"least ([\d.]+)", out).group(1))


def main():
    args = sys.argv[1:]
    turns = int(args.pop(args.index("--turns") + 1)) if "--turns" in args else 5
    if "--turns" in args:
        args.remove("--turns")
    if len(args) < 3:
        sys.exit(__doc__)
    nib, folders = args[0], [pathlib.Path(a) for a in args[1:]]
    with tempfile.TemporaryDirectory() as work:
        ids, rng = pathlib.Path(work) / "ids.txt", random.Random(1)
        ids.write_text("".join(" ".join(str(rng.randrange(5, 7000)) for _ in range(rng.randrange(4, 129))) + "\n" for _ in range(128)))
        for path in sorted(folders[0].glob("*.onnx")):
            models = [folder / path.name for folder in folders if (folder / path.name).exists()]
            for name, time in (("embed", embed), ("run", run)):
                times = [[time(nib, model, ids) for model in models] for _ in range(turns)]
                ratios = [f"{folders[i].name} {statistics.median(t[i] / t[0] for t in times):.2f}" for i in range(1, len(models))]
                print(f"{path.stem:24} {name:6} {'  '.join(ratios)}")


if __name__ == "__main__":
    main()
