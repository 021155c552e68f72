#include "config/include.h"

#include <algorithm>

#include "base/files.h"
#include "base/strings.h"
#include "config/artifact_types.h"

namespace genflow {

namespace fs = std::filesystem;

namespace {

constexpr int kMaxDepth = 16;

fs::path Canonical(const fs::path& file) {
  std::error_code error;
  fs::path out = fs::weakly_canonical(file, error);
  return error ? file.lexically_normal() : out;
}

// "a.yaml -> b.yaml -> a.yaml" where the file uses itself, through others or not; else empty.
std::string CycleThrough(const LoadState& state, const fs::path& file, int* depth) {
  std::vector<std::string> names = {file.filename().string()};
  *depth = 0;
  for (const LoadState* at = &state; at != nullptr; at = at->outer) {
    ++*depth;
    names.push_back(at->file.filename().string());
    if (Canonical(at->file) != Canonical(file)) continue;
    std::reverse(names.begin(), names.end());
    return Join(names, " -> ");
  }
  return {};
}

// What the caller writes under `with`, as a parameter file.
ParamsFile CallersParams(LoadState* state, const YamlNode& with) {
  ParamsFile out;
  out.source = state->source;
  Scope scope(state, Scope::kParams | Scope::kEnv | Scope::kMatrix, "with of a pipeline file");
  for (const auto& entry : with.entries) {
    const std::string& name = entry.key->text;
    nlohmann::json value;
    if (!scope.ToJson(*entry.value, &value)) continue;
    out.values[name] = std::move(value);
    out.names[name] = state->PositionOf(*entry.key);
    out.places[name] = state->PositionOf(*entry.value);
  }
  return out;
}

// The profiles in force are the pipeline's alone.
void WarnOfProfiles(LoadState* sub, const YamlNode& root) {
  const YamlNode* profiles = root.Find("profiles");
  if (profiles == nullptr || profiles->kind != YamlNode::Kind::kMap) return;
  const LoadState* pipeline = sub;
  while (pipeline->outer != nullptr) pipeline = pipeline->outer;
  for (const auto& entry : profiles->entries) {
    const auto& in_force = pipeline->options.profiles;
    if (std::find(in_force.begin(), in_force.end(), entry.key->text) == in_force.end()) continue;
    sub->Warn(sub->PositionOf(*entry.key),
              "profiles of a file that another one uses are not in force, '" + entry.key->text + "' here",
              "give the file parameters, and set them in a profile of " + pipeline->file.filename().string());
  }
}

// Moves what was said about the file to the one that uses it.
void Adopt(LoadState* state, const StageHead& head, Include* include) {
  const Position where = state->PositionOf(*head.uses);
  const std::string from =
      state->source->name() + ":" + std::to_string(where.line) + ":" + std::to_string(where.column);
  for (auto& d : include->state->diagnostics) {
    if (d.included_from.empty() && d.file != state->source->name()) d.included_from = from;
    state->diagnostics.push_back(std::move(d));
  }
  include->state->diagnostics.clear();
}

}  // namespace

std::vector<std::pair<std::string, std::vector<InputRef>>> ReadDeclaredOutputs(LoadState* state,
                                                                               const YamlNode& root) {
  std::vector<std::pair<std::string, std::vector<InputRef>>> out;
  const YamlNode* outputs = root.Find("outputs");
  if (outputs == nullptr || outputs->kind == YamlNode::Kind::kNull || !state->ExpectMap(*outputs, "outputs"))
    return out;
  for (const auto& entry : outputs->entries) {
    const std::string& port = entry.key->text;
    if (IsIdentifier(port, false))
      out.emplace_back(port, ReadReference(state, *entry.value, port, "any", "outputs"));
    else
      state->Error(*entry.key, "'" + port + "' cannot name a port",
                   "use letters, digits and _, a letter first");
  }
  return out;
}

void ReadDeclaredInputs(LoadState* sub, const YamlNode& root, StageInfo* info) {
  const YamlNode* inputs = root.Find("inputs");
  if (inputs == nullptr || inputs->kind == YamlNode::Kind::kNull || !sub->ExpectMap(*inputs, "inputs"))
    return;
  for (const auto& entry : inputs->entries) {
    const std::string& port = entry.key->text;
    const std::string& type = entry.value->text;
    if (!IsIdentifier(port, false)) {
      sub->Error(*entry.key, "'" + port + "' cannot name a port",
                 "use letters, digits and _, a letter first");
      continue;
    }
    const bool known = entry.value->is_scalar() &&
                       (type == "any" || std::find(kArtifactTypes.begin(), kArtifactTypes.end(), type) !=
                                             kArtifactTypes.end());
    if (!known) {
      sub->Error(*entry.value,
                 "inputs." + port + ": expected an artifact type, got " + DescribeValue(*entry.value),
                 sub->DidYouMean(type, kArtifactTypes, "the types: " + Join(kArtifactTypes, ", ")));
    }
    PortInfo declared;
    declared.name = port;
    declared.type = known ? type : "any";
    info->inputs.push_back(std::move(declared));
    sub->inputs[port] = {known ? type : "any", entry.key, {}, false};
  }
  if (const auto clash = sub->head_index.find("inputs");
      clash != sub->head_index.end() && !sub->inputs.empty())
    sub->Error(*sub->heads[clash->second.front()].key,
               "a stage cannot be called 'inputs' where the file has inputs");
}

void ReportUnusedInputs(LoadState* sub) {
  for (const auto& [name, input] : sub->inputs) {
    if (!input.used)
      sub->Error(*input.key, "the input '" + name + "' is never used",
                 "use it as inputs." + name + ", or remove it");
  }
}

bool IsPipelineFile(std::string_view uses) {
  return uses.starts_with("./") || uses.starts_with("../") || uses.ends_with(".yaml") ||
         uses.ends_with(".yml");
}

void OpenInclude(LoadState* state, StageHead* head) {
  const std::string& uses = head->uses->text;
  const fs::path file = (state->dir / uses).lexically_normal();
  const fs::path shown = (fs::path(state->source->name()).parent_path() / uses).lexically_normal();
  int depth = 0;
  if (const std::string cycle = CycleThrough(*state, file, &depth); !cycle.empty()) {
    state->Error(*head->uses, "the pipeline files use each other in a circle: " + cycle);
    return;
  }
  if (depth >= kMaxDepth) {
    state->Error(*head->uses,
                 "pipeline files use each other more than " + std::to_string(kMaxDepth) + " deep");
    return;
  }
  auto text = ReadFile(file, kMaxPipelineBytes);
  if (!text.ok()) {
    state->Error(*head->uses,
                 "cannot read the pipeline file " + uses + ": " +
                     text.error().message.substr(text.error().message.rfind(": ") + 2),
                 "it is looked for at " + file.string());
    return;
  }
  if (text->starts_with("\xEF\xBB\xBF")) text->erase(0, 3);

  head->include = std::make_shared<Include>();
  Include& include = *head->include;
  include.options = state->options;
  include.options.overrides.clear();
  include.options.param_files.clear();
  include.options.profiles.clear();
  state->current = head;
  if (const YamlNode* with = head->body->Find("with");
      with != nullptr && with->kind != YamlNode::Kind::kNull && state->ExpectMap(*with, "with"))
    include.options.param_files.push_back(CallersParams(state, *with));
  state->current = nullptr;
  auto source = std::make_shared<const SourceText>(shown.string(), *std::move(text));
  include.state = std::make_unique<LoadState>(include.options, source);
  LoadState* sub = include.state.get();
  sub->outer = state;
  sub->file = file;
  sub->dir = file.parent_path();
  sub->prefix = head->id + "/";
  include.info.name = uses;
  if (FindBadUtf8(source->text()) != std::string_view::npos) {
    state->Error(*head->uses, "the pipeline file " + uses + " is not UTF-8 text");
    return;
  }
  include.root = ParseYaml(*source, &sub->tree, &sub->diagnostics);
  if (include.root != nullptr && !ReadTop(sub, *include.root)) include.root = nullptr;
  if (include.root != nullptr) {
    WarnOfProfiles(sub, *include.root);
    ReadDeclaredInputs(sub, *include.root, &include.info);
    for (auto& [port, refs] : ReadDeclaredOutputs(sub, *include.root)) {
      PortInfo declared;
      declared.name = port;
      declared.type = refs.empty() || refs.front().type.empty() ? "any" : refs.front().type;
      include.info.outputs.push_back(std::move(declared));
      include.outputs[port] = std::move(refs);
    }
    head->info = &include.info;
  }
  Adopt(state, *head, &include);
}

std::vector<StageSpec> ReadInclude(LoadState* state, const StageHead& head, const StageDefaults& defaults) {
  Include& include = *head.include;
  if (include.root == nullptr) return {};
  LoadState* sub = include.state.get();
  // What stands beside `uses` holds for every stage of the file.
  StageSpec caller;
  caller.id = head.id;
  for (const auto& entry : head.body->entries) {
    const std::string& key = entry.key->text;
    if (key == "needs")
      ReadNeeds(state, *entry.value, &caller);
    else if (key == "if")
      ReadCondition(state, *entry.value, &caller);
    else if (key == "out")
      state->Error(*entry.key, "only a stage with uses: exec declares out",
                   "the file has outputs of its own");
    else if (std::find(kStageKeys.begin(), kStageKeys.end(), key) == kStageKeys.end())
      state->Error(*entry.key, "unknown key '" + key + "' in stage '" + head.key->text + "'",
                   state->DidYouMean(key, kStageKeys, "known keys: " + Join(kStageKeys, ", ")));
    if (key == "if" && !caller.conditions.empty() && caller.conditions.front().asks_status) {
      state->Error(*entry.value, "the `if` of a pipeline file cannot ask how other stages went",
                   "let the stages in " + head.uses->text + " ask");
      caller.conditions.clear();
    }
  }
  ReadInputs(state, head, head.body->Find("in"), &caller);
  for (const auto& input : caller.inputs) sub->inputs[input.port].from.push_back(input);
  StageDefaults own = defaults;
  ReadSettings(state, *head.body, "stage settings", &own);

  Pipeline part;
  sub->secrets.insert(state->secrets.begin(), state->secrets.end());
  ReadBodies(sub, *include.root, own, &part);
  ReportUnusedInputs(sub);
  state->secrets.insert(sub->secrets.begin(), sub->secrets.end());
  Adopt(state, head, &include);
  for (StageSpec& stage : part.stages) {
    stage.matrix.insert(stage.matrix.begin(), head.matrix.begin(), head.matrix.end());
    if (!caller.enabled) {
      stage.enabled = false;
      stage.condition = caller.condition;
    }
    stage.conditions.insert(stage.conditions.end(), caller.conditions.begin(), caller.conditions.end());
    if (!caller.conditions.empty() && stage.condition.empty()) stage.condition = caller.condition;
    stage.needs.insert(stage.needs.end(), caller.needs.begin(), caller.needs.end());
  }
  return std::move(part.stages);
}

std::vector<std::string> StagesOf(const StageHead& head) {
  if (head.include == nullptr) return {head.id};
  std::vector<std::string> out;
  for (const auto& inner : head.include->state->heads) {
    for (auto& id : StagesOf(inner)) out.push_back(std::move(id));
  }
  return out;
}

}  // namespace genflow
