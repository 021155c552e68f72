// Metrics that a program writes into its report are metrics of the run.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "cli/judged.h"
#include "cli/sandbox.h"

namespace genflow {
namespace {

using nlohmann::json;

// The part of Judged() without the gate.
std::string Measured() {
  const std::string all = Judged("", "score > 0");
  return all.substr(0, all.find("  gate:\n"));
}

TEST(ReportMetrics, OfAProgramAreThoseOfTheRun) {
  Sandbox box;
  box.Write("pipeline.yaml", Measured());
  const auto run = box.Genflow({"run", "--json"});
  ASSERT_EQ(run.code, 0) << run.err;
  std::vector<json> metrics;
  std::istringstream lines(run.out);
  for (std::string line; std::getline(lines, line);) {
    if (const json event = json::parse(line); event.at("event") == "metric") metrics.push_back(event);
  }
  ASSERT_EQ(metrics.size(), 1u);
  EXPECT_EQ(metrics[0]["name"], "score");
  EXPECT_EQ(metrics[0]["value"], 0.8);
  EXPECT_EQ(box.Genflow({"runs", "metrics"}).out,
            "stage    metric  value  step  points\nmeasure  score     0.8     -       1\n");
  ASSERT_EQ(box.Genflow({"run", "-p", "score=0.9"}).code, 0);
  EXPECT_EQ(box.Json({"runs", "show", "--json"})["metrics"], json({{"measure", {{"score", 0.9}}}}));
  const auto compared = box.Genflow({"runs", "compare", "--sort", "score"});
  EXPECT_EQ(compared.code, 0) << compared.err;
  // Taken from the cache, they are those of the run that made the report.
  ASSERT_EQ(box.Genflow({"run"}).code, 0);
  EXPECT_EQ(box.Json({"runs", "show", "--json"})["metrics"], json({{"measure", {{"score", 0.8}}}}));
}

TEST(ReportMetrics, AReportThatCannotBeReadHasNone) {
  Sandbox box;
  box.Write("pipeline.yaml",
            "name: p\nstages:\n  a:\n    uses: exec\n    out: { report: report }\n"
            "    with: { run: 'mkdir $GENFLOW_OUT_REPORT; echo hm > $GENFLOW_OUT_REPORT/report.json' }\n");
  EXPECT_EQ(box.Genflow({"run"}).code, 0);
  EXPECT_EQ(box.Genflow({"runs", "metrics"}).out, "no metrics\n");
}

}  // namespace
}  // namespace genflow
