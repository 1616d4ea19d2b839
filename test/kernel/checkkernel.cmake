# SPDX-License-Identifier: Apache-2.0
# checkkernel needs no test library. It goes through all rungs of the ladder below the machine's own, the plainest alone at night; make
# test-isa runs it capped at each.
file(GLOB checkkernel_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/checkkernel*.c)
add_executable(checkkernel ${checkkernel_sources})
target_link_libraries(checkkernel PRIVATE nib_flags nib_internal m)
set_target_properties(checkkernel PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/test)
if(NIB_SANITIZE)
  target_compile_definitions(checkkernel PRIVATE CHECK_PART=4)
elseif(CMAKE_CROSSCOMPILING)
  target_compile_definitions(checkkernel PRIVATE CHECK_PART=2)
endif()
nib_test(checkkernel quick checkkernel)
nib_test(checkkernel_generic nightly checkkernel)
set_tests_properties(checkkernel_generic PROPERTIES ENVIRONMENT NIB_CPU=generic)
# A crash inside a kernel ends in a longjmp to the call. What it may clobber belongs to a case that has failed anyway.
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
  target_compile_options(checkkernel PRIVATE -Wno-clobbered)
endif()
