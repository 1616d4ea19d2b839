#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# nib bench of the tasks, nib devices, profiles of several devices, and streams without an end. usage: test_bench.sh NIB SOURCE_FOLDER PLUGINS.
set -uo pipefail
nib=$(realpath "$1") root=$(realpath "$2") plugins=$(realpath "$3")
data=$root/test/data
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failed=0

# shellcheck source=test/cli/expect.sh
. "$root/test/cli/expect.sh"

# ---- bench: each kind, its figures in the words of a table and as JSON
for i in $(seq 40); do echo "a pen and the ink of nib $i"; done >texts
model_of() {
    case $1 in classify) echo "$data/classify/labels" ;; rank) echo "$data/tasks/rank-bert" ;; *) echo "$data/nib/tiny" ;; esac
}
for kind in classify rank tokenize queue; do
    model=$(model_of $kind)
    expect 0 'texts +40 of [0-9]+ tokens' "$nib" bench $kind --model "$model" --input texts --rounds 2
    expect 0 'throughput +[0-9.]+ texts/s, [0-9]+ tokens/s' "$nib" bench $kind --model "$model" --input texts --rounds 2
    expect 0 'one text +[0-9.]+ ms .* of [0-9]+' "$nib" bench $kind --model "$model" --input texts --rounds 2
    "$nib" bench $kind --model "$model" --input texts --rounds 2 --json >bench.json || failed=1
    python3 - $kind <<'PY' || { echo "FAILED: nib bench $kind --json"; failed=1; }
import json, sys
r = json.load(open("bench.json"))
assert r["measured"] == sys.argv[1] and r["texts"] == 40 and r["rounds"] == 2 and r["callers"] == 1, r
assert r["texts_per_second"] >= r["texts_per_second_median"] > 0 and r["tokens_per_second"] > r["texts_per_second"], r
lat = r["latency_ms"]
assert 0 < lat["p50"] <= lat["p90"] <= lat["p99"], r
PY
    expect 2 'No such file' "$nib" bench $kind --model "$model" --input missing
    expect 2 'texts are needed' "$nib" bench $kind --model "$model"
done
expect 0 '; 3 callers' "$nib" bench queue --model "$data/nib/tiny" --input texts --rounds 1 --callers 3
expect 2 'callers is of nib bench encode and queue' "$nib" bench rank --model "$data/tasks/rank-bert" --input texts --callers 3
expect 2 'say what to measure' "$nib" bench nothing --model "$data/nib/tiny" --input texts
expect 2 'cannot classify' "$nib" bench classify --model "$data/tasks/sparse-bert" --input texts
expect 2 'this model has 3 labels' "$nib" bench rank --model "$data/classify/labels" --input texts

# ---- devices: by what they call themselves, however they were found
expect 0 'cpu +.* threads?, .* MB of cache' "$nib" devices
expect 0 'mirror:3 +plug-in, entry 1 of the list; rows in multiples of 8' "$nib" devices --device "$plugins/mirror.so:name=3;bucket=8,cpu"
export LD_LIBRARY_PATH=$plugins
"$nib" devices --device 'mirror:name=1+mirror:name=2,cpu' --threads 1 --json >devices.json || failed=1
python3 - <<'PY' || { echo 'FAILED: nib devices --json'; failed=1; }
import json
d = json.load(open("devices.json"))["devices"]
assert [(x["name"], x["kind"], x["entry"]) for x in d] == [("mirror:1", "mirror", 0), ("mirror:2", "mirror", 0), ("cpu", "cpu", 1)], d
assert d[0]["row_bucket"] == 16 and d[2]["machine"]["threads"] == 1 and d[2]["machine"]["gflops"]["f32"] > 0, d
PY
expect 2 'device nowhere is not built into this nib' "$nib" devices --device nowhere,cpu
expect 2 'libnib-other.so is a device of another name, mirror' "$nib" devices --device other,cpu
expect 0 'device +mirror:0 runs [0-9]+ of' "$nib" inspect "$data/nib/tiny" --device mirror,cpu

# ---- a profile of several devices
"$nib" profile "$data/nib/tiny" --device 'mirror:seed=2;refuse=30,cpu' --input texts --json >profile.json || failed=1
python3 - <<'PY' || { echo 'FAILED: nib profile --device'; failed=1; }
import json
r = json.load(open("profile.json"))
regions = [s for s in r["steps"] if s["operator"] == "region"]
copies = [s for s in r["steps"] if s["operator"] == "copies"]
assert regions and len(regions) == len(copies) < len(r["steps"]) / 2, r["steps"]
assert all(s["kernel"] == "mirror:0" and s["ms"] > 0 and s["calls"] >= 1 for s in regions), regions
assert all(s["mbytes"] > 0 for s in copies), copies
assert {"region", "copies"} <= {k["kind"] for k in r["kinds"]}
PY
expect 2 'mirror:0 does not tell what its work took' "$nib" profile "$data/nib/tiny" --device mirror:mute=1,cpu --input texts

# ---- a stream that does not end: vectors while it goes on, and an end when the reader leaves
yes 'a pen of ink.' 2>/dev/null | timeout 60 "$nib" embed "$data/nib/tiny" --stream --chunk-tokens 8 2>err | head -n 3 >some
check [ "${PIPESTATUS[1]}" -le 1 ]
check [ "$(grep -c '"embedding"' some)" = 3 ]
# one whose reader does not read: it waits, in memory that does not grow
mkfifo full
"$nib" embed "$data/nib/tiny" --stream --chunk-tokens 8 < <(yes 'a pen of ink.' 2>/dev/null) >full 2>err &
embedding=$!
exec 3<full
memory() { sed -n 's/^VmRSS:[[:space:]]*\([0-9]*\) kB/\1/p' "/proc/$embedding/status"; }
sleep 0.7
first=$(memory)
sleep 0.7
[ -n "${NIB_SLOW:-}" ] || check [ "$(memory)" -le $((first + 512)) ]
check kill -0 $embedding
exec 3<&-
wait $embedding
check [ $? -le 1 ]
check [ ! -s err ]
exit $failed
