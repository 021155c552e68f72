// The run store (`.genflow/`): runs, stage attempts, metrics, lineage and immutable artifacts.
//
// A Store is used by one thread. Any number of processes, and of Stores in one process, may work on the same
// folder at once. Do not carry a Store across fork(). Nothing becomes visible half done: a crash at any
// instant leaves either nothing of an operation or all of it.
//
// Errors: kExhausted on a full disk, kCorrupt for damaged bytes, kUnsupported for a store of a newer
// genflow, kBusy when another process holds a lock, kIo for a change to a store opened read-only and where
// another program has kept the database locked for longer than `busy_timeout_ms`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "store/key_locks.h"
#include "store/locks.h"
#include "store/maintenance.h"
#include "store/records.h"
#include "store/staging.h"

namespace genflow {

struct StoreImpl;

struct StoreOptions {
  bool create = true;  // make the store when there is none; otherwise kNotFound
  bool read_only =
      false;  // for queries: only Open's upkeep writes; set by itself where nothing can be written
  int busy_timeout_ms = 30000;
};

// A workspace file with its digest.
struct FileDigest {
  std::filesystem::path path;  // as asked for
  std::string digest;
  uint64_t bytes = 0;
};

// Seconds of work whose rows may wait for the disk. A crash or a kill takes none of them.
inline constexpr double kWorkAtRisk = 1.0;

struct CommitRequest {
  int64_t attempt = 0;              // from StartAttempt
  std::vector<OutputSpec> outputs;  // all the stage's outputs; may be empty
  AttemptEnd end;                   // status kRun or kGated
  bool cache = true;                // false: the next run does not find the outputs by key
};

enum class ExportMode { kClone, kHardLink };  // kClone: reflink where the file system can, else a copy

class Store {
 public:
  // Opens `root` (the `.genflow` folder). Cleans up after dead processes: their staging folders go, their
  // runs become interrupted. Rebuilds a missing store.db from the objects.
  static Result<Store> Open(const std::filesystem::path& root, const StoreOptions& options = {});
  // Sets a damaged store.db aside (store.db.damaged-<time>) and rebuilds it from the objects' sidecars.
  static Result<Store> Rebuild(const std::filesystem::path& root);

  Store(Store&&) noexcept;
  Store& operator=(Store&&) noexcept;
  ~Store();

  const std::filesystem::path& root() const;
  bool read_only() const;
  // Sentences that the user must see once, for instance that store.db was rebuilt.
  const std::vector<std::string>& notices() const;

  // --- Locks -------------------------------------------------------------------------------------------
  // One run of a pipeline at a time. `pipeline` identifies it: the absolute path of its file.
  // kBusy names the holder's pid, run and start time.
  Result<FileLock> LockPipeline(const std::string& pipeline);
  // Announces the run in a lock from LockPipeline.
  Status DescribePipelineLock(FileLock& lock, const std::string& pipeline, const std::string& run);
  // One computation of a key at a time, over all runs. Nothing: somebody computes it (`holder`: in which run,
  // empty when that is not known); ask again later, then Lookup.
  Result<std::optional<KeyLock>> TryLockKey(const std::string& key, const std::string& run,
                                            std::string* holder = nullptr);

  // --- Runs and attempts ---------------------------------------------------------------------------------
  Result<std::string> StartRun(const RunStart& start);  // its id
  Status FinishRun(const std::string& run, RunStatus status);
  Status TagRun(const std::string& run, const std::string& tag);
  // What could not be named any more if a run had this tag: "the latest run", "run ID" (of several the
  // latest), or
  // "". Tags are looked up before beginnings and endings of ids.
  Result<std::string> RunHiddenBy(const std::string& tag);
  Status UntagRun(const std::string& run, const std::string& tag);

  Result<int64_t> StartAttempt(const AttemptStart& start);
  // For attempts that leave no outputs; Commit ends the others.
  Status FinishAttempt(int64_t attempt, const AttemptEnd& end);
  // Takes the key from a running attempt whose files changed while it ran: its outputs answer to no key then.
  Status ClearKey(int64_t attempt);
  // Records a whole attempt that was never executed (kSkipped, or kFailed before the start).
  Result<int64_t> RecordAttempt(const AttemptStart& start, const AttemptEnd& end);
  // Records that a stage of a run took its outputs from a hit. kNotFound when the hit was collected or
  // dropped since Lookup: run the stage.
  Result<int64_t> RecordCached(const AttemptStart& start, const CacheHit& hit);
  Status AddMetrics(const std::string& run, const std::string& stage, const std::vector<MetricPoint>& points);

