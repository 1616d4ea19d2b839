# SPDX-License-Identifier: Apache-2.0
"""What test_effects.sh runs in a folder of small models. usage: effects.py NIB SOURCE_FOLDER [VERB..]"""
import os
import pathlib
import re
import shutil
import subprocess
import sys

nib, root = sys.argv[1], pathlib.Path(sys.argv[2])
sys.path.insert(0, str(root / "test/hub"))
from hub_server import Hub, Repo

failures = 0
quiet_env = {k: v for k, v in os.environ.items() if k not in ("NIB_NUM_THREADS", "OMP_NUM_THREADS")}
warned_env = dict(quiet_env, NIB_NUM_THREADS="none")


def made_files():
    """What a command wrote: its files are all called out."""
    for name in sorted(n for n in os.listdir(".") if n.startswith("out")):
        for path in [pathlib.Path(name)] if os.path.isfile(name) else sorted(pathlib.Path(name).rglob("*")):
            if path.is_file():
                yield str(path), path.read_bytes()


def result(verb, command, env):
    """Exit code, both outputs and the files that were made; without figures that differ from run to run."""
    for name in [n for n in os.listdir(".") if n.startswith("out")]:
        shutil.rmtree(name) if os.path.isdir(name) else os.remove(name)
    r = subprocess.run(f"'{nib}' {verb} {command}", shell=True, capture_output=True, env=env, stdin=subprocess.DEVNULL, timeout=120)
    text = r.stdout.decode("latin1") + "|" + r.stderr.decode("latin1")
    kinds = sorted(re.findall(r'"kind": "([^"]*)", "steps": (\d+)', text))  # they are sorted by time
    text = re.sub(r'"kinds": \[.*?\]', str(kinds), text, flags=re.S)
    text = re.sub(r'("calls": [0-9]+)\.', r"\1,", text)
    if verb in exact:
        return r.returncode, text, list(made_files())
    text = re.sub(r"[0-9.]+ (tokens/s|GFLOP/s|ms|%|GB/s)|[0-9]+\.[0-9]+|(f32|bf16|q8) [0-9]+|[0-9]+ from memory", "#", text)
    text = re.sub(r"(\"(peak|cache|memory)[a-z_]*\": )[^,}]*", r"\1#", text)
    if verb in measuring and "--json" not in command:
        text = "\n".join(sorted(re.sub(r"[0-9. #-]+", "#", text).split("\n")))
    return r.returncode, text, list(made_files())


measuring = ("profile", "bench", "tune")
exact = ("fill", "answer", "rank", "ner", "colbert", "search", "models")
# A command line of each verb, and what to give each option that takes a value.
base = {
    "embed": "--model tiny 'a pen of ink' 'the nib' --output out.jsonl",
    "run": "--model bert.onnx --random",
    "inspect": "--model tiny",
    "explain": "--model tiny",
    "tokenize": "--model tiny 'a pen of ink' 'the nib'",
    "profile": "--model tiny --json",
    "bench": "encode --model tiny --input texts --json",
    "tune": "--model tiny --seconds 0.1 --json --threads 1 --batch-tokens 64 --precision f32",
    "optimize": "--model bert.onnx",
    "simplify": "--model bert.onnx",
    "diff": "--model bert.onnx other.onnx --no-check",
    "quantize": "--model tiny --output out.onnx --report - --no-speed",
    "compile": "--model tiny --output out.nib",
    "export": "--model tiny --output out",
    "doctor": "--model tiny",
    "eval": "--model tiny --json",
    "fill": "--model fill 'a [MASK] writes' 'ink [MASK] pen'",
    "answer": "--model answer --question 'who?' --context 'a pen and the ink of the nib that writes' --top 4",
    "rank": "--model rank --query 'a pen' documents",
    "ner": "--model ner 'a pen of ink' 'the nib'",
    "colbert": "--model colbert --role document 'a pen of ink' 'the nib'",
    "search": "--model tiny --query pen documents",
    "pull": "org/tiny",
    "models": "",
    "devices": "--json",
}
written = " --output out.onnx"
value = {
    "max-tokens": "3", "route": "query", "precision": "q8", "device": "cuda", "output-name": "nothing", "pooling": "none", "normalize": "yes", "prompt": "ink",
    "prompt-name": "''", "optimize-level": "0", "shape": "input_ids=3x9", "seed": "3", "output-dir": "out", "compare": "golden",
    "repeat": "2", "graph": "dot", "ids": "ids", "rounds": "2", "callers": "2", "target": "onnxruntime", "level": "2", "disable": "fold",
    "opset": "20", "external-over": "0", "report": "out.json", "input": "ids", "batch-tokens": "1", "tolerance": "1e-30", "format": "pb",
    "task": "tokens", "type": "int4", "keep": "'*query*'", "calibrate": "texts", "check": "texts", "min-cosine": "1",
    "dimensions": "8", "profile": "e5-base", "top": "1", "top-k": "1", "targets": "pen,nib", "longest": "1", "aggregation": "none",
    "question": "what?", "context": "a pen", "query": "ink", "role": "query", "queries": "texts", "output": "out.npy",
    "ignore": "MISC", "pool-factor": "2", "similarity": "dot", "include": "onnx/model.onnx",
}


