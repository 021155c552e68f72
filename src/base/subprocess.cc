#include "base/subprocess.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>

#include "base/process_tree.h"

extern char** environ;

namespace genflow {

namespace {

Fd OpenPidfd(pid_t pid) {
#ifdef SYS_pidfd_open
  return Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
#else
  (void)pid;
  return Fd();
#endif
}

// Closes every descriptor from `first` on. Async-signal-safe.
void CloseFrom(unsigned first) {
#ifdef SYS_close_range
  if (::syscall(SYS_close_range, first, ~0u, 0) == 0) return;
#endif
  const long limit = ::sysconf(_SC_OPEN_MAX);
  for (long fd = first; fd < (limit > 0 ? limit : 1024); ++fd) ::close(static_cast<int>(fd));
}

// Signals that came before the child had a group of its own were for the parent's group, which takes them
// itself: ignoring them drops them. One that stopped the child before its exec would hold the parent in
// vfork.
void DefaultSignals() {
  for (const auto handler : {SIG_IGN, SIG_DFL}) {
    struct sigaction action {};
    action.sa_handler = handler;
    for (int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGCHLD, SIGWINCH, SIGTSTP, SIGCONT}) {
      ::sigaction(signal, &action, nullptr);
    }
  }
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

// The child's side, up to exec. It shares the parent's memory (vfork): only async-signal-safe calls, and
// nothing written but `fds` and `failed`, which is set to errno before it exits.
[[noreturn]] void RunChild(const char* file, char* const* argv, char* const* env, const char* cwd,
                           std::vector<std::pair<int, int>>& fds, int highest, int cgroup, bool own_group,
                           pid_t parent, volatile int* failed) {
  auto fail = [&] {
    *failed = errno;
    ::_exit(127);
  };
  if (own_group) ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(127);
  DefaultSignals();
  if (cgroup >= 0 && ::write(cgroup, "0", 1) != 1) fail();
  if (cwd != nullptr && ::chdir(cwd) != 0) fail();
  // First out of the way of every target number, then into place.
  for (auto& [from, to] : fds) {
    from = ::fcntl(from, F_DUPFD_CLOEXEC, highest + 1);
    if (from < 0) fail();
  }
  const int null_fd = ::fcntl(::open("/dev/null", O_RDWR | O_CLOEXEC), F_DUPFD_CLOEXEC, highest + 1);
  if (null_fd < 0) fail();
  for (int fd = 0; fd <= highest; ++fd) {
    int from = -1;
    for (const auto& entry : fds) {
      if (entry.second == fd) from = entry.first;
    }
    if (from < 0 && fd <= 2) from = null_fd;
    if (from < 0) {
      ::close(fd);
    } else if (::dup2(from, fd) < 0) {
      fail();
    }
  }
  CloseFrom(static_cast<unsigned>(highest) + 1);
  ::execve(file, argv, env);
  fail();
  ::_exit(127);
}

// Starts the child and returns when it has called exec or has given up (`failed` is then its errno). Its copy
// of the descriptors is its own. With vfork no page table is copied: the cost does not grow with this
// process.
[[gnu::noinline]] pid_t Spawn(const char* file, char* const* argv, char* const* env, const char* cwd,
                              std::vector<std::pair<int, int>>& fds, int highest, int cgroup, bool own_group,
                              volatile int* failed) {
  const pid_t parent = ::getpid();
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  const pid_t pid = ::vfork();
#pragma GCC diagnostic pop
  if (pid == 0) RunChild(file, argv, env, cwd, fds, highest, cgroup, own_group, parent, failed);
  return pid;
}

std::vector<pid_t> ChildrenBut(const std::vector<pid_t>& ours) {
  std::vector<pid_t> out;
  std::FILE* list = std::fopen("/proc/thread-self/children", "re");
  if (list == nullptr) return out;
  int pid = 0;
  while (std::fscanf(list, "%d", &pid) == 1) {
    if (std::find(ours.begin(), ours.end(), pid) == ours.end()) out.push_back(pid);
  }
  std::fclose(list);
  return out;
}

std::string FindInPath(const std::string& name) {
  if (name.find('/') != std::string::npos) return name;
  const char* path = std::getenv("PATH");
  std::string rest = path != nullptr ? path : "/usr/local/bin:/usr/bin:/bin";
  while (!rest.empty()) {
    const size_t colon = rest.find(':');
    std::string candidate = rest.substr(0, colon) + "/" + name;
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
    rest = colon == std::string::npos ? "" : rest.substr(colon + 1);
  }
  return name;
}

}  // namespace

std::string ExitStatus::ToString() const {
  if (signal == 0) return "exit code " + std::to_string(code);
  return "killed by signal " + std::to_string(signal) + " (" + ::strsignal(signal) + ")";
}

Result<std::pair<Fd, Fd>> MakePipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return ErrnoError("pipe", errno);
  return std::pair<Fd, Fd>(Fd(ends[0]), Fd(ends[1]));
}

