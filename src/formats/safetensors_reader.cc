#include <algorithm>
#include <cstring>
#include <set>

#include "formats/json_text.h"
#include "formats/safetensors.h"

namespace genflow::formats {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxHeaderBytes = 100'000'000;
constexpr const char* kFetchAgain = "the file is truncated or malformed; fetch it again";

// Bits of one element; 0 for an unknown type.
uint64_t ElementBits(std::string_view dtype) {
  static constexpr std::pair<std::string_view, uint64_t> kBits[] = {
      {"BOOL", 8}, {"U8", 8},   {"I8", 8},    {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"I16", 16},
      {"U16", 16}, {"F16", 16}, {"BF16", 16}, {"I32", 32},    {"U32", 32},    {"F32", 32},    {"C64", 64},
      {"F64", 64}, {"I64", 64}, {"U64", 64},  {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6}};
  for (const auto& [name, bits] : kBits) {
    if (name == dtype) return bits;
  }
  return 0;
}

// A non-negative JSON integer that fits int64.
bool ReadSize(const nlohmann::json& value, uint64_t* to) {
  if (!value.is_number_unsigned()) return false;
  *to = value.get<uint64_t>();
  return *to <= static_cast<uint64_t>(INT64_MAX);
}

// Reads one entry of the header; `data` is what follows the header.
Status ParseEntry(const std::string& file, const std::string& name, const nlohmann::json& entry,
                  std::string_view data, SafetensorsTensor* tensor, std::pair<uint64_t, uint64_t>* range) {
  const auto corrupt = [&](const std::string& what) {
    return MakeError(Code::kCorrupt, file + ": tensor '" + name + "' " + what);
  };
  tensor->name = name;
  if (!entry.is_object() || !entry.contains("dtype") || !entry["dtype"].is_string() ||
      !entry.contains("shape") || !entry["shape"].is_array() || !entry.contains("data_offsets") ||
      !entry["data_offsets"].is_array() || entry["data_offsets"].size() != 2) {
    return corrupt("lacks dtype, shape or data_offsets");
  }
  tensor->dtype = entry["dtype"].get<std::string>();
  const uint64_t bits = ElementBits(tensor->dtype);
  if (bits == 0) return corrupt("has unknown type '" + tensor->dtype + "'");
  tensor->elements = 1;
  for (const auto& size : entry["shape"]) {
    uint64_t number = 0;
    if (!ReadSize(size, &number)) return corrupt("has a shape that is not a list of sizes");
    if (__builtin_mul_overflow(tensor->elements, number, &tensor->elements))
      return corrupt("has a shape that overflows");
    tensor->shape.push_back(static_cast<int64_t>(number));
  }
  uint64_t total_bits = 0;
  if (__builtin_mul_overflow(tensor->elements, bits, &total_bits))
    return corrupt("has a shape that overflows");
  auto& [begin, end] = *range;
  if (!ReadSize(entry["data_offsets"][0], &begin) || !ReadSize(entry["data_offsets"][1], &end) ||
      begin > end) {
    return corrupt("has data_offsets that are not two increasing sizes");
  }
  if (end > data.size()) {
    return MakeError(Code::kCorrupt,
                     file + ": tensor '" + name + "' ends at byte " + std::to_string(end) +
                         " of the data, but the file has " + std::to_string(data.size()) + " bytes of data",
                     kFetchAgain);
  }
  tensor->bytes = end - begin;
  if (total_bits % 8 != 0 || total_bits / 8 != tensor->bytes) {
    return corrupt("takes " + std::to_string(tensor->bytes) + " bytes, not the " +
                   std::to_string(total_bits / 8) + " of its shape and type");
  }
  tensor->data = reinterpret_cast<const std::byte*>(data.data()) + begin;
  return Ok();
}

}  // namespace