def field(number, value):
    """One field of a protobuf message: a number, or bytes."""
    if isinstance(value, int):
        return bytes([number << 3, value])
    return bytes([number << 3 | 2, len(value)]) + value


def tensor_type(dtype, size):
    return field(2, field(1, field(1, dtype) + field(2, field(1, field(1, size)) if size else b"")))


# x float[2] -> Dropout (x, 0.5, true) -> y: exported in training
with open("training.onnx", "wb") as f:
    node = b"".join(field(1, n) for n in (b"x", b"ratio", b"train")) + field(2, b"y") + field(4, b"Dropout")
    graph = field(1, node) + field(2, b"g")
    graph += field(5, field(2, 1) + field(8, b"ratio") + field(9, b"\x00\x00\x00\x3f")) + field(5, field(2, 9) + field(8, b"train") + field(9, b"\x01"))
    graph += field(11, field(1, b"x") + tensor_type(1, 2)) + field(12, field(1, b"y") + tensor_type(1, 2))
    f.write(field(1, 8) + field(7, graph)[:1] + bytes([len(graph) & 127 | 128, len(graph) >> 7]) + graph + field(8, field(1, b"") + field(2, 17)))

# Where another command line shows it: what to put behind the base (in front of the option and its value).
behind = {
    ("run", "seed"): " --output-dir out", ("run", "format"): " --output-dir out", ("run", "optimize-level"): " --output-dir out",
    ("run", "rtol"): " --seed 3 --compare golden", ("run", "atol"): " --seed 3 --compare golden",
    ("optimize", "target"): written + " -O2",
    }
for verb in ("optimize", "simplify"):
    for name in ("disable", "opset", "external-over", "level", "no-check", "shape"):
        behind[verb, name] = written
