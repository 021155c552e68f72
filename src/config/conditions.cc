// `if:`: what is known before a run is decided here, the rest is checked and left to the run.
#include <algorithm>
#include <set>

#include "base/strings.h"
#include "config/include.h"

namespace genflow {

namespace {

constexpr std::string_view kOpen = "${{";

// What a condition says where one stage has ended in a way that gives no outputs, and nothing else is known.
class WithoutStage : public ExprNames {
 public:
  WithoutStage(const RunCondition& condition, const std::string& id, const char* outcome)
      : condition_(condition), id_(id), outcome_(outcome) {}

  NameValue Param(const std::string& name) override { return Captured("params." + name); }
  NameValue Env(const std::string& name) override { return Captured("env." + name); }
  NameValue Matrix(const std::string& name) override { return Captured("matrix." + name); }
  NameValue Secret(const std::string&) override { return NameValue::Unknown(); }
  NameValue Output(const std::string&, const std::string&) override { return NameValue::Unknown(); }
  NameValue StageMetric(const std::string&, const std::string&) override { return NameValue::Unknown(); }
  NameValue StageOutcome(const std::string& stage) override {
    const auto found = condition_.stages.find(stage);
    const bool it = found != condition_.stages.end() &&
                    std::find(found->second.begin(), found->second.end(), id_) != found->second.end();
    return it ? NameValue::Found(outcome_) : NameValue::Unknown();
  }
  NameValue Status(const std::string& function) override {
    if (function == "always") return NameValue::Found(true);
    if (function == "success") return NameValue::Found(false);
    if (function == "failure" && std::string_view(outcome_) == "failure") return NameValue::Found(true);
    return NameValue::Unknown();
  }

 private:
  NameValue Captured(const std::string& name) const {
    const auto found = condition_.values.find(name);
    return found == condition_.values.end() ? NameValue::Unknown() : NameValue::Found(found->second);
  }

