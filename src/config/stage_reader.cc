#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "base/strings.h"
#include "config/load_state.h"

namespace genflow {

namespace {

constexpr int64_t kMaxUnits = 4096;
constexpr int64_t kMaxProcesses = 64;

const std::vector<std::string> kExecParams = {"run", "files"};

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
  state.CheckKeys(node, "resources", {"cpus", "gpus", "memory", "processes"});
  if (const YamlNode* cpus = node.Find("cpus"); cpus != nullptr) {
    if (const auto range = ReadRange(scope, *cpus, "resources.cpus", 1)) out->cpus = range;
  }
  if (const YamlNode* gpus = node.Find("gpus"); gpus != nullptr) {
    if (const auto range = ReadRange(scope, *gpus, "resources.gpus", 0)) out->gpus = range;
  }
  if (const YamlNode* processes = node.Find("processes"); processes != nullptr) {
    if (const YamlNode* value = scope.Resolve(*processes); value != nullptr) {
      const auto count = value->is_scalar() ? WholeNumber(value->text) : std::nullopt;
      if (count && *count >= 1 && *count <= kMaxProcesses) {
        out->processes = *count;
      } else {
        state.Error(*processes, "resources.processes: expected a number from 1 to " +
                                    std::to_string(kMaxProcesses) + ", got " + DescribeValue(*value));
      }
    }
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

// Where a stage's settings ask for more than one process; null where they do not.
const YamlNode* ProcessesIn(const YamlNode* settings) {
  if (settings == nullptr || settings->kind != YamlNode::Kind::kMap) return nullptr;
  const YamlNode* resources = settings->Find("resources");
  if (resources == nullptr || resources->kind != YamlNode::Kind::kMap) return nullptr;
  return resources->Find("processes");
}

// A stage that cannot run in several processes is refused them, and does not take them from `defaults`.
void CheckProcesses(LoadState* state, const StageHead& head, const YamlNode* asks, StageSpec* stage) {
  if (stage->resources.processes == 1) return;
  const bool known = head.exec || head.info != nullptr;
  if (!known || (head.info != nullptr && head.info->processes)) return;
  stage->resources.processes = 1;
  if (asks == nullptr) return;
  state->Error(*asks,
               "resources.processes: " + std::string(head.exec ? kExecStage : head.info->name) +
                   " runs in one process",
               "stages that can run in several say so in `genflow stages show`");
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
      state->Error(*head.key, "stage '" + head.key->text + "' needs the parameter 'run' of exec",
                   "with: { run: \"shell text\" }");
    }
  } else {
    Scope shell(state, Scope::kParams | Scope::kEnv | Scope::kMatrix | Scope::kOutputs, "run",
                &stage->expression_inputs);
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

void ReadSettings(LoadState* state, const YamlNode& map, const std::string& place, StageDefaults* out) {
  const unsigned matrix = state->current == nullptr ? 0u : Scope::kMatrix;
  Scope scope(state, Scope::kParams | Scope::kEnv | matrix, place);
  if (const YamlNode* at = map.Find("retries"); at != nullptr) ReadRetries(scope, *at, out);
  if (const YamlNode* at = map.Find("timeout"); at != nullptr) {
    if (const auto seconds = ReadDuration(scope, *at, "timeout", false)) out->timeout = seconds;
  }
  if (const YamlNode* at = map.Find("resources"); at != nullptr) ReadResources(scope, *at, &out->resources);
  if (const YamlNode* at = map.Find("env"); at != nullptr) {
    Scope env(state, Scope::kParams | Scope::kEnv | matrix | Scope::kSecrets, place, nullptr, &out->secrets);
    ReadEnv(env, *at, &out->env);
  }
}

StageDefaults ReadDefaults(LoadState* state, const YamlNode& root, StageDefaults base) {
  StageDefaults out = std::move(base);
  const auto read_env = [&](const YamlNode* node) {
    if (node == nullptr || node->kind == YamlNode::Kind::kNull) return;
    Scope env(state, Scope::kParams | Scope::kEnv | Scope::kSecrets, "env", nullptr, &out.secrets);
    ReadEnv(env, *node, &out.env);
  };
  const auto read = [&](const YamlNode* node) {
    if (node == nullptr || node->kind == YamlNode::Kind::kNull || !state->ExpectMap(*node, "defaults"))
      return;
    state->CheckKeys(*node, "defaults", kSettingKeys);
    ReadSettings(state, *node, "defaults", &out);
  };
  read_env(root.Find("env"));
  for (const YamlNode* profile : state->profiles) read_env(InProfile(*profile, "env"));
  read(root.Find("defaults"));
  for (const YamlNode* profile : state->profiles) read(InProfile(*profile, "defaults"));
  return out;
}

StageSpec ReadStage(LoadState* state, const StageHead& head, const StageDefaults& defaults) {
  StageSpec stage;
  stage.id = head.id;
  stage.dir = state->dir;
  stage.source = state->source;
  if (head.is_child) stage.parent = state->prefix + head.key->text;
  stage.matrix = head.matrix;
  stage.position = state->PositionOf(*head.key);
  stage.info = head.info;
  if (head.body == nullptr) return stage;
  if (head.uses != nullptr) {
    stage.uses = head.uses->text;
    stage.uses_position = state->PositionOf(*head.uses);
  }
  std::set<std::string> secrets = defaults.secrets;
  Scope plain(state, Scope::kParams | Scope::kEnv | Scope::kMatrix, "stage settings");
  Scope values(state, Scope::kParams | Scope::kEnv | Scope::kMatrix | Scope::kSecrets | Scope::kOutputs,
               "with", &stage.expression_inputs, &secrets);
  StageDefaults own = defaults;
  const YamlNode *with = nullptr, *in = nullptr, *out = nullptr;
  for (const auto& entry : head.body->entries) {
    const std::string& key = entry.key->text;
    const YamlNode& value = *entry.value;
    if (key == "uses" || key == "matrix") continue;
    if (key == "with")
      with = &value;
    else if (key == "in")
      in = &value;
    else if (key == "out")
      out = &value;
    else if (key == "needs")
      ReadNeeds(state, value, &stage);
    else if (key == "env")
      ReadEnv(values, value, &own.env);
    else if (key == "retries")
      ReadRetries(plain, value, &own);
    else if (key == "timeout") {
      if (const auto t = ReadDuration(plain, value, "timeout", false)) own.timeout = t;
    } else if (key == "resources")
      ReadResources(plain, value, &own.resources);
    else if (key == "if")
      ReadCondition(state, value, &stage);
    else {
      const bool exec_key = key == "run" || key == "files";
      state->Error(*entry.key, "unknown key '" + key + "' in stage '" + head.key->text + "'",
                   exec_key ? "put it under with:, beside uses: exec"
                            : state->DidYouMean(key, kStageKeys, "known keys: " + Join(kStageKeys, ", ")));
    }
  }
  const YamlNode* processes = ProcessesIn(head.body);
  for (const YamlNode* profile : state->profiles) {
    const YamlNode* settings = InProfile(*profile, "stages", head.key->text);
    if (const YamlNode* asks = ProcessesIn(settings); asks != nullptr) processes = asks;
    if (settings != nullptr && settings->kind == YamlNode::Kind::kMap)
      ReadSettings(state, *settings, "profiles", &own);
  }
  secrets.insert(own.secrets.begin(), own.secrets.end());
  stage.timeout = own.timeout;
  stage.resources = own.resources;
  stage.env = own.env;
  stage.retries = own.retries;
  stage.retry_backoff = own.retry_backoff;
  stage.retry_factor = own.retry_factor;
  stage.retry_jitter = own.retry_jitter;
  stage.retry_on = own.retry_on;
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
  CheckProcesses(state, head, processes, &stage);
  CheckReaction(state, head, stage);
  stage.secrets.assign(secrets.begin(), secrets.end());
  return stage;
}

}  // namespace genflow
