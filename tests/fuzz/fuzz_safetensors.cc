// Any bytes as a safetensors file: refused with a reason, or every tensor lies inside the file and has the
// size of its shape.
#include <cstdlib>

#include "formats/safetensors.h"
#include "fuzz/memory_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace genflow;
  const MemoryFile bytes(data, size);
  const auto file = formats::SafetensorsFile::Open(bytes.path());
  if (!file.ok()) {
    if (file.error().message.empty()) std::abort();
    return 0;
  }
  uint64_t total = 0;
  unsigned sum = 0;
  for (const auto& tensor : file->tensors()) {
    if (file->Find(tensor.name) == nullptr) std::abort();
    for (uint64_t i = 0; i < tensor.bytes; ++i) sum += static_cast<unsigned>(tensor.data[i]);
    total += tensor.bytes;
  }
  static volatile unsigned seen;  // so that the bytes are read
  seen = sum;
  if (total > size) std::abort();
  return 0;
}