Result<Fd> TextAsFile(std::string_view text) {
  Fd fd(::memfd_create("genflow-text", MFD_CLOEXEC));
  if (!fd.valid()) return ErrnoError("memfd_create", errno);
  GF_CHECK_OK(WriteAll(fd.get(), text));
  if (::lseek(fd.get(), 0, SEEK_SET) != 0) return ErrnoError("lseek", errno);
  return fd;
}

std::string ReadToEnd(int fd) {
  std::string out;
  char buffer[1 << 16];
  while (true) {
    const ssize_t n = ::read(fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return out;
    out.append(buffer, static_cast<size_t>(n));
  }
}

std::vector<std::string> EnvironmentWith(const std::map<std::string, std::string>& added) {
  std::vector<std::string> out;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    if (added.find(std::string(text.substr(0, text.find('=')))) == added.end()) out.emplace_back(text);
  }
  for (const auto& [name, value] : added) out.push_back(name + "=" + value);
  return out;
}

Result<Process> Process::Start(const ProcessOptions& options) {
  if (options.argv.empty()) return MakeError(Code::kInternal, "a process needs a program to run");
  const std::string file = FindInPath(options.file.empty() ? options.argv[0] : options.file);
  std::vector<char*> argv, env;
  for (const auto& arg : options.argv) argv.push_back(const_cast<char*>(arg.c_str()));
  for (const auto& entry : options.env) env.push_back(const_cast<char*>(entry.c_str()));
  argv.push_back(nullptr);
  env.push_back(nullptr);
  auto fds = options.fds;
  int highest = 2;
  for (const auto& [from, to] : fds) highest = std::max(highest, to);

  const char* cwd = options.cwd.empty() ? nullptr : options.cwd.c_str();
  // Signals stay blocked until the child has set its own handling, so that no handler of ours runs in it.
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  int child_errno = 0;
  const pid_t pid = Spawn(file.c_str(), argv.data(), env.data(), cwd, fds, highest, options.cgroup,
                          options.own_group, &child_errno);
  const int fork_errno = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) return ErrnoError("fork", fork_errno);
  Process process(pid, OpenPidfd(pid), options.own_group);
  if (child_errno != 0) {
    process.Wait();
    return ErrnoError("cannot run '" + options.argv[0] + "'", child_errno);
  }
  return process;
}

Process::Process(Process&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      own_group_(other.own_group_),
      pidfd_(std::move(other.pidfd_)),
      status_(other.status_) {}

Process& Process::operator=(Process&& other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(own_group_, other.own_group_);
  std::swap(pidfd_, other.pidfd_);
  std::swap(status_, other.status_);
  return *this;
}

Process::~Process() {
  if (pid_ <= 0 || status_) return;
  SignalGroup(SIGKILL);
  Wait();
}

void Process::SignalGroup(int signal) const {
  if (pid_ > 0) ::kill(own_group_ ? -pid_ : pid_, signal);
}

bool Process::HasEnded() const {
  if (status_) return true;
  siginfo_t info{};
  // An error says that there is no such child any more.
  return ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT | WNOHANG) != 0 ||
         info.si_pid != 0;
}

