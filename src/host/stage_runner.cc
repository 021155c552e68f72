#include "host/stage_runner.h"

#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <mutex>

#include "base/files.h"
#include "base/subprocess.h"
#include "host/other_processes.h"
#include "host/plugin_file.h"
#include "host/stage_check.h"

using genflow::ReportSink;
using genflow::StageRequest;

namespace {
std::atomic<int> g_stop{0};
}  // namespace

// State behind the opaque handle that a plugin holds.
struct gf_run {
  const StageRequest* request = nullptr;
  ReportSink* sink = nullptr;
  std::mutex mutex;
  std::string params_text, info_text;
  std::vector<gf_input> inputs;
  std::chrono::steady_clock::time_point last_progress{};
  bool failed = false;

  void Report(const nlohmann::json& line) {
    std::lock_guard lock(mutex);
    sink->Report(line);
  }
};

namespace genflow {

namespace {

using nlohmann::json;

constexpr auto kProgressInterval = std::chrono::milliseconds(100);

const char* LevelName(int32_t level) {
  switch (level) {
    case GF_DEBUG:
      return "debug";
    case GF_WARNING:
      return "warning";
    case GF_ERROR:
      return "error";
    default:
      return "info";
  }
}

const char* ErrorName(int32_t error) {
  switch (error) {
    case GF_ERROR_INVALID:
      return "invalid";
    case GF_ERROR_IO:
      return "io";
    case GF_ERROR_EXHAUSTED:
      return "exhausted";
    case GF_ERROR_UNSUPPORTED:
      return "unsupported";
    default:
      return "internal";
  }
}

// Text from a plugin, made safe for JSON: invalid UTF-8 is replaced when the line is written.
std::string Text(const char* text) { return text == nullptr ? "" : text; }

const char* HostParams(gf_run* run) { return run->params_text.c_str(); }
size_t HostInputCount(gf_run* run) { return run->inputs.size(); }
const gf_input* HostInput(gf_run* run, size_t index) {
  return index < run->inputs.size() ? &run->inputs[index] : nullptr;
}
const char* HostOutputPath(gf_run* run, const char* port) {
  const auto it = run->request->outputs.find(Text(port));
  return it == run->request->outputs.end() ? "" : it->second.c_str();
}
const char* HostStateDir(gf_run* run) { return run->request->state_dir.c_str(); }
const char* HostScratchDir(gf_run* run) { return run->request->scratch_dir.c_str(); }

void HostProgress(gf_run* run, uint64_t done, uint64_t total, const char* unit, const char* message) {
  std::lock_guard lock(run->mutex);
  const auto now = std::chrono::steady_clock::now();
  if (done != total && now - run->last_progress < kProgressInterval) return;
  run->last_progress = now;
  json line = {{"t", "progress"}, {"done", done}, {"total", total}, {"unit", Text(unit)}};
  if (message != nullptr) line["msg"] = message;
  run->sink->Report(line);
}

void HostMetric(gf_run* run, const char* name, double value, int64_t step) {
  run->Report({{"t", "metric"}, {"name", Text(name)}, {"value", value}, {"step", step}});
}
void HostLog(gf_run* run, int32_t level, const char* text) {
  run->Report({{"t", "log"}, {"level", LevelName(level)}, {"text", Text(text)}});
}
int32_t HostShouldStop(gf_run*) { return g_stop.load(std::memory_order_relaxed); }
void HostFail(gf_run* run, int32_t error, const char* message, const char* hint) {
  run->failed = true;
  run->Report({{"t", "fail"}, {"code", ErrorName(error)}, {"message", Text(message)}, {"hint", Text(hint)}});
}
void HostSummary(gf_run* run, const char* markdown) {
  run->Report({{"t", "summary"}, {"text", Text(markdown)}});
}
int32_t HostThreads(gf_run* run) { return run->request->threads; }
int32_t HostProcesses(gf_run* run) { return run->request->processes; }
int32_t HostProcess(gf_run* run) { return run->request->process; }
const char* HostInfo(gf_run* run) { return run->info_text.c_str(); }

const gf_host kHost = {
    sizeof(gf_host), GENFLOW_ABI_MAJOR, GENFLOW_ABI_MINOR, HostParams,     HostInputCount,
    HostInput,       HostOutputPath,    HostStateDir,      HostScratchDir, HostProgress,
    HostMetric,      HostLog,           HostShouldStop,    HostFail,       HostSummary,
    HostThreads,     HostInfo,          HostProcesses,     HostProcess,
};

// Writes report lines to a descriptor. A reader that is gone asks the stage to stop.
class FdSink : public ReportSink {
 public:
  explicit FdSink(int fd) : fd_(fd) {}
  void Report(const json& line) override {
    const std::string text = line.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
    if (!WriteAll(fd_, text).ok()) RequestStop();
  }

