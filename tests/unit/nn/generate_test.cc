#include "nn/generate.h"

#include <cmath>

#include "fixtures.h"
#include "text/tokenizer.h"

namespace genflow::nn {
namespace {

using Prompts = std::vector<std::vector<int32_t>>;

std::string TextOf(const std::vector<int32_t>& tokens) {
  std::string text;
  for (const int32_t token : tokens) {
    if (token != 130) text.append("<").append(std::to_string(token)).append(">");
  }
  return text;
}

// 131 tokens whose texts are "<0>", "<1>", ...; token 130 is special.
text::Tokenizer NumberTokenizer() {
  nlohmann::json vocab;
  for (int i = 0; i < 130; ++i) vocab[TextOf({i})] = i;
  const nlohmann::json json = {
      {"version", "1.0"},
      {"added_tokens",
       {{{"id", 130},
         {"content", "<eos>"},
         {"special", true},
         {"lstrip", false},
         {"rstrip", false},
         {"normalized", false},
         {"single_word", false}}}},
      {"normalizer", nullptr},
      {"pre_tokenizer",
       {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}}},
      {"post_processor", nullptr},
      {"decoder", {{"type", "ByteLevel"}}},
      {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", nlohmann::json::array()}}}};
  auto tokenizer = text::Tokenizer::FromJson(json);
  if (!tokenizer.ok()) throw std::runtime_error(tokenizer.error().ToString());
  return *tokenizer;
}

class GenerateTiny : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    model_ = LoadTiny(GetParam());
    ASSERT_NE(model_, nullptr);
    expected_ = ReadJson(FixturePath(GetParam()) / "expected.json")["generate"];
    for (const auto& entry : expected_) prompts_.push_back(entry["prompt"].get<std::vector<int32_t>>());
    ASSERT_EQ(prompts_.size(), 4u);
    options_.max_new_tokens = 24;
  }

  std::vector<Generation> Run(const GenerateOptions& options) {
    auto result = Generate(*model_, nullptr, prompts_, options);
    EXPECT_TRUE(result.ok()) << result.error().ToString();
    return result.ok() ? *result : std::vector<Generation>(prompts_.size());
  }

