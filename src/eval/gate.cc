#include "eval/gate.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "base/strings.h"
#include "eval/statistics.h"
#include "text/numbers.h"

namespace genflow::eval {
namespace {

constexpr double kShownLevel = 0.95;  // of intervals where nothing else is asked for

// As FormatMetric, for the value of an expression.
std::string Show(const Uncertain& x) {
  Metric metric;
  metric.value = x.value;
  if (x.variance > 0) metric.stderr_value = std::sqrt(x.variance);
  return FormatMetric(metric);
}

std::string Flip(const std::string& op) {
  if (op == "<") return ">=";
  if (op == "<=") return ">";
  if (op == ">") return "<=";
  if (op == ">=") return "<";
  return op == "==" ? "!=" : "==";
}

std::string Percent(double level) { return text::Number(std::round(level * 1e6) / 1e4) + "%"; }

// "-0.07 [-0.168, 0.028] at 95%"; without a known error the difference alone.
std::string ShowDifference(const ComparisonOutcome& c) {
  const double level = c.level > 0 ? c.level : kShownLevel;
  return ShowInterval(c.difference.value, std::sqrt(c.difference.variance), level) +
         (c.difference.variance > 0 ? " at " + Percent(level) : "");
}

std::string ShowComparison(const ComparisonOutcome& c, double tolerance) {
  const std::string left = Show(c.left), right = Show(c.right);
  if (c.level > 0) {
    const char* verdict = c.proven ? (c.holds ? " is proven at " : " is not proven at ")
                                   : (c.holds ? " is not refuted at " : " is refuted at ");
    return left + " " + c.op + " " + right + verdict + Percent(c.level) + ": the difference is " +
           ShowInterval(c.difference.value, std::sqrt(c.difference.variance), c.level);
  }
  std::string out = left + " " + (c.holds ? c.op : Flip(c.op)) + " " + right;
  if (tolerance != 0 && c.op != "==" && c.op != "!=") {
    out += " (with a tolerance of " + text::Number(tolerance) + " standard errors)";
  }
  return out;
}

// The metrics of one requirement with what is known of their errors.
class Estimates {
 public:
  explicit Estimates(const MetricIndex& index) : index_(index) {}

  Result<Uncertain> Value(const std::string& name) {
    GF_TRY(const MetricIndex::Entry entry, index_.Find(name));
    const Metric& metric = entry.metric;
    if (entry.report->samples) {
      if (auto influences = InfluencesOf(metric, *entry.report->samples)) {
        const double variance = *Covariance(*influences, *influences);
        influences_[name] = *std::move(influences);
        return Uncertain{metric.value, variance};
      }
    }
    const double error =
        metric.stderr_value && std::isfinite(*metric.stderr_value) ? *metric.stderr_value : 0;
    return Uncertain{metric.value, error * error};
  }

  double CovarianceOf(const std::string& a, const std::string& b) {
    const auto x = influences_.find(a), y = influences_.find(b);
    if (x == influences_.end() || y == influences_.end()) return 0;
    const auto covariance = Covariance(x->second, y->second);
    if (a < b) {
      const std::string pair = a + " and " + b;
      pairs_[pair] = covariance
                         ? pair + ": compared sample by sample, " + WithCommas(Size(x->second)) + " of them"
                         : pair + ": not compared sample by sample, for their samples differ";
    }
    return covariance.value_or(0);
  }

  // One line for each pair of metrics that both come from samples.
  std::vector<std::string> Notes() const {
    std::vector<std::string> out;
    for (const auto& [pair, note] : pairs_) out.push_back(note);
    return out;
  }

 private:
  static int64_t Size(const Influences& influences) { return static_cast<int64_t>(influences.size()); }

  const MetricIndex& index_;
  std::map<std::string, Influences> influences_;
  std::map<std::string, std::string> pairs_;
};

// Whether a requirement asks for a baseline metric that is not there.
bool WantsBaseline(const Expression& expression, const MetricIndex& index) {
  for (const auto& name : expression.Names()) {
    if (name.starts_with(kBaselinePrefix) && !index.Find(name).ok()) return true;
  }
  return false;
}

}  // namespace

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
                                      const std::vector<NamedReport>& reports, const JudgeOptions& options) {
  const MetricIndex index(reports);
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
    if (options.baseline_absent && WantsBaseline(*expression, index)) {
      outcome.met = outcome.skipped = true;
      outcome.detail = "not judged: there is no baseline yet";
      continue;
    }
    Estimates estimates(index);
    EvaluateOptions evaluate{options.tolerance, options.confidence, {}};
    evaluate.covariance = [&](const std::string& a, const std::string& b) {
      return estimates.CovarianceOf(a, b);
    };
    const auto result =
        expression->Evaluate([&](const std::string& name) { return estimates.Value(name); }, evaluate);
    if (!result.ok()) {
      fail(result.error());
      continue;
    }
    outcome.met = result->holds;
    std::vector<std::string> numbers;
    for (const auto& name : expression->Names()) {
      numbers.push_back(name + " = " + FormatMetric(index.Find(name).value().metric));
    }
    outcome.detail = Join(numbers, ", ");
    bool by_error = false;
    for (const auto& c : result->comparisons) {
      if (!outcome.detail.empty()) outcome.detail += "\n";
      outcome.detail += ShowComparison(c, options.tolerance);
      outcome.differences.push_back(ShowDifference(c));
      by_error = by_error || c.level > 0 || options.tolerance != 0;
    }
    for (const auto& note : estimates.Notes()) {
      if (by_error) outcome.detail += "\n" + note;
    }
  }
  return out;
}

bool AnyError(const std::vector<RequirementOutcome>& outcomes) {
  return std::any_of(outcomes.begin(), outcomes.end(), [](const RequirementOutcome& o) { return o.error; });
}

}  // namespace genflow::eval
