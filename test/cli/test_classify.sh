#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# nib classify, nib embed --tokens and nib compile --task as a user meets them. usage: test_classify.sh NIB SOURCE_FOLDER.
set -uo pipefail
nib=$(realpath "$1") root=$(realpath "$2")
tiny=$root/test/data/nib/tiny data=$root/test/data/classify
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failed=0

# shellcheck source=test/cli/expect.sh
. "$root/test/cli/expect.sh"

expect 0 'example' "$nib" classify --help
expect 0 'task +classify \(architectures of config.json\)' "$nib" inspect "$data/labels"
expect 0 'labels +3: "no", "maybe", "yes"; scores are softmax' "$nib" inspect "$data/labels"
expect 0 '"task": "classify"' "$nib" inspect "$data/labels" --json
expect 0 'task +embed' "$nib" inspect "$tiny"
expect 0 'task +tokens \(asked for\)' "$nib" inspect "$tiny" --task tokens

# JSON is what transformers' pipeline gave: keys and order, the same labels, scores within rounding
same() { # same GOLDEN COMMAND...
    local golden=$1
    shift
    "$@" 2>/dev/null >got.jsonl </dev/null || { echo "FAILED: $*: exit $?"; failed=1; }
    python3 - "$golden" got.jsonl <<'PY' || { echo "FAILED: $*: other than $golden"; failed=1; }
import json, sys
want, got = (open(p).read().splitlines() for p in sys.argv[1:])
assert len(want) == len(got), (len(want), len(got))
for a, b in zip(want, got):
    a, b = json.loads(a), json.loads(b)
    assert type(a) is type(b), (a, b)
    a, b = (a, b) if isinstance(a, list) else ([a], [b])
    assert [list(x) for x in a] == [list(x) for x in b] and [x["label"] for x in a] == [x["label"] for x in b], (a, b)
    assert all(abs(x["score"] - y["score"]) < 1e-6 for x, y in zip(a, b)), (a, b)
PY
}
same "$data/labels.single.jsonl" "$nib" classify --model "$data/labels" --input "$data/texts.txt" --json
same "$data/labels.pair.jsonl" "$nib" classify --model "$data/labels" --input "$data/pairs.txt" --pair --json
same "$data/labels.single.top2.jsonl" "$nib" classify --model "$data/labels" --input "$data/texts.txt" --json --top-k 2
same "$data/labels.pair.top2.jsonl" "$nib" classify --model "$data/labels" --input "$data/pairs.txt" --pair --json --top-k 2

# the same in any company
for precision in f32 bf16 q8; do
    "$nib" classify --model "$data/labels" --precision $precision --threads 2 --input "$data/pairs.txt" --pair --json >all 2>err
    while IFS= read -r line; do
        echo "$line" | "$nib" classify --model "$data/labels" --precision $precision --threads 1 --pair --json 2>err
    done <"$data/pairs.txt" >alone
    check cmp all alone
done

# for a person
expect 0 '^ 0\.[0-9]{4}  maybe  ink$' "$nib" classify --model "$data/labels" ink
expect 0 '^ink$' "$nib" classify --model "$data/labels" --top-k 3 ink
expect 0 '^ 0\.[0-9]{4}  yes$' "$nib" classify --model "$data/labels" --top-k 9 ink
expect 0 '^-?[0-9.]+  LABEL_0  a pen  \|  ink$' "$nib" classify --model "$data/relevance" --pair 'a pen' ink
expect 0 '1 of 7 texts were longer than 16 tokens' "$nib" classify --model "$data/labels" --input "$data/texts.txt"
check [ "$("$nib" classify --model "$data/labels" $'a \033[31m b' | tr -d '\n' | tr -c '[:print:]' X)" = \
    "$("$nib" classify --model "$data/labels" $'a \033[31m b' | tr -d '\n')" ]
check [ "$(echo 'a pen' | "$nib" classify --model "$data/labels" --json)" = "$("$nib" classify --model "$data/labels" --json 'a pen')" ]
check [ "$("$nib" classify --model "$data/relevance" --json ink)" = "$("$nib" classify --model "$data/relevance" --raw --json ink)" ]
check [ "$("$nib" classify --model "$data/labels" --json ink)" != "$("$nib" classify --model "$data/labels" --raw --json ink)" ]