long = "a pen of ink. a nib writes. the ink of a pen. nib."
# ... or where the two are not of that form: without it, with it.
pair = {
    ("embed", "input"): ("tiny --input texts", "tiny --input ids"),
    ("embed", "input-format"): ("tiny --input records", "tiny --input records --input-format jsonl"),
    ("embed", "output"): ("tiny ink", "tiny ink --output out.npy"),
    ("embed", "overflow"): (f"tiny '{long}' --max-tokens 9", f"tiny '{long}' --max-tokens 9 --overflow chunk"),
    ("embed", "chunk-tokens"): (f"tiny '{long}' --overflow chunk", f"tiny '{long}' --overflow chunk --chunk-tokens 7"),
    ("embed", "chunk-overlap"): (f"tiny '{long}' --overflow chunk --chunk-tokens 7 --aggregate each",
                                 f"tiny '{long}' --overflow chunk --chunk-tokens 7 --aggregate each --chunk-overlap 2"),
    ("embed", "chunk-overlap-sentences"): (f"tiny '{long}' --overflow chunk --chunk-tokens 12 --aggregate each",
                                           f"tiny '{long}' --overflow chunk --chunk-tokens 12 --aggregate each --chunk-overlap-sentences 1"),
    ("embed", "chunk-sentences"): (f"tiny '{long}' --overflow chunk --chunk-tokens 12 --aggregate each",
                                   f"tiny '{long}' --overflow chunk --chunk-tokens 12 --aggregate each --chunk-sentences"),
    ("embed", "aggregate"): (f"tiny '{long}' --overflow chunk --chunk-tokens 7",
                             f"tiny '{long}' --overflow chunk --chunk-tokens 7 --aggregate each"),
    ("embed", "stream"): ("tiny <texts", "tiny --stream <texts"),
    ("embed", "similarity"): ("tiny ink pen", "tiny ink pen --similarity"),
    ("embed", "type"): ("tiny ink", "tiny ink --type binary"),
    ("embed", "ranges"): ("tiny ink pen --type int8", "tiny ink pen --type int8 --ranges texts"),
    ("embed", "encoding-format"): ("tiny ink", "tiny ink --encoding-format base64"),
    ("embed", "sparse"): ("m3 ink", "m3 ink --sparse"),
    ("embed", "dense"): ("m3 ink --sparse", "m3 ink --sparse --dense"),
    ("embed", "colbert"): ("m3 ink --sparse", "m3 ink --sparse --colbert"),
    ("embed", "top"): ("splade --sparse ink", "splade --sparse ink --top 2"),
    ("embed", "format"): ("splade --sparse ink", "splade --sparse ink --format ids"),
    ("embed", "warm"): ("tiny ink --threads 8 --memory 4800K", "tiny ink --threads 8 --memory 4800K --warm"),
    ("fill", "batch-tokens"): ("fill --input manymasked --threads 1 --memory 6800K", "fill --input manymasked --threads 1 --memory 6800K --batch-tokens 60000"),
    ("answer", "top"): ("answer -q who? -c 'a pen and ink'", "answer -q who? -c 'a pen and ink' --top 2"),
    ("search", "queries"): ("--model tiny documents --query pen", "--model tiny documents --queries texts"),
    ("search", "query-vectors"): ("docs.npy", "docs.npy --query-vectors query.npy"),
    ("search", "similarity"): ("docs.npy --query-vectors query.npy", "docs.npy --query-vectors query.npy --similarity manhattan"),
    ("search", "type"): ("docs8.npy --query-vectors query.npy", "docs8.npy --query-vectors query.npy --type binary"),
    ("search", "rescore"): ("--model tiny --query pen docs1.npy --type ubinary", "--model tiny --query pen docs1.npy --type ubinary --rescore 2"),
    ("search", "rescore-with"): ("--model tiny --query pen docs8.npy --rescore 2", "--model tiny --query pen docs8.npy --rescore 2 --rescore-with docs.npy"),
    ("search", "ranges"): ("--model tiny --query pen docs8.npy", "--model tiny --query pen docs8.npy --ranges many"),
    ("search", "dimensions"): ("--model tiny --query pen documents", "--model tiny --query pen documents --dimensions 3"),
    ("search", "top"): ("--model tiny --query pen documents", "--model tiny --query pen documents --top 1"),
    ("search", "no-prompt"): ("--model tiny --query pen documents", "--model tiny --query pen documents --no-prompt"),
    ("pull", "quiet"): ("org/tiny", "org/tiny --quiet"),
    ("answer", "impossible"): ("answer -q who? -c 'a pen' --top 99", "answer -q who? -c 'a pen' --top 99 --impossible"),
    ("search", "normalize"): ("--model tiny --query pen documents --similarity dot", "--model tiny --query pen documents --similarity dot --normalize yes"),
    ("fill", "input"): ("fill 'a [MASK]'", "fill --input masked"),
    ("fill", "json"): ("fill 'a [MASK]'", "fill 'a [MASK]' --json"),
    ("answer", "within-words"): ("answer -q 'a b?' -c 'unwritten inks and pens' --top 4", "answer -q 'a b?' -c 'unwritten inks and pens' --top 4 --within-words"),
    ("answer", "stride"): (f"answer -q who? -c '{'a pen of ink ' * 20}' --max-tokens 24 --top 3 --stride 2",
                           f"answer -q who? -c '{'a pen of ink ' * 20}' --max-tokens 24 --top 3 --stride 9"),
    ("ner", "input"): ("ner 'a pen'", "ner --input texts"),
    ("ner", "stride"): (f"ner '{'a pen of ink ' * 40}'", f"ner '{'a pen of ink ' * 40}' --stride 4"),
    ("colbert", "query"): ("colbert documents", "colbert documents --query pen"),
    ("colbert", "input"): ("colbert --role query pen", "colbert --role query --input texts"),
    ("colbert", "top-k"): ("colbert documents --query pen", "colbert documents --query pen --top-k 1"),
    ("colbert", "json"): ("colbert documents --query pen", "colbert documents --query pen --json"),
    ("eval", "pairs"): ("tiny", "tiny --pairs pairs.tsv"),
    ("eval", "retrieval"): ("tiny", "tiny --retrieval beir"),
    ("eval", "type"): ("tiny", "tiny --type binary"),
    ("eval", "precision"): ("tiny", "tiny --precision q4"),
    ("eval", "json"): ("tiny", "tiny --json"),
    ("run", "random"): ("bert.onnx", "bert.onnx --random"),
    ("run", "input"): ("bert.onnx --random --output-dir out", "bert.onnx --random --output-dir out --input input_ids=ids.npy"),
    ("run", "suite"): ("bert.onnx", "bert.onnx --suite suite"),
    ("run", "rtol"): ("bert.onnx --random --seed 3 --compare golden", "bert.onnx --random --seed 3 --compare golden --rtol 1e30"),
    ("run", "atol"): ("bert.onnx --random --seed 3 --compare golden", "bert.onnx --random --seed 3 --compare golden --atol 99"),
    ("inspect", "optimize-level"): ("bert.onnx --graph text", "bert.onnx --graph text --optimize-level 2"),
    ("inspect", "check"): ("tiny", "tiny --check"),
    ("rank", "prompt-name"): ("--model judge --query 'a pen' documents", "--model judge --query 'a pen' documents --prompt-name other"),
    ("rank", "no-prompt"): ("--model judge --query 'a pen' documents", "--model judge --query 'a pen' documents --no-prompt"),
    ("inspect", "verify"): ("broken.nib", "broken.nib --verify"),
    ("tokenize", "pair"): ("tiny ink pen", "tiny ink pen --pair"),
    ("tokenize", "decode"): ("tiny --format ids '5 13'", "tiny --format ids '5 13' --decode"),
    ("tokenize", "format"): ("tiny ink", "tiny ink --format ids"),
    ("tokenize", "truncation"): ("tiny --pair 'a pen' ink --max-tokens 5", "tiny --pair 'a pen' ink --max-tokens 5 --truncation only-second"),
    ("tokenize", "truncation-side"): ("tiny 'a pen ink' --max-tokens 3", "tiny 'a pen ink' --max-tokens 3 --truncation-side left"),
    ("tokenize", "stride"): ("tiny 'a pen ink' --max-tokens 3", "tiny 'a pen ink' --max-tokens 3 --stride 0"),
    ("tokenize", "no-truncation"): ("tiny ink --json", "tiny ink --json --no-truncation"),
    ("profile", "json"): ("tiny", "tiny --json"),
    ("bench", "json"): ("encode tiny --input texts", "encode tiny --input texts --json"),
    ("bench", "warm"): ("encode tiny --input texts", "encode tiny --input texts --warm"),
    ("bench", "input"): ("encode tiny --input texts --json", "encode tiny --input ids --json"),
    ("bench", "ids"): ("encode tiny --input texts --json", "encode tiny --ids ids --json"),
    ("bench", "batch-tokens"): ("encode tiny --input many --threads 1 --memory 4M --rounds 1 --json",
                                "encode tiny --input many --threads 1 --memory 4M --rounds 1 --json --batch-tokens 20000"),
    ("tune", "normalize"): ("tiny --seconds 0.1 --threads 1 --batch-tokens 64 --precision f32",
                            "tiny --seconds 0.1 --threads 1 --batch-tokens 64 --precision f32 --normalize yes"),
    ("tune", "json"): ("tiny --seconds 0.1 --threads 1 --batch-tokens 64 --precision f32",
                       "tiny --seconds 0.1 --threads 1 --batch-tokens 64 --precision f32 --json"),
    ("tune", "threads"): ("tiny --seconds 0.1 --json --threads 1 --batch-tokens 64 --precision f32",
                          "tiny --seconds 0.1 --json --threads 2 --batch-tokens 64 --precision f32"),
    ("tune", "batch-tokens"): ("tiny --seconds 0.1 --json --threads 1 --batch-tokens 64 --precision f32",
                               "tiny --seconds 0.1 --json --threads 1 --batch-tokens 65 --precision f32"),
    ("tune", "precision"): ("tiny --seconds 0.1 --json --threads 1 --batch-tokens 64 --precision f32",
                            "tiny --seconds 0.1 --json --threads 1 --batch-tokens 64 --precision q8"),
    ("tune", "least-cosine"): ("tiny --seconds 0.1 --threads 1 --batch-tokens 64 --precision q8",
                               "tiny --seconds 0.1 --threads 1 --batch-tokens 64 --precision q8 --least-cosine 1"),
    ("optimize", "output"): ("bert.onnx", "bert.onnx --output out.onnx"),
    ("simplify", "output"): ("bert.onnx", "bert.onnx --output out.onnx"),
    ("quantize", "output"): ("tiny --report -", "tiny --report - --output out.onnx"),
    ("quantize", "report"): ("tiny --output out.onnx --type int4 --block 33", "tiny --output out.onnx --report -"),
    ("quantize", "block"): ("tiny --output out.onnx --report - --no-speed --type int4", "tiny --output out.onnx --report - --no-speed --type int4 --block 64"),
    ("quantize", "ranges"): ("tiny --output out.onnx --report - --no-speed --type int8-static --calibrate texts",
                             "tiny --output out.onnx --report - --no-speed --type int8-static --calibrate texts --ranges mse"),
    ("quantize", "size"): ("tiny --output out.onnx --report - --no-speed --type mixed --min-cosine 0.9",
                           "tiny --output out.onnx --report - --no-speed --type mixed --size 1g"),
    ("quantize", "preset"): ("tiny --output out.onnx --report - --no-speed", "tiny --output out.onnx --report - --no-speed --preset avx2"),
    ("quantize", "static"): ("tiny --output out.onnx --report - --no-speed --calibrate texts", "tiny --output out.onnx --report - --no-speed --calibrate texts --static"),
    ("quantize", "dynamic"): ("tiny --output out.onnx --report - --no-speed --type int4", "tiny --output out.onnx --report - --no-speed --type int4 --dynamic"),
    ("quantize", "per-channel"): ("tiny --output out.onnx --report - --no-speed --per-tensor", "tiny --output out.onnx --report - --no-speed --per-tensor --per-channel"),
    ("quantize", "no-speed"): ("tiny --output out.onnx --report -", "tiny --output out.onnx --report - --no-speed"),
    ("compile", "output"): ("tiny", "tiny --output out.nib"),
    ("export", "output"): ("tiny", "tiny --output out"),
    ("optimize", "keep-random"): ("training.onnx -o out.onnx", "training.onnx -o out.onnx --keep-random"),
    ("simplify", "keep-random"): ("training.onnx out.onnx", "training.onnx out.onnx --keep-random"),
    ("diff", "no-check"): ("bert.onnx other.onnx", "bert.onnx other.onnx --no-check"),
    ("optimize", "tolerance"): ("bert.onnx -O4 --output out.onnx", "bert.onnx -O4 --output out.onnx --tolerance 1e-30"),
    ("simplify", "tolerance"): ("t5.onnx out.onnx", "t5.onnx out.onnx --tolerance 1e-30"),
    ("diff", "tolerance"): ("bert.onnx half.onnx", "bert.onnx half.onnx --tolerance 1"),
    ("diff", "shape"): ("bert.onnx other.onnx", "bert.onnx other.onnx --shape nothing=2"),
}


