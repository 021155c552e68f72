// Files of Hugging Face's library: tests/parity/make_formats_fixtures.py.
#include "formats/safetensors.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>

#include "base/files.h"
#include "testing/scratch.h"

namespace genflow::formats {
namespace {

const std::string kFixtures = GENFLOW_SOURCE_DIR "/tests/parity/fixtures/formats/";

std::string File(const std::string& header, const std::string& data = "", uint64_t claimed = 0) {
  const uint64_t size = claimed != 0 ? claimed : header.size();
  return std::string(reinterpret_cast<const char*>(&size), 8) + header + data;
}

std::string OpenError(const std::string& bytes) {
  const ScratchFolder scratch;
  const std::string path = scratch / "case.safetensors";
  std::ofstream(path, std::ios::binary) << bytes;
  const auto file = SafetensorsFile::Open(path);
  if (file.ok()) return "opened";
  EXPECT_EQ(file.error().code, Code::kCorrupt);
  EXPECT_TRUE(file.error().message.starts_with(path + ": ")) << file.error().message;
  return file.error().message.substr(path.size() + 2);
}

TEST(Safetensors, WritesTheBytesOfTheReferenceLibrary) {
  const auto file = SafetensorsFile::Open(kFixtures + "mixed.safetensors");
  ASSERT_TRUE(file.ok()) << file.error().ToString();
  EXPECT_EQ(file->metadata().at("format"), "pt");
  std::vector<TensorView> tensors;
  for (const auto& tensor : file->tensors())
    tensors.push_back({tensor.name, tensor.shape, *ParseDType(tensor.dtype), tensor.data});
  std::swap(tensors.front(), tensors.back());
  const ScratchFolder scratch;
  const std::string path = scratch / "mixed.safetensors";
  ASSERT_TRUE(WriteSafetensors(path, tensors).ok());
  EXPECT_EQ(ReadFile(path).value(), ReadFile(kFixtures + "mixed.safetensors").value());
}

TEST(Safetensors, ReadsShards) {
  const auto file = SafetensorsFile::Open(kFixtures + "tiny_qwen2/model.safetensors.index.json");
  ASSERT_TRUE(file.ok()) << file.error().ToString();
  EXPECT_EQ(file->tensors().size(), 27u);
  const auto* tensor = file->Find("model.layers.1.mlp.up_proj.weight");
  ASSERT_NE(tensor, nullptr);
  EXPECT_EQ(tensor->dtype, "BF16");
  EXPECT_EQ(tensor->shape, (std::vector<int64_t>{48, 32}));
  EXPECT_EQ(file->Find("nothing"), nullptr);
}

TEST(Safetensors, TruncationAnywhereIsAnError) {
  const ScratchFolder scratch;
  const std::string path = scratch / "cut.safetensors";
  std::filesystem::copy_file(kFixtures + "mixed.safetensors", path);
  ASSERT_TRUE(SafetensorsFile::Open(path).ok());
  for (size_t size = std::filesystem::file_size(path); size-- > 0;) {
    std::filesystem::resize_file(path, size);
    const auto file = SafetensorsFile::Open(path);
    ASSERT_FALSE(file.ok()) << size;
    EXPECT_EQ(file.error().code, Code::kCorrupt);
  }
}

// A damaged file is refused by name (OpenError looks), or opens with tensors that take up all of its data.
TEST(Safetensors, DamagedBytesNeverCrash) {
  const std::string whole = ReadFile(kFixtures + "mixed.safetensors").value();
  const ScratchFolder scratch;
  const std::string path = scratch / "damaged.safetensors";
  uint64_t header = 0;
  std::memcpy(&header, whole.data(), 8);
  size_t refused = 0, opened = 0;
  for (size_t at = 0; at < whole.size(); ++at) {
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ (1 << (at % 8)));
    if (OpenError(changed) != "opened") {
      ++refused;
      EXPECT_LT(at, 8 + header) << "damage to the data alone is not seen";
      continue;
    }
    ++opened;
    std::ofstream(path, std::ios::binary | std::ios::trunc) << changed;
    const auto file = SafetensorsFile::Open(path);
    ASSERT_TRUE(file.ok());
    size_t done = 8 + header;
    for (const auto& tensor : file->tensors()) {
      ASSERT_LE(tensor.bytes, changed.size() - done) << tensor.name;
      EXPECT_EQ(tensor.data, file->tensors()[0].data + (done - 8 - header)) << tensor.name;
      EXPECT_EQ(std::memcmp(tensor.data, changed.data() + done, tensor.bytes), 0) << tensor.name;
      done += tensor.bytes;
    }
    EXPECT_EQ(done, changed.size());
  }
  EXPECT_GT(refused, 100u);
  EXPECT_GE(opened, whole.size() - 8 - header);
}

TEST(Safetensors, HostileHeaders) {
  const auto tensor = [](const std::string& entry) {
    return OpenError(File("{\"t\":" + entry + "}", "12345678"));
  };
  EXPECT_EQ(OpenError("abc"), "has 3 bytes, too few for a safetensors header");
  EXPECT_EQ(OpenError(File("{}", "", 1ull << 63)),
            "claims a header of 9223372036854775808 bytes, more than 100 MB");
  EXPECT_EQ(OpenError(File("{}", "", 50)), "ends inside its header of 50 bytes");
  EXPECT_EQ(OpenError(File("[1]")), "its header does not start with '{'");
  EXPECT_EQ(OpenError(File("{\"a\":")),
            "not valid JSON: parse error at line 1, column 6: syntax error while parsing value - unexpected "
            "end of input; expected '[', '{', or a literal");
  EXPECT_EQ(OpenError(File("{\"a\":[[[[[[1]]]]]]}")), "nested deeper than 4 levels");
  EXPECT_EQ(
      OpenError(File(
          R"({"t":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"t":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})",
          "12345678")),
      "'t' is given twice");
  EXPECT_EQ(OpenError(File(R"({"__metadata__":{"a":1}})")), "__metadata__ holds a value that is not text");
  EXPECT_EQ(tensor("3"), "tensor 't' lacks dtype, shape or data_offsets");
  EXPECT_EQ(tensor(R"({"dtype":"F33","shape":[2],"data_offsets":[0,8]})"),
            "tensor 't' has unknown type 'F33'");
  EXPECT_EQ(tensor(R"({"dtype":"F32","shape":[-2],"data_offsets":[0,8]})"),
            "tensor 't' has a shape that is not a list of sizes");
  EXPECT_EQ(tensor(R"({"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]})"),
            "tensor 't' has a shape that overflows");
  EXPECT_EQ(tensor(R"({"dtype":"F32","shape":[2],"data_offsets":[8,0]})"),
            "tensor 't' has data_offsets that are not two increasing sizes");
  EXPECT_EQ(tensor(R"({"dtype":"F32","shape":[3],"data_offsets":[0,12]})"),
            "tensor 't' ends at byte 12 of the data, but the file has 8 bytes of data");
  EXPECT_EQ(tensor(R"({"dtype":"F32","shape":[1],"data_offsets":[0,8]})"),
            "tensor 't' takes 8 bytes, not the 4 of its shape and type");
  EXPECT_EQ(tensor(R"({"dtype":"U8","shape":[4],"data_offsets":[4,8]})"),
            "tensor 't' starts at byte 4 of the data, not at 0 where the one before it ends");
  EXPECT_EQ(tensor(R"({"dtype":"U8","shape":[4],"data_offsets":[0,4]})"),
            "has 8 bytes of data, but its tensors take 4");
  EXPECT_EQ(
      OpenError(File(
          R"({"a":{"dtype":"U8","shape":[5],"data_offsets":[0,5]},"b":{"dtype":"U8","shape":[5],"data_offsets":[3,8]}})",
          "12345678")),
      "tensor 'b' starts at byte 3 of the data, not at 5 where the one before it ends");
}

