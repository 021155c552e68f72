#include "cli/schedule_run.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>

#include "base/files.h"
#include "base/strings.h"
#include "base/subprocess.h"
#include "cli/notification.h"
#include "cli/rotating_log.h"
#include "cli/schedule_state.h"
#include "engine/log_file.h"

namespace genflow::cli {

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

}  // namespace

Result<std::optional<int>> RunSchedule(const Schedule& schedule, bool now) {
  GF_TRY(auto start, ScheduleStart::Begin(schedule, now));
  if (!start) return std::optional<int>();
  GF_TRY(auto log, RotatingLog::Open(schedule.log));
  const auto say = [&](double time, const std::string& text) {
    return log.Write("=== " + FormatUtc(time) + " " + schedule.name + ": " + text + "\n");
  };
  GF_CHECK_OK(say(start->started(), "genflow " + Join(HideUrls(schedule.argv), " ")));

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
  const int code = status.signal != 0 ? 128 + status.signal : status.code;
  GF_TRY(const double finished, start->End(code));
  GF_CHECK_OK(copied);
  GF_CHECK_OK(say(finished, status.ToString() + " after " + HumanDuration(finished - start->started())));
  return std::optional<int>(code);
}

}  // namespace genflow::cli