# What shows in time and memory alone: how much is measured in a time depends on the machine, a group that does not fit a ceiling is
# halved and tried again, and rows get their length in a step that is there without.
unseen = {("tune", "seconds"), ("bench", "normalize")}
unseen |= {(verb, "batch-tokens") for verb in ("embed", "answer", "rank", "ner", "colbert", "search", "eval")}


def commands(verb, name, takes):
    """Without the option, with it, and the environment of both."""
    line, env = base[verb], dict(quiet_env, **of_verb.get(verb, {}))
    if verb in ("optimize", "simplify"):
        line += behind.get((verb, name), written + " --no-check")
    else:
        line += behind.get((verb, name), "")
    if (verb, name) in pair:
        return (*pair[verb, name], env)
    if (verb, name) == ("models", "quiet"):
        return "", "--quiet", dict(env, HF_HUB_CACHE="nowhere")
    if name == "pull":  # offline: one says how to pull, the other that it may not
        line = re.sub(r"--model [^ ]*|tiny|bert\.onnx", "--model org/none", line, count=1)
        return line, line + " --pull", dict(env, HF_HUB_OFFLINE="1", HF_HUB_CACHE="nowhere")
    if name == "min-cosine" and verb not in ("quantize", "tune"):  # at least 1 is what f32 has
        line += " --precision q8"
    if name == "min-cosine" and verb == "tune":  # a compiled file has nothing to compare with
        line = line.replace("tiny", "tiny.nib", 1)
    if name == "model":
        return line, re.sub(r"--model [^ ]*", "--model nowhere", line), env
    if name == "memory":
        return line, line + " --memory 20K", env
    if name == "limit":
        return line, line + (" --limit wire-nesting=1" if "bert.onnx" in line else " --limit json-depth=1"), env
    if name == "private-reads":  # files that are read count, files that are mapped do not
        line = line.replace("bert.onnx", "big.onnx").replace("tiny", "big")
        line = re.sub(r"--model (fill|answer|rank|ner|colbert)", "--model big", line) + " --memory 25M"
        return line, line + " --private-reads", env
    if name in ("quiet", "threads"):  # named, the environment is not asked
        line = line.replace("--threads 1 ", "")
        return line, f"{line} --{name}" + (" 1" if takes else ""), dict(env, **warned_env)
    return line, f"{line} --{name}" + (f" {value[name]}" if takes else ""), env


