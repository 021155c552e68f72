// A whole Hugging Face model folder in a few kilobytes: byte-level tokenizer, ChatML template, random
// weights.
#pragma once

#include <cstdint>
#include <filesystem>

namespace genflow::testing_support {

// Llama with 2 layers of 32, context 1024. Same seed, same bytes. Throws on failure.
void WriteTinyModel(const std::filesystem::path& folder, uint64_t seed);

// A PEFT adapter of rank 2 on all linear layers of that model, none of it zero.
void WriteTinyAdapter(const std::filesystem::path& folder, uint64_t seed);

// A messages dataset of `rows` questions and answers.
void WriteTinyChats(const std::filesystem::path& folder, int rows);

}  // namespace genflow::testing_support
