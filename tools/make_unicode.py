#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes src/text/text_unicode_tables.c.

In: PyPI unicodedata2 16.0.0 (categories, decompositions, combining classes) and Python's own str.lower (Unicode 14 or
later). Out: range tables, one property each, in the Unicode version in which the `tokenizers` library has it:

    Mn, Cf, punctuation   Unicode 8   what BertNormalizer and BertPreTokenizer ask
    decomposition, class  Unicode 9   NFD
    lower case            Unicode 17  Rust's char::to_lowercase
    word characters       Unicode 16  \\w of the regex crate, for added tokens with single_word

The lists below are the code points whose property in 16.0 differs because they were assigned, or changed their category,
after the version wanted. tools/check_unicode.py compares the result with the library over every code point.

    python3 tools/make_unicode.py src/text/text_unicode_tables.c
"""
import sys

import unicodedata2 as u

assert u.unidata_version == "16.0.0"

MN_LATER = """7FD 897-89F 8CA-8E1 9FE AFA-AFF B55 C04 C3C D00 D3B-D3C D81 EBA ECE 180F 1885-1886 1ABF-1ACE 1DF6-1DFB A82C A8C5
A8FF A9BD 10D24-10D27 10D69-10D6D 10EAB-10EAC 10EFC-10EFF 10F46-10F50 10F82-10F85 11070 11073-11074 110C2 111C9 111CF 1123E
11241 1133B 113BB-113C0 113CE 113D0 113D2 113E1-113E2 11438-1143F 11442-11444 11446 1145E 1182F-11837 11839-1183A
1193B-1193C 1193E 11943 119D4-119D7 119DA-119DB 119E0 11A01-11A0A 11A33-11A38 11A3B-11A3E 11A47 11A51-11A56 11A59-11A5B
11A8A-11A96 11A98-11A99 11C30-11C36 11C38-11C3D 11C3F 11C92-11CA7 11CAA-11CB0 11CB2-11CB3 11CB5-11CB6 11D31-11D36 11D3A
11D3C-11D3D 11D3F-11D45 11D47 11D90-11D91 11D95 11D97 11EF3-11EF4 11F00-11F01 11F36-11F3A 11F40 11F42 11F5A 13440
13447-13455 1611E-16129 1612D-1612F 16F4F 16FE4 1CF00-1CF2D 1CF30-1CF46 1E000-1E006 1E008-1E018 1E01B-1E021 1E023-1E024
1E026-1E02A 1E08F 1E130-1E136 1E2AE 1E2EC-1E2EF 1E4EC-1E4EF 1E5EE-1E5EF 1E944-1E94A"""
MN_EARLIER = "1734 1171E"
CF_LATER = "890-891 8E2 110CD 13430-1343F"
PUNCT_LATER = """61D 9FD A76 C77 C84 1B4E-1B4F 1B7D-1B7F 2E43-2E4F 2E52-2E5D 10D6E 10EAD 10F55-10F59 10F86-10F89 113D4-113D5
113D7-113D8 1144B-1144F 1145A-1145B 1145D 11660-1166C 116B9 1183B 11944-11946 119E2 11A3F-11A46 11A9A-11A9C 11A9E-11AA2
11B00-11B09 11BE1 11C41-11C45 11C70-11C71 11EF7-11EF8 11F43-11F4F 11FFF 12FF1-12FF2 16D6D-16D6F 16E97-16E9A 16FE2 1E5FF
1E95E-1E95F"""
PUNCT_EARLIER = "24 2B 3C-3E 5E 60 7C 7E 166D 111C9"  # the ASCII ones are punctuation to BERT, symbols to Unicode
NFD_LATER = "105C9 105E4 11383 11385 1138E 11391 113C5 113C7-113C8 11938 16121-16128 16D68-16D6A"
CCC_LATER = """7FD 897-89F 8CA-8D3 9FE C3C D3B-D3C EBA 1715 1ABF-1ACE 1DF6-1DFA A82C 10D24-10D27 10D69-10D6D 10EAB-10EAC
10EFD-10EFF 10F46-10F50 10F82-10F85 11070 1133B 113CE-113D0 1145E 11839-1183A 1193D-1193E 11943 119E0 11A34 11A47 11A99
11D42 11D44-11D45 11D97 11F41-11F42 1612F 16FF0-16FF1 1E08F 1E130-1E136 1E2AE 1E2EC-1E2EF 1E4EC-1E4EF 1E5EE-1E5EF"""
# Lower-case mappings that Unicode 15 to 17 added: first code point, last, distance.
LOWER_LATER = [(0x1C89, 0x1C89, 1), (0xA7CB, 0xA7CB, 0x264 - 0xA7CB), (0xA7CC, 0xA7CC, 1), (0xA7CE, 0xA7CE, 1), (0xA7D2, 0xA7D2, 1),
               (0xA7D4, 0xA7D4, 1), (0xA7DA, 0xA7DA, 1), (0xA7DC, 0xA7DC, 0x19B - 0xA7DC), (0x10D50, 0x10D65, 0x20),
               (0x16EA0, 0x16EB8, 0x1B)]
# Other_Alphabetic outside the categories L, Nl and M, and Join_Control.
WORD_MORE = "24B6-24E9 1F130-1F149 1F150-1F169 1F170-1F189 200C-200D"

SCALARS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def listed(text):
    out = set()
    for item in text.split():
        first, _, last = item.partition("-")
        out.update(range(int(first, 16), int(last or first, 16) + 1))
    return out


def ranges(points):
    out = []
    for c in sorted(points):
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def lines(items, width=140):
    out, line = [], "   "
    for item in items:
        if len(line) + len(item) + 2 > width:
            out.append(line)
            line = "   "
        line += " " + item + ","
    return "\n".join(out + [line])


def hexed(n):
    return "0x%x" % n if n > 9 else str(n)


def range_table(name, points):
    rows = ranges(points)
    return "const text_range text_%s[] = {\n%s\n};\nconst size_t text_%s_count = %d;\n" % (
        name, lines("{%s, %s}" % (hexed(a), hexed(b)) for a, b in rows), name, len(rows))


def lower_rows():
    """Runs of {first, last, step, distance}; alternating capitals and small letters make runs of step 2."""
    pairs = {}
    for c in SCALARS:
        low = chr(c).lower()
        if low != chr(c) and len(low) == 1:
            pairs[c] = ord(low) - c
    for first, last, distance in LOWER_LATER:
        for c in range(first, last + 1):
            pairs[c] = distance
    rows = []
    for c in sorted(pairs):
        if rows:
            r = rows[-1]
            step = c - r[1]
            if pairs[c] == r[3] and step <= 2 and (r[0] == r[1] or step == r[2]):
                r[1], r[2] = c, step
                continue
        rows.append([c, c, 1, pairs[c]])
    return rows


def class_rows():
    later = listed(CCC_LATER)
    rows = []
    for c in SCALARS:
        k = 0 if c in later else u.combining(chr(c))
        if k and rows and rows[-1][1] == c - 1 and rows[-1][2] == k:
            rows[-1][1] = c
        elif k:
            rows.append([c, c, k])
    return rows


def decompositions():
    later = listed(NFD_LATER)
    out = []
    for c in SCALARS:
        if c in later or 0xAC00 <= c <= 0xD7A3:
            continue
        d = u.normalize("NFD", chr(c))
        if d != chr(c):
            out.append((c, [ord(x) for x in d]))
    return out


def main(path):
    category = {c: u.category(chr(c)) for c in SCALARS}
    mn = ({c for c in SCALARS if category[c] == "Mn"} - listed(MN_LATER)) | listed(MN_EARLIER)
    other = {c for c in SCALARS if category[c] in ("Cc", "Cf", "Co")} - listed(CF_LATER)
    removed = (other - {9, 10, 13}) | {0, 0xFFFD}
    punct = ({c for c in SCALARS if category[c][0] == "P"} - listed(PUNCT_LATER)) | listed(PUNCT_EARLIER)
    word = {c for c in SCALARS if category[c][0] in "LM" or category[c] in ("Nl", "Nd", "Pc")} | listed(WORD_MORE)
    pool, at, points = [], [], []
    for c, d in decompositions():
        points.append(c)
        at.append(len(pool))
        pool += d
    at.append(len(pool))
    lower, classes = lower_rows(), class_rows()
    with open(path, "w") as f:
        f.write("/* SPDX-License-Identifier: Apache-2.0\n *\n * Generated by tools/make_unicode.py: properties of code points, "
                "each in the Unicode version\n * in which the tokenizers library has it. See text_unicode_tables.h.\n */\n"
                "#include \"text_unicode_tables.h\"\n\n")
        for name, points_of in (("removed", removed), ("mark", mn), ("punct", punct), ("word", word)):
            f.write(range_table(name, points_of) + "\n")
        f.write("const text_lower_run text_lower[] = {\n%s\n};\nconst size_t text_lower_count = %d;\n\n" % (
            lines("{%s, %s, %d, %d}" % (hexed(a), hexed(b), s, d) for a, b, s, d in lower), len(lower)))
        f.write("const text_class_run text_class[] = {\n%s\n};\nconst size_t text_class_count = %d;\n\n" % (
            lines("{%s, %s, %d}" % (hexed(a), hexed(b), k) for a, b, k in classes), len(classes)))
        f.write("const uint32_t text_nfd_point[] = {\n%s\n};\nconst size_t text_nfd_count = %d;\n\n" % (lines(map(hexed, points)), len(points)))
        f.write("const uint16_t text_nfd_at[] = {\n%s\n};\n\n" % lines(map(str, at)))
        f.write("const uint32_t text_nfd_pool[] = {\n%s\n};\n" % lines(map(hexed, pool)))


if __name__ == "__main__":
    main(sys.argv[1])
