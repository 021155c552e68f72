// The terminal while a view is redrawn on it.
#pragma once

#include <termios.h>

namespace genflow::cli {

// Keeps the terminal from echoing what is typed over the view, and gives it back as it was: at the end, when
// a crash or Ctrl-\ ends the process, and while Ctrl-Z has stopped it. What is typed meanwhile waits for who
// reads next, as it always does. One at a time; of the thread that draws.
class TerminalModes {
 public:
  explicit TerminalModes(int fd);
  TerminalModes(const TerminalModes&) = delete;
  TerminalModes& operator=(const TerminalModes&) = delete;
  ~TerminalModes();

  // To be asked before each drawing: whether the terminal is this process's to draw on. It is not while a
  // shell runs the process in the background. Takes the modes again after an absence.
  bool Foreground();
  // Whether the process was stopped and goes on since this was asked last: what was drawn stands elsewhere
  // then.
  bool WasAway();

 private:
  int fd_;
};

}  // namespace genflow::cli
