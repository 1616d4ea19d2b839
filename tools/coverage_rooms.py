#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Line coverage by room. In: gcovr's JSON summary. Out: a line for each folder of src/, and its least covered file."""
import collections
import json
import sys

rooms = collections.defaultdict(list)
for f in json.load(open(sys.argv[1]))["files"]:
    parts = f["filename"].split("/")
    if f["line_total"]:
        rooms[parts[parts.index("src") + 1]].append((f["line_covered"], f["line_total"], parts[-1]))
print(f"{'room':10} {'lines':>7} {'covered':>8}   least covered file")
for room, files in sorted(rooms.items()):
    covered, total = sum(f[0] for f in files), sum(f[1] for f in files)
    least = min(files, key=lambda f: f[0] / f[1])
    print(f"{room:10} {total:7} {100 * covered / total:7.1f} %   {least[2]} {100 * least[0] / least[1]:.1f} %")
