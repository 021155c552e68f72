// How the pipelines of a store are doing: what `genflow status` prints and monitoring systems read.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/progress_file.h"
#include "cli/start_note.h"
#include "store/store.h"

namespace genflow::cli {

// A stage that is being executed.
struct RunningStage {
  std::string stage;
  int attempt = 1;
  double started = 0;
  std::optional<StageProgress> progress;
};

// A schedule's next start of a pipeline.
struct NextStart {
  std::string schedule, backend;
  double time = 0;
};

// Times are seconds since the Unix epoch.
struct PipelineStatus {
  std::string pipeline, file;
  std::optional<RunInfo> running;
  size_t stages_done = 0;  // of `running`
  std::vector<RunningStage> stages;
  std::optional<RunInfo> last;     // that is over
  std::string failure;             // why `last` failed or was gated: "tune: killed by signal 9 (Killed)"
  std::optional<RunInfo> success;  // the last one
  std::optional<StartNote> note;   // where no run has started since
  // Failed and gated runs since the last success, and the last start where it was an error. Interrupted runs
  // neither count nor end the row.
  int consecutive_failures = 0;
  std::vector<NextStart> next;
};

struct StoreStatus {
  std::filesystem::path root;
  double time = 0;  // when it was looked at
  StoreUsage usage;
  uint64_t free_bytes = 0, disk_bytes = 0;  // of the file system, for this user
  std::vector<PipelineStatus> pipelines;    // by name, then file
};

// Of all pipelines that have run in the store, or of the one whose file is `file`. `next` is left empty.
Result<StoreStatus> ReadStatus(Store& store, double now, const std::string& file = {});

// Whether the run before this one of the same file failed or was gated, or the last start was an error.
Result<bool> FailedBefore(Store& store, const std::string& file, const std::string& run);

nlohmann::json ToJson(const StoreStatus& status);
std::string RenderStatus(const StoreStatus& status, bool color);
// The text exposition format: HELP and TYPE once a metric, labels escaped.
std::string RenderPrometheus(const StoreStatus& status);
// For node_exporter's textfile collector, which reads files that end in ".prom"; kInvalid for other names.
Status CheckPrometheusName(const std::string& file);
Status WritePrometheus(const StoreStatus& status, const std::string& file);

}  // namespace genflow::cli
