#include "cli/ci_console.h"

#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "unit/cli/ci_outcomes.h"

namespace genflow::cli {
namespace {

CiEnvironment Environment(const std::map<std::string, std::string>& variables) {
  return DetectCi([&](const std::string& name) -> std::optional<std::string> {
    const auto at = variables.find(name);
    return at == variables.end() ? std::nullopt : std::optional<std::string>(at->second);
  });
}

TEST(Ci, IsFoundByItsVariables) {
  EXPECT_EQ(Environment({}).system, CiSystem::kNone);
  EXPECT_EQ(Environment({{"GITHUB_ACTIONS", "false"}}).system, CiSystem::kNone);
  const auto github =
      Environment({{"GITHUB_ACTIONS", "true"}, {"GITHUB_WORKSPACE", "/w"}, {"GITHUB_STEP_SUMMARY", "/s"}});
  EXPECT_EQ(github.system, CiSystem::kGitHub);
  EXPECT_EQ(github.workspace, "/w");
  EXPECT_EQ(github.step_summary, "/s");
  const auto gitlab = Environment({{"GITLAB_CI", "true"}, {"CI_PROJECT_DIR", "/p"}});
  EXPECT_EQ(gitlab.system, CiSystem::kGitLab);
  EXPECT_EQ(gitlab.workspace, "/p");
  EXPECT_EQ(gitlab.step_summary, "");
}

TEST(Ci, PathsAreRelativeToTheRepository) {
  const CiEnvironment at{CiSystem::kGitHub, "/repository", ""};
  EXPECT_EQ(CiPath("/repository/flows/a.yaml", at), "flows/a.yaml");
  EXPECT_EQ(CiPath("/elsewhere/a.yaml", at), "/elsewhere/a.yaml");
  EXPECT_EQ(CiPath("flows/a.yaml", {}), "flows/a.yaml");
}

TEST(Ci, GitHubAnnotationsAndGroups) {
  EXPECT_EQ(RenderCiConsole(MixedOutcome(), {CiSystem::kGitHub, "", ""}, 0),
            "::group::log of tune (the last 3 lines)\n"
            "| reading\n"
            "| ::set-output name=x::y red\n"
            "| bad \xEF\xBF\xBD\xEF\xBF\xBD bytes\n"
            "::endgroup::\n"
            "::error file=flows/demo.yaml,line=7,col=3,endColumn=7,title=tune failed::no rows in <data>%0A"
            "second line%0Ahint: add \"some\"\n");
}

TEST(Ci, GitHubAnnotatesMistakesAtTheirPlace) {
  RunOutcome outcome;
  outcome.file = "a,b:c.yaml";
  const SourceText source("a,b:c.yaml", "stages:\n  a: { usees: x }\n");
  outcome.diagnostics = {source.Report({2, 8, 5}, "unknown key, 100% wrong", "did you mean 'uses'?"),
                         source.Report({1, 1, 6}, "odd", "", Severity::kWarning)};
  outcome.error = MakeError(Code::kBusy, "locked");
  EXPECT_EQ(RenderCiConsole(outcome, {CiSystem::kGitHub, "", ""}, 0),
            "::error file=a%2Cb%3Ac.yaml,line=2,col=8,endColumn=13,title=a%2Cb%3Ac.yaml::unknown key, 100%25 "
            "wrong%0Ahint: did you mean 'uses'?\n"
            "::warning file=a%2Cb%3Ac.yaml,line=1,col=1,endColumn=7,title=a%2Cb%3Ac.yaml::odd\n"
            "::error file=a%2Cb%3Ac.yaml,title=a%2Cb%3Ac.yaml::locked\n");
}

TEST(Ci, GitLabFoldsTheLog) {
  EXPECT_EQ(
      RenderCiConsole(MixedOutcome(), {CiSystem::kGitLab, "", ""}, 1764000012.7),
      "\x1b[0Ksection_start:1764000012:genflow_log_tune[collapsed=true]\r\x1b[0Klog of tune (the last 3 "
      "lines)\n"
      "| reading\n"
      "| ::set-output name=x::y red\n"
      "| bad \xEF\xBF\xBD\xEF\xBF\xBD bytes\n"
      "\x1b[0Ksection_end:1764000012:genflow_log_tune\r\x1b[0K\n");
  EXPECT_EQ(RenderCiConsole(MixedOutcome(), {}, 0), "");
}

TEST(Ci, WhatStagesSayIsNoCommand) {
  const std::string text = "error: x\n::set-env name=A::b\n  ##[group]y\nsection_start:1:a\nend";
  EXPECT_EQ(WithoutCiCommands(text, CiSystem::kNone), text);
  EXPECT_EQ(WithoutCiCommands(text, CiSystem::kGitHub),
            "error: x\n| ::set-env name=A::b\n|   ##[group]y\nsection_start:1:a\nend");
  EXPECT_EQ(WithoutCiCommands(text, CiSystem::kGitLab),
            "error: x\n| ::set-env name=A::b\n|   ##[group]y\nsection-start:1:a\nend");
}

RunOutcome With(std::vector<Diagnostic> diagnostics) {
  RunOutcome out;
  out.diagnostics = std::move(diagnostics);
  return out;
}

TEST(Ci, CodeQuality) {
  const SourceText source("flows/a.yaml", "a\nb\n");
  const auto issue = [&](int line, Severity severity) {
    return source.Report({line, 1, 1}, "bad", "fix", severity);
  };
  const auto report = nlohmann::json::parse(
      RenderCodeQuality(With({issue(1, Severity::kError), issue(2, Severity::kWarning)}), {}));
  ASSERT_EQ(report.size(), 2u);
  EXPECT_EQ(report[0]["description"], "bad\nhint: fix");
  EXPECT_EQ(report[0]["severity"], "major");
  EXPECT_EQ(report[1]["severity"], "minor");
  EXPECT_EQ(report[0]["check_name"], "genflow-pipeline");
  EXPECT_EQ(report[1]["location"], nlohmann::json({{"path", "flows/a.yaml"}, {"lines", {{"begin", 2}}}}));
  EXPECT_NE(report[0]["fingerprint"], report[1]["fingerprint"]);
  const auto moved = nlohmann::json::parse(RenderCodeQuality(With({issue(2, Severity::kError)}), {}));
  EXPECT_EQ(moved[0]["fingerprint"], report[0]["fingerprint"]) << "the same issue in another line";
  EXPECT_EQ(RenderCodeQuality({}, {}), "[]\n");
}

TEST(Ci, CodeQualityOfARun) {
  const auto report = nlohmann::json::parse(RenderCodeQuality(MixedOutcome(), {}));
  ASSERT_EQ(report.size(), 1u) << "what was cached, has run or was skipped is no issue";
  EXPECT_EQ(report[0]["check_name"], "genflow-stage");
  EXPECT_EQ(report[0]["severity"], "critical");
  EXPECT_EQ(report[0]["description"], "tune failed: no rows in <data>\nsecond line\nhint: add \"some\"");
  EXPECT_EQ(report[0]["location"], nlohmann::json({{"path", "flows/demo.yaml"}, {"lines", {{"begin", 7}}}}));
  RunOutcome used = MixedOutcome();
  used.stage_places["tune"] = {"flows/parts/tune.yaml", {3, 3, 4}};
  EXPECT_EQ(nlohmann::json::parse(RenderCodeQuality(used, {}))[0]["location"]["path"],
            "flows/parts/tune.yaml");
  const CiEnvironment github{CiSystem::kGitHub, "", ""};
  EXPECT_NE(RenderCiConsole(used, github, 0).find("::error file=flows/parts/tune.yaml,line=3,"),
            std::string::npos)
      << RenderCiConsole(used, github, 0);
  RunOutcome gated;
  gated.file = "a.yaml";
  StageResult gate = Stage("gate", StageStatus::kGated);
  gate.error = MakeError(Code::kGate, "too low");
  gated.report.emplace().stages = {gate};
  const auto refused = nlohmann::json::parse(RenderCodeQuality(gated, {}));
  EXPECT_EQ(refused[0]["description"], "gate said no: too low");
  EXPECT_EQ(refused[0]["location"]["lines"]["begin"], 1) << "where the place is not known";
}

}  // namespace
}  // namespace genflow::cli
