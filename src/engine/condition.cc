#include "engine/condition.h"

#include <algorithm>
#include <charconv>

#include "base/files.h"
#include "base/strings.h"
#include "config/expr.h"

namespace genflow {

namespace {

using nlohmann::json;

constexpr uint64_t kMaxReport = 64u << 20;
constexpr size_t kNamesShown = 8;

std::string ShowNumber(double value) {
  char buffer[40];
  return {buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr};
}

class Names : public ExprNames {
 public:
  Names(const RunCondition& condition, const RunKnowledge& knowledge)
      : condition_(condition), knowledge_(knowledge) {}

  NameValue Param(const std::string& name) override { return Captured("params." + name); }
  NameValue Env(const std::string& name) override { return Captured("env." + name); }
  NameValue Matrix(const std::string& name) override { return Captured("matrix." + name); }
  NameValue Secret(const std::string&) override { return NameValue::Refused("secrets cannot be used in if"); }

  NameValue Output(const std::string& stage, const std::string& port) override {
    const auto* ids = Find(stage);
    if (ids == nullptr || knowledge_.outcome(ids->front()) != StageOutcome::kSuccess)
      return NotThere(stage, ids);
    const auto path = knowledge_.output(ids->front(), port);
    return NameValue::Found(path ? json(*path) : json());
  }

  NameValue StageOutcome(const std::string& stage) override {
    const auto* ids = Find(stage);
    if (ids == nullptr) return NameValue::Unknown();
    // Of several children: failure before cancelled before skipped before success.
    const auto rank = [](genflow::StageOutcome outcome) {
      using enum genflow::StageOutcome;
      return outcome == kFailure ? 3 : outcome == kCancelled ? 2 : outcome == kSkipped ? 1 : 0;
    };
    auto worst = knowledge_.outcome(ids->front());
    for (const auto& id : *ids) {
      if (const auto outcome = knowledge_.outcome(id); rank(outcome) > rank(worst)) worst = outcome;
    }
    const char* word = StageOutcomeName(worst);
    Note("stages." + stage + ".outcome is " + word);
    return NameValue::Found(word);
  }

  NameValue StageMetric(const std::string& stage, const std::string& name) override {
    const auto* ids = Find(stage);
    if (ids == nullptr || knowledge_.outcome(ids->front()) != genflow::StageOutcome::kSuccess)
      return NotThere(stage, ids);
    const auto metrics = knowledge_.metrics(ids->front());
    if (!metrics.ok()) return NameValue::Refused(metrics.error().message, metrics.error().hint);
    const auto found = metrics->find(name);
    if (found == metrics->end()) {
      std::vector<std::string> names;
      for (const auto& [other, value] : *metrics) names.push_back(other);
      const auto near = NearestName(name, names);
      const size_t count = names.size();
      if (count > kNamesShown) {
        names.resize(kNamesShown);
        names.push_back("...");
      }
      return NameValue::Refused("'" + ids->front() + "' has no metric '" + name + "'",
                                near ? "did you mean '" + *near + "'?"
                                : count == 0
                                    ? "it has no metrics: neither a report nor values reported while it ran"
                                    : "it has " + Join(names, ", "));
    }
    Note("stages." + stage + ".metrics." + name + " is " + ShowNumber(found->second));
    return NameValue::Found(found->second);
  }

  NameValue Status(const std::string& function) override {
    if (function == "always") return NameValue::Found(true);
    if (function == "cancelled") return NameValue::Found(knowledge_.cancelled);
    if (function == "failure") return NameValue::Found(knowledge_.ancestor_failed);
    return NameValue::Found(knowledge_.needs_succeeded && !knowledge_.cancelled);
  }

  std::string facts() const { return Join(facts_, ", "); }

 private:
  NameValue Captured(const std::string& name) const {
    const auto found = condition_.values.find(name);
    return NameValue::Found(found == condition_.values.end() ? json() : found->second);
  }
  const std::vector<std::string>* Find(const std::string& stage) const {
    const auto found = condition_.stages.find(stage);
    return found == condition_.stages.end() || found->second.empty() ? nullptr : &found->second;
  }
  NameValue NotThere(const std::string& stage, const std::vector<std::string>* ids) {
    if (ids != nullptr)
      Note("stages." + stage + ".outcome is " + StageOutcomeName(knowledge_.outcome(ids->front())));
    return NameValue::Unknown();
  }
  void Note(std::string fact) {
    if (std::find(facts_.begin(), facts_.end(), fact) == facts_.end()) facts_.push_back(std::move(fact));
  }

