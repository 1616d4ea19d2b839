#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The command as a user meets it. usage: test_command.sh NIB SOURCE_FOLDER. Exit 77 (skipped) without the real model.
set -uo pipefail
nib=$(realpath "$1") root=$(realpath "$2")
model=$root/models/all-MiniLM-L6-v2
[ -f "$model/model.safetensors" ] || exit 77
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failed=0

# expect CODE 'PATTERN' COMMAND...: exit code, and what standard output and error together must match (extended regex; '' any).
expect() {
    local code=$1 pattern=$2
    shift 2
    "$@" >out 2>&1 </dev/null
    local got=$?
    if [ $got -ne "$code" ] || { [ -n "$pattern" ] && ! grep -qE "$pattern" out; }; then
        echo "FAILED: $*: exit $got, wanted $code and /$pattern/; it said:"
        head -c 600 out
        failed=1
    fi
}
check() { if ! "$@"; then echo "FAILED: $*"; failed=1; fi; }

expect 0 'usage: nib' "$nib" --help
expect 2 'usage: nib' "$nib"
expect 2 'no verb frobnicate' "$nib" frobnicate
for verb in embed inspect explain tokenize bench; do expect 0 'example' "$nib" $verb --help; done
expect 0 '^nib 0' "$nib" --version

# inspect and explain
expect 0 'pooling mean \(1_Pooling/config.json\), normalized' "$nib" inspect "$model"
expect 0 'batches +packed' "$nib" inspect "$model"
expect 0 'Attention +texts x heads' "$nib" explain "$model"
expect 2 'No such file' "$nib" inspect /no/such/model
expect 2 'no model was named' "$nib" inspect
expect 2 'one model' "$nib" inspect "$model" "$model"

# wrong flags
expect 2 'there is nothing to embed' "$nib" embed --model "$model"
expect 2 'model is missing' "$nib" embed text
expect 2 'unrecognized option' "$nib" embed --modle "$model" text
expect 2 'threads' "$nib" embed --model "$model" --threads none text
expect 2 'precision' "$nib" embed --model "$model" --precision f64 text
expect 2 'not built into' "$nib" embed --model "$model" --device cuda text
expect 2 'no output nothing' "$nib" embed --model "$model" --output-name nothing text
expect 2 'must end in' "$nib" embed --model "$model" --output vectors.txt text
expect 2 'not both' "$nib" embed --model "$model" --input x text
expect 1 'memory' "$nib" embed --model "$model" --memory 1M text

head -n 30 "$root/test/data/embed/texts.txt" >texts.txt

# embeddings: JSON lines, npy, order, bits
"$nib" embed --model "$model" 'a nib' 'a pen' >two.jsonl
check [ "$(wc -l <two.jsonl)" -eq 2 ]
python3 - <<'PY' || failed=1
import json
rows = [json.loads(line) for line in open("two.jsonl")]
assert [r["index"] for r in rows] == [0, 1] and all(len(r["embedding"]) == 384 for r in rows), rows
assert rows[0]["tokens"] == 5 and not rows[0]["truncated"], rows[0]
assert abs(sum(x * x for x in rows[0]["embedding"]) - 1) < 1e-5
PY
"$nib" embed --model "$model" --threads 1 --input texts.txt --output one.npy || failed=1
"$nib" embed --model "$model" --threads 2 --input - --output two.npy <texts.txt || failed=1
check cmp one.npy two.npy
# the same bits on every instruction set with fused multiply-add
"$nib" embed --model "$model" --input texts.txt --output best.npy || failed=1
for isa in $(python3 "$root/tools/isas.py" "$nib"); do
    [ "$isa" = generic ] && continue
    NIB_CPU=$isa "$nib" embed --model "$model" --input texts.txt --output "$isa.npy" || failed=1
    check cmp best.npy "$isa.npy"
