#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# nib eval as a user meets it, its measures against their definitions in Python. usage: test_eval.sh NIB SOURCE_FOLDER.
set -uo pipefail
nib=$(realpath "$1") root=$(realpath "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failed=0
# shellcheck source=/dev/null
. "$root/test/cli/expect.sh"
cp -r "$root/test/data/nib/tiny" tiny
mkdir beir beir/qrels plain
python3 - <<'PY'
import json, random
random.seed(4)
words = "a pen ink nib of the tip is in b c d".split()
text = lambda: " ".join(random.choice(words) for _ in range(random.randint(1, 9)))
with open("pairs.tsv", "w") as f:
    f.write("a\tb\tscore\n")
    for i in range(60):
        f.write(f"{text()}\t{text()}\t{random.choice([0, 1, 2.5, 5])}\n")
docs, queries = [text() for _ in range(130)], [text() for _ in range(7)]
with open("beir/corpus.jsonl", "w") as f:
    for i, d in enumerate(docs):
        f.write(json.dumps({"_id": f"d{i}", "title": "" if i % 3 else "the pen", "text": d}) + "\n")
with open("beir/queries.jsonl", "w") as f:
    for i, q in enumerate(queries):
        f.write(json.dumps({"_id": f"q{i}", "text": q, "metadata": {"x": [1]}}) + "\n")
with open("beir/qrels/test.tsv", "w") as f:
    f.write("query-id\tcorpus-id\tscore\n")
    for i in range(6):
        for d in random.sample(range(130), 5):
            f.write(f"q{i}\td{d}\t{random.choice([0, 1, 1, 2])}\n")
open("plain/queries.tsv", "w").write("1\ta pen\n2\tink\n")
open("plain/corpus.tsv", "w").write("x\ta pen\ny\tink\n")
open("plain/qrels.tsv", "w").write("1\tx\t1\n2\ty\t1\n")
PY
"$nib" eval tiny --pairs pairs.tsv --dimensions 0,8 --type float32,binary --precision f32,q8 --json >pairs.json 2>err || failed=1
"$nib" eval tiny --retrieval beir --json >found.json 2>err || failed=1
cut -f1 pairs.tsv | tail -n +2 >a; cut -f2 pairs.tsv | tail -n +2 >b
python3 -c 'import json
for n, o in (("corpus", "c"), ("queries", "q")):
    with open(o, "w") as f:
        for r in map(json.loads, open(f"beir/{n}.jsonl")): f.write((r.get("title", "") + " " + r["text"]).strip() + "\n")'
for name in a b c q; do "$nib" embed tiny --input "$name" --output "$name.jsonl" 2>err || failed=1; done
python3 - <<'PY' || { echo "FAILED: measures"; failed=1; }
import json, math
rows = lambda name: [json.loads(line)["embedding"] for line in open(f"{name}.jsonl")]
dot = lambda x, y: sum(u * v for u, v in zip(x, y))
cos = lambda x, y: dot(x, y) / math.sqrt(dot(x, x) * dot(y, y))
def ranks(x):
    return [(sum(v < u for v in x) + sum(v <= u for v in x) - 1) / 2 for u in x]
def pearson(x, y):
    x, y = ([v - sum(z) / len(z) for v in z] for z in (x, y))
    return dot(x, y) / math.sqrt(dot(x, x) * dot(y, y))
got = json.load(open("pairs.json"))
assert [(r["precision"], r["dimensions"], r["type"]) for r in got] == [
    (p, d, t) for p in ("f32", "q8") for d in (got[0]["dimensions"], 8) for t in ("float32", "binary")], got
want = [float(line.split("\t")[2]) for line in list(open("pairs.tsv"))[1:]]
A, B = rows("a"), rows("b")
for cut, row in ((len(A[0]), got[0]), (8, got[2])):
    score = [cos(x[:cut], y[:cut]) for x, y in zip(A, B)]
    assert abs(row["pearson"] - pearson(score, want)) < 1e-5, (row, pearson(score, want))
    assert abs(row["spearman"] - pearson(ranks(score), ranks(want))) < 5e-3, (row, pearson(ranks(score), ranks(want)))
bits = [sum((u > 0) == (v > 0) for u, v in zip(x, y)) for x, y in zip(A, B)]
assert abs(got[1]["spearman"] - pearson(ranks(bits), ranks(want))) < 1e-5, got[1]
judged = {}
for line in list(open("beir/qrels/test.tsv"))[1:]:
    q, d, r = line.split()
    judged.setdefault(int(q[1:]), {})[int(d[1:])] = int(r)
C, Q, sums, asked = rows("c"), rows("q"), [0, 0, 0], 0
for q, rel in judged.items():
    order = sorted(range(len(C)), key=lambda i: (-cos(Q[q], C[i]), i))
    gain = lambda found: sum(r / math.log2(i + 2) for i, r in enumerate(found[:10]))
    answers = sum(r > 0 for r in rel.values())
    if not answers: continue
    asked += 1
    sums[0] += gain([rel.get(d, 0) for d in order]) / gain(sorted(rel.values(), reverse=True))
    sums[1] += sum(rel.get(d, 0) > 0 for d in order[:10]) / answers
    sums[2] += sum(rel.get(d, 0) > 0 for d in order[:100]) / answers
row = json.load(open("found.json"))[0]
for name, total in zip(("ndcg@10", "recall@10", "recall@100"), sums):
    assert abs(row[name] - total / asked) < 2e-2, (name, row, total / asked)
PY
expect 0 'model +precision +numbers +type +bytes +spearman +pearson' "$nib" eval tiny
expect 0 '162 pairs of its own' "$nib" eval tiny
expect 0 '1\.0000 +1\.0000 +1\.0000' "$nib" eval tiny --retrieval plain
expect 2 'not both' "$nib" eval tiny --pairs pairs.tsv --retrieval beir
expect 2 "'q7' is none" "$nib" eval tiny --precision f32,q7
expect 2 'the vectors of tiny have' "$nib" eval tiny --dimensions 99999
expect 2 'line 1 is not text, tab, text, tab, number' "$nib" eval tiny --pairs a
printf 'a\tb\tc\na\tb\tc\n' >bad.tsv
expect 2 'line 2 has no number behind its texts' "$nib" eval tiny --pairs bad.tsv
expect 2 'nowhere/queries.jsonl' "$nib" eval tiny --retrieval nowhere
printf '1\tz\t1\n' >plain/qrels.tsv
expect 2 'names a document that there is not' "$nib" eval tiny --retrieval plain
exit $failed
