// A pipeline with the store that tells of it, for commands that run nothing.
#pragma once

#include <filesystem>
#include <optional>

#include "base/result.h"
#include "cli/workspace.h"
#include "store/store.h"

namespace genflow::cli {

// Shows diagnostics, as a line of JSON on stdout or as text on stderr; true when the pipeline can be used.
bool ShowDiagnostics(const LoadResult& loaded, bool json);

// The store at a place, or an empty one that is removed afterwards where there is none.
class PlanStore {
 public:
  static Result<PlanStore> Open(const std::filesystem::path& root);
  PlanStore(PlanStore&& other) noexcept;
  ~PlanStore();

  Store& store() { return *store_; }
  bool temporary() const { return !folder_.empty(); }

 private:
  PlanStore() = default;
  std::filesystem::path folder_;  // empty: the store is not ours
  std::optional<Store> store_;
};

// A pipeline that can be used, and its store.
struct OpenedPipeline {
  Catalog catalog;  // which the pipeline points into
  PlanStore store;
  Pipeline pipeline;
};
// Nothing: errors were shown, and `exit_code` says what to end with.
std::optional<OpenedPipeline> OpenPipeline(const PipelineOptions& options, bool json, int* exit_code);

}  // namespace genflow::cli
