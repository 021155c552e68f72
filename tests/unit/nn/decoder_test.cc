#include "nn/decode/decoder.h"

#include <c10/core/InferenceMode.h>

#include "fixtures.h"
#include "nn/generate.h"

namespace genflow::nn {
namespace {

// Gives every projection an update of this rank.
void Adapt(CausalLM& model, int64_t rank) {
  at::manual_seed(7);
  model.ForEachLinear([&](const std::string&, Linear& linear) {
    LoraSlot& slot = linear.lora.emplace();
    slot.a = at::randn({rank, linear.in_features()}, at::kFloat) * 0.1;
    slot.b = at::randn({linear.out_features(), rank}, at::kFloat) * 0.1;
    slot.scaling = 1.5;
  });
}

at::Tensor Whole(const CausalLM& model, const std::vector<int32_t>& ids) {
  return model.Logits(model.Hidden(OneRow(ids))[0]).to(at::kFloat);  // [tokens, vocab]
}

class DecoderTiny : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Fixtures, DecoderTiny, testing::ValuesIn(kTinyModels),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(DecoderTiny, GivesTheLogitsOfTheWholeSequence) {
  const c10::InferenceMode inference;
  for (const int64_t rank : {0, 3}) {
    const auto model = LoadTiny(GetParam());
    ASSERT_NE(model, nullptr);
    if (rank > 0) Adapt(*model, rank);
    ASSERT_TRUE(Decoder::Supports(*model));
    Decoder decoder(*model);
    KvCache cache = model->MakeCache();
    std::vector<int32_t> a, b;
    for (int32_t t = 0; t < 7; ++t) {
      a.push_back((t * 7 + 3) % 60);
      b.push_back((t * 11 + 5) % 60);
    }
    const at::Tensor whole_a = Whole(*model, a), whole_b = Whole(*model, b);
    // Rows of different lengths, in steps of several tokens and of one.
    cache.AddRows(2);
    const auto cut = [](const std::vector<int32_t>& ids, size_t begin, size_t end) {
      return std::vector<int32_t>(ids.begin() + begin, ids.begin() + end);
    };

    at::Tensor logits = decoder.Step({cut(a, 0, 5), cut(b, 0, 2)}, 0, cache);
    EXPECT_LT(MaxDifference(logits[0], whole_a[4]), 1e-4);
    EXPECT_LT(MaxDifference(logits[1], whole_b[1]), 1e-4);
    for (size_t t = 5; t < 7; ++t) {
      logits = decoder.Step({cut(a, t, t + 1), cut(b, t - 3, t - 2)}, 0, cache);
      EXPECT_LT(MaxDifference(logits[0], whole_a[t]), 1e-4);
      EXPECT_LT(MaxDifference(logits[1], whole_b[t - 3]), 1e-4);
    }
    logits = decoder.Step({cut(b, 4, 5)}, 1, cache);
    EXPECT_LT(MaxDifference(logits[0], whole_b[4]), 1e-4);
    EXPECT_EQ(cache.length(0), 7);
    EXPECT_EQ(cache.length(1), 5);
  }
}

TEST_P(DecoderTiny, OfBf16IsNoFartherFromFp32ThanTheWholePass) {
  const c10::InferenceMode inference;
  const auto model = LoadTiny(GetParam(), at::kBFloat16);
  ASSERT_NE(model, nullptr);
  Decoder decoder(*model);
  for (const Reference& reference : ReadReferences(GetParam())) {
    KvCache cache = model->MakeCache();
    cache.AddRows(1);
    const at::Tensor last = reference.logits[-1];
    const at::Tensor whole = Whole(*model, reference.ids)[-1];
    std::vector<int32_t> ids = reference.ids;
    const at::Tensor logits = decoder.Step({ids}, 0, cache)[0];
    EXPECT_LT(MaxDifference(logits, last), MaxDifference(whole, last) + 0.02);
  }
}

// Answers in which prompts begin alike, and rows are taken over, are those of each prompt alone.
TEST_P(DecoderTiny, PromptsThatBeginAlikeAreAnsweredAsAlone) {
  const auto model = LoadTiny(GetParam());
  ASSERT_NE(model, nullptr);
  std::vector<std::vector<int32_t>> prompts;
  for (int32_t i = 0; i < 9; ++i) {
    std::vector<int32_t>& prompt = prompts.emplace_back();
    for (int32_t t = 0; t < 20; ++t) prompt.push_back((t * 7 + 3) % 60);
    if (i >= 6) prompt[2] = 45 + i;
    for (int32_t t = 0; t < 1 + i % 4 * 15; ++t) prompt.push_back((i * 11 + t) % 60);
  }
  GenerateOptions options;
  options.max_new_tokens = 6;
  options.stop_tokens.emplace();
  for (const int64_t batch : {1, 2, 16}) {
    options.max_batch = batch;
    const auto together = Generate(*model, nullptr, prompts, options);
    ASSERT_TRUE(together.ok()) << together.error().ToString();
    for (size_t i = 0; i < prompts.size(); ++i) {
      const auto alone = Generate(*model, nullptr, {prompts[i]}, options);
      ASSERT_TRUE(alone.ok()) << alone.error().ToString();
      EXPECT_EQ((*together)[i].tokens, (*alone)[0].tokens) << "prompt " << i << ", batch " << batch;
    }
  }
}

}  // namespace
}  // namespace genflow::nn
