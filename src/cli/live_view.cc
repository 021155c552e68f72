#include <algorithm>
#include <cstdio>
#include <limits>
#include <vector>

#include "base/files.h"
#include "base/strings.h"
#include "cli/live_block.h"
#include "cli/renderer.h"
#include "cli/terminal_modes.h"

namespace genflow::cli {

namespace {

constexpr double kFrame = 0.1;  // seconds between redraws

class LiveView : public Observer {
 public:
  LiveView(int fd, TerminalTraits traits) : fd_(fd), traits_(traits), modes_(fd), block_(traits) {}
  ~LiveView() override { Erase(); }

  void RunStarted(const RunHeader& header, double now) override {
    started_ = now;
    block_.Begin(header.stages, now);
  }
  void StageStarted(const StageStart& start, double now) override {
    block_.Start(start.stage, now);
    Draw(now);
  }
  void Progress(const StageProgress& progress, double now) override { block_.Add(progress, now); }
  void Metric(const StageMetric& metric, double /*now*/) override { block_.Add(metric); }
  void Log(const StageLog& log, double now) override {
    if (log.level != "warning" && log.level != "error") return;
    Above(Styled(block_.NameColumn(log.stage) + "  " + log.level + ": " + log.text, Style::kYellow,
                 traits_.color),
          now);
  }
  void StageRetries(const std::string& stage, int attempt, double delay, const Error& error,
                    double now) override {
    block_.Pause(stage);
    Above("  " + block_.NameColumn(stage) + "  " +
              Styled("attempt " + std::to_string(attempt) + " failed: " + error.message + "; again in " +
                         HumanDuration(delay),
                     Style::kYellow, traits_.color),
          now);
  }
  void StageWaits(const std::string& stage, const std::string& for_what, double now) override {
    block_.Wait(stage, for_what);
    Draw(now);
  }
  void StageFinished(const StageResult& result, double now) override {
    for (const auto& line : block_.Finish(result)) above_ += line + "\x1b[K\n";
    Draw(now);
  }
  void Stopping(int, bool forced, double grace, double now) override {
    Above(Styled(StoppingPhrase(forced, grace), Style::kYellow, traits_.color), now);
  }
  void Notice(const std::string& text) override { Above("notice: " + text, std::max(started_, drawn_at_)); }
  void RunFinished(const RunReport&, double) override { Erase(); }

  double Tick(double now) override {
    if (block_.idle()) return std::numeric_limits<double>::infinity();
    if (now >= drawn_at_ + kFrame) Draw(now);
    return drawn_at_ + kFrame;
  }

 private:
  // Moves to the first cell of the block. The terminal may have become narrower since it was drawn: then
  // each line takes more rows.
  std::string ToStart(size_t columns) const {
    size_t rows = 0;
    for (const size_t width : drawn_widths_) rows += std::max<size_t>(1, (width + columns - 1) / columns);
    if (rows == 0) return {};
    return rows > 1 ? "\r\x1b[" + std::to_string(rows - 1) + "A" : "\r";
  }

  void Erase() {
    if (modes_.WasAway() || drawn_widths_.empty()) return drawn_widths_.clear();
    (void)WriteAll(fd_, ToStart(static_cast<size_t>(std::max(1, SizeOfTerminal(fd_).columns))) + "\x1b[J")
        .ok();
    drawn_widths_.clear();
  }

  // Prints a line that stays, above the block.
  void Above(const std::string& text, double now) {
    above_ += text + "\x1b[K\n";
    Draw(now);
  }

  void Draw(double now) {
    const bool ours = modes_.Foreground();
    if (modes_.WasAway()) drawn_widths_.clear();
    const TerminalSize size = SizeOfTerminal(fd_);
    const auto columns = static_cast<size_t>(std::max(1, size.columns));
    // In the background the shell's line is left alone: only what stays is printed.
    std::vector<std::string> lines;
    if (ours) {
      const auto rows = static_cast<size_t>(std::max(2, size.rows) - 1);
      lines = block_.Lines(now, std::max<size_t>(2, columns) - 1, rows);
    }
    drawn_at_ = now;
    if (!ours && above_.empty()) return;
    // One write a frame, with wrapping off, so that no half-drawn or wrapped line is ever seen. Lines are
    // written over the old ones: terminals that keep what is erased would keep every frame.
    std::string out = ToStart(columns) + above_ + "\x1b[?7l";
    above_.clear();
    drawn_widths_.clear();
    for (size_t i = 0; i < lines.size(); ++i) {
      out += (i > 0 ? "\n" : "") + lines[i] + "\x1b[K";
      drawn_widths_.push_back(DisplayWidth(lines[i]));
    }
    out += "\x1b[J\x1b[?7h";
    (void)WriteAll(fd_, out).ok();
  }

  int fd_;
  TerminalTraits traits_;
  TerminalModes modes_;
  LiveBlock block_;
  double started_ = 0, drawn_at_ = 0;
  std::string above_;
  std::vector<size_t> drawn_widths_;  // of the block as it stands on the screen
};

}  // namespace

std::unique_ptr<Observer> MakeLiveView(int fd, TerminalTraits traits) {
  return std::make_unique<LiveView>(fd, traits);
}

}  // namespace genflow::cli
