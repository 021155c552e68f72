// `genflow models pull`: fetches a model through genflow-hub, and shows how far it is.
#include <poll.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "base/files.h"
#include "base/strings.h"
#include "base/subprocess.h"
#include "cli/commands.h"
#include "cli/errors.h"
#include "cli/json_output.h"
#include "cli/pipeline_options.h"
#include "cli/session.h"
#include "cli/terminal.h"

namespace genflow::cli {

namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;

struct Options {
  std::string name, to, endpoint;
  std::vector<std::string> include, exclude;
  int jobs = 4;
  bool json = false;
};

volatile std::sig_atomic_t g_stop = 0;

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : std::string(Trim(value));
}

bool IsPlain(std::string_view text) {
  return !text.empty() && text != "." && text != ".." && std::all_of(text.begin(), text.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_' || c == '.';
  });
}

// {"endpoint", "token", "id", "revision", "folder", ...} for genflow-hub.
Result<json> RequestOf(const Options& options) {
  const size_t at = options.name.find('@');
  const std::string id = options.name.substr(0, at);
  const std::string revision = at == std::string::npos ? "main" : options.name.substr(at + 1);
  const auto pieces = Split(id, '/');
  if (pieces.size() > 2 || !std::all_of(pieces.begin(), pieces.end(), IsPlain) || revision.empty()) {
    return InvalidError("'" + options.name + "' names no model of a hub",
                        "write ORGANISATION/MODEL or ORGANISATION/MODEL@REVISION");
  }
  std::string endpoint = options.endpoint.empty() ? Variable("HF_ENDPOINT") : options.endpoint;
  if (endpoint.empty()) {
    return InvalidError("no hub is configured to fetch '" + id + "' from",
                        "set HF_ENDPOINT to its address, such as https://HOST, or give --endpoint");
  }
  if (!endpoint.starts_with("http://") && !endpoint.starts_with("https://"))
    return InvalidError("the endpoint '" + endpoint + "' is no http:// or https:// address");
  while (endpoint.ends_with('/')) endpoint.pop_back();
  const std::string token = Variable("HF_TOKEN");
  if (std::any_of(token.begin(), token.end(), [](char c) { return c <= ' ' || c == 0x7f; }))
    return InvalidError("HF_TOKEN holds characters that no token has");
  std::error_code ec;
  const auto folder =
      std::filesystem::absolute(options.to.empty() ? std::string(pieces.back()) : options.to, ec);
  return json{{"endpoint", endpoint},
              {"token", token},
              {"id", id},
              {"revision", revision},
              {"folder", folder.lexically_normal().string()},
              {"include", options.include},
              {"exclude", options.exclude},
              {"jobs", options.jobs}};
}

// What a person sees on standard error.
class Display {
 public:
  explicit Display(bool quiet) : quiet_(quiet), traits_(DetectTerminal(STDERR_FILENO)) {}
  ~Display() { Clear(); }

  void Plan(size_t files, int64_t bytes) {
    total_ = bytes;
    started_ = Clock::now();
    Line(Counted(files, "file") + (bytes > 0 ? ", " + HumanBytes(static_cast<uint64_t>(bytes)) : ""));
  }
  void Note(const std::string& text) { Line(text); }
  void File(const std::string& name, int64_t bytes) {
    Line("fetched " + name + (bytes >= 0 ? ", " + HumanBytes(static_cast<uint64_t>(bytes)) : ""));
  }
  void Progress(int64_t done) {
    if (first_ < 0) first_ = done;
    done_ = done;
    Draw();
  }

 private:
  void Line(const std::string& text) {
    if (quiet_) return;
    Clear();
    std::fprintf(stderr, "%s\n", text.c_str());
    Draw();
  }
  void Clear() {
    if (drawn_) std::fputs("\r\x1b[K", stderr);
    drawn_ = false;
  }
  void Draw() {
    if (quiet_ || !traits_.interactive || total_ <= 0 || first_ < 0) return;
    constexpr size_t kBar = 24;
    const double part = std::clamp(static_cast<double>(done_) / static_cast<double>(total_), 0.0, 1.0);
    const auto full = static_cast<size_t>(part * kBar);
    std::string bar;
    for (size_t i = 0; i < kBar; ++i)
      bar += traits_.unicode ? (i < full ? "█" : "░") : (i < full ? "#" : "-");
    const double seconds = std::chrono::duration<double>(Clock::now() - started_).count();
    const double rate = seconds > 0.5 ? static_cast<double>(done_ - first_) / seconds : 0;
    char percent[16];
    std::snprintf(percent, sizeof percent, "%3.0f%%", 100 * part);
    std::string text = Styled(bar, Style::kCyan, traits_.color) + " " + percent + "  " +
                       HumanBytes(static_cast<uint64_t>(std::max<int64_t>(0, done_))) + " of " +
                       HumanBytes(static_cast<uint64_t>(total_));
    if (rate > 0) {
      text += "  " + HumanBytes(static_cast<uint64_t>(rate)) + "/s  " +
              HumanDuration(static_cast<double>(total_ - done_) / rate) + " left";
    }
    if (DisplayWidth(text) < static_cast<size_t>(SizeOfTerminal(STDERR_FILENO).columns)) {
      std::fprintf(stderr, "\r\x1b[K%s", text.c_str());
      drawn_ = true;
    }
  }

