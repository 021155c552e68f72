#include "nn/score.h"

#include <cmath>

#include "fixtures.h"

namespace genflow::nn {
namespace {

std::vector<ScoreItem> Items(const std::vector<Reference>& references) {
  std::vector<ScoreItem> items;
  for (const Reference& reference : references) {
    const auto length = static_cast<int64_t>(reference.ids.size());
    items.push_back(ScoreItem::Span(reference.ids, 0, length));
    items.push_back(ScoreItem::Span(reference.ids, length / 2, length * 3 / 4));
  }
  return items;
}

class ScoreTiny : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Fixtures, ScoreTiny, testing::ValuesIn(kTinyModels),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(ScoreTiny, EqualsTheLogSoftmaxOfTransformers) {
  const auto model = LoadTiny(GetParam());
  ASSERT_NE(model, nullptr);
  const auto references = ReadReferences(GetParam());
  const auto items = Items(references);
  ScoreOptions options;
  for (const auto& [batch_tokens, logits_rows] : {std::pair<int64_t, int64_t>{2048, 256}, {30, 5}, {1, 1}}) {
    options.batch_tokens = batch_tokens;
    options.logits_rows = logits_rows;
    const auto scores = ScoreItems(*model, items, options);
    ASSERT_TRUE(scores.ok()) << scores.error().ToString();
    ASSERT_EQ(scores->size(), items.size());
    for (size_t i = 0; i < items.size(); ++i) {
      const Score& score = (*scores)[i];
      const at::Tensor logprobs = references[i / 2].logits.to(at::kDouble).log_softmax(1);
      ASSERT_EQ(score.token_logprobs.size(), items[i].scored.size());
      double sum = 0;
      bool greedy = true;
      for (size_t t = 0; t < items[i].scored.size(); ++t) {
        const int64_t position = items[i].scored[t];
        const int64_t token = items[i].tokens[position];
        const double expected = logprobs[position - 1][token].item<double>();
        EXPECT_NEAR(score.token_logprobs[t], expected, 1e-4);
        sum += expected;
        greedy = greedy && logprobs[position - 1].argmax().item<int64_t>() == token;
      }
      EXPECT_NEAR(score.logprob, sum, 1e-3);
      EXPECT_EQ(score.greedy, greedy);
    }
  }
}

TEST_P(ScoreTiny, ScoresOfAGreedyAnswerAreGreedy) {
  const auto model = LoadTiny(GetParam());
  ASSERT_NE(model, nullptr);
  const auto entry = ReadJson(FixturePath(GetParam()) / "expected.json")["generate"][0];
  auto tokens = entry["prompt"].get<std::vector<int32_t>>();
  const auto prompt = static_cast<int64_t>(tokens.size());
  for (const auto& token : entry["greedy"]) tokens.push_back(token.get<int32_t>());
  std::vector<ScoreItem> items = {ScoreItem::Span(tokens, prompt, static_cast<int64_t>(tokens.size()))};
  items.push_back(items[0]);
  items[1].tokens.back() = (items[1].tokens.back() + 1) % static_cast<int32_t>(model->config().vocab_size);
  const auto scores = ScoreItems(*model, items);
  ASSERT_TRUE(scores.ok()) << scores.error().ToString();
  EXPECT_TRUE((*scores)[0].greedy);
  EXPECT_FALSE((*scores)[1].greedy);
  EXPECT_LT((*scores)[1].logprob, (*scores)[0].logprob);
}

TEST_P(ScoreTiny, NextTokensOfTransformers) {
  const auto model = LoadTiny(GetParam());
  ASSERT_NE(model, nullptr);
  const auto references = ReadReferences(GetParam());
  std::vector<std::vector<int32_t>> prompts;
  for (const Reference& reference : references) prompts.push_back(reference.ids);
  ScoreOptions options;
  options.batch_tokens = 40;
  const auto next = NextTokenTopK(*model, prompts, 8, options);
  ASSERT_TRUE(next.ok()) << next.error().ToString();
  for (size_t i = 0; i < prompts.size(); ++i) {
    const auto [values, ids] = references[i].logits[-1].log_softmax(0).topk(8);
    ASSERT_EQ((*next)[i].size(), 8u);
    for (int64_t j = 0; j < 8; ++j) {
      EXPECT_EQ((*next)[i][j].id, ids[j].item<int64_t>());
      EXPECT_NEAR((*next)[i][j].logprob, values[j].item<float>(), 1e-4);
    }
  }
}

// Prompts that begin alike, one that is the beginning of another, and the same one twice.
TEST_P(ScoreTiny, NextTokensAreThoseOfEachPromptAlone) {
  const auto model = LoadTiny(GetParam());
  ASSERT_NE(model, nullptr);
  std::vector<std::vector<int32_t>> prompts;
  for (int32_t i = 0; i < 9; ++i) {
    std::vector<int32_t>& prompt = prompts.emplace_back();
    for (int32_t t = 0; t < 12 + 20 * (i % 2); ++t) prompt.push_back((t * 7 + 3 + i / 4) % 60);
    for (int32_t t = 0; t < i % 3; ++t) prompt.push_back((i * 13 + t) % 60);
  }
  prompts.push_back(prompts[3]);
  for (const int64_t batch_tokens : {1, 50, 4096}) {
    ScoreOptions options;
    options.batch_tokens = batch_tokens;
    options.logits_rows = 4;
    const auto together = NextTokenTopK(*model, prompts, 5, options);
    ASSERT_TRUE(together.ok()) << together.error().ToString();
    for (size_t i = 0; i < prompts.size(); ++i) {
      const auto alone = NextTokenTopK(*model, {prompts[i]}, 5);
      ASSERT_TRUE(alone.ok()) << alone.error().ToString();
      ASSERT_EQ((*together)[i].size(), 5u);
      for (size_t j = 0; j < 5; ++j) {
        EXPECT_EQ((*together)[i][j].id, (*alone)[0][j].id) << i;
        EXPECT_NEAR((*together)[i][j].logprob, (*alone)[0][j].logprob, 2e-5) << i;
      }
    }
  }
}

TEST(ScoreItems, Progress) {
  const auto model = LoadTiny("tiny_gqa_tied");
  ASSERT_NE(model, nullptr);
  const auto items = Items(ReadReferences("tiny_gqa_tied"));
  ScoreOptions options;
  options.batch_tokens = 64;
  std::vector<size_t> finished;
  options.progress = [&](size_t done, size_t total) {
    EXPECT_EQ(total, items.size());
    finished.push_back(done);
    return true;
  };
  ASSERT_TRUE(ScoreItems(*model, items, options).ok());
  EXPECT_GT(finished.size(), 1u);
  EXPECT_EQ(finished.back(), items.size());

  options.progress = [](size_t, size_t) { return false; };
  const auto stopped = ScoreItems(*model, items, options);
  ASSERT_FALSE(stopped.ok());
  EXPECT_EQ(stopped.error().code, Code::kInterrupted);
  EXPECT_EQ(stopped.error().message, "scoring was stopped");
}

TEST(ScoreItems, Refusals) {
  const auto model = LoadTiny("tiny_gqa_tied");
  ASSERT_NE(model, nullptr);
  const auto message = [&](const ScoreItem& item) {
    const auto scores = ScoreItems(*model, std::vector<ScoreItem>{ScoreItem::Span({1, 2}, 0, 2), item});
    return scores.ok() ? std::string("ok") : scores.error().ToString();
  };
  EXPECT_EQ(message(ScoreItem{{1, 2, 3}, {}}), "ok");
  EXPECT_EQ(message(ScoreItem{}), "item 1 is empty, expected at least one token");
  EXPECT_EQ(message(ScoreItem{{1, 2, 3}, {0}}),
            "item 1 scores position 0, expected ascending positions from 1 to 2");
  EXPECT_EQ(message(ScoreItem{{1, 2, 3}, {2, 2}}),
            "item 1 scores position 2, expected ascending positions from 1 to 2");
  EXPECT_EQ(message(ScoreItem{{1, 2, 3}, {3}}),
            "item 1 scores position 3, expected ascending positions from 1 to 2");
  EXPECT_EQ(message(ScoreItem{{1, 131}, {1}}),
            "item 1 holds token 131, the model's vocabulary has 131\n"
            "  hint: use the tokenizer that belongs to the model");
  EXPECT_EQ(message(ScoreItem::Span(std::vector<int32_t>(129, 1), 0, 129)),
            "item 1 has 129 tokens, the model's context holds 128\n  hint: split it into windows");
}

// Items that share beginnings of every depth, in passes that cut anywhere, score as each alone.
TEST_P(ScoreTiny, ItemsThatBeginAlikeScoreAsAlone) {
  const auto model = LoadTiny(GetParam());
  ASSERT_NE(model, nullptr);
  std::vector<ScoreItem> items;
  for (int32_t i = 0; i < 12; ++i) {
    std::vector<int32_t> tokens;
    for (int32_t t = 0; t < 20; ++t) tokens.push_back((t * 7 + 3) % 60);
    for (int32_t t = 0; t < 70 * (i % 2); ++t) tokens.push_back((t + i / 4) % 60);
    for (int32_t t = 0; t < 1 + i % 5; ++t) tokens.push_back((i * 13 + t) % 60);
    const auto length = static_cast<int64_t>(tokens.size());
    items.push_back(ScoreItem::Span(std::move(tokens), i % 3 == 0 ? 5 : length - 1, length));
  }
  items.push_back(items[3]);
  for (const int64_t batch_tokens : {1, 60, 150, 4096}) {
    ScoreOptions options;
    options.batch_tokens = batch_tokens;
    const auto together = ScoreItems(*model, items, options);
    ASSERT_TRUE(together.ok()) << together.error().ToString();
    for (size_t i = 0; i < items.size(); ++i) {
      const auto alone = ScoreItems(*model, std::span(&items[i], 1));
      ASSERT_TRUE(alone.ok()) << alone.error().ToString();
      ASSERT_EQ((*together)[i].token_logprobs.size(), (*alone)[0].token_logprobs.size());
      for (size_t t = 0; t < (*alone)[0].token_logprobs.size(); ++t) {
        EXPECT_NEAR((*together)[i].token_logprobs[t], (*alone)[0].token_logprobs[t], 2e-5) << i;
      }
    }
  }
}

}  // namespace
}  // namespace genflow::nn