done
check [ "$(stat -c %s one.npy)" -eq $((128 + 30 * 384 * 4)) ]
printf 'first\nsecond, without a newline' | "$nib" embed --model "$model" --input - --output lines.jsonl || failed=1
check [ "$(wc -l <lines.jsonl)" -eq 2 ]
printf '' | "$nib" embed --model "$model" --input - --output none.npy || failed=1
check [ "$(stat -c %s none.npy)" -eq 128 ]
expect 0 'longer than 8 tokens' "$nib" embed --model "$model" --max-tokens 8 --output cut.npy 'one two three four five six seven eight nine'
expect 0 '0\.[0-9]+  a cat  \|  a dog' "$nib" embed --model "$model" --similarity 'a cat' 'a dog'
expect 0 '7 tokens|6 tokens|5 tokens' "$nib" tokenize --model "$model" 'a nib writes'

expect 0 'throughput +[0-9]+ tokens/s' "$nib" bench encode --model "$model" --input texts.txt --rounds 1 --callers 2
"$nib" bench encode --model "$model" --input texts.txt --rounds 1 --json >bench.json && python3 -m json.tool bench.json >/dev/null || failed=1
expect 2 'say what to measure' "$nib" bench --model "$model" --input texts.txt
for precision in bf16 q8; do
    expect 0 "in $precision \(asked for\)" "$nib" inspect "$model" --precision $precision
    expect 0 '0\.[67][0-9]+  A cat' "$nib" embed --model "$model" --precision $precision --similarity 'A cat is sleeping on the sofa.' 'A kitten naps on the couch.'
done
expect 2 'not built into' "$nib" embed --model "$model" --precision q4 text
expect 0 'precision auto: (q8|f32), because' "$nib" embed --model "$model" --precision auto text

# an input that pauses is answered: the second line is sent only when the first answer has come
mkfifo to from
"$nib" embed --model "$model" --input - <to >from &
exec 5>to 6<from
echo 'first line' >&5
check read -r -t 20 answer <&6
echo 'second line' >&5
check read -r -t 20 answer <&6
case $answer in '{"index": 1,'*) ;; *) echo "FAILED: the second answer is $answer"; failed=1 ;; esac
exec 5>&- 6<&-
wait

# bad input
expect 2 'No such file' "$nib" embed --model "$model" --input missing.txt --output x.npy
expect 2 '.' "$nib" embed --model "$model" --input . --output x.npy
check [ ! -e x.npy ]
mkdir empty
expect 2 'holds no model' "$nib" embed --model empty text
echo 'not a model' >not.onnx
expect 2 '.' "$nib" embed --model not.onnx text
: >zero.onnx
expect 2 '.' "$nib" embed --model zero.onnx text
head -c 20000 "$root/test/data/onnx/bert-tiny.ts.sdpa.onnx" >cut.onnx
expect 2 'byte' "$nib" embed --model cut.onnx text
cp -r "$model" broken
head -c 200000 "$model/tokenizer.json" >broken/tokenizer.json
expect 2 'tokenizer.json.*byte' "$nib" embed --model broken text
cp "$model/tokenizer.json" broken/
printf '\377\377\377\377\377\377\377\177{}' >broken/model.safetensors
expect 2 'model.safetensors' "$nib" embed --model broken text
rm broken/model.safetensors
expect 2 'holds no model' "$nib" embed --model broken text

# places that cannot be written: nothing is left behind
expect 1 'cannot be written' "$nib" embed --model "$model" --output /no/such/folder/v.npy text
if [ -w /dev/full ]; then
    "$nib" embed --model "$model" text >/dev/full 2>err
    check [ $? -eq 1 ]
fi
mkdir limited
for i in 1 2 3; do cat texts.txt; done >many.txt
(ulimit -f 64; cd limited && "$nib" embed --model "$model" --input "../many.txt" --output v.npy 2>../err; exit $?)
check [ $? -eq 1 ]
check [ -z "$(ls -A limited)" ]
"$nib" embed --model "$model" --input texts.txt | head -n 1 >head.jsonl
check [ -s head.jsonl ]

# Ctrl-C: no file, not even a temporary one
mkdir stopped
(cd stopped && exec "$nib" embed --model "$model" --input - --output v.npy) < <(while sleep 0.05; do echo line; done) 2>err &
sleep 1
kill -INT %+ 2>/dev/null || kill -INT $!
wait $! 2>/dev/null
check [ -z "$(ls -A stopped)" ]

[ $failed -eq 0 ] && echo "command: ok"
exit $failed
