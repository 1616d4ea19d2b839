#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# nib optimize, simplify, diff, inspect --graph as a user meets them. usage: test_optimize.sh NIB SOURCE_FOLDER.
set -uo pipefail
nib=$(realpath "$1") root=$(realpath "$2")
data=$root/test/data/onnx
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failed=0

# shellcheck source=test/cli/expect.sh
. "$root/test/cli/expect.sh"

for verb in optimize simplify diff; do expect 0 'example' "$nib" $verb --help; done

# every level and target: proven, and the second time no byte changes; under a sanitizer of one exporter
models='bert-tiny.ts.sdpa bert-tiny.dynamo.sdpa modernbert-tiny.dynamo linear'
[ -z "${NIB_SLOW:-}" ] || models='modernbert-tiny.dynamo linear'
for model in $models; do
    for options in -O0 -O1 -O2 -O3 -O4 '-O2 --target onnxruntime' '-O4 --target onnxruntime'; do
        # shellcheck disable=SC2086
        expect 0 'last_hidden_state: differs by at most|y: differs by at most|not proven: operator .* has no evaluation here' \
            "$nib" optimize "$data/$model.onnx" -o one.onnx  $options
        # shellcheck disable=SC2086
        expect 0 '' "$nib" optimize one.onnx -o two.onnx $options --no-check
        check cmp one.onnx two.onnx
    done
done
expect 0 'all nodes' "$nib" simplify "$data/bert-tiny.ts.sdpa.onnx" simple.onnx
expect 0 'differs by at most' "$nib" diff "$data/bert-tiny.ts.sdpa.onnx" simple.onnx
expect 0 'Gelu ' "$nib" optimize "$data/bert-tiny.ts.sdpa.onnx" -o gelu.onnx -O2 --opset 20
expect 0 'last_hidden_state' "$nib" optimize simple.onnx -o simple.onnx # in place

# half precision that nothing came of is none: the products stand in branches
expect 3 'of the Linear layers. weights would stay f32' "$nib" optimize "$data/small/merged.onnx" -o none.onnx -O4
check [ ! -e none.onnx ]
expect 0 'half: 21 nodes compute in f16, 0 stay f32' "$nib" optimize "$data/bert-tiny.ts.sdpa.onnx" -o half.onnx -O4 --target onnxruntime

# a folder that would still be opened by its safetensors is refused, the model's own and others
cp -r "$root/test/data/hf/bert-tiny" tiny
for out in tiny tiny/. ./tiny; do expect 2 'has model.safetensors, and would be opened by it' "$nib" optimize tiny -o $out -O1; done
check [ ! -e tiny/model.onnx ]
mkdir sharded && : >sharded/model.safetensors.index.json
expect 2 'has model.safetensors.index.json' "$nib" optimize tiny -o sharded -O1
expect 0 'all nodes' "$nib" optimize tiny -o tiny-onnx -O1
expect 0 'all nodes' "$nib" optimize tiny-onnx -o tiny-onnx -O2 # in place: its own model.onnx
expect 0 'all nodes' "$nib" optimize tiny -o tiny/model.onnx -O1 # named as a file

# external data, reports, shapes, drawings
expect 0 '' "$nib" optimize simple.onnx -o ext.onnx --external-over 0 --report ext.json
check [ -s ext.onnx.data ]
flat() { tr -d ' \n' <"$1"; } # JSON on one line
check grep -q '"nodes":{"before":' <(flat ext.json)
expect 0 'differs by at most 0,' "$nib" diff ext.onnx simple.onnx
inputs=$("$nib" inspect simple.onnx --graph text | grep -o 'input_ids' | head -n 1)
check [ "$inputs" = input_ids ]
expect 0 '' "$nib" optimize simple.onnx -o fixed.onnx --shape input_ids=2x9 --no-check
"$nib" inspect fixed.onnx --graph text >out
check grep -q 'int64\[2,9\] input_ids' out
expect 0 '^digraph' "$nib" inspect simple.onnx --graph dot
expect 2 'text or dot' "$nib" inspect simple.onnx --graph png

