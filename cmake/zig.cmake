# SPDX-License-Identifier: Apache-2.0
# Build for this kind of machine with any Linux since glibc 2.17: `zig cc` (tools/setup zig) has that version's headers
# and knows which symbols it had.
set(NIB_GLIBC 2.17)
file(GLOB zig ${CMAKE_CURRENT_LIST_DIR}/../.deps/zig/lib/python3*/site-packages/ziglang/zig)
if(NOT zig)
  message(FATAL_ERROR "there is no zig in .deps/zig. Run tools/setup zig")
endif()
cmake_host_system_information(RESULT machine QUERY OS_PLATFORM)
set(CMAKE_C_COMPILER ${zig} cc -target ${machine}-linux-gnu.${NIB_GLIBC})
set(NIB_CCACHE "" CACHE FILEPATH "zig has a cache of its own, and ccache does not know `zig cc`")
