#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "formats/output_file.h"
#include "formats/safetensors.h"

namespace genflow::formats {
namespace {

// Place of a type in the file, as in Hugging Face's library.
int Rank(DType type) { return type == DType::kF32 ? 0 : type == DType::kBF16 ? 1 : 2; }
constexpr int kRankOfBytes = 3;

}  // namespace

void SafetensorsWriter::AddTensor(std::string name, std::vector<int64_t> shape, DType type) {
  uint64_t bytes = DTypeSize(type);
  for (const int64_t size : shape) bytes *= static_cast<uint64_t>(size);
  entries_.push_back({std::move(name), std::move(shape), DTypeTag(type), Rank(type), bytes});
}

void SafetensorsWriter::AddBytes(std::string name, int64_t count) {
  entries_.push_back({std::move(name), {count}, "U8", kRankOfBytes, static_cast<uint64_t>(count)});
}

Result<std::vector<std::string>> SafetensorsWriter::Begin(const std::filesystem::path& path) {
  path_ = path;
  std::sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) {
    return a.rank != b.rank ? a.rank < b.rank : a.name < b.name;
  });
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata_.empty()) header["__metadata__"] = metadata_;
  std::vector<std::string> order;
  uint64_t offset = 0;
  for (const auto& entry : entries_) {
    if (header.contains(entry.name)) {
      return MakeError(Code::kInternal, path.string() + ": tensor '" + entry.name + "' was added twice");
    }
    nlohmann::ordered_json item;
    item["dtype"] = entry.tag;
    item["shape"] = entry.shape;
    item["data_offsets"] = {offset, offset + entry.bytes};
    header[entry.name] = std::move(item);
    offset += entry.bytes;
    order.push_back(entry.name);
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const nlohmann::json::exception&) {
    return InvalidError(path.string() + ": a tensor name or metadata value is not UTF-8");
  }
  text.append((8 - text.size() % 8) % 8, ' ');
  const uint64_t size = text.size();
  char length[8];
  std::memcpy(length, &size, 8);
  GF_TRY(fd_, CreateOutput(path));
  GF_CHECK_OK(WriteAll(fd_.get(), path_, std::string(length, 8) + text));
  return order;
}

Status SafetensorsWriter::WriteTensor(const void* data, size_t bytes) {
  GF_CHECK_OK(NextTensor(entries_, &next_, bytes, path_));
  return WriteAll(fd_.get(), path_, {static_cast<const char*>(data), bytes});
}

Status SafetensorsWriter::Finish() { return Close(&fd_, path_, entries_, next_); }

Status WriteSafetensors(const std::filesystem::path& path, const std::vector<TensorView>& tensors,
                        const std::map<std::string, std::string>& metadata) {
  SafetensorsWriter writer;
  for (const auto& [key, value] : metadata) writer.SetMetadata(key, value);
  std::unordered_map<std::string_view, const TensorView*> by_name;
  for (const auto& tensor : tensors) {
    if (tensor.is_bytes) {
      writer.AddBytes(tensor.name, tensor.shape.at(0));
    } else {
      writer.AddTensor(tensor.name, tensor.shape, tensor.type);
    }
    by_name[tensor.name] = &tensor;
  }
  GF_TRY(const std::vector<std::string> order, writer.Begin(path));
  for (const auto& name : order) {
    const TensorView& tensor = *by_name[name];
    uint64_t bytes = tensor.is_bytes ? 1 : DTypeSize(tensor.type);
    for (const int64_t size : tensor.shape) bytes *= static_cast<uint64_t>(size);
    GF_CHECK_OK(writer.WriteTensor(tensor.data, bytes));
  }
  return writer.Finish();
}

}  // namespace genflow::formats
