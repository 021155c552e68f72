#include "cli/open_pipeline.h"

#include <stdlib.h>

#include <cerrno>
#include <utility>

#include "base/files.h"
#include "cli/errors.h"

namespace genflow::cli {

namespace fs = std::filesystem;

Result<PlanStore> PlanStore::Open(const fs::path& root) {
  PlanStore out;
  std::error_code ec;
  fs::path at = root;
  if (!fs::exists(root, ec)) {
    char path[] = "/tmp/genflow-plan-XXXXXX";
    if (::mkdtemp(path) == nullptr) return ErrnoError(path, errno);
    out.folder_ = path;
    at = out.folder_ / ".genflow";
  }
  GF_TRY(out.store_, Store::Open(at));
  return out;
}

PlanStore::PlanStore(PlanStore&& other) noexcept
    : folder_(std::exchange(other.folder_, {})), store_(std::exchange(other.store_, std::nullopt)) {}

PlanStore::~PlanStore() {
  store_.reset();
  if (!folder_.empty()) (void)RemoveTree(folder_).ok();
}

std::optional<OpenedPipeline> OpenPipeline(const PipelineOptions& options, bool json, int* exit_code) {
  const auto refuse = [&](const Error& error) {
    *exit_code = Report(error);
    return std::nullopt;
  };
  auto file = PipelineFile(options);
  if (!file.ok()) return refuse(file.error());
  Catalog catalog = UsableCatalog();
  auto store = PlanStore::Open(StoreOfPipeline(options.store, *file));
  if (!store.ok()) return refuse(store.error());
  ShowNotices(store->store());
  auto loaded = LoadForUse(options, *file, catalog, &store->store());
  if (!loaded.ok()) return refuse(loaded.error());
  if (!ShowDiagnostics(*loaded, json)) {
    *exit_code = kExitUsage;
    return std::nullopt;
  }
  return OpenedPipeline{std::move(catalog), *std::move(store), *std::move(loaded->pipeline)};
}

}  // namespace genflow::cli
