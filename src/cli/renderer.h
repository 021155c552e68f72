// How a run is shown. stdout carries the answer, stderr the progress.
#pragma once

#include <memory>
#include <string>

#include "cli/terminal.h"
#include "config/pipeline.h"
#include "engine/observer.h"

namespace genflow::cli {

// Figures of a running stage, shared by the views: rate, ETA and the metrics worth a place on a line.
class ProgressFigures {
 public:
  explicit ProgressFigures(double now) : started_(now) {}
  void Add(const StageProgress& progress, double now);
  void Add(const StageMetric& metric);

  bool known() const { return known_; }
  double fraction() const;  // 0..1; negative: total unknown
  double started() const { return started_; }
  // "1,204/4,096 rows", "1,204 rows"
  std::string Counts() const;
  // "310 rows/s", or empty
  std::string Rate() const;
  // "ETA 1m 05s", or empty
  std::string Eta(double now) const;
  // "loss 2.314", or empty
  std::string Metrics() const;
  const std::string& message() const { return last_.message; }

 private:
  double PerSecond() const;  // 0: unknown

  double started_;
  bool known_ = false;
  StageProgress last_;
  double last_time_ = 0;
  double recent_done_ = 0, recent_time_ = 0;  // what was done lately, and in how many seconds
  std::string loss_, speed_, other_;
};

// "━━━━──────" of so many cells; `fraction` is 0..1.
std::string ProgressBar(double fraction, size_t cells, TerminalTraits traits);

// "  ━━━━──────   45%  239 tokens/s  loss 2.014  ETA 2m 09s": what is known of a running stage, in at most
// `cells` cells. Where they do not hold everything, the message goes first, then the counts, the bar, the
// ETA, the rate.
std::string RenderFigures(const ProgressFigures& figures, double now, size_t cells, TerminalTraits traits);

// One line for each running stage, redrawn in place; finished stages above it.
std::unique_ptr<Observer> MakeLiveView(int fd, TerminalTraits traits);
// Plain lines, for logs and pipes; progress at most every ten seconds a stage.
std::unique_ptr<Observer> MakePlainView(std::FILE* out);
// One JSON object a line and event. `pipeline` must outlive it.
std::unique_ptr<Observer> MakeJsonView(std::FILE* out, const Pipeline& pipeline);

// Of what goes on: "0 s", "12 s", "2m 05s".
std::string WholeSeconds(double seconds);
// "stopping: ...", said at the first Ctrl-C and, `forced`, at the second; fits in 80 columns.
std::string StoppingPhrase(bool forced, double grace);
// "ran in 2.1 s", "cached", "skipped: needs 'clean', which failed": what both views say of an end.
std::string EndPhrase(const StageResult& result);

// The end of a run: table, summaries and packages; or one line when nothing had to be done. The table takes
// at most `room` columns; 0: as many as it wants.
std::string RenderReport(const RunReport& report, TerminalTraits traits, size_t room);
// What went wrong, with the last lines of each log, for `stderr`; empty when nothing did.
std::string RenderFailures(const RunReport& report, TerminalTraits traits);

}  // namespace genflow::cli
