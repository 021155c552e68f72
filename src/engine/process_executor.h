// Attempts as processes: `genflow worker` for stages of plugins, bash for exec stages.
#pragma once

#include <signal.h>

#include <deque>
#include <map>
#include <memory>
#include <thread>

#include "base/cgroup.h"
#include "base/subprocess.h"
#include "engine/executor.h"
#include "engine/report_lines.h"

namespace genflow {

// One a process. While it exists SIGINT, SIGTERM and SIGHUP arrive as event::Signal, SIGTSTP (Ctrl-Z) stops
// the processes of all jobs and then, as its handler does, this one; those of these signals that are ignored
// when it is made (nohup, a script's `&`) stay ignored. SIGPIPE is ignored and orphaned grandchildren are
// adopted. Used by the main thread.
class ProcessExecutor : public Executor {
 public:
  // `worker_binary` understands `worker`; it is the running binary outside of tests.
  static Result<std::unique_ptr<ProcessExecutor>> Create(
      Clock& clock, std::filesystem::path worker_binary = "/proc/self/exe");
  ~ProcessExecutor() override;

  Status Start(const Job& job) override;
  void Stop(int job, StopKind kind) override;
  void Background(int job, std::function<Status()> work) override;
  void Join() override;
  Event Wait(double deadline) override;

 private:
  static constexpr size_t kMaxReportLine = 16u << 20;

  struct Running {
    explicit Running(Process started) : process(std::move(started)) {}
    Process process;
    std::string tag;
    Fd reports, output;  // read ends; invalid once at their end
    LineBuffer report_lines{kMaxReportLine};
    LineBuffer output_lines{kMaxOutputLine};
    std::optional<int> outcome;
    std::optional<MemoryGroup> group;  // holds it to its memory limit
    uint64_t memory_limit = 0;         // to be watched: there is no group
    double memory_at = 0;              // when its memory is looked at next
    bool has_reports = false;
    bool broken = false;
    double reports_ended = 0;  // when the report pipe was closed although the worker goes on
    bool asked = false;        // to stop, and not killed: its group has the time that it needs
    bool leader_ended = false;
    double group_at = 0;  // when is looked next whether the rest of the group has ended
  };
  struct Work {
    std::thread thread;
    Status status;
  };

  ProcessExecutor(Clock& clock, std::filesystem::path worker_binary);
  static bool ClosedEarly(const Running& r) {
    return r.has_reports && !r.reports.valid() && !r.broken && !r.leader_ended;
  }
  std::string Marked() const;  // "GENFLOW_ENGINE=..."
  static void Kill(Running& running);
  void ReadReports(int job, Running& running);
  void ReadOutput(int job, Running& running);
  void Break(int job, Running& running, std::string what);
  // Where the system lets us limit memory; nothing where it has to be watched.
  std::optional<MemoryGroup> GroupFor(const Job& job);
  void WatchMemory(int job, Running& running);
  // Whether it has been asked to stop, and its leader has but others of its group have not.
  bool GroupGoesOn(Running& running);
  bool ReapIfEnded(int job, Running& running);
  void ReadSignals();
  void Suspend();
  void CollectWork();

  Clock& clock_;
  const std::string mark_;  // the value of GENFLOW_ENGINE in the environment of every process of a job
  std::filesystem::path worker_binary_;
  const sigset_t taken_;  // the signals that are read from `signals_`
  Fd signals_;
  Fd work_read_, work_write_;
  std::optional<Guardian> guardian_;
  bool looked_for_groups_ = false;
  std::optional<MemoryGroups> groups_;
  std::map<int, Running> running_;
  std::map<int, std::unique_ptr<Work>> work_;
  std::deque<Event> pending_;
};

}  // namespace genflow
