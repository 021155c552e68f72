// What the live view shows of the stages that are running: pure, lines from events.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "cli/renderer.h"
#include "cli/terminal.h"

namespace genflow::cli {

// The children of a matrix are one line, "tune  3/8 done, 2 running", with a line for each that runs below it
// as far as the screen goes: its values with their names, "[r=8,lr=1e-4]", or without them where they would
// be cut. Other stages have a line each.
class LiveBlock {
 public:
  explicit LiveBlock(TerminalTraits traits) : traits_(traits) {}

  void Begin(const std::vector<std::string>& stages, double now);
  void Start(const std::string& stage, double now);
  void Add(const StageProgress& progress, double now);
  void Add(const StageMetric& metric);
  // The stage waits for another one, `for_what`, that computes the same.
  void Wait(const std::string& stage, const std::string& for_what);
  // The attempt, or the wait, is over; the stage is not.
  void Pause(const std::string& stage);
  // What is to stand above the block for good, in lines: the stage's end; of a matrix the failures, and its
  // end as a whole. Nothing for what was cached.
  std::vector<std::string> Finish(const StageResult& result);

  bool idle() const { return running_.empty() && waiting_.empty(); }
  // The block in at most `rows` lines (at least one) of `columns` cells. No lines while it is idle.
  std::vector<std::string> Lines(double now, size_t columns, size_t rows) const;
  // A stage's name in the column of names.
  std::string NameColumn(const std::string& stage) const;

 private:
  struct Running {
    std::string stage;
    ProgressFigures figures;
  };
  struct Waiting {
    std::string stage, for_what;
  };
  // A matrix: the stages "tune[...]" of the run; over a used file also its stages, "tune[...]/train".
  struct Group {
    size_t total = 0, ran = 0, cached = 0, failed = 0, skipped = 0;
    double seconds = 0;  // of the child that took longest
    size_t finished() const { return ran + cached + failed + skipped; }
  };

  Running* Find(const std::string& stage);
  // The name of the matrix that the stage is a child of; "" when it is none.
  std::string GroupOf(const std::string& stage) const;
  std::vector<const Running*> RunningOf(const std::string& group) const;
  size_t WaitingOf(const std::string& group) const;
  void Label(const std::vector<std::string>& stages);
  std::string Mark(StageStatus status) const;
  std::string Spinner(double now) const;
  std::string StageLine(const Running& running, const std::string& shown, double now, size_t columns) const;
  std::string GroupLine(const std::string& name, double now, size_t columns) const;
  std::string WaitLine(const Waiting& waiting, size_t columns) const;
  std::string GroupEnd(const std::string& name, const Group& group) const;
  std::string StatusLine(double now, size_t columns) const;
  std::string Cut(const std::string& text, size_t columns) const;

  TerminalTraits traits_;
  size_t total_ = 0, finished_ = 0, name_cells_ = 4;
  double started_ = 0;
  std::vector<Running> running_;  // in the order of their starts
  std::vector<Waiting> waiting_;
  std::map<std::string, Group> groups_;
  std::map<std::string, std::string> labels_;  // of the children: "[r=8]"
};

}  // namespace genflow::cli
