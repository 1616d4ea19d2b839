#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Man pages and shell completion, from what `nib --help` and `nib VERB --help` print: there is no second list of verbs or options.

usage: make_man.py NIB OUT_FOLDER

Writes man1/nib.1, man1/nib-VERB.1, bash/nib and zsh/_nib. The same bytes for the same command: there is no date in them.
"""
import os
import re
import subprocess
import sys

OPTION = re.compile(r"^  (-\S.*?)(?:  +|(?<=[A-Z]) )(\S.*)$")
ALONE = re.compile(r"^  (-\S(?:(?!  ).)*)()$")  # a long head: its words are on the next line
FLAG = re.compile(r"(?<![\w-])(--?[A-Za-z][\w-]*)((?: [A-Z][^ ,]*| (?:[a-z]+\|)+[a-z]+)?)")


def text_of(nib, *args):
    return subprocess.run([nib, *args], check=True, capture_output=True, text=True).stdout


def verbs_of(text):
    """[(verb, what it does)] of `nib --help`: the lines of its first indented block."""
    block = next(b for b in text.split("\n\n") if b.startswith("  "))
    return [tuple(line.split(None, 1)) for line in block.splitlines()]


def options_of(text):
    """[(head, words)] of a verb's help: "--input FILE|-", "lines to embed; ...". Continuation lines join the option before them."""
    found = []
    for line in text.split("\nexample")[0].splitlines():
        match = OPTION.match(line) or ALONE.match(line)
        if match:
            found.append([match.group(1), match.group(2) or ""])
        elif found and line.startswith("     "):
            found[-1][1] += " " + line.strip()
    return found


def flags_of(head):
    """[(flag, value or "")]: "-o, --output OUT" has two, and both take the value."""
    flags = [(flag, value.strip()) for flag, value in FLAG.findall(head)]
    last = flags[-1][1]
    return [(flag, value or (last if len(flags) > 1 else "")) for flag, value in flags]


def roff(text):
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join("\\&" + line if line[:1] in (".", "'") else line for line in text.splitlines())


def page(name, version, line, blocks):
    out = [".\\\" Made by tools/make_man.py from what the command says of itself.",
           '.TH "%s" 1 "" "%s" "User commands"' % (name.upper(), version), ".SH NAME", "%s \\- %s" % (roff(name), roff(line))]
    return "\n".join(out + blocks) + "\n"


def literal(lines):
    return [".PP", ".nf", *[roff(line.strip()) for line in lines], ".fi"]


def verb_blocks(text):
    blocks = text.strip("\n").split("\n\n")
    usage = blocks[0].removeprefix("usage: ").splitlines()
    out = [".SH SYNOPSIS", ".nf", *[roff(line.strip()) for line in usage], ".fi", ".SH DESCRIPTION"]
    begun = ended = False
    for block in blocks[1:]:
        if re.match(r"examples?:\n", block):
            out += [".SH EXAMPLES", *literal(block.splitlines()[1:])[1:]]
            ended = True
        elif block.startswith("  -"):
            if not begun:
                out.append(".SH OPTIONS")
            begun = True
            for head, words in options_of(block):
                out += [".TP", "\\fB%s\\fR" % roff(head), roff(words)]
        elif block.startswith("  "):
            out += literal(block.splitlines())
        else:
            if (begun or ended) and ".SH NOTES" not in out:
                out.append(".SH NOTES")
            elif not out[-1].startswith(".SH"):
                out.append(".PP")
            out.append(roff(block))
    return out + [".SH SEE ALSO", "\\fBnib\\fR(1)"]


def main_blocks(text, verbs):
    notes = [b for b in text.strip("\n").split("\n\n")[1:] if not b.startswith(("usage:", "  "))]
    out = [".SH SYNOPSIS", "\\fBnib\\fR VERB [options]", ".SH VERBS"]
    for verb, line in verbs:
        out += [".TP", "\\fBnib\\-%s\\fR(1)" % verb, roff(line)]
    examples = [b for b in text.split("\n\n") if b.startswith("  nib ")]
    out += [".SH EXAMPLES", *literal("\n".join(examples).splitlines())[1:], ".SH NOTES"]
    return out + [roff("\n".join(notes))]


def bash(verbs, helps):
    cases = "\n".join("    %s) options='%s --help' ;;" % (verb, " ".join(flag for head, _ in options_of(helps[verb])
                                                                        for flag, _ in flags_of(head))) for verb, _ in verbs)
    return """# bash completion of nib, made by tools/make_man.py
_nib() {
    local word=${COMP_WORDS[COMP_CWORD]} options=
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W '%s --help --version' -- "$word")
        return
    fi
    case ${COMP_WORDS[1]} in
%s
    esac
    case $word in
    -*) mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word") ;;
    esac
}
complete -o default -F _nib nib
""" % (" ".join(verb for verb, _ in verbs), cases)


def zsh_words(text):
    """As it may stand in a specification between single quotes."""
    return re.sub(r"([\[\]:\\])", r"\\\1", text).replace("'", "'\\''")


def zsh(verbs, helps):
    out = ["#compdef nib", "# zsh completion of nib, made by tools/make_man.py", "_nib() {", "    local -a verbs=("]
    out += ["        '%s:%s'" % (verb, zsh_words(line)) for verb, line in verbs]
    out += ["    )", "    if (( CURRENT == 2 )); then", "        _describe verb verbs", "        return", "    fi", "    local verb=$words[2]",
            "    shift words", "    (( CURRENT-- ))", "    case $verb in"]
    for verb, _ in verbs:
        out.append("    %s) _arguments \\" % verb)
        for head, words in options_of(helps[verb]):
            for flag, value in flags_of(head):
                what = ":%s:_files" % zsh_words(value) if value else ""
                out.append("        '*%s[%s]%s' \\" % (flag, zsh_words(words), what))
        out.append("        '*:file:_files' ;;")
    return "\n".join(out + ["    esac", "}", '_nib "$@"', ""])


def write(folder, name, text):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
        f.write(text)


def main():
    nib, out = sys.argv[1], sys.argv[2]
    text = text_of(nib, "--help")
    version = text.split(":", 1)[0]
    verbs = verbs_of(text)
    helps = {verb: text_of(nib, verb, "--help") for verb, _ in verbs}
    write(out + "/man1", "nib.1", page("nib", version, text.splitlines()[0].split(": ", 1)[1], main_blocks(text, verbs)))
    for verb, line in verbs:
        write(out + "/man1", "nib-%s.1" % verb, page("nib-" + verb, version, line, verb_blocks(helps[verb])))
    write(out + "/bash", "nib", bash(verbs, helps))
    write(out + "/zsh", "_nib", zsh(verbs, helps))


if __name__ == "__main__":
    main()
