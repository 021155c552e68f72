// The names that completion offers: files, stages, runs, artifacts.
#include <algorithm>
#include <cstdlib>
#include <set>

#include "base/files.h"
#include "base/strings.h"
#include "cli/completion.h"
#include "cli/init_templates.h"
#include "cli/schedules.h"
#include "cli/stage_reference.h"
#include "cli/workspace.h"
#include "config/artifact_types.h"
#include "config/yaml_tree.h"
#include "host/catalog.h"

namespace genflow::cli {

namespace {

namespace fs = std::filesystem;

constexpr int kRunsShown = 50, kArtifactsShown = 200;
constexpr int kBusyTimeoutMs = 20;  // a shell waits for the answer

std::vector<Candidate> Plain(const std::vector<std::string>& names) {
  std::vector<Candidate> out;
  for (const auto& name : names) out.push_back({name, ""});
  return out;
}

// Entries of the folder that the prefix names so far: folders, ending in '/', and files whose name ends in
// one of `endings` (none: all of them). What begins with a dot is shown when the dot has been typed.
std::vector<Candidate> Files(const std::string& prefix, const std::vector<std::string>& endings,
                             bool folders_only) {
  const size_t slash = prefix.rfind('/');
  const std::string typed = slash == std::string::npos ? "" : prefix.substr(0, slash + 1);
  const std::string name = prefix.substr(typed.size());
  std::string folder = typed.empty() ? "." : typed;
  if (const char* home = std::getenv("HOME"); home != nullptr && folder.starts_with("~/"))
    folder = home + folder.substr(1);
  std::vector<Candidate> out;
  std::error_code ec;
  for (fs::directory_iterator it(folder, ec), end; !ec && it != end; it.increment(ec)) {
    const std::string entry = it->path().filename().string();
    if (!entry.starts_with(name) || (entry.starts_with('.') && !name.starts_with('.'))) continue;
    std::error_code ignored;
    if (it->is_directory(ignored)) {
      out.push_back({typed + entry + "/", ""});
    } else if (!folders_only &&
               (endings.empty() || std::any_of(endings.begin(), endings.end(),
                                               [&](const auto& e) { return entry.ends_with(e); }))) {
      out.push_back({typed + entry, ""});
    }
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.text < b.text; });
  return out;
}

std::string PipelineText(const CompletionPlace& place) {
  const auto text = ReadFile(place.pipeline.empty() ? "pipeline.yaml" : place.pipeline, 16 << 20);
  return text.ok() ? *text : std::string();
}

Result<Store> StoreOf(const CompletionPlace& place) {
  fs::path root;
  if (!place.pipeline.empty()) {
    root = StoreOfPipeline(place.store, place.pipeline);
  } else {
    GF_TRY(root, StoreFolder(place.store));
  }
  StoreOptions options;
  options.create = false;
  options.read_only = true;
  options.busy_timeout_ms = kBusyTimeoutMs;
  return Store::Open(root, options);
}

std::vector<RunInfo> Runs(Store& store) {
  RunFilter filter;
  filter.limit = kRunsShown;
  auto runs = store.ListRuns(filter);
  return runs.ok() ? *std::move(runs) : std::vector<RunInfo>();
}

std::vector<Candidate> RunNames(const CompletionPlace& place) {
  auto store = StoreOf(place);
  if (!store.ok()) return {};
  std::vector<Candidate> out = {{"latest", "the latest run"}};
  for (const auto& run : Runs(*store)) {
    std::string about = run.pipeline + ", " + RunStatusName(run.status);
    if (!run.tags.empty()) about += " (" + Join(run.tags, " ") + ")";
    out.push_back({run.id, about});
  }
  return out.size() == 1 ? std::vector<Candidate>() : out;
}

std::vector<Candidate> Tags(const CompletionPlace& place) {
  auto store = StoreOf(place);
  if (!store.ok()) return {};
  std::set<std::string> tags;
  for (const auto& run : Runs(*store)) tags.insert(run.tags.begin(), run.tags.end());
  return Plain({tags.begin(), tags.end()});
}

std::vector<Candidate> PipelineNames(const CompletionPlace& place) {
  auto store = StoreOf(place);
  if (!store.ok()) return {};
  std::set<std::string> names;
  for (const auto& run : Runs(*store)) names.insert(run.pipeline);
  return Plain({names.begin(), names.end()});
}

// The stages of the pipeline's file, and those that its latest run had besides.
std::vector<Candidate> StageIds(const CompletionPlace& place) {
  std::vector<std::string> names = KeysBelow(PipelineText(place), "stages");
  if (auto store = StoreOf(place); store.ok()) {
    if (const auto runs = Runs(*store); !runs.empty()) {
      for (const auto& stage : runs.front().stages) {
        if (std::find(names.begin(), names.end(), stage) == names.end()) names.push_back(stage);
      }
    }
  }
  return Plain(names);
}

std::vector<Candidate> StageTypes() {
  std::vector<Candidate> out;
  const CatalogResult found = LoadCatalog(PluginFolders());
  for (const auto& stage : found.catalog.stages()) out.push_back({stage.name, stage.summary});
  out.push_back({"exec", ExecInfo().summary});
  return out;
}

std::vector<Candidate> Artifacts(const CompletionPlace& place) {
  auto store = StoreOf(place);
  if (!store.ok()) return {};
  ArtifactFilter filter;
  filter.limit = kArtifactsShown;
  const auto uses = store->ListArtifacts(filter);
  if (!uses.ok()) return {};
  std::vector<Candidate> out;
  std::set<std::string> seen;
  for (const auto& use : *uses) {
    const std::string name = use.stage + "." + use.port,
                      about = use.artifact.type + ", " + HumanBytes(use.artifact.bytes);
    if (seen.insert(name).second) out.push_back({name, about});
  }
  for (const auto& use : *uses) {
    const std::string name = use.run + ":" + use.stage + "." + use.port;
    if (seen.insert(name).second) out.push_back({name, use.artifact.type});
  }
  for (const auto& use : *uses) {
    const std::string name = use.artifact.digest.substr(0, 12);
    if (seen.insert(name).second) out.push_back({name, use.stage + "." + use.port});
  }
  return out;
}

// Stages of the latest run, runs, and after "RUN/" the stages of that run.
std::vector<Candidate> Logs(const CompletionPlace& place, const std::string& prefix) {
  auto store = StoreOf(place);
  if (!store.ok()) return {};
  const auto runs = Runs(*store);
  std::vector<Candidate> out;
  if (const size_t slash = prefix.find('/'); slash != std::string::npos) {
    const std::string ref = prefix.substr(0, slash);
    const auto id = store->ResolveRun(ref);
    for (const auto& run : runs) {
      if (!id.ok() || run.id != *id) continue;
      for (const auto& stage : run.stages) out.push_back({ref + "/" + stage, ""});
    }
    return out;
  }
  if (runs.empty()) return out;
  for (const auto& stage : runs.front().stages) out.push_back({stage, "of the latest run"});
  for (const auto& run : runs) out.push_back({run.id + "/", run.pipeline + ", " + RunStatusName(run.status)});
  return out;
}

// Of a list with commas: what has been typed up to the last one, with each name after it.
std::vector<Candidate> InList(const std::vector<std::string>& names, const std::string& prefix) {
  const size_t comma = prefix.rfind(',');
  const std::string typed = comma == std::string::npos ? "" : prefix.substr(0, comma + 1);
  std::vector<Candidate> out;
  for (const auto& name : names) {
    if (("," + typed).find("," + name + ",") == std::string::npos) out.push_back({typed + name, ""});
  }
  return out;
}

std::vector<Candidate> Schedules() {
  const auto all = ListSchedules();
  if (!all.ok()) return {};
  std::vector<Candidate> out;
  for (const auto& schedule : all->schedules) out.push_back({schedule.name, schedule.pipeline});
  for (const auto& broken : all->broken) out.push_back({broken.name, "cannot be read"});
  return out;
}

// Registered models: their names, "name@version" and "name@alias", or aliases alone.
std::vector<Candidate> Models(const CompletionPlace& place, const std::string& kind) {
  auto store = StoreOf(place);
  if (!store.ok()) return {};
  const auto models = store->ListModels("");
  if (!models.ok()) return {};
  std::vector<Candidate> out;
  std::set<std::string> seen;
  const auto add = [&](const std::string& text, const std::string& about) {
    if (seen.insert(text).second) out.push_back({text, about});
  };
  for (const auto& model : *models) {
    const std::string version = model.name + "@" + std::to_string(model.version);
    if (kind == "NAME") add(model.name, "");
    if (kind == "MODEL") add(version, "run " + model.run);
    for (const auto& alias : model.aliases) {
      if (kind == "MODEL") add(model.name + "@" + alias, version);
      if (kind == "ALIAS") add(alias, "");
    }
  }
  return out;
}

std::vector<Candidate> Params(const CompletionPlace& place) {
  std::vector<Candidate> out;
  for (const auto& name : KeysBelow(PipelineText(place), "params")) out.push_back({name + "=", ""});
  return out;
}

}  // namespace