TEST(Safetensors, HostileIndexes) {
  const ScratchFolder scratch;
  const std::string path = scratch / "hostile.safetensors.index.json";
  const auto error = [&](const std::string& text) {
    std::ofstream(path) << text;
    const auto file = SafetensorsFile::Open(path);
    return file.ok() ? "opened" : file.error().message.substr(path.size());
  };
  EXPECT_EQ(error("{}"), ": has no 'weight_map' object");
  EXPECT_EQ(error(R"({"weight_map":{"a":"../../etc/passwd"}})"),
            ": the shard of 'a' is not a plain file name");
  EXPECT_EQ(error(R"({"weight_map":{"a":7}})"), ": the shard of 'a' is not a plain file name");
  std::ofstream(scratch / "shard.safetensors", std::ios::binary) << File("{}");
  EXPECT_EQ(error(R"({"weight_map":{"a":"shard.safetensors"}})"), ": tensor 'a' is not in shard.safetensors");
}

TEST(Safetensors, WriterChecksWhatItIsGiven) {
  const ScratchFolder scratch;
  const std::string path = scratch / "half.safetensors";
  SafetensorsWriter writer;
  writer.AddTensor("b", {2}, DType::kF32);
  writer.AddTensor("a", {2}, DType::kBF16);
  const auto order = writer.Begin(path);
  ASSERT_TRUE(order.ok());
  EXPECT_EQ(*order, (std::vector<std::string>{"b", "a"}));
  const float data[] = {1, 2};
  EXPECT_EQ(writer.WriteTensor(data, 4).error().message, path + ": tensor 'b' has 4 bytes, not 8");
  EXPECT_EQ(writer.Finish().error().message, path + ": tensor 'a' was not written");
  SafetensorsWriter twice;
  twice.AddTensor("a", {1}, DType::kF32);
  twice.AddTensor("a", {1}, DType::kF32);
  EXPECT_EQ(twice.Begin(path).error().message, path + ": tensor 'a' was added twice");
}

}  // namespace
}  // namespace genflow::formats
