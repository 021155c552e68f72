// A command of genflow in a pseudo-terminal, and what its screen shows.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/files.h"
#include "cli/sandbox.h"
#include "cli/screen.h"

namespace genflow {

class TerminalSession {
 public:
  // Starts `genflow ARGS` in the sandbox, or, where the first of ARGS is an absolute path, that program, in a
  // terminal of that size. TERM is xterm-256color unless the sandbox says otherwise.
  TerminalSession(const Sandbox& box, const std::vector<std::string>& args, int columns, int rows);
  TerminalSession(const TerminalSession&) = delete;
  TerminalSession& operator=(const TerminalSession&) = delete;
  ~TerminalSession();  // kills what still runs

  pid_t pid() const { return pid_; }
  // What a keyboard would send: "\x03" is Ctrl-C, "\x1a" Ctrl-Z.
  void Type(const std::string& keys) const;
  // Changes the size of the terminal, as its window's edge does: the process gets SIGWINCH.
  void Resize(int columns, int rows);
  // Until the screen holds the text, or `ended` is true; false when the command ends before, or after a
  // minute.
  bool WaitForText(const std::string& text);
  // Until the screen is as `wanted` says; false likewise.
  template <class Predicate>
  bool WaitUntil(const Predicate& wanted) {
    while (!wanted(screen_)) {
      if (!ReadSome()) return wanted(screen_);
    }
    return true;
  }
  // Whether the terminal echoes what is typed just now.
  bool Echoes() const;
  // Reads until the command ends; its exit code, 128 + signal when a signal ended it.
  int Wait();

  // The rows of the screen without trailing blanks, each with a newline, up to the last that holds text.
  std::string Screen() const { return screen_.Text(); }
  std::string History() const { return screen_.History(); }  // with what has scrolled away
  const std::string& raw() const { return raw_; }            // everything that was written

 private:
  bool ReadSome();  // false at the end, or when patience is

  Fd master_;
  pid_t pid_ = -1;
  int code_ = -1;
  class Screen screen_;
  std::string raw_;
};

// An interactive shell, with jobs, that has shown its first prompt ("$ ").
class JobShell : public TerminalSession {
 public:
  explicit JobShell(const Sandbox& box);
  // Runs the sandbox's pipeline and waits until the live view shows its one stage running.
  bool StartRun();
  // `fg`, and until the view is back.
  bool Foreground();
  // The run ends, and then the shell.
  bool EndRun(const Sandbox& box);
};

}  // namespace genflow
