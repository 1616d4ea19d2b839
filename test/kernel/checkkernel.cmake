# SPDX-License-Identifier: Apache-2.0
# checkkernel needs no test library. One ctest entry for the machine as it is, one per rung of the ladder; a rung that the
# machine lacks counts as skipped.
file(GLOB checkkernel_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/checkkernel*.c)
add_executable(checkkernel ${checkkernel_sources})
target_link_libraries(checkkernel PRIVATE nib_flags nib_static m)
set_target_properties(checkkernel PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/test)
add_test(NAME checkkernel COMMAND checkkernel)
foreach(rung generic avx2 avxvnni avx512 avx512vnni avx512bf16 neon dotprod)
  add_test(NAME checkkernel_${rung} COMMAND checkkernel --need ${rung})
  set_tests_properties(checkkernel_${rung} PROPERTIES ENVIRONMENT NIB_CPU=${rung} SKIP_RETURN_CODE 77)
endforeach()
# A crash inside a kernel ends in a longjmp to the call. What it may clobber belongs to a case that has failed anyway.
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
  target_compile_options(checkkernel PRIVATE -Wno-clobbered)
endif()