def say(what):
    global failures
    failures += 1
    print("FAILED:", what)


# A hub, of which pull makes a cache anew each time; and a cache that is there for models.
hub = Hub({"org/tiny": Repo({p.name: p.read_bytes() for p in (root / "test/data/nib/tiny").iterdir()}
                            | {"onnx/model.onnx": pathlib.Path("bert.onnx").read_bytes()})})
hub.__enter__()
hub_env = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": os.path.abspath("hf"), "HF_HUB_CACHE": "out.cache"}
subprocess.run([nib, "pull", "org/tiny"], env=dict(quiet_env, **dict(hub_env, HF_HUB_CACHE="cache")), check=True, capture_output=True)
of_verb = {"pull": hub_env, "models": {"HF_HUB_CACHE": "cache"}}

for verb in sys.argv[3:] or base:
    text = subprocess.run([nib, verb, "--help"], capture_output=True, text=True).stdout
    listed = re.findall(r"^  (?:-., )?--([a-z-]+)( [^ \n]+)?", text, re.M)
    if len(listed) < 3:
        say(f"nib {verb} --help lists {len(listed)} options")
    steady = {}
    for name, takes in listed:
        if (verb, name) in unseen:
            continue
        without, with_it, env = commands(verb, name, takes)
        key = without, str(env)
        if key not in steady:
            steady[key] = result(verb, without, env)
            if result(verb, without, env) != steady[key]:
                say(f"nib {verb} {without}: two results")
        if result(verb, with_it, env) == steady[key]:
            say(f"nib {verb} --{name}: '{with_it}' gives what '{without}' gives")
sys.exit(failures > 0)
