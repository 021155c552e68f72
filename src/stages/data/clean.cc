#include "stages/data/clean.h"

#include <filesystem>
#include <utility>

#include "base/strings.h"
#include "eval/report_samples.h"
#include "stages/data/run_helpers.h"

namespace genflow::stages {
namespace {

eval::Report ReportOf(const data::CleanStats& stats) {
  eval::Report report;
  report.title = "Cleaning";
  const auto rows_in = static_cast<int64_t>(stats.rows_in);
  const auto add = [&](std::string name, double value, std::optional<bool> higher_is_better, std::string unit,
                       std::string group) {
    eval::Metric metric;
    metric.name = std::move(name);
    metric.value = value;
    metric.n = rows_in;
    metric.higher_is_better = higher_is_better;
    metric.unit = std::move(unit);
    metric.group = std::move(group);
    report.Set(std::move(metric));
  };
  add("rows_in", static_cast<double>(stats.rows_in), std::nullopt, "rows", "");
  add("rows_out", static_cast<double>(stats.rows_out), std::nullopt, "rows", "");
  add("kept_share", static_cast<double>(stats.rows_out) / static_cast<double>(stats.rows_in), true, "", "");
  add("changed", static_cast<double>(stats.changed), std::nullopt, "rows", "");
  add("characters_in", static_cast<double>(stats.characters_in), std::nullopt, "characters", "");
  add("characters_out", static_cast<double>(stats.characters_out), std::nullopt, "characters", "");
  for (const auto& [reason, count] : stats.dropped) {
    add("dropped." + reason, static_cast<double>(count), std::nullopt, "rows", "Dropped");
  }
  for (const auto& [kind, count] : stats.redacted) {
    add("redacted." + kind, static_cast<double>(count), std::nullopt, "", "Redacted");
  }
  eval::Table table;
  table.title = "Rows dropped, the first of each reason";
  table.columns = {"reason", "row", "text", "why"};
  for (const auto& column : table.columns)
    report.samples.columns.push_back({column, data::ColumnType::kString});
  for (const auto& [reason, samples] : stats.samples) {
    for (const auto& sample : samples) {
      table.rows.push_back({reason, sample.id, sample.text, sample.detail});
      report.samples.rows.push_back({reason, sample.id, sample.text, sample.detail});
    }
  }
  if (!table.rows.empty()) report.tables.push_back(std::move(table));
  return report;
}

}  // namespace

void DataClean::Declare(Spec& spec) {
  spec.Doc(
      "Works on text, messages and preference rows. First every text is normalised and redacted, then the "
      "filters look "
      "at all text of the row, then repeats go. Each row that goes is counted under one reason, and the "
      "first ones are "
      "shown in the report. Cleaning what was cleaned changes nothing.\n\n"
      "Near duplicates are found by MinHash: two texts are near when at least `near_dedup.threshold` of "
      "their runs of "
      "`near_dedup.shingle_words` words are the same; the first stays.");
  spec.Param("nfc", &nfc, true, "Bring text into Unicode normalisation form C.");
  spec.Param("strip_control", &strip_control, true,
             "Remove control characters, zero-width and direction marks, soft hyphens.");
  spec.Param(
      "whitespace", &whitespace, "lines",
      "keep: as it is. lines: no spaces at line ends, at most one empty line in a row. collapse: one space "
      "between words.",
      {.choices = {"keep", "lines", "collapse"}});
  spec.Param(
      "redact", &redact, "[]",
      "What to replace by its name in brackets, in texts and in the strings of meta: email, phone, ip, key.");
  spec.Param("min_chars", &min_chars, 1, "Characters that a row has at least.", {.min = 0, .max = 1e9});
  spec.Param("max_chars", &max_chars, "Characters that a row has at most.", {.min = 1, .max = 1e9});
  spec.Param("min_words", &min_words, 0, "Words that a row has at least.", {.min = 0, .max = 1e9});
  spec.Param("min_alpha", &min_alpha, 0.0, "Share of letters in what is no white space, at least.",
             {.min = 0, .max = 1});
  spec.Param("max_repeated_lines", &max_repeated_lines, 1.0,
             "Share of the text in lines that stood in the same row before, at most.", {.min = 0, .max = 1});
  spec.Param("max_repeated_words", &max_repeated_words, 1.0,
             "Share of the runs of three words that stood in the same row before, at most.",
             {.min = 0, .max = 1});
  spec.Param("ascii_only", &ascii_only, false, "Drop rows with other characters than ASCII.");
  spec.Param("drop_patterns", &drop_patterns, "[]",
             "Regular expressions (PCRE2); rows whose text matches one go.");
  spec.Param("require_patterns", &require_patterns, "[]",
             "Regular expressions (PCRE2); rows whose text does not match every one go.");
  spec.Param("drop_ids", &drop_ids, "[]", "Regular expressions (PCRE2); rows whose id matches one go.");
  spec.Param(
      "unique_by", &unique_by, "",
      "A field, such as meta.name; of rows with the same value, as it is after redaction, the first that no "
      "other rule drops stays.");
  spec.Param("dedup", &dedup, true,
             "Drop texts seen before; case, punctuation and white space do not count.");
  spec.Param("near_dedup.enabled", &near, false, "Drop near duplicates.");
  spec.Param("near_dedup.threshold", &near_threshold, 0.8,
             "Share of equal word runs from which a text is a copy.", {.min = 0.1, .max = 1});
  spec.Param("near_dedup.shingle_words", &near_shingle_words, 5, "Words a run.", {.min = 1, .max = 100});
  spec.Param("near_dedup.permutations", &near_permutations, 64,
             "Hashes a text; more are more exact and slower.", {.min = 8, .max = 1024});
  spec.Input("dataset", "dataset", "Rows of any kind.");
  spec.Output("dataset", "dataset", "The rows that stay, in their order.");
  spec.Output("report", "report", "How many rows went and why, with samples.");
}

data::CleanOptions DataClean::Options() const {
  data::CleanOptions out;
  out.normalize.nfc = nfc;
  out.normalize.strip_control = strip_control;
  if (whitespace == "keep") out.normalize.whitespace = data::Whitespace::kKeep;
  if (whitespace == "collapse") out.normalize.whitespace = data::Whitespace::kCollapse;
  out.redact = redact;
  out.min_chars = static_cast<uint64_t>(min_chars);
  out.max_chars = static_cast<uint64_t>(max_chars.value_or(0));
  out.min_words = static_cast<uint64_t>(min_words);
  out.min_alpha = min_alpha;
  out.max_repeated_lines = max_repeated_lines;
  out.max_repeated_words = max_repeated_words;
  out.ascii_only = ascii_only;
  out.drop_patterns = drop_patterns;
  out.require_patterns = require_patterns;
  out.drop_ids = drop_ids;
  out.unique_by = unique_by;
  out.dedup = dedup;
  if (near) {
    out.near = data::NearOptions{near_threshold, static_cast<int>(near_shingle_words),
                                 static_cast<int>(near_permutations)};
  }
  return out;
}

std::string DataClean::Check() const {
  std::vector<std::string> problems;
  if (max_chars && *max_chars < min_chars) {
    problems.push_back("max_chars (" + std::to_string(*max_chars) + ") is less than min_chars (" +
                       std::to_string(min_chars) + ")");
  }
  if (const std::string text = CheckText(data::CheckClean(Options())); !text.empty())
    problems.push_back(text);
  return Join(problems, "\n");
}

Outcome DataClean::Run(Context& context) {
  const auto stats =
      ValueUnlessStopped(data::CleanDataset(context.GetInput("dataset").path, Options(),
                                            context.OutputPath("dataset"), ProgressOf(context, "rows")));
  if (!stats) return Outcome::kInterrupted;
  const eval::Report report = ReportOf(*stats);
  Require(eval::WriteReportWithSamples(report, context.OutputPath("report")));
  for (const auto& metric : report.metrics) context.Metric(metric.name, metric.value);
  std::string summary = WithCommas(static_cast<int64_t>(stats->rows_out)) + " of " +
                        WithCommas(static_cast<int64_t>(stats->rows_in)) + " rows kept";
  std::vector<std::string> reasons;
  for (const auto& [reason, count] : stats->dropped) {
    reasons.push_back(reason + " " + WithCommas(static_cast<int64_t>(count)));
  }
  if (!reasons.empty()) summary += "; dropped: " + Join(reasons, ", ");
  context.Info(summary);
  context.Summary(summary + ".");
  return Outcome::kOk;
}

}  // namespace genflow::stages
