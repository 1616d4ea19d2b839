#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# nib search, and nib embed's --dimensions, --type, --ranges, --encoding-format and --profile: what is written, what is found, what is
# refused. usage: test_search.sh NIB SOURCE_FOLDER.
set -uo pipefail
nib=$(realpath "$1") root=$(realpath "$2")
tiny=$root/test/data/nib/tiny goldens=$root/test/data/vectors
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failed=0
unset NIB_NUM_THREADS OMP_NUM_THREADS HF_HOME HF_HUB_CACHE
export HOME=$work XDG_CACHE_HOME=$work/cache

# shellcheck source=test/cli/expect.sh
. "$root/test/cli/expect.sh"

size() { wc -c <"$1"; }
printf 'a pen\nink of the nib\nb c a\ntip of a pen , ink\n' >texts

# ---- vectors of fewer bits: the sizes, dtypes and, one way or the other, the same bytes
for row in 'float32 <f4 512' 'float16 <f2 256' 'int8 |i1 128' 'uint8 |u1 128' 'binary |i1 16' 'ubinary |u1 16'; do
    read -r type dtype bytes <<<"$row"
    expect 0 '' "$nib" embed --model "$tiny" --input texts --type "$type" --output "$type.npy"
    check grep -qF "'descr': '$dtype'" "$type.npy"
    check test "$(size "$type.npy")" = $((bytes + 128))
    "$nib" embed --quiet --model "$tiny" --input texts --type "$type" --output - >piped.npy || failed=1
    check cmp <(tail -c "$bytes" "$type.npy") <(tail -c "$bytes" piped.npy)
done
check test -f int8.ranges.npy
expect 0 'ranges of int8 are those of these 4 vectors' "$nib" embed --model "$tiny" --input texts --type int8 --output own.npy
for ranges in int8.ranges.npy texts float32.npy; do
    expect 0 '' "$nib" embed --model "$tiny" --input texts --type int8 --ranges $ranges --output from.npy
    check cmp int8.npy from.npy
