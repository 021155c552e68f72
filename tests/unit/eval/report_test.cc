#include "eval/report.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/files.h"
#include "data/parquet_rows.h"
#include "eval/gate.h"
#include "eval/report_samples.h"
#include "testing/scratch.h"

namespace genflow::eval {
namespace {

namespace fs = std::filesystem;

Report Sample() {
  Report report;
  report.title = "Perplexity";
  report.facts = {{"model", "tiny"}, {"dataset", "held out | 3 rows"}};
  report.Set(
      {.name = "perplexity", .value = 12.3456, .stderr_value = 0.1234, .n = 40, .higher_is_better = false});
  report.Set({.name = "tokens", .value = 12345, .unit = "tokens"});
  report.Set(
      {.name = "baseline.perplexity", .value = 20, .n = 40, .higher_is_better = false, .group = "base"});
  report.tables.push_back({"Answers", {"prompt", "answer"}, {{"ls", "a | b\nc"}}});
  using Type = data::ColumnType;
  report.samples = {{{"id", Type::kString},
                     {"text", Type::kString},
                     {"loss", Type::kDouble},
                     {"tokens", Type::kInt64},
                     {"best", Type::kBool}},
                    {{std::string("a"), std::string("x\ny"), 0.5, int64_t{3}, true},
                     {std::string("b"), std::monostate{}, std::nan(""), int64_t{0}, false}}};
  return report;
}

TEST(Report, Json) {
  EXPECT_EQ(ReportToJson(Sample()), R"({
  "format": "genflow.report",
  "version": 1,
  "title": "Perplexity",
  "facts": {
    "model": "tiny",
    "dataset": "held out | 3 rows"
  },
  "metrics": {
    "perplexity": {
      "value": 12.3456,
      "stderr": 0.1234,
      "n": 40,
      "higher_is_better": false
    },
    "tokens": {
      "value": 12345.0,
      "n": 0,
      "unit": "tokens"
    },
    "baseline.perplexity": {
      "value": 20.0,
      "n": 40,
      "higher_is_better": false,
      "group": "base"
    }
  },
  "tables": [
    {
      "title": "Answers",
      "columns": [
        "prompt",
        "answer"
      ],
      "rows": [
        [
          "ls",
          "a | b\nc"
        ]
      ]
    }
  ],
  "samples": {
    "file": "samples.parquet",
    "rows": 2,
    "columns": [
      "id",
      "text",
      "loss",
      "tokens",
      "best"
    ]
  }
}
)");
}

TEST(Report, Markdown) {
  EXPECT_EQ(ReportToMarkdown(Sample()), R"(# Perplexity

- model: tiny
- dataset: held out \| 3 rows

## Metrics

| metric     | value         | n   |                 |
|------------|---------------|-----|-----------------|
| perplexity | 12.35 ± 0.12  | 40  | lower is better |
| tokens     | 12,345 tokens |     |                 |

## Metrics: base

| metric              | value | n   |                 |
|---------------------|-------|-----|-----------------|
| baseline.perplexity | 20    | 40  | lower is better |

## Answers

| prompt | answer   |
|--------|----------|
| ls     | a \| b c |
)");
}

TEST(Report, RoundTripThroughAFolder) {
  const ScratchFolder scratch;
  const fs::path folder = scratch / "report";
  Report report = Sample();
  report.Set({.name = "diverged", .value = std::numeric_limits<double>::infinity()});
  report.Set({.name = "none", .value = std::nan("")});
  ASSERT_TRUE(WriteReport(report, folder).ok());
  const auto back = ReadReport(folder);
  ASSERT_TRUE(back.ok()) << back.error().ToString();
  EXPECT_EQ(back->title, report.title);
  EXPECT_EQ(back->facts, report.facts);
  ASSERT_EQ(back->MetricNames(), report.MetricNames());
  EXPECT_EQ(back->Find("perplexity")->value, 12.3456);
  EXPECT_EQ(back->Find("perplexity")->stderr_value, 0.1234);
  EXPECT_EQ(back->Find("perplexity")->higher_is_better, false);
  EXPECT_EQ(back->Find("tokens")->higher_is_better, std::nullopt);
  EXPECT_EQ(back->Find("tokens")->unit, "tokens");
  EXPECT_EQ(back->Find("baseline.perplexity")->group, "base");
  EXPECT_TRUE(std::isinf(back->Find("diverged")->value));
  EXPECT_TRUE(std::isnan(back->Find("none")->value));
  ASSERT_EQ(back->tables.size(), 1u);
  EXPECT_EQ(back->tables[0].rows, report.tables[0].rows);
}

TEST(Report, SamplesStandBesideItAsParquet) {
  const ScratchFolder scratch;
  Report report = Sample();
  ASSERT_TRUE(WriteReportWithSamples(report, scratch / "one").ok());
  EXPECT_EQ(ReadFile(scratch / "one/report.json").value(), ReportToJson(report));
  EXPECT_EQ(ReadFile(scratch / "one/report.md").value(), ReportToMarkdown(report));
  const auto rows = data::ParquetRows::Open(scratch / "one/samples.parquet");
  ASSERT_TRUE(rows.ok()) << rows.error().ToString();
  ASSERT_EQ((*rows)->rows(), 2u);
  std::string row;
  ASSERT_TRUE((*rows)->Next(&row).value());
  EXPECT_EQ(row, R"({"id":"a","text":"x\u000ay","loss":0.5,"tokens":3,"best":true})");

  report.samples.rows.clear();
  ASSERT_TRUE(WriteReportWithSamples(report, scratch / "none").ok());
  EXPECT_TRUE(std::filesystem::exists(scratch / "none/report.json"));
  EXPECT_FALSE(std::filesystem::exists(scratch / "none/samples.parquet"));
}

TEST(Report, FormatMetricShowsWhatTheErrorJustifies) {
  const auto format = [](double value, std::optional<double> error, const char* unit = "") {
    return FormatMetric({.name = "x", .value = value, .stderr_value = error, .unit = unit});
  };
  EXPECT_EQ(format(0.875, {}), "0.875");
  EXPECT_EQ(format(1234.5678, {}), "1,235");
  EXPECT_EQ(format(3, {}, "s"), "3 s");
  EXPECT_EQ(format(123.456, 4.2), "123.5 ± 4.2");
  EXPECT_EQ(format(0.123456, 0.00123), "0.1235 ± 0.0012");
  EXPECT_EQ(format(1234.5, 56.7), "1234 ± 57");
  EXPECT_EQ(format(0.5, 0.0), "0.5");
  EXPECT_EQ(format(std::numeric_limits<double>::infinity(), {}), "infinite");
}

TEST(Report, MergeUnderPrefixes) {
  Report all;
  all.title = "All";
  ASSERT_TRUE(all.Merge(Sample(), "quality").ok());
  Report guard;
  guard.Set({.name = "guard.pass_rate", .value = 0.9});
  ASSERT_TRUE(all.Merge(guard, "").ok());
  EXPECT_EQ(all.MetricNames(), (std::vector<std::string>{"quality.perplexity", "quality.tokens",
                                                         "quality.baseline.perplexity", "guard.pass_rate"}));
  EXPECT_EQ(all.Find("quality.perplexity")->group, "quality");
  EXPECT_EQ(all.Find("quality.baseline.perplexity")->group, "base");
  EXPECT_EQ(all.tables[0].title, "quality: Answers");
  const Status twice = all.Merge(guard, "");
  ASSERT_FALSE(twice.ok());
  EXPECT_EQ(twice.error().ToString(),
            "metric 'guard.pass_rate' is in two of the reports\n  hint: give the reports different prefixes");
  EXPECT_EQ(all.metrics.size(), 4u);
}

TEST(Report, ErrorsOfReportJson) {
  const auto message = [](std::string_view text) {
    const auto report = ReportFromJson(text, "r.json");
    return report.ok() ? std::string("ok") : report.error().ToString();
  };
  const std::string whole = ReportToJson(Sample());
  EXPECT_EQ(message(whole), "ok");
  const std::string hint =
      "\n  hint: a report.json is {\"format\": \"genflow.report\", \"version\": 1, \"metrics\": {\"acc\": "
      "{\"value\": 0.9}}}";
  EXPECT_EQ(message(" \n"), "r.json: is empty" + hint);
  EXPECT_EQ(message(R"({"format": "genflow.report", "vers)"), "r.json: not JSON at byte 35");
  EXPECT_EQ(message("[]"), "r.json: not a report: its 'format' is not \"genflow.report\"" + hint);
  EXPECT_EQ(message(R"({"format": "genflow.report"})"), "r.json: 'version' is not an integer" + hint);
  EXPECT_EQ(message(R"({"format": "genflow.report", "version": 2})"),
            "r.json: report version 2 is not one that this genflow reads (1)\n"
            "  hint: make the report again, or use the genflow that wrote it");
  const std::string head = R"({"format": "genflow.report", "version": 1, "metrics": )";
  EXPECT_EQ(message(head + "[]}"), "r.json: 'metrics' is not an object");
  EXPECT_EQ(message(head + R"({"a": 1}})"), "r.json: metric 'a' is not an object");
  EXPECT_EQ(message(head + R"({"a": {}}})"), "r.json: metric 'a' has no value");
  EXPECT_EQ(message(head + R"({"a": {"value": "x"}}})"), "r.json: metric 'a': 'value' is not a number");
  EXPECT_EQ(message(head + R"({"a": {"value": 1, "n": 0.5}}})"), "r.json: metric 'a': 'n' is not an integer");
  EXPECT_EQ(message(head + R"({"a": {"value": 1, "higher_is_better": 1}}})"),
            "r.json: metric 'a': 'higher_is_better' is not true or false");
  EXPECT_EQ(message(head + R"({}, "tables": [{"columns": ["a"], "rows": [["x", "y"]]}]})"),
            "r.json: table: 'rows' is not a list of rows with one string a column");
  EXPECT_EQ(message(head + R"({}, "facts": {"a": 1}})"), "r.json: 'facts' is not an object of strings");
}

// Every prefix of a report is refused or, where only white space is missing, read; none crashes.
TEST(Report, EveryTruncationIsRefused) {
  const std::string whole = ReportToJson(Sample());
  for (size_t size = 0; size + 1 < whole.size(); ++size) {
    EXPECT_FALSE(ReportFromJson(whole.substr(0, size), "r.json").ok()) << size;
  }
}

TEST(Report, MissingFolder) {
  const auto report = ReadReport("/nonexistent/report");
  ASSERT_FALSE(report.ok());
  EXPECT_EQ(report.error().message, "/nonexistent/report/report.json: No such file or directory");
}

// Value of a metric by its name, or the error.
std::string Found(const std::vector<NamedReport>& reports, const std::string& name) {
  const auto metric = MetricIndex(reports).Find(name);
  return metric.ok() ? FormatMetric(metric->metric) : metric.error().ToString();
}

TEST(MetricIndex, TwoReportsOfOneStage) {
  Report first, second, other;
  first.Set({.name = "loss", .value = 1});
  first.Set({.name = "only", .value = 5});
  second.Set({.name = "loss", .value = 2});
  other.Set({.name = "loss", .value = 3});
  const std::vector<NamedReport> reports = {
      {"q", first, "q.report"}, {"q", second, "q.more"}, {"r", other, "r.report"}};
  EXPECT_EQ(Found(reports, "q.report.loss"), "1");
  EXPECT_EQ(Found(reports, "q.more.loss"), "2");
  EXPECT_EQ(Found(reports, "r.loss"), "3");
  EXPECT_EQ(Found(reports, "q.only"), "5");
  EXPECT_EQ(Found(reports, "only"), "5");
  EXPECT_EQ(Found(reports, "q.loss"),
            "metric 'q.loss' is in several reports\n  hint: write 'q.report.loss' or 'q.more.loss'");
  EXPECT_EQ(Found(reports, "loss"),
            "metric 'loss' is in several reports\n"
            "  hint: write 'q.report.loss' or 'q.more.loss' or 'r.loss'");
  EXPECT_EQ(MetricIndex(reports).Names(),
            (std::vector<std::string>{"only", "q.more.loss", "q.only", "q.report.loss", "r.loss"}));
  // Without their ports they cannot be told apart.
  const std::vector<NamedReport> unknown = {{"q", first}, {"q", second}};
  EXPECT_EQ(Found(unknown, "q.loss"),
            "metric 'q.loss' is in several reports\n  hint: connect only one of them");
}

}  // namespace
}  // namespace genflow::eval