# what files may cost: the same options as every verb that opens a model has
for verb in 'optimize -o small.onnx' 'simplify' 'diff simple.onnx' 'inspect --graph text'; do
    # shellcheck disable=SC2086
    set -- "$nib" $verb simple.onnx
    [ "$verb" = simplify ] && set -- "$@" small.onnx
    rm -f small.onnx
    expect 1 'no memory to read the model' "$@" --memory 20K
    expect 1 'out of memory for its [0-9]* bytes' "$@" --private-reads --memory 20K
    expect 2 'NAME=N' "$@" --limit nonsense
    expect 0 '' "$@" --private-reads --memory 1G --limit files=1
done

# costs: of both, beside what was done; only where both were run, and never in what is written for others
expect 0 'measured, ms +[0-9.]+ +[0-9.]+' "$nib" optimize "$data/bert-tiny.ts.sdpa.onnx" -o cost.onnx -O2 --report one.json --threads 2
expect 0 'one run in nib, at 1 x [0-9]+, 2 threads' "$nib" optimize "$data/bert-tiny.ts.sdpa.onnx" -o cost.onnx -O2 --report two.json --threads 2
check grep -q '"costs":{"batch":1,"size":[1-9][0-9]*,"threads":2,.*"estimated_seconds":{"before":[0-9.e-]*,"after":[0-9.e-]*}' <(flat one.json)
bytes=$(flat one.json | grep -o '"session_bytes":{"before":[1-9][0-9]*,"after":[1-9][0-9]*}')
check [ -n "$bytes" ]
check grep -qF "$bytes" <(flat two.json)
expect 0 'all nodes' "$nib" optimize "$data/bert-tiny.ts.sdpa.onnx" -o cost.onnx --report none.json --no-check
check [ "$(grep -c costs none.json)" = 0 ]

# half precision: half the bytes, the same inputs and outputs, what stays f32 is named
expect 0 'half: [0-9]* nodes compute in f16' "$nib" optimize "$data/bert-tiny.ts.sdpa.onnx" -o half.onnx -O4 --report half.json
check [ $(($(stat -c %s half.onnx) * 3)) -lt $(($(stat -c %s simple.onnx) * 2)) ]
check grep -q '"half: of [0-9]* weights' half.json
"$nib" inspect half.onnx --graph text >out
check grep -q "=> (float\[" out
expect 0 'differs by at most' "$nib" diff simple.onnx half.onnx --tolerance 3e-2
expect 3 'nothing was written' "$nib" optimize simple.onnx -o x.onnx -O4 --tolerance 1e-7
expect 2 'level 5|the level is 0 to 4' "$nib" optimize simple.onnx -o x.onnx -O5
expect 0 '' "$nib" optimize simple.onnx -o half-ext.onnx -O4 --external-over 0
expect 0 'differs by at most 0,' "$nib" diff half-ext.onnx half.onnx

# two different models
expect 3 'nothing was written' "$nib" optimize simple.onnx -o gelu3.onnx -O3 --tolerance 1e-9
check [ ! -e gelu3.onnx ]
expect 0 '' "$nib" optimize simple.onnx -o gelu3.onnx -O3
expect 3 'differ' "$nib" diff simple.onnx gelu3.onnx

# models that cannot be run are not the same because nothing differed
sed 's/LayerNormalization/LairNormalization_/' "$data/bert-tiny.dynamo.sdpa.onnx" >odd.onnx
expect 2 'not compared: operator LairNormalization_ has no evaluation here' "$nib" diff odd.onnx odd.onnx
expect 0 'LairNormalization_' "$nib" diff odd.onnx odd.onnx --no-check

