// Ends of runs that the tests of CI reports share.
#pragma once

#include <gtest/gtest.h>

#include "base/files.h"
#include "cli/ci_outcome.h"

namespace genflow::cli {

inline StageResult Stage(const std::string& name, StageStatus status) {
  StageResult out;
  out.stage = name;
  out.uses = "test.act";
  out.status = status;
  if (status != StageStatus::kCached && status != StageStatus::kSkipped) {
    out.attempts = 1;
    out.seconds = 1.5;
  }
  return out;
}

// One stage of each kind.
inline RunOutcome MixedOutcome() {
  RunOutcome out;
  out.file = "flows/demo.yaml";
  out.pipeline = "demo";
  out.started = 1764000000;
  out.seconds = 12.5;
  RunReport& report = out.report.emplace();
  report.run = "20261124-1607-ab12";
  report.pipeline = "demo";
  report.status = RunStatus::kFailed;
  report.seconds = 12.25;
  StageResult cached = Stage("pages", StageStatus::kCached), failed = Stage("tune", StageStatus::kFailed),
              skipped = Stage("quality", StageStatus::kSkipped);
  cached.reason = "20261123-0000-aaaa";
  cached.seconds = 60;
  failed.error = InvalidError("no rows in <data>\nsecond line", "add \"some\"");
  failed.log_tail = {"reading", "::set-output name=x::y \x1b[31mred\x1b[0m", "bad \xff\x01 bytes"};
  skipped.reason = "needs 'tune', which failed";
  StageResult ran = Stage("clean", StageStatus::kRan);
  ran.summary = "Kept **10** rows";
  report.stages = {cached, ran, failed, skipped};
  out.stage_places = {{"tune", {"flows/demo.yaml", {7, 3, 4}}}};
  return out;
}

// A gate whose report lies in `folder`.
inline StageResult GateStage(const std::filesystem::path& folder, StageStatus status) {
  StageResult gate = Stage("gate", status);
  gate.uses = "gate.metrics";
  if (status == StageStatus::kGated)
    gate.error = MakeError(Code::kGate, "1 of 3 requirements is not met:\n  x");
  PortArtifact report;
  report.port = "report";
  report.artifact.type = "report";
  report.artifact.outside = folder;
  gate.outputs = {report};
  EXPECT_TRUE(
      WriteFileAtomic(folder / "report.json", R"({"format": "genflow.report", "version": 1, "tables": [
    {"title": "Requirements", "columns": ["requirement", "met", "numbers", "difference"], "rows": [
      ["rouge < 0.5 | 1", "yes", "rouge = 0.4; 0.4 < 0.5", "-0.1"],
      ["rouge >= baseline.rouge at 95%", "no", "0.4 is refuted", "-0.020 [-0.022, -0.018] at 95%"],
      ["a > baseline.a", "no baseline", "not judged: there is no baseline yet", ""]]},
    {"title": "Against the baseline", "columns": ["metric", "now", "baseline", "change [95%]", "samples", ""],
     "rows": [["rouge", "0.4", "0.42", "-0.020 [-0.022, -0.018]", "100 paired", "worse"]]}]})")
          .ok());
  return gate;
}

}  // namespace genflow::cli
