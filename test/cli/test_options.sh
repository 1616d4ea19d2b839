#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What all verbs share on the command line: nothing is dropped in silence, names are suggested, where models and texts come from, what
# becomes of signals and of output that cannot be written. usage: test_options.sh NIB SOURCE_FOLDER.
set -uo pipefail
nib=$(realpath "$1") root=$(realpath "$2")
tiny=$root/test/data/nib/tiny
onnx=$root/test/data/onnx/bert-tiny.ts.sdpa.onnx
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failed=0
unset NIB_NUM_THREADS OMP_NUM_THREADS

# shellcheck source=test/cli/expect.sh
. "$root/test/cli/expect.sh"

printf 'a pen\nink of the nib\n' >texts
verbs='embed classify run inspect explain tokenize profile bench tune optimize simplify diff compile'

# ---- help: one form for all verbs
for verb in $verbs; do
    "$nib" $verb --help >help || failed=1
    check grep -q "^usage: nib $verb " help
    check grep -q '^examples:$' help
    check grep -qE '^  -m, --model PATH +[a-z]' help
    "$nib" help $verb | cmp - help || failed=1
    # the examples name a model that is there after `make run`
    if grep -E '^  nib ' help | grep -oE '[^ ]*MiniLM[^ ]*' | grep -qv '^models/all-MiniLM-L6-v2$\|^minilm'; then echo "FAILED: $verb --help"; failed=1; fi
    word=
    if [ $verb = bench ]; then word=encode; fi
    expect 2 'no model was named: give --model PATH, or PATH' "$nib" $verb $word
done

# ---- an option given twice, two of which exclude each other, unknown ones, values
for verb in $verbs; do
    expect 2 '' "$nib" $verb --memory 1G --memory 2G x
    check grep -q -- '--memory was given twice' out
done
expect 2 'input was given twice' "$nib" embed --input texts --input more --model "$tiny"
expect 2 'give --prompt or --prefix, not both' "$nib" embed --prompt a --prefix b --model "$tiny" x
expect 2 'give one of --prompt, --prompt-name and --no-prompt, not both' "$nib" tokenize --no-prompt --prompt b --model "$tiny" x
expect 2 'this input was given twice' "$nib" run "$onnx" --input input_ids=a.npy --input input_ids=b.npy
expect 2 'this input was given twice' "$nib" optimize "$onnx" -o x.onnx --shape input_ids=1x2 --shape input_ids=1x3
expect 2 'this limit was given twice' "$nib" inspect "$tiny" --limit files=3 --limit files=4
expect 2 'did you mean --model\?' "$nib" embed --modle "$tiny" x
expect 2 'did you mean --similarity\?' "$nib" embed --sim "$tiny" x
expect 2 'it is an option of nib inspect;' "$nib" embed --verify x
expect 2 'a text that begins with - goes behind --' "$nib" embed -5 --model "$tiny"
expect 0 '"index": 0' "$nib" embed --model "$tiny" -- -5
expect 2 'did you mean json-depth' "$nib" inspect "$tiny" --limit json-dept=3
for word in embde emebd embedd; do expect 2 'did you mean nib embed\?' "$nib" $word; done
expect 2 'no verb frobnicate; nib --help' "$nib" frobnicate
expect 2 'needs a value: FILE' "$nib" embed "$tiny" --input
expect 2 'takes no value' "$nib" embed "$tiny" --warm=yes x
expect 0 '"index": 0' "$nib" embed --model="$tiny" x
# what a message offers is taken, and nothing else is
"$nib" embed "$tiny" --precision fp16 x 2>err
for precision in $(sed -n 's/.*it takes \(.*\);.*/\1/p' err | sed 's/,//g; s/ or / /'); do
    expect 0 '"index": 0' "$nib" embed "$tiny" --precision "$precision" x
