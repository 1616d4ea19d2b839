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
slow=${NIB_SLOW:-} # a sanitizer: thirty times slower, so what measures is only tried

# shellcheck source=test/cli/expect.sh
. "$root/test/cli/expect.sh"

expect 0 'usage: nib' "$nib" --help
expect 2 'usage: nib' "$nib"
expect 2 'no verb frobnicate' "$nib" frobnicate
for verb in embed inspect explain tokenize profile bench tune; do expect 0 'example' "$nib" $verb --help; done
expect 0 '^nib 0' "$nib" --version

# inspect and explain
expect 0 'pooling mean \(1_Pooling/config.json\), normalized' "$nib" inspect "$model"
expect 0 'batches +packed' "$nib" inspect "$model"
expect 0 'Attention +texts x heads' "$nib" explain "$model"
if [ -r /proc/cpuinfo ]; then expect 0 '^features ' "$nib" doctor "$model"; fi
expect 2 'No such file' "$nib" inspect /no/such/model
expect 2 'no model was named' "$nib" inspect
expect 2 'one model' "$nib" inspect "$model" "$model"

# prompts, and where texts are cut
cp -rs "$model" prompted
echo '{"prompts": {"query": "query: ", "passage": "passage: "}, "default_prompt_name": "query"}' >config.tmp
rm -f prompted/config_sentence_transformers.json
mv config.tmp prompted/config_sentence_transformers.json
expect 0 'query: "query: ", put before each text unless another is asked for' "$nib" inspect prompted
"$nib" embed --model "$model" 'query: a pen' | sed 's/"index": 0, //' >want
for how in '--prompt query:\ ' '--prefix query:\ '; do
    eval "\"\$nib\" embed --model \"\$model\" $how 'a pen'" | sed 's/"index": 0, //' | cmp - want || { echo "embed $how differs"; failed=1; }
done
for how in '' '--prompt-name query' '--prompt query:\ '; do
    eval "\"\$nib\" embed --model prompted $how 'a pen'" | sed 's/"index": 0, //' | cmp - want || { echo "embed with a default prompt, $how: differs"; failed=1; }
done
"$nib" embed --model "$model" 'a pen' >want
"$nib" embed --model prompted --no-prompt 'a pen' | cmp - want || { echo 'embed --no-prompt differs'; failed=1; }
"$nib" embed --model prompted --prompt-name '' 'a pen' | cmp - want || { echo "embed --prompt-name '' differs"; failed=1; }
expect 2 "has no prompt 'nothing'; it has query, passage, document" "$nib" embed --model prompted --prompt-name nothing text
expect 2 "has no prompt 'nothing'; it has query, passage, document" "$nib" tokenize --model prompted --prompt-name nothing text
expect 2 'not both' "$nib" embed --model prompted --prompt-name query --prompt x text
expect 0 '^6 tokens' "$nib" tokenize --model prompted 'a pen'
expect 0 '^4 tokens' "$nib" tokenize --model prompted --no-prompt 'a pen'
expect 0 '^5 tokens; 1 more were cut: the longest text has 5' "$nib" tokenize --model prompted --max-tokens 5 'a pen'
expect 2 'it is an option of nib embed, nib search, nib rank, nib tokenize' "$nib" inspect prompted --no-prompt
expect 2 'texts of 513 tokens were asked for; the model has 512 positions' "$nib" tokenize --model "$model" --max-tokens 513 text
expect 2 'texts of 513 tokens were asked for; the model has 512 positions' "$nib" embed --model "$model" --max-tokens 513 text

