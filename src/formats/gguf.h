// GGUF files: metadata and tensors, read through a memory map and written in one stream.
// The header is parsed here with every length checked against the file, because the reference parser
// aborts the process on some malformed files; block layouts and dequantisation come from ggml.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "base/files.h"
#include "base/result.h"
#include "formats/dtype.h"

namespace genflow::formats {

// Numbers of every width and sign arrive as int64, uint64 (only when above INT64_MAX) or double.
using GgufArray =
    std::variant<std::vector<int64_t>, std::vector<double>, std::vector<bool>, std::vector<std::string_view>>;
using GgufValue = std::variant<int64_t, uint64_t, double, bool, std::string_view, GgufArray>;

struct GgufTensor {
  std::string name;
  int32_t type = 0;            // enum ggml_type
  std::vector<int64_t> shape;  // outermost first, as Hugging Face prints it: {rows, columns}
  uint64_t elements = 0;
  const std::byte* data = nullptr;  // into the map
  uint64_t bytes = 0;
};

// "F32", "Q4_1", ...
std::string GgmlTypeName(int32_t type);

class GgufFile {
 public:
  // Every offset and length is checked: a truncated or malformed file is kCorrupt and says where.
  static Result<GgufFile> Open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  uint32_t version() const { return version_; }

  // Metadata. Views point into the map and live as long as this object or a copy of it.
  const std::vector<std::pair<std::string, GgufValue>>& metadata() const { return metadata_; }
  const GgufValue* Find(std::string_view key) const;
  // The bytes of its type and value in the file; "" without the key.
  std::string_view Encoded(std::string_view key) const;
  std::optional<std::string_view> String(std::string_view key) const;
  std::optional<int64_t> Int(std::string_view key) const;
  std::optional<double> Float(std::string_view key) const;  // also of integers
  std::optional<bool> Bool(std::string_view key) const;
  const std::vector<std::string_view>* Strings(std::string_view key) const;
  const std::vector<int64_t>* Ints(std::string_view key) const;
  const std::vector<double>* Floats(std::string_view key) const;

  const std::vector<GgufTensor>& tensors() const { return tensors_; }
  const GgufTensor* FindTensor(std::string_view name) const;

 private:
  friend class GgufParser;
  std::filesystem::path path_;
  std::shared_ptr<const MappedFile> map_;
  uint32_t version_ = 0;
  std::vector<std::pair<std::string, GgufValue>> metadata_;
  std::unordered_map<std::string, size_t> keys_;
  std::vector<std::string_view> encoded_;  // beside metadata_
  std::vector<GgufTensor> tensors_;
  std::unordered_map<std::string, size_t> tensor_names_;
};

// Dequantises `rows` rows of `columns` elements of a ggml type into f32. Thread-safe.
Status DequantizeRows(int32_t type, const std::byte* data, uint64_t rows, uint64_t columns, float* to);
// Bytes of one row of `columns` elements, or an error when the type is unknown or `columns` is not whole
// blocks.
Result<uint64_t> GgmlRowBytes(int32_t type, uint64_t columns);
// Whether a ggml type holds blocks of rounded numbers, and not F32, F16 or BF16.
bool IsQuantized(int32_t type);
// Rounds `rows` rows of `columns` finite f32 numbers to a type of GgmlType, with ggml's own rounding. A NaN
// or an infinity is kInvalid for a quantised type. Thread-safe.
Status QuantizeRows(int32_t type, const float* from, uint64_t rows, uint64_t columns, std::byte* to);

// The ggml types that are written; the numbers are ggml's and the file format's.
struct GgmlType {
  static constexpr int32_t kF32 = 0, kF16 = 1, kQ5_0 = 6, kQ5_1 = 7, kQ8_0 = 8, kQ4_K = 12, kQ5_K = 13,
                           kQ6_K = 14, kBF16 = 30;
};

// Collects metadata and tensor shapes, then streams tensor bytes in the declared order.
class GgufWriter {
 public:
  void Set(std::string key, std::string_view value);
  void Set(std::string key, const char* value) { Set(std::move(key), std::string_view(value)); }
  void Set(std::string key, bool value);
  void SetU32(std::string key, uint32_t value);
  void SetF32(std::string key, float value);
  void SetStrings(std::string key, const std::vector<std::string>& values);
  void SetInts(std::string key, const std::vector<int32_t>& values);
  // A key as another file has it.
  void Copy(const GgufFile& from, const std::string& key);
  // `shape` is outermost first, `type` one of GgmlType whose blocks its rows are whole of.
  void AddTensor(std::string name, std::vector<int64_t> shape, int32_t type);

  // Writes the header. Then one WriteTensor for each AddTensor, in order, then Finish.
  Status Begin(const std::filesystem::path& path);
  Status WriteTensor(const void* data, size_t bytes);
  Status Finish();  // checks that every tensor came, syncs, closes

 private:
  struct Entry {
    std::string name;
    std::vector<int64_t> shape;
    int32_t type;
    uint64_t offset, bytes;
  };
  std::string meta_;
  uint64_t meta_count_ = 0;
  std::vector<Entry> entries_;
  size_t next_ = 0;
  Fd fd_;
  std::filesystem::path path_;
};

}  // namespace genflow::formats
