# `cmake --install`: the binary with its manual pages and completions, the plugins with their manifests, the SDK and
# a CMake package for plugin authors.
include(CMakePackageConfigHelpers)

if(TARGET genflow)
  install(TARGETS genflow RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  install(TARGETS genflow_hub genflow_notify RUNTIME DESTINATION lib/genflow)
  if(TARGET genflow_session)
    install(TARGETS genflow_session RUNTIME DESTINATION lib/genflow)
  endif()
  # Manual pages and completions are the program's own words about itself: asked of it when it is installed.
  install(CODE "set(genflow \"${PROJECT_BINARY_DIR}/bin/genflow\")
set(share \"${PROJECT_BINARY_DIR}/share\")")
  install(CODE [[
    execute_process(COMMAND ${genflow} manpages ${share}/man/man1 COMMAND_ERROR_IS_FATAL ANY)
    foreach(place IN ITEMS bash=bash-completion/completions/genflow zsh=zsh/site-functions/_genflow
        fish=fish/vendor_completions.d/genflow.fish)
      string(REPLACE "=" ";" place ${place})
      list(GET place 0 shell)
      list(GET place 1 file)
      get_filename_component(folder ${share}/${file} DIRECTORY)
      file(MAKE_DIRECTORY ${folder})
      execute_process(COMMAND ${genflow} completion ${shell} OUTPUT_FILE ${share}/${file} COMMAND_ERROR_IS_FATAL ANY)
    endforeach()
  ]])
  install(DIRECTORY ${PROJECT_BINARY_DIR}/share/ DESTINATION share)
endif()
install(DIRECTORY ${GENFLOW_PLUGIN_DIR}/ DESTINATION lib/genflow/plugins
  USE_SOURCE_PERMISSIONS FILES_MATCHING PATTERN "*.so" PATTERN "*.json")
# The libraries that plugins load, so that what is installed needs neither the build folder nor the downloads.
install(DIRECTORY ${GENFLOW_DEP_arrow}/pyarrow/ DESTINATION lib/genflow/libraries/arrow/pyarrow
  FILES_MATCHING REGEX "/lib(arrow|parquet)\\.so\\.[0-9]+$" PATTERN include EXCLUDE)
if(GENFLOW_TORCH)
  set(torch_libraries "/lib(torch_cpu|c10|gomp|gfortran)\\.so[.0-9]*$")
  if(EXISTS ${GENFLOW_DEP_torch}/nvidia/cudnn)  # fetched for an NVIDIA driver
    set(torch_libraries "/lib[a-z0-9_]*\\.so[.0-9]*$")
  endif()
  install(DIRECTORY ${GENFLOW_DEP_torch}/torch/lib/ DESTINATION lib/genflow/libraries/torch/torch/lib
    FILES_MATCHING REGEX ${torch_libraries} PATTERN libshm EXCLUDE PATTERN libshm_windows EXCLUDE)
  install(DIRECTORY ${GENFLOW_DEP_torch}/nvidia/ DESTINATION lib/genflow/libraries/torch/nvidia
    FILES_MATCHING PATTERN "*.so*" PATTERN include EXCLUDE)
endif()
install(DIRECTORY include/genflow DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
configure_package_config_file(cmake/genflowConfig.cmake.in ${PROJECT_BINARY_DIR}/genflowConfig.cmake
  INSTALL_DESTINATION lib/cmake/genflow
  PATH_VARS CMAKE_INSTALL_INCLUDEDIR CMAKE_INSTALL_BINDIR)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/genflowConfigVersion.cmake COMPATIBILITY SameMajorVersion)
install(FILES ${PROJECT_BINARY_DIR}/genflowConfig.cmake ${PROJECT_BINARY_DIR}/genflowConfigVersion.cmake
  DESTINATION lib/cmake/genflow)
