#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# nib rank, ner, fill, answer, colbert and embed --sparse as a user meets them. usage: test_tasks.sh NIB SOURCE_FOLDER.
set -uo pipefail
nib=$(realpath "$1") root=$(realpath "$2")
data=$root/test/data/tasks
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failed=0

# shellcheck source=test/cli/expect.sh
. "$root/test/cli/expect.sh"

# JSON is what CrossEncoder.rank gave: keys and order, the same documents, scores within rounding
python3 - "$data/rank-bert/golden.json" <<'PY'
import json, sys
golden = json.load(open(sys.argv[1]))
open("documents", "w").write("".join(d + "\n" for d in golden["documents"]))
open("query", "w").write(golden["query"])
json.dump(golden["ranked"], open("ranked", "w"))
PY
query=$(cat query)
"$nib" rank --model "$data/rank-bert" --query "$query" --json documents >got 2>err || failed=1
python3 - <<'PY' || { echo 'FAILED: nib rank --json'; failed=1; }
import json
want, got = json.load(open("ranked")), json.load(open("got"))
assert [list(x) for x in want] == [list(x) for x in got], got
for a, b in zip(want, got):
    assert a["corpus_id"] == b["corpus_id"] and a["text"] == b["text"] and abs(a["score"] - b["score"]) < 1e-5, (a, b)
PY
expect 0 '^ 0\.[0-9]{4}     8  \?$' "$nib" rank --model "$data/rank-bert" --query "$query" documents
check [ "$("$nib" rank --model "$data/rank-bert" -q a --top-k 2 documents 2>err | wc -l)" = 2 ]
for model in rank-bert judge-qwen3; do # a prompt is put before the query, or is the instruction of a chat template
    check [ "$("$nib" rank --model "$data/$model" -q a --raw documents 2>err)" != "$("$nib" rank --model "$data/$model" -q a --raw --prompt towns documents 2>err)" ]
