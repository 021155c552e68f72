// Where attempts run, and everything the engine waits for. One real implementation (processes) and a fake.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "base/result.h"
#include "base/subprocess.h"
#include "host/stage_runner.h"

namespace genflow {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual double Now() = 0;      // monotonic seconds
  virtual double WallNow() = 0;  // seconds since the Unix epoch
};

// The machine's clocks.
class SystemClock : public Clock {
 public:
  double Now() override;
  double WallNow() override;
};

// A shell text with its ports; paths are absolute.
struct ExecRequest {
  std::string run;
  std::map<std::string, std::string> inputs, outputs;
  std::string state_dir, scratch_dir;
};

// One attempt of a stage.
struct Job {
  int id = 0;
  std::string stage;
  std::variant<StageRequest, ExecRequest> request;
  std::map<std::string, std::string> env;  // added to this process's environment
  std::filesystem::path cwd;
  std::string tag;            // "run/stage/attempt": marks the processes of the attempt
  uint64_t memory_limit = 0;  // bytes of all its processes; 0: none
};

// The environment variable that names a port's path: ("IN", "base-model") -> "GENFLOW_IN_BASE_MODEL".
std::string PortVariable(const std::string& direction, const std::string& port);

// A line that a stage writes arrives in pieces of this many bytes where it is longer.
inline constexpr size_t kMaxOutputLine = 16u << 10;

enum class StopKind { kAsk, kKill };  // SIGTERM, SIGKILL; to the whole process group

namespace event {
struct Deadline {};  // nothing happened until then
struct Signal {
  int number = 0;
};
struct Progress {
  int job = 0;
  uint64_t done = 0, total = 0;
  std::string unit, message;
};
struct Metric {
  int job = 0;
  std::string name;
  double value = 0;
  int64_t step = -1;
};
struct Log {
  int job = 0;
  std::string level, text;
};
struct Summary {
  int job = 0;
  std::string text;
};
struct Fail {
  int job = 0;
  Error error;
};
// The worker broke the protocol; the executor has killed it, and Exited follows.
struct Broken {
  int job = 0;
  std::string what;
};
// The job's processes held, or wanted, more than its limit; they were killed, and Exited follows.
struct OverMemory {
  int job = 0;
  uint64_t bytes = 0;  // what they held; 0: the kernel gave them no more than the limit
};
// The last event of a job. `outcome`: what its "done" line said; exec stages and crashes have none.
struct Exited {
  int job = 0;
  ExitStatus status;
  std::optional<int> outcome;
};
// The processes of all jobs, and this one, were stopped and go on: the user has pressed Ctrl-Z, and has come
// back.
struct Away {
  double seconds = 0;  // how long; the clock went on meanwhile
};
// Background work is done.
struct Worked {
  int job = 0;
  Status status;
};
}  // namespace event

using Event =
    std::variant<event::Deadline, event::Signal, event::Progress, event::Metric, event::Log, event::Summary,
                 event::Fail, event::Broken, event::OverMemory, event::Exited, event::Away, event::Worked>;

class Executor {
 public:
  virtual ~Executor() = default;
  virtual Status Start(const Job& job) = 0;
  // After kAsk, Exited comes when the whole group has ended, or after kKill.
  virtual void Stop(int job, StopKind kind) = 0;
  // Runs `work` off this thread, or on it where no more threads are to be had; event::Worked{job} follows.
  // What `work` uses must stay alive until then.
  virtual void Background(int job, std::function<Status()> work) = 0;
  // Waits until no background work is running; its events are lost.
  virtual void Join() = 0;
  // The next event, at the latest at `deadline` (of the clock; infinity: none).
  virtual Event Wait(double deadline) = 0;
};

// Asks the jobs to stop, kills after `grace` seconds, or at a signal, what still runs, and returns when all
// of them have ended. What else they say is lost.
void StopJobs(Executor& executor, Clock& clock, const std::vector<int>& jobs, double grace);

}  // namespace genflow
