#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# make does not hide errors: in a copy of the tree with a source file, or the build description, that is broken, each target that builds
# must fail and show what the compiler (or CMake) said. usage: test_make.sh SOURCE_FOLDER
set -euo pipefail
root=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
copy="$work/a copy/nib" # what a path may hold: spaces, and the project's own name
mkdir -p "$copy/build/onnx-cases"
tar -C "$root" --exclude=./build --exclude=./.git --exclude=./.deps --exclude=./models -cf - . | tar -C "$copy" -xf -
ln -s "$root/.deps" "$root/models" "$copy"
touch "$copy/build/onnx-cases/version.txt" # the cases that ONNX's package would make
cd "$copy"
export MAKEFLAGS='' # of a make that runs this test
unset CMAKE_ARGS

# Each target of .PHONY but those that build nothing; the measuring ones take the peers' Python from PYTHON.
read -r -a targets < <(sed -n 's/^\.PHONY: //p' Makefile)
fails_with() { # fails_with WORDS TARGET
    if make PYTHON=python3 "$2" >"$work/log" 2>&1; then
        echo "make $2 succeeds though $3"
        exit 1
    fi
    grep -q "$1" "$work/log" || { echo "make $2 fails without saying why ($1):"; cat "$work/log"; exit 1; }
    echo "make $2: fails and says why"
}

printf '#error broken on purpose\n' >>src/api/api_compare.c
for target in "${targets[@]}"; do
    case $target in help | lint | clean) continue ;; esac
    fails_with 'error: .*broken on purpose' "$target" "a source file is broken"
done
cp "$root/src/api/api_compare.c" src/api/api_compare.c
printf 'message(FATAL_ERROR "broken on purpose")\n' >>CMakeLists.txt
for target in all test-build asan; do fails_with 'broken on purpose' "$target" "CMakeLists.txt is broken"; done
