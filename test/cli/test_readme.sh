#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The README's program compiles as it stands and runs; and another project can take nib by add_subdirectory: it gets nib::nib, and neither
# tests nor the command nor anything in its cache that is not named NIB_. usage: test_readme.sh NIB SOURCE_FOLDER.
set -uo pipefail
nib=$(realpath "$1") root=$(realpath "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
say() { echo "FAILED: $*"; failed=1; }

awk '/^```c$/ { on = 1; next } /^```$/ { on = 0 } on' "$root/README.md" >"$work/try.c"
[ -s "$work/try.c" ] || say 'README.md has no program in C'
cc -std=c11 -Wall -Wextra -Wpedantic -Werror -I"$root/include" -c "$work/try.c" -o "$work/try.o" || say 'the program of README.md does not compile'
if [ -z "${NIB_SLOW:-}" ]; then # a sanitized library wants its flags
    cc "$work/try.o" "$(dirname "$nib")/libnib.a" -lm -pthread -o "$work/try" || say 'the program of README.md does not link'
    if [ -e "$root/models/all-MiniLM-L6-v2/model.safetensors" ]; then
        (cd "$root" && "$work/try") || say 'the program of README.md fails'
    fi
fi

command -v ninja >/dev/null || exit $failed
cat >"$work/CMakeLists.txt" <<CMAKE
cmake_minimum_required(VERSION 3.25)
project(other C)
enable_testing()
add_subdirectory("$root" nib)
add_executable(try try.c)
target_link_libraries(try nib::nib)
foreach(target nib::nib nib::static nib::shared)
  if(NOT TARGET \${target})
    message(FATAL_ERROR "\${target} is no target")
  endif()
endforeach()
CMAKE
cmake -S "$work" -B "$work/build" -G Ninja >"$work/log" 2>&1 || { say 'add_subdirectory'; tail -n 20 "$work/log"; exit 1; }
ninja -C "$work/build" CMakeFiles/try.dir/try.c.o >"$work/log" 2>&1 || { say 'a program beside nib'; tail -n 20 "$work/log"; }
ctest --test-dir "$work/build" -N | grep -q '^Total Tests: 0$' || say 'its tests are in the other project'
targets=$(ninja -C "$work/build" -t targets all)
grep -q '^nib/nib: \|^nib: CXX_EXEC\|^nib/nib: C_EXEC\|/test_' <<<"$targets" && say 'its command or its tests are built'
grep -E '^[A-Za-z_]+:(BOOL|STRING|PATH)=' "$work/build/CMakeCache.txt" | grep -vE '^(CMAKE_|NIB_|yyjson_DIR|FETCHCONTENT)' && say 'it puts options of other names into the cache'
[ ! -e "$work/build/nib/cmake_install.cmake" ] || ! grep -q 'libnib' "$work/build/nib/cmake_install.cmake" || say 'it installs itself'
[ $failed -eq 0 ] && echo 'readme: ok'
exit $failed
