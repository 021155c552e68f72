#include "base/files.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <tuple>
#include <unordered_map>

#include "base/strings.h"
#include "config/glob.h"
#include "config/pipeline.h"

namespace genflow {

namespace fs = std::filesystem;

namespace {

using nlohmann::json;

json* FindNested(json* object, std::string_view dotted) {
  while (true) {
    const size_t dot = dotted.find('.');
    const auto at = object->find(std::string(dotted.substr(0, dot)));
    if (at == object->end()) return nullptr;
    if (dot == std::string_view::npos) return &*at;
    if (!at->is_object()) return nullptr;
    object = &*at;
    dotted.remove_prefix(dot + 1);
  }
}

void EraseNested(json* object, std::string_view dotted) {
  const size_t dot = dotted.rfind('.');
  if (dot == std::string_view::npos) {
    object->erase(std::string(dotted));
  } else if (json* parent = FindNested(object, dotted.substr(0, dot));
             parent != nullptr && parent->is_object()) {
    parent->erase(std::string(dotted.substr(dot + 1)));
  }
}

// Something in the same folder that was probably meant.
std::string NearbyName(const fs::path& path) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(path.parent_path(), error), end; !error && it != end && names.size() < 1000;
       it.increment(error)) {
    names.push_back(it->path().filename().string());
  }
  std::sort(names.begin(), names.end());
  const auto near = NearestName(path.filename().string(), names);
  return near ? "did you mean '" + *near + "'?" : "";
}

using Expand = Result<std::vector<std::string>> (*)(const fs::path& base, std::string_view pattern);

class FileResolver {
 public:
  FileResolver(Pipeline* pipeline, Expand expand) : pipeline_(*pipeline), expand_(expand) {}

  std::vector<Diagnostic> Run() {
    for (StageSpec& stage : pipeline_.stages) {
      if (!stage.enabled) continue;
      stage.files.clear();
      if (stage.info != nullptr) {
        for (const auto& param : stage.info->params) {
          if (param.type != ParamType::kPath && param.type != ParamType::kFiles) continue;
          json* value = FindNested(&stage.with, param.name);
          if (value == nullptr) continue;
          if (param.type == ParamType::kPath && value->is_string()) ResolvePath(&stage, param.name, value);
          if (param.type == ParamType::kFiles && value->is_array())
            *value = ResolveGlobs(&stage, param.name, *value);
        }
      }
      if (stage.exec) ResolveGlobs(&stage, "files", json(stage.exec->files));
      const auto key = [](const FileRef& ref) { return std::tie(ref.param, ref.name); };
      std::sort(stage.files.begin(), stage.files.end(),
                [&](const auto& a, const auto& b) { return key(a) < key(b); });
    }
    SortDiagnostics(&diagnostics_);
    return std::move(diagnostics_);
  }

 private:
  void Report(const StageSpec& stage, const std::string& at, const std::string& outer, std::string message,
              std::string hint) {
    auto place = stage.with_positions.find(at);
    if (place == stage.with_positions.end()) place = stage.with_positions.find(outer);
    diagnostics_.push_back(SourceOf(pipeline_, stage)
                               .Report(place == stage.with_positions.end() ? stage.position : place->second,
                                       std::move(message), std::move(hint)));
  }

  void ResolvePath(StageSpec* stage, const std::string& param, json* value) {
    const auto written = value->get<std::string>();
    if (HasPlaceholder(written)) return;
    const fs::path path = (FolderOf(pipeline_, *stage) / written).lexically_normal();
    std::error_code error;
    if (!fs::exists(path, error)) {
      const std::string hint = NearbyName(path);
      Report(*stage, param, param, "with." + param + ": no such file or folder: " + written,
             hint.empty() ? "it is looked for at " + path.string() : hint);
      return;
    }
    *value = path.string();
    stage->files.push_back({param, "", path});
  }

