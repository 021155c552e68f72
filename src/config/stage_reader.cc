#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "base/strings.h"
#include "config/load_state.h"

namespace genflow {

namespace {

constexpr int64_t kMaxRetries = 100;
constexpr int64_t kMaxUnits = 4096;

const std::vector<std::string> kRetryKeys = {"max", "backoff"};
const std::vector<std::string> kExecParams = {"run", "files"};

std::optional<int64_t> WholeNumber(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<double> ReadDuration(Scope& scope, const YamlNode& node, std::string_view what,
                                   bool zero_is_fine) {
  const YamlNode* value = scope.Resolve(node);
  if (value == nullptr) return std::nullopt;
  std::optional<double> seconds;
  if (value->is_scalar() && value->kind != YamlNode::Kind::kBool) seconds = ParseDuration(value->text);
  if (!seconds || !std::isfinite(*seconds) || *seconds < 0 || (*seconds == 0 && !zero_is_fine)) {
    scope.state().Error(
        node, std::string(what) + ": expected a duration such as 90s or 1h30m, got " + DescribeValue(*value));
    return std::nullopt;
  }
  return seconds;
}

void ReadRetries(Scope& scope, const YamlNode& node, int* retries, double* backoff) {
  LoadState& state = scope.state();
  auto count = [&](const YamlNode& at, std::string_view what) {
    const YamlNode* value = scope.Resolve(at);
    if (value == nullptr) return;
    const auto number = value->is_scalar() ? WholeNumber(value->text) : std::nullopt;
    if (!number || *number < 0 || *number > kMaxRetries) {
      state.Error(at, std::string(what) + ": expected an integer between 0 and " +
                          std::to_string(kMaxRetries) + ", got " + DescribeValue(*value));
      return;
    }
    *retries = static_cast<int>(*number);
  };
  if (node.kind != YamlNode::Kind::kMap) return count(node, "retries");
  state.CheckKeys(node, "retries", kRetryKeys);
  if (const YamlNode* max = node.Find("max"); max != nullptr)
    count(*max, "retries.max");
  else if (!state.IsMisspelt(node, "max", kRetryKeys))
    state.Error(node, "retries needs the key 'max'", "for example retries: { max: 2, backoff: 10s }");
  if (const YamlNode* wait = node.Find("backoff"); wait != nullptr) {
    if (const auto seconds = ReadDuration(scope, *wait, "retries.backoff", true)) *backoff = *seconds;
  }
}

std::optional<IntRange> ReadRange(Scope& scope, const YamlNode& node, const std::string& what,
                                  int64_t least) {
  const YamlNode* value = scope.Resolve(node);
  if (value == nullptr) return std::nullopt;
  const size_t dots = value->is_scalar() ? value->text.find("..") : std::string::npos;
  std::optional<int64_t> min, max;
  if (value->is_scalar()) {
    min = WholeNumber(std::string_view(value->text).substr(0, dots));
    max = dots == std::string::npos ? min : WholeNumber(std::string_view(value->text).substr(dots + 2));
  }
  if (!min || !max || *min < 0 || *max > kMaxUnits) {
    scope.state().Error(
        node, what + ": expected a number such as 2, or a range such as 0..1, got " + DescribeValue(*value));
    return std::nullopt;
  }
  if (*min > *max) {
    scope.state().Error(node, what + ": the range " + value->text + " is empty",
                        "did you mean '" + std::to_string(*max) + ".." + std::to_string(*min) + "'?");
    return std::nullopt;
  }
  if (*min < least) {
    scope.state().Error(
        node, what + ": expected at least " + std::to_string(least) + ", got " + DescribeValue(*value));
    return std::nullopt;
  }
  return IntRange{*min, *max};
}

void ReadResources(Scope& scope, const YamlNode& node, ResourceSpec* out) {
  LoadState& state = scope.state();
  if (!state.ExpectMap(node, "resources")) return;
  state.CheckKeys(node, "resources", {"cpus", "gpus", "memory"});
  if (const YamlNode* cpus = node.Find("cpus"); cpus != nullptr) {
    if (const auto range = ReadRange(scope, *cpus, "resources.cpus", 1)) out->cpus = range;
  }
  if (const YamlNode* gpus = node.Find("gpus"); gpus != nullptr) {
    if (const auto range = ReadRange(scope, *gpus, "resources.gpus", 0)) out->gpus = range;
  }
  if (const YamlNode* memory = node.Find("memory"); memory != nullptr) {
    const YamlNode* value = scope.Resolve(*memory);
    if (value == nullptr) return;
    const auto bytes =
        value->is_scalar() && value->kind != YamlNode::Kind::kBool ? ParseBytes(value->text) : std::nullopt;
    if (bytes && *bytes > 0)
      out->memory = bytes;
    else
      state.Error(*memory,
                  "resources.memory: expected a size such as 512M or 8G, got " + DescribeValue(*value));
  }
}

void ReadEnv(Scope& scope, const YamlNode& node, std::map<std::string, std::string>* out) {
  LoadState& state = scope.state();
  if (!state.ExpectMap(node, "env")) return;
  for (const auto& entry : node.entries) {
    const std::string& name = entry.key->text;
    if (!IsIdentifier(name, false)) {
      state.Error(*entry.key, "'" + name + "' cannot name an environment variable",
                  "use letters, digits and _");
    } else if (name.starts_with("GENFLOW_")) {
      state.Error(*entry.key, "environment variables that start with GENFLOW_ are set by genflow");
    } else if (auto text = scope.Text(*entry.value, "env." + name)) {
      (*out)[name] = *std::move(text);
    }
  }
}

// A reference "stage.port" to an artifact; nothing after a problem. `type` is what the port wants, or
// "any".
std::optional<InputRef> ReadReference(LoadState* state, const YamlNode& node, const std::string& port,
                                      const std::string& type) {
  const std::string what = "in." + port;
  if (node.kind != YamlNode::Kind::kString) {
    state->Error(node, what + ": expected an output such as stage.port, got " + DescribeValue(node));
    return std::nullopt;
  }
  const std::string& text = node.text;
  if (HasPlaceholder(text)) {
    state->Error(node, what + ": an edge cannot be an expression", "write stage.port");
    return std::nullopt;
  }
  const size_t dot = text.find('.');
  const std::string stage = text.substr(0, dot);
  const StageHead* head = state->FindHead(stage);
  if (head == nullptr) {
    state->Error(state->PartOf(node, 0, stage.size()), what + ": there is no stage '" + stage + "'",
                 state->DidYouMean(stage, state->stage_ids));
    return std::nullopt;
  }
  const std::vector<std::string> outputs = LoadState::OutputNames(*head);
  if (dot == std::string::npos) {
    state->Error(node, what + ": expected an output such as stage.port, got '" + text + "'",
                 outputs.size() == 1 ? "did you mean '" + stage + "." + outputs[0] + "'?"
                 : outputs.empty()   ? ""
                                     : "the outputs of '" + stage + "': " + Join(outputs, ", "));
    return std::nullopt;
  }
  const std::string source_port = text.substr(dot + 1);
  InputRef out{port, stage, source_port, "", state->PositionOf(node)};
  if (!head->known()) return out;
  const auto found = LoadState::OutputType(*head, source_port);
  if (!found) {
    state->Error(
        state->PartOf(node, dot + 1, source_port.size()),
        what + ": stage '" + stage + "' has no output '" + source_port + "'",
        state->DidYouMean(source_port, outputs,
                          outputs.empty() ? "it has no outputs" : "its outputs: " + Join(outputs, ", ")));
    return std::nullopt;
  }
  out.type = *found;
  if (type != "any" && type != out.type) {
    state->Error(node,
                 what + " expects " + WithArticle(type) + ", but " + text + " is " + WithArticle(out.type));
    return std::nullopt;
  }
  return out;
}

void ReadInputs(LoadState* state, const StageHead& head, const YamlNode* in, StageSpec* stage) {
  std::set<std::string> given;
  if (in != nullptr && in->kind != YamlNode::Kind::kNull) {
    if (!state->ExpectMap(*in, "in")) return;
    for (const auto& entry : in->entries) {
      const std::string& port = entry.key->text;
      const PortInfo* info = head.info == nullptr ? nullptr : head.info->FindInput(port);
      if (head.info != nullptr && info == nullptr) {
        std::vector<std::string> names;
        for (const auto& p : head.info->inputs) names.push_back(p.name);
        state->Error(
            *entry.key, "'" + head.info->name + "' has no input '" + port + "'",
            state->DidYouMean(port, names,
                              names.empty() ? "it has no inputs" : "its inputs: " + Join(names, ", ")));
        // What was probably meant is not reported as missing as well.
        if (auto near = state->Nearest(port, names)) given.insert(*std::move(near));
        continue;
      }
      if (head.exec && !IsIdentifier(port, false)) {
        state->Error(*entry.key, "'" + port + "' cannot name a port", "use letters, digits and _");
        continue;
      }
      given.insert(port);
      const std::string type = info == nullptr ? "any" : info->type;
      const bool list = entry.value->kind == YamlNode::Kind::kList;
      if (list && head.known() && (info == nullptr || !info->many)) {
        state->Error(*entry.value, "in." + port + " takes one artifact, not a list",
                     head.exec ? "give each artifact a port of its own" : "");
        continue;
      }
      if (list && entry.value->items.empty()) {
        state->Error(*entry.value, "in." + port + ": the list is empty");
        continue;
      }
      for (const YamlNode* item : list ? entry.value->items : std::vector<const YamlNode*>{entry.value}) {
        if (item->kind == YamlNode::Kind::kMap) {
          ReadOutsideInput(state, *item, port, info, stage);
        } else if (auto ref = ReadReference(state, *item, port, type)) {
          stage->inputs.push_back(*std::move(ref));
        }
      }
    }
  }
  CompleteOutsideInputs(state, stage);
  if (head.info == nullptr) return;
  for (const auto& port : head.info->inputs) {
    if (port.optional || given.count(port.name) > 0) continue;
    std::string hint;
    for (const std::string& example : state->outputs_of_type[port.type]) {
      if (hint.empty() && !example.starts_with(stage->id + "."))
        hint = "for example, in: { " + port.name + ": " + example + " }";
    }
    state->Error(*head.key,
                 "stage '" + stage->id + "' needs the input '" + port.name + "' of " + head.info->name +
                     (port.type == "any" ? "" : ", " + WithArticle(port.type)),
                 std::move(hint));
  }
}

void ReadNeeds(LoadState* state, const YamlNode& node, StageSpec* stage) {
  const bool list = node.kind == YamlNode::Kind::kList;
  for (const YamlNode* item : list ? node.items : std::vector<const YamlNode*>{&node}) {
    if (item->kind != YamlNode::Kind::kString) {
      state->Error(*item, "needs: expected the name of a stage, got " + DescribeValue(*item));
    } else if (state->FindHead(item->text) == nullptr) {
      state->Error(*item, "needs: there is no stage '" + item->text + "'",
                   state->DidYouMean(item->text, state->stage_ids));
    } else {
      stage->needs.push_back({item->text, state->PositionOf(*item)});
    }
  }
}

void ReadExec(LoadState* state, const StageHead& head, const YamlNode* with, Scope& scope, StageSpec* stage) {
  ExecSpec exec;
  exec.outputs = head.outputs;
  const YamlNode* run = nullptr;
  bool misspelt = false;
  if (with != nullptr && with->kind != YamlNode::Kind::kNull) {
    if (!state->ExpectMap(*with, "with")) return;
    state->CheckKeys(*with, "with of exec", kExecParams);
    run = with->Find("run");
    misspelt = run == nullptr && state->IsMisspelt(*with, "run", kExecParams);
    if (const YamlNode* files = with->Find("files"); files != nullptr) {
      const ParamInfo param{.name = "files", .type = ParamType::kFiles};
      nlohmann::json globs;
      bool absent = false;
      stage->with_positions["files"] = state->PositionOf(*files);
      if (CoerceParam(scope, *files, param, "files", stage, &globs, &absent) && !absent) {
        exec.files = globs.get<std::vector<std::string>>();
      }
    }
  }
  if (run == nullptr) {
    if (!misspelt) {
      state->Error(*head.key, "stage '" + stage->id + "' needs the parameter 'run' of exec",
                   "with: { run: \"shell text\" }");
    }
  } else {
    Scope shell(state, Scope::kParams | Scope::kEnv | Scope::kOutputs, "run", &stage->expression_inputs);
    stage->with_positions["run"] = state->PositionOf(*run);
    const auto text = shell.Text(*run, "with.run");
    if (text && Trim(*text).empty())
      state->Error(*run, "with.run is empty");
    else if (text)
      exec.run = *text;
  }
  stage->exec = std::move(exec);
}

// The variables GENFLOW_IN_<PORT> and GENFLOW_OUT_<PORT> are in upper case.
void CheckExecPorts(LoadState* state, const YamlNode* ports, std::string_view what) {
  if (ports == nullptr || ports->kind != YamlNode::Kind::kMap) return;
  std::map<std::string, std::string> seen;
  for (const auto& entry : ports->entries) {
    std::string upper = entry.key->text;
    for (char& c : upper) c = static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
    const auto [at, added] = seen.emplace(upper, entry.key->text);
    if (!added) {
      state->Error(*entry.key, std::string(what) + "." + entry.key->text + " and " + std::string(what) + "." +
                                   at->second + " would share one environment variable");
    }
  }
}

}  // namespace

StageDefaults ReadDefaults(LoadState* state, const YamlNode* node) {
  StageDefaults out;
  if (node == nullptr || node->kind == YamlNode::Kind::kNull || !state->ExpectMap(*node, "defaults"))
    return out;
  state->CheckKeys(*node, "defaults", {"retries", "timeout", "resources", "env"});
  Scope scope(state, Scope::kParams | Scope::kEnv, "defaults");
  if (const YamlNode* at = node->Find("retries"); at != nullptr)
    ReadRetries(scope, *at, &out.retries, &out.retry_backoff);
  if (const YamlNode* at = node->Find("timeout"); at != nullptr)
    out.timeout = ReadDuration(scope, *at, "timeout", false);
  if (const YamlNode* at = node->Find("resources"); at != nullptr) ReadResources(scope, *at, &out.resources);
  if (const YamlNode* at = node->Find("env"); at != nullptr) {
    Scope env(state, Scope::kParams | Scope::kEnv | Scope::kSecrets, "defaults", nullptr, &out.secrets);
    ReadEnv(env, *at, &out.env);
  }
  return out;
}

StageSpec ReadStage(LoadState* state, const StageHead& head, const StageDefaults& defaults) {
  StageSpec stage;
  stage.id = head.key->text;
  stage.position = state->PositionOf(*head.key);
  stage.info = head.info;
  stage.retries = defaults.retries;
  stage.retry_backoff = defaults.retry_backoff;
  stage.timeout = defaults.timeout;
  stage.resources = defaults.resources;
  stage.env = defaults.env;
  if (head.body == nullptr) return stage;
  if (head.uses != nullptr) {
    stage.uses = head.uses->text;
    stage.uses_position = state->PositionOf(*head.uses);
  }
  std::set<std::string> secrets = defaults.secrets;
  Scope plain(state, Scope::kParams | Scope::kEnv, "stage settings");
  Scope values(state, Scope::kParams | Scope::kEnv | Scope::kSecrets | Scope::kOutputs, "with",
               &stage.expression_inputs, &secrets);
  const YamlNode *with = nullptr, *in = nullptr, *out = nullptr;
  for (const auto& entry : head.body->entries) {
    const std::string& key = entry.key->text;
    const YamlNode& value = *entry.value;
    if (key == "uses") continue;
    if (key == "with")
      with = &value;
    else if (key == "in")
      in = &value;
    else if (key == "out")
      out = &value;
    else if (key == "needs")
      ReadNeeds(state, value, &stage);
    else if (key == "env")
      ReadEnv(values, value, &stage.env);
    else if (key == "retries")
      ReadRetries(plain, value, &stage.retries, &stage.retry_backoff);
    else if (key == "timeout") {
      if (const auto t = ReadDuration(plain, value, "timeout", false)) stage.timeout = t;
    } else if (key == "resources")
      ReadResources(plain, value, &stage.resources);
    else if (key == "if") {
      Scope condition(state, Scope::kParams | Scope::kEnv, "if");
      if (const auto yes = condition.Condition(value, &stage.condition)) stage.enabled = *yes;
    } else {
      const bool exec_key = key == "run" || key == "files";
      state->Error(*entry.key, "unknown key '" + key + "' in stage '" + stage.id + "'",
                   exec_key ? "put it under with:, beside uses: exec"
                            : state->DidYouMean(key, kStageKeys, "known keys: " + Join(kStageKeys, ", ")));
    }
  }
  ReadInputs(state, head, in, &stage);
  if (head.exec) {
    CheckExecPorts(state, in, "in");
    CheckExecPorts(state, out, "out");
    ReadExec(state, head, with, values, &stage);
  } else if (head.info != nullptr) {
    if (out != nullptr) {
      state->Error(
          *out, "only a stage with uses: exec declares out",
          "the outputs of " + head.info->name + " are fixed: " + Join(LoadState::OutputNames(head), ", "));
    }
    ReadWith(state, *head.info, stage.position, with, values, &stage);
  } else if (with != nullptr) {
    // The stage is unknown, but the names in its expressions can be checked, and count as used.
    nlohmann::json ignored;
    values.ToJson(*with, &ignored);
  }
  stage.secrets.assign(secrets.begin(), secrets.end());
  return stage;
}

}  // namespace genflow
