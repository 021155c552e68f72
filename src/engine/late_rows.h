// Rows of a run that wait for the database when another process keeps it locked, a backup or a shell: the run
// goes on meanwhile.
#pragma once

#include <deque>
#include <functional>
#include <memory>

#include "engine/executor.h"
#include "engine/observer.h"
#include "store/store.h"

namespace genflow {

class LateRows {
 public:
  // `patience_ms`: for how long one try may wait, and with it the loop of the engine.
  LateRows(Store& store, Clock& clock, Observer& observer, int patience_ms)
      : store_(store), clock_(clock), observer_(observer), patience_ms_(patience_ms) {}

  // Written with the next Begin(), in the order in which they came.
  void Add(std::function<Status()> write) { rows_.push_back(std::move(write)); }
  bool empty() const { return rows_.empty(); }

  // A group of writes that need not wait, with all rows so far written in it. Nothing while the database is
  // locked: it is tried at NextTry() and not before.
  Result<std::unique_ptr<Store::WriteGroup>> Begin();
  // Store::TryCommitAll with the same patience.
  std::optional<std::vector<Result<std::vector<PortArtifact>>>> Commit(std::vector<Store::Pending>* pending);

  bool Locked() const { return clock_.Now() < next_try_; }
  double NextTry() const { return next_try_; }  // in the past unless Locked()
  // What to say where the run ends without its rows.
  Error StillLocked() const;

 private:
  void NoteLocked();
  void NoteFree();

  Store& store_;
  Clock& clock_;
  Observer& observer_;
  const int patience_ms_;
  std::deque<std::function<Status()>> rows_;
  double next_try_ = 0;
  double locked_since_ = 0;  // 0: it is not
  bool told_ = false;
};

}  // namespace genflow
