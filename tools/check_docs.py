#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the pages that people read: README.md has at most 120 lines; every relative link of a .md file leads to a file that exists; lines
of .md files have at most 120 columns, but for table rows, code and lines with a URL (of the rooms' own pages, in src/ and test/, only the
links are looked at). Prints each breach; exit 1 if there is one.

    tools/check_docs.py [FILE.md ...]     (default: all that git knows)
"""
import pathlib
import re
import subprocess
import sys
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent
README_LINES = 120
COLUMNS = 120
ROOMS = ("src", "test")
LINK = re.compile(r"!?\[[^\]]*\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)|^\[[^\]]+\]:\s*(\S+)", re.M)
ITEM = re.compile(r"^( *)(?:[-*+]|\d+[.)]) +")


def prose(lines):
    """(number, line) of what is neither in a fenced nor in an indented block of code."""
    fence, code, content, blank = None, False, 0, True
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if fence:
            fence = None if text.startswith(fence) else fence
            continue
        if text.startswith(("```", "~~~")):
            fence = text[:3]
            continue
        indent = len(line) - len(line.lstrip(" "))
        item = ITEM.match(line)
        if text and not item and indent == 0:
            content = 0  # no list goes on here
        code = bool(text) and indent >= content + 4 and (code or blank)
        if item and not code:
            content = len(item.group(0))
        blank = not text
        if text and not code:
            yield number, line


def check(path):
    name = path.relative_to(ROOT)
    lines = path.read_text(encoding="utf-8").splitlines()
    if str(name) == "README.md" and len(lines) > README_LINES:
        yield f"{name}: {len(lines)} lines; a first page has at most {README_LINES}: what is more belongs into doc/"
    numbers, words = [], ""
    for number, line in prose(lines):
        long = len(line) > COLUMNS and not line.lstrip().startswith("|") and "://" not in line
        if long and name.parts[0] not in ROOMS:
            yield f"{name}:{number}: {len(line)} columns, {COLUMNS} at most"
        numbers.append(number)
        words += line + "\n"
    words = re.sub(r"`[^`]*`", lambda code: "`" + "\n" * code[0].count("\n") + "`", words)
    for found in LINK.finditer(words):  # its text may go on in the next line
        target = urllib.parse.unquote((found.group(1) or found.group(2)).split("#")[0])
        if not target or re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue  # a place on this page; another site
        if target.startswith("/") or not (path.parent / target).exists():
            yield f"{name}:{numbers[words.count(chr(10), 0, found.start())]}: the link to {target} leads nowhere"


def main():
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    paths = [(ROOT / n).resolve() for n in sys.argv[1:] or listed]
    breaches = [b for p in paths if p.exists() for b in check(p)]
    print("\n".join(breaches) if breaches else "documents: ok")
    return 1 if breaches else 0


sys.exit(main())