# wrong flags
expect 2 'there is nothing to embed' "$nib" embed --model "$model"
expect 2 'No such file.*' "$nib" embed text
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
"$nib" embed --model "$model" --output two.npy 'a nib' 'a pen' || failed=1
python3 - <<'PY' || failed=1
import json, struct
data = open("two.npy", "rb").read()[128:]
numbers = [x for line in open("two.jsonl") for x in json.loads(line)["embedding"]]
assert data == struct.pack(f"<{len(numbers)}f", *numbers), "JSON lines do not read back as the same floats"
PY
"$nib" embed --model "$model" --threads 1 --input texts.txt --output one.npy || failed=1
"$nib" embed --model "$model" --threads 2 --input - --output two.npy <texts.txt || failed=1
check cmp one.npy two.npy
if [ -z "$slow" ]; then
# the same bits on every instruction set with fused multiply-add
"$nib" embed --model "$model" --input texts.txt --output best.npy || failed=1
for isa in $(python3 "$root/tools/isas.py" "$nib"); do
    [ "$isa" = generic ] && continue
    NIB_CPU=$isa "$nib" embed --model "$model" --input texts.txt --output "$isa.npy" || failed=1
    check cmp best.npy "$isa.npy"
done
# in q8 and q4, too: sums are integers, and everything else is rounded in one order
for precision in q8 q4; do
    "$nib" embed --model "$model" --precision $precision --input texts.txt --output best.npy || failed=1
    for isa in $(python3 "$root/tools/isas.py" "$nib"); do
        [ "$isa" = generic ] && continue
        NIB_CPU=$isa "$nib" embed --model "$model" --precision $precision --input texts.txt --output "$isa.npy" || failed=1
        check cmp best.npy "$isa.npy"
    done
done
fi
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
expect 0 'tokenized +[0-9]+ tokens/s.*of the machine.s peak' "$nib" bench encode --model "$model" --input texts.txt --rounds 1 --warm
expect 0 'linear ffn up .* %' "$nib" bench encode --model "$model" --input texts.txt --rounds 1
expect 2 'texts are needed' "$nib" bench encode --model "$model"
expect 2 'not both' "$nib" bench encode --model "$model" --input texts.txt --ids ids.txt
expect 2 'rounds' "$nib" bench encode --model "$model" --input texts.txt --rounds 0
expect 2 'callers' "$nib" bench encode --model "$model" --input texts.txt --callers 1x
expect 2 'optimize-level' "$nib" bench encode --model "$model" --input texts.txt --optimize-level 7
expect 2 'No such file' "$nib" bench encode --model "$model" --input missing.txt
expect 2 'there is no text' "$nib" bench encode --model "$model" --input /dev/null
printf '101 1037 102\n101 2003 2009 102\n' >ids.txt
"$nib" bench encode --model "$model" --ids ids.txt --rounds 1 --json >bench.json && python3 - <<'PY' || failed=1
import json
r = json.load(open("bench.json"))
assert r["tokens"] == 7 and r["longest"] == 4 and "with_tokenizing" not in r and r["ids"]["tokens_per_second"] > 0, r
PY
printf '101 one 102\n' >ids.txt
expect 2 'line 1 is not token ids' "$nib" bench encode --model "$model" --ids ids.txt
printf '101 30522 102\n' >ids.txt
expect 2 'id 30522 is outside' "$nib" bench encode --model "$model" --ids ids.txt

if [ -n "$slow" ]; then
    expect 0 'outside: rest' "$nib" profile "$model" --input ids.txt --repeat 1 --max-tokens 8 --precision q8
    expect 0 'nib embed --model' "$nib" tune "$model" --input ids.txt --seconds 1 --max-tokens 8 --threads 1 --batch-tokens 64 --precision q8
