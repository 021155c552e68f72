// What a gate says: its message, and its report.
#include <algorithm>
#include <cmath>

#include "base/strings.h"
#include "eval/gate.h"
#include "eval/statistics.h"

namespace genflow::eval {
namespace {

constexpr double kLevel = 0.95;

std::string Indent(const std::string& text, const std::string& by) {
  std::string out = by;
  for (const char c : text) {
    out += c;
    if (c == '\n') out += by;
  }
  return out;
}

std::string OneLine(std::string text) {
  for (size_t at = 0; (at = text.find('\n', at)) != std::string::npos;) text.replace(at, 1, "; ");
  return text;
}

// "better", "worse", or "" where the interval holds no change.
std::string Direction(const Change& change) {
  const double least = NormalQuantile((1 + kLevel) / 2) * change.stderr_value;
  if (!change.now.higher_is_better || std::abs(change.difference) <= least) return "";
  return (change.difference > 0) == *change.now.higher_is_better ? "better" : "worse";
}

// The metric of the baseline that goes by the same name: of the same stage, or else the only one.
const NamedReport* BaselineOf(const NamedReport& report, const std::string& name,
                              const std::vector<NamedReport>& reports) {
  const NamedReport* other = nullptr;
  int others = 0;
  for (const auto& candidate : reports) {
    if (!candidate.baseline || candidate.report.Find(name) == nullptr) continue;
    if (!report.source.empty() && candidate.source == report.source) return &candidate;
    other = &candidate;
    ++others;
  }
  return others == 1 ? other : nullptr;
}

}  // namespace

std::string GateMessage(const std::vector<RequirementOutcome>& outcomes) {
  const auto failed =
      std::count_if(outcomes.begin(), outcomes.end(), [](const RequirementOutcome& o) { return !o.met; });
  if (failed == 0) return "";
  std::string out = std::to_string(failed) + " of " + std::to_string(outcomes.size()) + " requirements " +
                    (failed == 1 ? "is" : "are") + " not met:";
  if (outcomes.size() == 1) out = "the requirement is not met:";
  for (const auto& outcome : outcomes) {
    if (outcome.met) continue;
    out += "\n  " + outcome.requirement + "\n" + Indent(outcome.detail, "    ");
  }
  return out;
}

std::string GateSummary(const std::vector<RequirementOutcome>& outcomes) {
  const auto skipped =
      std::count_if(outcomes.begin(), outcomes.end(), [](const RequirementOutcome& o) { return o.skipped; });
  const bool one = outcomes.size() == 1;
  std::string out = "Gate: " + std::to_string(outcomes.size()) + (one ? " requirement" : " requirements");
  if (skipped == 0) return out + (one ? " met." : ", all met.");
  return out + ", " + (one ? "" : std::to_string(skipped) + " of them ") +
         "not judged: there is no baseline yet.";
}

std::vector<Change> ChangesFromBaseline(const std::vector<NamedReport>& reports) {
  std::vector<Change> out;
  for (const auto& report : reports) {
    if (report.baseline) continue;
    for (const auto& metric : report.report.metrics) {
      const NamedReport* baseline = BaselineOf(report, metric.name, reports);
      if (baseline == nullptr) continue;
      const auto same = std::count_if(reports.begin(), reports.end(), [&](const NamedReport& r) {
        return !r.baseline && r.report.Find(metric.name) != nullptr;
      });
      Change change{metric.name, metric, *baseline->report.Find(metric.name)};
      if (same > 1 && !report.stage.empty()) change.name = report.stage + "." + metric.name;
      change.difference = metric.value == change.before.value ? 0 : metric.value - change.before.value;
      const auto square = [](const Metric& m) { return std::pow(m.stderr_value.value_or(0), 2); };
      double variance = square(metric) + square(change.before);
      if (report.samples && baseline->samples) {
        const auto now = InfluencesOf(metric, *report.samples);
        const auto before = InfluencesOf(change.before, *baseline->samples);
        if (const auto both = now && before ? Covariance(*now, *before) : std::nullopt) {
          variance = *Covariance(*now, *now) + *Covariance(*before, *before) - 2 * *both;
          change.paired = static_cast<int64_t>(now->size());
        }
      }
      change.stderr_value = std::isfinite(variance) ? std::sqrt(std::max(0.0, variance)) : 0;
      out.push_back(std::move(change));
    }
  }
  return out;
}

Report GateReport(const std::vector<RequirementOutcome>& outcomes, const std::vector<NamedReport>& reports) {
  Report out;
  out.title = "Gate";
  std::vector<std::string> stages, baselines;
  for (const auto& report : reports) {
    const std::string& name = report.stage.empty() ? report.source : report.stage;
    (report.baseline ? baselines : stages).push_back(name);
  }
  out.facts.emplace_back("reports", Join(stages, ", "));
  if (!baselines.empty()) out.facts.emplace_back("baseline", Join(baselines, ", "));
  const auto met = std::count_if(outcomes.begin(), outcomes.end(), [](const auto& o) { return o.met; });
  out.Set({.name = "gate.met", .value = static_cast<double>(met), .higher_is_better = true});
  out.Set({.name = "gate.required", .value = static_cast<double>(outcomes.size())});
  Table table{"Requirements", {"requirement", "met", "numbers", "difference"}, {}};
  for (const auto& outcome : outcomes) {
    const char* verdict = outcome.skipped ? "no baseline"
                          : outcome.error ? "error"
                          : outcome.met   ? "yes"
                                          : "no";
    table.rows.push_back({outcome.requirement, verdict,
                          outcome.error ? outcome.detail : OneLine(outcome.detail),
                          Join(outcome.differences, "; ")});
  }
  out.tables.push_back(std::move(table));
  Table against{"Against the baseline", {"metric", "now", "baseline", "change [95%]", "samples", ""}, {}};
  for (const auto& change : ChangesFromBaseline(reports)) {
    against.rows.push_back({change.name, FormatMetric(change.now), FormatMetric(change.before),
                            ShowInterval(change.difference, change.stderr_value, kLevel),
                            change.paired > 0 ? WithCommas(change.paired) + " paired" : "",
                            Direction(change)});
    Metric metric{.name = "change." + change.name, .value = change.difference, .n = change.paired};
    if (change.stderr_value > 0) metric.stderr_value = change.stderr_value;
    metric.higher_is_better = change.now.higher_is_better;
    metric.unit = change.now.unit;
    metric.group = "change from the baseline";
    out.Set(std::move(metric));
  }
  if (!against.rows.empty()) out.tables.push_back(std::move(against));
  return out;
}

}  // namespace genflow::eval
