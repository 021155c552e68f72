# `cmake --install`: the binary, the plugins with their manifests, the SDK and a CMake package for plugin authors.
include(CMakePackageConfigHelpers)

if(TARGET genflow)
  install(TARGETS genflow RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
install(DIRECTORY ${GENFLOW_PLUGIN_DIR}/ DESTINATION ${CMAKE_INSTALL_LIBDIR}/genflow/plugins
  USE_SOURCE_PERMISSIONS FILES_MATCHING PATTERN "*.so" PATTERN "*.json")
install(DIRECTORY include/genflow DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
configure_package_config_file(cmake/genflowConfig.cmake.in ${PROJECT_BINARY_DIR}/genflowConfig.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/genflow
  PATH_VARS CMAKE_INSTALL_INCLUDEDIR CMAKE_INSTALL_BINDIR)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/genflowConfigVersion.cmake COMPATIBILITY SameMajorVersion)
install(FILES ${PROJECT_BINARY_DIR}/genflowConfig.cmake ${PROJECT_BINARY_DIR}/genflowConfigVersion.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/genflow)
