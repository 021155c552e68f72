// Files of gguf-py: tests/parity/make_formats_fixtures.py.
#include "formats/gguf.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>

#include "base/files.h"
#include "testing/scratch.h"

namespace genflow::formats {
namespace {

const std::string kTiny = GENFLOW_SOURCE_DIR "/tests/parity/fixtures/formats/tiny_llama.gguf";

// Builds a header byte by byte.
class Bytes {
 public:
  template <class T>
  Bytes& Put(T value) {
    text_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  Bytes& Text(std::string_view text) {
    Put<uint64_t>(text.size());
    text_ += text;
    return *this;
  }
  Bytes& Raw(std::string_view text) {
    text_ += text;
    return *this;
  }
  Bytes& Head(uint64_t tensors, uint64_t keys, uint32_t version = 3) {
    return Raw("GGUF").Put(version).Put(tensors).Put(keys);
  }
  Bytes& Tensor(std::string_view name, std::vector<uint64_t> sizes, uint32_t type, uint64_t offset) {
    Text(name).Put(static_cast<uint32_t>(sizes.size()));
    for (const uint64_t size : sizes) Put(size);
    return Put(type).Put(offset);
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

std::string OpenError(const std::string& bytes) {
  const ScratchFolder scratch;
  const std::string path = scratch / "case.gguf";
  std::ofstream(path, std::ios::binary) << bytes;
  const auto file = GgufFile::Open(path);
  if (file.ok()) return "opened";
  EXPECT_TRUE(file.error().message.starts_with(path + ": ")) << file.error().message;
  return file.error().message.substr(path.size() + 2);
}

TEST(Gguf, ReadsMetadataAndTensors) {
  const auto file = GgufFile::Open(kTiny);
  ASSERT_TRUE(file.ok()) << file.error().ToString();
  EXPECT_EQ(file->version(), 3u);
  EXPECT_EQ(file->String("general.architecture"), "llama");
  EXPECT_EQ(file->Int("llama.block_count"), 2);
  EXPECT_EQ(file->Float("llama.rope.freq_base"), 10000.0);
  EXPECT_EQ(file->Float("llama.block_count"), 2.0);
  EXPECT_EQ(file->Int("general.architecture"), std::nullopt);
  EXPECT_EQ(file->Find("no.such.key"), nullptr);
  ASSERT_NE(file->Strings("tokenizer.ggml.tokens"), nullptr);
  EXPECT_EQ(file->Strings("tokenizer.ggml.tokens")->size(), 901u);
  EXPECT_EQ(file->Ints("tokenizer.ggml.token_type")->back(), 3);
  EXPECT_EQ(file->Floats("tokenizer.ggml.token_type"), nullptr);
  const GgufTensor* tensor = file->FindTensor("blk.0.attn_k.weight");
  ASSERT_NE(tensor, nullptr);
  EXPECT_EQ(tensor->shape, (std::vector<int64_t>{32, 64}));
  EXPECT_EQ(tensor->elements, 2048u);
  EXPECT_EQ(file->FindTensor("blk.9.attn_k.weight"), nullptr);
  EXPECT_EQ(file->tensors().size(), 20u);
}

// Cut at every byte of the first 600, then at steps through header and data: always an error, never a crash.
TEST(Gguf, TruncationAnywhereIsAnError) {
  const ScratchFolder scratch;
  const std::string path = scratch / "cut.gguf";
  std::filesystem::copy_file(kTiny, path);
  constexpr size_t kHeader = 30000;  // a little more than its size
  for (size_t size = std::filesystem::file_size(path) - 1;; size -= size <= 600       ? 1
                                                                    : size <= kHeader ? 97
                                                                                      : 5003) {
    std::filesystem::resize_file(path, size);
    const auto file = GgufFile::Open(path);
    ASSERT_FALSE(file.ok()) << size;
    EXPECT_EQ(file.error().code, Code::kCorrupt) << file.error().ToString();
    if (size == 0) break;
  }
}

// Where the map of a file with these bytes begins; its metadata has a text.
const std::byte* MapStart(const GgufFile& file, const std::string& bytes) {
  for (const auto& [key, value] : file.metadata()) {
    const auto* text = std::get_if<std::string_view>(&value);
    if (text == nullptr) continue;
    const size_t at = bytes.find(Bytes().Text(*text).text());
    if (at != std::string::npos) return reinterpret_cast<const std::byte*>(text->data()) - at - 8;
  }
  return nullptr;
}

// A damaged file is refused by name, or opens with every tensor inside it.
TEST(Gguf, DamagedBytesNeverCrash) {
  const std::string whole = ReadFile(kTiny).value();
  const ScratchFolder scratch;
  const std::string path = scratch / "damaged.gguf";
  constexpr size_t kHeader = 30000;  // a little more than its size
  uint32_t random = 3;
  int opened = 0;
  for (int i = 0; i < 150; ++i) {
    std::string changed = whole;
    for (int k = 0; k < 3; ++k) {
      random = random * 1664525u + 1013904223u;
      const size_t at = i % 3 == 0   ? random % 400
                        : i % 3 == 1 ? random % kHeader
                                     : kHeader + random % (whole.size() - kHeader);
      random = random * 1664525u + 1013904223u;
      changed[at] = static_cast<char>(random >> 24);
    }
    std::ofstream(path, std::ios::binary | std::ios::trunc) << changed;
    const auto file = GgufFile::Open(path);
    if (!file.ok()) {
      const Error& error = file.error();
      const bool unknown = error.message.starts_with(path + ": GGUF version ") ||
                           error.message.find(": GGML tensor type ") != std::string::npos;
      EXPECT_EQ(error.code, unknown ? Code::kUnsupported : Code::kCorrupt) << error.message;
      EXPECT_TRUE(error.message.starts_with(path + ": ")) << error.message;
      continue;
    }
    ++opened;
    const std::byte* start = MapStart(*file, changed);
    ASSERT_NE(start, nullptr);
    for (const auto& tensor : file->tensors()) {
      ASSERT_GE(tensor.data, start) << tensor.name;
      const auto at = static_cast<size_t>(tensor.data - start);
      ASSERT_LE(tensor.bytes, changed.size()) << tensor.name;
      ASSERT_LE(at, changed.size() - tensor.bytes) << tensor.name;
      EXPECT_EQ(std::memcmp(tensor.data, changed.data() + at, tensor.bytes), 0) << tensor.name;
    }
  }
  EXPECT_GE(opened, 50) << "damage to the data alone is not seen";
}

TEST(Gguf, HostileHeaders) {
  constexpr uint64_t kHuge = 1ull << 62;
  EXPECT_EQ(OpenError(""), "not a GGUF file: it does not start with 'GGUF'");
  EXPECT_EQ(OpenError("PK\x03\x04 something"), "not a GGUF file: it does not start with 'GGUF'");
  EXPECT_EQ(OpenError("GGUF"), "ends inside the version (at byte 4 of 4)");
  EXPECT_EQ(OpenError(Bytes().Head(0, 0, 1).text()), "GGUF version 1 is not supported");
  EXPECT_EQ(OpenError(Bytes().Head(0, 0, 9).text()), "GGUF version 9 is not supported");
  EXPECT_EQ(OpenError(Bytes().Head(0, 0, 0x03000000).text()), "is a big-endian GGUF, which is not supported");
  EXPECT_EQ(OpenError(Bytes().Head(kHuge, 0).text()),
            "claims 4611686018427387904 tensors and 0 metadata keys, more than 1048576");
  EXPECT_EQ(OpenError(Bytes().Head(0, 1).text()),
            "ends inside the name of metadata key 0 (at byte 24 of 24)");
  EXPECT_EQ(OpenError(Bytes().Head(0, 1).Put<uint64_t>(kHuge).Raw("abc").text()),
            "ends inside the name of metadata key 0 (at byte 32 of 35)");
  EXPECT_EQ(OpenError(Bytes().Head(0, 1).Text("").text()), "the name of metadata key 0 is empty");
  EXPECT_EQ(OpenError(Bytes().Head(0, 1).Text("k").Put<uint32_t>(99).text()),
            "metadata key 'k' has unknown type 99");
  EXPECT_EQ(OpenError(Bytes().Head(0, 1).Text("k").Put<uint32_t>(8).Put<uint64_t>(kHuge).text()),
            "ends inside metadata key 'k' (at byte 45 of 45)");
  EXPECT_EQ(
      OpenError(Bytes().Head(0, 1).Text("k").Put<uint32_t>(9).Put<uint32_t>(5).Put<uint64_t>(kHuge).text()),
      "metadata key 'k' claims 4611686018427387904 elements, more than the rest of the file holds");
  EXPECT_EQ(OpenError(Bytes().Head(0, 1).Text("k").Put<uint32_t>(9).Put<uint32_t>(9).Put<uint64_t>(1).text()),
            "metadata key 'k' is an array of unsupported type 9");
  EXPECT_EQ(OpenError(Bytes()
                          .Head(0, 2)
                          .Text("k")
                          .Put<uint32_t>(4)
                          .Put<uint32_t>(1)
                          .Text("k")
                          .Put<uint32_t>(4)
                          .Put<uint32_t>(1)
                          .text()),
            "metadata key 'k' is given twice");
  EXPECT_EQ(OpenError(Bytes()
                          .Head(1, 1)
                          .Text("general.alignment")
                          .Put<uint32_t>(4)
                          .Put<uint32_t>(24)
                          .Tensor("t", {32}, 0, 0)
                          .text()),
            "metadata key 'general.alignment' is not a power of two from 8 to 1048576");
}

TEST(Gguf, HostileTensors) {
  const std::string data(256, '\0');
  const auto one = [&](Bytes bytes) {
    return OpenError(bytes.text() + std::string((32 - bytes.text().size() % 32) % 32, '\0') + data);
  };
  constexpr uint64_t kHuge = 1ull << 40;
  EXPECT_EQ(one(Bytes().Head(1, 0).Tensor("t", {8, 8}, 0, 0)), "opened");
  EXPECT_EQ(one(Bytes().Head(1, 0).Tensor("t", {}, 0, 0)), "tensor 't' has 0 dimensions, not 1 to 4");
  EXPECT_EQ(one(Bytes().Head(1, 0).Tensor("t", {1, 1, 1, 1, 1}, 0, 0)),
            "tensor 't' has 5 dimensions, not 1 to 4");
  EXPECT_EQ(one(Bytes().Head(1, 0).Tensor("t", {8, 0}, 0, 0)), "tensor 't' has no elements");
  EXPECT_EQ(one(Bytes().Head(1, 0).Tensor("t", {kHuge, kHuge}, 0, 0)),
            "tensor 't' has a shape that overflows");
  EXPECT_EQ(one(Bytes().Head(1, 0).Tensor("t", {~0ull}, 0, 0)), "tensor 't' has a shape that overflows");
  EXPECT_EQ(one(Bytes().Head(1, 0).Tensor("t", {1ull << 61}, 0, 0)),
            "tensor 't' needs 9223372036854775808 bytes at offset 0 of the data, but the file has 256 bytes "
            "of data");
  EXPECT_EQ(one(Bytes().Head(1, 0).Tensor("t", {8}, 1234, 0)),
            "tensor 't': GGML tensor type 1234 is unknown");
  EXPECT_EQ(one(Bytes().Head(1, 0).Tensor("t", {8}, 4, 0)), "tensor 't': GGML tensor type 4 is unknown");
  EXPECT_EQ(one(Bytes().Head(1, 0).Tensor("t", {33}, 2, 0)),
            "tensor 't': a row of 33 elements is not whole Q4_0 blocks of 32");
  EXPECT_EQ(one(Bytes().Head(1, 0).Tensor("t", {8}, 0, 12)),
            "tensor 't' starts at offset 12, not a multiple of 32");
  EXPECT_EQ(one(Bytes().Head(1, 0).Tensor("t", {8, 8}, 0, 32)),
            "tensor 't' needs 256 bytes at offset 32 of the data, but the file has 256 bytes of data");
  EXPECT_EQ(one(Bytes().Head(1, 0).Tensor("t", {8}, 0, ~31ull)),
            "tensor 't' needs 32 bytes at offset 18446744073709551584 of the data, but the file has 256 "
            "bytes of data");
  EXPECT_EQ(one(Bytes().Head(2, 0).Tensor("a", {8, 2}, 0, 0).Tensor("b", {8}, 0, 32)),
            "tensors 'a' and 'b' overlap");
  EXPECT_EQ(one(Bytes().Head(2, 0).Tensor("a", {8}, 0, 0).Tensor("a", {8}, 0, 32)),
            "tensor 'a' is given twice");
}

TEST(Gguf, WriterChecksWhatItIsGiven) {
  const ScratchFolder scratch;
  const std::string path = scratch / "half.gguf";
  GgufWriter writer;
  writer.AddTensor("v", {3}, GgmlType::kF32);
  writer.AddTensor("m", {2, 5}, GgmlType::kF16);
  const float v[] = {1, 2, 3, 4, 5};
  ASSERT_TRUE(writer.Begin(path).ok());
  ASSERT_TRUE(writer.WriteTensor(v, 12).ok());
  EXPECT_EQ(writer.Finish().error().message, path + ": tensor 'm' was not written");
  EXPECT_EQ(writer.WriteTensor(v, 4).error().message, path + ": tensor 'm' has 4 bytes, not 20");
  EXPECT_EQ(writer.WriteTensor(v, 20).error().message, path + ": more tensors than were declared");
}

TEST(Gguf, WritesWhatItReads) {
  const ScratchFolder scratch;
  const std::string path = scratch / "written.gguf";
  GgufWriter writer;
  writer.Set("text", "v\xc3\xa9");
  writer.Set("flag", true);
  writer.SetStrings("list", {"a", "", "c"});
  writer.AddTensor("v", {3}, GgmlType::kF32);
  writer.AddTensor("m", {2, 5}, GgmlType::kF16);
  const float v[] = {1, 2, 3};
  const uint16_t m[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  ASSERT_TRUE(writer.Begin(path).ok());
  ASSERT_TRUE(writer.WriteTensor(v, sizeof v).ok());
  ASSERT_TRUE(writer.WriteTensor(m, sizeof m).ok());
  ASSERT_TRUE(writer.Finish().ok());
  const auto file = GgufFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.error().ToString();
  EXPECT_EQ(file->String("text"), "v\xc3\xa9");
  EXPECT_EQ(file->Bool("flag"), true);
  EXPECT_EQ(*file->Strings("list"), (std::vector<std::string_view>{"a", "", "c"}));
  EXPECT_EQ(file->FindTensor("m")->shape, (std::vector<int64_t>{2, 5}));
  EXPECT_EQ(std::memcmp(file->FindTensor("m")->data, m, sizeof m), 0);
  EXPECT_EQ(std::memcmp(file->FindTensor("v")->data, v, sizeof v), 0);
}

}  // namespace
}  // namespace genflow::formats
