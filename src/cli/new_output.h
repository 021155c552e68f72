// A file or folder that takes its place whole, or not at all.
#pragma once

#include <filesystem>
#include <utility>

#include "base/files.h"
#include "base/result.h"

namespace genflow::cli {

// It is made in a hidden folder beside its place, which goes with this object. What a killed process left
// there goes with the next one that writes to the same place.
class NewOutput {
 public:
  // kInvalid when something is at `target`, kBusy while another process is making it.
  static Result<NewOutput> Create(const std::filesystem::path& target);
  NewOutput(NewOutput&& other) noexcept
      : target_(std::move(other.target_)),
        folder_(std::exchange(other.folder_, {})),
        lock_(std::move(other.lock_)) {}
  ~NewOutput();

  const std::filesystem::path& target() const { return target_; }
  // Where to make it; nothing is there yet. Its last part is that of the target.
  std::filesystem::path partial() const { return folder_ / target_.filename(); }
  // Brings what was made, with its bytes on the disk, to its place; kInvalid when something has come there
  // meanwhile.
  Status Keep();
  // An error that names the target, and not where it was being made.
  Error ForUser(Error error) const;

 private:
  NewOutput() = default;
  std::filesystem::path target_, folder_;
  Fd lock_;
};

}  // namespace genflow::cli
