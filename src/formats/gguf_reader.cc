#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "formats/gguf.h"

namespace genflow::formats {
namespace {

constexpr uint64_t kMaxEntries = 1u << 20;   // metadata keys, tensors
constexpr uint64_t kMaxElements = 1u << 26;  // of all arrays together
constexpr uint64_t kMaxNameBytes = 1u << 16;

enum GgufType : uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32Value = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64Value = 12,
};

// Smallest number of bytes that a value takes; 0 for an unknown type.
uint64_t MinBytes(uint32_t type) {
  switch (type) {
    case kU8:
    case kI8:
    case kBool:
      return 1;
    case kU16:
    case kI16:
      return 2;
    case kU32:
    case kI32:
    case kF32Value:
      return 4;
    case kString:
    case kU64:
    case kI64:
    case kF64Value:
      return 8;
    default:
      return 0;
  }
}

}  // namespace

// One pass over the header. Every read checks the bytes that are left.
class GgufParser {
 public:
  GgufParser(GgufFile* file, std::string_view bytes) : file_(*file), bytes_(bytes) {}

  Status Parse() {
    if (bytes_.size() < 4 || bytes_.substr(0, 4) != "GGUF") {
      return Corrupt("not a GGUF file: it does not start with 'GGUF'");
    }
    position_ = 4;
    GF_TRY(const uint32_t version, Number<uint32_t>("the version"));
    if ((version & 0xffff) == 0 && version != 0)
      return Corrupt("is a big-endian GGUF, which is not supported");
    if (version < 2 || version > 3) {
      return MakeError(Code::kUnsupported,
                       Name() + ": GGUF version " + std::to_string(version) + " is not supported",
                       "versions 2 and 3 are");
    }
    file_.version_ = version;
    GF_TRY(const uint64_t tensor_count, Number<uint64_t>("the number of tensors"));
    GF_TRY(const uint64_t key_count, Number<uint64_t>("the number of metadata keys"));
    if (tensor_count > kMaxEntries || key_count > kMaxEntries) {
      return Corrupt("claims " + std::to_string(tensor_count) + " tensors and " + std::to_string(key_count) +
                     " metadata keys, more than " + std::to_string(kMaxEntries));
    }
    for (uint64_t i = 0; i < key_count; ++i) GF_CHECK_OK(ParseKey(i));
    for (uint64_t i = 0; i < tensor_count; ++i) GF_CHECK_OK(ParseTensor(i));
    return PlaceTensors();
  }

 private:
  std::string Name() const { return file_.path_.string(); }
  Error Corrupt(const std::string& what) const { return MakeError(Code::kCorrupt, Name() + ": " + what); }
  Error Truncated(const std::string& what) const {
    return MakeError(Code::kCorrupt,
                     Name() + ": ends inside " + what + " (at byte " + std::to_string(position_) + " of " +
                         std::to_string(bytes_.size()) + ")",
                     "the file is truncated or malformed; fetch it again");
  }
  uint64_t left() const { return bytes_.size() - position_; }

  template <class T>
  Result<T> Number(const std::string& what) {
    if (left() < sizeof(T)) return Truncated(what);
    T value;
    std::memcpy(&value, bytes_.data() + position_, sizeof(T));
    position_ += sizeof(T);
    return value;
  }

  Result<std::string_view> Text(const std::string& what) {
    GF_TRY(const uint64_t length, Number<uint64_t>(what));
    if (length > left()) return Truncated(what);
    const std::string_view text = bytes_.substr(position_, length);
    position_ += length;
    return text;
  }

  Result<std::string> EntryName(const std::string& what) {
    GF_TRY(const std::string_view name, Text(what));
    if (name.empty()) return Corrupt(what + " is empty");
    if (name.size() > kMaxNameBytes) return Corrupt(what + " is longer than 65536 bytes");
    if (name.find('\0') != std::string_view::npos) return Corrupt(what + " holds a NUL byte");
    return std::string(name);
  }

  template <class T>
  Result<GgufValue> Integer(const std::string& what) {
    GF_TRY(const T value, Number<T>(what));
    if constexpr (std::is_same_v<T, uint64_t>) {
      if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return GgufValue(value);
    }
    return GgufValue(static_cast<int64_t>(value));
  }

  Result<GgufValue> Value(uint32_t type, const std::string& what) {
    switch (type) {
      case kU8:
        return Integer<uint8_t>(what);
      case kI8:
        return Integer<int8_t>(what);
      case kU16:
        return Integer<uint16_t>(what);
      case kI16:
        return Integer<int16_t>(what);
      case kU32:
        return Integer<uint32_t>(what);
      case kI32:
        return Integer<int32_t>(what);
      case kU64:
        return Integer<uint64_t>(what);
      case kI64:
        return Integer<int64_t>(what);
      case kF32Value: {
        GF_TRY(const float value, Number<float>(what));
        return GgufValue(static_cast<double>(value));
      }
      case kF64Value: {
        GF_TRY(const double value, Number<double>(what));
        return GgufValue(value);
      }
      case kBool: {
        GF_TRY(const uint8_t value, Number<uint8_t>(what));
        return GgufValue(value != 0);
      }
      case kString: {
        GF_TRY(const std::string_view value, Text(what));
        return GgufValue(value);
      }
      case kArray:
        return Array(what);
      default:
        return Corrupt(what + " has unknown type " + std::to_string(type));
    }
  }

