// What eval.* makes of examples that are too long, in several windows, or cannot be encoded; on a tiny model.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "base/files.h"
#include "eval/statistics.h"
#include "unit/eval/stages_fixture.h"

namespace genflow {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

class ExamplesTest : public StagesTest {};

TEST_F(ExamplesTest, WindowsOfOneTextAreOneExample) {
  const std::string words = "All the words of a text that is longer than the context of the model. ";
  std::string text;
  while (text.size() < 3000) text += words;
  text.resize(3000);
  WriteRows("texts", std::vector<data::TextRow>{{"long", text, "", "{}"}, {"short", words, "", "{}"}});
  ASSERT_EQ(Run(EVAL_PLUGIN, "eval.perplexity", PerplexityParams(),
                With(Base(), In("dataset", "dataset", "texts")), "report", "texts_ppl"),
            0)
      << lines_.Failure();
  const auto samples = Samples("texts_ppl");
  ASSERT_EQ(samples.size(), 4u) << "3000 bytes are windows of 1024, 1024 and 952 tokens";
  std::map<std::string, double> tokens, losses;
  for (const auto& sample : samples) {
    tokens[sample["id"]] += sample["tokens"].get<double>();
    losses[sample["id"]] += sample["tokens"].get<double>() * sample["loss"].get<double>();
  }
  const eval::Estimate expected =
      eval::RatioOfSums({losses["long"], losses["short"]}, {tokens["long"], tokens["short"]});
  const eval::Report report = Report("texts_ppl");
  EXPECT_EQ(Value(report, "examples"), 2);
  EXPECT_EQ(report.Find("loss")->n, 2);
  EXPECT_NEAR(Value(report, "loss"), expected.value, 1e-9);
  EXPECT_NEAR(*report.Find("loss")->stderr_value, expected.stderr_value, 1e-9);
}

TEST_F(ExamplesTest, PromptsLongerThanTheContextAreLeftOut) {
  std::vector<data::MessagesRow> rows;
  for (const char* id : {"a", "long", "b"}) {
    const std::string asked = std::string(id) == "long" ? std::string(2000, 'x') : "What is it?";
    rows.push_back({id, {{"user", asked}, {"assistant", "It is a tool."}}, "{}"});
  }
  WriteRows("mixed", rows);
  const std::string warning =
      "1 example is longer than the model's context and left out, the first is 'long'";
  const auto inputs = With(Tuned(), In("dataset", "dataset", "mixed"));
  const auto ids = [&](const std::string& out) {
    std::vector<std::string> found;
    for (const auto& sample : Samples(out)) found.push_back(sample["id"]);
    return found;
  };
  const json generate = {{"device", "cpu"},     {"dtype", "fp32"}, {"max_examples", 0},
                         {"max_new_tokens", 4}, {"batch", 4},      {"match", json::array()}};
  ASSERT_EQ(Run(EVAL_PLUGIN, "eval.generate", generate, inputs, "report", "gen_mixed"), 0)
      << lines_.Failure();
  EXPECT_THAT(lines_.Warnings(), testing::ElementsAre(warning));
  EXPECT_EQ(Value(Report("gen_mixed"), "too_long"), 1);
  EXPECT_THAT(ids("gen_mixed"), testing::ElementsAre("a", "b"));
  const bool told = std::any_of(lines_.lines.begin(), lines_.lines.end(), [](const json& line) {
    return line["t"] == "progress" && line.value("msg", "") == "encoding" && line["done"] == 3;
  });
  EXPECT_TRUE(told);

  const json logprobs = {
      {"device", "cpu"}, {"dtype", "fp32"}, {"max_examples", 0}, {"top_k", 4}, {"max_new_tokens", 4}};
  ASSERT_EQ(Run(EVAL_PLUGIN, "eval.logprobs", logprobs, inputs, "report", "lp_mixed"), 0) << lines_.Failure();
  EXPECT_THAT(lines_.Warnings(), testing::ElementsAre(warning));
  EXPECT_EQ(Value(Report("lp_mixed"), "too_long"), 1);
  EXPECT_EQ(Value(Report("lp_mixed"), "prompts"), 2);
  EXPECT_THAT(ids("lp_mixed"), testing::ElementsAre("a", "b"));

  WriteRows("all_long", std::vector<data::MessagesRow>{rows[1]});
  EXPECT_EQ(Run(EVAL_PLUGIN, "eval.generate", generate, With(Base(), In("dataset", "dataset", "all_long")),
                "report", "bad"),
            1);
  EXPECT_EQ(lines_.Failure(), "all 1 examples are longer than the model's context of 1024 tokens");
  rows[2].messages[0].content = "<genflow:generation>";
  WriteRows("reserved", rows);
  EXPECT_EQ(Run(EVAL_PLUGIN, "eval.generate", generate, With(Base(), In("dataset", "dataset", "reserved")),
                "report", "bad"),
            1);
  EXPECT_EQ(lines_.Failure(), "example 'b': a message holds the reserved text '<genflow:generation>'");
}

TEST_F(ExamplesTest, AnswersEndWithTheTokensOfTheConfig) {
  const json logprobs = {
      {"device", "cpu"}, {"dtype", "fp32"}, {"max_examples", 1}, {"top_k", 1}, {"max_new_tokens", 1}};
  const auto chats = In("dataset", "dataset", "chats");
  ASSERT_EQ(Run(EVAL_PLUGIN, "eval.logprobs", logprobs, With(Tuned(), chats), "report", "lp_first"), 0)
      << lines_.Failure();
  const json first = json::parse(Samples("lp_first").at(0)["top_tokens"].get<std::string>()).at(0);
  ASSERT_NE(first, 258) << "the end of turn itself";
  // The same model, whose config ends texts with the token that the answer begins with.
  fs::copy(root_ / "model", root_ / "model_eos");
  json config = json::parse(ReadFile(root_ / "model" / "config.json").value());
  config["eos_token_id"] = {258, first};
  ASSERT_TRUE(WriteFileAtomic(root_ / "model_eos" / "config.json", config.dump(2)).ok());
  const json generate = {{"device", "cpu"},     {"dtype", "fp32"}, {"max_examples", 1},
                         {"max_new_tokens", 4}, {"batch", 4},      {"match", json::array()}};
  const std::vector<StageInput> inputs = {In("model", "model", "model_eos"),
                                          In("adapter", "adapter", "adapter"), chats};
  ASSERT_EQ(Run(EVAL_PLUGIN, "eval.generate", generate, inputs, "report", "gen_eos"), 0) << lines_.Failure();
  EXPECT_EQ(Value(Report("gen_eos"), "stopped"), 1);
  EXPECT_EQ(Samples("gen_eos").at(0)["answer"], "");
}

TEST_F(ExamplesTest, PatternsAreCheckedBeforeARun) {
  const json params = {{"match", {"a", "(x", "["}}};
  EXPECT_EQ(Run(EVAL_PLUGIN, "eval.generate", params, Base(), "report", "bad"), 1);
  EXPECT_EQ(lines_.Failure(),
            "match[1]: regular expression, column 3: missing closing parenthesis\n"
            "match[2]: regular expression, column 2: missing terminating ] for character class");
}

}  // namespace
}  // namespace genflow
