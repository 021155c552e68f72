// Reading a model when memory runs out in the middle. This program's operator new can be told to refuse.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "formats/model_source.h"

namespace {

std::atomic<size_t> g_refused{0};  // the next allocation of this many bytes fails

void* Allocate(size_t size) {
  size_t refused = size;
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

}  // namespace
}  // namespace genflow::formats
