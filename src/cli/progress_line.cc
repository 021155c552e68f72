#include "cli/progress_line.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "cli/renderer.h"
#include "cli/terminal.h"

namespace genflow::cli {
namespace {

constexpr size_t kBarCells = 24;

// A stopped terminal (Ctrl-S) takes nothing, and one whose foreground is another job's may stop us: the
// store's locks may be held here.
bool WouldNotBlock() {
  struct pollfd terminal = {STDERR_FILENO, POLLOUT, 0};
  return ::tcgetpgrp(STDERR_FILENO) == ::getpgrp() && ::poll(&terminal, 1, 0) == 1 &&
         (terminal.revents & POLLOUT) != 0;
}

}  // namespace

void ProgressLine::Show(const std::string& doing, uint64_t done, uint64_t total, const std::string& counts) {
  const auto now = std::chrono::steady_clock::now();
  if ((doing == doing_ && now < next_) || !WouldNotBlock()) return;
  doing_ = doing;
  next_ = now + std::chrono::milliseconds(100);
  const double fraction = total > 0 ? static_cast<double>(done) / static_cast<double>(total) : 1;
  const TerminalTraits traits = DetectTerminal(STDERR_FILENO);
  const auto columns = static_cast<size_t>(std::max(1, SizeOfTerminal(STDERR_FILENO).columns));
  const std::string text = Shorten(doing + "  " + counts, columns - 1, traits.unicode);
  std::string bar;
  if (const size_t used = DisplayWidth(text) + 2; used + kBarCells < columns)
    bar = ProgressBar(std::min(1.0, fraction), kBarCells, traits) + "  ";
  std::fprintf(stderr, "\r\x1b[K%s%s", bar.c_str(), text.c_str());
  std::fflush(stderr);
  shown_ = true;
}

void ProgressLine::Clear() {
  if (shown_) std::fputs("\r\x1b[K", stderr);
  shown_ = false;
}

}  // namespace genflow::cli
