#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs into an empty folder, moves what is there, and builds a program against it: pkg-config with the shared and the static
# library, CMake's find_package, C and C++. Then what is to be read: licence, documents, man pages, completion.
# usage: test_install.sh BUILD_FOLDER
set -euo pipefail
build=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() {
    echo "test_install: $*"
    exit 1
}

DESTDIR="$work/stage" cmake --install "$build" --prefix /opt/some/where >/dev/null
[ ! -e "$work/stage/usr" ] || fail "something was installed outside of the prefix"
pc=$(find "$work/stage/opt/some/where" -name nib.pc)
grep -qx 'prefix=/opt/some/where' "$pc" || fail "nib.pc has another prefix: $(head -1 "$pc")"
[ "$(PKG_CONFIG_PATH=$(dirname "$pc") pkg-config --variable=prefix nib)" = /opt/some/where ] || fail "pkg-config says another prefix"
cmake --install "$build" --prefix "$work/first" >/dev/null
grep -qx "prefix=$work/first" "$(find "$work/first" -name nib.pc)" || fail "nib.pc has another prefix"
mv "$work/first" "$work/usr"

cat >"$work/try.c" <<'C'
#include <nib/nib.h>
#include <stdio.h>
int main(void) {
    nib_model *model;
    nib_error error;
    if (nib_model_open("no-such-model", NULL, &model, &error) != NIB_NOT_FOUND) return 1;
    printf("nib %s: %s\n", nib_version(), error.message);
    return 0;
}
C
cp "$work/try.c" "$work/try.cpp"
lib=$(dirname "$(find "$work/usr" -name nib.pc)")
export PKG_CONFIG_PATH=$lib
libdir=$(dirname "$lib")
for how in "" --define-prefix; do # as it lies, and as pkg-config itself moves packages
    gcc "$work/try.c" -o "$work/shared" $(pkg-config $how --cflags --libs nib)
    LD_LIBRARY_PATH=$libdir "$work/shared"
done
gcc "$work/try.c" -o "$work/static" $(pkg-config --cflags nib) "$libdir/libnib.a" -lm -pthread
"$work/static"
# Names that nib has inside are a program's own to use; and a program takes from libnib.a what it calls.
foreign=$(nm -g --defined-only "$libdir/libnib.a" | awk 'NF == 3 && $3 !~ /^nib_/ { print $3 }')
[ -z "$foreign" ] || fail "libnib.a defines $foreign"
cat >"$work/own.c" <<'C'
#include <nib/nib.h>
#include <string.h>
int base_alloc(int x) { return x + 1; }
int graph_create = 2, op_infer_node;
char yyjson_read[] = "mine";
int main(void) {
    nib_model *model;
    if (nib_model_open("no-such-model", NULL, &model, NULL) != NIB_NOT_FOUND) return 1;
    return base_alloc(graph_create) != 3 || op_infer_node || strcmp(yyjson_read, "mine") != 0;
}
C
gcc "$work/own.c" -o "$work/own" -I"$work/usr/include" "$libdir/libnib.a" -lm -pthread
"$work/own" || fail "a program with names of its own fails"
printf '#include <nib/nib.h>\nint main(void) { return nib_abi_version() != NIB_ABI_VERSION; }\n' >"$work/small.c"
gcc "$work/small.c" -o "$work/small" $(pkg-config --cflags nib) "$libdir/libnib.a" \
    $(pkg-config --static --libs-only-other nib)
"$work/small" || fail "the library is of another ABI than its header"
strip "$work/small"
[ "$(stat -c %s "$work/small")" -lt 200000 ] || fail "a program that asks for a version has all of the library"
abi=$(sed -n 's/^#define NIB_ABI_VERSION //p' "$work/usr/include/nib/nib.h")
readelf -d "$work/shared" | grep -qF "[libnib.so.$abi]" || fail "a program does not ask for libnib.so.$abi"
[ -e "$libdir/libnib.so.$abi" ] || fail "libnib.so.$abi is not there"
mkdir "$work/project"
cat >"$work/project/CMakeLists.txt" <<'CMAKE'
cmake_minimum_required(VERSION 3.25)
project(try C CXX)
find_package(nib 0.1 REQUIRED)
add_executable(with_shared ../try.cpp)
target_link_libraries(with_shared nib::shared)
add_executable(with_static ../try.c)
target_link_libraries(with_static nib::static)
CMAKE
cmake -S "$work/project" -B "$work/project/build" -DCMAKE_PREFIX_PATH="$work/usr" >/dev/null
cmake --build "$work/project/build" >/dev/null
"$work/project/build/with_shared"
"$work/project/build/with_static"
nib=$work/usr/bin/nib
"$nib" --version

share=$work/usr/share
source=$(cd "$(dirname "$0")/.." && pwd)
cmp "$source/LICENSE" "$share/doc/nib/LICENSE"
for file in README.md CHANGELOG.md doc/tour.md doc/design.md doc/operators.md; do
    cmp "$source/$file" "$share/doc/nib/$file"
done
[ "$(ls "$source/doc/"*.md | wc -l)" = "$(ls "$share/doc/nib/doc/"*.md | wc -l)" ] || fail "not every document is installed"

verbs=$("$nib" --help | awk 'NF == 0 { blocks++ } blocks == 2 && NF { print $1 }')
[ "$(wc -w <<<"$verbs")" -ge 12 ] || fail "--help lists no verbs"
complete_to() { # WORDS...: what bash offers for the last of them
    bash -c 'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _nib; echo "${COMPREPLY[*]}"' \
        "$share/bash-completion/completions/nib" "$@"
}
for verb in $verbs; do
    page=$share/man/man1/nib-$verb.1
    [ -f "$page" ] || fail "there is no page nib-$verb(1)"
    grep -q "nib..$verb" "$share/man/man1/nib.1" || fail "nib(1) does not name $verb"
    [ "$(complete_to nib "$verb")" = "$verb" ] || fail "bash does not complete $verb"
    grep -q "^ *$verb) _arguments" "$share/zsh/site-functions/_nib" || fail "zsh does not know $verb"
    for option in $("$nib" "$verb" --help | grep -oE '^  (-o, )?--[a-z-]+' | grep -oE -- '--[a-z-]+'); do
        sed 's/\\-/-/g' "$page" | grep -F -- "$option" >/dev/null || fail "nib-$verb(1) does not have $option" # -q would leave before sed is done
        complete_to nib "$verb" "$option" | grep -qwF -- "$option" || fail "bash does not complete nib $verb $option"
        grep -qF -- "'*${option}[" "$share/zsh/site-functions/_nib" || fail "zsh does not know $option"
    done
done
[ "$(complete_to nib run --rto)" = --rtol ] || fail "bash does not complete nib run --rto"
[ "$(complete_to nib optimize --lev)" = --level ] || fail "bash does not complete nib optimize --lev"
if command -v python3 >/dev/null; then
    python3 "$source/tools/make_man.py" "$nib" "$work/again"
    diff -r "$work/again/man1" "$share/man/man1" || fail "pages differ from run to run"
fi
if command -v mandoc >/dev/null; then
    mandoc -Tlint -Wwarning "$share"/man/man1/*.1 | grep -v 'missing date' && fail "mandoc finds fault with a page"
fi
if command -v man >/dev/null; then
    for page in "$share"/man/man1/*.1; do
        [ -z "$(MANROFFSEQ='' man --warnings -l "$page" 2>&1 >/dev/null)" ] || fail "man finds fault with $page"
    done
fi
if command -v zsh >/dev/null; then zsh -n "$share/zsh/site-functions/_nib"; fi
