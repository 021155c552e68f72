// What an evaluation found: metrics with their standard errors, tables for people, sample rows.
//
// On disk a report is a folder:
//   report.json      metrics, tables and facts in the order they were added; read back by ReadReport()
//   report.md        the same for people
//   samples.parquet  the sample rows, where there are any
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "data/table_writer.h"

namespace genflow::eval {

// How a metric comes from the sample rows: the mean of a column, or sum(column * weight) / sum(weight). Lets
// two reports on the same samples be compared sample by sample.
struct SampleEstimator {
  std::string column;
  std::string weight;  // a column; "": every row counts once
  bool exp = false;    // the metric is exp() of that
};

// One number. Not-finite values are kept: in JSON they are the strings "NaN", "Infinity", "-Infinity".
struct Metric {
  std::string name;  // dotted words of letters, digits, '_' and '-': "perplexity", "baseline.perplexity"
  double value = 0;
  std::optional<double> stderr_value;    // standard error of `value`
  int64_t n = 0;                         // observations behind it; 0: not a sample statistic
  std::optional<bool> higher_is_better;  // nothing: neither
  std::string unit;                      // "tokens", "s", ""; ratios have none
  std::string group;                     // heading in report.md; "" is the first one
  std::optional<SampleEstimator> of_samples;
};

struct Table {
  std::string title;
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;  // each as long as `columns`
};

inline constexpr const char* kSamplesFile = "samples.parquet";

struct Report {
  std::string title;
  std::vector<std::pair<std::string, std::string>> facts;  // "model" -> "smollm2", shown above the metrics
  std::vector<Metric> metrics;
  std::vector<Table> tables;
  data::TypedTable samples;  // not read back: ReadReport() leaves it empty

  // Adds a metric, or replaces the one of the same name in its place.
  Metric& Set(Metric metric);
  const Metric* Find(std::string_view name) const;
  std::vector<std::string> MetricNames() const;

  // Appends the other report's metrics as "PREFIX.name" ("" keeps the names), its tables as
  // "PREFIX: title" and its facts as "PREFIX.key". Samples are not taken over. A name that is already
  // there is kInvalid, and nothing is changed.
  Status Merge(const Report& other, std::string_view prefix);
};

// Value with as many digits as its standard error justifies: "12.34 ± 0.12", "0.875", "1,024 tokens".
std::string FormatMetric(const Metric& metric);

// "-0.070 [-0.168, 0.028]": a value and its two-sided interval at a confidence 0..1, by the normal
// approximation; the value alone where the standard error is 0.
std::string ShowInterval(double value, double stderr_value, double level);

std::string ReportToJson(const Report& report);
std::string ReportToMarkdown(const Report& report);

// `where` names the text in messages. Malformed text is kCorrupt.
Result<Report> ReportFromJson(std::string_view text, std::string_view where);

// Writes report.json and report.md into `folder`, which is made if missing. A report that may have sample
// rows is for WriteReportWithSamples() of eval/report_samples.h.
Status WriteReport(const Report& report, const std::filesystem::path& folder);

// Reads `path`/report.json, or `path` itself where it is a file. Messages call it `name`; empty: by its path.
Result<Report> ReadReport(const std::filesystem::path& path, const std::string& name = {});

}  // namespace genflow::eval
