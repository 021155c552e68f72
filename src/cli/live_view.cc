#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <vector>

#include "base/files.h"
#include "base/strings.h"
#include "cli/renderer.h"

namespace genflow::cli {

namespace {

constexpr double kFrame = 0.1;  // seconds between redraws
constexpr size_t kMaxNameCells = 24;

class LiveView : public Observer {
 public:
  LiveView(int fd, TerminalTraits traits) : fd_(fd), traits_(traits) {}
  ~LiveView() override { Erase(); }

  void RunStarted(const RunHeader& header, double now) override {
    total_ = header.stages.size();
    started_ = now;
    for (const auto& stage : header.stages) name_cells_ = std::max(name_cells_, DisplayWidth(stage));
    name_cells_ = std::min(name_cells_, kMaxNameCells);
  }
  void StageStarted(const StageStart& start, double now) override {
    running_.push_back({start.stage, ProgressFigures(now), {}});
    Draw(now);
  }
  void Progress(const StageProgress& progress, double now) override {
    if (Line* line = Find(progress.stage)) line->figures.Add(progress, now);
  }
  void Metric(const StageMetric& metric, double) override {
    if (Line* line = Find(metric.stage)) line->figures.Add(metric);
  }
  void Log(const StageLog& log, double now) override {
    if (log.level != "warning" && log.level != "error") return;
    Above(Styled(PadRight(Name(log.stage), name_cells_) + "  " + log.level + ": " + log.text, Style::kYellow,
                 traits_.color),
          now);
  }
  void StageRetries(const std::string& stage, int attempt, double delay, const Error& error,
                    double now) override {
    Remove(stage);
    Above("  " + PadRight(Name(stage), name_cells_) + "  " +
              Styled("attempt " + std::to_string(attempt) + " failed: " + error.message + "; again in " +
                         HumanDuration(delay),
                     Style::kYellow, traits_.color),
          now);
  }
  void StageWaits(const std::string& stage, const std::string& for_what, double now) override {
    Above("  " + PadRight(Name(stage), name_cells_) + "  waits for " + for_what + ", which is computing it",
          now);
  }
  void StageFinished(const StageResult& result, double now) override {
    Remove(result.stage);
    ++finished_;
    // Cached stages are told in the table at the end; a line each would hide what is going on.
    if (result.status == StageStatus::kCached) return Draw(now);
    Above(Mark(result.status) + " " + PadRight(Name(result.stage), name_cells_) + "  " + EndPhrase(result),
          now);
  }
  void Stopping(int, bool forced, double grace, double now) override {
    Above(Styled(forced ? "killing the running stages"
                        : "stopping: stages have " + HumanDuration(grace) +
                              " to save their state; press Ctrl-C again to kill them",
                 Style::kYellow, traits_.color),
          now);
  }
  void Notice(const std::string& text) override { Above("notice: " + text, started_); }
  void RunFinished(const RunReport&, double) override { Erase(); }

  double Tick(double now) override {
    if (running_.empty()) return std::numeric_limits<double>::infinity();
    if (now >= drawn_at_ + kFrame) Draw(now);
    return drawn_at_ + kFrame;
  }

 private:
  struct Line {
    std::string stage;
    ProgressFigures figures;
    std::string note;
  };

  Line* Find(const std::string& stage) {
    const auto it =
        std::find_if(running_.begin(), running_.end(), [&](const Line& l) { return l.stage == stage; });
    return it == running_.end() ? nullptr : &*it;
  }
  void Remove(const std::string& stage) {
    running_.erase(
        std::remove_if(running_.begin(), running_.end(), [&](const Line& l) { return l.stage == stage; }),
        running_.end());
  }
  std::string Name(const std::string& stage) const { return Shorten(stage, name_cells_, traits_.unicode); }

  std::string Mark(StageStatus status) const {
    switch (status) {
      case StageStatus::kRan:
        return Styled(traits_.unicode ? "✓" : "+", Style::kGreen, traits_.color);
      case StageStatus::kFailed:
        return Styled(traits_.unicode ? "✗" : "x", Style::kRed, traits_.color);
      case StageStatus::kGated:
        return Styled("!", Style::kRed, traits_.color);
      case StageStatus::kSkipped:
        return Styled("-", Style::kDim, traits_.color);
      default:
        return Styled("!", Style::kYellow, traits_.color);
    }
  }

  // A line of the block, at most `columns` cells.
  std::string Render(const Line& line, double now, size_t columns) const {
    static const char* const kSpinner[] = {"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"};
    static const char* const kAscii[] = {"|", "/", "-", "\\"};
    const auto frame = static_cast<size_t>(std::max(0.0, now - started_) / kFrame);
    std::string out =
        Styled(traits_.unicode ? kSpinner[frame % 10] : kAscii[frame % 4], Style::kCyan, traits_.color) +
        " " + PadRight(Name(line.stage), name_cells_);
    const size_t used = DisplayWidth(out);
    if (used < columns) out += RenderFigures(line.figures, now, columns - used, traits_);
    return Shortened(out, columns);
  }

  // A name that is wider than a narrow terminal; colours are given up for it.
  std::string Shortened(const std::string& text, size_t columns) const {
    if (DisplayWidth(text) <= columns) return text;
    std::string plain;
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '\x1b') {
        while (i < text.size() && text[i] != 'm') ++i;
      } else {
        plain += text[i];
      }
    }
    return Shorten(plain, columns, traits_.unicode);
  }

  // Moves to the first cell of the block. The terminal may have become narrower since it was drawn: then
  // each line takes more rows.
  std::string ToStart(size_t columns) const {
    size_t rows = 0;
    for (const size_t width : drawn_widths_) rows += std::max<size_t>(1, (width + columns - 1) / columns);
    if (rows == 0) return {};
    return rows > 1 ? "\r\x1b[" + std::to_string(rows - 1) + "A" : "\r";
  }

  void Erase() {
    if (drawn_widths_.empty()) return;
    (void)WriteAll(fd_, ToStart(static_cast<size_t>(SizeOfTerminal(fd_).columns)) + "\x1b[J").ok();
    drawn_widths_.clear();
  }

  // Prints a line that stays, above the block.
  void Above(const std::string& text, double now) {
    above_ += text + "\x1b[K\n";
    Draw(now);
  }

  void Draw(double now) {
    const TerminalSize size = SizeOfTerminal(fd_);
    const auto columns = static_cast<size_t>(std::max(10, size.columns));
    std::vector<std::string> lines;
    const size_t room = static_cast<size_t>(std::max(3, size.rows)) - 2;
    for (size_t i = 0; i < running_.size() && lines.size() < room; ++i)
      lines.push_back(Render(running_[i], now, columns - 1));
    if (!running_.empty()) {
      std::string status = "  " + std::to_string(finished_) + "/" + std::to_string(total_) + " done, " +
                           std::to_string(running_.size()) + " running, " +
                           HumanDuration(std::max(0.0, std::floor(now - started_)));
      lines.push_back(Styled(Shorten(status, columns - 1, traits_.unicode), Style::kDim, traits_.color));
    }
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
    drawn_at_ = now;
  }

  int fd_;
  TerminalTraits traits_;
  size_t total_ = 0, finished_ = 0, name_cells_ = 4;
  double started_ = 0, drawn_at_ = 0;
  std::vector<Line> running_;
  std::string above_;
  std::vector<size_t> drawn_widths_;  // of the block as it stands on the screen
};

}  // namespace

std::unique_ptr<Observer> MakeLiveView(int fd, TerminalTraits traits) {
  return std::make_unique<LiveView>(fd, traits);
}

}  // namespace genflow::cli
