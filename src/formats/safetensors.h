// safetensors files (https://github.com/huggingface/safetensors): a JSON header, then raw little-endian data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/files.h"
#include "base/result.h"
#include "formats/dtype.h"

namespace genflow::formats {

struct SafetensorsTensor {
  std::string name;
  std::string dtype;  // "F32", "BF16", "I64", ... as in the header
  std::vector<int64_t> shape;
  uint64_t elements = 0;
  const std::byte* data = nullptr;  // into the map
  uint64_t bytes = 0;
};

// One file, or the shards that a model.safetensors.index.json names.
class SafetensorsFile {
 public:
  // `path`: a .safetensors file, or a .safetensors.index.json with its shards beside it.
  // Checked as the reference library does: header at most 100 MB, no duplicate names, offsets without gaps
  // or overlaps that end at the end of the file, sizes that fit shape and type.
  static Result<SafetensorsFile> Open(const std::filesystem::path& path);

  const std::vector<SafetensorsTensor>& tensors() const { return tensors_; }
  const SafetensorsTensor* Find(std::string_view name) const;
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

 private:
  Status AddFile(const std::filesystem::path& path);

  std::vector<std::shared_ptr<const MappedFile>> maps_;
  std::vector<SafetensorsTensor> tensors_;
  std::unordered_map<std::string, size_t> names_;
  std::map<std::string, std::string> metadata_;
};

// Collects names and shapes, then streams the data in the file's order: by element size, largest first,
// then by name, which is the order of Hugging Face's library. Same inputs, same bytes.
class SafetensorsWriter {
 public:
  void SetMetadata(std::string key, std::string value) { metadata_[std::move(key)] = std::move(value); }
  void AddTensor(std::string name, std::vector<int64_t> shape, DType type);
  void AddBytes(std::string name, int64_t count);  // unsigned 8-bit numbers, [count]

  // Writes the header and returns the names in the order in which WriteTensor expects them.
  Result<std::vector<std::string>> Begin(const std::filesystem::path& path);
  Status WriteTensor(const void* data, size_t bytes);
  Status Finish();  // checks that every tensor came, syncs, closes

 private:
  struct Entry {
    std::string name;
    std::vector<int64_t> shape;
    std::string tag;  // of the element type
    int rank;         // its place in the file
    uint64_t bytes;
  };
  std::vector<Entry> entries_;
  std::map<std::string, std::string> metadata_{{"format", "pt"}};
  size_t next_ = 0;
  Fd fd_;
  std::filesystem::path path_;
};

// All tensors at once: a PEFT adapter, a checkpoint.
struct TensorView {
  std::string name;
  std::vector<int64_t> shape;
  DType type = DType::kF32;
  const void* data = nullptr;
  bool is_bytes = false;  // unsigned 8-bit numbers in one dimension, and not of `type`
};
Status WriteSafetensors(const std::filesystem::path& path, const std::vector<TensorView>& tensors,
                        const std::map<std::string, std::string>& metadata = {{"format", "pt"}});

}  // namespace genflow::formats