  // Average seconds of successful executions, recent ones weighing more, by stage id.
  Result<std::map<std::string, double>> AverageDurations(const std::string& pipeline);

  // Joins the writes of its lifetime that need not be durable each (attempts, cache hits, metrics), for
  // speed. Other processes' writes wait meanwhile: it is for moments. End() says whether they were written.
  class WriteGroup {
   public:
    explicit WriteGroup(Store& store);
    // Begun at once: what is written in it does not wait for the database. Nothing where another process has
    // kept it locked for `patience_ms`.
    static Result<std::unique_ptr<WriteGroup>> Try(Store& store, int patience_ms);
    WriteGroup(const WriteGroup&) = delete;
    WriteGroup& operator=(const WriteGroup&) = delete;
    ~WriteGroup();
    Status End();

   private:
    struct Begun {};
    WriteGroup(Store& store, Begun) : store_(&store) {}
    Store* store_;
  };

  // --- Outputs -------------------------------------------------------------------------------------------
  Result<Staging> Stage(const std::string& key);
  // Makes all outputs, the attempt's end and the cache row visible in one step: the objects are on the disk
  // before a row names them. A power loss may take the rows of up to kWorkAtRisk seconds of work (FinishRun
  // makes all durable): those stages run again. They come back in the order of the request. On error nothing
  // is visible and the attempt is still running.
  Result<std::vector<PortArtifact>> Commit(Staging staging, const CommitRequest& request);
  // The same for many attempts, for the price of one or two: what waits for the disk waits once. Results in
  // the order of the requests; an error of the disk or the database is that of every attempt it concerned.
  struct Pending {
    Staging staging;
    CommitRequest request;
  };
  std::vector<Result<std::vector<PortArtifact>>> CommitAll(std::vector<Pending> pending);
  // The same, but nothing where another process has kept the database or the objects locked for
  // `patience_ms`: `pending` then stands as it was, to be committed later.
  std::optional<std::vector<Result<std::vector<PortArtifact>>>> TryCommitAll(std::vector<Pending>* pending,
                                                                             int patience_ms);
  Result<LookupResult> Lookup(const std::string& key);
  // Forgets a cached key; the objects stay.
  Status DropKey(const std::string& key);

  // Folder for checkpoints of a key, created; survives retries and runs; removed when the key is committed.
  Result<std::filesystem::path> StateDir(const std::string& key);
  // logs/<run>/<stage>.<attempt>.log; the folder is created.
  Result<std::filesystem::path> LogPath(const std::string& run, const std::string& stage, int attempt);

  // --- Digests of workspace files ------------------------------------------------------------------------
  // SHA-256, remembered by device, inode, size, mtime and ctime. Follows symbolic links.
  Result<std::string> DigestFile(const std::filesystem::path& path);
  Result<std::vector<FileDigest>> DigestFiles(const std::vector<std::filesystem::path>& paths);
  // The digest that a folder has as an artifact; the same refusals as Staging::Seal. A file: its digest.
  Result<std::string> DigestTree(const std::filesystem::path& path);

