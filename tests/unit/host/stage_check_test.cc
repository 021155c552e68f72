// A stage's own word on its parameters, asked in this process. Through workers: tests/cli/checks_test.cc.
#include "host/stage_check.h"

#include <gtest/gtest.h>

#include "base/sha256.h"

namespace genflow {
namespace {

using nlohmann::json;

std::string g_said;  // by the check below

const char* Check(const char*) { return g_said.empty() ? nullptr : g_said.c_str(); }

TEST(CheckParams, OneProblemALineWithItsParameterAndHint) {
  const gf_param require{.struct_size = sizeof(gf_param), .type = GF_STRING_LIST, .name = "require"};
  const gf_param rank{.struct_size = sizeof(gf_param), .type = GF_INT, .name = "lora.r"};
  const gf_param* const params[] = {&require, &rank, nullptr};
  gf_stage stage{};
  stage.params = params;
  EXPECT_EQ(CheckParams(stage, {}), std::vector<ParamProblem>{}) << "without a check";
  stage.check = &Check;
  g_said = "";
  EXPECT_EQ(CheckParams(stage, {}), std::vector<ParamProblem>{});
  g_said =
      "require[1], column 3: expected a value\n    hint: write one\n\nlora.r is 0\nthe shares add up to 2\n"
      "required is no parameter\n";
  EXPECT_EQ(CheckParams(stage, {}),
            (std::vector<ParamProblem>{{"require[1]", "require[1], column 3: expected a value", "write one"},
                                       {"lora.r", "lora.r is 0", ""},
                                       {"", "the shares add up to 2", ""},
                                       {"", "required is no parameter", ""}}));
  g_said =
      "require[0], column 6: expected a number\n    acc >\n         ^\nrequire[1], column 5: '=' does not "
      "compare\n    require = 3\n    ^ \n  hint: write '=='\n";
  EXPECT_EQ(CheckParams(stage, {}),
            (std::vector<ParamProblem>{
                {"require[0]", "require[0], column 6: expected a number\n    acc >\n         ^", ""},
                {"require[1]", "require[1], column 5: '=' does not compare\n    require = 3\n    ^",
                 "write '=='"}}));
}

TEST(CheckStages, AsksThePluginThatTheManifestPromised) {
  CheckRequest request{SAMPLE_PLUGIN, *Sha256File(SAMPLE_PLUGIN), {}};
  request.stages = {{"sample.upper", {{"limit", 13}, {"mood", "fine"}}},
                    {"sample.upper", {{"limit", 12}, {"mood", "fine"}}}};
  const auto answer = CheckStages(request);
  ASSERT_TRUE(answer.ok()) << answer.error().ToString();
  EXPECT_EQ(*answer, (std::vector<std::vector<ParamProblem>>{{{"limit", "limit must not be 13", ""}}, {}}));

  request.stages = {{"sample.lower", json::object()}};
  EXPECT_EQ(CheckStages(request).error().message,
            std::string("plugin ") + SAMPLE_PLUGIN + " has no stage 'sample.lower'");
  request.plugin_digest = std::string(64, '0');
  EXPECT_EQ(CheckStages(request).error().message,
            std::string("plugin ") + SAMPLE_PLUGIN + " is not the file its manifest describes");
}

}  // namespace
}  // namespace genflow