done
check grep -q 'fp16: it takes f32, bf16, q8, q4, mixed or auto;' err
for precision in f16 file; do expect 2 'it takes f32, bf16, q8, q4, mixed or auto;' "$nib" embed "$tiny" --precision $precision x; done

# ---- the model: --model or the first argument, everywhere; never two, never none
"$nib" embed --model "$tiny" 'a pen' >want
"$nib" embed "$tiny" 'a pen' | cmp - want || failed=1
"$nib" tokenize --model "$tiny" 'a pen' >want
"$nib" tokenize "$tiny" 'a pen' | cmp - want || failed=1
for verb in inspect explain profile tune run; do
    expect 2 'one argument too many; it takes one model' "$nib" $verb --model "$tiny" "$tiny"
done
expect 0 'pooling' "$nib" inspect --model "$tiny"
expect 0 'throughput' "$nib" bench encode "$tiny" --input texts --rounds 1
expect 0 'last_hidden_state' "$nib" run --model "$onnx" --random
expect 0 'all nodes' "$nib" optimize --model "$onnx" -o a.onnx
expect 0 'all nodes' "$nib" simplify --model "$onnx" b.onnx
expect 0 'differs by at most' "$nib" diff --model a.onnx b.onnx
# where it was looked for, and what it must hold
expect 2 "all-MiniLM-L6-v2: No such file or folder in $PWD; a model is an .onnx or .nib file, or a folder with config.json" \
    "$nib" embed --model all-MiniLM-L6-v2 x
expect 2 'without --model, the first argument names the model' "$nib" embed 'a text alone'
expect 2 'not read from standard input' "$nib" inspect -

# ---- standard input: a pipe or a file without any other text; a device is none
"$nib" embed "$tiny" 'a pen' 'ink of the nib' >want
"$nib" embed "$tiny" <texts | cmp - want || failed=1
cat texts | "$nib" embed --model "$tiny" | cmp - want || failed=1
"$nib" embed "$tiny" --input texts </dev/null | cmp - want || failed=1
"$nib" tokenize "$tiny" 'a pen' 'ink of the nib' >want
cat texts | "$nib" tokenize "$tiny" | cmp - want || failed=1
"$nib" tokenize "$tiny" --input texts | cmp - want || failed=1
cat texts | "$nib" bench encode "$tiny" --rounds 1 >out || failed=1
expect 2 'nothing to embed' "$nib" embed "$tiny"
expect 2 'no text was given' "$nib" tokenize "$tiny"
# ---- a tokenizer without a model; pairs, formats, and the way back
mkdir -p alone && cp "$tiny"/tokenizer*.json alone
for path in "$tiny" alone "$tiny/tokenizer.json"; do
    "$nib" tokenize "$path" --format ids 'a pen' 'ink of the nib' >ids || failed=1
    printf '2 5 13 3\n2 18 15 16 9 3\n' | cmp - ids || failed=1
    printf 'a pen\nink of the nib\n' >want
    "$nib" tokenize "$path" --decode --no-special <ids | cmp - want || failed=1
