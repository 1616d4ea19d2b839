# SPDX-License-Identifier: Apache-2.0
# make install: libraries, header, CMake package (find_package(nib); nib::shared, nib::static), pkg-config file.
include(CMakePackageConfigHelpers)
install(TARGETS nib_static nib_shared EXPORT nib-targets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(FILES include/nib/nib.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/nib)
install(EXPORT nib-targets NAMESPACE nib:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/nib)
configure_package_config_file(cmake/nib-config.cmake.in ${CMAKE_BINARY_DIR}/nib-config.cmake INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/nib)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/nib-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/nib-config.cmake ${CMAKE_BINARY_DIR}/nib-config-version.cmake DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/nib)
configure_file(cmake/nib.pc.in ${CMAKE_BINARY_DIR}/nib.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/nib.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
