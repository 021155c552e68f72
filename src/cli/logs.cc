// `genflow logs`: the log of a stage.
#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <memory>

#include "base/files.h"
#include "base/strings.h"
#include "cli/commands.h"
#include "cli/errors.h"
#include "cli/json_output.h"
#include "cli/pipeline_options.h"

namespace genflow::cli {

namespace {

constexpr useconds_t kFollowInterval = 200'000;

struct Options {
  std::string store, ref;
  int attempt = 0;
  bool follow = false, json = false;
};

// The attempt whose log is meant: the last one of the stage, or the numbered one.
Result<std::optional<AttemptInfo>> FindAttempt(Store& store, const std::string& run, const std::string& stage,
                                               int number) {
  GF_TRY(auto attempts, store.ListAttempts(run));
  std::optional<AttemptInfo> found;
  std::vector<std::string> stages;
  for (auto& attempt : attempts) {
    stages.push_back(attempt.stage);
    if (attempt.stage == stage && (number == 0 || attempt.attempt == number)) found = std::move(attempt);
  }
  if (found) return found;
  const auto near = NearestName(stage, stages);
  return MakeError(Code::kNotFound,
                   "run " + run + " has no stage '" + stage + "'" +
                       (number > 0 ? " with attempt " + std::to_string(number) : ""),
                   near && *near != stage ? "did you mean '" + *near + "'?"
                                          : "`genflow runs show " + run + "` lists them");
}

// Copies what is new in the file to standard output.
Status CopyNew(int fd, bool* wrote) {
  char buffer[1 << 16];
  while (true) {
    const ssize_t n = ::read(fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError("log", errno);
    if (n == 0) return Ok();
    *wrote = true;
    GF_CHECK_OK(WriteAll(STDOUT_FILENO, {buffer, static_cast<size_t>(n)}));
  }
}

int Logs(const Options& options) {
  auto store = OpenStore(options.store, true);
  if (!store.ok()) return Report(store.error());
  const size_t slash = options.ref.find('/');
  const std::string ref = slash == std::string::npos ? "latest" : options.ref.substr(0, slash);
  const std::string stage = slash == std::string::npos ? options.ref : options.ref.substr(slash + 1);
  auto run = store->ResolveRun(ref);
  if (!run.ok()) return Report(run.error());
  auto attempt = FindAttempt(*store, *run, stage, options.attempt);
  if (!attempt.ok()) return Report(attempt.error());
  if (options.json) {
    std::fputs(DumpPretty(ToJson(**attempt)).c_str(), stdout);
    return kExitOk;
  }
  if ((*attempt)->log.empty()) {
    const std::string source = (*attempt)->source_run;
    return Report(MakeError(
        Code::kNotFound, "'" + stage + "' did not run in " + *run + ", so it has no log",
        source.empty() ? ""
                       : "its outputs are from run " + source + ": genflow logs " + source + "/" + stage));
  }
  Fd fd(::open((*attempt)->log.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return Report(ErrnoError((*attempt)->log, errno));
  bool wrote = false;
  if (auto copied = CopyNew(fd.get(), &wrote); !copied.ok()) return Report(copied.error());
  while (options.follow && (*attempt)->status == AttemptStatus::kRunning) {
    ::usleep(kFollowInterval);
    attempt = FindAttempt(*store, *run, stage, (*attempt)->attempt);
    if (!attempt.ok()) return Report(attempt.error());
    if (auto copied = CopyNew(fd.get(), &wrote); !copied.ok()) return Report(copied.error());
  }
  return kExitOk;
}

}  // namespace

void AddLogsCommand(CLI::App& app, Action& action) {
  CLI::App* logs = app.add_subcommand("logs", "Show the log of a stage");
  auto options = std::make_shared<Options>();
  logs->add_option("RUN/STAGE", options->ref, "The stage; without RUN/ of the latest run")->required();
  logs->add_flag("-f,--follow", options->follow, "Go on while the stage is running");
  logs->add_option("--attempt", options->attempt, "Which attempt (default: the last)")->check(AtLeastOne());
  AddStoreOption(*logs, options->store);
  logs->add_flag("--json", options->json, "What is known of the attempt, with the path of its log, as JSON");
  logs->footer("Examples:\n  genflow logs tune\n  genflow logs -f latest/tune");
  logs->callback([&action, options] { action = [options] { return Logs(*options); }; });
}

}  // namespace genflow::cli