done
expect 0 '^\[CLS\] a pen \[SEP\] ink \[SEP\]$' "$nib" tokenize alone --pair 'a pen' ink --format pieces
printf 'a pen\tink\n' | "$nib" tokenize alone --pair --json >want
check grep -q '"types": \[0, 0, 0, 0, 1, 1\], "parts": \[2, 0, 0, 2, 1, 2\]' want
expect 0 '^5 13$' "$nib" tokenize alone 'a pen' --no-special --format ids
expect 0 '^2 5 3$' "$nib" tokenize alone 'a pen' --max-tokens 3 --format ids
expect 0 '^3 tokens; 1 more were cut: the longest text has 3$' "$nib" tokenize "$tiny" 'a pen' --max-tokens 3
expect 0 '^\[CLS\] a pen \[SEP\]$' "$nib" tokenize alone --decode '2 5 13 3'
expect 0 '^2 5 3$' "$nib" tokenize alone 'a pen ink' --max-tokens 3 --stride 0 --format ids
"$nib" tokenize alone 'a pen ink of' --max-tokens 4 --stride 1 --format ids >ids || failed=1
printf '2 5 13 3\n2 13 18 3\n2 18 15 3\n' | cmp - ids || failed=1
expect 0 '^2 18 3$' "$nib" tokenize alone 'a pen ink' --max-tokens 3 --truncation-side left --format ids
expect 0 '^2 5 3 18 15 3$' "$nib" tokenize alone --pair 'a pen' 'ink of' --max-tokens 6 --truncation only-first --format ids
expect 2 'too short for the limit' "$nib" tokenize alone --pair 'a pen' 'ink of' --max-tokens 4 --truncation only-second
printf 'a\tb c d e\na pen of\tink\n' >pairs.txt
expect 2 'pairs.txt: line 2:' "$nib" tokenize alone --pair --input pairs.txt --max-tokens 5 --truncation only-second
expect 2 'is not token ids' "$nib" tokenize alone --decode '2 x'
expect 2 'line 1 has no tab' "$nib" tokenize alone --pair --input texts
expect 2 'one has no second' "$nib" tokenize alone --pair x
expect 2 'has no prompts' "$nib" tokenize alone --prompt-name query x
expect 2 'holds no model' "$nib" tokenize . x
expect 2 'texts are needed' "$nib" bench encode "$tiny"
printf 'not read' | "$nib" embed "$tiny" 'a pen' 'ink of the nib' | wc -l | grep -qx 2 || failed=1

# ---- standard output: .npy where asked for, never a file named -, and an error where it cannot be written
"$nib" embed "$tiny" 'a pen' 'ink of the nib' --output two.npy || failed=1
"$nib" embed "$tiny" 'a pen' 'ink of the nib' --output - | python3 -c '
import sys
got, want = sys.stdin.buffer.read(), open("two.npy", "rb").read()
assert got[128:] == want[128:] and len(got) == len(want) and eval(got[10:128]) == eval(want[10:128]), got[:128]' || failed=1
printf '' | "$nib" embed "$tiny" --output - | wc -c | grep -qx 128 || failed=1
if command -v script >/dev/null; then
    script -qec "'$nib' embed '$tiny' x --output -" /dev/null >out </dev/null
    check grep -q 'not for a terminal' out
fi
expect 2 'not written to standard output' "$nib" optimize "$onnx" -o -
expect 2 'not written to standard output' "$nib" simplify "$onnx" -
expect 2 'not written to standard output' "$nib" compile "$tiny" -o -
expect 2 'not written to standard output' "$nib" run "$onnx" --random --output-dir -
"$nib" optimize "$onnx" -o c.onnx --report - | python3 -m json.tool >/dev/null || failed=1
check [ ! -e ./- ]
outputs() { # every verb's own command line that prints
    "$@" "$nib" --help
    "$@" "$nib" --version
    "$@" "$nib" help embed
    "$@" "$nib" embed "$tiny" x
    "$@" "$nib" embed "$tiny" x y --similarity
    "$@" "$nib" embed "$tiny" x --output -
    "$@" "$nib" embed "$tiny" x --tokens
    "$@" "$nib" classify "$root/test/data/classify/labels" x
    "$@" "$nib" inspect "$tiny"
    "$@" "$nib" inspect "$tiny" --json
    "$@" "$nib" inspect "$onnx" --graph text
    "$@" "$nib" explain "$tiny"
    "$@" "$nib" tokenize "$tiny" x
    "$@" "$nib" profile "$tiny" --repeat 1
    "$@" "$nib" tune "$tiny" --seconds 0.1
    "$@" "$nib" bench encode "$tiny" --input texts --rounds 1
    "$@" "$nib" diff a.onnx b.onnx
    "$@" "$nib" optimize "$onnx" -o c.onnx
    "$@" "$nib" simplify "$onnx" c.onnx
    "$@" "$nib" run "$onnx" --random
    for verb in $verbs; do "$@" "$nib" $verb --help; done
}
lost() { # closed, and full
    "$@" >&- 2>err </dev/null
    check [ $? -eq 1 ]
    grep -q 'standard output could not be written' err || { echo "FAILED: $* >&-: $(cat err)"; failed=1; }
    [ -w /dev/full ] || return
    "$@" >/dev/full 2>err </dev/null
    check [ $? -eq 1 ]
    grep -q 'standard output could not be written' err || { echo "FAILED: $* >/dev/full: $(cat err)"; failed=1; }
}
outputs lost
# a file that is opened takes no closed descriptor's place: what would be read here are the bytes of the output
"$nib" embed "$tiny" --input - --output v.npy <&- 2>err
check [ $? -eq 1 ]
check grep -q 'Bad file descriptor' err
check [ ! -e v.npy ]
leaves() { # the reader has gone: not a word
    { "$@" 2>err </dev/null; echo $? >code; } | true
    check [ "$(cat code)" -le 1 ]
    check [ ! -s err ]
}
outputs leaves

