#include "guard/outcome.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "eval/markdown.h"
#include "eval/statistics.h"
#include "guard/probe.h"

namespace genflow::guard {
namespace {

struct Tally {
  int64_t passed = 0, n = 0;
};

Tally Count(const std::vector<ProbeOutcome>& outcomes, const std::string& kind) {
  Tally out;
  for (const auto& outcome : outcomes) {
    if (!kind.empty() && outcome.kind != kind) continue;
    ++out.n;
    if (!outcome.finding) ++out.passed;
  }
  return out;
}

double Rate(const Tally& tally) {
  return tally.n == 0 ? std::nan("") : static_cast<double>(tally.passed) / static_cast<double>(tally.n);
}

void AddRate(const std::string& name, const Tally& tally, const std::string& group, eval::Report* report,
             std::optional<eval::SampleEstimator> of_samples = {}) {
  const double rate = Rate(tally);
  const eval::Interval interval = eval::Wilson(tally.passed, tally.n);
  report->Set({.name = name,
               .value = rate,
               .stderr_value = tally.n == 0 ? 0 : std::sqrt(rate * (1 - rate) / static_cast<double>(tally.n)),
               .n = tally.n,
               .higher_is_better = true,
               .group = group,
               .of_samples = std::move(of_samples)});
  report->Set({.name = name + "_low", .value = interval.low, .n = tally.n, .group = group});
  report->Set({.name = name + "_high", .value = interval.high, .n = tally.n, .group = group});
}

size_t SeverityRank(const ProbeOutcome& outcome) {
  const auto& all = Severities();
  return static_cast<size_t>(std::find(all.begin(), all.end(), outcome.severity) - all.begin());
}

std::string Percent(double share) {
  char text[32];
  std::snprintf(text, sizeof text, "%.0f%%", share * 100);
  return text;
}

}  // namespace

eval::Report GuardReport(const std::vector<ProbeOutcome>& outcomes, const std::vector<ProbeOutcome>* base) {
  eval::Report report;
  report.title = "Guard";
  std::vector<std::string> kinds;
  for (const auto& outcome : outcomes) {
    if (std::find(kinds.begin(), kinds.end(), outcome.kind) == kinds.end()) kinds.push_back(outcome.kind);
  }
  AddRate("guard.pass_rate", Count(outcomes, ""), "", &report, eval::SampleEstimator{.column = "passed"});
  const Tally all = Count(outcomes, "");
  report.Set({.name = "guard.failures",
              .value = static_cast<double>(all.n - all.passed),
              .n = all.n,
              .higher_is_better = false});
  for (const auto& severity : Severities()) {
    const auto failed = std::count_if(outcomes.begin(), outcomes.end(), [&](const ProbeOutcome& o) {
      return o.finding && o.severity == severity;
    });
    report.Set({.name = "guard." + severity + ".failures",
                .value = static_cast<double>(failed),
                .n = all.n,
                .higher_is_better = false});
  }
  for (const auto& kind : kinds) {
    AddRate("guard." + kind + ".pass_rate", Count(outcomes, kind), "by kind", &report);
  }
  if (base != nullptr) {
    AddRate("baseline.guard.pass_rate", Count(*base, ""), "base model", &report);
    for (const auto& kind : kinds) {
      AddRate("baseline.guard." + kind + ".pass_rate", Count(*base, kind), "base model", &report);
    }
  }

  eval::Table table{"Kinds of probe", {"kind", "passed", "of", "95% interval"}, {}};
  if (base != nullptr) table.columns.push_back("base model passed");
  for (const auto& kind : kinds) {
    const Tally tally = Count(outcomes, kind);
    const eval::Interval interval = eval::Wilson(tally.passed, tally.n);
    table.rows.push_back({kind, std::to_string(tally.passed), std::to_string(tally.n),
                          Percent(interval.low) + " to " + Percent(interval.high)});
    if (base != nullptr) table.rows.back().push_back(std::to_string(Count(*base, kind).passed));
  }
  report.tables.push_back(std::move(table));

  // Failures first, the gravest of them at the top; otherwise in the order of the probes.
  std::vector<const ProbeOutcome*> order;
  for (const auto& outcome : outcomes) order.push_back(&outcome);
  std::stable_sort(order.begin(), order.end(), [](const ProbeOutcome* a, const ProbeOutcome* b) {
    if (a->finding.has_value() != b->finding.has_value()) return a->finding.has_value();
    return a->finding.has_value() && SeverityRank(*a) > SeverityRank(*b);
  });
  eval::Table worst{"Worst failures", {"kind", "probe", "severity", "found", "answer"}, {}};
  using Type = data::ColumnType;
  report.samples.columns = {{"kind", Type::kString},     {"probe", Type::kString},
                            {"severity", Type::kString}, {"passed", Type::kBool},
                            {"detector", Type::kString}, {"evidence", Type::kString},
                            {"prompt", Type::kString},   {"answer", Type::kString}};
  for (const ProbeOutcome* outcome : order) {
    const auto& finding = outcome->finding;
    if (finding && worst.rows.size() < 10) {
      worst.rows.push_back({outcome->kind, outcome->id, outcome->severity,
                            finding->detector + ": " + eval::Shorten(finding->evidence, 60),
                            eval::Shorten(outcome->answer, 120)});
    }
    report.samples.rows.push_back({outcome->kind, outcome->id, outcome->severity, !finding.has_value(),
                                   finding ? data::TableCell(finding->detector) : data::TableCell(),
                                   finding ? data::TableCell(finding->evidence) : data::TableCell(),
                                   outcome->prompt, outcome->answer});
  }
  if (!worst.rows.empty()) report.tables.push_back(std::move(worst));
  return report;
}

}  // namespace genflow::guard
