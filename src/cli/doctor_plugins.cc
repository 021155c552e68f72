// Whether plugins load, as `genflow doctor` sees it.
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <optional>
#include <set>

#include "base/files.h"
#include "base/manifest.h"
#include "base/strings.h"
#include "base/subprocess.h"
#include "cli/doctor.h"
#include "host/catalog.h"

namespace genflow::cli {

namespace {

namespace fs = std::filesystem;

constexpr int kPatienceMs = 60'000;  // for libraries on a slow disk

// A process that loads one plugin and describes it.
struct Loading {
  fs::path file;
  std::optional<Process> process;
  Fd out, err;  // files in memory: nobody has to read while the process writes
};

std::string Contents(const Fd& fd) {
  ::lseek(fd.get(), 0, SEEK_SET);
  return ReadToEnd(fd.get());
}

Result<Loading> Start(const fs::path& file) {
  Loading out;
  out.file = file;
  GF_TRY(out.out, TextAsFile(""));
  GF_TRY(out.err, TextAsFile(""));
  ProcessOptions options;
  options.argv = {"genflow", "plugin", "describe", file.string(), "--output", "-"};
  options.file = ExecutablePath().string();
  options.env = EnvironmentWith({});
  options.fds = {{out.out.get(), 1}, {out.err.get(), 2}};
  GF_TRY(auto process, Process::Start(options));
  out.process.emplace(std::move(process));
  return out;
}

Finding Finish(Loading loading) {
  Finding out{
      "plugin " + loading.file.stem().string(), Health::kOk, "", "", {{"file", loading.file.string()}}};
  struct pollfd ended = {loading.process->pidfd(), POLLIN, 0};
  if (ended.fd >= 0 && ::poll(&ended, 1, kPatienceMs) == 0) {
    loading.process->SignalGroup(SIGKILL);
    out.health = Health::kFail;
    out.text = "loading " + loading.file.string() + " does not come to an end";
    out.hint = "look at what its libraries do when they are loaded: `LD_DEBUG=libs genflow plugin describe`";
    return out;
  }
  const ExitStatus status = loading.process->Wait();
  const std::string text = Contents(loading.out), errors = Contents(loading.err);
  if (!status.Succeeded()) {
    out.health = Health::kFail;
    std::vector<std::string> lines;
    for (const auto line : Split(errors, '\n')) {
      std::string_view rest = Trim(line);
      if (rest.starts_with("hint: ")) {
        out.hint = rest.substr(6);
      } else if (!rest.empty()) {
        lines.emplace_back(rest.starts_with("error: ") ? rest.substr(7) : rest);
      }
    }
    out.text = status.signal != 0 || lines.empty()
                   ? "loading " + loading.file.string() + " ended with " + status.ToString()
                   : Join(lines, "; ");
    if (out.hint.empty()) out.hint = "`ldd " + loading.file.string() + "` says which library is missing";
    return out;
  }
  const auto plugin = ManifestFromJson(text, loading.file);
  if (!plugin.ok()) {
    out.health = Health::kFail;
    out.text = plugin.error().message;
    out.hint = plugin.error().hint;
    return out;
  }
  const size_t stages = plugin->stages.size();
  out.text = plugin->version + ", " + Counted(stages, "stage") + ", loads";
  out.facts.update({{"version", plugin->version}, {"stages", stages}, {"digest", plugin->digest}});
  // The manifest beside it is what validation and cache keys go by.
  fs::path manifest = loading.file;
  manifest.replace_extension(".json");
  const auto written = ReadFile(manifest, 16 << 20);
  const auto promised =
      written.ok() ? ManifestFromJson(*written, loading.file) : Result<PluginInfo>(written.error());
  if (!promised.ok() || promised->digest != plugin->digest) {
    out.health = Health::kFail;
    out.text += ", but its manifest " + std::string(written.ok() ? "describes another file" : "is missing");
    out.hint = "`genflow plugin describe " + loading.file.string() + "` writes it anew";
  }
  return out;
}

}  // namespace

Findings CheckPluginsLoad() {
  std::vector<fs::path> files;
  std::set<std::string> names;  // the first of a name wins, as in the catalog
  for (const auto& folder : PluginFolders()) {
    std::vector<fs::path> here;
    std::error_code ec;
    for (fs::directory_iterator it(folder, ec), end; !ec && it != end; it.increment(ec)) {
      if (it->path().extension() == ".so") here.push_back(it->path());
    }
    std::sort(here.begin(), here.end());
    for (auto& file : here) {
      if (names.insert(file.stem().string()).second) files.push_back(std::move(file));
    }
  }
  if (files.empty()) {
    std::vector<std::string> folders;
    for (const auto& folder : PluginFolders()) folders.push_back(folder.string());
    return {{"plugins",
             Health::kFail,
             "none in " + Join(folders, ", "),
             "install genflow with its plugins, or name their folder in GENFLOW_PLUGIN_PATH",
             {}}};
  }
  Findings out;
  std::vector<Loading> loading;
  for (const auto& file : files) {
    auto started = Start(file);
    if (started.ok())
      loading.push_back(*std::move(started));
    else
      out.push_back({"plugin " + file.stem().string(),
                     Health::kFail,
                     started.error().message,
                     started.error().hint,
                     {}});
  }
  for (auto& one : loading) out.push_back(Finish(std::move(one)));
  return out;
}

}  // namespace genflow::cli
