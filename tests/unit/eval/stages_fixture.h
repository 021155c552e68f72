// Runs stages as a worker does, in this process, on a tiny model.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/sha256.h"
#include "data/dataset.h"
#include "data/parquet_rows.h"
#include "eval/report.h"
#include "host/stage_runner.h"
#include "testing/scratch.h"
#include "unit/eval/tiny_model.h"

namespace genflow {

class Lines : public ReportSink {
 public:
  void Report(const nlohmann::json& line) override { lines.push_back(line); }
  // "message" or "message\n  hint: ..." of the fail line; "" without one.
  std::string Failure() const {
    for (const auto& line : lines) {
      if (line["t"] != "fail") continue;
      const std::string hint = line.value("hint", "");
      return line["message"].get<std::string>() + (hint.empty() ? "" : "\n  hint: " + hint);
    }
    return "";
  }
  std::string Summary() const {
    for (const auto& line : lines) {
      if (line["t"] == "summary") return line["text"];
    }
    return "";
  }
  std::vector<std::string> Warnings() const {
    std::vector<std::string> out;
    for (const auto& line : lines) {
      if (line["t"] == "log" && line["level"] == "warning") out.push_back(line["text"]);
    }
    return out;
  }
  std::vector<nlohmann::json> lines;
};

class StagesTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    scratch_.emplace();
    root_ = scratch_->path();
    testing_support::WriteTinyModel(root_ / "model", 1);
    testing_support::WriteTinyAdapter(root_ / "adapter", 2);
    testing_support::WriteTinyChats(root_ / "chats", 12);
  }
  static void TearDownTestSuite() { scratch_.reset(); }

  static StageInput In(const std::string& port, const std::string& type, const std::string& name,
                       const std::string& source = "") {
    return {port, type, (root_ / name).string(), "sha256:" + Sha256Hex(name), source};
  }
  static std::vector<StageInput> Base() { return {In("model", "model", "model", "base.model")}; }
  static std::vector<StageInput> Tuned() {
    auto inputs = Base();
    inputs.push_back(In("adapter", "adapter", "adapter", "tune.adapter"));
    return inputs;
  }
  static std::vector<StageInput> With(std::vector<StageInput> inputs, StageInput more) {
    inputs.push_back(std::move(more));
    return inputs;
  }

  template <class Row>
  static void WriteRows(const std::string& name, const std::vector<Row>& rows) {
    auto writer = data::DatasetWriter::Create(root_ / name, data::KindOf(data::AnyRow(Row{})));
    ASSERT_TRUE(writer.ok()) << writer.error().ToString();
    for (const auto& row : rows) ASSERT_TRUE(writer->Append(row).ok());
    ASSERT_TRUE(writer->Finish().ok());
  }

  // Runs a stage with output `port` at root_/out.
  int32_t Run(const char* plugin, const std::string& stage, nlohmann::json params,
              std::vector<StageInput> inputs, const std::string& port, const std::string& out) {
    std::filesystem::remove_all(root_ / out);
    StageRequest request;
    request.plugin = plugin;
    request.stage = stage;
    request.params = std::move(params);
    request.inputs = std::move(inputs);
    request.outputs = {{port, (root_ / out).string()}};
    request.state_dir = (root_ / "state").string();
    request.scratch_dir = (root_ / "scratch").string();
    request.threads = 1;
    lines_ = Lines();
    return RunStage(request, lines_);
  }
  eval::Report Report(const std::string& out) {
    auto report = eval::ReadReport(root_ / out);
    EXPECT_TRUE(report.ok()) << report.error().ToString();
    return report.ok() ? *report : eval::Report();
  }
  // The sample rows of a report; members that are null are left out.
  std::vector<nlohmann::json> Samples(const std::string& out) {
    std::vector<nlohmann::json> samples;
    auto rows = data::ParquetRows::Open(root_ / out / eval::kSamplesFile);
    EXPECT_TRUE(rows.ok()) << rows.error().ToString();
    if (!rows.ok()) return samples;
    std::string row;
    while ((*rows)->Next(&row).value()) samples.push_back(nlohmann::json::parse(row));
    return samples;
  }
  static double Value(const eval::Report& report, const std::string& name) {
    const eval::Metric* metric = report.Find(name);
    EXPECT_NE(metric, nullptr) << name;
    return metric == nullptr ? std::nan("") : metric->value;
  }
  static nlohmann::json PerplexityParams() {
    return {{"device", "cpu"}, {"dtype", "fp32"}, {"max_examples", 0}, {"batch_tokens", 512}};
  }
  double Perplexity(std::vector<StageInput> inputs, const std::string& out) {
    EXPECT_EQ(Run(EVAL_PLUGIN, "eval.perplexity", PerplexityParams(), std::move(inputs), "report", out), 0)
        << lines_.Failure();
    return Value(Report(out), "perplexity");
  }

  inline static std::optional<ScratchFolder> scratch_;
  inline static std::filesystem::path root_;
  Lines lines_;
};

}  // namespace genflow