# ---- signals: 128 and their number; a blocked read ends, too, and files are whole or absent
for signal in INT:130 TERM:143; do
    mkfifo pipe
    exec 4<>pipe
    echo 'a line' >&4
    timeout --foreground --preserve-status -k 10 -s "${signal%:*}" 1 "$nib" embed "$tiny" --input pipe --output v.npy 2>err
    check [ $? -eq "${signal#*:}" ]
    exec 4>&-
    rm pipe
    check [ ! -e v.npy ]
    timeout --foreground --preserve-status -s "${signal%:*}" 0.4 "$nib" tune "$tiny" --seconds 60 >/dev/null 2>err
    check [ $? -eq "${signal#*:}" ]
done

# ---- what is asked for in the environment and is nonsense is said, once; what is named on the command line is not looked up there
for bad in abc 0 -1 1e9 4,2 ' '; do
    NIB_NUM_THREADS=$bad "$nib" inspect "$tiny" >out 2>err || failed=1
    check [ "$(grep -c "NIB_NUM_THREADS=$bad is no whole number from 1 to 1024" err)" -eq 1 ]
done
NIB_NUM_THREADS=abc "$nib" tune "$tiny" --seconds 0.1 >out 2>err || failed=1
check [ "$(wc -l <err)" -eq 1 ]
NIB_NUM_THREADS=abc expect 0 ', 1 thread' "$nib" inspect "$tiny" --threads 1
check [ "$(grep -c NIB_NUM out)" -eq 0 ]
OMP_NUM_THREADS=3,2 expect 0 ', 3 threads' "$nib" inspect "$tiny"
OMP_NUM_THREADS=many expect 0 'OMP_NUM_THREADS=many is no whole number' "$nib" inspect "$tiny"
NIB_CPU=avx3 expect 0 'NIB_CPU=avx3 is not known here and has no effect' "$nib" inspect "$tiny"
NIB_CPU=avx3 "$nib" inspect "$tiny" --quiet 2>&1 >out | wc -c | grep -qx 0 || failed=1

# ---- the progress bar ends where the terminal does
if command -v script >/dev/null; then
    for i in $(seq 400); do echo "a pen and the ink of nib $i"; done >many
    for width in 20 40 100; do
        script -qec "stty cols $width; '$nib' embed '$tiny' --input many --output many.npy" /dev/null >bar </dev/null
        check grep -q 'texts' bar
        python3 - $width <<'PY' || failed=1
import re, sys
width = int(sys.argv[1])
lines = [re.sub(r"\x1b\[K", "", part) for part in re.split(r"[\r\n]+", open("bar").read())]
assert lines and all(len(line) < width for line in lines), [line for line in lines if len(line) >= width]
PY
        script -qec "'$nib' embed '$tiny' --input many --output many.npy --quiet" /dev/null >bar </dev/null
        check [ ! -s bar ]
    done
