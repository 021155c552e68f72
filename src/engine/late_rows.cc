#include "engine/late_rows.h"

#include <utility>

namespace genflow {

namespace {

// Between two tries, in seconds.
constexpr double kPause = 0.25;
// Others that write for a moment are not worth a word.
constexpr double kSayAfter = 5;

}  // namespace

Result<std::unique_ptr<Store::WriteGroup>> LateRows::Begin() {
  if (Locked()) return std::unique_ptr<Store::WriteGroup>();
  GF_TRY(auto group, Store::WriteGroup::Try(store_, patience_ms_));
  if (group == nullptr) {
    NoteLocked();
    return group;
  }
  NoteFree();
  for (; !rows_.empty(); rows_.pop_front()) GF_CHECK_OK(rows_.front()());
  return group;
}

std::optional<std::vector<Result<std::vector<PortArtifact>>>> LateRows::Commit(
    std::vector<Store::Pending>* pending) {
  auto committed = store_.TryCommitAll(pending, patience_ms_);
  if (committed)
    NoteFree();
  else
    NoteLocked();
  return committed;
}

void LateRows::NoteLocked() {
  const double now = clock_.Now();
  next_try_ = now + kPause;
  if (locked_since_ == 0) locked_since_ = now;
  if (now < locked_since_ + kSayAfter || std::exchange(told_, true)) return;
  observer_.Notice(StillLocked().message + "; stages go on, and what they did is recorded when it is free");
}

void LateRows::NoteFree() {
  next_try_ = locked_since_ = 0;
  told_ = false;
}

Error LateRows::StillLocked() const {
  const std::string file = (store_.root() / "store.db").string();
  return MakeError(Code::kIo, file + ": another process keeps it locked",
                   "`fuser " + file + "` names those that have it open");
}

}  // namespace genflow
