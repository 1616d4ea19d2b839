#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every option that a verb's --help lists has an effect: the verb with it and without it give different results, and the same command gives
# the same result twice. usage: test_effects.sh NIB SOURCE_FOLDER.
set -uo pipefail
[ -z "${NIB_SLOW:-}" ] || exit 77 # some four hundred starts: too many under a sanitizer
nib=$(realpath "$1") root=$(realpath "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
cp -r "$root/test/data/nib/tiny" tiny
cp -r "$root/test/data/tasks/sparse-bert" splade
cp -r "$root/test/data/tasks/m3-xlmr" m3
cp "$root/test/data/onnx/bert-tiny.ts.sdpa.onnx" bert.onnx
cp "$root/test/data/onnx/expected/one.input_ids.npy" ids.npy
echo '{"prompts": {"query": "pen: "}, "default_prompt_name": "query"}' >tiny/config_sentence_transformers.json
printf 'a pen\nink of the nib\n' >texts
printf '2 3 4\n' >ids
printf 'a pen\tink\t1\nnib\tnib\t3\nink of\ta nib\t2\n' >pairs.tsv
mkdir beir
printf '1\ta pen\n' | tee beir/queries.tsv >beir/corpus.tsv
printf '1\t1\t1\n' >beir/qrels.tsv
echo '{"id": 7, "text": "ink"}' >records
for i in $(seq 3000); do echo "a pen and the ink of nib $i"; done >many
mkdir suite big
# 30 MB in a field that no reader knows: mapped they are no memory, read they are
{ cat bert.onnx; printf '\242\006\200\207\247\016'; head -c 30000000 /dev/zero; } >big.onnx
cp big.onnx big/model.onnx
cp tiny/tokenizer.json big/
cp "$root/test/data/onnx/t5-tiny.dynamo.onnx" t5.onnx
{
    "$nib" run bert.onnx --random --output-dir golden
    "$nib" simplify bert.onnx other.onnx
    "$nib" optimize bert.onnx -o half.onnx -O4
    "$nib" compile tiny -o broken.nib
    "$nib" compile tiny -o tiny.nib
} >/dev/null
printf 'x' | dd of=broken.nib bs=1 seek=$(($(stat -c %s broken.nib) - 3)) conv=notrunc 2>/dev/null
for task in fill answer rank ner colbert; do cp -r "$root/test/data/tasks/$task-bert" $task; done
cp -r "$root/test/data/tasks/judge-qwen3" judge
sed -i 's/"default_prompt_name": null/"default_prompt_name": "towns"/; s/"prompts": {/&"other": "is it ink", /' judge/config_sentence_transformers.json
printf 'a pen\nink of the nib\nit writes\n' >documents
printf 'a [MASK]\n[MASK] writes\n' >masked
sed 's/pen/[MASK]/' many >manymasked
for type in float32:docs int8:docs8 ubinary:docs1; do
    "$nib" embed tiny --input documents --type "${type%:*}" --output "${type#*:}.npy" || exit 1
done
"$nib" embed tiny pen --output query.npy || exit 1
python3 "$root/test/cli/effects.py" "$nib" "$root" && echo 'effects: ok'
