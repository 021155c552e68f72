#include "adapter/gguf_lora.h"

#include "adapter_testing.h"
#include "formats/gguf.h"

namespace genflow::adapter {
namespace {

using formats::GgufFile;

formats::ModelSource Base() {
  auto base = formats::ModelSource::Open(FixturePath("formats/tiny_llama"));
  EXPECT_TRUE(base.ok());
  return *std::move(base);
}

// llama.cpp's converter and ours, of one adapter.
TEST(GgufLora, IsWhatLlamaCppsConverterWrites) {
  const ScratchFolder scratch;
  const std::string path = scratch / "adapter.gguf";
  const auto written = ExportGgufLora(path, Base(), FixturePath("adapter/for_llama_cpp"),
                                      {.name = "For_Llama_Cpp", .read = {}});
  ASSERT_TRUE(written.ok()) << written.error().ToString();
  const auto expected = GgufFile::Open(FixturePath("adapter/for_llama_cpp.gguf")),
             ours = GgufFile::Open(path);
  ASSERT_TRUE(expected.ok() && ours.ok());
  ASSERT_EQ(ours->metadata().size(), expected->metadata().size());
  for (const auto& [key, value] : expected->metadata())
    EXPECT_EQ(ours->Encoded(key), expected->Encoded(key)) << key;
  ASSERT_EQ(ours->tensors().size(), expected->tensors().size());
  for (const auto& tensor : expected->tensors()) {
    const auto* found = ours->FindTensor(tensor.name);
    ASSERT_NE(found, nullptr) << tensor.name;
    EXPECT_EQ(found->type, tensor.type) << tensor.name;
    EXPECT_EQ(found->shape, tensor.shape) << tensor.name;
    EXPECT_EQ(std::string_view(reinterpret_cast<const char*>(found->data), found->bytes),
              std::string_view(reinterpret_cast<const char*>(tensor.data), tensor.bytes))
        << tensor.name;
  }
}

// llama.cpp computes alpha / rank * B A, the rank being B's.
TEST(GgufLora, OtherScalingsAreFoldedIn) {
  const ScratchFolder scratch;
  const std::string peft = FixturePath("adapter/for_llama_cpp"), plain = scratch / "plain.gguf",
                    stabilised = scratch / "stabilised.gguf", mixed = scratch / "mixed.gguf";
  CopyChanged(peft, scratch / "stabilised", "use_rslora", true);
  CopyChanged(peft, scratch / "mixed", "alpha_pattern", {{"q_proj", 20}});
  ASSERT_TRUE(ExportGgufLora(plain, Base(), peft, {}).ok());
  ASSERT_TRUE(ExportGgufLora(stabilised, Base(), scratch / "stabilised", {}).ok());
  ASSERT_TRUE(ExportGgufLora(mixed, Base(), scratch / "mixed", {}).ok());
  const auto before = GgufFile::Open(plain), after = GgufFile::Open(stabilised),
             folded = GgufFile::Open(mixed);
  ASSERT_TRUE(before.ok() && after.ok() && folded.ok());
  const auto b_of = [](const GgufFile& file, const std::string& weight) {
    const auto* tensor = file.FindTensor(weight + ".lora_b");
    return std::vector<float>(reinterpret_cast<const float*>(tensor->data),
                              reinterpret_cast<const float*>(tensor->data) + tensor->elements);
  };
  EXPECT_EQ(before->Float("adapter.lora.alpha"), 5.0);
  EXPECT_EQ(after->Float("adapter.lora.alpha"), static_cast<double>(static_cast<float>(5 * std::sqrt(2.0))));
  EXPECT_EQ(folded->Float("adapter.lora.alpha"), 5.0);
  EXPECT_EQ(b_of(*before, "blk.0.attn_q.weight"), b_of(*after, "blk.0.attn_q.weight"));
  EXPECT_EQ(b_of(*before, "blk.0.attn_k.weight"), b_of(*folded, "blk.0.attn_k.weight"));
  auto expected = b_of(*before, "blk.1.attn_q.weight");
  for (float& value : expected) value *= 4;
  EXPECT_EQ(b_of(*folded, "blk.1.attn_q.weight"), expected);
}

TEST(GgufLora, SaysWhatLlamaCppCannotTake) {
  const ScratchFolder scratch;
  const auto refusal = [&](const std::string& name) {
    const auto written = ExportGgufLora(scratch / "a.gguf", TiedBase(), FixturePath("adapter/" + name), {});
    return written.ok() ? "written" : written.error().message;
  };
  const auto config = [](const std::string& name) {
    return "'" + FixturePath("adapter/" + name) + "/adapter_config.json': ";
  };
  EXPECT_EQ(refusal("dora"), config("dora") +
                                 "use_dora is true: a magnitude for each row of the weights, and "
                                 "llama.cpp's LoRA files have no place for it");
  EXPECT_EQ(
      refusal("saved"),
      config("saved") + "it brings 'lm_head.weight' whole, and llama.cpp's LoRA files have no place for it");
  EXPECT_EQ(refusal("embedding"), config("embedding") +
                                      "it adapts the token embedding, and llama.cpp's LoRA files "
                                      "have no place for it");
  EXPECT_EQ(refusal("head"),
            "'" + FixturePath("adapter/head") +
                "': adapts 'lm_head', and in llama.cpp the output of this model is its token "
                "embedding");
  EXPECT_FALSE(std::filesystem::exists(scratch / "a.gguf"));
}

}  // namespace
}  // namespace genflow::adapter
