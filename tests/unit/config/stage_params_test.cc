// The parameters of one stage without a pipeline.
#include "config/pipeline.h"
#include "unit/config/loading.h"

namespace genflow {
namespace {

using nlohmann::json;

LoadResult Parse(const std::string& stage, const std::string& text, const LoadOptions& options = Options()) {
  return ParseStageParams(text, "--with", *TheCatalog().Find(stage), options);
}

// What is said about the text, behind a line break that makes the texts below readable.
std::string Refusal(const std::string& stage, const std::string& text) {
  const LoadResult result = Parse(stage, text);
  EXPECT_FALSE(result.pipeline.has_value());
  return "\n" + RenderDiagnostics(result.diagnostics);
}

TEST(StageParams, AreReadAsInAPipeline) {
  const LoadResult result =
      Parse("train.lora", R"({"epochs": "3", "lora": {"r": 16}, "note": "${{ env.HOME }}"})");
  ASSERT_TRUE(result.pipeline) << RenderDiagnostics(result.diagnostics);
  EXPECT_TRUE(result.pipeline->dir.is_absolute());
  ASSERT_EQ(result.pipeline->stages.size(), 1u);
  const StageSpec& stage = result.pipeline->stages[0];
  EXPECT_EQ(stage.uses, "train.lora");
  EXPECT_EQ(stage.with, json::parse(R"({"cache":1073741824,"epochs":3,"lora":{"dropout":0.0,"r":16,
    "target_modules":["all-linear"]},"lr":0.0001,"note":"/home/u","packing":true,"save_every":600,
    "schedule":"cosine","threads":0})"));
  EXPECT_EQ(stage.with_positions.at("lora.r"), (Position{1, 31, 2}));
}

TEST(StageParams, MayBeNothingAtAll) {
  for (const char* text : {"", "{}", "# nothing", "~"}) {
    const LoadResult result = Parse("data.clean", text);
    ASSERT_TRUE(result.pipeline) << text;
    EXPECT_EQ(result.pipeline->stages[0].with, json::parse(R"({"dedup":true,"drop":[],"min_chars":0})"));
  }
  EXPECT_EQ(Refusal("data.read", ""), R"(
--with: error: data.read needs the parameter 'path'
  hint: path: Files to read.

1 error
)");
  EXPECT_EQ(Refusal("data.read", "{}"), R"(
--with:1:1: error: data.read needs the parameter 'path'
    1 | {}
      | ^
  hint: path: Files to read.

1 error
)");
}

TEST(StageParams, MistakesAreThoseOfAPipeline) {
  EXPECT_EQ(Refusal("train.lora", "{ epoch: 1, lora: { r: 0 }, note: '${{ params.x }}' }"), R"(
--with:1:3: error: 'train.lora' has no parameter 'epoch'
    1 | { epoch: 1, lora: { r: 0 }, note: '${{ params.x }}' }
      |   ^~~~~
  hint: did you mean 'epochs'?

--with:1:24: error: with.lora.r: expected an integer between 1 and 1024, got '0'
    1 | { epoch: 1, lora: { r: 0 }, note: '${{ params.x }}' }
      |                        ^

--with:1:47: error: parameters cannot be used in --with
    1 | { epoch: 1, lora: { r: 0 }, note: '${{ params.x }}' }
      |                                               ^

3 errors
)");
  EXPECT_EQ(Refusal("train.lora", "[1]"), R"(
--with:1:1: error: with expects a mapping, got a list
    1 | [1]
      | ^

1 error
)");
  EXPECT_EQ(Refusal("train.lora", "{ epochs: 1"), R"(
--with:1:12: error: not valid YAML: '{' is not closed by '}'
    1 | { epochs: 1
      |            ^

1 error
)");
  EXPECT_EQ(Refusal("train.lora", "note: caf\xe9"), R"(
--with: error: the parameters are not UTF-8 text

1 error
)");
}

TEST(StageParams, SecretsInClearAreTheCallersChoice) {
  LoadOptions options = Options();
  EXPECT_FALSE(Parse("model.import", "{ path: x, token: abc }", options).pipeline);
  options.secrets_in_clear = true;
  const LoadResult clear = Parse("model.import", "{ path: x, token: abc }", options);
  ASSERT_TRUE(clear.pipeline);
  EXPECT_EQ(clear.pipeline->stages[0].with["token"], "abc");
  const LoadResult named = Parse("model.import", "{ path: x, token: '${{ secrets.TOKEN }}' }", options);
  ASSERT_TRUE(named.pipeline);
  EXPECT_EQ(named.pipeline->secrets.at("TOKEN").Reveal(), "hunter2");
  EXPECT_EQ(named.pipeline->stages[0].secrets, std::vector<std::string>{"TOKEN"});
}

}  // namespace
}  // namespace genflow