# wrong
expect 2 'there are no texts' "$nib" classify --model "$data/labels"
expect 2 'one has no second' "$nib" classify --model "$data/labels" --pair a b c
expect 2 'not both' "$nib" classify --model "$data/labels" --input "$data/texts.txt" a
expect 2 'No such file' "$nib" classify --model "$data/labels" --input none.txt
expect 2 'a whole number from 1 to 1000000' "$nib" classify --model "$data/labels" --top-k 0 a
expect 2 'line 2 has no tab' "$nib" classify --model "$data/labels" --pair --input <(printf 'a\tb\nc\n')
expect 2 'it is an option of nib embed' "$nib" classify --model "$data/labels" --pooling cls a
expect 2 'this model cannot classify texts: no output logits' "$nib" classify --model "$tiny" a
expect 2 'this model cannot embed texts: its output logits has scores' "$nib" embed --model "$data/labels" a

# tokens
"$nib" embed --model "$tiny" --tokens --output t.npy 'a pen' '' 'nib' || failed=1
"$nib" embed --model "$tiny" --tokens 'a pen' '' 'nib' >t.jsonl || failed=1
"$nib" embed --model "$tiny" --normalize no --output e.jsonl 'a pen' '' 'nib' || failed=1
python3 - <<'PY' || { echo 'FAILED: files of tokens'; failed=1; }
import json, struct
def npy(path, kind):
    data = open(path, "rb").read()
    head = eval(data[10:128])
    return head, [x[0] for x in struct.iter_unpack(kind, data[128:])]
head, rows = npy("t.npy", "<f")
shape, offsets = npy("t.offsets.npy", "<q")
assert shape == {"descr": "<i8", "fortran_order": False, "shape": (4,)} and offsets[0] == 0 and head["shape"] == (offsets[3], 32), (head, shape)
for i, (line, text) in enumerate(zip(open("t.jsonl"), open("e.jsonl"))):
    line, n = json.loads(line), offsets[i + 1] - offsets[i]
    assert line["index"] == i and line["tokens"] == n == len(line["embedding"])
    for k, row in enumerate(line["embedding"]):
        at = 32 * (offsets[i] + k)
        assert [struct.unpack("f", struct.pack("f", x))[0] for x in row] == rows[at:at + 32]
    mean = [sum(c) / n for c in zip(*line["embedding"])]
    assert max(abs(a - b) for a, b in zip(mean, json.loads(text)["embedding"])) < 1e-5
PY
# a folder that normalizes its embeddings leaves tokens as they are, unless it is asked to
cp -rs "$tiny" normal
mkdir normal/1_Pooling
echo '{"pooling_mode_mean_tokens": true}' >normal/1_Pooling/config.json
echo '[{"type": "sentence_transformers.models.Transformer", "path": ""}, {"type": "sentence_transformers.models.Pooling",
"path": "1_Pooling"}, {"type": "sentence_transformers.models.Normalize", "path": "2_Normalize"}]' >normal/modules.json
expect 0 'pooling mean \(1_Pooling/config.json\), normalized' "$nib" inspect normal
check [ "$("$nib" embed --model normal --tokens 'a pen')" = "$("$nib" embed --model "$tiny" --tokens 'a pen')" ]
check [ "$("$nib" embed --model normal --tokens --normalize yes 'a pen')" != "$("$nib" embed --model "$tiny" --tokens 'a pen')" ]
expect 2 'two arrays, and standard output is one' "$nib" embed --model "$tiny" --tokens --output - a
expect 2 'similarity is of texts' "$nib" embed --model "$tiny" --tokens --similarity a b
expect 2 'gives those before pooling' "$nib" embed --model "$tiny" --tokens --pooling cls a
expect 2 'this model cannot give vectors of tokens' "$nib" embed --model "$data/labels" --tokens a

# compiled, a file has one task
expect 0 '' "$nib" compile "$data/labels" -o labels.nib --precision q8
expect 0 '' "$nib" compile "$tiny" -o tokens.nib --task tokens
expect 0 'task +classify \(it was compiled for that\)' "$nib" inspect labels.nib
check [ "$("$nib" classify --model labels.nib --json ink)" = "$("$nib" classify --model "$data/labels" --precision q8 --json ink)" ]
check [ "$("$nib" embed --model tokens.nib --tokens ink)" = "$("$nib" embed --model "$tiny" --tokens ink)" ]
expect 2 'compiled with another task \(task tokens' "$nib" embed --model tokens.nib ink
expect 2 'compiled with another task \(task classify' "$nib" embed --model labels.nib ink
exit $failed
