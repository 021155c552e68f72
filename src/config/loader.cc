#include <algorithm>

#include "base/files.h"
#include "base/strings.h"
#include "config/artifact_types.h"
#include "config/include.h"
#include "graph/graph.h"

namespace genflow {

namespace fs = std::filesystem;

namespace {

using nlohmann::json;

const std::vector<std::string> kTopKeys = {"name",    "params",   "env",      "inputs",
                                           "outputs", "defaults", "profiles", "stages"};

// Reads the stages and keeps of what is said about the children of a matrix what concerns them all once, and
// of the rest for which child it is.
void ReadStages(LoadState* state, const StageDefaults& defaults, Pipeline* out) {
  for (const std::string& name : state->stage_ids) {
    const std::vector<size_t>& group = state->head_index.at(name);
    std::vector<std::vector<Diagnostic>> said;
    std::vector<Diagnostic> before = std::move(state->diagnostics);
    for (const size_t i : group) {
      state->diagnostics.clear();
      state->current = &state->heads[i];
      std::vector<StageSpec> stages;
      if (state->heads[i].include != nullptr)
        stages = ReadInclude(state, state->heads[i], defaults);
      else
        stages.push_back(ReadStage(state, state->heads[i], defaults));
      for (StageSpec& stage : stages) {
        out->stage_index.emplace(stage.id, out->stages.size());
        out->stages.push_back(std::move(stage));
      }
      said.push_back(std::move(state->diagnostics));
    }
    state->current = nullptr;
    state->diagnostics = std::move(before);
    const auto same = [](const Diagnostic& a, const Diagnostic& b) {
      return a.file == b.file && a.line == b.line && a.column == b.column && a.message == b.message;
    };
    std::vector<Diagnostic> kept;
    for (size_t child = 0; child < said.size(); ++child) {
      for (auto& d : said[child]) {
        if (std::any_of(kept.begin(), kept.end(), [&](const auto& k) { return same(k, d); })) continue;
        size_t count = 0;
        for (const auto& other : said)
          count += std::any_of(other.begin(), other.end(), [&](const auto& o) { return same(o, d); }) ? 1 : 0;
        kept.push_back(d);
        if (count < said.size()) {
          d.message += " (in " + state->heads[group[child]].id +
                       (count > 1 ? " and " + std::to_string(count - 1) + " more" : "") + ")";
        }
        state->diagnostics.push_back(std::move(d));
      }
    }
  }
}

void CheckCycles(LoadState* state, const Pipeline& pipeline) {
  Graph graph(pipeline.stages.size());
  std::map<std::pair<size_t, size_t>, std::pair<const StageSpec*, Position>> places;
  for (size_t i = 0; i < pipeline.stages.size(); ++i) {
    auto edge = [&](const std::string& from, Position where) {
      const auto source = pipeline.IndexOf(from);
      if (!source) return;
      graph.AddEdge(*source, i);
      places.emplace(std::pair(*source, i), std::pair(&pipeline.stages[i], where));
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
    const auto& [stage, where] = places.at({cycle[0], cycle[1]});
    state->diagnostics.push_back(stage->source->Report(
        where, "the stages form a cycle: " + Join(names, " -> "), "remove one of these edges"));
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
  if (!ReadTop(state, root)) return;
  if (const YamlNode* name = root.Find("name"); name != nullptr && name->is_scalar() && !name->text.empty())
    out->name = name->text;
  if (const YamlNode* inputs = root.Find("inputs"); inputs != nullptr) {
    StageInfo declared;
    ReadDeclaredInputs(state, root, &declared);  // what names them is no mistake of its own
    if (!state->options.inputs_allowed)
      state->Error(*inputs, "a pipeline with inputs runs only where another one uses it",
                   "in that one: uses: ./" + state->file.filename().string());
  }
  ReadDeclaredOutputs(state, root);
  out->stages.reserve(state->heads.size());
  ReadBodies(state, root, {}, out);
  if (state->options.inputs_allowed) ReportUnusedInputs(state);
  CheckCycles(state, *out);
}

LoadResult Parse(std::string text, const fs::path& file, const LoadOptions& options) {
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
  state.dir = pipeline.dir;
  state.file = pipeline.dir / file.filename();
  if (auto problem = NotUtf8(*source)) {
    result.diagnostics.push_back(*std::move(problem));
    return result;
  }
  if (const YamlNode* root = ParseYaml(*source, &state.tree, &state.diagnostics); root != nullptr) {
    ReadPipeline(&state, *root, &pipeline);
  }
  pipeline.secrets = std::move(state.secrets);
  result.diagnostics = std::move(state.diagnostics);
  result.pipeline = std::move(pipeline);
  return result;
}

// The file that could not be read.
LoadResult Unreadable(const fs::path& file, const Error& error) {
  LoadResult result;
  std::string message = error.message;
  if (message.starts_with(file.string() + ": ")) message.erase(0, file.string().size() + 2);
  if (error.code == Code::kInvalid)
    message = "the pipeline file is larger than " + HumanBytes(kMaxPipelineBytes);
  else
    message = "cannot read the pipeline: " + message;
  result.diagnostics.push_back(
      FileProblem(file, std::move(message), error.code == Code::kNotFound ? NearbyFile(file) : ""));
  return result;
}

// With what is wrong in the parameter files.
LoadResult Complete(LoadResult result, const LoadOptions& options) {
  for (const auto& params : options.param_files)
    result.diagnostics.insert(result.diagnostics.end(), params.problems.begin(), params.problems.end());
  SortDiagnostics(&result.diagnostics);
  if (HasErrors(result.diagnostics)) result.pipeline.reset();
  return result;
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

std::vector<size_t> Pipeline::Select(std::string_view ref) const {
  if (const auto index = IndexOf(ref)) return {*index};
  std::vector<size_t> out;
  const auto parsed = ParseStageRef(ref);
  if (!parsed || ref.empty()) return out;
  for (size_t i = 0; i < stages.size(); ++i) {
    const StageSpec& stage = stages[i];
    const bool child =
        !stage.parent.empty() && stage.parent == parsed->name && MatchesRef(*parsed, stage.matrix);
    const size_t ends = stage.id.find_first_of("[/", ref.size());
    const bool inside = stage.id.starts_with(ref) && ends == ref.size() &&
                        stage.id.find('/', ref.size()) != std::string::npos;
    if (child || inside) out.push_back(i);
  }
  return out;
}

bool ReadTop(LoadState* state, const YamlNode& root) {
  if (root.kind == YamlNode::Kind::kNull) {
    state->Error(Position{}, "the file is empty", "a pipeline starts with name: and has stages:");
    return false;
  }
  if (!state->ExpectMap(root, "a pipeline file")) return false;
  state->CheckKeys(root, "the pipeline", kTopKeys);
  if (const YamlNode* name = root.Find("name");
      name != nullptr && (!name->is_scalar() || name->text.empty() || HasPlaceholder(name->text)))
    state->Error(*name, "name expects text, got " + DescribeValue(*name));
  ReadProfiles(state, root);
  ReadParams(state, root.Find("params"));
  CheckProfileParams(state, root);
  MarkProfilesUsed(state, root);
  const YamlNode* stages = root.Find("stages");
  if (stages == nullptr || stages->kind == YamlNode::Kind::kNull ||
      (stages->kind == YamlNode::Kind::kMap && stages->entries.empty())) {
    const Position where = stages == nullptr ? Position{} : state->PositionOf(*stages);
    if (stages != nullptr || !state->IsMisspelt(root, "stages", kTopKeys))
      state->Error(where, "the pipeline has no stages", "for example stages: { pages: { uses: data.read } }");
    return false;
  }
  if (!state->ExpectMap(*stages, "stages")) return false;
  ReadHeads(state, *stages);
  return true;
}

void ReadBodies(LoadState* state, const YamlNode& root, const StageDefaults& base, Pipeline* out) {
  ReadStages(state, ReadDefaults(state, root, base), out);
  for (const auto& [name, param] : state->params) {
    if (!param.used) {
      state->Error(*param.key, "the parameter '" + name + "' is never used",
                   "use it as ${{ params." + name + " }}, or remove it");
    }
    out->params[name] = param.value;
  }
}

std::optional<Diagnostic> NotUtf8(const SourceText& source) {
  const size_t bad = FindBadUtf8(source.text());
  if (bad == std::string_view::npos) return std::nullopt;
  Diagnostic d = FileProblem(source.name(), "the file is not UTF-8 text", "save it with the encoding UTF-8");
  d.line = source.At(bad).line;
  d.column = source.At(bad).column;
  return d;
}

LoadResult ParsePipeline(std::string text, const fs::path& file, const LoadOptions& options) {
  return Complete(Parse(std::move(text), file, options), options);
}

LoadResult LoadPipeline(const fs::path& file, const LoadOptions& options) {
  auto text = ReadFile(file, kMaxPipelineBytes);
  if (text.ok()) return ParsePipeline(*std::move(text), file, options);
  return Complete(Unreadable(file, text.error()), options);
}

}  // namespace genflow
