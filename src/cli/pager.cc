#include "cli/pager.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "base/files.h"
#include "base/strings.h"
#include "base/subprocess.h"
#include "cli/terminal.h"

namespace genflow::cli {

namespace {

constexpr int kNotFound = 127;  // what sh ends with when there is no such program

// The shell text that shows a page; empty: none.
std::string PagerText() {
  for (const char* name : {"GENFLOW_PAGER", "PAGER"}) {
    const char* value = std::getenv(name);
    if (value == nullptr) continue;
    const std::string text(Trim(value));
    return text == "cat" ? std::string() : text;
  }
  return "less -FRX";
}

bool UsesPager(bool no_pager) {
  return !no_pager && DetectTerminal(STDOUT_FILENO).interactive && !PagerText().empty();
}

// Rows that the text takes on the terminal.
size_t RowsOf(const std::string& text, size_t columns) {
  size_t rows = 0;
  std::string_view rest = text;
  while (!rest.empty()) {
    const size_t end = rest.find('\n');
    rows += std::max<size_t>(1, (DisplayWidth(rest.substr(0, end)) + columns - 1) / columns);
    if (end == std::string_view::npos) break;
    rest.remove_prefix(end + 1);
  }
  return rows;
}

// While a pager runs, Ctrl-C and a closed pipe are its business.
class SignalsIgnored {
 public:
  SignalsIgnored() : interrupt_(std::signal(SIGINT, SIG_IGN)), pipe_(std::signal(SIGPIPE, SIG_IGN)) {}
  SignalsIgnored(const SignalsIgnored&) = delete;
  SignalsIgnored& operator=(const SignalsIgnored&) = delete;
  ~SignalsIgnored() {
    std::signal(SIGINT, interrupt_);
    std::signal(SIGPIPE, pipe_);
  }

 private:
  void (*interrupt_)(int);
  void (*pipe_)(int);
};

// Starts the pager in the foreground, reading from `input`; -1 when it cannot be.
pid_t StartPager(int input) {
  // What less needs to be told where the user has not: quit when all fits, keep colours and the screen.
  std::map<std::string, std::string> added;
  if (std::getenv("LESS") == nullptr) added["LESS"] = "FRX";
  if (std::getenv("LESSCHARSET") == nullptr && DetectTerminal(STDOUT_FILENO).unicode)
    added["LESSCHARSET"] = "utf-8";
  auto variables = EnvironmentWith(added);
  std::vector<char*> envp;
  for (auto& variable : variables) envp.push_back(variable.data());
  envp.push_back(nullptr);
  std::string shell = "sh", option = "-c", text = PagerText();
  char* argv[] = {shell.data(), option.data(), text.data(), nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
  ::posix_spawnattr_init(&attributes);
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGINT);
  ::sigaddset(&signals, SIGPIPE);
  ::posix_spawnattr_setsigdefault(&attributes, &signals);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
  pid_t pid = -1;
  const int failed = ::posix_spawn(&pid, "/bin/sh", &actions, &attributes, argv, envp.data());
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&actions);
  return failed == 0 ? pid : -1;
}

// Whether the pager was there at all.
bool WaitForPager(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return !(WIFEXITED(status) && WEXITSTATUS(status) == kNotFound);
}

}  // namespace

Status CopyToOutput(int fd) {
  char buffer[1 << 16];
  while (true) {
    const ssize_t n = ::read(fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError("log", errno);
    if (n == 0) return Ok();
    GF_CHECK_OK(WriteAll(STDOUT_FILENO, {buffer, static_cast<size_t>(n)}));
  }
}

void AddPagerOption(CLI::App& command, bool* no_pager) {
  command.add_flag("--no-pager", *no_pager, "Print long answers straight, also on a terminal");
}

void ShowText(const std::string& text, bool no_pager) {
  const TerminalSize size = SizeOfTerminal(STDOUT_FILENO);
  const auto rows = static_cast<size_t>(std::max(1, size.rows)),
             columns = static_cast<size_t>(std::max(1, size.columns));
  if (UsesPager(no_pager) && RowsOf(text, columns) >= rows) {
    const SignalsIgnored ignored;
    auto file = TextAsFile(text);
    const pid_t pid = file.ok() ? StartPager(file->get()) : -1;
    if (pid > 0 && WaitForPager(pid)) return;
  }
  std::fputs(text.c_str(), stdout);
}

Status ShowFile(int fd, bool no_pager) {
  if (UsesPager(no_pager)) {
    const off_t start = ::lseek(fd, 0, SEEK_CUR);
    const SignalsIgnored ignored;
    const pid_t pid = StartPager(fd);
    if (pid > 0 && WaitForPager(pid)) return Ok();
    if (start >= 0) ::lseek(fd, start, SEEK_SET);
  }
  return CopyToOutput(fd);
}

}  // namespace genflow::cli
