// Child processes: own process group, mapped descriptors, death with the parent, exit with resource use.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/files.h"
#include "base/result.h"

namespace genflow {

struct ProcessOptions {
  std::vector<std::string> argv;
  std::string file;              // the program: a path, or a name found in PATH; empty: argv[0]
  std::vector<std::string> env;  // "NAME=value"; the child's whole environment
  std::filesystem::path cwd;     // empty: the parent's
  // Descriptors of the parent that become the child's numbers; 0, 1 and 2 not named here are /dev/null.
  // Every other descriptor is closed in the child.
  std::vector<std::pair<int, int>> fds;
  int cgroup = -1;        // the child writes "0" to it before it runs the program; -1: none
  bool own_group = true;  // false: the child stays in the parent's process group
};

// How a process ended.
struct ExitStatus {
  int code = 0;    // exit code, when signal is 0
  int signal = 0;  // the signal that killed it
  double cpu_seconds = 0;
  uint64_t peak_rss_bytes = 0;

  bool Succeeded() const { return signal == 0 && code == 0; }
  // "exit code 3", "killed by signal 11 (Segmentation fault)".
  std::string ToString() const;
};

// A running child, leader of its own process group or alone in the parent's. It gets SIGKILL when the thread
// that started it ends, so start children from the main thread. The destructor kills the group, or the child,
// and reaps the child.
class Process {
 public:
  static Result<Process> Start(const ProcessOptions& options);
  Process(Process&& other) noexcept;
  Process& operator=(Process&& other) noexcept;
  ~Process();

  pid_t pid() const { return pid_; }
  // Readable once the child has ended; -1 where the kernel has no pidfd.
  int pidfd() const { return pidfd_.get(); }
  // Sends to the whole group, or the child in the parent's; one that is gone already is no error.
  void SignalGroup(int signal) const;
  // Whether the child has ended. It is not reaped: until it is, nothing else gets its group's number.
  bool HasEnded() const;
  // Reaps the child if it has ended, without waiting, and kills what is left of its group.
  std::optional<ExitStatus> TryWait();
  ExitStatus Wait();

 private:
  Process(pid_t pid, Fd pidfd, bool own_group) : pid_(pid), own_group_(own_group), pidfd_(std::move(pidfd)) {}
  std::optional<ExitStatus> Reap(int flags);

  pid_t pid_ = -1;
  bool own_group_ = true;
  Fd pidfd_;
  std::optional<ExitStatus> status_;
};

// Both ends close on exec. first: read end, second: write end.
Result<std::pair<Fd, Fd>> MakePipe();

// An anonymous file in memory that holds the text, at its start: a child's standard input.
Result<Fd> TextAsFile(std::string_view text);

// What comes from a descriptor up to its end, or up to an error.
std::string ReadToEnd(int fd);

// This process's environment as "NAME=value", with `added` in the place of what has their names.
std::vector<std::string> EnvironmentWith(const std::map<std::string, std::string>& added);

inline constexpr char kGuardianName[] = "genflow-guard";

// A process that outlives this one by a moment: when this one ends, however it ends, the guardian kills
// every process group still listed; when it ends without destroying the Guardian, also every process whose
// environment holds `mark` ("NAME=value"), wherever it has gone. Holds no descriptor of this process but its
// pipe. Start it before any other thread.
class Guardian {
 public:
  static Result<Guardian> Start(const std::string& mark = {});
  // No effect once the guardian itself is gone.
  void Add(pid_t group) const { Send('+', group); }
  void Remove(pid_t group) const { Send('-', group); }
  pid_t pid() const { return pid_; }
  Guardian(Guardian&&) = default;
  Guardian& operator=(Guardian&&) = delete;
  ~Guardian();

 private:
  Guardian(pid_t pid, Fd pipe) : pid_(pid), pipe_(std::move(pipe)) {}
  void Send(char action, pid_t group) const;

  pid_t pid_;
  Fd pipe_;
};

// Makes this process adopt orphaned grandchildren, so that they can be reaped.
void BecomeSubreaper();
// Reaps children of this thread that have ended, except those in `ours`. First kills those of them that
// have `kill_with` ("NAME=value") in their environment, then the descendants of these that are adopted by
// that and have it, too, until there are none, or for kKillPatience (base/process_tree.h). A guardian is not
// killed but waited for: it ends by itself, once it has killed what it guards.
void ReapOrphans(const std::vector<pid_t>& ours, const std::string& kill_with);

}  // namespace genflow
