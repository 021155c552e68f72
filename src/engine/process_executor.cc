#include "engine/process_executor.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <system_error>

#include "base/process_tree.h"

namespace genflow {

namespace {

constexpr int kReportFd = 3;
// A worker that has closed its report pipe has this long to exit.
constexpr double kCloseGrace = 2.0;
// Where the kernel has no pidfd, children are looked at this often; SIGCHLD usually comes first.
constexpr double kReapInterval = 0.1;
// The memory of jobs that have a limit is added up this often.
constexpr double kMemoryInterval = 0.25;
// A group that has lost its leader, and has time to stop, is looked at this often.
constexpr double kGroupInterval = 0.05;
constexpr char kMarkName[] = "GENFLOW_ENGINE";
// Reads of 64 KiB after the end of a process; a pipe holds no more than a few.
constexpr int kLastReads = 64;

sigset_t SignalsToTake() {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGCHLD);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGTSTP}) {
    struct sigaction now {};
    if (::sigaction(signal, nullptr, &now) == 0 && now.sa_handler != SIG_IGN) ::sigaddset(&set, signal);
  }
  return set;
}

// Reads what is there. False at the end of the stream.
bool ReadAvailable(int fd, std::string* out) {
  char buffer[1 << 16];
  while (true) {
    const ssize_t n = ::read(fd, buffer, sizeof buffer);
    if (n > 0) {
      out->append(buffer, static_cast<size_t>(n));
      // One full buffer at a time, so that a flood from one stage does not starve the others.
      return true;
    }
    if (n == 0) return false;
    if (errno == EINTR) continue;
    return errno == EAGAIN || errno == EWOULDBLOCK;
  }
}

Result<std::pair<Fd, Fd>> MakeReadPipe() {
  GF_TRY(auto pipe, MakePipe());
  ::fcntl(pipe.first.get(), F_SETFL, O_NONBLOCK);
  return pipe;
}

}  // namespace

