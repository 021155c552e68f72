#include "cli/schedule_run.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <random>
#include <thread>

#include "base/files.h"
#include "base/strings.h"
#include "base/subprocess.h"
#include "cli/notification.h"
#include "cli/rotating_log.h"
#include "engine/log_file.h"
#include "store/locks.h"

namespace genflow::cli {

namespace fs = std::filesystem;

namespace {

// The run that signals are passed on to: written before the handlers are set.
std::atomic<pid_t> run_pid{0};

void PassOn(int signal) {
  const int saved = errno;
  if (const pid_t pid = run_pid.load(); pid > 0) ::kill(pid, signal);
  errno = saved;
}

void PassSignalsOn(pid_t pid) {
  run_pid = pid;
  struct sigaction action {};
  action.sa_handler = PassOn;
  action.sa_flags = SA_RESTART;
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) {
    struct sigaction before {};
    ::sigaction(signal, &action, &before);
    if (before.sa_handler == SIG_IGN) ::sigaction(signal, &before, nullptr);  // nohup, a script's `&`
  }
}

double WallNow() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// Everything from the pipe, in whole lines where they are not longer than a buffer.
Status Copy(int from, RotatingLog& log) {
  std::string pending;
  char buffer[1 << 14];
  while (true) {
    const ssize_t n = ::read(from, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    pending.append(buffer, static_cast<size_t>(n));
    const size_t end = pending.size() < sizeof buffer ? pending.rfind('\n') + 1 : pending.size();
    if (end == 0) continue;
    GF_CHECK_OK(log.Write(std::string_view(pending).substr(0, end)));
    pending.erase(0, end);
  }
  return pending.empty() ? Ok() : log.Write(pending + "\n");
}

// A start that has begun. The lock says so for as long as it is held.
struct Begun {
  SharedLock running;
  double started = 0;
};

// Says in the state that a start has begun, after its delay by chance: until then nothing has been answered.
// Nothing where there is nothing to start.
Result<std::optional<Begun>> Begin(const Schedule& schedule, bool now) {
  std::optional<SharedLock> starting;
  if (!now) {
    GF_TRY(starting, SharedLock::Wait(StartLock(schedule), SharedLock::Mode::kExclusive));
    GF_TRY(const auto due, DueSlot(schedule, ReadState(schedule), WallNow()));
    if (!due) return std::optional<Begun>();
    if (schedule.jitter > 0) {
      std::random_device seed;
      const double delay = std::uniform_real_distribution<double>(0, schedule.jitter)(seed);
      std::this_thread::sleep_for(std::chrono::duration<double>(delay));
      std::error_code ec;
      if (!fs::exists(StartLock(schedule), ec)) return std::optional<Begun>();  // removed meanwhile
    }
  }
  const double started = WallNow();
  Status failed = Ok();
  GF_TRY(const bool ours, ChangeState(schedule, [&](ScheduleState* state) {
           const auto due = DueSlot(schedule, *state, started);
           if (!due.ok()) failed = due.error();
           if (!now && (!due.ok() || !due->has_value())) return false;
           // Who started it by hand sees to it by hand.
           state->repeated = now || **due <= state->slot;
           state->slot = now ? std::max(state->slot, started) : **due;
           state->started = started;
           state->finished = 0;
           return true;
         }));
  GF_CHECK_OK(failed);
  if (!ours) return std::optional<Begun>();
  GF_TRY(auto running, SharedLock::Wait(RunningLock(schedule), SharedLock::Mode::kShared));
  return std::optional(Begun{std::move(running), started});
}

}  // namespace

Result<std::optional<int>> RunSchedule(const Schedule& schedule, bool now) {
  GF_TRY(const auto begun, Begin(schedule, now));
  if (!begun) return std::optional<int>();
  GF_TRY(auto log, RotatingLog::Open(schedule.log));
  const auto say = [&](double time, const std::string& text) {
    return log.Write("=== " + FormatUtc(time) + " " + schedule.name + ": " + text + "\n");
  };
  GF_CHECK_OK(say(begun->started, "genflow " + Join(HideUrls(schedule.argv), " ")));

  GF_TRY(auto pipe, MakePipe());
  ProcessOptions options;
  options.argv = schedule.argv;
  options.argv.insert(options.argv.begin(), schedule.program);
  options.env = EnvironmentWith(schedule.env);
  options.cwd = schedule.cwd;
  options.fds = {{pipe.second.get(), 1}, {pipe.second.get(), 2}};
  GF_TRY(auto process, Process::Start(options));
  PassSignalsOn(process.pid());
  pipe.second.Reset();
  const Status copied = Copy(pipe.first.get(), log);
  // A log that cannot be written does not stop the run: what it says is read, and dropped.
  if (!copied.ok()) (void)ReadToEnd(pipe.first.get());
  const ExitStatus status = process.Wait();
  run_pid = 0;
  const double finished = WallNow();
  const int code = status.signal != 0 ? 128 + status.signal : status.code;
  GF_CHECK_OK(ChangeState(schedule, [&](ScheduleState* state) {
    if (state->started != begun->started) return false;  // another start has begun since: the state is its
    state->finished = finished;
    state->exit_code = code;
    return true;
  }));
  GF_CHECK_OK(copied);
  GF_CHECK_OK(say(finished, status.ToString() + " after " + HumanDuration(finished - begun->started)));
  return std::optional<int>(code);
}

}  // namespace genflow::cli
