// What the files that implement Store share.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "store/ballast.h"
#include "store/db.h"
#include "store/key_locks.h"
#include "store/locks.h"
#include "store/staging_home.h"
#include "store/store.h"

namespace genflow {

struct StoreImpl {
  std::filesystem::path root;  // absolute
  bool read_only = false;      // no changes but upkeep
  bool frozen = false;         // nothing here can be written, not even a lock file
  std::unique_ptr<Db> db;
  std::vector<std::string> notices;
  std::optional<SharedLock> use;              // of UseLock, unless the store is frozen
  std::map<std::string, FileLock> live_runs;  // started here and not finished
  std::shared_ptr<KeyLocks> key_locks;        // opened when the first key is locked
  std::shared_ptr<StagingHome> home;          // made when the first attempt is staged
  // What a power loss would take: seconds of work in rows that are not on the disk yet, and whether there are
  // rows of attempts that ran at all.
  double work_at_risk = 0;
  bool attempts_at_risk = false;
  // What artifacts refer to instead of having it each: Objects(), and who made the one that was read last.
  std::shared_ptr<const std::filesystem::path> objects_folder;
  mutable std::shared_ptr<const FirstMaker> last_maker;

  std::shared_ptr<const FirstMaker> SharedMaker(std::string_view key, std::string_view run,
                                                std::string_view stage) const;

  std::filesystem::path DbPath() const { return root / "store.db"; }
  std::filesystem::path Objects() const { return root / "objects"; }
  std::filesystem::path Staging() const { return root / "staging"; }
  std::filesystem::path State() const { return root / "state"; }
  std::filesystem::path Logs() const { return root / "logs"; }
  std::filesystem::path Quarantine() const { return root / "quarantine"; }
  std::filesystem::path Locks() const { return root / "locks"; }
  std::filesystem::path RunLock(const std::string& run) const { return Locks() / ("run-" + run); }
  // Held shared from the first rename into objects/ to the commit of the row; held alone by whoever takes
  // objects away. An object without a row is nobody's while it is held alone.
  std::filesystem::path ObjectsLock() const { return Locks() / "objects"; }

  // Held shared by every process that has store.db open: SQLite deletes the write-ahead log by its name when
  // it closes, whatever file has that name by then. Held alone by whoever replaces store.db.
  std::filesystem::path UseLock() const { return Locks() / "use"; }

  Ballast Spare() const { return Ballast(root / "ballast"); }

  // kInvalid when the store was opened read-only.
  Status NeedWritable() const;
  // Makes `home` if there is none yet.
  Status NeedHome();
};

// `work`; where it fails for want of room, once more with all of the ballast's: also what frees space needs
// some.
template <class Work>
auto WithBallast(const StoreImpl& store, const Work& work) {
  auto result = work();
  if (!result.ok() && result.error().code == Code::kExhausted && store.Spare().GiveAll()) result = work();
  return result;
}

// The lock of the key whose folder in state/ has this name. Nothing when it is held.
Result<std::optional<KeyLock>> LockKey(StoreImpl& store, const std::string& safe_name,
                                       const std::string& run);

// Removes staging folders of processes that are gone (`remove` false: only names them). Returns names.
Result<std::vector<std::string>> CleanStaging(StoreImpl& store, bool remove);

double Now();                           // seconds since the Unix epoch
std::string TimeStamp();                // "20261124-160712", UTC, for names of things set aside
std::string RandomName(size_t length);  // lower-case letters and digits
// A file name that stands for any text: letters, digits, '_', '-' and inner '.' stay, the rest is %XX.
std::string SafeName(std::string_view text);
// "logs/<run>/<stage>.<attempt>.log", relative to the store's folder.
std::string LogName(const std::string& run, const std::string& stage, int attempt);
bool IsDigest(std::string_view text);  // 64 lower-case hexadecimal digits
// Names in a folder; empty when it does not exist.
Result<std::vector<std::string>> FolderNames(const std::filesystem::path& folder);
uint64_t TreeBytes(const std::filesystem::path& path);  // of regular files; what cannot be read counts 0
// Seconds since the newest change in `path` itself or its direct children.
double AgeOf(const std::filesystem::path& path);

}  // namespace genflow