  Result<GgufValue> Array(const std::string& what) {
    GF_TRY(const uint32_t type, Number<uint32_t>(what));
    GF_TRY(const uint64_t count, Number<uint64_t>(what));
    const uint64_t width = MinBytes(type);
    if (width == 0) return Corrupt(what + " is an array of unsupported type " + std::to_string(type));
    if (count > left() / width) {
      return MakeError(Code::kCorrupt,
                       Name() + ": " + what + " claims " + std::to_string(count) +
                           " elements, more than the rest of the file holds",
                       "the file is truncated or malformed; fetch it again");
    }
    elements_ += count;
    if (elements_ > kMaxElements) return Corrupt("its metadata arrays hold more than 67108864 elements");
    if (type == kString) {
      std::vector<std::string_view> out;
      out.reserve(count);
      for (uint64_t i = 0; i < count; ++i) {
        GF_TRY(const std::string_view text, Text(what));
        out.push_back(text);
      }
      return GgufValue(GgufArray(std::move(out)));
    }
    if (type == kF32Value || type == kF64Value) return Elements<double>(type, count, what);
    if (type == kBool) return Elements<bool>(type, count, what);
    return Elements<int64_t>(type, count, what);
  }

  template <class T>
  Result<GgufValue> Elements(uint32_t type, uint64_t count, const std::string& what) {
    std::vector<T> out;
    out.reserve(count);
    for (uint64_t i = 0; i < count; ++i) {
      GF_TRY(const GgufValue value, Value(type, what));
      if (const T* element = std::get_if<T>(&value))
        out.push_back(*element);
      else
        return Corrupt(what + " holds an integer above 2^63");
    }
    return GgufValue(GgufArray(std::move(out)));
  }

  Status ParseKey(uint64_t index) {
    GF_TRY(std::string key, EntryName("the name of metadata key " + std::to_string(index)));
    const std::string what = "metadata key '" + key + "'";
    const uint64_t begin = position_;
    GF_TRY(const uint32_t type, Number<uint32_t>(what));
    GF_TRY(GgufValue value, Value(type, what));
    if (!file_.keys_.emplace(key, file_.metadata_.size()).second) return Corrupt(what + " is given twice");
    file_.metadata_.emplace_back(std::move(key), std::move(value));
    file_.encoded_.push_back(bytes_.substr(begin, position_ - begin));
    return Ok();
  }

  Status ParseTensor(uint64_t index) {
    GgufTensor tensor;
    GF_TRY(tensor.name, EntryName("the name of tensor " + std::to_string(index)));
    const std::string what = "tensor '" + tensor.name + "'";
    GF_TRY(const uint32_t dimensions, Number<uint32_t>(what));
    if (dimensions < 1 || dimensions > 4) {
      return Corrupt(what + " has " + std::to_string(dimensions) + " dimensions, not 1 to 4");
    }
    tensor.elements = 1;
    for (uint32_t i = 0; i < dimensions; ++i) {
      GF_TRY(const uint64_t size, Number<uint64_t>(what));
      if (__builtin_mul_overflow(tensor.elements, size, &tensor.elements) || tensor.elements > (1ull << 62)) {
        return Corrupt(what + " has a shape that overflows");
      }
      tensor.shape.insert(tensor.shape.begin(), static_cast<int64_t>(size));
    }
    if (tensor.elements == 0) return Corrupt(what + " has no elements");
    GF_TRY(tensor.type, Number<int32_t>(what));
    GF_TRY(const uint64_t offset, Number<uint64_t>(what));
    const auto columns = static_cast<uint64_t>(tensor.shape.back());
    auto row_bytes = GgmlRowBytes(tensor.type, columns);
    if (!row_bytes.ok()) {
      Error error = row_bytes.error();
      error.message = Name() + ": " + what + ": " + error.message;
      return error;
    }
    if (__builtin_mul_overflow(*row_bytes, tensor.elements / columns, &tensor.bytes)) {
      return Corrupt(what + " has a size that overflows");
    }
    if (!file_.tensor_names_.emplace(tensor.name, file_.tensors_.size()).second) {
      return Corrupt(what + " is given twice");
    }
    offsets_.push_back(offset);
    file_.tensors_.push_back(std::move(tensor));
    return Ok();
  }

