#include <algorithm>

#include "base/files.h"
#include "base/strings.h"
#include "config/artifact_types.h"
#include "config/load_state.h"
#include "graph/graph.h"

namespace genflow {

namespace fs = std::filesystem;

namespace {

using nlohmann::json;

const std::vector<std::string> kTopKeys = {"name", "params", "defaults", "stages"};

const char* KindName(const json& value) {
  if (value.is_boolean()) return "true or false";
  if (value.is_number_integer()) return "an integer";
  if (value.is_number()) return "a number";
  if (value.is_array()) return "a list";
  return "a mapping";
}

// A `-p` value: typed as YAML; text stays text where the default is text. Nothing after a problem.
std::optional<json> ParseOverride(LoadState* state, const std::string& name, const std::string& text,
                                  const json& standard) {
  const std::string shown = "-p " + name + "=" + (text.size() > 60 ? text.substr(0, 60) + "..." : text);
  if (HasPlaceholder(text)) {
    state->ErrorOutside(shown + ": a value cannot hold '${{'");
    return std::nullopt;
  }
  if (standard.is_string()) return json(text);
  json value;
  if (!text.empty() && std::string_view("[{\"'").find(text[0]) != std::string_view::npos) {
    const SourceText source("", text);
    std::vector<Diagnostic> problems;
    YamlTree tree;
    const YamlNode* node = ParseYaml(source, &tree, &problems);
    if (node == nullptr || !problems.empty()) {
      state->ErrorOutside(shown + ": " + (problems.empty() ? "not valid YAML" : problems[0].message));
      return std::nullopt;
    }
    value = YamlToJson(*node);
  } else {
    YamlNode node;
    ResolvePlainScalar(text, &node);
    value = YamlToJson(node);
  }
  const bool fits =
      standard.is_null() || standard.type() == value.type() || (standard.is_number() && value.is_number());
  if (!fits) {
    state->ErrorOutside(shown + ": expected " + KindName(standard) + ", like the default " + standard.dump() +
                        ", got '" + text + "'");
    return std::nullopt;
  }
  return value;
}

void ReadParams(LoadState* state, const YamlNode* node) {
  std::vector<std::string> names;
  if (node != nullptr && node->kind != YamlNode::Kind::kNull && state->ExpectMap(*node, "params")) {
    for (const auto& entry : node->entries) names.push_back(entry.key->text);
  }
  std::map<std::string, std::string> last_override;
  for (const auto& [name, value] : state->options.overrides) {
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      state->ErrorOutside(
          "-p " + name + ": the pipeline has no parameter '" + name + "'",
          state->DidYouMean(name, names,
                            names.empty() ? "it has no parameters" : "its parameters: " + Join(names, ", ")));
    }
    last_override[name] = value;
  }
  for (const auto& [name, value] : state->options.param_values) {
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      state->ErrorOutside("the parameter file gives '" + name + "', which the pipeline does not have",
                          state->DidYouMean(name, names));
    }
  }
  if (node == nullptr || node->kind != YamlNode::Kind::kMap) return;

  Scope scope(state, Scope::kParams | Scope::kEnv, "params");
  for (const auto& entry : node->entries) {
    const std::string& name = entry.key->text;
    ParamValue param;
    param.key = entry.key;
    if (!IsIdentifier(name, true)) {
      state->Error(*entry.key, "'" + name + "' cannot name a parameter", "use letters, digits, - and _");
      param.bad = param.used = true;
    }
    if (!scope.ToJson(*entry.value, &param.value)) param.bad = true;
    if (const auto given = state->options.param_values.find(name);
        given != state->options.param_values.end()) {
      param.bad = false;
      param.value = given->second;
      if (HasPlaceholder(param.value.dump(-1, ' ', false, json::error_handler_t::replace))) {
        state->ErrorOutside("the parameter file gives '" + name + "' a value that holds '${{'");
        param.bad = true;
      }
    }
    if (const auto given = last_override.find(name); given != last_override.end()) {
      auto value = ParseOverride(state, name, given->second, param.bad ? json() : param.value);
      param.bad = !value;
      if (value) param.value = *std::move(value);
    }
    if (param.value.is_null() && !param.bad) {
      state->Error(*entry.key, "the parameter '" + name + "' has no value",
                   "give one here, or with -p " + name + "=VALUE");
      param.bad = true;
    }
    state->params.emplace(name, std::move(param));
  }
}

