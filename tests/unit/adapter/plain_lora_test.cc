#include "adapter/plain_lora.h"

#include "adapter/merge.h"
#include "adapter_testing.h"

namespace genflow::adapter {
namespace {

// The plain adapter merges into what the original merges into.
TEST(PlainLora, ComputesTheSame) {
  const formats::ModelSource base = TiedBase();
  for (const std::string name : {"adapter/rslora_patterns", "train/peft_patterns", "train/peft_adapter"}) {
    const ScratchFolder scratch;
    const auto written = WritePlainLora(scratch / "plain", base, FixturePath(name));
    ASSERT_TRUE(written.ok()) << written.error().ToString();
    const auto config = ReadLoraConfig(scratch / "plain");
    ASSERT_TRUE(config.ok()) << config.error().ToString();
    EXPECT_FALSE(config->use_rslora);
    EXPECT_TRUE(config->rank_pattern.empty() && config->alpha_pattern.empty());
    const auto before = MergedModel(base, FixturePath(name)), after = MergedModel(base, scratch / "plain");
    ASSERT_TRUE(before.ok() && after.ok()) << after.error().ToString();
    for (const auto& tensor : base.tensors()) {
      EXPECT_LE(LargestDifference(Filled(*before, tensor.name, tensor.elements),
                                  Filled(*after, tensor.name, tensor.elements)),
                1e-6)
          << name << " " << tensor.name;
    }
  }
}

TEST(PlainLora, RefusesWhatIsMoreThanLora) {
  const ScratchFolder scratch;
  const auto dora = WritePlainLora(scratch / "dora", TiedBase(), FixturePath("adapter/dora"));
  ASSERT_FALSE(dora.ok());
  EXPECT_EQ(dora.error().message,
            "'" + FixturePath("adapter/dora") +
                "/adapter_config.json': use_dora is true: a magnitude for each row of the "
                "weights, and plain LoRA adapters have no place for it");
  EXPECT_FALSE(std::filesystem::exists(scratch / "dora"));
}

}  // namespace
}  // namespace genflow::adapter