else
# profile: a table, sums by kind, JSON whose parts add up
expect 0 'outside: rest' "$nib" profile "$model" --input texts.txt --repeat 1
expect 0 'linear qkv +6' "$nib" profile "$model" --input texts.txt --repeat 1 --precision q8
"$nib" profile "$model" --threads 1 --repeat 2 --json >profile.json && python3 - <<'PY' || failed=1
import json
r = json.load(open("profile.json"))
steps, outside = sum(s["ms"] for s in r["steps"]), r["outside_ms"]
assert abs(steps - r["all_steps"]["ms"]) < 1e-3 * steps and abs(sum(k["ms"] for k in r["kinds"]) - steps) < 1e-3 * steps
assert abs(steps + outside["tokenizing"] + outside["rest"] - r["wall_ms"]) < 1e-3 * r["wall_ms"], r["wall_ms"]
assert 0 <= outside["rest"] < r["wall_ms"] and r["machine"]["gflops"]["f32"] > 0
gflop = sum(s["gflop"] for s in r["steps"] if s["kind"].startswith("linear"))
assert abs(gflop - r["tokens"] * 2e-9 * 6 * (4 * 384 * 384 + 2 * 384 * 1536)) < 1e-3 * gflop, gflop
PY
expect 2 'no model was named' "$nib" profile
expect 2 'one model' "$nib" profile "$model" texts.txt
expect 2 'repeat' "$nib" profile "$model" --repeat none
expect 2 'No such file' "$nib" profile "$model" --input missing.txt
expect 2 'No such file' "$nib" profile /no/such/model
expect 0 'matmul +48' "$nib" profile "$model" --input ids.txt --repeat 1 --optimize-level 1 --max-tokens 8

# tune: bounded in time, ends well when it is interrupted
"$nib" tune "$model" --seconds 1 --max-tokens 16 --json >tune.json && python3 - <<'PY' || failed=1
import json
r = json.load(open("tune.json"))
assert r["seconds"] < 60 and [p["precision"] for p in r["precisions"]] == ["f32", "bf16", "q8"], r
assert r["precisions"][0]["cosine_worst"] > 0.999999 and r["precisions"][0]["cells"]
PY
expect 0 'nib embed --model .* --threads 1 --batch-tokens 64 --precision (q8|f32)' "$nib" tune "$model" --seconds 2 --max-tokens 16 --least-cosine 0.9 --threads 1 --batch-tokens 64 --precision q8
expect 2 'seconds' "$nib" tune "$model" --seconds soon
expect 2 'least-cosine' "$nib" tune "$model" --least-cosine 2
expect 2 'no model was named' "$nib" tune
expect 2 'No such file' "$nib" tune "$model" --input missing.txt
timeout --foreground --preserve-status -s INT 2 "$nib" tune "$model" --threads 1 >stopped.txt 2>err
check [ $? -eq 130 ]
check grep -q 'interrupted' err

# readers that leave
reader_leaves() {
    { "$nib" "$@" 2>err; echo $? >code; } | true
    check [ "$(cat code)" -le 1 ]
    check [ ! -s err ]
}
reader_leaves profile "$model" --repeat 1
reader_leaves explain "$model"
reader_leaves tune "$model" --seconds 1 --threads 1
reader_leaves bench encode --model "$model" --input texts.txt --rounds 1
fi
for verb in profile tune; do expect 0 'usage' bash -c "'$nib' $verb --help | head -n 1"; done
expect 0 'first' bash -c "echo 'the first' | '$nib' embed --warm --model '$model' --input - >warm.jsonl && echo first"
for precision in bf16 q8; do
    expect 0 "in $precision \(asked for\)" "$nib" inspect "$model" --precision $precision
    expect 0 '0\.[67][0-9]+  A cat' "$nib" embed --model "$model" --precision $precision --similarity 'A cat is sleeping on the sofa.' 'A kitten naps on the couch.'
done
expect 2 'precision f16: it takes f32, bf16, q8, q4, mixed or auto' "$nib" embed --model "$model" --precision f16 text
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

# a model that somebody cuts off while it is mapped: said, and nothing half-written. The pipe opens once the model is loaded.
mkdir cut cut/model
for file in "$model"/*; do ln -s "$file" cut/model/; done
rm cut/model/model.safetensors
cp "$model/model.safetensors" cut/model/
mkfifo late
(cd cut && exec "$nib" embed --model model --input ../late --output v.npy) 2>err &
exec 3>late
: >cut/model/model.safetensors
echo 'a text' >&3
exec 3>&-
wait $!
check [ $? -eq 1 ]
check grep -q 'became shorter while it was in use' err
check [ "$(ls -A cut)" = model ]

[ $failed -eq 0 ] && echo "command: ok"
exit $failed