void ReadExecOutputs(LoadState* state, const YamlNode& node, StageHead* head) {
  if (node.kind == YamlNode::Kind::kNull || !state->ExpectMap(node, "out")) return;
  for (const auto& entry : node.entries) {
    const std::string& port = entry.key->text;
    if (!IsIdentifier(port, false)) {
      state->Error(*entry.key, "'" + port + "' cannot name a port", "use letters, digits and _");
      continue;
    }
    const bool known = entry.value->is_scalar() && std::find(kArtifactTypes.begin(), kArtifactTypes.end(),
                                                             entry.value->text) != kArtifactTypes.end();
    if (!known) {
      state->Error(
          *entry.value, "out." + port + ": expected an artifact type, got " + DescribeValue(*entry.value),
          state->DidYouMean(entry.value->text, kArtifactTypes, "the types: " + Join(kArtifactTypes, ", ")));
    }
    head->outputs.push_back({port, known ? entry.value->text : "any"});
  }
}

StageHead ReadHead(LoadState* state, const YamlNode::Entry& entry,
                   const std::vector<std::string>& catalog_names) {
  StageHead head;
  head.key = entry.key;
  const std::string& id = entry.key->text;
  if (!IsIdentifier(id, true)) {
    state->Error(*entry.key, "'" + id.substr(0, 100) + "' cannot name a stage",
                 "use letters, digits, - and _, a letter first");
  }
  if (entry.value->kind != YamlNode::Kind::kMap) {
    state->Error(*entry.value, "stage '" + id + "' expects a mapping, got " + DescribeValue(*entry.value),
                 "for example " + id + ": { uses: data.read }");
    return head;
  }
  head.body = entry.value;
  const YamlNode* uses = head.body->Find("uses");
  if (uses == nullptr) {
    if (!state->IsMisspelt(*head.body, "uses", kStageKeys)) {
      state->Error(*entry.key, "stage '" + id + "' has no 'uses'",
                   "say which stage it is: uses: data.read, or uses: exec");
    }
    return head;
  }
  if (uses->kind != YamlNode::Kind::kString) {
    state->Error(*uses, "uses: expected the name of a stage, got " + DescribeValue(*uses));
    return head;
  }
  head.uses = uses;
  if (uses->text == kExecStage) {
    head.exec = true;
    if (const YamlNode* out = head.body->Find("out"); out != nullptr) ReadExecOutputs(state, *out, &head);
    return head;
  }
  head.info = state->options.catalog->Find(uses->text);
  if (head.info != nullptr) return head;
  if (HasPlaceholder(uses->text)) {
    state->Error(*uses, "uses: the name of a stage cannot be an expression");
  } else {
    state->Error(
        *uses, "unknown stage '" + uses->text + "'",
        state->DidYouMean(uses->text, catalog_names, "list the stages there are with: genflow stages ls"));
  }
  return head;
}

void ReadHeads(LoadState* state, const YamlNode& stages) {
  std::vector<std::string> catalog_names = state->options.catalog->Names();
  catalog_names.emplace_back(kExecStage);
  state->heads.reserve(stages.entries.size());
  for (const auto& entry : stages.entries) {
    StageHead head = ReadHead(state, entry, catalog_names);
    const std::string_view id = entry.key->text;
    state->head_index.emplace(id, state->heads.size());
    state->stage_ids.emplace_back(id);
    for (const std::string& port : LoadState::OutputNames(head)) {
      auto& examples = state->outputs_of_type[*LoadState::OutputType(head, port)];
      if (examples.empty() || (examples.size() == 1 && !examples[0].starts_with(std::string(id) + "."))) {
        examples.push_back(std::string(id) + "." + port);
      }
    }
    state->heads.push_back(std::move(head));
  }
}