  std::shared_ptr<CausalLM> model_;
  nlohmann::json expected_;
  Prompts prompts_;
  GenerateOptions options_;
};
INSTANTIATE_TEST_SUITE_P(Fixtures, GenerateTiny, testing::ValuesIn(kTinyModels),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(GenerateTiny, GreedyEqualsTransformers) {
  const auto answers = Run(options_);
  for (size_t i = 0; i < answers.size(); ++i) {
    EXPECT_EQ(answers[i].tokens, expected_[i]["greedy"].get<std::vector<int32_t>>());
    EXPECT_EQ(answers[i].finish, FinishReason::kLength);
    EXPECT_EQ(answers[i].prompt_tokens, static_cast<int64_t>(prompts_[i].size()));
  }
}

TEST_P(GenerateTiny, PenalisedGreedyEqualsTransformers) {
  options_.sampling.repetition_penalty = 1.3;
  const auto answers = Run(options_);
  for (size_t i = 0; i < answers.size(); ++i) {
    EXPECT_EQ(answers[i].tokens, expected_[i]["penalised"].get<std::vector<int32_t>>());
  }
}

TEST_P(GenerateTiny, BatchesOfAnySizeAgree) {
  options_.sampling.temperature = 0.9;
  options_.sampling.top_p = 0.95;
  options_.sampling.seed = 4;
  // Different lengths, so that answers leave the batch and waiting prompts enter at different times.
  const auto first = expected_[0]["greedy"].get<std::vector<int32_t>>();
  options_.stop_tokens = {first.back(), first.front()};
  const Prompts four = prompts_;
  for (int copy = 0; copy < 2; ++copy) prompts_.insert(prompts_.end(), four.begin(), four.end());
  options_.max_batch = 1;
  const auto one_by_one = Run(options_);
  for (const int64_t max_batch : {2, 3, 16}) {
    for (const int64_t prefill_tokens : {1, 20, 2048}) {
      options_.max_batch = max_batch;
      options_.prefill_tokens = prefill_tokens;
      const auto together = Run(options_);
      for (size_t i = 0; i < prompts_.size(); ++i) {
        EXPECT_EQ(together[i].tokens, one_by_one[i].tokens) << "batch " << max_batch << ", prompt " << i;
        EXPECT_EQ(together[i].finish, one_by_one[i].finish);
      }
    }
  }
}

TEST_P(GenerateTiny, SeedsMatter) {
  options_.sampling.temperature = 1.0;
  const auto a = Run(options_);
  const auto b = Run(options_);
  options_.sampling.seed = 1;
  const auto c = Run(options_);
  EXPECT_EQ(a[2].tokens, b[2].tokens);
  EXPECT_NE(a[2].tokens, c[2].tokens);
}

TEST_P(GenerateTiny, LogProbabilitiesAreTheModels) {
  options_.logprobs = true;
  options_.top_logprobs = 3;
  options_.max_new_tokens = 6;
  options_.sampling.temperature = 0.7;
  options_.sampling.top_k = 10;
  options_.sampling.repetition_penalty = 1.2;
  const auto answers = Run(options_);
  for (size_t i = 0; i < answers.size(); ++i) {
    auto tokens = prompts_[i];
    tokens.insert(tokens.end(), answers[i].tokens.begin(), answers[i].tokens.end());
    const at::Tensor logprobs = model_->Logits(model_->Hidden(OneRow(tokens)))[0].log_softmax(1);
    ASSERT_EQ(answers[i].details.size(), 6u);
    for (size_t t = 0; t < 6; ++t) {
      const at::Tensor row = logprobs[static_cast<int64_t>(prompts_[i].size() + t) - 1];
      EXPECT_NEAR(answers[i].details[t].logprob, row[answers[i].tokens[t]].item<float>(), 1e-4);
      const auto [values, ids] = row.topk(3);
      ASSERT_EQ(answers[i].details[t].top_logprobs.size(), 3u);
      for (int64_t j = 0; j < 3; ++j) {
        EXPECT_EQ(answers[i].details[t].top_logprobs[j].id, ids[j].item<int64_t>());
        EXPECT_NEAR(answers[i].details[t].top_logprobs[j].logprob, values[j].item<float>(), 1e-4);
      }
    }
  }
}

class GenerateText : public testing::Test {
 protected:
  void SetUp() override {
    model_ = LoadTiny("tiny_gqa_tied");
    ASSERT_NE(model_, nullptr);
    const auto entry = ReadJson(FixturePath("tiny_gqa_tied") / "expected.json")["generate"][2];
    prompt_ = entry["prompt"].get<std::vector<int32_t>>();
    greedy_ = entry["greedy"].get<std::vector<int32_t>>();
    options_.max_new_tokens = 24;
  }
  Generation Run() {
    const auto result = Generate(*model_, &tokenizer_, {prompt_}, options_);
    EXPECT_TRUE(result.ok()) << result.error().ToString();
    return result.ok() ? (*result)[0] : Generation{};
  }
  std::string Refusal(const Prompts& prompts, const text::Tokenizer* tokenizer = nullptr) {
    const auto result = Generate(*model_, tokenizer, prompts, options_);
    return result.ok() ? "ok" : result.error().ToString();
  }

  const text::Tokenizer tokenizer_ = NumberTokenizer();
  std::shared_ptr<CausalLM> model_;
  std::vector<int32_t> prompt_, greedy_;
  GenerateOptions options_;
};

TEST_F(GenerateText, TextAndCallbacks) {
  std::vector<int32_t> streamed_tokens;
  std::string streamed;
  options_.on_token = [&](size_t index, int32_t token, std::string_view text) {
    EXPECT_EQ(index, 0u);
    streamed_tokens.push_back(token);
    streamed += text;
    return true;
  };
  std::vector<size_t> finished;
  options_.progress = [&](size_t done, size_t total) {
    EXPECT_EQ(total, 1u);
    finished.push_back(done);
    return true;
  };
  const Generation answer = Run();
  EXPECT_EQ(answer.tokens, greedy_);
  EXPECT_EQ(answer.text, TextOf(greedy_));
  EXPECT_EQ(streamed, answer.text);
  EXPECT_EQ(streamed_tokens, greedy_);
  EXPECT_EQ(finished.back(), 1u);
}

TEST_F(GenerateText, StopTokenIsNotPartOfTheAnswer) {
  options_.stop_tokens = {greedy_[5]};
  size_t length = 0;
  while (greedy_[length] != greedy_[5]) ++length;
  const Generation answer = Run();
  EXPECT_EQ(answer.tokens,
            std::vector<int32_t>(greedy_.begin(), greedy_.begin() + static_cast<int64_t>(length)));
  EXPECT_EQ(answer.finish, FinishReason::kStopToken);
  EXPECT_STREQ(FinishReasonName(answer.finish), "stop");
}

TEST_F(GenerateText, StopStringAcrossTokens) {
  // From inside the fourth token to inside the fifth.
  const std::string fourth = TextOf({greedy_[3]}), fifth = TextOf({greedy_[4]});
  options_.stop_strings = {fourth.substr(1) + fifth.substr(0, 2)};
  std::string streamed;
  options_.on_token = [&](size_t, int32_t, std::string_view text) {
    streamed += text;
    return true;
  };
  const Generation answer = Run();
  EXPECT_EQ(answer.finish, FinishReason::kStopString);
  const std::string whole = TextOf(greedy_);
  EXPECT_EQ(answer.text, whole.substr(0, whole.find(options_.stop_strings[0])));
  EXPECT_EQ(streamed, answer.text);
  EXPECT_EQ(answer.tokens.size(), 5u);
}

TEST_F(GenerateText, CallbacksCanStop) {
  int calls = 0;
  options_.on_token = [&](size_t, int32_t, std::string_view) { return ++calls < 4; };
  const Generation answer = Run();
  EXPECT_EQ(answer.finish, FinishReason::kCancelled);
  EXPECT_STREQ(FinishReasonName(answer.finish), "cancelled");
  EXPECT_EQ(answer.tokens.size(), 4u);

  options_.on_token = nullptr;
  options_.progress = [](size_t, size_t) { return false; };
  EXPECT_EQ(Refusal({prompt_}), "text generation was stopped");
}

TEST_F(GenerateText, EndsWithTheContext) {
  options_.max_new_tokens = 1000;
  options_.stop_tokens.emplace();
  const Generation answer = Run();
  EXPECT_EQ(answer.finish, FinishReason::kContext);
  EXPECT_STREQ(FinishReasonName(answer.finish), "length");
  EXPECT_EQ(prompt_.size() + answer.tokens.size(), 128u);
}

TEST_F(GenerateText, Refusals) {
  EXPECT_EQ(Refusal({}), "ok");
  EXPECT_EQ(Refusal({{1}, {}}), "prompt 1 is empty, expected at least one token");
  EXPECT_EQ(Refusal({{1, -1}}),
            "prompt 0 holds token -1, the model's vocabulary has 131\n  hint: use the tokenizer that belongs "
            "to the model");
  EXPECT_EQ(Refusal({std::vector<int32_t>(128, 1)}),
            "prompt 0 has 128 tokens, which leaves no room for an answer in the model's context of 128\n"
            "  hint: shorten the prompt");
  options_.max_new_tokens = 0;
  EXPECT_EQ(Refusal({{1}}), "max_new_tokens is 0, expected at least 1");
  options_.max_new_tokens = 1;
  options_.max_batch = 0;
  EXPECT_EQ(Refusal({{1}}), "max_batch is 0, expected at least 1");
  options_.max_batch = 1;
  options_.stop_strings = {"x"};
  EXPECT_EQ(Refusal({{1}}), "stop strings need a tokenizer");
  EXPECT_EQ(Refusal({{1}}, &tokenizer_), "ok");
  options_.sampling.top_p = 2;
  EXPECT_EQ(Refusal({{1}}, &tokenizer_), "top_p is 2, expected more than 0 and at most 1 (off)");
}

}  // namespace
}  // namespace genflow::nn
