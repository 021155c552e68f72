#include "eval/gate.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "base/strings.h"
#include "text/numbers.h"

namespace genflow::eval {
namespace {

// As FormatMetric, for the value of an expression.
std::string Show(const Uncertain& x) {
  Metric metric;
  metric.value = x.value;
  if (x.variance > 0) metric.stderr_value = std::sqrt(x.variance);
  return FormatMetric(metric);
}

std::string Indent(const std::string& text, const std::string& by) {
  std::string out = by;
  for (const char c : text) {
    out += c;
    if (c == '\n') out += by;
  }
  return out;
}

std::string Flip(const std::string& op) {
  if (op == "<") return ">=";
  if (op == "<=") return ">";
  if (op == ">") return "<=";
  if (op == ">=") return "<";
  return op == "==" ? "!=" : "==";
}

}  // namespace

MetricIndex::MetricIndex(const std::vector<NamedReport>& reports) {
  for (const auto& [stage, report, source] : reports) {
    for (const auto& metric : report.metrics) entries_.push_back({stage, source, metric});
  }
}

std::string MetricIndex::FullName(const Entry& entry) const {
  if (entry.stage.empty()) return "";
  const auto same = std::count_if(entries_.begin(), entries_.end(), [&](const Entry& other) {
    return other.stage == entry.stage && other.metric.name == entry.metric.name;
  });
  if (same == 1) return entry.stage + "." + entry.metric.name;
  return entry.source.empty() ? "" : entry.source + "." + entry.metric.name;
}

Error MetricIndex::Ambiguous(const std::string& name, const std::vector<const Entry*>& found) const {
  std::vector<std::string> full;
  for (const Entry* entry : found) {
    if (const std::string candidate = FullName(*entry); !candidate.empty())
      full.push_back("'" + candidate + "'");
  }
  return InvalidError("metric '" + name + "' is in several reports",
                      full.empty() ? "connect only one of them" : "write " + Join(full, " or "));
}

Result<Metric> MetricIndex::Find(const std::string& name) const {
  std::vector<const Entry*> full, plain;
  for (const auto& entry : entries_) {
    const bool by_stage = !entry.stage.empty() && entry.stage + "." + entry.metric.name == name;
    const bool by_source = !entry.source.empty() && entry.source + "." + entry.metric.name == name;
    if (by_stage || by_source) full.push_back(&entry);
    if (entry.metric.name == name) plain.push_back(&entry);
  }
  const auto& found = full.empty() ? plain : full;
  if (found.size() == 1) return found.front()->metric;
  if (found.size() > 1) return Ambiguous(name, found);
  std::vector<std::string> names;
  for (const auto& entry : entries_) names.push_back(entry.metric.name);
  const std::vector<std::string> every = Names();
  names.insert(names.end(), every.begin(), every.end());
  std::string hint = "the reports hold no metric";
  if (const auto near = NearestName(name, names)) {
    hint = "did you mean '" + *near + "'?";
  } else if (!entries_.empty()) {
    std::vector<std::string> some;
    for (const auto& entry : entries_) {
      if (some.size() < 8) some.push_back(entry.metric.name);
    }
    hint = "the reports hold " + Join(some, ", ") + (entries_.size() > some.size() ? ", ..." : "");
  }
  return InvalidError("unknown metric '" + name + "'", hint);
}

std::vector<std::string> MetricIndex::Names() const {
  std::set<std::string> out;
  for (const auto& entry : entries_) {
    const auto same = std::count_if(entries_.begin(), entries_.end(),
                                    [&](const Entry& e) { return e.metric.name == entry.metric.name; });
    if (same == 1) out.insert(entry.metric.name);
    if (const std::string full = FullName(entry); !full.empty()) out.insert(full);
  }
  return {out.begin(), out.end()};
}

std::string CheckRequirements(const std::vector<std::string>& requirements) {
  if (requirements.empty()) return "require is empty: a gate needs at least one requirement";
  std::string out;
  for (size_t i = 0; i < requirements.size(); ++i) {
    const auto parsed = Expression::Parse(requirements[i]);
    if (parsed.ok()) continue;
    if (!out.empty()) out += "\n";
    out += "require[" + std::to_string(i) + "], " + parsed.error().message;
    if (!parsed.error().hint.empty()) out += "\n    hint: " + parsed.error().hint;
  }
  return out;
}

std::vector<RequirementOutcome> Judge(const std::vector<std::string>& requirements,
                                      const std::vector<NamedReport>& reports, double tolerance) {
  const MetricIndex index(reports);
  const auto resolve = [&](const std::string& name) -> Result<Uncertain> {
    GF_TRY(const Metric metric, index.Find(name));
    const double error =
        metric.stderr_value && std::isfinite(*metric.stderr_value) ? *metric.stderr_value : 0;
    return Uncertain{metric.value, error * error};
  };
  std::vector<RequirementOutcome> out;
  for (const auto& requirement : requirements) {
    RequirementOutcome& outcome = out.emplace_back();
    outcome.requirement = requirement;
    const auto fail = [&](const Error& error) {
      outcome.error = true;
      outcome.detail = error.message;
      if (!error.hint.empty()) outcome.detail += "\nhint: " + error.hint;
    };
    const auto expression = Expression::Parse(requirement);
    if (!expression.ok()) {
      fail(expression.error());
      continue;
    }
    const auto result = expression->Evaluate(resolve, tolerance);
    if (!result.ok()) {
      fail(result.error());
      continue;
    }
    outcome.met = result->holds;
    std::vector<std::string> numbers;
    for (const auto& name : expression->Names()) {
      numbers.push_back(name + " = " + FormatMetric(index.Find(name).value()));
    }
    outcome.detail = Join(numbers, ", ");
    for (const auto& c : result->comparisons) {
      if (!outcome.detail.empty()) outcome.detail += "\n";
      outcome.detail += Show(c.left) + " " + (c.holds ? c.op : Flip(c.op)) + " " + Show(c.right);
      if (tolerance != 0 && c.op != "==" && c.op != "!=") {
        outcome.detail += " (with a tolerance of " + text::Number(tolerance) + " standard errors)";
      }
    }
  }
  return out;
}

bool AnyError(const std::vector<RequirementOutcome>& outcomes) {
  return std::any_of(outcomes.begin(), outcomes.end(), [](const RequirementOutcome& o) { return o.error; });
}

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

Report GateReport(const std::vector<RequirementOutcome>& outcomes, const std::vector<NamedReport>& reports) {
  Report out;
  out.title = "Gate";
  std::vector<std::string> stages;
  for (const auto& report : reports) stages.push_back(report.stage);
  out.facts.emplace_back("reports", Join(stages, ", "));
  const auto met = std::count_if(outcomes.begin(), outcomes.end(), [](const auto& o) { return o.met; });
  out.Set({.name = "gate.met", .value = static_cast<double>(met), .higher_is_better = true});
  out.Set({.name = "gate.required", .value = static_cast<double>(outcomes.size())});
  Table table{"Requirements", {"requirement", "met", "numbers"}, {}};
  for (const auto& outcome : outcomes) {
    std::string detail = outcome.detail;
    for (size_t at = 0; (at = detail.find('\n', at)) != std::string::npos;) detail.replace(at, 1, "; ");
    table.rows.push_back(
        {outcome.requirement, outcome.met ? "yes" : "no", outcome.error ? outcome.detail : detail});
  }
  out.tables.push_back(std::move(table));
  return out;
}

}  // namespace genflow::eval