  // --- Queries -------------------------------------------------------------------------------------------
  Result<std::vector<RunInfo>> ListRuns(const RunFilter& filter = {});  // latest first, whatever their times
  Result<RunInfo> GetRun(const std::string& run);
  // In order of start; of one stage, or (empty) of all.
  Result<std::vector<AttemptInfo>> ListAttempts(const std::string& run, const std::string& stage = {});
  // The latest attempt of that stage with a key before attempt `before` (0: any), to explain a changed key.
  Result<std::optional<AttemptInfo>> PreviousAttempt(const std::string& pipeline, const std::string& stage,
                                                     int64_t before = 0);
  // The keys that a stage has had, each once, the latest first: at most `limit`, of its last 200 attempts.
  Result<std::vector<KeyRecord>> EarlierKeys(const std::string& pipeline, const std::string& stage,
                                             size_t limit);
  // The components of a key (AttemptStart::key_components_json), "{}" where no attempt tells them.
  Result<std::string> KeyComponents(const std::string& key);
  // The run that computes the key now, if one does.
  Result<std::optional<RunInfo>> ComputingRun(const std::string& key);
  Result<std::vector<ArtifactUse>> ListArtifacts(const ArtifactFilter& filter = {});  // latest first
  Result<Artifact> GetArtifact(const std::string& digest);
  // Whether the bytes are still those that were recorded, by their fingerprints: what is wrong, or "". What
  // is damaged is set aside (unless the store is read-only).
  Result<std::string> CheckArtifact(const std::string& digest);
  // Where an artifact was made or used as an input.
  Result<std::vector<ArtifactUse>> ArtifactProducers(const std::string& digest);
  Result<std::vector<ArtifactUse>> ArtifactConsumers(const std::string& digest);
  // The attempt that made an artifact: one that computed it before one that was answered from the cache, one
  // of `run` before others, the latest. Nothing when no run is left that made it.
  Result<std::optional<MadeBy>> MakerOf(const std::string& digest, const std::string& run = {});
  // What stages made of an artifact, each output once, in order of the last time.
  Result<std::vector<MadeFrom>> MadeOf(const std::string& digest);
  Result<std::vector<MetricPoint>> Metrics(const std::string& run, const std::string& stage);
  // The last value of a metric in each run, latest first.
  Result<std::vector<MetricSample>> MetricHistory(const std::string& pipeline, const std::string& stage,
                                                  const std::string& name, int limit = 0);

  // "latest", an id, a tag (of several runs that have it the latest), or a unique beginning or ending of an
  // id. kNotFound and kInvalid (ambiguous) help.
  Result<std::string> ResolveRun(const std::string& ref);
  // "run:stage.port", "stage.port" (of the latest run that has it), "name@alias" or "name@version" of a
  // model, or at least 4 digits of a digest.
  Result<Artifact> ResolveArtifact(const std::string& ref);

  // Copies an artifact to `target`, which must not exist. Copies are writable; hard links are read-only and
  // share the store's bytes.
  Status Export(const Artifact& artifact, const std::filesystem::path& target,
                ExportMode mode = ExportMode::kClone);

  // --- Moving runs to another store ----------------------------------------------------------------------
  // Writes an archive of the runs (archive.h) to a descriptor: rows, logs, and the objects that they made or
  // read, each byte checked. kInvalid for a run that is running, kCorrupt for a damaged object.
  Result<ExportReport> ExportRuns(const std::vector<std::string>& runs, int fd);
  // Reads one. Everything is checked before anything becomes visible; what is there already is not written
  // again. kCorrupt for an archive that is damaged or cut short: nothing has changed then.
  Result<ImportReport> ImportRuns(int fd);

  // --- Models --------------------------------------------------------------------------------------------
  Result<ModelVersion> RegisterModel(const std::string& name, const std::string& digest,
                                     const std::string& run);
  Status SetAlias(const std::string& name, const std::string& alias, int version);  // moves it
  // kNotFound where the model has no such alias.
  Status RemoveAlias(const std::string& name, const std::string& alias);
  // Forgets one version; its objects go with the next Gc. kInvalid while it has an alias.
  Status RemoveModel(const std::string& name, int version);
  Result<std::vector<ModelVersion>> ListModels(const std::string& name = {});

  // --- Upkeep --------------------------------------------------------------------------------------------
  // Removes a run's rows and logs (kBusy while it is running); its objects go with the next Gc.
  Status RemoveRun(const std::string& run);
  Result<StoreUsage> Usage();
  Result<GcReport> Gc(const GcOptions& options = {});
  Result<FsckReport> Fsck(const FsckOptions& options = {});

 private:
  explicit Store(std::unique_ptr<StoreImpl> impl);
  Result<GcReport> Collect(const GcOptions& options);
  std::optional<std::vector<Result<std::vector<PortArtifact>>>> CommitWithin(std::vector<Pending>* pending,
                                                                             std::optional<int> patience_ms);
  std::unique_ptr<StoreImpl> impl_;
};

}  // namespace genflow
