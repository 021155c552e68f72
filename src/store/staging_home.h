// The folder in staging/ of one open Store: what its attempts write before it is committed lies here.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "store/locks.h"

namespace genflow {

// Locked while it lives and removed with it; if the process dies, the next one that opens the store removes
// it. Empty folders are kept and used again: on many file systems making one costs far more than renaming
// one. One thread at a time.
class StagingHome {
 public:
  static Result<std::shared_ptr<StagingHome>> Make(const std::filesystem::path& staging);
  StagingHome(const StagingHome&) = delete;
  StagingHome& operator=(const StagingHome&) = delete;
  ~StagingHome();

  // A folder of a name of its own, with an empty `scratch` in it, for an attempt at `key`.
  Result<std::filesystem::path> Take(const std::string& key);
  // The attempt is over. Whatever is still in the folder goes.
  void GiveBack(const std::filesystem::path& folder);

  // Makes `folder` an empty folder, or leaves it as it is where it exists.
  Status MakeState(const std::filesystem::path& folder);
  // Removes `folder` and what is in it.
  void RemoveState(const std::filesystem::path& folder);

 private:
  StagingHome(std::filesystem::path folder, FileLock lock)
      : folder_(std::move(folder)), lock_(std::move(lock)) {}
  std::filesystem::path NextName(const std::string& what);

  std::filesystem::path folder_;
  FileLock lock_;  // on <folder>.lock, taken before the folder is made
  uint64_t names_ = 0;
  std::vector<std::filesystem::path> attempts_, states_;  // empty ones, to be used again
};

}  // namespace genflow