# a command line that is wrong; a model that is; a place that cannot be written: the old file stays
expect 2 'no input nothing' "$nib" optimize simple.onnx -o x.onnx --shape nothing=1x2
expect 2 'rank 2, not 3' "$nib" optimize simple.onnx -o x.onnx --shape input_ids=1x2x3
expect 2 'no pass frobnicate' "$nib" optimize simple.onnx -o x.onnx --disable frobnicate
expect 2 'standard or onnxruntime' "$nib" optimize simple.onnx -o x.onnx --target tensorrt
expect 2 'o is missing' "$nib" optimize simple.onnx
expect 2 'No such file' "$nib" optimize /no/such/model -o x.onnx
expect 2 'LayerNormalization of opset' "$nib" optimize simple.onnx -o x.onnx --opset 13
head -c 20000 "$data/bert-tiny.ts.sdpa.onnx" >cut.onnx
expect 2 'byte' "$nib" optimize cut.onnx -o x.onnx
expect 1 'cannot be written' "$nib" optimize simple.onnx -o /no/such/folder/x.onnx
expect 1 'no regular file' "$nib" optimize simple.onnx -o /dev/null
check [ ! -e x.onnx ]
mkdir limited
cp simple.onnx limited/old.onnx
(ulimit -f 8; cd limited && "$nib" optimize ../simple.onnx -o old.onnx 2>../err >/dev/null; exit $?)
check [ $? -eq 1 ]
check cmp simple.onnx limited/old.onnx
check [ "$(ls limited)" = old.onnx ]

