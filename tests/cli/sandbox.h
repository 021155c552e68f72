// A folder of its own for a test, and the real binary run in it.
#pragma once

#include <csignal>
#include <filesystem>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/subprocess.h"
#include "testing/scratch.h"

namespace genflow {

struct CommandResult {
  int code = -1;  // 128 + signal when a signal ended it
  std::string out, err;
};

// A command that is running.
class RunningCommand {
 public:
  RunningCommand(Process process, Fd out, Fd err);
  pid_t pid() const { return process_.pid(); }
  void Signal(int signal) const { ::kill(process_.pid(), signal); }
  // Until its standard error holds `text`; false when it ends before, or after ten seconds.
  bool WaitForError(const std::string& text);
  CommandResult Wait();

 private:
  bool ReadSome(int timeout_ms);

  Process process_;
  Fd out_, err_;
  CommandResult result_;
};

class Sandbox {
 public:
  Sandbox();

  const std::filesystem::path& dir() const { return dir_; }
  void Write(const std::string& name, const std::string& text) const;
  std::string Read(const std::string& name) const;
  bool Exists(const std::string& name) const;
  // The environment that commands get: nothing of the test's own but PATH.
  const std::map<std::string, std::string>& env() const { return env_; }
  void SetEnv(const std::string& name, const std::string& value) { env_[name] = value; }

  RunningCommand Start(const std::vector<std::string>& args) const;
  // `genflow` with these arguments.
  CommandResult Genflow(const std::vector<std::string>& args) const { return Start(args).Wait(); }
  // The JSON with which it answers, successfully.
  nlohmann::json Json(const std::vector<std::string>& args) const;
  // What it says to standard error, alone, as it refuses: exit code 2.
  std::string Refusal(const std::vector<std::string>& args) const;
  CommandResult Shell(const std::string& text) const;
  // Until the shell command `condition` succeeds, looking every 20 ms; false after 50 seconds.
  bool WaitFor(const std::string& condition) const;
  // Until none of the processes `pids` (numbers separated by blanks; may be shell text) is there any more,
  // but for zombies.
  bool WaitForEndOf(const std::string& pids) const;

  // Replaces what differs from run to run: the sandbox's path by DIR, run ids by RUN, durations by TIME.
  std::string Normal(std::string text) const;
  // Text of the artifact at "stage.port" of the latest run.
  std::string Artifact(const std::string& ref) const;

 private:
  RunningCommand StartProgram(std::vector<std::string> argv) const;

  const ScratchFolder scratch_;
  const std::filesystem::path dir_ = scratch_.path();
  std::map<std::string, std::string> env_;
};

}  // namespace genflow