std::optional<ExitStatus> Process::Reap(int flags) {
  if (status_) return status_;
  // Looked at first and reaped last: until then the group's number cannot be used by anyone else.
  siginfo_t info{};
  int rc;
  do {
    rc = ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT | flags);
  } while (rc != 0 && errno == EINTR);
  if (rc == 0 && info.si_pid == 0) return std::nullopt;
  SignalGroup(SIGKILL);
  int raw = 0;
  struct rusage usage {};
  pid_t got;
  do {
    got = ::wait4(pid_, &raw, 0, &usage);
  } while (got < 0 && errno == EINTR);
  ExitStatus status;
  if (got == pid_) {
    if (WIFSIGNALED(raw))
      status.signal = WTERMSIG(raw);
    else
      status.code = WEXITSTATUS(raw);
    const auto seconds = [](const timeval& t) {
      return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
    };
    status.cpu_seconds = seconds(usage.ru_utime) + seconds(usage.ru_stime);
    status.peak_rss_bytes = static_cast<uint64_t>(usage.ru_maxrss) * 1024;
  } else {
    status.code = 127;
  }
  status_ = status;
  return status_;
}

std::optional<ExitStatus> Process::TryWait() { return Reap(WNOHANG); }

ExitStatus Process::Wait() { return *Reap(0); }

Result<Guardian> Guardian::Start(const std::string& mark) {
  GF_TRY(auto pipe, MakePipe());
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t pid = ::fork();
  if (pid == 0) {
    // A session of its own: no terminal signal reaches it; every signal stays blocked.
    ::setsid();
    ::prctl(PR_SET_NAME, kGuardianName);
    if (::dup2(pipe.first.get(), 3) < 0) ::_exit(1);
    const int null_fd = ::open("/dev/null", O_RDWR);
    for (int fd = 0; fd <= 2; ++fd) ::dup2(null_fd, fd);
    CloseFrom(4);
    constexpr size_t kMax = 1024;
    static int32_t groups[kMax];
    size_t count = 0;
    int32_t message = 0;
    // A message is one number: a group to list, or the negative of one to take off the list, or 0: the owner
    // ends in order.
    bool in_order = false;
    while (true) {
      const ssize_t n = ::read(3, &message, sizeof message);
      if (n < 0 && errno == EINTR) continue;
      if (n != sizeof message) break;
      in_order = message == 0;
      if (message > 0 && count < kMax) groups[count++] = message;
      for (size_t i = 0; message < 0 && i < count; ++i) {
        if (groups[i] == -message) groups[i--] = groups[--count];
      }
    }
    for (size_t i = 0; i < count; ++i) ::kill(-groups[i], SIGKILL);
    if (!in_order && !mark.empty()) KillMarked(mark);
    ::_exit(0);
  }
  const int fork_errno = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) return ErrnoError("fork", fork_errno);
  return Guardian(pid, std::move(pipe.second));
}

Guardian::~Guardian() {
  if (!pipe_.valid()) return;
  Send('+', 0);
  pipe_.Reset();
  int raw;
  while (::waitpid(pid_, &raw, 0) < 0 && errno == EINTR) {
  }
}

void Guardian::Send(char action, pid_t group) const {
  const int32_t message = action == '+' ? group : -group;
  // Four bytes to a pipe are written whole or not at all.
  while (::write(pipe_.get(), &message, sizeof message) < 0 && errno == EINTR) {
  }
}

void BecomeSubreaper() { ::prctl(PR_SET_CHILD_SUBREAPER, 1); }

void ReapOrphans(const std::vector<pid_t>& ours, const std::string& kill_with) {
  using std::chrono::steady_clock;
  constexpr useconds_t kPause = 500;
  const auto until = steady_clock::now() + kKillPatience;
  std::set<pid_t> killed;
  while (true) {
    bool left = false, reaped = false;
    for (const pid_t pid : ChildrenBut(ours)) {
      const Mark mark = killed.count(pid) != 0 ? Mark::kEnding : MarkOf(pid, kill_with);
      if (mark == Mark::kPresent && !IsGuardian(pid)) {
        ::kill(pid, SIGKILL);
        killed.insert(pid);
      }
      int raw;
      // What a child leaves behind is adopted before it can be reaped.
      const pid_t got = ::waitpid(pid, &raw, WNOHANG);
      if (got == pid) {
        killed.erase(pid);
        reaped = true;
      } else if (got == 0) {
        left |= mark != Mark::kAbsent;
      }
    }
    if ((!left && !reaped) || steady_clock::now() > until) return;
    if (!reaped) ::usleep(kPause);
  }
}

}  // namespace genflow
