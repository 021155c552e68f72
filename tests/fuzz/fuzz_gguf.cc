// Any bytes as a GGUF file: refused with a reason, or every tensor can be read, and the tokenizer and
// configuration that it holds are refused or rebuilt.
#include <cstdlib>
#include <vector>

#include "formats/gguf.h"
#include "formats/model_source.h"
#include "fuzz/memory_file.h"

namespace {

using namespace genflow;

void ReadTensors(const formats::GgufFile& file) {
  for (const auto& tensor : file.tensors()) {
    const auto columns = static_cast<uint64_t>(tensor.shape.back());
    std::vector<float> values(tensor.elements);
    (void)formats::DequantizeRows(tensor.type, tensor.data, tensor.elements / columns, columns,
                                  values.data());
  }
}

void ReadModel(const std::filesystem::path& path) {
  const auto model = formats::ModelSource::Open(path);
  if (!model.ok()) {
    if (model.error().message.empty()) std::abort();
    return;
  }
  for (const auto& tensor : model->tensors()) {
    std::vector<uint16_t> values(tensor.elements);
    (void)model->Read(tensor.name, formats::DType::kBF16, values.data(), 1);
  }
  (void)model->parameter_count();
  (void)model->dominant_type();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const MemoryFile bytes(data, size);
  const auto file = formats::GgufFile::Open(bytes.path());
  if (!file.ok()) {
    if (file.error().message.empty()) std::abort();
    return 0;
  }
  for (const auto& [key, value] : file->metadata()) {
    if (file->Find(key) == nullptr || file->Encoded(key).empty()) std::abort();
  }
  ReadTensors(*file);
  ReadModel(bytes.path());
  if (const auto tokenizer = formats::ReadTokenizerFiles(bytes.path());
      !tokenizer.ok() && tokenizer.error().message.empty()) {
    std::abort();
  }
  return 0;
}
