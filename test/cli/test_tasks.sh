#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# nib rank as a user meets it. usage: test_tasks.sh NIB SOURCE_FOLDER.
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
check [ "$("$nib" rank --model "$data/rank-bert" -q a <documents 2>err)" = "$("$nib" rank --model "$data/rank-bert" -q a documents 2>err)" ]
expect 0 '1 of 8 documents were longer, with the query, than 48 tokens' "$nib" rank --model "$data/rank-bert" -q a documents
expect 0 'example' "$nib" rank --help
expect 2 'what the documents are to answer' "$nib" rank --model "$data/rank-bert" documents
expect 2 'there are no documents' "$nib" rank --model "$data/rank-bert" --query a
expect 2 'No such file' "$nib" rank --model "$data/rank-bert" --query a none.txt
expect 2 'it is not known: it classifies pairs|which of them says' "$nib" rank --model "$root/test/data/classify/labels" --query a documents
exit $failed