fi

# ---- JSON: one object, whatever bytes a path or a text has
python3 - "$nib" "$tiny" <<'PY' || failed=1
import json, os, shutil, subprocess, sys
nib, tiny = sys.argv[1:]
bad = os.fsencode("we\x01ird \"") + b"\xff\xed\xa0\x80"
shutil.copytree(os.fsencode(tiny), bad)
def run(*args):
    return json.loads(subprocess.run([nib, *args], capture_output=True, check=True, stdin=subprocess.DEVNULL).stdout.decode("utf-8"))
r = run("inspect", bad, "--json")
assert r["model"].startswith("we\x01ird \"\ufffd") and set(r) == {"model", "task", "embedding", "max_tokens", "opened_ms", "prompts", "facts"}, r
assert r["embedding"] == 16 or r["embedding"] > 0
assert any("input_ids" in line for line in r["facts"]["inputs"]) and r["facts"]["longest_text"], r["facts"]
r = run("explain", bad, "--json")
assert set(r) == {"model", "steps", "lines"} and all(set(s) == {"operator", "output", "kernel", "kind"} for s in r["steps"]), r
assert any(s["operator"] == "Attention" for s in r["steps"])
r = run("tokenize", bad, "a pen", "ink", "--max-tokens", "3", "--json")
assert set(r) == {"model", "prompt", "max_tokens", "texts"} and len(r["texts"]) == 2 and r["max_tokens"] == 3, r
assert r["texts"][0]["cut"] == 1 and len(r["texts"][0]["ids"]) == 3 == len(r["texts"][0]["bytes"]), r
text = b"\"a\\ \x07 \xff \xc3\xa9"
out = subprocess.run([nib, "embed", tiny, text, "--with-text"], capture_output=True, check=True, stdin=subprocess.DEVNULL).stdout
assert json.loads(out)["text"] == "\"a\\ \x07 \ufffd é", out[:80]
PY
expect 2 'npy has vectors only' "$nib" embed "$tiny" x --with-text --output x.npy

# ---- a path that is no model is called what it looks like
looks() { # PATTERN, and the bytes on standard input
    cat >"$2"
    expect 2 "$1" "$nib" inspect "$2"
    check grep -qE 'nib takes .onnx and .nib files, and folders with config.json' out
    check [ "$(wc -l <out)" -eq 1 ]
}
printf '' | looks 'looks like this: empty' empty.onnx
echo 'just words' | looks 'looks like this: text' words.txt
printf '\n<!DOCTYPE html><html><body>404</body></html>' | looks 'a web page or XML, as a failed download leaves' page.onnx
printf '{"model_type": "bert"}\n' | looks 'JSON; nib opens the folder' config.json
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n' | looks 'pointer of git-lfs.*git lfs pull' lfs.onnx
looks 'a .safetensors file; nib opens the folder' tensors.safetensors <"$tiny/model.safetensors"
printf 'GGUF\003\0\0\0' | looks 'a .gguf file' m.gguf
printf 'PK\003\004\0\0' | looks 'zip archive, as PyTorch' m.pt
printf '\200\002}q\0.' | looks 'a pickle' m.bin
printf '\211HDF\r\n\032\n' | looks 'HDF5' m.h5
printf '\034\0\0\0TFL3' | looks 'tflite' m.tflite
printf '\037\213\010' | looks 'gzip' m.onnx.gz
looks 'npy' x.npy <two.npy
mkdir -p bare weights torch
cp "$tiny/config.json" bare/
cp "$tiny/model.safetensors" weights/
: >torch/pytorch_model.bin
expect 2 'bare holds no model.*it has config.json, but the weights are missing' "$nib" inspect bare
expect 2 'weights holds no model.*config.json .* is missing' "$nib" inspect weights
expect 2 'torch holds no model.*a pickle, which nib does not read' "$nib" inspect torch
head -c 20000 "$onnx" >cut.onnx # what is ONNX stays a matter of bytes
expect 2 'byte' "$nib" inspect cut.onnx

