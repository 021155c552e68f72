// Where a stage's outputs are written before they become artifacts.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/result.h"

namespace genflow {

struct StagingImpl;

struct OutputSpec {
  std::string port, type;
  bool optional = false;  // a missing output is then left out; otherwise it is an error
};

// Who makes the outputs: what stands in the sidecars beside them.
struct Origin {
  std::string run, pipeline, stage, uses, key;
  int attempt = 1;
  bool cached = true;  // the key leads to the outputs
  bool operator==(const Origin&) const = default;
};

// A folder in the store's own file system, locked by this process. Destroying it removes what was not
// committed; if the process dies, the next process that opens the store does.
class Staging {
 public:
  Staging(Staging&&) noexcept;
  Staging& operator=(Staging&&) noexcept;
  ~Staging();

  const std::string& key() const;

  // Where the stage writes the output of `port`: a path that does not exist yet, in a folder that does.
  // Port names are letters, digits, '_', '-' and '.', not starting with '.'.
  Result<std::filesystem::path> Output(const std::string& port);

  // An existing empty folder for temporary files, gone with the staging.
  const std::filesystem::path& scratch() const;

  // Checks, hashes and makes read-only what was written, and writes the sidecars beside it. Uses threads of
  // its own and touches nothing but the staging, so that it may be called off the store's thread.
  // Store::Commit does it when it has not been done. After it the outputs must not be written to. Refuses
  // device files, sockets, pipes, and symbolic links that are absolute or leave their tree.
  Status Seal(const std::vector<OutputSpec>& outputs, const Origin& origin);

  // Brings what was sealed to the disk; the same about threads, and Store::Commit. Many at once cost little
  // more than one: the file system writes its journal once.
  static Status Sync(const std::vector<Staging*>& sealed);

 private:
  friend class Store;
  explicit Staging(std::unique_ptr<StagingImpl> impl);
  std::unique_ptr<StagingImpl> impl_;
};

}  // namespace genflow