done
check [ "$("$nib" rank --model "$data/judge-qwen3" -q a --raw --prompt-name towns documents 2>err)" = "$("$nib" rank --model "$data/judge-qwen3" -q a --raw --prompt 'Given a river, name its towns' documents 2>err)" ]
expect 2 "no prompt 'nothing'" "$nib" rank --model "$data/judge-qwen3" -q a --prompt-name nothing documents
check [ "$("$nib" rank --model "$data/rank-bert" -q a <documents 2>err)" = "$("$nib" rank --model "$data/rank-bert" -q a documents 2>err)" ]
expect 0 '1 of 8 documents were longer, with the query, than 48 tokens' "$nib" rank --model "$data/rank-bert" -q a documents
expect 0 'example' "$nib" rank --help
expect 2 'what the documents are to answer' "$nib" rank --model "$data/rank-bert" documents
expect 2 'there are no documents' "$nib" rank --model "$data/rank-bert" --query a
expect 2 'No such file' "$nib" rank --model "$data/rank-bert" --query a none.txt
expect 2 'it is not known: it classifies pairs|which of them says' "$nib" rank --model "$root/test/data/classify/labels" --query a documents
# what is no number is nan for a person, whatever its sign bit, and null in JSON
mkdir broken && cp "$data"/rank-bert/* broken
python3 - <<'PY'
import json, struct
file = open("broken/model.safetensors", "rb").read()
size = struct.unpack("<Q", file[:8])[0]
begin = json.loads(file[8:8 + size])["classifier.bias"]["data_offsets"][0] + 8 + size
open("broken/model.safetensors", "wb").write(file[:begin] + b"\x00\x00\xc0\xff" + file[begin + 4:])
PY
expect 0 '^    nan     1  ' "$nib" rank --model broken --query a --raw documents
check [ "$(grep -c -- -nan out)" = 0 ]
expect 0 '"score": null, ' "$nib" rank --model broken --query a --raw --json documents
# the mark at the beginning of a file is no part of its first text
{ printf '\357\273\277'; cat documents; } >marked
check [ "$("$nib" rank --model "$data/rank-bert" -q a --json marked 2>err)" = "$("$nib" rank --model "$data/rank-bert" -q a --json documents 2>err)" ]
check [ "$("$nib" rank --model "$data/rank-bert" -q a --json - <marked 2>err)" = "$("$nib" rank --model "$data/rank-bert" -q a --json documents 2>err)" ]
printf '\357\273\277' >mark
expect 2 'there is no text in it' "$nib" rank --model "$data/rank-bert" -q a mark
{ printf '\357\273\277'; cat mark; } >marks
check [ "$("$nib" rank --model "$data/rank-bert" -q a --json marks 2>err | tr -dc '{' | wc -c)" = 1 ]
# nib ner --json is what the pipeline gave: keys and order, labels, words, places in characters, scores within rounding
for name in bert modernbert deberta; do
    python3 - "$data/ner-$name/golden.json" <<'PY'
import json, sys
golden = json.load(open(sys.argv[1]))
open("texts", "w").write("".join(t + "\n" for t in golden["texts"]))
open("joined", "w").write(" ".join(golden["texts"]) + "\n")
for how in ("none", "simple", "first", "average", "max", "ignore", "stride"):
    open("want." + how, "w").write("".join(json.dumps(x) + "\n" for x in golden[how]))
PY
    ner() { "$nib" ner --model "$data/ner-$name" --json "$@" 2>err; }
    for how in none simple first average max; do ner --input texts --aggregation $how >got.$how || failed=1; done
    ner --input texts --aggregation max --ignore PER --ignore LOC >got.ignore || failed=1
    ner --input joined --aggregation first --stride 7 >got.stride || failed=1
    for how in none simple first average max ignore stride; do
        python3 - want.$how got.$how <<'PY' || { echo "FAILED: nib ner, $name, $how"; failed=1; }
import json, sys
want, got = ([json.loads(line) for line in open(p)] for p in sys.argv[1:])
assert len(want) == len(got), (len(want), len(got))
for a, b in zip(want, got):
    assert [list(x) for x in a] == [list(x) for x in b], (a, b)
    for x, y in zip(a, b):
        assert {**x, "score": 0} == {**y, "score": 0} and abs(x["score"] - y["score"]) < 1e-5, (x, y)
PY
    done
done
ner=$data/ner-bert
expect 0 '^Clara Schumann of Paris$' "$nib" ner --model "$ner" 'Clara Schumann of Paris'
expect 0 '^ 0\.[0-9]{4}  [A-Z]+  [A-Za-z ]+$' "$nib" ner --model "$ner" 'Clara Schumann of Paris'
expect 0 '1 of 1 texts were longer than 48 tokens and were cut' "$nib" ner --model "$ner" --input joined
check [ -z "$("$nib" ner --model "$ner" --input joined --stride 7 2>&1 >got)" ]
check [ "$("$nib" ner --model "$ner" --json '')" = '[]' ]
expect 0 'task +tag \(architectures of config.json\)' "$nib" inspect "$ner"
expect 0 'labels +7: "O", "B-PER", .*; one for each token' "$nib" inspect "$ner"
expect 2 'there are no texts' "$nib" ner --model "$ner"
expect 2 'would be there twice' "$nib" ner --model "$ner" --aggregation none --stride 3 a
expect 2 'this model cannot label tokens: no output logits' "$nib" ner --model "$data/rank-bert" a
expect 0 '' "$nib" compile "$ner" -o ner.nib --precision q8
check [ "$("$nib" ner --model ner.nib --json 'Clara of Paris')" = "$("$nib" ner --model "$ner" --precision q8 --json 'Clara of Paris')" ]
# nib fill --json is what the pipeline gave: keys and order, tokens, texts, scores within rounding
for name in bert roberta modernbert deberta; do
    python3 - "$data/fill-$name/golden.json" <<'PY'
import json, sys
golden = json.load(open(sys.argv[1]))
open("masks", "w").write("".join(t + "\n" for t in golden["texts"]))
for how in ("all", "top 2", "targets"):
    open("want." + how, "w").write("".join(json.dumps(x) + "\n" for x in golden[how]))
open("words", "w").write(",".join(golden["target_words"]))
PY
    fill() { "$nib" fill --model "$data/fill-$name" --json "$@" <masks 2>err; }
    fill >got.all && fill --top 2 >'got.top 2' && fill --top 3 --targets "$(cat words)" >got.targets || failed=1
    for how in all 'top 2' targets; do
        python3 - "want.$how" "got.$how" <<'PY' || { echo "FAILED: nib fill, $name, $how"; failed=1; }
import json, sys
want, got = ([json.loads(line) for line in open(p)] for p in sys.argv[1:])
def same(a, b):
    assert type(a) is type(b) and len(a) == len(b), (a, b)
    if isinstance(a, list):
        for x, y in zip(a, b):
            same(x, y)
    else:
        assert list(a) == list(b) and {**a, "score": 0} == {**b, "score": 0} and abs(a["score"] - b["score"]) < 1e-5, (a, b)
same(want, got)
PY
    done
done
fill=$data/fill-bert
expect 0 '^A \[MASK\] writes$' "$nib" fill --model "$fill" 'A [MASK] writes'
expect 0 '^ [01]\.[0-9]{4}  2  [^ ]+$' "$nib" fill --model "$fill" 'A [MASK] writes [MASK]'
check [ "$("$nib" fill --model "$fill" --top 1 'A [MASK] writes' | wc -l)" = 2 ]
expect 0 'target "zzz" is no token of the vocabulary: ' "$nib" fill --model "$fill" --targets zzz 'A [MASK] writes'
expect 2 "text 0 has no mask among its tokens: this model's is \[MASK\]" "$nib" fill --model "$fill" 'A <mask> writes'
expect 2 'no target is left' "$nib" fill --model "$fill" --targets , 'A [MASK] writes'
expect 2 'there are no texts' "$nib" fill --model "$fill"
expect 2 '.--top' "$nib" fill --model "$fill" --top 0 'A [MASK] writes'
expect 2 'this model cannot fill masks: its output logits is that of' "$nib" fill --model "$ner" 'A [MASK]'
expect 0 'words +170 scores of each token that is wanted' "$nib" inspect "$fill" --task fill
expect 0 '' "$nib" compile "$fill" -o fill.nib --task fill --precision q8
check [ "$("$nib" fill --model fill.nib --json 'A [MASK] writes')" = "$("$nib" fill --model "$fill" --precision q8 --json 'A [MASK] writes')" ]
# nib answer --json is what the pipeline gave
for name in bert roberta deberta; do
    python3 - "$nib" "$data/answer-$name" <<'PY' || { echo "FAILED: nib answer, $name"; failed=1; }
import json, subprocess, sys
nib, model = sys.argv[1:]
golden = json.load(open(model + "/golden.json"))
def ask(question, *args, text=None):
    command = [nib, "answer", "--model", model, "-q", question, "--json", "--stride", "8", *args]
    return json.loads(subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout)
for i, (q, c) in enumerate(zip(golden["questions"], golden["contexts"])):
    for want, got in ((golden["plain"][i], [ask(q, "--context", c)]), (golden["best 3"][i], ask(q, "--top", "3", text=c)),
                      (golden["impossible"][i], ask(q, "--top", "2", "--impossible", text=c))):
        want = [w for w in want if w["score"] > 0]
        assert [list(w) for w in want] == [list(g) for g in got], (want, got)
        for w, g in zip(want, got):
            assert {**w, "score": 0} == {**g, "score": 0} and abs(w["score"] - g["score"]) < 1e-5, (w, g)
PY
done
answer=$data/answer-bert
echo 'A nib is the tip of a pen.' >page
expect 0 '^ [01]\.[0-9]{4}  [A-Za-z .]+$' "$nib" answer --model "$answer" -q 'what is it?' page
check [ "$("$nib" answer --model "$answer" -q 'what is it?' page)" = "$("$nib" answer --model "$answer" -q 'what is it?' <page)" ]
check [ "$("$nib" answer --model "$answer" -q 'what is it?' --top 3 page | wc -l)" = 3 ]
expect 2 'question 0, or its context, is empty' "$nib" answer --model "$answer" -q 'what?' --context ''
expect 2 'question says what is asked' "$nib" answer --model "$answer" page
expect 2 'there is no text' "$nib" answer --model "$answer" -q 'what?'
expect 2 'give one of them' "$nib" answer --model "$answer" -q 'what?' --context a page
expect 2 'No such file' "$nib" answer --model "$answer" -q 'what?' none.txt
expect 2 'this model cannot answer questions' "$nib" answer --model "$ner" -q 'what?' page
# nib classify --labels --json is what the pipeline gave
zero=$data/zero-bert
python3 - "$nib" "$zero" <<'PY' || { echo "FAILED: nib classify --labels"; failed=1; }
import json, subprocess, sys
nib, model = sys.argv[1:]
golden = json.load(open(model + "/golden.json"))
for way, args in (("plain", []), ("multi", ["--multi-label"]), ("template", ["--template", "{} is what it says"])):
    labels = [a for label in golden["labels"] if "," not in label for a in ("--labels", label)]
    command = [nib, "classify", "--model", model, "--json", *labels, *args]
    lines = subprocess.run(command, input="".join(t + "\n" for t in golden["texts"]), capture_output=True, text=True, check=True).stdout
    for want, got in zip(golden[way], map(json.loads, lines.splitlines()), strict=True):
        assert list(want) == list(got) and want["sequence"] == got["sequence"], (want, got)
        at = dict(zip(want["labels"], want["scores"]))
        del at["pens, and nibs"]
        share = 1 if way == "multi" else sum(at.values())  # of one label less
        assert got["labels"] == list(at), (want, got)
        assert all(abs(at[label] / share - score) < 1e-5 for label, score in zip(got["labels"], got["scores"])), (want, got)
PY
expect 0 '^ [01]\.[0-9]{4}  (ink|a river)$' "$nib" classify --model "$zero" --labels 'ink, a river' 'A nib writes.'
check [ "$("$nib" classify --model "$zero" --labels 'ink,pen,nib' --top-k 2 'A nib writes.' | wc -l)" = 3 ]
expect 2 'has no label' "$nib" classify --model "$zero" --labels ' , ' 'A nib writes.'
expect 2 'are said of --labels' "$nib" classify --model "$zero" --multi-label 'A nib writes.'
expect 2 'with --pair or --raw' "$nib" classify --model "$zero" --labels ink --raw 'A nib writes.'
expect 2 'must have \{\} once' "$nib" classify --model "$zero" --labels ink --template 'no place' 'A nib writes.'
expect 0 'no label of the model begins with "entail": the last, c, is taken' "$nib" classify --model "$data/zero-roberta" --labels ink,pen 'A nib.'
# nib colbert ranks by MaxSim, and gives the vectors
for name in stanford bert modernbert deberta; do
    "$nib" colbert --model "$data/colbert-$name" --query 'A nib writes.' --json documents >got 2>err || failed=1
    "$nib" colbert --model "$data/colbert-$name" --role document --input documents --pool-factor 2 --output d.npy 2>err || failed=1
    "$nib" colbert --model "$data/colbert-$name" --role query 'A nib writes.' >query.jsonl || failed=1
    python3 - "$data/colbert-$name/golden.json" <<'PY' || { echo "FAILED: nib colbert, $name"; failed=1; }
import json, struct, sys
golden = json.load(open(sys.argv[1]))
at = golden["texts"].index("A nib writes.")
want, got = golden["maxsim"][at], json.load(open("got"))
assert [x["corpus_id"] for x in got] == sorted(range(len(want)), key=lambda i: -want[i]), got
assert all(abs(x["score"] - want[x["corpus_id"]]) < 1e-3 for x in got), (want, got)
offsets = [x[0] for x in struct.iter_unpack("<q", open("d.offsets.npy", "rb").read()[128:])]
assert [b - a for a, b in zip(offsets, offsets[1:])] == [len(x) for x in golden["pool 2"]], offsets
query = json.loads(open("query.jsonl").readline())
assert query["tokens"] == len(query["embedding"]) == len(golden["query"][at])
PY
done
late=$data/colbert-bert
expect 0 'query +"\[unused0\]" in front, up to 20 tokens, filled up to 20 with \[MASK\], which the others do not see' "$nib" inspect "$late"
expect 0 'texts were too long and were cut' "$nib" colbert --model "$late" --role document --input documents
expect 2 'nib colbert: --output d.npz: a file must end in .npy or .jsonl; nib colbert --help' "$nib" colbert --model "$late" --role document --input documents --output d.npz
expect 2 'give one of them' "$nib" colbert --model "$late" a
expect 2 'one file' "$nib" colbert --model "$late" --query a b c
expect 2 'of documents that are ranked' "$nib" colbert --model "$late" --role query --json a
expect 2 'this model cannot encode for late interaction' "$nib" colbert --model "$data/rank-bert" --role query a
expect 0 '' "$nib" compile "$late" -o late.nib --precision q8
check [ "$("$nib" colbert --model late.nib --role query 'Ada')" = "$("$nib" colbert --model "$late" --precision q8 --role query 'Ada')" ]
# nib embed --sparse: the words of SparseEncoder.decode, an .npz file and the nearest of it; BGE-M3's three in one pass
for name in bert distilbert modernbert roberta; do
    "$nib" embed --model "$data/sparse-$name" --sparse --input documents >got 2>err || failed=1
    python3 - "$data/sparse-$name/golden.json" <<'PY' || { echo "FAILED: nib embed --sparse, $name"; failed=1; }
import json, sys
golden, got = json.load(open(sys.argv[1])), [json.loads(line)["sparse"] for line in open("got")]
for words, best, (at, values) in zip(got, golden["decoded"], golden["document"]):
    assert len(words) == len(at), (len(words), len(at))
    weights = list(words.values())
    assert weights == sorted(weights, reverse=True) and list(words)[:3] == best, (list(words)[:3], best)
    assert all(abs(a - b) <= 1e-5 * (1 + b) for a, b in zip(weights, sorted(values, reverse=True)))
PY
done
splade=$data/sparse-router m3=$data/m3-xlmr
expect 0 '' "$nib" embed --model "$splade" --route document --sparse --input documents --output d.npz
"$nib" search --model "$splade" --route query -q 'A nib writes.' --top 3 --json d.npz >got || failed=1
python3 - "$splade/golden.json" <<'PY' || { echo "FAILED: nib search of .npz"; failed=1; }
import json, sys
golden, got = json.load(open(sys.argv[1])), json.load(open("got"))
rows = [dict(zip(*row)) for row in golden["document"]]
query = dict(zip(*golden["query"][golden["texts"].index("A nib writes.")]))
score = [sum(w * row.get(i, 0) for i, w in query.items()) for row in rows]
assert [h["index"] for h in got["hits"]] == sorted(range(len(score)), key=lambda i: -score[i])[:3], (got, score)
PY
"$nib" embed --model "$m3" --dense --sparse --colbert --format ids --input documents >got 2>err || failed=1
python3 - "$m3/golden.json" <<'PY' || { echo "FAILED: nib embed, BGE-M3"; failed=1; }
import json, sys
golden, got = json.load(open(sys.argv[1])), [json.loads(line) for line in open("got")]
for i, line in enumerate(got):
    assert max(abs(a - b) for a, b in zip(line["dense_vecs"], golden["dense"][i])) < 1e-4
    assert {int(k) for k in line["lexical_weights"]} == set(golden["sparse"][i][0]), line["lexical_weights"]
    assert len(line["colbert_vecs"]) == len(golden["colbert"][i])
PY
expect 0 'sparse +170 words, the largest over tokens of log\(1 \+ relu\(score\)\) \(1_SpladePooling/config.json\)' "$nib" inspect "$data/sparse-bert"
expect 0 'SPLADE' "$nib" inspect --task sparse "$data/sparse-roberta"
expect 2 'nib embed --sparse' "$nib" embed --model "$data/sparse-bert" a
expect 2 'this model cannot give sparse vectors' "$nib" embed --model "$data/rank-bert" --sparse a
expect 0 '"embedding"' "$nib" colbert --model "$data/colbert-bert" --precision q8 --min-cosine 0.5 --role query a
expect 2 'min_cosine: what a model of the task answer gives is not measured' "$nib" inspect "$data/answer-bert" --precision q8 --min-cosine 0.5
expect 2 'a whole number from 1 to 1073741824' "$nib" rank --model "$data/rank-bert" -q a --top-k 0 documents
expect 2 'neither sparse_linear.pt nor colbert_linear.pt' "$nib" embed --model "$data/colbert-bert" --sparse --dense a
expect 2 'of sparse vectors alone' "$nib" embed --model "$m3" --sparse --dense -o d.npz a
expect 2 'are of --sparse' "$nib" embed --model "$m3" --top 3 a
expect 2 'or --query-vectors FILE.npz' "$nib" search --model "$splade" d.npz
cp documents documents.npz
expect 2 'no end of a directory' "$nib" search --model "$splade" -q a documents.npz
exit $failed
