// The inside of a Staging, which Store::Commit empties.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "store/objects.h"
#include "store/staging.h"
#include "store/staging_home.h"
#include "store/tree.h"

namespace genflow {

struct SealedOutput {
  OutputSpec spec;
  TreeListing listing;
  std::string digest;
};

struct StagingImpl {
  std::string key;
  std::shared_ptr<StagingHome> home;
  std::filesystem::path folder, scratch;  // of the home
  bool sealed = false;                    // `outputs` is filled in
  bool synced = false;                    // and durable, with the sidecars
  std::vector<SealedOutput> outputs;
  std::optional<Origin> origin;   // of the sidecars that are written
  std::vector<Sidecar> sidecars;  // one an output

  StagingImpl() = default;
  StagingImpl(const StagingImpl&) = delete;
  StagingImpl& operator=(const StagingImpl&) = delete;
  ~StagingImpl();

  // Checks, hashes and makes read-only.
  Status Seal(const std::vector<OutputSpec>& specs);
  // Writes them beside the sealed outputs, unless those of this origin are there.
  Status WriteSidecars(const Origin& from);
  // What must be synced before the outputs may be renamed into objects/.
  std::vector<std::filesystem::path> SyncList() const;

  // What becomes objects/<aa>/<digest>: holds `data`.
  std::filesystem::path ObjectFolder(const std::string& port) const;
};

}  // namespace genflow
