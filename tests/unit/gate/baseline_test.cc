// Gates that compare with a baseline: names, confidence, samples.
#include <gtest/gtest.h>

#include <cmath>

#include "eval/gate.h"
#include "eval/report_samples.h"
#include "eval/statistics.h"
#include "testing/scratch.h"

namespace genflow::eval {
namespace {

// A report whose metric `rouge` is the mean of `values`, sample by sample.
NamedReport Sampled(const std::string& source, bool baseline, const std::vector<double>& values,
                    const std::string& first_id = "q") {
  NamedReport out;
  out.source = source;
  out.stage = source.substr(0, source.find('.'));
  out.baseline = baseline;
  const Estimate mean = Mean(values);
  out.report.Set({.name = "rouge",
                  .value = mean.value,
                  .stderr_value = mean.stderr_value,
                  .n = mean.n,
                  .higher_is_better = true});
  out.samples.emplace();
  for (size_t i = 0; i < values.size(); ++i) out.samples->ids.push_back(first_id + std::to_string(i));
  out.samples->columns["rouge"] = values;
  return out;
}

// Samples that differ much, and a change of each by about -0.02.
std::vector<NamedReport> SlightlyWorse() {
  std::vector<double> before, now;
  for (int i = 0; i < 100; ++i) {
    before.push_back(0.01 * i);
    now.push_back(0.01 * i - (i % 2 == 0 ? 0.01 : 0.03));
  }
  return {Sampled("quality.report", false, now), Sampled("quality.report", true, before)};
}

std::string Message(const std::vector<std::string>& requirements, const std::vector<NamedReport>& reports,
                    const JudgeOptions& options = {}) {
  return GateMessage(Judge(requirements, reports, options));
}

TEST(Baseline, NamesBeginWithBaseline) {
  const auto reports = SlightlyWorse();
  const MetricIndex index(reports);
  EXPECT_EQ(index.Names(),
            (std::vector<std::string>{"baseline.quality.rouge", "baseline.rouge", "quality.rouge", "rouge"}));
  EXPECT_FALSE(index.Find("rouge")->baseline);
  EXPECT_TRUE(index.Find("baseline.rouge")->baseline);
  EXPECT_TRUE(index.Find("baseline.quality.report.rouge")->baseline);
  EXPECT_EQ(Message({"rouge < baseline.rogue"}, reports),
            "the requirement is not met:\n"
            "  rouge < baseline.rogue\n"
            "    column 9: unknown metric 'baseline.rogue'\n"
            "        rouge < baseline.rogue\n"
            "                ^~~~~~~~~~~~~~\n"
            "    hint: did you mean 'baseline.rouge'?");
}

TEST(Baseline, WinsOverAMetricThatIsCalledSo) {
  auto reports = SlightlyWorse();
  reports[0].report.Set({.name = "baseline.rouge", .value = 7});
  const MetricIndex index(reports);
  EXPECT_TRUE(index.Find("baseline.rouge")->baseline);
  EXPECT_EQ(index.Find("quality.baseline.rouge")->metric.value, 7);
}

TEST(Baseline, TwoOfThemAreToldApartByTheirStages) {
  auto reports = SlightlyWorse();
  reports.push_back(Sampled("answers.report", true, {1, 2, 3}));
  EXPECT_EQ(Message({"rouge > baseline.rouge"}, reports),
            "the requirement is not met:\n"
            "  rouge > baseline.rouge\n"
            "    column 9: metric 'baseline.rouge' is in several reports\n"
            "        rouge > baseline.rouge\n"
            "                ^~~~~~~~~~~~~~\n"
            "    hint: write 'baseline.quality.rouge' or 'baseline.answers.rouge'");
}

TEST(Baseline, SampleBySampleASmallChangeIsSeen) {
  EXPECT_EQ(
      Message({"rouge >= baseline.rouge at 95%"}, SlightlyWorse()),
      "the requirement is not met:\n"
      "  rouge >= baseline.rouge at 95%\n"
      "    rouge = 0.475 ± 0.029, baseline.rouge = 0.495 ± 0.029\n"
      "    0.475 ± 0.029 >= 0.495 ± 0.029 is refuted at 95%: the difference is -0.0200 [-0.0220, -0.0180]\n"
      "    baseline.rouge and rouge: compared sample by sample, 100 of them");
  EXPECT_EQ(Message({"rouge >= baseline.rouge - 0.03 proven at 99%"}, SlightlyWorse()), "");
}

TEST(Baseline, OtherSamplesCountAsIndependent) {
  auto reports = SlightlyWorse();
  reports[1] = Sampled("quality.report", true, reports[1].samples->columns["rouge"], "other");
  EXPECT_EQ(Message({"rouge >= baseline.rouge at 95%"}, reports), "");
  EXPECT_EQ(
      Message({"rouge >= baseline.rouge proven at 95%"}, reports),
      "the requirement is not met:\n"
      "  rouge >= baseline.rouge proven at 95%\n"
      "    rouge = 0.475 ± 0.029, baseline.rouge = 0.495 ± 0.029\n"
      "    0.475 ± 0.029 >= 0.495 ± 0.029 is not proven at 95%: the difference is -0.020 [-0.100, 0.060]\n"
      "    baseline.rouge and rouge: not compared sample by sample, for their samples differ");
}

TEST(Baseline, ConfidenceOfTheGateHoldsForEveryComparison) {
  auto reports = SlightlyWorse();
  EXPECT_EQ(Message({"rouge >= baseline.rouge - 0.019", "not rouge < baseline.rouge - 0.019"}, reports,
                    {.confidence = 0.95}),
            "")
      << "0.001 below is within the interval, in both ways to write it";
  EXPECT_NE(Message({"rouge >= baseline.rouge - 0.019"}, reports), "");
  EXPECT_EQ(Message({"rouge >= 0.48 at 95%"}, {reports[0]}), "");
  EXPECT_NE(Message({"rouge >= 0.55 at 95%"}, {reports[0]}), "");
}

TEST(Baseline, ThePairedErrorIsThatOfTheDifferences) {
  const std::vector<double> a = {1, 0, 1, 1, 0.5, 0}, b = {0, 0, 1, 0.25, 1, 0};
  std::vector<double> d;
  for (size_t i = 0; i < a.size(); ++i) d.push_back(a[i] - b[i]);
  const auto changes = ChangesFromBaseline({Sampled("q.report", false, a), Sampled("q.report", true, b)});
  ASSERT_EQ(changes.size(), 1u);
  EXPECT_NEAR(changes[0].difference, Mean(d).value, 1e-12);
  EXPECT_NEAR(changes[0].stderr_value, Mean(d).stderr_value, 1e-12);
  EXPECT_EQ(changes[0].paired, 6);
}

// exp(sum of losses / sum of tokens): the same error as by RatioOfSums() and Exp(), windows of one id joined.
TEST(Baseline, PerplexityFromItsSamples) {
  const std::vector<double> losses = {20, 31, 12, 9}, tokens = {10, 12, 5, 3};
  SampleRows rows{{"a", "b", "c", "c", "d"}, {}};
  rows.columns["tokens"] = {10, 12, 2, 3, 3};
  rows.columns["loss"] = {2, 31.0 / 12, 3, 2, 3};
  const Estimate perplexity = Exp(RatioOfSums(losses, tokens));
  const Metric metric{.name = "perplexity",
                      .value = perplexity.value,
                      .of_samples = SampleEstimator{.column = "loss", .weight = "tokens", .exp = true}};
  const auto influences = InfluencesOf(metric, rows);
  ASSERT_TRUE(influences.has_value());
  EXPECT_NEAR(std::sqrt(*Covariance(*influences, *influences)), perplexity.stderr_value, 1e-9);
  const Metric other{.name = "perplexity", .value = 3, .of_samples = metric.of_samples};
  EXPECT_FALSE(InfluencesOf(other, rows).has_value()) << "a value that the rows do not give";
  EXPECT_FALSE(InfluencesOf({.name = "accuracy", .value = 1}, rows).has_value());
}

TEST(Baseline, WithoutOneYetNothingIsJudgedAgainstIt) {
  const std::vector<NamedReport> reports = {SlightlyWorse()[0]};
  const JudgeOptions first{.baseline_absent = true};
  const auto outcomes = Judge({"rouge >= baseline.rouge", "rouge > 0.4"}, reports, first);
  EXPECT_EQ(GateMessage(outcomes), "");
  EXPECT_TRUE(outcomes[0].skipped);
  EXPECT_FALSE(outcomes[1].skipped);
  EXPECT_EQ(outcomes[0].detail, "not judged: there is no baseline yet");
  EXPECT_EQ(GateSummary(outcomes), "Gate: 2 requirements, 1 of them not judged: there is no baseline yet.");
  EXPECT_NE(Message({"rouge > 0.9"}, reports, first), "") << "what needs no baseline is judged";
  EXPECT_NE(Message({"rouge >= baseline.rouge"}, reports), "") << "none is connected";
}

TEST(Baseline, TheReportHoldsEveryMetricAgainstIt) {
  auto reports = SlightlyWorse();
  reports[0].report.Set({.name = "examples", .value = 100});
  reports[1].report.Set({.name = "examples", .value = 100});
  reports[0].report.Set({.name = "new", .value = 1});
  const Report report = GateReport(Judge({"rouge > 0"}, reports, {}), reports);
  ASSERT_EQ(report.tables.size(), 2u);
  EXPECT_EQ(report.facts[1], (std::pair<std::string, std::string>("baseline", "quality")));
  EXPECT_EQ(report.tables[1].rows,
            (std::vector<std::vector<std::string>>{{"rouge", "0.475 ± 0.029", "0.495 ± 0.029",
                                                    "-0.0200 [-0.0220, -0.0180]", "100 paired", "worse"},
                                                   {"examples", "100", "100", "0", "", ""}}));
  EXPECT_NEAR(report.Find("change.rouge")->value, -0.02, 1e-12);
  EXPECT_NEAR(*report.Find("change.rouge")->stderr_value, 0.001005, 1e-6);
  EXPECT_EQ(report.Find("change.rouge")->n, 100);
}

TEST(Baseline, EstimatorsAndSamplesAreReadBack) {
  const ScratchFolder scratch;
  Report report;
  report.Set({.name = "perplexity",
              .value = 2,
              .of_samples = SampleEstimator{.column = "loss", .weight = "tokens", .exp = true}});
  using Type = data::ColumnType;
  report.samples.columns = {
      {"id", Type::kString}, {"answer", Type::kString}, {"passed", Type::kBool}, {"loss", Type::kDouble}};
  report.samples.rows = {{"a", "x", true, 1.5}, {"b", "y", false, data::TableCell()}, {"c", "z", true, 2.5}};
  ASSERT_TRUE(WriteReportWithSamples(report, scratch / "r").ok());
  const auto read = ReadReport(scratch / "r");
  ASSERT_TRUE(read.ok()) << read.error().ToString();
  EXPECT_EQ(read->metrics[0].of_samples->column, "loss");
  EXPECT_EQ(read->metrics[0].of_samples->weight, "tokens");
  EXPECT_TRUE(read->metrics[0].of_samples->exp);
  EXPECT_TRUE(ReadReport(scratch / "r/report.json").ok()) << "a file is read as well as its folder";
  const auto rows = ReadSampleRows(scratch / "r");
  ASSERT_TRUE(rows.ok() && rows->has_value());
  EXPECT_EQ((*rows)->ids, (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ((*rows)->columns.at("passed"), (std::vector<double>{1, 0, 1}));
  EXPECT_EQ((*rows)->columns.count("answer"), 0u);
  EXPECT_TRUE(std::isnan((*rows)->columns.at("loss")[1]));
  EXPECT_FALSE(ReadSampleRows(scratch / "none")->has_value());
}

}  // namespace
}  // namespace genflow::eval