Result<std::unique_ptr<ProcessExecutor>> ProcessExecutor::Create(Clock& clock,
                                                                 std::filesystem::path worker_binary) {
  std::unique_ptr<ProcessExecutor> executor(new ProcessExecutor(clock, std::move(worker_binary)));
  executor->signals_ = Fd(::signalfd(-1, &executor->taken_, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!executor->signals_.valid()) return ErrnoError("signalfd", errno);
  GF_TRY(auto pipe, MakeReadPipe());
  executor->work_read_ = std::move(pipe.first);
  executor->work_write_ = std::move(pipe.second);
  return executor;
}

ProcessExecutor::ProcessExecutor(Clock& clock, std::filesystem::path worker_binary)
    : clock_(clock),
      mark_(std::to_string(::getpid()) + "-" + std::to_string(clock.WallNow())),
      worker_binary_(std::move(worker_binary)),
      taken_(SignalsToTake()) {
  ::sigprocmask(SIG_BLOCK, &taken_, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGCHLD, SIG_DFL);  // ignored, children would leave no exit status
  BecomeSubreaper();
}

ProcessExecutor::~ProcessExecutor() {
  running_.clear();  // kills what still runs
  if (guardian_) ReapOrphans({guardian_->pid()}, Marked());
  Join();
  // What came after the end of the run is no reason to die before its end is told.
  struct signalfd_siginfo late {};
  while (::read(signals_.get(), &late, sizeof late) == sizeof late) {
  }
  ::sigprocmask(SIG_UNBLOCK, &taken_, nullptr);
}

std::string ProcessExecutor::Marked() const { return std::string(kMarkName) + "=" + mark_; }

Status ProcessExecutor::Start(const Job& job) {
  if (!guardian_) {
    GF_TRY(auto guardian, Guardian::Start(Marked()));
    guardian_.emplace(std::move(guardian));
  }
  ProcessOptions options;
  options.cwd = job.cwd;
  std::map<std::string, std::string> env = job.env;
  env["GENFLOW_JOB"] = job.tag;
  env[kMarkName] = mark_;

  GF_TRY(auto output, MakeReadPipe());
  options.fds = {{output.second.get(), 1}, {output.second.get(), 2}};
  std::pair<Fd, Fd> reports;
  Fd request_file;
  if (const auto* request = std::get_if<StageRequest>(&job.request)) {
    GF_TRY(request_file, TextAsFile(RequestToJson(*request).dump(-1, ' ', false,
                                                                 nlohmann::json::error_handler_t::replace)));
    GF_TRY(reports, MakeReadPipe());
    options.file = worker_binary_.string();
    options.argv = {"genflow", "worker"};
    options.fds.emplace_back(request_file.get(), 0);
    options.fds.emplace_back(reports.second.get(), kReportFd);
    env["GENFLOW_REPORT_FD"] = std::to_string(kReportFd);
  } else {
    const auto& exec = std::get<ExecRequest>(job.request);
    options.argv = {"bash", "-eo", "pipefail", "-c", exec.run, job.stage};
    for (const auto& [port, path] : exec.inputs) env[PortVariable("IN", port)] = path;
    for (const auto& [port, path] : exec.outputs) env[PortVariable("OUT", port)] = path;
    env["GENFLOW_STATE_DIR"] = exec.state_dir;
    env["GENFLOW_SCRATCH_DIR"] = exec.scratch_dir;
  }
  options.env = EnvironmentWith(env);
  // Secrets go to the stages that name them, and to no other.
  std::erase_if(options.env, [](const std::string& entry) { return entry.starts_with("GENFLOW_SECRET_"); });

  std::optional<MemoryGroup> group;
  if (job.memory_limit > 0) group = GroupFor(job);
  if (group) options.cgroup = group->entry();
  GF_TRY(auto process, Process::Start(options));
  guardian_->Add(process.pid());
  Running running(std::move(process));
  running.tag = "GENFLOW_JOB=" + job.tag;
  running.reports = std::move(reports.first);
  running.output = std::move(output.first);
  running.has_reports = running.reports.valid();
  running.memory_limit = group ? 0 : job.memory_limit;
  running.group = std::move(group);
  running.memory_at = clock_.Now() + kMemoryInterval;
  running_.erase(job.id);
  running_.emplace(job.id, std::move(running));
  return Ok();
}

void ProcessExecutor::Stop(int job, StopKind kind) {
  const auto it = running_.find(job);
  if (it == running_.end()) return;
  Running& running = it->second;
  if (kind == StopKind::kKill) return Kill(running);
  running.asked = true;
  running.process.SignalGroup(SIGTERM);
  running.process.SignalGroup(SIGCONT);  // what is stopped would not notice
}

void ProcessExecutor::Kill(Running& running) {
  running.asked = false;
  running.process.SignalGroup(SIGKILL);
}

void ProcessExecutor::Background(int job, std::function<Status()> work) {
  auto& entry = work_[job];
  entry = std::make_unique<Work>();
  Work* at = entry.get();
  const auto body = [this, at, job, work = std::move(work)] {
    at->status = work();
    const int32_t message = job;
    while (::write(work_write_.get(), &message, sizeof message) < 0 && errno == EINTR) {
    }
  };
  std::thread thread;
  try {
    thread = std::thread(body);
  } catch (const std::system_error&) {  // no more threads to be had
    return body();
  }
  at->thread = std::move(thread);
}

void ProcessExecutor::Join() {
  for (auto& [job, work] : work_) {
    if (work->thread.joinable()) work->thread.join();
  }
  work_.clear();
}

void ProcessExecutor::CollectWork() {
  int32_t job = 0;
  while (::read(work_read_.get(), &job, sizeof job) == sizeof job) {
    const auto it = work_.find(job);
    if (it == work_.end()) continue;
    if (it->second->thread.joinable()) it->second->thread.join();
    pending_.push_back(event::Worked{job, std::move(it->second->status)});
    work_.erase(it);
  }
}

void ProcessExecutor::Break(int job, Running& running, std::string what) {
  if (running.broken) return;
  running.broken = true;
  Kill(running);
  pending_.push_back(event::Broken{job, std::move(what)});
}

std::optional<MemoryGroup> ProcessExecutor::GroupFor(const Job& job) {
  if (!looked_for_groups_) {
    looked_for_groups_ = true;
    auto groups =
        MemoryGroups::Open([&](pid_t pid) { return pid == guardian_->pid() || IsMarked(pid, Marked()); });
    if (groups) groups_.emplace(std::move(*groups));
  }
  if (!groups_) return std::nullopt;
  auto group = groups_->Make(job.memory_limit);
  if (!group.ok()) return std::nullopt;
  return std::move(*group);
}

void ProcessExecutor::WatchMemory(int job, Running& running) {
  if (running.memory_limit == 0 || clock_.Now() < running.memory_at) return;
  running.memory_at = clock_.Now() + kMemoryInterval;
  const uint64_t bytes = MemoryOfTree(running.process.pid());
  if (bytes <= running.memory_limit) return;
  running.memory_limit = 0;
  Kill(running);
  pending_.push_back(event::OverMemory{job, bytes});
}

void ProcessExecutor::ReadReports(int job, Running& running) {
  std::string bytes;
  const bool open = ReadAvailable(running.reports.get(), &bytes);
  for (const auto& line : running.report_lines.Add(bytes)) {
    if (running.broken) break;
    auto event = ParseReportLine(job, line, &running.outcome);
    if (!event) continue;
    if (auto* broken = std::get_if<event::Broken>(&*event))
      Break(job, running, std::move(broken->what));
    else
      pending_.push_back(std::move(*event));
  }
  if (running.report_lines.overflowed()) Break(job, running, "wrote a report line of more than 16 MiB");
  if (open) return;
  running.reports.Reset();
  running.reports_ended = clock_.Now();
}

void ProcessExecutor::ReadOutput(int job, Running& running) {
  std::string bytes;
  const bool open = ReadAvailable(running.output.get(), &bytes);
  for (auto& line : running.output_lines.Add(bytes))
    pending_.push_back(event::Log{job, "output", std::move(line)});
  if (open) return;
  running.output.Reset();
  if (auto rest = running.output_lines.Rest())
    pending_.push_back(event::Log{job, "output", std::move(*rest)});
}

bool ProcessExecutor::GroupGoesOn(Running& running) {
  if (!running.asked || !running.process.HasEnded()) return false;
  running.leader_ended = true;
  if (clock_.Now() < running.group_at) return true;
  running.group_at = clock_.Now() + kGroupInterval;
  return GroupIsAlive(running.process.pid());
}

bool ProcessExecutor::ReapIfEnded(int job, Running& running) {
  if (GroupGoesOn(running)) return false;
  const auto status = running.process.TryWait();
  if (!status) return false;
  guardian_->Remove(running.process.pid());
  // What the pipes still hold belongs to the job. A daemon that kept them open is not waited for.
  const auto has_bytes = [](const Fd& fd) {
    struct pollfd entry {
      fd.get(), POLLIN, 0
    };
    return fd.valid() && ::poll(&entry, 1, 0) > 0;
  };
  for (int i = 0; i < kLastReads && has_bytes(running.reports); ++i) ReadReports(job, running);
  for (int i = 0; i < kLastReads && has_bytes(running.output); ++i) ReadOutput(job, running);
  if (auto rest = running.output_lines.Rest())
    pending_.push_back(event::Log{job, "output", std::move(*rest)});
  if (running.group && running.group->RanOut()) pending_.push_back(event::OverMemory{job, 0});
  pending_.push_back(event::Exited{job, *status, running.outcome});

  std::vector<pid_t> ours = {guardian_->pid()};
  for (const auto& [other, entry] : running_) ours.push_back(entry.process.pid());
  ReapOrphans(ours, running.tag);
  return true;
}

void ProcessExecutor::ReadSignals() {
  struct signalfd_siginfo info {};
  while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
    const auto signal = static_cast<int>(info.ssi_signo);
    if (signal == SIGTSTP) Suspend();
    if (signal != SIGTSTP && signal != SIGCHLD) pending_.push_back(event::Signal{signal});
  }
}