Status SafetensorsFile::AddFile(const fs::path& path) {
  GF_TRY(MappedFile opened, MappedFile::Open(path));
  const auto map = std::make_shared<const MappedFile>(std::move(opened));
  const std::string file = path.string();
  const std::string_view bytes = map->text();
  if (bytes.size() < 8) {
    return MakeError(
        Code::kCorrupt,
        file + ": has " + std::to_string(bytes.size()) + " bytes, too few for a safetensors header",
        kFetchAgain);
  }
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, bytes.data(), 8);
  if (header_bytes > kMaxHeaderBytes) {
    return MakeError(
        Code::kCorrupt,
        file + ": claims a header of " + std::to_string(header_bytes) + " bytes, more than 100 MB",
        "is it a safetensors file?");
  }
  if (header_bytes > bytes.size() - 8) {
    return MakeError(Code::kCorrupt,
                     file + ": ends inside its header of " + std::to_string(header_bytes) + " bytes",
                     kFetchAgain);
  }
  const std::string_view text = bytes.substr(8, header_bytes);
  if (text.empty() || text[0] != '{')
    return MakeError(Code::kCorrupt, file + ": its header does not start with '{'");
  GF_TRY(const nlohmann::json header, ParseJson(text, file, {.max_depth = 4, .unique_keys = true}));
  const std::string_view data = bytes.substr(8 + header_bytes);

  std::vector<std::pair<std::pair<uint64_t, uint64_t>, SafetensorsTensor>> found;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") {
      if (!entry.is_object()) return MakeError(Code::kCorrupt, file + ": __metadata__ is not an object");
      for (const auto& [key, value] : entry.items()) {
        if (!value.is_string())
          return MakeError(Code::kCorrupt, file + ": __metadata__ holds a value that is not text");
        metadata_[key] = value.get<std::string>();
      }
      continue;
    }
    auto& [range, tensor] = found.emplace_back();
    GF_CHECK_OK(ParseEntry(file, name, entry, data, &tensor, &range));
  }
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first < b.first : a.second.name < b.second.name;
  });
  uint64_t position = 0;
  for (auto& [range, tensor] : found) {
    if (range.first != position) {
      return MakeError(Code::kCorrupt, file + ": tensor '" + tensor.name + "' starts at byte " +
                                           std::to_string(range.first) + " of the data, not at " +
                                           std::to_string(position) + " where the one before it ends");
    }
    position = range.second;
    if (!names_.emplace(tensor.name, tensors_.size()).second) {
      return MakeError(Code::kCorrupt, file + ": tensor '" + tensor.name + "' is also in another shard");
    }
    tensors_.push_back(std::move(tensor));
  }
  if (position != data.size()) {
    return MakeError(Code::kCorrupt, file + ": has " + std::to_string(data.size()) +
                                         " bytes of data, but its tensors take " + std::to_string(position));
  }
  maps_.push_back(map);
  return Ok();
}

Result<SafetensorsFile> SafetensorsFile::Open(const fs::path& path) {
  SafetensorsFile file;
  if (path.extension() != ".json") {
    GF_CHECK_OK(file.AddFile(path));
    return file;
  }
  GF_TRY(const nlohmann::json index, ReadJsonFile(path, {.max_depth = 8}));
  if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object()) {
    return MakeError(Code::kCorrupt, path.string() + ": has no 'weight_map' object");
  }
  std::set<std::string> shards;
  for (const auto& [name, shard] : index["weight_map"].items()) {
    const std::string text = shard.is_string() ? shard.get<std::string>() : "";
    if (text.empty() || text.find('/') != std::string::npos || text == "." || text == "..") {
      return MakeError(Code::kCorrupt,
                       path.string() + ": the shard of '" + name + "' is not a plain file name");
    }
    shards.insert(text);
  }
  for (const auto& shard : shards) GF_CHECK_OK(file.AddFile(path.parent_path() / shard));
  for (const auto& [name, shard] : index["weight_map"].items()) {
    if (file.Find(name) == nullptr) {
      return MakeError(Code::kCorrupt,
                       path.string() + ": tensor '" + name + "' is not in " + shard.get<std::string>());
    }
  }
  return file;
}

const SafetensorsTensor* SafetensorsFile::Find(std::string_view name) const {
  const auto it = names_.find(std::string(name));
  return it == names_.end() ? nullptr : &tensors_[it->second];
}

}  // namespace genflow::formats