  bool quiet_, drawn_ = false;
  TerminalTraits traits_;
  int64_t total_ = 0, done_ = 0, first_ = -1;
  Clock::time_point started_;
};

// The lines of genflow-hub up to its end; the last one.
Result<json> Follow(Process& process, int from, Display& display, json* plan) {
  std::string pending;
  json last;
  bool told = false;
  while (true) {
    if (g_stop != 0 && !told) {
      process.SignalGroup(SIGTERM);
      told = true;
    }
    struct pollfd entry = {from, POLLIN, 0};
    const int ready = ::poll(&entry, 1, 100);
    if (ready == 0 || (ready < 0 && errno == EINTR)) continue;
    char buffer[1 << 13];
    const ssize_t n = ::read(from, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    pending.append(buffer, static_cast<size_t>(n));
    for (size_t end = pending.find('\n'); end != std::string::npos; end = pending.find('\n')) {
      last = json::parse(pending.substr(0, end), nullptr, /*allow_exceptions=*/false);
      pending.erase(0, end + 1);
      const std::string t = last.is_object() ? last.value("t", "") : "";
      if (t == "plan") {
        display.Plan(last.value("files", size_t{0}), last.value("bytes", int64_t{0}));
        *plan = last;
      }
      if (t == "progress") display.Progress(last.value("done", int64_t{0}));
      if (t == "file") display.File(last.value("name", ""), last.value("bytes", int64_t{-1}));
      if (t == "note") display.Note(last.value("text", ""));
    }
  }
  const ExitStatus status = process.Wait();
  if (!last.is_object() || (last.value("t", "") != "done" && last.value("t", "") != "error"))
    return MakeError(Code::kInternal, "genflow-hub ended with " + status.ToString());
  return last;
}

int Pull(const Options& options) {
  const auto request = RequestOf(options);
  if (!request.ok()) return Report(request.error());
  const auto program = ExecutablePath().parent_path().parent_path() / "lib/genflow/genflow-hub";
  const auto input = TextAsFile(Dump(*request));
  if (!input.ok()) return Report(input.error());
  auto pipe = MakePipe();
  if (!pipe.ok()) return Report(pipe.error());
  ProcessOptions start;
  start.argv = {program.string()};
  start.env = EnvironmentWith({});
  start.fds = {{input->get(), 0}, {pipe->second.get(), 1}, {STDERR_FILENO, 2}};
  std::signal(SIGINT, [](int) { g_stop = 1; });
  std::signal(SIGTERM, [](int) { g_stop = 1; });
  auto process = Process::Start(start);
  if (!process.ok()) return Report(process.error());
  pipe->second.Reset();

  json plan = json::object();
  const auto last = [&] {
    Display display(options.json);
    return Follow(*process, pipe->first.get(), display, &plan);
  }();
  if (!last.ok()) return Report(last.error());
  const std::string folder = (*request)["folder"];
  if ((*last)["t"] == "error") {
    Error error = SaidError(*last);
    if (error.code == Code::kInterrupted)
      error = MakeError(Code::kInterrupted, "stopped; what came so far is in " + folder + ".part",
                        "the same command goes on with it");
    return Report(error);
  }
  if (options.json) {
    std::fputs(DumpPretty({{"model", (*request)["id"]},
                           {"revision", (*request)["revision"]},
                           {"commit", plan.value("commit", "")},
                           {"files", plan.value("files", 0)},
                           {"bytes", plan.value("bytes", 0)},
                           {"path", folder}})
                   .c_str(),
               stdout);
  } else {
    std::printf("%s\n", folder.c_str());
  }
  return kExitOk;
}

}  // namespace

void AddModelsPullCommand(CLI::App& models, Action& action) {
  CLI::App* pull = models.add_subcommand("pull", "Fetch a model from a hub into a folder");
  auto options = std::make_shared<Options>();
  pull->add_option("NAME", options->name,
                   "ORGANISATION/MODEL, or ORGANISATION/MODEL@REVISION (default: main)")
      ->required();
  pull->add_option("--to", options->to, "The folder that it becomes (default: the model's name, here)")
      ->type_name("DIR");
  pull->add_option("--endpoint", options->endpoint, "The hub's address (default: $HF_ENDPOINT)")
      ->type_name("URL");
  pull->add_option("--include", options->include,
                   "Only files that match, such as '*.safetensors'; may be repeated")
      ->type_name("PATTERN")
      ->allow_extra_args(false);
  pull->add_option("--exclude", options->exclude, "Files to leave out; may be repeated")
      ->type_name("PATTERN")
      ->allow_extra_args(false);
  pull->add_option("--jobs", options->jobs, "Files fetched at once")
      ->check(CLI::Range(1, 32))
      ->capture_default_str();
  pull->add_flag("--json", options->json, "JSON on stdout, and no progress");
  pull->footer(
      "A token is taken from $HF_TOKEN. What is interrupted stays in DIR.part, and\n"
      "the same command goes on.\n\n"
      "Example:\n  genflow models pull organisation/model --exclude '*.bin' --to models/model");
  pull->callback([&action, options] { action = [options] { return Pull(*options); }; });
}

}  // namespace genflow::cli
