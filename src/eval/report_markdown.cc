// report.md.
#include <algorithm>

#include "eval/markdown.h"
#include "eval/report.h"

namespace genflow::eval {
namespace {

const char* Direction(const Metric& metric) {
  if (!metric.higher_is_better) return "";
  return *metric.higher_is_better ? "higher is better" : "lower is better";
}

}  // namespace

std::string ReportToMarkdown(const Report& report) {
  std::string out = "# " + report.title + "\n";
  if (!report.facts.empty()) {
    out += "\n";
    for (const auto& [key, value] : report.facts) out += "- " + key + ": " + MarkdownLine(value) + "\n";
  }
  std::vector<std::string> groups;
  for (const auto& metric : report.metrics) {
    if (std::find(groups.begin(), groups.end(), metric.group) == groups.end()) groups.push_back(metric.group);
  }
  for (const auto& group : groups) {
    out += group.empty() ? "\n## Metrics\n\n" : "\n## Metrics: " + group + "\n\n";
    Table table{"", {"metric", "value", "n", ""}, {}};
    for (const auto& metric : report.metrics) {
      if (metric.group != group) continue;
      table.rows.push_back({metric.name, FormatMetric(metric), metric.n == 0 ? "" : std::to_string(metric.n),
                            Direction(metric)});
    }
    out += MarkdownTable(table);
  }
  for (const auto& table : report.tables) out += "\n## " + table.title + "\n\n" + MarkdownTable(table);
  return out;
}

}  // namespace genflow::eval
