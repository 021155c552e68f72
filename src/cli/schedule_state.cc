#include "cli/schedule_state.h"

#include <chrono>
#include <ctime>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>
#include <utility>

#include "base/files.h"
#include "cli/cron_expression.h"
#include "cli/errors.h"
#include "cli/json_output.h"

namespace genflow::cli {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr double kClockSteps = 60;  // seconds by which clocks are set back as a matter of course

double WallNow() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// Locked by who changes the state; by who is about to start, also while it waits for its delay; by who runs,
// shared; by who asks whether somebody runs.
fs::path StateLock(const std::string& state) { return state + ".lock"; }
fs::path StartLock(const std::string& state) { return state + ".starting"; }
fs::path RunningLock(const std::string& state) { return state + ".running"; }
fs::path AskingLock(const std::string& state) { return state + ".asking"; }

void SleepByChance(double most) {
  std::random_device seed;
  const double delay = std::uniform_real_distribution<double>(0, most)(seed);
  std::this_thread::sleep_for(std::chrono::duration<double>(delay));
}

}  // namespace

ScheduleState ReadState(const Schedule& schedule) {
  ScheduleState out;
  const auto text = ReadFile(schedule.state, 1 << 20);
  if (!text.ok()) return out;
  const auto all = json::parse(*text, nullptr, false);
  if (!all.is_object()) return out;
  try {
    out.slot = all.value("slot", 0.0);
    out.started = all.value("started", 0.0);
    out.finished = all.value("finished", 0.0);
    out.exit_code = all.value("exit_code", 0);
    out.repeated = all.value("repeated", false);
  } catch (const json::exception&) {
    return {};
  }
  return out;
}

Result<bool> ChangeState(const Schedule& schedule,
                         const std::function<Result<bool>(ScheduleState*)>& change) {
  GF_CHECK_OK(MakeDirectories(fs::path(schedule.state).parent_path()));
  GF_TRY(const auto lock, SharedLock::Wait(StateLock(schedule.state), SharedLock::Mode::kExclusive));
  ScheduleState state = ReadState(schedule);
  GF_TRY(const bool changed, change(&state));
  if (!changed) return false;
  GF_CHECK_OK(WriteFileAtomic(schedule.state, DumpPretty({{"slot", state.slot},
                                                          {"started", state.started},
                                                          {"finished", state.finished},
                                                          {"exit_code", state.exit_code},
                                                          {"repeated", state.repeated}})));
  return true;
}

std::vector<fs::path> StateFiles(const std::string& state) {
  return {state, StateLock(state), StartLock(state), RunningLock(state), AskingLock(state)};
}

bool IsRunning(const Schedule& schedule) {
  // Who asks takes the lock for a moment: two at once would each take the other for a run.
  const auto asking = SharedLock::Wait(AskingLock(schedule.state), SharedLock::Mode::kExclusive);
  const auto lock = SharedLock::Try(RunningLock(schedule.state), SharedLock::Mode::kExclusive);
  return !asking.ok() || !lock.ok() || !lock->has_value();
}

Result<std::optional<Due>> DueAt(const Schedule& schedule, const ScheduleState& state, double now) {
  GF_TRY(const auto cron, CronExpression::Parse(schedule.cron));
  const auto due = cron.Previous(static_cast<std::time_t>(now));
  // Answered in the future: the clock was ahead. What is due by today's clock is due.
  const double answered = state.slot > now + kClockSteps ? 0 : state.slot;
  if (due && static_cast<double>(*due) > answered)
    return std::optional(Due{static_cast<double>(*due), /*again=*/false});
  const bool interrupted = state.started > 0 && state.finished <= 0 && !IsRunning(schedule);
  if (interrupted && !state.repeated) return std::optional(Due{answered, /*again=*/true});
  return std::optional<Due>();
}

Result<std::optional<ScheduleStart>> ScheduleStart::Begin(const Schedule& schedule, bool now) {
  std::optional<SharedLock> starting, running;
  if (!now && schedule.jitter > 0) {
    GF_TRY(starting, SharedLock::Wait(StartLock(schedule.state), SharedLock::Mode::kExclusive));
    GF_TRY(const auto due, DueAt(schedule, ReadState(schedule), WallNow()));
    if (!due) return std::optional<ScheduleStart>();
    SleepByChance(schedule.jitter);
    std::error_code ec;
    if (!fs::exists(StartLock(schedule.state), ec))
      return std::optional<ScheduleStart>();  // removed meanwhile
  }
  const double started = WallNow();
  GF_TRY(const bool begun, ChangeState(schedule, [&](ScheduleState* state) -> Result<bool> {
           Due due{std::max(state->slot, started), /*again=*/true};  // by hand: no look repeats it
           if (!now) {
             GF_TRY(const auto found, DueAt(schedule, *state, started));
             if (!found) return false;
             due = *found;
           }
           GF_TRY(running, SharedLock::Wait(RunningLock(schedule.state), SharedLock::Mode::kShared));
           state->slot = due.slot;
           state->repeated = due.again;
           state->started = started;
           state->finished = 0;
           return true;
         }));
  if (!begun) return std::optional<ScheduleStart>();
  return std::optional<ScheduleStart>(ScheduleStart(schedule, *std::move(running), started));
}

ScheduleStart::~ScheduleStart() {
  if (running_) (void)End(kExitFailed).ok();
}

Result<double> ScheduleStart::End(int code) {
  const double finished = WallNow();
  running_.reset();
  GF_CHECK_OK(ChangeState(*schedule_, [&](ScheduleState* state) -> Result<bool> {
    if (IsRunning(*schedule_)) return false;
    state->started = started_;
    state->finished = finished;
    state->exit_code = code;
    return true;
  }));
  return finished;
}

}  // namespace genflow::cli