void ProcessExecutor::Suspend() {
  for (const auto& [job, running] : running_) running.process.SignalGroup(SIGSTOP);
  const double since = clock_.Now();
  sigset_t stop;
  ::sigemptyset(&stop);
  ::sigaddset(&stop, SIGTSTP);
  ::raise(SIGTSTP);
  // Stops here until SIGCONT. Where no shell could send one (an orphaned group), the kernel does not stop it.
  ::sigprocmask(SIG_UNBLOCK, &stop, nullptr);
  ::sigprocmask(SIG_BLOCK, &stop, nullptr);
  const double away = clock_.Now() - since;
  for (auto& [job, running] : running_) {
    running.process.SignalGroup(SIGCONT);
    running.reports_ended += away;
  }
  pending_.push_front(event::Away{away});  // before anything that makes the engine look at its timers
}

Event ProcessExecutor::Wait(double deadline) {
  while (pending_.empty()) {
    double until = deadline;
    std::vector<struct pollfd> fds = {{signals_.get(), POLLIN, 0}, {work_read_.get(), POLLIN, 0}};
    const auto watch = [&](int fd) {
      if (fd >= 0) fds.push_back({fd, POLLIN, 0});
    };
    for (const auto& [job, running] : running_) {
      watch(running.reports.get());
      watch(running.output.get());
      if (running.leader_ended)
        until = std::min(until, running.group_at);
      else
        watch(running.process.pidfd());
      if (running.process.pidfd() < 0) until = std::min(until, clock_.Now() + kReapInterval);
      if (running.memory_limit > 0) until = std::min(until, running.memory_at);
      if (ClosedEarly(running)) until = std::min(until, running.reports_ended + kCloseGrace);
    }
    int timeout = -1;
    if (!std::isinf(until))
      timeout = static_cast<int>(std::clamp(std::ceil((until - clock_.Now()) * 1000), 0.0, 3.6e6));
    const int ready = ::poll(fds.data(), fds.size(), timeout);
    if (ready == 0 && clock_.Now() >= deadline) return event::Deadline{};
    const auto is_ready = [&](int fd) {
      return fd >= 0 && std::any_of(fds.begin(), fds.end(),
                                    [fd](const auto& e) { return e.fd == fd && e.revents != 0; });
    };

    if (is_ready(signals_.get())) ReadSignals();
    if (is_ready(work_read_.get())) CollectWork();
    for (auto it = running_.begin(); it != running_.end();) {
      auto& [job, running] = *it;
      if (is_ready(running.reports.get())) ReadReports(job, running);
      if (is_ready(running.output.get())) ReadOutput(job, running);
      if (ClosedEarly(running) && clock_.Now() >= running.reports_ended + kCloseGrace) {
        Break(job, running, "closed its report pipe and went on running");
      }
      WatchMemory(job, running);
      it = ReapIfEnded(job, running) ? running_.erase(it) : std::next(it);
    }
  }
  Event event = std::move(pending_.front());
  pending_.pop_front();
  return event;
}

}  // namespace genflow