void CheckCycles(LoadState* state, const Pipeline& pipeline) {
  Graph graph(pipeline.stages.size());
  std::map<std::pair<size_t, size_t>, Position> places;
  for (size_t i = 0; i < pipeline.stages.size(); ++i) {
    auto edge = [&](const std::string& from, Position where) {
      const auto source = pipeline.IndexOf(from);
      if (!source) return;
      graph.AddEdge(*source, i);
      places.emplace(std::pair(*source, i), where);
    };
    for (const auto& ref : pipeline.stages[i].inputs) edge(ref.source_stage, ref.position);
    for (const auto& ref : pipeline.stages[i].expression_inputs) edge(ref.source_stage, ref.position);
    for (const auto& need : pipeline.stages[i].needs) edge(need.stage, need.position);
  }
  for (const auto& cycle : graph.FindCycles()) {
    constexpr size_t kShown = 12;
    std::vector<std::string> names;
    names.reserve(cycle.size());
    for (size_t node : cycle) names.push_back(pipeline.stages[node].id);
    if (names.size() > kShown) {
      names[kShown / 2] = "(" + std::to_string(names.size() - kShown) + " more)";
      names.erase(names.begin() + kShown / 2 + 1, names.end() - kShown / 2);
    }
    state->Error(places.at({cycle[0], cycle[1]}), "the stages form a cycle: " + Join(names, " -> "),
                 "remove one of these edges");
  }
}

Diagnostic FileProblem(const fs::path& file, std::string message, std::string hint = {}) {
  Diagnostic d;
  d.file = file.string();
  d.message = std::move(message);
  d.hint = std::move(hint);
  return d;
}

std::string NearbyFile(const fs::path& file) {
  std::map<std::string, fs::path> files;  // by name without extension
  std::vector<std::string> names;
  std::error_code error;
  const fs::path folder = file.has_parent_path() ? file.parent_path() : fs::path(".");
  for (fs::directory_iterator it(folder, error), end; !error && it != end && files.size() < 1000;
       it.increment(error)) {
    const fs::path name = it->path().filename();
    if (name.extension() == ".yaml" || name.extension() == ".yml") files[name.stem().string()] = name;
  }
  names.reserve(files.size());
  for (const auto& [stem, name] : files) names.push_back(stem);
  const auto near = NearestName(file.stem().string(), names);
  return near ? "did you mean '" + (file.parent_path() / files[*near]).string() + "'?" : "";
}

void ReadPipeline(LoadState* state, const YamlNode& root, Pipeline* out) {
  if (root.kind == YamlNode::Kind::kNull) {
    state->Error(Position{}, "the file is empty", "a pipeline starts with name: and has stages:");
    return;
  }
  if (!state->ExpectMap(root, "a pipeline file")) return;
  state->CheckKeys(root, "the pipeline", kTopKeys);
  if (const YamlNode* name = root.Find("name"); name != nullptr) {
    if (!name->is_scalar() || name->text.empty() || HasPlaceholder(name->text)) {
      state->Error(*name, "name expects text, got " + DescribeValue(*name));
    } else {
      out->name = name->text;
    }
  }
  ReadParams(state, root.Find("params"));
  const YamlNode* stages = root.Find("stages");
  if (stages == nullptr || stages->kind == YamlNode::Kind::kNull ||
      (stages->kind == YamlNode::Kind::kMap && stages->entries.empty())) {
    const Position where = stages == nullptr ? Position{} : state->PositionOf(*stages);
    if (stages != nullptr || !state->IsMisspelt(root, "stages", kTopKeys))
      state->Error(where, "the pipeline has no stages", "for example stages: { pages: { uses: data.read } }");
    return;
  }
  if (!state->ExpectMap(*stages, "stages")) return;
  ReadHeads(state, *stages);
  const StageDefaults defaults = ReadDefaults(state, root.Find("defaults"));
  out->stages.reserve(state->heads.size());
  for (const auto& head : state->heads) {
    out->stage_index.emplace(head.key->text, out->stages.size());
    out->stages.push_back(ReadStage(state, head, defaults));
  }
  CheckCycles(state, *out);
  for (const auto& [name, param] : state->params) {
    if (!param.used) {
      state->Error(*param.key, "the parameter '" + name + "' is never used",
                   "use it as ${{ params." + name + " }}, or remove it");
    }
    out->params[name] = param.value;
  }
}

}  // namespace

