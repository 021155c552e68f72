// What tests of processes share.
#pragma once

#include <unistd.h>

#include <chrono>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "base/process_tree.h"
#include "base/subprocess.h"

namespace genflow {

// `text` run by bash, with an environment that holds PATH alone.
inline ProcessOptions Bash(const std::string& text) {
  ProcessOptions options;
  options.argv = {"bash", "-c", text};
  options.env = {"PATH=/usr/bin:/bin"};
  return options;
}

// The state of a process, as ps shows it; 0 when there is no such process.
inline char StateOf(pid_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("State:\t")) return line[7];
  }
  return 0;
}

inline bool Alive(pid_t pid) {
  const char state = StateOf(pid);
  return state != 0 && state != 'Z';
}

// The processes that a process has started and that have not ended.
inline std::vector<pid_t> ChildrenOf(pid_t pid) {
  std::vector<pid_t> children;
  const std::string id = std::to_string(pid);
  std::ifstream list("/proc/" + id + "/task/" + id + "/children");
  for (pid_t child = 0; list >> child;) children.push_back(child);
  return children;
}

// Those of them that do its work.
inline std::vector<pid_t> WorkersOf(pid_t pid) {
  std::vector<pid_t> children = ChildrenOf(pid);
  std::erase_if(children, IsGuardian);
  return children;
}

// Seconds since some moment.
inline double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Until `done` is true, looking often; false when it is not within the seconds.
template <class Condition>
bool Within(double seconds, const Condition& done) {
  for (double waited = 0; !done(); waited += 0.01) {
    if (waited > seconds) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return true;
}

inline bool DiesWithin(pid_t pid, double seconds) {
  return Within(seconds, [pid] { return !Alive(pid); });
}

}  // namespace genflow
