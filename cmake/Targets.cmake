# The kinds of target that genflow is made of.

# genflow_carried(NAME SHARED ARCHIVE): a target for a library of the system that a target with the property
# GENFLOW_CARRIES links as an archive, where there is one, and every other target as usual. Start-up of a
# program is the time to load and relocate its shared libraries.
function(genflow_carried name shared archive)
  add_library(${name} INTERFACE)
  target_include_directories(${name} SYSTEM INTERFACE $<TARGET_PROPERTY:${shared},INTERFACE_INCLUDE_DIRECTORIES>)
  find_library(${name}_archive NAMES ${archive})
  if(${name}_archive AND NOT GENFLOW_SANITIZE)
    target_link_libraries(${name} INTERFACE
      $<IF:$<BOOL:$<TARGET_PROPERTY:GENFLOW_CARRIES>>,${${name}_archive},${shared}>)
  else()
    target_link_libraries(${name} INTERFACE ${shared})
  endif()
endfunction()
genflow_carried(genflow_yaml yaml-cpp libyaml-cpp.a)
genflow_carried(genflow_sqlite SQLite::SQLite3 libsqlite3.a)
genflow_carried(genflow_crypto OpenSSL::Crypto libcrypto.a)
genflow_carried(genflow_pcre2 PkgConfig::PCRE2 libpcre2-8.a)

# Headers that most files include, compiled once for libraries and plugins and once for tests. Every file
# includes what it uses all the same: the `debug` preset does without.
add_library(genflow_headers OBJECT ${CMAKE_CURRENT_LIST_DIR}/headers.cc)
target_link_libraries(genflow_headers PRIVATE genflow_flags nlohmann_json::nlohmann_json)
target_precompile_headers(genflow_headers PRIVATE <algorithm> <filesystem> <functional> <map> <memory> <optional>
  <set> <string> <string_view> <unordered_map> <vector> <nlohmann/json.hpp>)

# genflow_library(NAME [TORCH] SOURCES ... [LIBS ...] [PRIVATE_LIBS ...]): a static library in src/. TORCH: it
# includes libtorch's headers, and says itself which of them are precompiled.
function(genflow_library name)
  cmake_parse_arguments(arg "TORCH" "" "SOURCES;LIBS;PRIVATE_LIBS" ${ARGN})
  add_library(${name} STATIC ${arg_SOURCES})
  target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)
  target_link_libraries(${name} PUBLIC ${arg_LIBS} PRIVATE genflow_flags ${arg_PRIVATE_LIBS})
  if(NOT arg_TORCH)
    target_precompile_headers(${name} REUSE_FROM genflow_headers)
  endif()
endfunction()

# genflow_plugin(NAME SOURCES ... LIBS ...): a stage plugin and, beside it, its manifest, which
# `genflow` reads instead of loading the plugin.
function(genflow_plugin name)
  cmake_parse_arguments(arg "" "" "SOURCES;LIBS" ${ARGN})
  add_library(plugin_${name} MODULE ${arg_SOURCES})
  set_target_properties(plugin_${name} PROPERTIES
    OUTPUT_NAME ${name} PREFIX "" LIBRARY_OUTPUT_DIRECTORY ${GENFLOW_PLUGIN_DIR}
    BUILD_WITH_INSTALL_RPATH ON INSTALL_RPATH "${GENFLOW_PLUGIN_RPATH}")
  target_include_directories(plugin_${name} PRIVATE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)
  target_link_libraries(plugin_${name} PRIVATE genflow_flags ${arg_LIBS})
  target_precompile_headers(plugin_${name} REUSE_FROM genflow_headers)
  add_dependencies(plugin_${name} genflow)
  add_custom_command(TARGET plugin_${name} POST_BUILD
    COMMAND $<TARGET_FILE:genflow> plugin describe $<TARGET_FILE:plugin_${name}>
            --output ${GENFLOW_PLUGIN_DIR}/${name}.json
    VERBATIM)
  set_property(GLOBAL APPEND PROPERTY GENFLOW_PLUGINS plugin_${name})
endfunction()

