// What the data stages say of their parameters.
#include <gtest/gtest.h>

#include "host/stage_check.h"

namespace genflow {
namespace {

using nlohmann::json;

// "message" or "message\n  hint: ..." of each problem, after "PARAM: ".
std::vector<std::string> Problems(const std::string& stage, const json& params) {
  const auto answer = CheckStages({DATA_PLUGIN, "", {{stage, params}}});
  EXPECT_TRUE(answer.ok()) << answer.error().ToString();
  std::vector<std::string> out;
  if (!answer.ok()) return out;
  for (const auto& problem : answer->at(0)) {
    out.push_back(problem.param + ": " + problem.message +
                  (problem.hint.empty() ? "" : "\n  hint: " + problem.hint));
  }
  return out;
}

using Strings = std::vector<std::string>;

TEST(DataStages, SplitSharesAddUpToOne) {
  // Their sum is 1.0000000000000002.
  const json rounded = {{"train", 0.33}, {"test", 0.56}, {"validation", 0.11}};
  EXPECT_EQ(Problems("data.split", rounded), Strings{});
  EXPECT_EQ(Problems("data.split", {{"train", 0.9}, {"test", 0.2}, {"validation", 0}}),
            Strings{"train: train, test and validation are shares that add up to more than 1"});
  EXPECT_EQ(Problems("data.split", {{"train", 2.5}, {"test", 0}, {"validation", 1.5}}),
            (Strings{"test: test must be more than 0",
                     "train: train must be a whole number of rows, or a share below 1",
                     "validation: validation must be a whole number of rows, or a share below 1"}));
}

TEST(DataStages, CleanNamesTheParameter) {
  EXPECT_EQ(
      Problems("data.clean", {{"redact", {"emial"}}}),
      Strings{"redact: redact: 'emial' is nothing that can be redacted\n  hint: did you mean 'email'?"});
  EXPECT_EQ(Problems("data.clean", {{"drop_patterns", {"a", "(x"}}}),
            Strings{"drop_patterns[1]: drop_patterns[1]: regular expression, column 3: missing closing "
                    "parenthesis"});
  EXPECT_EQ(Problems("data.clean", {{"min_chars", 10}, {"max_chars", 5}, {"drop_ids", {"["}}}),
            (Strings{"max_chars: max_chars (5) is less than min_chars (10)",
                     "drop_ids[0]: drop_ids[0]: regular expression, column 2: missing terminating ] for "
                     "character class"}));
}

TEST(DataStages, FormatNamesTheParameter) {
  EXPECT_EQ(Problems("data.format", {{"to", "messages"}, {"on_empty", "drop"}}),
            Strings{"user: user is needed to make messages rows"});
  EXPECT_EQ(Problems("data.format",
                     {{"to", "messages"}, {"on_empty", "drop"}, {"user", {"x", "{text|sentense}\n{id}"}}}),
            Strings{"user[1]: user[1]: there is no filter 'sentense' in the template '{text|sentense}…'\n"
                    "  hint: did you mean 'sentence'?"});
}

TEST(DataStages, ReadNamesTheParameter) {
  EXPECT_EQ(Problems("data.read", {{"files", {"a.csv"}}, {"delimiter", "::"}}),
            Strings{"delimiter: delimiter must be one character, or auto, and not '::'"});
}

}  // namespace
}  // namespace genflow
