#include "engine/masker.h"

#include <gtest/gtest.h>

namespace genflow {
namespace {

Pipeline WithSecrets(const std::vector<std::string>& values) {
  Pipeline pipeline;
  for (const auto& value : values) {
    const std::string name = "S" + std::to_string(pipeline.secrets.size());
    pipeline.secrets.emplace(name, Secret(name, value, "0123456789abcdef"));
  }
  return pipeline;
}

TEST(Masker, ReplacesValuesWhereverTheyStand) {
  const Masker masker(WithSecrets({"hunter2", "hunter22"}));
  EXPECT_EQ(masker.Mask("hunter2hunter22, (hunter2)"), "******, (***)");
  EXPECT_EQ(masker.Mask("hunter"), "hunter");
  const Error error = masker.Mask(MakeError(Code::kIo, "no hunter2", "try hunter22"));
  EXPECT_EQ(error.ToString(), "no ***\n  hint: try ***");
}

TEST(Masker, KnowsOtherWaysToWriteThem) {
  const Masker masker(WithSecrets({"a\"b\\c d/é"}));
  EXPECT_EQ(masker.Mask(R"({"x": "a\"b\\c d/é"})"), R"({"x": "***"})");
  EXPECT_EQ(masker.Mask("?t=a%22b%5Cc%20d%2F%C3%A9&u"), "?t=***&u");
  EXPECT_EQ(masker.Mask("Basic YSJiXGMgZC/DqQ=="), "Basic ***==");
}

TEST(Masker, MasksEachLineOfAValue) {
  const Masker masker(WithSecrets({"-----BEGIN-----\nMIIabc\n  x\n-----END-----\n"}));
  EXPECT_EQ(masker.Mask("line MIIabc, x"), "line ***, x");
}

TEST(Masker, LeavesShortValues) {
  const Masker masker(WithSecrets({"ab", ""}));
  EXPECT_TRUE(masker.empty());
  EXPECT_EQ(masker.Mask("abab"), "abab");
}

TEST(Masker, HoldsBackTheEndOfAPiece) {
  const Masker masker(WithSecrets({"hunter2"}));
  OutputMasker output(masker);
  EXPECT_EQ(output.Add("0123456789hun", true), "0123");
  EXPECT_EQ(output.Add("ter2 and on", false), "456789*** and on");
  EXPECT_EQ(output.Add("the end is hunter2", true), "the e");
  EXPECT_EQ(output.Rest(), "nd is ***");
  EXPECT_EQ(output.Rest(), "");
}

}  // namespace
}  // namespace genflow
