#include "config/placeholder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace genflow {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;

const Placeholder kOutput{.kind = Placeholder::Kind::kOutput, .stage = "tune", .port = "adapter"};
const Placeholder kToken{.kind = Placeholder::Kind::kSecret, .name = "TOKEN", .digest = "00ff"};

TEST(Placeholder, ReadsWhatItWrites) {
  EXPECT_EQ(kOutput.ToText(), "${{ stages.tune.outputs.adapter }}");
  EXPECT_EQ(kToken.ToText(), "${{ secrets.TOKEN#00ff }}");
  const json value = {{"a", "x " + kOutput.ToText() + kToken.ToText()}, {"b", {1, kToken.ToText()}}};
  EXPECT_THAT(FindPlaceholders(value), ElementsAre(kOutput, kToken, kToken));
}

TEST(Placeholder, SubstitutesEveryOne) {
  const auto lookup = [](const Placeholder& p) -> Result<std::string> {
    return p.kind == Placeholder::Kind::kSecret ? "s3cret" : "/store/" + p.stage + "/" + p.port;
  };
  const json value = {
      {"a", "[" + kOutput.ToText() + "]"}, {"b", {1, kToken.ToText(), nullptr}}, {"c", "plain }} text"}};
  auto out = SubstitutePlaceholders(value, lookup);
  ASSERT_TRUE(out.ok());
  EXPECT_EQ(*out,
            json({{"a", "[/store/tune/adapter]"}, {"b", {1, "s3cret", nullptr}}, {"c", "plain }} text"}}));
}

TEST(Placeholder, WhatIsSubstitutedIsNotReadAgain) {
  auto out = SubstitutePlaceholders(std::string_view(kToken.ToText()),
                                    [](const Placeholder&) { return Result<std::string>(kOutput.ToText()); });
  EXPECT_EQ(*out, kOutput.ToText());
}

TEST(Placeholder, TheFirstErrorIsReturned) {
  const auto lookup = [](const Placeholder& p) -> Result<std::string> {
    return InvalidError("no " + p.name);
  };
  EXPECT_EQ(SubstitutePlaceholders(json({{"a", kToken.ToText()}}), lookup).error().message, "no TOKEN");
}

}  // namespace
}  // namespace genflow