done
expect 2 '1 vectors have no ranges' "$nib" embed --model "$tiny" --type int8 ink
expect 2 'take --ranges FILE, where vectors are written as they come' "$nib" embed --model "$tiny" --type int8 --input texts
expect 2 'ranges are of --type int8' "$nib" embed --model "$tiny" --ranges texts ink
expect 2 'dimensions 33: the model.s vectors have 32' "$nib" embed --model "$tiny" --dimensions 33 ink
expect 0 'cut to 8: config.json says nothing of being trained' "$nib" embed --model "$tiny" --dimensions 8 ink
expect 0 '^cuts +config.json says nothing' "$nib" inspect "$tiny"
mkdir trained
cp "$tiny"/* trained
sed -i 's/"model_type"/"matryoshka_dimensions": [4, 8, 16], "model_type"/' trained/config.json
expect 0 '^cuts +4,8,16$' "$nib" inspect trained
"$nib" embed --model trained --dimensions 8 ink >out 2>err || failed=1
check test ! -s err
expect 0 'trained for 4,8,16' "$nib" embed --model trained --dimensions 9 ink

# ---- base64: the bytes of the numbers
"$nib" embed --model "$tiny" --encoding-format base64 'a pen' | sed 's/.*"embedding": "//; s/"}$//' | base64 -d >bytes || failed=1
check cmp bytes <(head -c 256 float32.npy | tail -c 128)
expect 2 'encoding-format is of JSON lines' "$nib" embed --model "$tiny" --encoding-format base64 --input texts --output x.npy
expect 0 '"embedding": \[-?[0-9]+, -?[0-9]+, -?[0-9]+, -?[0-9]+\]' "$nib" embed --model "$tiny" --type binary 'a pen'

# ---- search: texts, each type of vectors, vectors of queries
expect 0 '^ +1\.0000  1  ink of the nib$' "$nib" search --model "$tiny" -q 'ink of the nib' --top 1 texts
for documents in float32.npy float16.npy int8.npy uint8.npy 'binary.npy --type binary' 'ubinary.npy --type ubinary' \
    'ubinary.npy --type ubinary --rescore 4' 'binary.npy --type binary --rescore 2 --rescore-with int8.npy'; do
    # shellcheck disable=SC2086
    expect 0 '"query": "ink of the nib", "hits": \[\{"index": 1, "score": ' "$nib" search --model "$tiny" -q 'ink of the nib' --json --top 2 $documents
    check test "$(grep -o '"index"' out | wc -l)" = 2
done
expect 0 '^query 2$' "$nib" search --query-vectors "$goldens/queries.npy" "$goldens/rows.npy" --similarity dot --top 3
expect 0 '^ +-[0-9]+\.0000  2$' "$nib" search --query-vectors "$goldens/queries.npy" "$goldens/ubinary.npy" --type ubinary
"$nib" embed --quiet --model "$tiny" --input texts --dimensions 8 --output cut.npy || failed=1
expect 0 'queries are cut to the 8 numbers of the documents' "$nib" search --model "$tiny" -q 'a pen' cut.npy
check grep -qE '^ +1\.0000  0$' out
"$nib" search --model "$tiny" --queries texts texts --top 1 >out || failed=1
check test "$(grep -c '^   1.0000' out)" = 4

cp -r "$tiny" dotted
echo '{"similarity_fn_name": "dot"}' >dotted/config_sentence_transformers.json
"$nib" search --model dotted -q ink texts >got && "$nib" search --model "$tiny" -q ink --similarity dot texts | cmp - got || failed=1
check grep -qv '^ *-\?[01]\.' got

# Bits are stored by the byte: how many of a vector's are numbers --dimensions says; which kind of bits the file.
"$nib" embed --quiet --model "$tiny" --input texts --dimensions 12 --type ubinary --output b12.npy || failed=1
expect 0 '^ +0\.0000  1$' "$nib" search --model "$tiny" -q 'ink of the nib' --type binary --dimensions 12 b12.npy
expect 0 '9 to 16 bits a vector' "$nib" search --model "$tiny" -q 'ink of the nib' --type ubinary b12.npy
# Ranges of vectors that are not of length 1, from texts and from their vectors; and ranges that are wider.
"$nib" embed --quiet --model "$tiny" --normalize no --input texts --output raw.npy || failed=1
for ranges in texts raw.npy; do
    "$nib" embed --quiet --model "$tiny" --normalize no --dimensions 8 --type int8 --ranges $ranges --input texts --output "cut.$ranges.npy" || failed=1
done
check cmp cut.texts.npy cut.raw.npy.npy
printf '{"id": "\xff", "text": "ink"}\n' >bad.jsonl
"$nib" embed --model "$tiny" --input-format jsonl --input bad.jsonl >out || failed=1
check python3 -c 'import json; assert json.loads(open("out", encoding="utf-8").read())["id"] == "\ufffd"'

# ---- refused
expect 2 'name the documents' "$nib" search --model "$tiny" -q a
expect 2 'give one of --query' "$nib" search --model "$tiny" texts
expect 2 'give one of --query' "$nib" search --model "$tiny" -q a --query-vectors cut.npy texts
expect 2 'texts are embedded by a model' "$nib" search -q a texts
expect 2 'rescore-with is for --rescore' "$nib" search --model "$tiny" -q a --rescore-with int8.npy int8.npy
expect 2 'queries of 32 numbers, and documents of 100' "$nib" search --query-vectors float32.npy "$goldens/rows.npy"
expect 2 'have no similarity hamming' "$nib" search --query-vectors float32.npy float32.npy --similarity hamming
expect 2 'are not binary' "$nib" search --model "$tiny" -q a --type binary float32.npy
expect 2 'rescore-with takes an .npy' "$nib" search --model "$tiny" -q a --type ubinary --rescore 2 --rescore-with x ubinary.npy
expect 2 'rescore is of an .npy' "$nib" search --model "$tiny" -q a --rescore 2 texts
expect 2 'dimensions is of documents that are texts, or bits' "$nib" search --model "$tiny" -q a --dimensions 8 float32.npy
expect 1 'an array of numbers' "$nib" search --model "$tiny" -q a <(cat float32.npy)
expect 1 'an array of numbers' "$nib" embed --model "$tiny" --input float32.npy
expect 2 'tokens: --ranges takes an .npy' "$nib" embed --model "$tiny" --tokens --type int8 --ranges texts --output t.npy ink
expect 2 '' "$nib" search --model "$tiny" -q a none.npy
head -c 200 float32.npy >short.npy
expect 2 'short.npy' "$nib" search --model "$tiny" -q a short.npy
expect 2 '' "$nib" search --model "$tiny" -q a "$goldens/hamming.npy"

# ---- profiles
expect 2 'profile auto would take sentence-transformers/all-MiniLM-L6-v2' "$nib" embed ink
check grep -q 'nib pull sentence-transformers/all-MiniLM-L6-v2' out
expect 2 'would take BAAI/bge-large-en-v1.5 here: 900 numbers' "$nib" embed --dimensions 900 ink
expect 2 'all-mpnet-base-v2 is not in the cache' "$nib" embed --profile high-quality ink
expect 2 'no profile is called fast; there are efficient' "$nib" embed --profile fast ink
expect 0 '"embedding": \[-?[0-9]+, -?[0-9]+, -?[0-9]+, -?[0-9]+\]' "$nib" embed --profile ultra-efficient --model "$tiny" --dimensions 32 --precision f32 ink
"$nib" embed --model "$tiny" --prompt 'query: ' ink >want || failed=1
"$nib" embed --model "$tiny" --profile e5-base --prompt-name query ink >got || failed=1
check cmp want got
exit $failed
