#include "cli/terminal_session.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

namespace genflow {

namespace {

constexpr int kPatienceMs = 60'000;

struct winsize SizeOf(int columns, int rows) {
  struct winsize size {};
  size.ws_col = static_cast<unsigned short>(columns);
  size.ws_row = static_cast<unsigned short>(rows);
  return size;
}

}  // namespace

TerminalSession::TerminalSession(const Sandbox& box, const std::vector<std::string>& args, int columns,
                                 int rows)
    : screen_(columns, rows) {
  std::vector<std::string> words, variables;
  if (args.empty() || !args.front().starts_with('/')) words.emplace_back(GENFLOW_BINARY);
  words.insert(words.end(), args.begin(), args.end());
  for (const auto& [name, value] : box.env()) variables.push_back(name + "=" + value);
  if (box.env().count("TERM") == 0) variables.emplace_back("TERM=xterm-256color");
  std::vector<char*> argv, envp;
  for (auto& word : words) argv.push_back(word.data());
  for (auto& variable : variables) envp.push_back(variable.data());
  argv.push_back(nullptr);
  envp.push_back(nullptr);
  const struct winsize size = SizeOf(columns, rows);
  int master = -1;
  pid_ = ::forkpty(&master, nullptr, nullptr, &size);
  if (pid_ == 0) {
    if (::chdir(box.dir().c_str()) == 0) ::execve(argv[0], argv.data(), envp.data());
    ::_exit(127);
  }
  EXPECT_GT(pid_, 0);
  ::fcntl(master, F_SETFD, FD_CLOEXEC);
  master_ = Fd(master);
}

TerminalSession::~TerminalSession() {
  if (pid_ <= 0) return;
  ::kill(-pid_, SIGKILL);
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

void TerminalSession::Type(const std::string& keys) const { EXPECT_TRUE(WriteAll(master_.get(), keys).ok()); }

void TerminalSession::Resize(int columns, int rows) {
  const struct winsize size = SizeOf(columns, rows);
  screen_.Resize(columns, rows);
  EXPECT_EQ(::ioctl(master_.get(), TIOCSWINSZ, &size), 0);
}

bool TerminalSession::ReadSome() {
  if (!master_.valid()) return false;
  struct pollfd entry = {master_.get(), POLLIN, 0};
  if (::poll(&entry, 1, kPatienceMs) <= 0) return false;
  char buffer[1 << 14];
  const ssize_t n = ::read(master_.get(), buffer, sizeof buffer);
  if (n < 0 && errno == EINTR) return true;
  if (n <= 0) return false;  // EIO: nobody has the terminal open any more
  raw_.append(buffer, static_cast<size_t>(n));
  screen_.Write({buffer, static_cast<size_t>(n)});
  return true;
}

bool TerminalSession::WaitForText(const std::string& text) {
  return WaitUntil([&](const class Screen& screen) { return screen.Holds(text); });
}

bool TerminalSession::Echoes() const {
  struct termios modes {};
  return ::tcgetattr(master_.get(), &modes) == 0 && (modes.c_lflag & ECHO) != 0;
}

int TerminalSession::Wait() {
  while (ReadSome()) {
  }
  int status = 0;
  if (pid_ > 0 && ::waitpid(pid_, &status, 0) == pid_) {
    pid_ = -1;
    code_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }
  return code_;
}

namespace {

const Sandbox& WithRc(const Sandbox& box) {
  box.Write("rc", "PS1='$ '; bind 'set enable-bracketed-paste off'\n");
  return box;
}

constexpr char kRunning[] = "0/1 done, 1 running";

}  // namespace

JobShell::JobShell(const Sandbox& box)
    : TerminalSession(WithRc(box), {"/bin/bash", "--noprofile", "--rcfile", "rc", "-i"}, 60, 20) {
  EXPECT_TRUE(WaitForText("$")) << Screen();
}

bool JobShell::StartRun() {
  Type(std::string(GENFLOW_BINARY) + " run\n");
  return WaitForText(kRunning);
}

bool JobShell::Foreground() {
  Type("fg\n");
  return WaitUntil([](const auto& screen) {
    const std::string text = screen.Text();
    return text.rfind(kRunning) > text.rfind("$ fg") && text.rfind("$ fg") != std::string::npos;
  });
}

bool JobShell::EndRun(const Sandbox& box) {
  box.Write("go", "");
  if (!WaitForText("p: done in")) return false;
  Type("exit\n");
  Wait();
  return true;
}

}  // namespace genflow