  const RunCondition& condition_;
  const RunKnowledge& knowledge_;
  std::vector<std::string> facts_;
};

}  // namespace

const char* StageOutcomeName(StageOutcome outcome) {
  switch (outcome) {
    case StageOutcome::kSuccess:
      return "success";
    case StageOutcome::kFailure:
      return "failure";
    case StageOutcome::kCancelled:
      return "cancelled";
    case StageOutcome::kSkipped:
      return "skipped";
  }
  return "unknown";
}

StageOutcome OutcomeOfState(NodeState state) {
  switch (state) {
    case NodeState::kSucceeded:
    case NodeState::kCached:
      return StageOutcome::kSuccess;
    case NodeState::kFailed:
    case NodeState::kGateFailed:
      return StageOutcome::kFailure;
    case NodeState::kInterrupted:
    case NodeState::kCancelled:
      return StageOutcome::kCancelled;
    default:
      return StageOutcome::kSkipped;
  }
}

std::string WhyNotStarted(NodeState state, const std::string& cause, NodeState cause_state) {
  const std::string name = "'" + cause + "'";
  const std::string start =
      state == NodeState::kSkipped ? "needs " + name + ", which " : "not started, because " + name + " ";
  switch (cause_state) {
    case NodeState::kFailed:
      return start + "failed";
    case NodeState::kGateFailed:
      return start + "said no";
    case NodeState::kInterrupted:
      return start + "was interrupted";
    case NodeState::kSkipped:
      return start + "is disabled by its `if`";
    default:
      return start + "did not finish";
  }
}

std::string Decision::Reason() const {
  return "its `if` is false: " + text + (facts.empty() ? "" : " (" + facts + ")");
}

Result<Decision> Decide(const std::vector<RunCondition>& conditions, const RunKnowledge& knowledge) {
  Decision out;
  for (const auto& condition : conditions) {
    Names names(condition, knowledge);
    const auto result = EvaluateExpression(condition.text, names);
    if (const auto* problem = std::get_if<ExprProblem>(&result))
      return InvalidError("its `if` cannot be decided: " + problem->message, problem->hint);
    const auto& value = std::get<ExprValue>(result);
    // What asks something of a stage that did not succeed is unknown, and that is no.
    out.yes = !value.unknown && IsTruthy(value.value);
    if (out.yes) continue;
    out.text = condition.text;
    out.facts = names.facts();
    return out;
  }
  return out;
}

Result<std::map<std::string, double>> ReportedMetrics(const std::string& stage,
                                                      const std::vector<PortArtifact>& outputs) {
  std::map<std::string, double> out;
  for (const auto& output : outputs) {
    if (output.artifact.type != "report" || !output.artifact.is_tree) continue;
    GF_TRY(const std::string text, ReadFile(output.artifact.path() / "report.json", kMaxReport));
    const json report = json::parse(text, nullptr, false);
    const auto metrics = report.is_object() ? report.find("metrics") : report.end();
    if (metrics == report.end() || !metrics->is_object())
      return InvalidError("the report of '" + stage + "' at its output '" + output.port +
                          "' has no metrics in its report.json");
    for (const auto& [name, metric] : metrics->items()) {
      const json& value = metric.is_object() ? metric.value("value", json()) : metric;
      if (value.is_number()) out.emplace(name, value.get<double>());
    }
  }
  return out;
}

Result<std::map<std::string, double>> MetricsOf(Store& store, const std::string& run,
                                                const std::string& stage,
                                                const std::vector<PortArtifact>& outputs) {
  GF_TRY(auto out, ReportedMetrics(stage, outputs));
  GF_TRY(const auto points, store.Metrics(run, stage));
  std::map<std::string, double> last;
  for (const auto& point : points) last[point.name] = point.value;
  out.insert(last.begin(), last.end());
  return out;
}

bool AsksHowItWent(const StageSpec& stage) {
  return std::any_of(stage.conditions.begin(), stage.conditions.end(),
                     [](const RunCondition& condition) { return condition.asks_status; });
}

bool IsReaction(const StageSpec& stage) {
  return std::any_of(stage.conditions.begin(), stage.conditions.end(),
                     [](const RunCondition& condition) { return condition.reacts; });
}

}  // namespace genflow