std::vector<std::string> KeysBelow(std::string_view yaml, std::string_view key) {
  std::vector<std::string> out;
  YamlTree tree;
  std::vector<Diagnostic> problems;
  const YamlNode* root = ParseYaml(SourceText("", std::string(yaml)), &tree, &problems);
  if (root != nullptr && problems.empty() && root->kind == YamlNode::Kind::kMap) {
    const YamlNode* found = root->Find(key);
    if (found != nullptr) {
      for (const auto& entry : found->entries) out.push_back(entry.key->text);
    }
    return out;
  }
  bool inside = false;
  size_t depth = 0;  // of the keys; 0: not seen yet
  for (const auto line : Split(yaml, '\n')) {
    const size_t indent = line.find_first_not_of(' ');
    if (indent == std::string_view::npos || line[indent] == '#' || line[indent] == '\r') continue;
    if (indent == 0) {
      inside = line.starts_with(key) && line.size() > key.size() && line[key.size()] == ':';
      depth = 0;
      continue;
    }
    if (!inside) continue;
    if (depth == 0) depth = indent;
    if (indent != depth) continue;
    const size_t colon = line.find(':', indent);
    if (colon == std::string_view::npos) continue;
    std::string_view name = Trim(line.substr(indent, colon - indent));
    if (name.size() >= 2 && (name.front() == '"' || name.front() == '\'') && name.back() == name.front())
      name = name.substr(1, name.size() - 2);
    if (!name.empty() && name != "<<") out.emplace_back(name);
  }
  return out;
}

