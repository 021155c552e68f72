#include "host/other_processes.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>

#include "genflow/plugin.h"

namespace genflow {

using nlohmann::json;

namespace {

// The others end when process 0 does: a moment later, or never.
constexpr std::chrono::seconds kEndGrace{10};
constexpr int kReportFd = 3;

// How a child has ended, which is not reaped.
ExitStatus WaitWithoutReaping(pid_t pid) {
  siginfo_t info{};
  while (::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT) != 0 && errno == EINTR) {
  }
  ExitStatus status;
  (info.si_code == CLD_EXITED ? status.code : status.signal) = info.si_status;
  return status;
}

// The failure among the report lines.
std::optional<json> FailIn(const std::string& reports) {
  std::optional<json> fail;
  for (size_t begin = 0; begin < reports.size();) {
    const size_t end = std::min(reports.find('\n', begin), reports.size());
    json line = json::parse(reports.substr(begin, end - begin), nullptr, /*allow_exceptions=*/false);
    if (line.is_object() && line.value("t", "") == "fail") fail = std::move(line);
    begin = end + 1;
  }
  return fail;
}

}  // namespace

Result<std::unique_ptr<OtherProcesses>> OtherProcesses::Start(const StageRequest& request,
                                                              std::function<void(const json&)> report) {
  std::unique_ptr<OtherProcesses> out(new OtherProcesses(std::move(report)));
  for (int i = 1; i < request.processes; ++i) {
    StageRequest theirs = request;
    theirs.process = i;
    GF_TRY(const Fd file,
           TextAsFile(RequestToJson(theirs).dump(-1, ' ', false, json::error_handler_t::replace)));
    GF_TRY(auto pipe, MakePipe());
    ProcessOptions options;
    options.file = "/proc/self/exe";
    options.argv = {"genflow", "worker"};
    options.env = EnvironmentWith({{"GENFLOW_REPORT_FD", std::to_string(kReportFd)}});
    options.fds = {{file.get(), 0}, {STDOUT_FILENO, 1}, {STDERR_FILENO, 2}, {pipe.second.get(), kReportFd}};
    options.own_group = false;
    GF_TRY(auto process, Process::Start(options));
    auto& other = *out->others_.emplace_back(std::make_unique<Other>());
    other.number = i + 1;
    other.process.emplace(std::move(process));
    other.reports = std::move(pipe.first);
  }
  for (auto& other : out->others_)
    other->watch = std::thread([&out = *out, &other = *other] { out.Watch(other); });
  return out;
}

OtherProcesses::~OtherProcesses() { End(GF_FAILED, true); }

std::string OtherProcesses::NameOf(const Other& other) const {
  return "process " + std::to_string(other.number) + " of " + std::to_string(others_.size() + 1);
}

void OtherProcesses::Watch(Other& other) {
  const auto fail = FailIn(ReadToEnd(other.reports.get()));
  const ExitStatus status = WaitWithoutReaping(other.process->pid());
  std::unique_lock lock(mutex_);
  other.ended = true;
  other.fail = fail;
  changed_.notify_all();
  if (ending_ || status.Succeeded() || (status.signal == 0 && status.code == GF_INTERRUPTED)) return;
  if (!fail) {
    report_(
        {{"t", "log"},
         {"level", "warning"},
         {"text", "lost " + NameOf(other) + ": " + status.ToString() + "; what it worked on is done again"}});
  }
  RequestStop();
  if (changed_.wait_for(lock, std::chrono::duration<double>(kLostGrace), [&] { return ending_; })) return;
  const int32_t outcome = Outcome(GF_INTERRUPTED, false);
  report_({{"t", "done"}, {"outcome", outcome}});
  ::_exit(outcome);
}

int32_t OtherProcesses::Outcome(int32_t outcome, bool failed) {
  if (failed || outcome != GF_INTERRUPTED) return outcome;
  for (const auto& other : others_) {
    if (!other->fail) continue;
    json fail = *other->fail;
    fail["message"] = NameOf(*other) + ": " + fail.value("message", "");
    report_(fail);
    return GF_FAILED;
  }
  return outcome;
}

int32_t OtherProcesses::End(int32_t outcome, bool failed) {
  {
    std::unique_lock lock(mutex_);
    if (ending_) return outcome;
    ending_ = true;
    changed_.notify_all();
    const auto all_ended = [&] {
      return std::all_of(others_.begin(), others_.end(), [](const auto& other) { return other->ended; });
    };
    if (outcome != GF_FAILED) changed_.wait_for(lock, kEndGrace, all_ended);
  }
  for (auto& other : others_) {
    other->process->SignalGroup(SIGKILL);  // not reaped, so nobody else has its number
    if (other->watch.joinable()) other->watch.join();
    other->process->Wait();
  }
  return Outcome(outcome, failed);
}

}  // namespace genflow