  const RunCondition& condition_;
  const std::string& id_;
  const char* outcome_;
};

// Whether the stage may run although `id` did not succeed.
bool MayRunWithout(const StageSpec& stage, const std::string& id) {
  for (const char* outcome : {"failure", "skipped", "cancelled"}) {
    const bool never =
        std::any_of(stage.conditions.begin(), stage.conditions.end(), [&](const RunCondition& condition) {
          WithoutStage names(condition, id, outcome);
          const auto result = EvaluateExpression(condition.text, names);
          const auto* value = std::get_if<ExprValue>(&result);
          return !condition.asks_status || (value != nullptr && !value->unknown && !IsTruthy(value->value));
        });
    if (!never) return true;
  }
  return false;
}

}  // namespace

NameValue Scope::Captured(const std::string& name, NameValue value) {
  if (condition_ != nullptr) condition_->values[name] = value.value;
  return value;
}

std::vector<const StageHead*> Scope::ConditionStages(const std::string& stage, bool reads,
                                                     NameValue* problem) {
  const auto named = state_->FindStages(stage);
  if (named.heads.empty()) {
    problem->state = NameValue::State::kRefused;
    problem->message = named.problem;
    problem->hint = named.hint;
    return {};
  }
  if (reads && named.heads.front()->include != nullptr) {
    problem->state = NameValue::State::kRefused;
    problem->message = "'" + stage + "' is a pipeline file, which has an outcome, but no metrics or paths";
    return {};
  }
  if (reads && named.heads.size() > 1) {
    problem->state = NameValue::State::kRefused;
    problem->message = "'" + stage + "' is " + std::to_string(named.heads.size()) + " stages of a matrix";
    problem->hint = "name one: stages['" + named.heads.front()->id + "']";
    return {};
  }
  auto& ids = condition_->stages[stage];
  ids.clear();
  for (const StageHead* head : named.heads) {
    for (const auto& id : StagesOf(*head)) {
      ids.push_back(id);
      const auto known =
          std::find_if(needs_->begin(), needs_->end(), [&](const NeedRef& need) { return need.stage == id; });
      if (known == needs_->end())
        needs_->push_back({id, position_, reads});
      else
        known->reads |= reads;
    }
  }
  return named.heads;
}

NameValue Scope::StageOutcome(const std::string& stage) {
  if ((allow_ & kRun) == 0) return Refuse("outcomes of stages");
  NameValue out = NameValue::Unknown();
  if (!ConditionStages(stage, false, &out).empty()) condition_->asks_status = true;
  return out;
}

NameValue Scope::StageMetric(const std::string& stage, const std::string&) {
  if ((allow_ & kRun) == 0) return Refuse("metrics of stages");
  NameValue out = NameValue::Unknown();
  ConditionStages(stage, true, &out);
  return out;
}

NameValue Scope::Status(const std::string& function) {
  if ((allow_ & kRun) == 0) return Refuse(function + "()");
  if (function != "success") condition_->asks_status = condition_->reacts = true;
  return NameValue::Unknown();
}

std::optional<bool> Scope::Condition(const YamlNode& node, std::string* text) {
  if (node.kind == YamlNode::Kind::kBool) {
    *text = node.text;
    return node.boolean;
  }
  if (node.kind != YamlNode::Kind::kString) {
    state_->Error(node, "if expects a condition, got " + DescribeValue(node),
                  "for example if: ${{ params.full }}");
    return std::nullopt;
  }
  size_t start = 0, end = node.text.size();
  if (const size_t open = node.text.find(kOpen); open != std::string::npos) {
    start = kOpen.size();
    end = FindExpressionEnd(node.text, open + start);
    if (end == std::string::npos) {
      state_->Error(state_->PartOf(node, open, kOpen.size()), "'${{' is not closed by '}}'");
      return std::nullopt;
    }
    if (open != 0 || end == std::string::npos || end + 2 != node.text.size()) {
      state_->Error(node, "if expects one condition, with nothing around its ${{ }}");
      return std::nullopt;
    }
  }
  *text = Trim(std::string_view(node.text).substr(start, end - start));
  const size_t written = std::min(state_->source->text().find(kOpen, node.offset), node.offset + node.bytes);
  const auto value = Evaluate(node, start, end, written, true);
  if (!value) return std::nullopt;
  return IsTruthy(*value);
}

void ReadCondition(LoadState* state, const YamlNode& node, StageSpec* stage) {
  RunCondition condition;
  std::vector<NeedRef> needs;
  Scope scope(state, &condition, &needs);
  const auto yes = scope.Condition(node, &stage->condition);
  if (!yes) return;
  if (!scope.unknown()) {
    stage->enabled = *yes;
    return;
  }
  condition.text = stage->condition;
  stage->conditions.push_back(std::move(condition));
  stage->needs.insert(stage->needs.end(), needs.begin(), needs.end());
}

void CheckReaction(LoadState* state, const StageHead& head, const StageSpec& stage) {
  const bool reacts = std::any_of(stage.conditions.begin(), stage.conditions.end(),
                                  [](const RunCondition& condition) { return condition.asks_status; });
  if (!reacts) return;
  std::set<std::pair<int, int>> reported;
  for (const auto* inputs : {&stage.inputs, &stage.expression_inputs}) {
    for (const auto& input : *inputs) {
      const PortInfo* port = head.info == nullptr ? nullptr : head.info->FindInput(input.port);
      if (port != nullptr && port->optional) continue;
      if (!MayRunWithout(stage, input.source_stage)) continue;
      if (!reported.insert({input.position.line, input.position.column}).second) continue;
      const std::string source = input.source_stage.starts_with(state->prefix)
                                     ? input.source_stage.substr(state->prefix.size())
                                     : input.source_stage;
      const size_t bracket = source.find('[');
      const std::string name = input.collected ? source.substr(0, bracket) : source;
      const std::string asked =
          bracket == std::string::npos || input.collected ? "stages." + name : "stages['" + name + "']";
      state->Error(input.position,
                   "stage '" + head.key->text + "' may run although '" + name +
                       "' did not succeed, and cannot read its output '" + input.source_port + "' then",
                   "let its `if` hold only where " + asked + ".outcome == 'success', or do not read it");
    }
  }
}

}  // namespace genflow
