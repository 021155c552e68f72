#include "cli/terminal_modes.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <iterator>

namespace genflow::cli {

namespace {

// What a signal's handler needs: it can be handed nothing.
struct Shared {
  int fd = -1;
  struct termios before {};
  std::atomic<bool> taken{false};  // echo is off, by us
  std::atomic<bool> away{false};   // stopped meanwhile
};
Shared shared;

constexpr int kFatal[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGQUIT};
struct sigaction before_fatal[std::size(kFatal)], before_stop;

bool InForeground() { return ::tcgetpgrp(shared.fd) == ::getpgrp(); }

// Async-signal-safe, as all below.
void GiveBack() {
  if (!shared.taken.exchange(false)) return;
  // A process in the background would be stopped for it.
  if (InForeground()) ::tcsetattr(shared.fd, TCSADRAIN, &shared.before);
  static const char kWrapOn[] = "\x1b[?7h";
  (void)!::write(shared.fd, kWrapOn, sizeof kWrapOn - 1);
}

void OnFatal(int signal) {
  GiveBack();
  struct sigaction dies {};
  dies.sa_handler = SIG_DFL;
  ::sigaction(signal, &dies, nullptr);
  ::raise(signal);
}

void OnStop(int signal) {
  const int saved_errno = errno;
  GiveBack();
  (void)!::write(shared.fd, "\r\n", 2);
  // Stops here, as if there were no handler; goes on after SIGCONT.
  struct sigaction stops {
  }, ours{};
  stops.sa_handler = SIG_DFL;
  ::sigaction(signal, &stops, &ours);
  sigset_t only, mask;
  ::sigemptyset(&only);
  ::sigaddset(&only, signal);
  ::raise(signal);
  ::sigprocmask(SIG_UNBLOCK, &only, &mask);
  ::sigprocmask(SIG_SETMASK, &mask, nullptr);
  ::sigaction(signal, &ours, nullptr);
  shared.away = true;
  errno = saved_errno;
}

}  // namespace

TerminalModes::TerminalModes(int fd) : fd_(fd) {
  shared.fd = fd;
  struct sigaction action {};
  ::sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  action.sa_handler = OnStop;
  ::sigaction(SIGTSTP, &action, &before_stop);
  if (before_stop.sa_handler == SIG_IGN) ::sigaction(SIGTSTP, &before_stop, nullptr);  // a shell without jobs
  action.sa_handler = OnFatal;
  for (size_t i = 0; i < std::size(kFatal); ++i) {
    ::sigaction(kFatal[i], &action, &before_fatal[i]);
    if (before_fatal[i].sa_handler == SIG_IGN) ::sigaction(kFatal[i], &before_fatal[i], nullptr);
  }
  Foreground();
}

TerminalModes::~TerminalModes() {
  GiveBack();
  ::sigaction(SIGTSTP, &before_stop, nullptr);
  for (size_t i = 0; i < std::size(kFatal); ++i) ::sigaction(kFatal[i], &before_fatal[i], nullptr);
}

bool TerminalModes::Foreground() {
  if (!InForeground()) return false;
  if (shared.taken || ::tcgetattr(fd_, &shared.before) != 0) return true;
  struct termios quiet = shared.before;
  quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO | ECHONL);
  shared.taken = true;
  ::tcsetattr(fd_, TCSADRAIN, &quiet);
  return true;
}

bool TerminalModes::WasAway() { return shared.away.exchange(false); }

}  // namespace genflow::cli
