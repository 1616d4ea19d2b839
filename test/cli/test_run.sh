#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# nib run as a user meets it, on the small models of test/data. usage: test_run.sh NIB SOURCE_FOLDER
set -uo pipefail
nib=$(realpath "$1") root=$(realpath "$2")
onnx=$root/test/data/onnx
model=$onnx/bert-tiny.ts.sdpa.onnx
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failed=0

# shellcheck source=test/cli/expect.sh
. "$root/test/cli/expect.sh"

expect 0 'examples' "$nib" run --help

# wrong flags, each with a reason
expect 2 'no model was named' "$nib" run
expect 2 'No such file' "$nib" run missing.onnx
expect 2 'one model' "$nib" run "$model" "$model"
expect 2 'input input_ids is missing' "$nib" run "$model"
# segments that nobody gives are 0, as PyTorch has it
tiny=("$root/test/data/hf/bert-tiny" --input "input_ids=$onnx/expected/right.input_ids.npy"
    --input "attention_mask=$onnx/expected/right.attention_mask.npy")
expect 0 'pooler_output  f32.3,64' "$nib" run "${tiny[@]}" --output-dir zeros
cp "$onnx/expected/right.no_types.last_hidden_state.npy" zeros/last_hidden_state.npy
expect 0 'last_hidden_state .* same' "$nib" run "${tiny[@]}" --compare zeros
expect 2 'has no such input; it has input_ids' "$nib" run "$model" --input nothing=x.npy
expect 2 'takes NAME=FILE' "$nib" run "$model" --input ids.npy
expect 2 'No such file' "$nib" run "$model" --input input_ids=missing.npy
expect 2 'takes NAME=2x8' "$nib" run "$model" --random --shape input_ids=2by8
expect 2 'wants 2 dimensions' "$nib" run "$model" --random --shape input_ids=2x8x3
expect 2 'too large' "$nib" run "$model" --random --shape input_ids=2000000000x2000000000
expect 2 'npy or pb' "$nib" run "$model" --random --format csv
expect 2 'rtol' "$nib" run "$model" --random --rtol -1
expect 2 'repeat' "$nib" run "$model" --random --repeat 0
expect 2 'unrecognized option' "$nib" run "$model" --radnom
expect 2 'NAME=N' "$nib" run "$model" --random --limit depth=3
expect 2 'NAME=N' "$nib" run "$model" --random --limit files
expect 1 'nested more than 3 deep' "$nib" run "$model" --random --limit wire-nesting=3
expect 0 'last_hidden_state' "$nib" run "$model" --random --limit fold-bytes=1K --limit json-depth=8
expect 1 'nested deeper than 1' "$nib" run "$root/test/data/hf/bert-tiny" --random --limit json-depth=1
expect 2 'no --input' "$nib" run "$model" --suite x --random
expect 2 'input_0.pb: No such file' "$nib" run "$model" --suite .
echo 'not a tensor' >bad.npy
expect 2 'bad.npy' "$nib" run "$model" --input input_ids=bad.npy
printf '\223NUMPY\1\0\166\0{' >cut.npy
expect 2 'cut.npy.*cut off' "$nib" run "$model" --input input_ids=cut.npy

# what ONNX Runtime gave for these files
mkdir golden
for batch in right odd one long; do
    cp "$onnx/expected/$batch.bert-tiny.ts.sdpa.last_hidden_state.npy" golden/last_hidden_state.npy
    expect 0 'last_hidden_state  f32\[[0-9]+,[0-9]+,64\]  same' "$nib" run "$model" --input input_ids="$onnx/expected/$batch.input_ids.npy" \
        --input attention_mask="$onnx/expected/$batch.attention_mask.npy" --input token_type_ids="$onnx/expected/$batch.token_type_ids.npy" \
        --compare golden --atol 1e-4
done

# half precision is slow here, and that is said
"$nib" optimize "$model" -o half.onnx -O4 >report
check grep -q 'f16 is computed element by element here' report
expect 0 'half precision: its exact values are computed element by element' "$nib" run half.onnx --random --repeat 2
"$nib" run "$model" --random --repeat 2 | grep -q 'half precision' && failed=1