  // Absolute paths of the files that the patterns match.
  json ResolveGlobs(StageSpec* stage, const std::string& param, const json& patterns) {
    const fs::path folder = FolderOf(pipeline_, *stage);
    std::vector<std::string> names;
    json out = json::array();
    for (size_t i = 0; i < patterns.size(); ++i) {
      const auto pattern = patterns[i].get<std::string>();
      if (HasPlaceholder(pattern)) {
        out.push_back(pattern);
        continue;
      }
      const auto [known, added] =
          expanded_.try_emplace(folder.string() + "\n" + pattern, std::vector<std::string>{});
      if (added) known->second = expand_(folder, pattern);
      const std::string at = param + "[" + std::to_string(i) + "]";
      if (!known->second.ok()) {
        Report(*stage, at, param, "with." + at + ": " + known->second.error().message,
               known->second.error().hint);
      } else if (known->second->empty()) {
        Report(*stage, at, param, "with." + at + ": no file matches " + pattern,
               "it is looked for in " + folder.string());
      } else {
        names.insert(names.end(), known->second->begin(), known->second->end());
      }
    }
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
    for (auto& name : names) {
      const fs::path path = (folder / name).lexically_normal();
      out.push_back(path.string());
      stage->files.push_back({param, std::move(name), path});
    }
    return out;
  }

  Pipeline& pipeline_;
  const Expand expand_;
  std::vector<Diagnostic> diagnostics_;
  std::unordered_map<std::string, Result<std::vector<std::string>>> expanded_;
};

}  // namespace

fs::path FolderOf(const Pipeline& pipeline, const StageSpec& stage) {
  return stage.dir.empty() ? pipeline.dir : stage.dir;
}

const SourceText& SourceOf(const Pipeline& pipeline, const StageSpec& stage) {
  return stage.source ? *stage.source : *pipeline.source;
}

std::vector<Diagnostic> ResolveFiles(Pipeline* pipeline) { return FileResolver(pipeline, ExpandGlob).Run(); }

std::vector<Diagnostic> CheckFiles(const Pipeline& pipeline) {
  Pipeline copy = pipeline;
  return FileResolver(&copy, FirstGlobMatch).Run();
}

json KeyParams(const StageSpec& stage) {
  json out = stage.with;
  if (stage.info == nullptr) return out;
  for (const auto& param : stage.info->params) {
    const bool by_file = param.type == ParamType::kPath || param.type == ParamType::kFiles;
    if (param.is_volatile ||
        (by_file && std::any_of(stage.files.begin(), stage.files.end(),
                                [&](const FileRef& ref) { return ref.param == param.name; }))) {
      EraseNested(&out, param.name);
    }
  }
  return out;
}

Result<std::map<std::string, std::string>> ReadSecretsFile(const fs::path& file) {
  struct stat info {};
  if (::stat(file.c_str(), &info) != 0) return ErrnoError(file.string(), errno);
  if ((info.st_mode & (S_IRGRP | S_IROTH | S_IWGRP | S_IWOTH)) != 0) {
    return InvalidError(file.string() + ": a file of secrets must be readable by its owner alone",
                        "chmod 600 " + file.string());
  }
  GF_TRY(const std::string text, ReadFile(file, 1u << 20));
  std::map<std::string, std::string> out;
  std::vector<std::string> wrong;  // the lines themselves are not shown: they may be secrets
  int number = 0;
  for (std::string_view line : Split(text, '\n')) {
    ++number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (Trim(line).empty() || Trim(line).starts_with('#')) continue;
    const size_t equals = line.find('=');
    const std::string_view name = Trim(line.substr(0, equals));
    if (equals == std::string_view::npos || name.empty()) {
      wrong.push_back(file.string() + ":" + std::to_string(number) + ": expected NAME=value");
      continue;
    }
    out[std::string(name)] = line.substr(equals + 1);
  }
  if (!wrong.empty()) return InvalidError(Join(wrong, "\n"));
  return out;
}

}  // namespace genflow
