#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# nib compile and every verb on what it writes, as a user meets them. usage: test_compile.sh NIB SOURCE_FOLDER.
set -uo pipefail
nib=$(realpath "$1") root=$(realpath "$2")
tiny=$root/test/data/nib/tiny
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failed=0

# shellcheck source=test/cli/expect.sh
. "$root/test/cli/expect.sh"

expect 0 'example' "$nib" compile --help
expect 0 'example' "$nib" help compile

# the same bits, in every precision; nothing but the file is left
for precision in f32 bf16 q8 auto; do
    expect 0 '' "$nib" compile "$tiny" -o tiny.nib --precision $precision
    check [ "$(find . -type f | sort | tr '\n' ' ')" = './out ./tiny.nib ' ]
    check [ "$("$nib" embed --model "$tiny" --precision $precision 'a pen' 'nibs of ink, été' '' 2>/dev/null | cksum)" = \
        "$("$nib" embed --model tiny.nib 'a pen' 'nibs of ink, été' '' | cksum)" ]
done
expect 0 '' "$nib" compile "$tiny" -o tiny.nib # the same model gives the same bytes
cp tiny.nib again.nib
expect 0 '' "$nib" compile "$tiny" -o tiny.nib
check cmp tiny.nib again.nib

# every verb that runs a model
expect 0 'compiled      from .*tiny' "$nib" inspect tiny.nib --verify
expect 0 'nk_gemm_f32_f32_f32' "$nib" explain tiny.nib
expect 0 'pen' "$nib" tokenize --model tiny.nib 'a pen'
printf 'a pen\nink of the nib\n' >texts
expect 0 'attention' "$nib" profile tiny.nib --input texts --repeat 1
expect 0 '' "$nib" bench encode --model tiny.nib --input texts --rounds 1
expect 2 'nib compile --exact' "$nib" run tiny.nib --random
expect 0 '' "$nib" compile "$tiny" -o exact.nib --exact
expect 0 'last_hidden_state' "$nib" run exact.nib --random

# and those that want a graph to work on
expect 2 'takes the model that it was made of' "$nib" optimize tiny.nib -o x.onnx
expect 2 'takes the model that it was made of' "$nib" diff tiny.nib "$tiny"
expect 2 'takes the model that it was made of' "$nib" inspect tiny.nib --graph text
expect 2 'compiled already' "$nib" compile tiny.nib -o x.nib
check [ ! -e x.nib ]

# what was settled by compiling
expect 0 '' "$nib" compile "$tiny" -o q8.nib --precision q8
expect 2 'another precision' "$nib" embed --model q8.nib --precision f32 x
expect 2 'another pooling' "$nib" embed --model q8.nib --pooling cls x
expect 0 '' "$nib" embed --model q8.nib --precision q8 --max-tokens 3 'a pen of ink'

# another processor
best=$("$nib" --version)
case $best in *avx512vnni*|*avx512bf16*|*amx*)
    expect 2 'packed as q8_n32, and no kernel for avx2 reads' env NIB_CPU=avx2 "$nib" embed --model q8.nib x
esac
expect 0 '' env NIB_CPU=generic "$nib" compile "$tiny" -o any.nib
expect 0 '' "$nib" embed --model any.nib 'a pen'

# what cannot be written, and what is no model: the old file stays, and no other
before=$(cksum <tiny.nib)
expect 2 'is the model itself' "$nib" compile tiny.nib -o tiny.nib
cp "$root/test/data/onnx/bert-tiny.ts.sdpa.onnx" m.onnx
expect 2 'is the model itself' "$nib" compile m.onnx -o m.onnx
check cmp m.onnx "$root/test/data/onnx/bert-tiny.ts.sdpa.onnx"
expect 2 'o is missing' "$nib" compile "$tiny"
expect 2 'no model was named' "$nib" compile -o x.nib
expect 2 'No such file' "$nib" compile /no/such/model -o x.nib
expect 1 'cannot be written|No such file' "$nib" compile "$tiny" -o no/such/folder/x.nib
expect 1 'is a folder' "$nib" compile "$tiny" -o "$work"
(ulimit -f 8; "$nib" compile "$tiny" -o tiny.nib >out 2>&1; echo $? >code)
check grep -qE '^[12]$' code
check grep -q 'cannot be written' out
check [ "$(cksum <tiny.nib)" = "$before" ]
if [ -w /dev/full ]; then expect 1 'no regular file' "$nib" compile "$tiny" -o /dev/full; fi

# Ctrl-C: nothing is left
real=$root/models/all-MiniLM-L6-v2
if [ -e "$real/model.safetensors" ]; then
    for wait in 0.02 0.06 0.12 0.2; do
        "$nib" compile "$real" -o big.nib >out 2>&1 &
        pid=$!
        sleep $wait
        kill -TERM $pid 2>/dev/null
        wait $pid
        code=$?
        check grep -qE '^(0|143)$' <<<"$code"
        if [ "$code" -eq 0 ]; then check [ -e big.nib ]; fi
        rm -f big.nib
        check [ -z "$(find . -name 'big.nib*')" ]
    done
fi

# broken files
head -c 3000 tiny.nib >cut.nib
expect 2 'has 3000 bytes, and was written with' "$nib" embed --model cut.nib x
cp tiny.nib last.nib
printf 'x' | dd of=last.nib bs=1 seek=$(($(stat -c %s last.nib) - 3)) conv=notrunc 2>/dev/null
expect 2 'section blobs is broken' "$nib" inspect last.nib --verify
check [ -z "$(find . -name '*.nib.*')" ]
exit $failed
