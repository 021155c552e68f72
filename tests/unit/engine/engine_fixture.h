// What the tests of the engine share: a real store and real pipeline files, a fake executor and a fake clock.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/engine.h"
#include "fake_executor.h"
#include "testing/scratch.h"

namespace genflow {

// What happens, one line each. How an end is told is the test's own.
class LineRecorder : public Observer {
 public:
  void StageStarted(const StageStart& start, double) override {
    lines.push_back("start " + start.stage + ": " + start.reason);
  }
  void StageFinished(const StageResult& r, double) override {
    std::string line = std::string(StageStatusName(r.status)) + " " + r.stage;
    if (r.status == StageStatus::kSkipped) line += ": " + r.reason;
    if (r.error) line += ": " + TextOf(*r.error);
    lines.push_back(line);
  }
  std::vector<std::string> lines;

 private:
  virtual std::string TextOf(const Error& error) const { return error.message; }
};

template <class Recorder>
class EngineFixture : public testing::Test {
 protected:
  void SetUp() override {
    auto store = Store::Open(dir_ / ".genflow");
    ASSERT_TRUE(store.ok()) << store.error().ToString();
    store_.emplace(*std::move(store));
    options_.pools.cpus = 4;
    options_.grace = 10;
  }

  Pipeline Parse(const std::string& text) {
    LoadOptions load;
    load.catalog = &catalog_;
    auto loaded = ParsePipeline(text, dir_ / "pipeline.yaml", load);
    EXPECT_TRUE(loaded.pipeline.has_value()) << RenderDiagnostics(loaded.diagnostics) << text;
    return *std::move(loaded.pipeline);
  }

  RunReport Run(const Pipeline& pipeline) {
    observer_.lines.clear();
    executor_.history.clear();
    auto report = RunPipeline(pipeline, *store_, options_, executor_, clock_, observer_);
    EXPECT_TRUE(report.ok()) << report.error().ToString();
    return report.ok() ? *report : RunReport();
  }

  const ScratchFolder scratch_;
  const std::filesystem::path dir_ = scratch_.path();
  Catalog catalog_;
  std::optional<Store> store_;
  FakeClock clock_;
  FakeExecutor executor_{clock_};
  Recorder observer_;
  RunOptions options_;
};

}  // namespace genflow