std::vector<Candidate> NamesOf(const std::string& kind, const std::string& command,
                               const CompletionPlace& place, const std::string& prefix) {
  if (kind == "PIPELINE") return Files(prefix, {".yaml", ".yml"}, false);
  if (kind == "DIR") return Files(prefix, {}, true);
  if (kind == "SRC" || kind == "BASE" || kind == "ADAPTER") return Files(prefix, {}, false);
  if (kind == "FILE" || kind == "PATH" || kind == "PATTERN" || kind == "TARGET")
    return Files(prefix, {}, false);
  if (kind == "PLUGIN") return Files(prefix, {".so"}, false);
  if (kind == "STAGE") return command == "stages" ? StageTypes() : StageIds(place);
  if (kind == "RUN" || (command == "runs" && (kind == "A" || kind == "B"))) return RunNames(place);
  if (kind == "RUN/STAGE") return Logs(place, prefix);
  if (kind == "ARTIFACT") return Artifacts(place);
  if (kind == "TAG") return Tags(place);
  if (kind == "NAME=VALUE") return command == "schedule" ? std::vector<Candidate>() : Params(place);
  if (kind == "NAME" && command == "runs") return PipelineNames(place);
  if (kind == "NAME" && command == "schedule") return Schedules();
  if (command == "models" && (kind == "NAME" || kind == "MODEL" || kind == "ALIAS"))
    return Models(place, kind);
  if (kind == "PROFILE") return InList(KeysBelow(PipelineText(place), "profiles"), prefix);
  if (kind == "EVENTS") return InList({"failure", "gate", "recovery", "success", "interrupted"}, prefix);
  if (kind == "FORMAT" && command == "models") return Plain({"gguf", "hf"});
  if (kind == "FORMAT") return Plain({"text", "mermaid", "dot", "svg"});
  if (kind == "WHAT") return Plain({"fail", "skip", "wait"});
  if (kind == "BACKEND") return Plain({"cron", "systemd"});
  if (kind == "TYPE" && command == "models") return Plain({"f32", "f16", "bf16", "q8_0", "q4_k_m"});
  if (kind == "TYPE") return Plain({kArtifactTypes.begin(), kArtifactTypes.end()});
  if (kind == "STATUS") return Plain({"running", "ok", "failed", "gated", "interrupted", "recovered"});
  if (kind == "SHELL") return Plain({"bash", "zsh", "fish"});
  if (kind == "TEMPLATE") {
    std::vector<Candidate> out;
    for (const auto& entry : InitTemplates()) out.push_back({entry.name, entry.summary});
    return out;
  }
  return {};
}

}  // namespace genflow::cli
