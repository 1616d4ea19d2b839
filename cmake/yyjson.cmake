# SPDX-License-Identifier: Apache-2.0
# yyjson: the system's if it has one, else the sources that tools/setup unpacked into .deps/yyjson.
find_package(yyjson QUIET CONFIG)
add_library(nib_yyjson INTERFACE)
if(yyjson_FOUND)
  target_link_libraries(nib_yyjson INTERFACE yyjson::yyjson)
  file(WRITE ${PROJECT_BINARY_DIR}/empty.c "typedef int nib_empty;\n")
  add_library(nib_yyjson_objects OBJECT ${PROJECT_BINARY_DIR}/empty.c)
else()
  set(NIB_YYJSON_DIR ${PROJECT_SOURCE_DIR}/.deps/yyjson CACHE PATH "Folder with yyjson.c and yyjson.h")
  if(NOT EXISTS ${NIB_YYJSON_DIR}/yyjson.c)
    message(FATAL_ERROR "yyjson is neither installed nor in ${NIB_YYJSON_DIR}. Run tools/setup build")
  endif()
  add_library(nib_yyjson_objects OBJECT ${NIB_YYJSON_DIR}/yyjson.c)
  target_compile_definitions(nib_yyjson_objects PRIVATE yyjson_api=) # libnib exports nib_* only
  target_compile_options(nib_yyjson_objects PRIVATE -ffunction-sections -fdata-sections)
  target_include_directories(nib_yyjson SYSTEM INTERFACE ${NIB_YYJSON_DIR})
endif()