 private:
  int fd_;
};

void Fail(ReportSink& sink, const char* code, const Error& error) {
  sink.Report({{"t", "fail"}, {"code", code}, {"message", error.message}, {"hint", error.hint}});
}

int32_t Done(ReportSink& sink, int32_t outcome) {
  sink.Report({{"t", "done"}, {"outcome", outcome}});
  return outcome;
}

}  // namespace

json RequestToJson(const StageRequest& r) {
  json inputs = json::array();
  for (const auto& in : r.inputs) {
    inputs.push_back({{"port", in.port},
                      {"type", in.type},
                      {"path", in.path},
                      {"digest", in.digest},
                      {"source", in.source}});
  }
  return {{"plugin", r.plugin},       {"plugin_digest", r.plugin_digest},
          {"stage", r.stage},         {"params", r.params},
          {"inputs", inputs},         {"outputs", r.outputs},
          {"state_dir", r.state_dir}, {"scratch_dir", r.scratch_dir},
          {"threads", r.threads},     {"processes", r.processes},
          {"process", r.process},     {"info", r.info}};
}

Result<StageRequest> RequestFromJson(std::string_view text) {
  try {
    const json j = json::parse(text);
    StageRequest r;
    r.plugin = j.at("plugin").get<std::string>();
    r.plugin_digest = j.value("plugin_digest", "");
    r.stage = j.at("stage").get<std::string>();
    r.params = j.at("params");
    for (const auto& in : j.at("inputs")) {
      r.inputs.push_back({in.at("port").get<std::string>(), in.at("type").get<std::string>(),
                          in.at("path").get<std::string>(), in.value("digest", ""), in.value("source", "")});
    }
    r.outputs = j.at("outputs").get<std::map<std::string, std::string>>();
    r.state_dir = j.value("state_dir", "");
    r.scratch_dir = j.value("scratch_dir", "");
    r.threads = std::max(1, j.value("threads", 1));
    r.processes = std::max(1, j.value("processes", 1));
    r.process = j.value("process", 0);
    r.info = j.value("info", json::object());
    return r;
  } catch (const std::exception& e) {
    return MakeError(Code::kInternal, std::string("worker request: ") + e.what());
  }
}

void RequestStop() { g_stop.store(1, std::memory_order_relaxed); }

int32_t RunStage(const StageRequest& request, ReportSink& sink) {
  auto plugin = OpenPlugin(request.plugin, &kHost, request.plugin_digest);
  if (!plugin.ok()) {
    Fail(sink, plugin.error().code == Code::kInvalid ? "invalid" : "unsupported", plugin.error());
    return Done(sink, GF_FAILED);
  }
  const gf_stage* stage = FindStage(*plugin, request.stage);
  if (stage == nullptr) {
    Fail(sink, "invalid", InvalidError("plugin " + request.plugin + " has no stage '" + request.stage + "'"));
    return Done(sink, GF_FAILED);
  }
  if (const auto problems = CheckParams(*stage, request.params); !problems.empty()) {
    Error error = InvalidError(problems[0].message, problems[0].hint);
    for (size_t i = 1; i < problems.size(); ++i) error.message += "\n" + problems[i].message;
    Fail(sink, "invalid", error);
    return Done(sink, GF_FAILED);
  }
  gf_run run;
  run.request = &request;
  run.sink = &sink;
  run.params_text = request.params.dump();
  run.info_text = request.info.dump();
  for (const auto& in : request.inputs) {
    run.inputs.push_back({sizeof(gf_input), in.port.c_str(), in.type.c_str(), in.path.c_str(),
                          in.digest.c_str(), in.source.c_str()});
  }
  std::unique_ptr<OtherProcesses> others;
  if (request.processes > 1 && request.process == 0) {
    auto started = OtherProcesses::Start(request, [&run](const json& line) { run.Report(line); });
    if (!started.ok()) {
      Fail(sink, "io", started.error());
      return Done(sink, GF_FAILED);
    }
    others = *std::move(started);
  }
  int32_t outcome = stage->run(&kHost, &run);
  if (outcome != GF_OK && outcome != GF_GATE && outcome != GF_INTERRUPTED) outcome = GF_FAILED;
  if (others) {
    const int32_t here = outcome;
    outcome = others->End(here, run.failed);
    run.failed |= outcome != here;
  }
  if (outcome == GF_FAILED && !run.failed) {
    Fail(sink, "internal",
         MakeError(Code::kInternal, "stage " + request.stage + " failed without saying why"));
  }
  return Done(sink, outcome);
}

int WorkerMain() {
  const char* fd_text = std::getenv("GENFLOW_REPORT_FD");
  const int fd = fd_text == nullptr ? -1 : std::atoi(fd_text);
  if (fd < 3) return 2;
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGTERM, [](int) { RequestStop(); });
  std::signal(SIGINT, SIG_IGN);  // the engine decides; a terminal's Ctrl-C reaches it first
  FdSink sink(fd);
  auto request = RequestFromJson(ReadToEnd(STDIN_FILENO));
  if (!request.ok()) {
    Fail(sink, "internal", request.error());
    return Done(sink, GF_FAILED);
  }
  const int outcome = RunStage(*request, sink);
  // Plugins are never unloaded: leave without running destructors of the libraries they brought.
  std::fflush(nullptr);
  ::_exit(outcome);
}

}  // namespace genflow
