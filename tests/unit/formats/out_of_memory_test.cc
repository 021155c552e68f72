// Reading a model when memory runs out in the middle, and files that claim to need more than there is. This
// program's operator new can be told to refuse, and knows the most that it was asked for.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <new>

#include "formats/gguf.h"
#include "formats/model_source.h"
#include "formats/safetensors.h"

namespace {

std::atomic<size_t> g_refused{0};  // the next allocation of this many bytes fails
std::atomic<size_t> g_largest{0};

void* Allocate(size_t size) {
  size_t refused = size, largest = g_largest;
  while (size > largest && !g_largest.compare_exchange_weak(largest, size)) {
  }
  if (size != 0 && g_refused.compare_exchange_strong(refused, 0)) throw std::bad_alloc();
  void* memory = std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

void* operator new(size_t size) { return Allocate(size); }
void* operator new[](size_t size) { return Allocate(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t) noexcept { std::free(memory); }

namespace genflow::formats {
namespace {

TEST(ModelSource, RunningOutOfMemoryIsAnError) {
  const std::string path = GENFLOW_SOURCE_DIR "/tests/parity/fixtures/formats/tiny_llama.gguf";
  const auto source = ModelSource::Open(path);
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  std::vector<std::vector<uint16_t>> values;
  std::vector<ReadRequest> requests;
  for (const auto& tensor : source->tensors()) {
    values.emplace_back(tensor.elements);
    requests.push_back({tensor.name, DType::kF16, values.back().data()});
  }
  g_refused = 64 * sizeof(float);  // a dequantised row
  const Status status = source->ReadMany(requests, 4);
  EXPECT_EQ(g_refused.exchange(0), 0u) << "nothing was refused";
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, Code::kExhausted);
  EXPECT_EQ(status.error().message, path + ": out of memory");
  EXPECT_TRUE(source->ReadMany(requests, 4).ok());
}

// The fuzzers' inputs: headers, names, arrays and tensors of up to 2^63 bytes in files of a few hundred.
TEST(HostileFiles, ALengthIsNotBelievedBeforeTheFileHasIt) {
  const std::filesystem::path corpus = GENFLOW_SOURCE_DIR "/tests/fuzz/corpus";
  size_t seen = 0, opened = 0;
  for (const char* format : {"gguf", "safetensors"}) {
    for (const auto& entry : std::filesystem::directory_iterator(corpus / format)) {
      const std::string path = entry.path().string();
      const size_t bytes = entry.file_size();
      g_largest = 0;
      if (std::string_view(format) == "gguf") {
        opened += GgufFile::Open(path).ok() && ModelSource::Open(path).ok();
      } else {
        opened += SafetensorsFile::Open(path).ok();
      }
      EXPECT_LE(g_largest, 16 * bytes + 4096) << path;
      ++seen;
    }
  }
  EXPECT_GT(seen, 20u);
  EXPECT_GE(opened, 4u) << "whole ones are among them";
}

}  // namespace
}  // namespace genflow::formats
