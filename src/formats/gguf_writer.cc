#include <cstring>

#include "formats/gguf.h"
#include "formats/output_file.h"

namespace genflow::formats {
namespace {

constexpr uint64_t kAlignment = 32;

template <class T>
void Put(std::string* out, T value) {
  char bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof(T));
  out->append(bytes, sizeof(T));
}

void PutText(std::string* out, std::string_view text) {
  Put<uint64_t>(out, text.size());
  out->append(text);
}

uint64_t Padding(uint64_t size) { return (kAlignment - size % kAlignment) % kAlignment; }

}  // namespace

void GgufWriter::Set(std::string key, std::string_view value) {
  PutText(&meta_, key);
  Put<uint32_t>(&meta_, 8);
  PutText(&meta_, value);
  ++meta_count_;
}

void GgufWriter::Set(std::string key, bool value) {
  PutText(&meta_, key);
  Put<uint32_t>(&meta_, 7);
  Put<uint8_t>(&meta_, value ? 1 : 0);
  ++meta_count_;
}

void GgufWriter::SetU32(std::string key, uint32_t value) {
  PutText(&meta_, key);
  Put<uint32_t>(&meta_, 4);
  Put(&meta_, value);
  ++meta_count_;
}

void GgufWriter::SetF32(std::string key, float value) {
  PutText(&meta_, key);
  Put<uint32_t>(&meta_, 6);
  Put(&meta_, value);
  ++meta_count_;
}

void GgufWriter::SetStrings(std::string key, const std::vector<std::string>& values) {
  PutText(&meta_, key);
  Put<uint32_t>(&meta_, 9);
  Put<uint32_t>(&meta_, 8);
  Put<uint64_t>(&meta_, values.size());
  for (const auto& value : values) PutText(&meta_, value);
  ++meta_count_;
}

void GgufWriter::SetInts(std::string key, const std::vector<int32_t>& values) {
  PutText(&meta_, key);
  Put<uint32_t>(&meta_, 9);
  Put<uint32_t>(&meta_, 5);
  Put<uint64_t>(&meta_, values.size());
  for (const int32_t value : values) Put(&meta_, value);
  ++meta_count_;
}

void GgufWriter::Copy(const GgufFile& from, const std::string& key) {
  const std::string_view value = from.Encoded(key);
  if (value.empty()) return;
  PutText(&meta_, key);
  meta_.append(value);
  ++meta_count_;
}

void GgufWriter::AddTensor(std::string name, std::vector<int64_t> shape, int32_t type) {
  uint64_t rows = 1;
  for (size_t i = 0; i + 1 < shape.size(); ++i) rows *= static_cast<uint64_t>(shape[i]);
  const uint64_t bytes = rows * GgmlRowBytes(type, static_cast<uint64_t>(shape.back())).value();
  uint64_t offset = 0;
  if (!entries_.empty()) {
    const uint64_t end = entries_.back().offset + entries_.back().bytes;
    offset = end + Padding(end);
  }
  entries_.push_back({std::move(name), std::move(shape), type, offset, bytes});
}

Status GgufWriter::Begin(const std::filesystem::path& path) {
  path_ = path;
  GF_TRY(fd_, CreateOutput(path));
  std::string header = "GGUF";
  Put<uint32_t>(&header, 3);
  Put<uint64_t>(&header, entries_.size());
  Put<uint64_t>(&header, meta_count_);
  header += meta_;
  for (const auto& entry : entries_) {
    PutText(&header, entry.name);
    Put<uint32_t>(&header, static_cast<uint32_t>(entry.shape.size()));
    for (auto it = entry.shape.rbegin(); it != entry.shape.rend(); ++it)
      Put<uint64_t>(&header, static_cast<uint64_t>(*it));
    Put<int32_t>(&header, entry.type);
    Put<uint64_t>(&header, entry.offset);
  }
  header.append(Padding(header.size()), '\0');
  return WriteAll(fd_.get(), path_, header);
}

Status GgufWriter::WriteTensor(const void* data, size_t bytes) {
  GF_CHECK_OK(NextTensor(entries_, &next_, bytes, path_));
  GF_CHECK_OK(WriteAll(fd_.get(), path_, {static_cast<const char*>(data), bytes}));
  return WriteAll(fd_.get(), path_, std::string(Padding(bytes), '\0'));
}

Status GgufWriter::Finish() { return Close(&fd_, path_, entries_, next_); }

}  // namespace genflow::formats
