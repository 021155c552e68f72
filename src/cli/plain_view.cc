#include <cstdio>
#include <map>

#include "base/strings.h"
#include "cli/renderer.h"

namespace genflow::cli {

namespace {

constexpr double kProgressInterval = 10;

class PlainView : public Observer {
 public:
  explicit PlainView(std::FILE* out) : out_(out) {}

  void StageStarted(const StageStart& start, double now) override {
    figures_.erase(start.stage);
    figures_.emplace(start.stage, State{ProgressFigures(now), now});
    Line(start.stage, "started (" + start.reason + ")");
  }
  void Progress(const StageProgress& progress, double now) override {
    const auto it = figures_.find(progress.stage);
    if (it == figures_.end()) return;
    State& state = it->second;
    state.figures.Add(progress, now);
    if (now - state.printed < kProgressInterval) return;
    state.printed = now;
    std::string text = state.figures.Counts();
    if (state.figures.fraction() >= 0) {
      text = std::to_string(static_cast<int>(100 * state.figures.fraction())) + "% (" + text + ")";
    }
    for (const auto& part :
         {state.figures.Rate(), state.figures.Metrics(), state.figures.Eta(now), progress.message}) {
      if (!part.empty()) text += ", " + part;
    }
    Line(progress.stage, text);
  }
  void Metric(const StageMetric& metric, double /*now*/) override {
    const auto it = figures_.find(metric.stage);
    if (it != figures_.end()) it->second.figures.Add(metric);
  }
  void Log(const StageLog& log, double /*now*/) override {
    if (log.level == "warning" || log.level == "error") Line(log.stage, log.level + ": " + log.text);
  }
  void StageRetries(const std::string& stage, int attempt, double delay, const Error& error,
                    double) override {
    Line(stage, "attempt " + std::to_string(attempt) + " failed: " + error.message + "; again in " +
                    HumanDuration(delay));
  }
  void StageWaits(const std::string& stage, const std::string& for_what, double) override {
    Line(stage, "waits for " + for_what + ", which is computing it");
  }
  void StageFinished(const StageResult& result, double) override {
    figures_.erase(result.stage);
    // The table at the end tells what was cached.
    if (result.status != StageStatus::kCached) Line(result.stage, EndPhrase(result));
  }
  void Stopping(int, bool forced, double grace, double) override { Print(StoppingPhrase(forced, grace)); }
  void Notice(const std::string& text) override { Print("notice: " + text); }

 private:
  struct State {
    ProgressFigures figures;
    double printed = 0;
  };

  void Line(const std::string& stage, const std::string& text) { Print(stage + ": " + text); }
  void Print(const std::string& text) {
    std::fprintf(out_, "%s\n", text.c_str());
    std::fflush(out_);
  }

  std::FILE* out_;
  std::map<std::string, State> figures_;
};

}  // namespace

std::unique_ptr<Observer> MakePlainView(std::FILE* out) { return std::make_unique<PlainView>(out); }

}  // namespace genflow::cli
