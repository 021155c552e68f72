# ggml_base: tensor types, quantisation and GGUF of llama.cpp, whose sources are in the folder ${llama}.
add_library(ggml_base STATIC
  ${llama}/ggml/src/ggml.c ${llama}/ggml/src/ggml.cpp ${llama}/ggml/src/ggml-alloc.c
  ${llama}/ggml/src/ggml-backend.cpp ${llama}/ggml/src/ggml-backend-meta.cpp
  ${llama}/ggml/src/ggml-threading.cpp ${llama}/ggml/src/ggml-quants.c ${llama}/ggml/src/gguf.cpp)
set(GGML_VERSION genflow)
set(GGML_BUILD_COMMIT genflow)
configure_file(${llama}/ggml/src/ggml-version.h.in ${PROJECT_BINARY_DIR}/ggml/ggml-version.h @ONLY)
target_include_directories(ggml_base SYSTEM PUBLIC ${llama}/ggml/include
  PRIVATE ${llama}/ggml/src ${PROJECT_BINARY_DIR}/ggml)
target_compile_definitions(ggml_base PRIVATE _GNU_SOURCE)
target_compile_options(ggml_base PRIVATE -w -O3)
target_link_libraries(ggml_base PUBLIC Threads::Threads ${CMAKE_DL_LIBS} m)