const StageSpec* Pipeline::Find(std::string_view id) const {
  const auto index = IndexOf(id);
  return index ? &stages[*index] : nullptr;
}

std::optional<size_t> Pipeline::IndexOf(std::string_view id) const {
  const auto found = stage_index.find(id);
  if (found == stage_index.end()) return std::nullopt;
  return found->second;
}

LoadResult ParsePipeline(std::string text, const fs::path& file, const LoadOptions& options) {
  LoadResult result;
  if (text.size() > kMaxPipelineBytes) {
    result.diagnostics.push_back(
        FileProblem(file, "the pipeline file is larger than " + HumanBytes(kMaxPipelineBytes)));
    return result;
  }
  if (text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);
  auto source = std::make_shared<const SourceText>(file.string(), std::move(text));
  LoadState state(options, source);
  Pipeline pipeline;
  pipeline.source = source;
  pipeline.file = file;
  std::error_code error;
  pipeline.dir = fs::absolute(file, error).parent_path().lexically_normal();
  pipeline.name = file.stem().string();
  if (const size_t bad = FindBadUtf8(source->text()); bad != std::string_view::npos) {
    Diagnostic d = FileProblem(file, "the file is not UTF-8 text", "save it with the encoding UTF-8");
    d.line = source->At(bad).line;
    d.column = source->At(bad).column;
    result.diagnostics.push_back(std::move(d));
    return result;
  }
  if (const YamlNode* root = ParseYaml(*source, &state.tree, &state.diagnostics); root != nullptr) {
    ReadPipeline(&state, *root, &pipeline);
  }
  pipeline.secrets = std::move(state.secrets);
  result.diagnostics = std::move(state.diagnostics);
  SortDiagnostics(&result.diagnostics);
  if (!HasErrors(result.diagnostics)) result.pipeline = std::move(pipeline);
  return result;
}

LoadResult LoadPipeline(const fs::path& file, const LoadOptions& options) {
  auto text = ReadFile(file, kMaxPipelineBytes);
  if (text.ok()) return ParsePipeline(*std::move(text), file, options);
  LoadResult result;
  std::string message = text.error().message;
  if (message.starts_with(file.string() + ": ")) message.erase(0, file.string().size() + 2);
  if (text.error().code == Code::kInvalid)
    message = "the pipeline file is larger than " + HumanBytes(kMaxPipelineBytes);
  else
    message = "cannot read the pipeline: " + message;
  result.diagnostics.push_back(
      FileProblem(file, std::move(message), text.error().code == Code::kNotFound ? NearbyFile(file) : ""));
  return result;
}

Result<std::map<std::string, json>> ReadParamsFile(const fs::path& file) {
  GF_TRY(std::string text, ReadFile(file, kMaxPipelineBytes));
  if (const size_t bad = FindBadUtf8(text); bad != std::string_view::npos) {
    return InvalidError(file.string() + ": not UTF-8 text");
  }
  const SourceText source(file.string(), std::move(text));
  YamlTree tree;
  std::vector<Diagnostic> problems;
  const YamlNode* root = ParseYaml(source, &tree, &problems);
  if (!problems.empty() || root == nullptr) {
    const Diagnostic& first = problems.front();
    return InvalidError(file.string() + ":" + std::to_string(first.line) + ":" +
                            std::to_string(first.column) + ": " + first.message,
                        first.hint);
  }
  if (root->kind != YamlNode::Kind::kMap) {
    return InvalidError(file.string() + ": expected a mapping of parameters, got " + DescribeValue(*root));
  }
  std::map<std::string, json> out;
  for (const auto& entry : root->entries) out[entry.key->text] = YamlToJson(*entry.value);
  return out;
}

}  // namespace genflow
