# SPDX-License-Identifier: Apache-2.0
# libnib.a shows the names of nib.map and no others, as libnib.so does: its objects are linked into one, in which every
# other name is made local. Functions keep sections of their own, so that a program takes from it what it calls
# (-Wl,--gc-sections).
#
# nib_static_object(OBJECTS...): sets NIB_STATIC_OBJECTS to that one object, and NIB_STATIC_IS_ONE; or, where the tools
# cannot make it (Apple's, MSVC's; objects for a link-time optimizer or a sanitizer, which look at names themselves), to
# the objects as they are.
function(nib_static_object)
  set(NIB_STATIC_OBJECTS ${ARGN} PARENT_SCOPE)
  set(NIB_STATIC_IS_ONE OFF PARENT_SCOPE)
  if(APPLE OR WIN32 OR NOT CMAKE_OBJCOPY OR NIB_SANITIZE OR CMAKE_INTERPROCEDURAL_OPTIMIZATION
      OR CMAKE_C_FLAGS MATCHES "-flto|-fsanitize")
    return()
  endif()
  file(STRINGS ${PROJECT_SOURCE_DIR}/cmake/nib.map names REGEX "^ +nib_[a-z0-9_]+;$")
  list(TRANSFORM names REPLACE "[ ;]" "")
  string(REPLACE ";" "\n" names "${names}")
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/cmake/nib.map)
  file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/nib.symbols CONTENT "${names}\n")
  separate_arguments(flags UNIX_COMMAND "${CMAKE_C_COMPILER_ARG1} ${CMAKE_C_FLAGS}")
  set(object ${PROJECT_BINARY_DIR}/nib${CMAKE_C_OUTPUT_EXTENSION})
  add_custom_command(OUTPUT ${object}
    COMMAND ${CMAKE_C_COMPILER} ${flags} -r -nostdlib -o ${object}.whole ${ARGN}
    COMMAND ${CMAKE_OBJCOPY} --keep-global-symbols=${PROJECT_BINARY_DIR}/nib.symbols ${object}.whole ${object}
    COMMAND ${CMAKE_COMMAND} -E rm ${object}.whole
    DEPENDS ${ARGN} ${PROJECT_BINARY_DIR}/nib.symbols COMMAND_EXPAND_LISTS VERBATIM
    COMMENT "Linking one object for libnib.a")
  set(NIB_STATIC_OBJECTS ${object} PARENT_SCOPE)
  set(NIB_STATIC_IS_ONE ON PARENT_SCOPE)
endfunction()