# genflow_embed(SOURCE NAMESPACE FOLDER PATTERN...): writes a source file that holds the files of configs/FOLDER
# that match, so that a program needs nothing beside it, and installs the folder for people to read. The
# namespace's folder has a builtin.h with what the file defines.
function(genflow_embed source namespace folder)
  set(root ${PROJECT_SOURCE_DIR}/configs/${folder})
  list(TRANSFORM ARGN PREPEND ${root}/ OUTPUT_VARIABLE patterns)
  file(GLOB_RECURSE files RELATIVE ${root} CONFIGURE_DEPENDS ${patterns})
  list(SORT files)
  set(text "#include \"${namespace}/builtin.h\"\n\nnamespace genflow::${namespace} {\n\n")
  string(APPEND text "std::span<const BuiltinFile> BuiltinFiles() {\n  static constexpr BuiltinFile files[] = {\n")
  foreach(name IN LISTS files)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${root}/${name})
    file(READ ${root}/${name} content)
    string(APPEND text "      {\"${name}\", R\"genflow(${content})genflow\"},\n")
  endforeach()
  string(APPEND text "  };\n  return files;\n}\n\n}  // namespace genflow::${namespace}\n")
  file(CONFIGURE OUTPUT ${source} CONTENT "${text}" @ONLY)
  install(DIRECTORY ${root} DESTINATION ${CMAKE_INSTALL_DATADIR}/genflow)
endfunction()

# The tests without the labels cli and faults.
add_custom_target(unit_tests)

# genflow_test(NAME [TORCH|KERNEL] SOURCES ... [LIBS ...] [LABELS ...]): one GoogleTest program, one ctest entry a case.
# Fixtures are found through the macro GENFLOW_SOURCE_DIR. The tests' own code is not optimised: it is compiled
# more often than it is run. TORCH: as above. KERNEL: one ctest entry, run as root under a kernel of its own
# (tools/uml); skipped, saying so, where there is none.
function(genflow_test name)
  cmake_parse_arguments(arg "TORCH;KERNEL" "" "SOURCES;LIBS;LABELS" ${ARGN})
  if(NOT TARGET genflow_test_headers)
    add_executable(genflow_test_headers ${PROJECT_SOURCE_DIR}/cmake/headers.cc)
    target_link_libraries(genflow_test_headers PRIVATE
      genflow_flags nlohmann_json::nlohmann_json GTest::gtest_main GTest::gmock)
    target_compile_options(genflow_test_headers PRIVATE -O0)
    target_precompile_headers(genflow_test_headers PRIVATE <filesystem> <fstream> <functional> <map> <optional> <string>
      <vector> <gmock/gmock.h> <gtest/gtest.h> <nlohmann/json.hpp>)
  endif()
  add_executable(${name} ${arg_SOURCES})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  target_include_directories(${name} PRIVATE
    ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/tests)
  target_compile_definitions(${name} PRIVATE
    GENFLOW_SOURCE_DIR="${PROJECT_SOURCE_DIR}" GENFLOW_BINARY_DIR="${PROJECT_BINARY_DIR}")
  target_compile_options(${name} PRIVATE -O0)
  target_link_libraries(${name} PRIVATE genflow_flags GTest::gtest_main GTest::gmock ${arg_LIBS})
  if(NOT arg_TORCH)
    target_precompile_headers(${name} REUSE_FROM genflow_test_headers)
  endif()
  set(labels)
  if(arg_LABELS)
    set(labels LABELS "${arg_LABELS}")
  endif()
  if(NOT arg_LABELS MATCHES "cli|faults")
    add_dependencies(unit_tests ${name})
  endif()
  if(arg_KERNEL)
    add_test(NAME ${name} COMMAND ${PROJECT_SOURCE_DIR}/tools/uml $<TARGET_FILE:${name}>)
    set_tests_properties(${name} PROPERTIES TIMEOUT 300 SKIP_RETURN_CODE 77 ${labels})
    return()
  endif()
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST TEST_PREFIX "${name}." PROPERTIES TIMEOUT 300 ${labels})
endfunction()