# a folder of settings: what links lead out to is not published; a cache's snapshot and a folder of links are folders like others
tiny=$root/test/data/nib/tiny
mkdir secret snapshots blobs snapshots/c links real
echo SECRET >secret/id_rsa
echo '{"pooling_mode_mean_tokens": true}' >secret/config.json
echo '[{"path": "", "type": "x.Transformer"}, {"path": "1_Pooling", "type": "x.Pooling"}]' >modules.json
cp -r "$tiny" leaks
ln -s ../secret/id_rsa leaks/vocab.txt
expect 2 'vocab.txt. leads out of the model.s folder' "$nib" optimize leaks -o published
rm leaks/vocab.txt
cp modules.json leaks
ln -s ../secret leaks/1_Pooling
expect 2 '1_Pooling/config.json. leads out of the model.s folder' "$nib" optimize leaks -o published
expect 2 'leads out of the model.s folder' "$nib" inspect leaks
check [ "$(grep -rc SECRET published | grep -vc :0)" = 0 ]
check [ ! -e published/1_Pooling/config.json ]
printf '[{"path": "", "type": "x.Transformer"}, {"path": "1_Pooling\\u0000/x", "type": "x.Pooling"}]' >leaks/modules.json
expect 2 'the path of a x.Pooling is no text' "$nib" optimize leaks -o published
{ printf '[{"path": "", "type": "x.Transformer"}'; for _ in {1..64}; do printf ', {"path": "1_Pooling", "type": "x.Pooling"}'; done; printf ']'; } >leaks/modules.json
rm leaks/1_Pooling
expect 1 'more than 64 modules' "$nib" optimize leaks -o published
cp "$tiny"/* modules.json real && mkdir real/1_Pooling snapshots/c/1_Pooling && cp secret/config.json real/1_Pooling
for name in config.json model.safetensors tokenizer.json modules.json 1_Pooling/config.json; do
    cp real/$name "blobs/${name//\//-}"
    ln -s "$PWD/blobs/${name//\//-}" snapshots/c/$name
done
for name in config.json model.safetensors tokenizer.json modules.json 1_Pooling; do ln -s ../real/$name links/$name; done
for folder in real snapshots/c links; do
    rm -rf copied
    expect 0 'differs by at most' "$nib" optimize $folder -o copied
    for name in config.json tokenizer.json modules.json 1_Pooling/config.json; do check cmp real/$name copied/$name; done
done

# half precision whose range texts leave, and random ids do not: 20,000 words, of which those of the tokenizer alone have one
# large column, which a norm keeps and a weight makes larger than f16 holds
cp -r "$root/test/data/nib/tiny" peaks
python3 - <<'PYTHON'
import array, json, struct
data = open("peaks/model.safetensors", "rb").read()
size = struct.unpack("<Q", data[:8])[0]
tensors = {}
for name, t in json.loads(data[8:8 + size]).items():
    if name != "__metadata__":
        a, b = t["data_offsets"]
        tensors[name] = t["shape"], array.array("f", data[8 + size + a:8 + size + b])
words = [float((k + i) % 2 * 2 - 1) for i in range(20000) for k in range(32)]
for i in range(24):
    words[32 * i:32 * i + 32] = [50.0 * (k == 5) for k in range(32)]
tensors["embeddings.word_embeddings.weight"] = [20000, 32], array.array("f", words)
tensors["embeddings.LayerNorm.weight"] = [32], array.array("f", [1.0] * 32)
tensors["encoder.layer.0.attention.output.LayerNorm.weight"] = [32], array.array("f", [1.0] * 32)
tensors["encoder.layer.0.intermediate.dense.weight"][1][5] = 25000.0
header, at = {}, 0
for name, (shape, numbers) in tensors.items():
    header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + 4 * len(numbers)]}
    at += 4 * len(numbers)
text = json.dumps(header).encode()
open("peaks/model.safetensors", "wb").write(struct.pack("<Q", len(text)) + text + b"".join(t[1].tobytes() for t in tensors.values()))
config = json.load(open("peaks/config.json"))
json.dump(dict(config, vocab_size=20000), open("peaks/config.json", "w"))
PYTHON
printf 'a pen of ink\nthe nib\n' >peaks.txt
expect 3 'of 2 texts 2 give what is no number as ONNX means the file, and in f32 numbers; nothing was written' \
    "$nib" quantize peaks -o peaks16 --type fp16 --check peaks.txt --no-speed
check [ ! -e peaks16 ]
expect 0 "mean (1.0000|0.999)" "$nib" quantize peaks -o peaks16 --type bf16 --check peaks.txt --no-speed

# a folder: the written one loads, and gives the same vectors
model=$root/models/all-MiniLM-L6-v2
if [ -f "$model/model.safetensors" ]; then
    expect 0 'all nodes' "$nib" optimize "$model" -o folder --no-check
    check [ -s folder/nib.json ]
    check [ "$(grep -c costs folder/nib.json)" = 0 ]
    "$nib" embed --model "$model" 'a nib' >a.jsonl && "$nib" embed --model folder 'a nib' >b.jsonl
    check cmp a.jsonl b.jsonl
    # sizes that are fixed: two texts stay two, and what they were
    expect 0 '' "$nib" optimize "$model" -o fixed --shape input_ids=batchx64 --shape attention_mask=batchx64 --shape token_type_ids=batchx64
    expect 0 'batches are packed' "$nib" explain --model fixed
    "$nib" embed --model "$model" --similarity 'a nib' 'the weather' >free.txt && "$nib" embed --model fixed --similarity 'a nib' 'the weather' >fixed.txt
    check cmp free.txt fixed.txt
    # in half precision: fused and packed as the f32 one is, and nearly the same vector
    expect 0 'half: ' "$nib" optimize "$model" -o half-folder -O4
    expect 0 'half precision is computed in f32' "$nib" explain --model half-folder
    expect 0 'batches are packed' "$nib" explain --model half-folder
    "$nib" embed --model half-folder 'a nib' >c.jsonl
    check awk 'function numbers(s) { gsub(/.*\[|\].*/, "", s); return s }
        NR == 1 { n = split(numbers($0), a, ",") } NR == 2 { split(numbers($0), b, ","); for (i = 1; i <= n; i++) c += a[i] * b[i]; exit !(n > 300 && c > 0.9999 && c < 1.0001) }' \
        <(cat a.jsonl c.jsonl)
fi

[ $failed -eq 0 ] && echo "optimize: ok"
exit $failed
