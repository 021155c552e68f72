#include "cli/plugin_checks.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <set>
#include <thread>

#include "base/files.h"
#include "base/sha256.h"
#include "base/strings.h"
#include "config/placeholder.h"
#include "host/stage_check.h"

namespace genflow::cli {

namespace {

namespace fs = std::filesystem;

// Of the file of what was right: one line of 64 hex digits each. It starts anew when it is full.
constexpr uint64_t kMaxRemembered = 4 << 20;

fs::path CheckedFile() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  if (cache != nullptr && *cache != '\0') return fs::path(cache) / "genflow" / "checked";
  if (home != nullptr && *home != '\0') return fs::path(home) / ".cache" / "genflow" / "checked";
  return {};
}

std::set<std::string> ReadChecked(const fs::path& file) {
  std::set<std::string> out;
  if (file.empty()) return out;
  const auto text = ReadFile(file, kMaxRemembered);
  if (!text.ok()) return out;
  for (const auto line : Split(*text, '\n')) out.emplace(line);
  return out;
}

// Best effort: a memory that cannot be written costs the next run a moment.
void AddChecked(const fs::path& file, const std::vector<std::string>& digests) {
  if (file.empty() || digests.empty() || !MakeDirectories(file.parent_path()).ok()) return;
  struct stat info {};
  const bool full = ::stat(file.c_str(), &info) == 0 &&
                    static_cast<uint64_t>(info.st_size) + digests.size() * 65 > kMaxRemembered;
  const Fd fd(::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (full ? O_TRUNC : 0), 0644));
  if (fd.valid()) (void)WriteAll(fd.get(), Join(digests, "\n") + "\n").ok();
}

// The parameters, unless a value is known only when the stage runs.
std::optional<nlohmann::json> KnownParams(const StageSpec& stage) {
  auto params = SubstitutePlaceholders(stage.with, [](const Placeholder&) -> Result<std::string> {
    return InvalidError("known only in a run");
  });
  if (!params.ok()) return std::nullopt;
  return *std::move(params);
}

// Where a problem is shown: at the parameter, at the list that holds it, or at the stage's `uses`.
Position PlaceOf(const StageSpec& stage, const std::string& param) {
  for (const std::string& name : {param, param.substr(0, param.find('['))}) {
    if (const auto it = stage.with_positions.find(name); it != stage.with_positions.end()) return it->second;
  }
  return stage.uses_position;
}

// A message of three lines shows a text with a caret below it. Where that text stands in the file at `place`,
// as it is, the place of the caret there, and the message has its first line alone.
Position MoveCaret(const SourceText& source, Position place, std::string* message) {
  const auto lines = Split(*message, '\n');
  if (lines.size() != 3) return place;
  const size_t start = lines[1].find_first_not_of(' '), caret = lines[2].find('^');
  if (start == std::string_view::npos || caret == std::string_view::npos || caret < start) return place;
  const std::string_view text = lines[1].substr(start), line = source.Line(place.line);
  const auto ascii = [](char c) { return static_cast<unsigned char>(c) < 0x80; };
  if (!std::all_of(line.begin(), line.end(), ascii)) return place;
  const size_t from = static_cast<size_t>(place.column) - 1, at = line.find(text, from);
  if (at == std::string_view::npos || at + text.size() > from + static_cast<size_t>(place.length))
    return place;
  place.column = static_cast<int>(at + caret - start) + 1;
  place.length = static_cast<int>(lines[2].size() - caret);
  message->resize(lines[0].size());
  return place;
}

}  // namespace

std::vector<Diagnostic> CheckWithPlugins(const Pipeline& pipeline) {
  struct Asked {
    CheckRequest request;
    std::vector<const StageSpec*> stages;
    std::vector<std::string> digests;
  };
  std::optional<std::set<std::string>> checked;
  const fs::path file = CheckedFile();
  std::map<fs::path, Asked> by_plugin;
  for (const auto& stage : pipeline.stages) {
    if (!stage.enabled || stage.info == nullptr || !stage.info->has_check) continue;
    auto params = KnownParams(stage);
    if (!params) continue;
    const std::string digest =
        Sha256Hex(stage.info->plugin_digest + "\n" + stage.uses + "\n" + params->dump());
    if (!checked) checked = ReadChecked(file);
    if (checked->count(digest) != 0) continue;
    Asked& asked = by_plugin[stage.info->plugin_file];
    asked.request.plugin = stage.info->plugin_file;
    asked.request.plugin_digest = stage.info->plugin_digest;
    asked.request.stages.push_back({stage.uses, *std::move(params)});
    asked.stages.push_back(&stage);
    asked.digests.push_back(digest);
  }
  std::vector<CheckRequest> requests;
  requests.reserve(by_plugin.size());
  for (const auto& [plugin, asked] : by_plugin) requests.push_back(asked.request);
  const auto answers = CheckInWorkers(requests, std::max(1u, std::thread::hardware_concurrency()));

  std::vector<Diagnostic> out;
  std::vector<std::string> right;
  size_t at = 0;
  for (const auto& [plugin, asked] : by_plugin) {
    const auto& answer = answers[at++];
    for (size_t i = 0; i < asked.stages.size(); ++i) {
      const StageSpec& stage = *asked.stages[i];
      if (!answer.ok()) {
        const Error& error = answer.error();
        out.push_back(SourceOf(pipeline, stage).Report(stage.uses_position, error.message, error.hint));
        continue;
      }
      for (const auto& problem : (*answer)[i]) {
        const SourceText& source = SourceOf(pipeline, stage);
        std::string message = problem.message;
        const Position place = MoveCaret(source, PlaceOf(stage, problem.param), &message);
        out.push_back(source.Report(place, std::move(message), problem.hint));
      }
      if ((*answer)[i].empty()) right.push_back(asked.digests[i]);
    }
  }
  AddChecked(file, right);
  return out;
}

}  // namespace genflow::cli
