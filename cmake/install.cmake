# SPDX-License-Identifier: Apache-2.0
# make install: libraries, header, CMake package (find_package(nib); nib::shared, nib::static), pkg-config file, documents, man pages,
# completion for bash and zsh.
include(CMakePackageConfigHelpers)
install(TARGETS nib_static nib_shared EXPORT nib-targets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(FILES include/nib/nib.h include/nib/chunks.h include/nib/hub.h include/nib/quantize.h include/nib/queue.h include/nib/sparse.h include/nib/tasks.h include/nib/vectors.h
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/nib)
install(EXPORT nib-targets NAMESPACE nib:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/nib)
configure_package_config_file(cmake/nib-config.cmake.in ${CMAKE_BINARY_DIR}/nib-config.cmake INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/nib)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/nib-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/nib-config.cmake ${CMAKE_BINARY_DIR}/nib-config-version.cmake DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/nib)

# nib.pc says the prefix that it is installed with, which is known then; what compilers are told follows from where it lies.
file(RELATIVE_PATH includedir_from_here ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_FULL_INCLUDEDIR})
set(PC_IN ${CMAKE_SOURCE_DIR}/cmake/nib.pc.in)
set(PC_OUT ${CMAKE_BINARY_DIR}/nib.pc)
configure_file(cmake/nib_pc.cmake.in ${CMAKE_BINARY_DIR}/nib_pc.cmake @ONLY)
install(SCRIPT ${CMAKE_BINARY_DIR}/nib_pc.cmake)
install(FILES ${CMAKE_BINARY_DIR}/nib.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

# The licences and what there is to read, where its links to one another hold.
file(GLOB NIB_DOCS CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/doc/*.md)
install(FILES LICENSE README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES ${NIB_DOCS} DESTINATION ${CMAKE_INSTALL_DOCDIR}/doc)
if(NIB_YYJSON_DIR AND EXISTS ${NIB_YYJSON_DIR}/LICENSE)
  install(FILES ${NIB_YYJSON_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} RENAME LICENSE.yyjson)
endif()

# Man pages and shell completion: what the command says of itself.
find_package(Python3 QUIET COMPONENTS Interpreter)
if(TARGET nib AND Python3_FOUND AND NOT CMAKE_CROSSCOMPILING)
  set(NIB_MAN ${CMAKE_BINARY_DIR}/man)
  add_custom_command(OUTPUT ${NIB_MAN}/man1/nib.1 COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/tools/make_man.py $<TARGET_FILE:nib> ${NIB_MAN}
    DEPENDS nib ${CMAKE_SOURCE_DIR}/tools/make_man.py COMMENT "Writing man pages" VERBATIM)
  add_custom_target(nib_man ALL DEPENDS ${NIB_MAN}/man1/nib.1)
  install(DIRECTORY ${NIB_MAN}/man1 DESTINATION ${CMAKE_INSTALL_MANDIR})
  install(FILES ${NIB_MAN}/bash/nib DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
  install(FILES ${NIB_MAN}/zsh/_nib DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
endif()
