#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs into an empty folder and builds a program against it: pkg-config with the shared and the static library, CMake's
# find_package, C and C++. usage: test_install.sh BUILD_FOLDER
set -euo pipefail
build=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cmake --install "$build" --prefix "$work/usr" >/dev/null
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
gcc "$work/try.c" -o "$work/shared" $(pkg-config --define-prefix --cflags --libs nib)
LD_LIBRARY_PATH=$libdir "$work/shared"
gcc "$work/try.c" -o "$work/static" $(pkg-config --define-prefix --cflags nib) "$libdir/libnib.a" -lm -pthread
"$work/static"
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
"$work/usr/bin/nib" --version
