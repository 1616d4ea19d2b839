#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes src/text/text_unicode_tables.c and src/base/base_unicode_tables.c.

In: PyPI unicodedata2 16.0.0 (categories, decompositions, combining classes) and Python's own str.lower (Unicode 14 or
later). Out: range tables, one property each, in the Unicode version in which the `tokenizers` library has it:

    Mn, Cf, punctuation   Unicode 8   what BertNormalizer and BertPreTokenizer ask
    decomposition, class  Unicode 9   NFD, NFKD and what NFC puts together; M, which StripAccents drops
    lower case            Unicode 17  Rust's char::to_lowercase
    numeric               Unicode 17  Rust's char::is_numeric, for Digits
    word characters       Unicode 16  \\w of the regex crate, for added tokens with single_word
    general category      Unicode 16  \\p{..} of Oniguruma
    grapheme clusters     Unicode 16  the unicode-segmentation crate, for Precompiled; from PyPI regex

The lists below are the code points whose property in 16.0 differs because they were assigned, or changed their category,
after the version wanted. tools/check_unicode.py compares the result with the library over every code point.

    python3 tools/make_unicode.py src/text/text_unicode_tables.c src/base/base_unicode_tables.c
"""
import sys

import regex
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
NFKD_LATER = """32FF A7F2-A7F4 AB69 105C9 105E4 10781-10785 10787-107B0 107B2-107BA 11383 11385 1138E 11391 113C5 113C7-113C8
11938 16121-16128 16D68-16D6A 1CCD6-1CCF9 1E030-1E06D 1F16C 1FBF0-1FBF9"""
M_LATER = """7FD 897-89F 8CA-8D3 9FE AFA-AFF B55 C04 C3C CF3 D00 D3B-D3C D81 EBA ECE 1715 180F 1ABF-1ACE 1CF7 1DF6-1DFA A82C A8FF
10D24-10D27 10D69-10D6D 10EAB-10EAC 10EFC-10EFF 10F46-10F50 10F82-10F85 11070 11073-11074 110C2 11145-11146 111C9 111CE-111CF
11241 1133B 113B8-113C0 113C2 113C5 113C7-113CA 113CC-113D0 113D2 113E1-113E2 1145E 1182C-1183A 11930-11935 11937-11938
1193B-1193E 11940 11942-11943 119D1-119D7 119DA-119E0 119E4 11A01-11A0A 11A33-11A39 11A3B-11A3E 11A47 11A51-11A5B 11A8A-11A99
11D31-11D36 11D3A 11D3C-11D3D 11D3F-11D45 11D47 11D8A-11D8E 11D90-11D91 11D93-11D97 11EF3-11EF6 11F00-11F01 11F03
11F34-11F3A 11F3E-11F42 11F5A 13440 13447-13455 1611E-1612F 16F4F 16F7F-16F87 16FE4 16FF0-16FF1 1CF00-1CF2D 1CF30-1CF46
1E08F 1E130-1E136 1E2AE 1E2EC-1E2EF 1E4EC-1E4EF 1E5EE-1E5EF"""
M_EARLIER = "1CF2-1CF3"
NUMERIC_MORE = "11DE0-11DE9 16FF4-16FF6"
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
    return "const base_range %s[] = {\n%s\n};\nconst size_t %s_count = %d;\n" % (
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


def decompositions(form, later):
    out = []
    for c in SCALARS:
        if c in later or 0xAC00 <= c <= 0xD7A3:
            continue
        d = u.normalize(form, chr(c))
        if d != (chr(c) if form == "NFD" else u.normalize("NFD", chr(c))):
            out.append((c, [ord(x) for x in d]))
    return out


def decomposition_tables(name, pairs):
    """Points, places and the pool of one form."""
    pool, at = [], []
    for _, d in pairs:
        at.append(len(pool))
        pool += d
    at.append(len(pool))
    return ("const uint32_t text_%s_point[] = {\n%s\n};\nconst size_t text_%s_count = %d;\n\n"
            "const uint16_t text_%s_at[] = {\n%s\n};\n\nconst uint32_t text_%s_pool[] = {\n%s\n};\n" % (
                name, lines(hexed(c) for c, _ in pairs), name, len(pairs), name, lines(map(str, at)), name, lines(map(hexed, pool))))


def compositions():
    """{first, second, composed} of all pairs that NFC puts together, in order; not for Hangul syllables."""
    later, out = listed(NFD_LATER), []
    for c in SCALARS:
        parts = u.decomposition(chr(c)).split()
        if c in later or len(parts) != 2 or parts[0][0] == "<" or u.normalize("NFC", chr(c)) != chr(c):
            continue
        out.append((int(parts[0], 16), int(parts[1], 16), c))
    return sorted(out)


CATEGORIES = "Cn Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Cs Co".split()


def category_runs():
    """Where a run begins, with the number of its category in the upper eight bits."""
    out = []
    for c in range(0x110000):
        k = CATEGORIES.index("Cs" if 0xD800 <= c < 0xE000 else u.category(chr(c)))
        if not out or out[-1][1] != k:
            out.append((c, k))
    return [c | k << 24 for c, k in out]


def clusters():
    """What goes on with a cluster, what takes the next character in, what stands alone: no Hangul, flags or emoji, which are too long
    to matter where these are asked."""
    out = []
    for names in (("Extend", "SpacingMark", "ZWJ"), ("Prepend",), ("Control",)):
        pattern = regex.compile("[%s]" % "".join(r"\p{GCB=%s}" % n for n in names))
        known = names == ("Control",)
        out.append({c for c in SCALARS if pattern.match(chr(c)) and (known or u.category(chr(c)) != "Cn")})
    return out


HEAD = ("/* SPDX-License-Identifier: Apache-2.0\n *\n * Generated by tools/make_unicode.py: properties of code points, "
        "each in the Unicode version\n * in which the tokenizers library has it. See %s.h.\n */\n#include \"%s.h\"\n\n")


def write_base(path, word):
    runs = category_runs()
    with open(path, "w") as f:
        f.write(HEAD % ("base_unicode", "base_unicode"))
        f.write("const uint32_t base_category_run[] = {\n%s\n};\nconst size_t base_category_count = %d;\n\n" % (
            lines(map(hexed, runs)), len(runs)))
        f.write(range_table("base_word", word))


def main(path, base_path):
    category = {c: u.category(chr(c)) for c in SCALARS}
    mn = ({c for c in SCALARS if category[c] == "Mn"} - listed(MN_LATER)) | listed(MN_EARLIER)
    other = {c for c in SCALARS if category[c] in ("Cc", "Cf", "Co")} - listed(CF_LATER)
    removed = (other - {9, 10, 13}) | {0, 0xFFFD}
    punct = ({c for c in SCALARS if category[c][0] == "P"} - listed(PUNCT_LATER)) | listed(PUNCT_EARLIER)
    word = {c for c in SCALARS if category[c][0] in "LM" or category[c] in ("Nl", "Nd", "Pc")} | listed(WORD_MORE)
    marks = ({c for c in SCALARS if category[c][0] == "M"} - listed(M_LATER)) | listed(M_EARLIER)
    numeric = {c for c in SCALARS if category[c][0] == "N"} | listed(NUMERIC_MORE)
    write_base(base_path, word)
    lower, classes, composed = lower_rows(), class_rows(), compositions()
    with open(path, "w") as f:
        f.write(HEAD % ("text_unicode_tables", "text_unicode_tables"))
        extend, prepend, control = clusters()
        for name, points in (("removed", removed), ("mark", mn), ("punct", punct), ("combining", marks), ("numeric", numeric),
                             ("extend", extend), ("prepend", prepend), ("control", control)):
            f.write(range_table("text_" + name, points) + "\n")
        f.write("const text_lower_run text_lower[] = {\n%s\n};\nconst size_t text_lower_count = %d;\n\n" % (
            lines("{%s, %s, %d, %d}" % (hexed(a), hexed(b), s, d) for a, b, s, d in lower), len(lower)))
        f.write("const text_class_run text_class[] = {\n%s\n};\nconst size_t text_class_count = %d;\n\n" % (
            lines("{%s, %s, %d}" % (hexed(a), hexed(b), k) for a, b, k in classes), len(classes)))
        f.write(decomposition_tables("nfd", decompositions("NFD", listed(NFD_LATER))) + "\n")
        f.write(decomposition_tables("nfkd", decompositions("NFKD", listed(NFKD_LATER) | listed(NFD_LATER))) + "\n")
        f.write("const text_pair text_pairs[] = {\n%s\n};\nconst size_t text_pairs_count = %d;\n" % (
            lines("{%s, %s, %s}" % tuple(map(hexed, row)) for row in composed), len(composed)))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