  // Turns offsets into pointers, having checked alignment, bounds and overlaps.
  Status PlaceTensors() {
    uint64_t alignment = 32;
    if (const GgufValue* value = file_.Find("general.alignment")) {
      const auto* number = std::get_if<int64_t>(value);
      if (number == nullptr || *number < 8 || *number > (1 << 20) ||
          !std::has_single_bit(static_cast<uint64_t>(*number))) {
        return Corrupt("metadata key 'general.alignment' is not a power of two from 8 to 1048576");
      }
      alignment = static_cast<uint64_t>(*number);
    }
    if (file_.tensors_.empty()) return Ok();
    const uint64_t start = (position_ + alignment - 1) / alignment * alignment;
    const uint64_t size = bytes_.size();
    for (size_t i = 0; i < file_.tensors_.size(); ++i) {
      GgufTensor& tensor = file_.tensors_[i];
      const std::string what = "tensor '" + tensor.name + "'";
      if (offsets_[i] % alignment != 0) {
        return Corrupt(what + " starts at offset " + std::to_string(offsets_[i]) + ", not a multiple of " +
                       std::to_string(alignment));
      }
      if (start > size || offsets_[i] > size - start || tensor.bytes > size - start - offsets_[i]) {
        return MakeError(Code::kCorrupt,
                         Name() + ": " + what + " needs " + std::to_string(tensor.bytes) +
                             " bytes at offset " + std::to_string(offsets_[i]) +
                             " of the data, but the file has " +
                             std::to_string(start > size ? 0 : size - start) + " bytes of data",
                         "the file is truncated or malformed; fetch it again");
      }
      tensor.data = reinterpret_cast<const std::byte*>(bytes_.data()) + start + offsets_[i];
    }
    std::vector<const GgufTensor*> order;
    for (const auto& tensor : file_.tensors_) order.push_back(&tensor);
    std::sort(order.begin(), order.end(), [](auto* a, auto* b) { return a->data < b->data; });
    for (size_t i = 1; i < order.size(); ++i) {
      if (order[i - 1]->data + order[i - 1]->bytes > order[i]->data) {
        return Corrupt("tensors '" + order[i - 1]->name + "' and '" + order[i]->name + "' overlap");
      }
    }
    return Ok();
  }

  GgufFile& file_;
  std::string_view bytes_;
  uint64_t position_ = 0;
  uint64_t elements_ = 0;
  std::vector<uint64_t> offsets_;
};

Result<GgufFile> GgufFile::Open(const std::filesystem::path& path) {
  GF_TRY(MappedFile map, MappedFile::Open(path));
  GgufFile file;
  file.path_ = path;
  file.map_ = std::make_shared<const MappedFile>(std::move(map));
  GF_CHECK_OK(GgufParser(&file, file.map_->text()).Parse());
  return file;
}

const GgufValue* GgufFile::Find(std::string_view key) const {
  const auto it = keys_.find(std::string(key));
  return it == keys_.end() ? nullptr : &metadata_[it->second].second;
}

std::string_view GgufFile::Encoded(std::string_view key) const {
  const auto it = keys_.find(std::string(key));
  return it == keys_.end() ? std::string_view() : encoded_[it->second];
}

std::optional<std::string_view> GgufFile::String(std::string_view key) const {
  const GgufValue* value = Find(key);
  const auto* text = value == nullptr ? nullptr : std::get_if<std::string_view>(value);
  return text == nullptr ? std::nullopt : std::optional(*text);
}

std::optional<int64_t> GgufFile::Int(std::string_view key) const {
  const GgufValue* value = Find(key);
  const auto* number = value == nullptr ? nullptr : std::get_if<int64_t>(value);
  return number == nullptr ? std::nullopt : std::optional(*number);
}

std::optional<double> GgufFile::Float(std::string_view key) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) return std::nullopt;
  if (const auto* number = std::get_if<double>(value)) return *number;
  if (const auto* number = std::get_if<int64_t>(value)) return static_cast<double>(*number);
  return std::nullopt;
}

std::optional<bool> GgufFile::Bool(std::string_view key) const {
  const GgufValue* value = Find(key);
  const auto* flag = value == nullptr ? nullptr : std::get_if<bool>(value);
  return flag == nullptr ? std::nullopt : std::optional(*flag);
}

namespace {
template <class T>
const std::vector<T>* ArrayOf(const GgufValue* value) {
  const auto* array = value == nullptr ? nullptr : std::get_if<GgufArray>(value);
  return array == nullptr ? nullptr : std::get_if<std::vector<T>>(array);
}
}  // namespace

const std::vector<std::string_view>* GgufFile::Strings(std::string_view key) const {
  return ArrayOf<std::string_view>(Find(key));
}
const std::vector<int64_t>* GgufFile::Ints(std::string_view key) const { return ArrayOf<int64_t>(Find(key)); }
const std::vector<double>* GgufFile::Floats(std::string_view key) const { return ArrayOf<double>(Find(key)); }

const GgufTensor* GgufFile::FindTensor(std::string_view name) const {
  const auto it = tensor_names_.find(std::string(name));
  return it == tensor_names_.end() ? nullptr : &tensors_[it->second];
}

}  // namespace genflow::formats
