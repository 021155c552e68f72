// What has become of a schedule's starts: a file beside its log, and the locks that say who is at it.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "base/result.h"
#include "cli/schedules.h"
#include "store/locks.h"

namespace genflow::cli {

// Times are seconds since the Unix epoch; 0: not yet.
struct ScheduleState {
  double slot = 0;  // the last due time that was answered by a start, or let pass when it was added
  double started = 0, finished = 0;
  int exit_code = 0;
  bool repeated = false;  // the last start is not to be caught up, should it be interrupted
};

ScheduleState ReadState(const Schedule& schedule);
// Reads the state, has it changed, and writes it where `change` returns true: one process at a time. What
// `change` returned.
Result<bool> ChangeState(const Schedule& schedule, const std::function<Result<bool>(ScheduleState*)>& change);

// Whether a start is under way, as far as can be told.
bool IsRunning(const Schedule& schedule);

struct Due {
  double slot = 0;
  bool again = false;  // it was answered by a start that a power cut or a kill ended
};
// What is to be answered by a start at `now`: the last due time, unless that was answered; or, once, that of
// an interrupted start.
Result<std::optional<Due>> DueAt(const Schedule& schedule, const ScheduleState& state, double now);

// A start that has begun.
class ScheduleStart {
 public:
  // After the delay by chance, until which nothing has been answered; one process waits at a time. Nothing
  // where there is nothing to start. `now`: whatever the due times are, and without delay.
  static Result<std::optional<ScheduleStart>> Begin(const Schedule& schedule, bool now);
  ScheduleStart(ScheduleStart&& other) noexcept
      : schedule_(other.schedule_),
        running_(std::exchange(other.running_, std::nullopt)),
        started_(other.started_) {}
  ScheduleStart& operator=(ScheduleStart&& other) = delete;
  // Without End(): it has failed.
  ~ScheduleStart();

  double started() const { return started_; }
  // Says in the state how it went, and returns the time. Where another start of the schedule goes on, that
  // one says how it went, at its end.
  Result<double> End(int code);

 private:
  ScheduleStart(const Schedule& schedule, SharedLock running, double started)
      : schedule_(&schedule), running_(std::move(running)), started_(started) {}

  const Schedule* schedule_;
  std::optional<SharedLock> running_;  // held until the end
  double started_;
};

// Everything that a schedule keeps beside its definition and its log.
std::vector<std::filesystem::path> StateFiles(const std::string& state);

}  // namespace genflow::cli