# random inputs: the same numbers for the same seed, other ones for another; a folder round trip in both formats, at every level
expect 0 'last_hidden_state  f32\[3,12,64\]$' "$nib" run "$model" --random --seed 5 --shape input_ids=3x12 --output-dir npy
expect 0 'same: largest difference 0,' "$nib" run "$model" --random --seed 5 --shape input_ids=3x12 --compare npy --output-dir pb --format pb
expect 0 'same' "$nib" run "$model" --random --seed 5 --shape input_ids=3x12 --compare pb --optimize-level 0 --threads 2 --private-reads
expect 3 'DIFFERS: [0-9]+ of 2304 elements differ' "$nib" run "$model" --random --seed 6 --shape input_ids=3x12 --compare npy
expect 3 'DIFFERS: is f32\[2,12,64\], not f32\[3,12,64\]' "$nib" run "$model" --random --shape input_ids=2x12 --compare npy
expect 3 'DIFFERS' "$nib" run "$model" --random --seed 5 --shape input_ids=3x12 --compare npy --optimize-level 0 --rtol 0 --atol 0
expect 2 'has neither' "$nib" run "$model" --random --compare .
expect 0 '3 runs, least' "$nib" run "$model" --random --repeat 3
"$nib" run "$model" --random --seed 5 --shape input_ids=3x12 --compare npy --json >json && python3 - <<'PY' || failed=1
import json, struct
r = json.load(open("json"))
assert r["outputs"][0]["shape"] == [3, 12, 64] and r["outputs"][0]["same"] is True, r
data = open("npy/last_hidden_state.npy", "rb").read()
assert data[:6] == b"\x93NUMPY" and b"(3, 12, 64)" in data[:128] and len(data) == 128 + 4 * 3 * 12 * 64
PY
expect 0 'f32\[2,8,' "$nib" run "$root/test/data/hf/bert-tiny" --random
expect 0 'f32\[2,8,' "$nib" run "$root/test/data/hf/modernbert-tiny" --random

# sizes that are sums of others' by their names; shapes that the file declares and its operators contradict
small=$onnx/small
expect 0 'y  f32\[2,16\]' "$nib" run "$small/sums.onnx" --random
expect 0 'y  f32\[2,11\]' "$nib" run "$small/sums.onnx" --random --shape x=2x3
expect 0 'y  f32\[2,10\]' "$nib" run "$small/sums.onnx" --random --shape x=2x3 --shape mask=2x10
expect 0 'y  f32\[2,12\]' "$nib" run "$small/sums.onnx" --random --shape longer=5
expect 0 'left out: Conv: output 0, axis 2: size 8, declared 16' "$nib" run "$small/stale.onnx" --random
expect 0 'left out: Conv.*' "$nib" optimize "$small/stale.onnx" -o stale.onnx
expect 0 'y  f32\[64,5\]' "$nib" run stale.onnx --random
# a merged decoder, whose branches use the names of its outputs
expect 0 'present  f32\[2,' "$nib" run "$small/merged.onnx" --random --output-dir merged
for level in 0 1 2; do
    expect 0 'differs by at most 0' "$nib" optimize "$small/merged.onnx" -o merged.onnx -O$level
    expect 0 'present .*same' "$nib" run merged.onnx --random --compare merged
done

# places that cannot be written: a reason, and nothing left behind
expect 1 'No such file' "$nib" run "$model" --random --output-dir /no/such/folder
: >plain
expect 1 'not a folder' "$nib" run "$model" --random --output-dir plain
mkdir full
(ulimit -f 1; "$nib" run "$model" --random --shape input_ids=8x64 --output-dir full >/dev/null 2>err; exit $?)
check [ $? -eq 1 ]
check [ -z "$(ls -A full)" ]
if [ -w /dev/full ]; then
    "$nib" run "$model" --random >/dev/full 2>err
    check [ $? -eq 1 ]
fi
expect 1 'memory' "$nib" run "$model" --random --memory 200K

# Ctrl-C ends a long run at once and leaves no file
mkdir stopped
timeout --foreground --preserve-status -s INT 1 "$nib" run "$model" --random --shape input_ids=64x64 --repeat 1000000 --threads 1 --output-dir stopped >/dev/null 2>&1
check [ $? -eq 130 ]
check [ -z "$(ls -A stopped)" ]

[ $failed -eq 0 ] && echo "run: ok"
exit $failed
