#include "engine/executor.h"

#include <chrono>
#include <limits>
#include <set>

namespace genflow {

double SystemClock::Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double SystemClock::WallNow() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string PortVariable(const std::string& direction, const std::string& port) {
  std::string out = "GENFLOW_" + direction + "_";
  for (const char c : port) {
    const bool lower = c >= 'a' && c <= 'z';
    const bool word = (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    out += lower ? static_cast<char>(c - 'a' + 'A') : word ? c : '_';
  }
  return out;
}

void StopJobs(Executor& executor, Clock& clock, const std::vector<int>& jobs, double grace) {
  std::set<int> running(jobs.begin(), jobs.end());
  for (const int job : running) executor.Stop(job, StopKind::kAsk);
  double kill_at = clock.Now() + grace;
  while (!running.empty()) {
    const Event event = executor.Wait(kill_at);
    if (const auto* exited = std::get_if<event::Exited>(&event)) {
      running.erase(exited->job);
    } else if (std::holds_alternative<event::Signal>(event) || clock.Now() >= kill_at) {
      for (const int job : running) executor.Stop(job, StopKind::kKill);
      kill_at = std::numeric_limits<double>::infinity();
    }
  }
}

}  // namespace genflow
