// `genflow-hub`: fetches a model. `genflow models pull` starts it; what to fetch comes on standard input as a
// JSON object of PullRequest's members, so that no list of processes shows the token. Standard output tells,
// a JSON object a line: {"t": "plan", "files", "bytes", "commit"}, {"t": "progress", "done"}, {"t": "file",
// "name", "bytes"}, {"t": "note", "text"}, and at the end {"t": "done"} or {"t": "error", "code", "message",
// "hint"}. SIGTERM ends it; what came so far stays. Exit code 0: done.
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <mutex>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/subprocess.h"
#include "hub/pull.h"

namespace genflow::hub {
namespace {

using nlohmann::json;

std::atomic<bool> g_stop{false};
static_assert(std::atomic<bool>::is_always_lock_free);

void Say(const json& line) {
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  // Nobody is there who wants it.
  if (!WriteAll(STDOUT_FILENO, line.dump(-1, ' ', false, json::error_handler_t::replace) + "\n").ok())
    g_stop = true;
}

int Fail(const Error& error) {
  Say({{"t", "error"}, {"code", CodeName(error.code)}, {"message", error.message}, {"hint", error.hint}});
  return 1;
}

int Main() {
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGTERM, [](int) { g_stop = true; });
  PullRequest request;
  try {
    const auto given = json::parse(ReadToEnd(STDIN_FILENO));
    request.endpoint = given.at("endpoint").get<std::string>();
    request.token = given.value("token", "");
    request.id = given.at("id").get<std::string>();
    request.revision = given.value("revision", request.revision);
    request.folder = given.at("folder").get<std::string>();
    request.include = given.value("include", request.include);
    request.exclude = given.value("exclude", request.exclude);
    request.jobs = given.value("jobs", request.jobs);
    request.attempts = given.value("attempts", request.attempts);
    request.backoff = given.value("backoff", request.backoff);
  } catch (const json::exception&) {
    return Fail(MakeError(Code::kInternal, "standard input is not a request"));
  }
  PullHooks hooks;
  hooks.stop = &g_stop;
  hooks.plan = [](size_t files, int64_t bytes, const std::string& commit) {
    Say({{"t", "plan"}, {"files", files}, {"bytes", bytes}, {"commit", commit}});
  };
  std::chrono::steady_clock::time_point last{};
  std::atomic<int64_t> latest{0};
  hooks.progress = [&](int64_t done) {
    latest = done;
    const auto now = std::chrono::steady_clock::now();
    if (now - last < std::chrono::milliseconds(100)) return;
    last = now;
    Say({{"t", "progress"}, {"done", done}});
  };
  hooks.file = [](const std::string& name, int64_t bytes) {
    Say({{"t", "file"}, {"name", name}, {"bytes", bytes}});
  };
  hooks.note = [&](const std::string& text) {
    Say({{"t", "note"}, {"text", text}});
    Say({{"t", "progress"}, {"done", latest.load()}});  // a pause begins
  };
  if (const auto done = Pull(request, hooks); !done.ok()) return Fail(done.error());
  Say({{"t", "done"}});
  return 0;
}

}  // namespace
}  // namespace genflow::hub

int main() { return genflow::hub::Main(); }
