# Language level, warnings, sanitizers, compiler cache, linker, output folders.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib)
set(GENFLOW_PLUGIN_DIR ${PROJECT_BINARY_DIR}/lib/genflow/plugins)
# Plugins find Arrow and libtorch in the folder beside theirs, in the build folder as where they are installed, so
# that the bytes that a manifest describes stay the same.
set(GENFLOW_LIBRARY_DIR ${PROJECT_BINARY_DIR}/lib/genflow/libraries)
set(GENFLOW_PLUGIN_RPATH "$ORIGIN/../libraries/torch/torch/lib;$ORIGIN/../libraries/arrow/pyarrow")

find_program(GENFLOW_CCACHE ccache)
if(GENFLOW_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # Precompiled headers are shared safely only with these two relaxations. Paths are taken relative to the
  # clone, so that clones share what they compile without a precompiled header.
  set(launcher ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros
    CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${GENFLOW_CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${launcher})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${launcher})
endif()

# Interface target with the flags of our own code; dependencies are built without it.
add_library(genflow_flags INTERFACE)
target_compile_options(genflow_flags INTERFACE -Wall -Wextra -Wno-missing-field-initializers
  # g++ 12 sees overlaps and overflows in std::string that are not there (GCC bugs 105329, 105651).
  -Wno-restrict -Wno-stringop-overflow -Wno-array-bounds)
if(GENFLOW_WERROR)
  target_compile_options(genflow_flags INTERFACE -Werror)
endif()

if(GENFLOW_SANITIZE)
  if(GENFLOW_TORCH)
    message(FATAL_ERROR "GENFLOW_SANITIZE needs GENFLOW_TORCH=OFF: libtorch is not built with sanitizers")
  endif()
  # Our own code alone: libraries compiled from source cost minutes with it.
  target_compile_options(genflow_flags INTERFACE -fsanitize=${GENFLOW_SANITIZE} -fno-omit-frame-pointer -g1)
  add_link_options(-fsanitize=${GENFLOW_SANITIZE})
endif()