# ---- a ceiling that is met says how high it is, what was held and what was wanted
for command in "inspect '$tiny'" "embed '$tiny' x" "explain '$tiny'" "run '$onnx' --random" "optimize '$onnx' -o d.onnx" "diff '$onnx' a.onnx" \
    "compile '$tiny' -o t.nib" "tokenize '$tiny' x" "profile '$tiny'" "bench encode '$tiny' --input texts" "inspect '$onnx' --graph text"; do
    eval "expect 1 'the ceiling is 0.1 MB; 0.[0-9] MB were held when [0-9.]+ MB more were asked for; --memory sets it' '$nib' $command --memory 60K"
done

# ---- lines of JSON: ids come out again, whatever the text has
cat >records <<'JSONL'
{"id": "a\u00e9\"", "text": "a pen", "more": [1, {"x": [true, null]}, "}"]}
{"text": "\ud83d\ude00 \ud800 ink\n\u0041", "id": -1.5e3}
 { "text" : "" }
JSONL
"$nib" embed "$tiny" --input records --input-format jsonl --with-text >got || failed=1
python3 - <<'PY' || failed=1
import json
got, want = ([json.loads(line) for line in open(f, encoding="utf-8")] for f in ("got", "records"))
assert len(got) == len(want) == 3, got
for g, w in zip(got, want):
    assert g.get("id") == w.get("id") and g["text"] == w["text"].replace("\ud800", "\ufffd"), (g["text"], w)
PY
"$nib" embed "$tiny" 'a pen' | grep -o 'embedding.*' >want
sed -n 1p got | grep -o 'embedding.*' | cmp - want || failed=1
wrong_line() {
    printf '{"text": "x"}\n%s\n' "$1" >records
    expect 2 "line 2 $2" "$nib" embed "$tiny" --input records --input-format jsonl --output r.jsonl
    check [ ! -e r.jsonl ]
}
for line in '' text '[]' '{"text": "x"' '{"text": "x" "id": 1}' '{"text": "\x"}' '{"text": "x", "n": 01}' '{"text": "x", "n": 1.}' \
    '{"text": "x", "n": tru}' '{"text": "x", "n": [1,]}' '{"text": "x", "n": {"a" 1}}' '{"text": "\u12"}' '{"text": "x", "n": "'; do
    wrong_line "$line" 'is no JSON object'
done
wrong_line '{"text": 1}' 'has a text that is no string'
wrong_line '{"id": 1}' 'has no "text"'
wrong_line '{"text": "x", "text": "y"}' 'has two texts'
wrong_line '{"id": [1], "text": "y"}' 'has an id that is neither'
wrong_line '{"text": "x"} {' 'has something behind'
wrong_line "{\"n\": $(printf '%01000d' 0 | tr 0 '[')" 'is no JSON object'

# ---- tune: its command line is a cell that it measured, with everything else as it was asked for
"$nib" tune "$tiny" --seconds 0.1 --max-tokens 9 --pooling cls --precision q8 --least-cosine 0 >out || failed=1
check grep -qE 'nib embed --model .* --max-tokens 9 --pooling cls --threads [0-9]+ .*--precision q8$' out
eval "'$(dirname "$nib")/$(grep '^nib embed' out | sed "s/^nib /nib' /")" x >/dev/null || failed=1
"$nib" tune "$tiny" --seconds 0.1 --json >tune.json && python3 - <<'PY' || failed=1
import json
r = json.load(open("tune.json"))
best = r["best"]
cells = {(p["precision"], c["threads"], c["batch_tokens"]): c["tokens_per_second"] for p in r["precisions"] for c in p["cells"]}
assert cells[best["precision"], best["threads"], best["batch_tokens"]] == best["tokens_per_second"] == max(cells.values()), best
PY

[ $failed -eq 0 ] && echo "options: ok"
exit $failed
