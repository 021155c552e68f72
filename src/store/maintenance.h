// Reports and options of garbage collection and of the store check.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace genflow {

struct GcOptions {
  // Of each pipeline, keep this many of the latest runs, and those that started in the last `keep_age`
  // seconds; the rest is removed first, with logs. Running and tagged ones, the latest one and the latest one
  // that succeeded always stay. Both 0: keep every run that was not removed.
  int keep_last = 0;
  double keep_age = 0;
  bool dry_run = false;
  // Checkpoint folders and quarantined objects stay at least this long.
  double state_max_age = 7 * 86400.0;
  double quarantine_max_age = 7 * 86400.0;
  // Called from this thread before each object of a pass over `total` of them: "forgetting" ("looking at"
  // in a dry run), "setting aside", "deleting". It must not block: locks are held.
  std::function<void(const char* doing, uint64_t done, uint64_t total)> progress;
};

// What the store's objects take, by their rows: nothing is read from the objects themselves.
struct StoreUsage {
  uint64_t objects = 0, bytes = 0;
};

struct GcItem {
  std::string name;  // digest, key, run id or folder name
  std::string what;  // type and producer, for people
  uint64_t bytes = 0;
};

struct GcReport {
  bool dry_run = false;
  std::vector<GcItem> runs;                              // removed by keep_last and keep_age
  std::vector<GcItem> objects;                           // that no kept run reaches
  std::vector<GcItem> unregistered;                      // objects on disk that store.db does not know
  std::vector<GcItem> staging, state, quarantine, logs;  // leftovers
  uint64_t kept_objects = 0, kept_bytes = 0;
  uint64_t TotalBytes() const;  // freed, or to be freed
};

struct FsckOptions {
  // Moves bad objects to quarantine, marks artifacts whose object is missing as lost, drops cache rows that
  // lead to either, registers whole objects that store.db does not know, removes dead staging folders.
  bool repair = false;
  bool hash = true;  // false: compare sizes and fingerprints only
  std::function<void(uint64_t done_bytes, uint64_t total_bytes)> progress;
};

struct ExportReport {
  std::vector<std::string> runs;
  uint64_t objects = 0, bytes = 0;  // of objects
  std::vector<std::string> lost;    // digests of artifacts whose objects are gone
};

struct ImportReport {
  std::vector<std::string> runs, known_runs;  // added; there already
  uint64_t objects = 0, bytes = 0;            // added
  uint64_t known_objects = 0;                 // there already
  bool NothingToDo() const { return runs.empty() && objects == 0; }
};

enum class FsckKind {
  kDatabase,
  kDamagedObject,
  kMissingObject,
  kUnregisteredObject,
  kDamagedSidecar,
  kLeftover,
  kForeignFile
};
const char* FsckKindName(FsckKind kind);  // "database", "damaged-object", "missing-object", ...

struct FsckProblem {
  FsckKind kind = FsckKind::kDatabase;
  std::string subject;                  // digest or path
  std::string detail;                   // one sentence
  std::vector<std::string> dependents;  // "run:stage.port" that made or used it, "model name@version"
  bool repaired = false;

  // Space that gc frees, no damage: what a process that was killed left behind.
  bool harmless() const;
};

struct FsckReport {
  uint64_t objects = 0, files = 0, bytes = 0;  // checked
  std::vector<FsckProblem> problems;
  bool clean() const;  // no problem that is neither harmless nor repaired
};

}  // namespace genflow
