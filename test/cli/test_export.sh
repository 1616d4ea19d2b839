#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# nib export, and other verbs on what it writes, as a user meets them. usage: test_export.sh NIB SOURCE_FOLDER.
set -uo pipefail
nib=$(realpath "$1") root=$(realpath "$2")
tiny=$root/test/data/nib/tiny
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failed=0

# shellcheck source=test/cli/expect.sh
. "$root/test/cli/expect.sh"

cp -r "$tiny" model
echo '{"prompts": {"query": "pen: "}, "similarity_fn_name": "dot"}' >model/config_sentence_transformers.json
"$nib" embed --model model 'a pen of ink' >wanted

# as Optimum lays it out: inputs, outputs, small files; the same vectors, through either way to pool
expect 0 '' "$nib" export model -o written
expect 0 'input_ids i64.batch_size, sequence_length' "$nib" inspect written
expect 0 'last_hidden_state f32.batch_size, sequence_length, 32' "$nib" inspect written
expect 0 'similarity    dot' "$nib" inspect written
expect 0 '' cmp model/tokenizer.json written/tokenizer.json
expect 0 '' cmp model/config.json written/config.json
check [ ! -e written/model.safetensors ]
expect 0 '' "$nib" export model -o written # the same bytes again
cksum <written/model.onnx >before
expect 0 '' "$nib" export model -o written
check cmp before <(cksum <written/model.onnx)
expect 0 '' "$nib" export model -o pooled --with-pooling
expect 0 'sentence_embedding f32.batch_size, 32.' "$nib" inspect pooled
for folder in written pooled; do
    "$nib" embed --model $folder 'a pen of ink' >got
    check awk -v RS='[][,]' 'NR == FNR {a[FNR] = $1; next} {d = a[FNR] - $1; if (d > 1e-5 || d < -1e-5) exit 1}' wanted got
done

# smaller weights, another opset, weights beside the file
expect 0 '' "$nib" export model -o half --precision fp16
check [ "$(stat -c %s half/model.onnx)" -lt "$(stat -c %s written/model.onnx)" ]
expect 0 'opset 21' bash -c "'$nib' export model -o new --opset 21 && '$nib' inspect new"
expect 0 '' "$nib" export model -o beside --external-over 0
check [ -s beside/model.onnx.data ]
expect 3 '' "$nib" diff written/model.onnx half/model.onnx
expect 0 '' "$nib" diff written/model.onnx beside/model.onnx

# what is wrong, or cannot be written: nothing is
expect 2 'o is missing' "$nib" export model
expect 2 'no model was named' "$nib" export -o x
expect 2 'No such file' "$nib" export /no/such/model -o x
expect 2 '15 to 28' "$nib" export model -o x --opset 14
expect 2 '15 to 28' "$nib" export model -o x --opset 29
expect 2 'f32, fp16 or bf16' "$nib" export model -o x --precision q8
expect 2 'unrecognized option --pooling' "$nib" export model -o x --pooling cls
expect 2 'has model.safetensors, and would be opened by it' "$nib" export model -o model
expect 2 'is no folder' "$nib" export written/model.onnx -o x
expect 2 'has an ONNX file already' "$nib" export written -o x
check [ ! -e x ]
touch file
expect 1 'file' "$nib" export model -o file
(ulimit -f 8; "$nib" export model -o full >out.txt 2>&1; echo $? >code)
check grep -qE '^1$' code
check grep -q 'cannot be written' out.txt
check [ -z "$(find full -name 'model.onnx*')" ]

# Ctrl-C: no half of a model is left
real=$root/models/all-MiniLM-L6-v2
if [ -e "$real/model.safetensors" ]; then
    for wait in 0.02 0.06 0.12; do
        "$nib" export "$real" -o big >out.txt 2>&1 &
        pid=$!
        sleep $wait
        kill -TERM $pid 2>/dev/null
        wait $pid
        code=$?
        check grep -qE '^(0|143)$' <<<"$code"
        if [ "$code" -ne 0 ]; then check [ -z "$(find . -path '*big/model.onnx*')" ]; fi
        rm -rf big
    done
fi
exit $failed
