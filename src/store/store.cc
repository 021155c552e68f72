#include "store/store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <ctime>

#include "base/files.h"
#include "base/sha256.h"
#include "base/strings.h"
#include "store/impl.h"
#include "store/objects.h"
#include "store/schema.h"

namespace genflow {

namespace fs = std::filesystem;

Status StoreImpl::NeedWritable() const {
  if (!read_only) return Ok();
  return MakeError(Code::kIo, root.string() + ": the store is read-only",
                   "make its folder writable, or use another with --store");
}

std::shared_ptr<const FirstMaker> StoreImpl::SharedMaker(std::string_view key, std::string_view run,
                                                         std::string_view stage) const {
  if (last_maker == nullptr || last_maker->key != key || last_maker->run != run || last_maker->stage != stage)
    last_maker = std::make_shared<const FirstMaker>(
        FirstMaker{std::string(key), std::string(run), std::string(stage)});
  return last_maker;
}

Status StoreImpl::NeedHome() {
  if (home == nullptr) {
    GF_TRY(home, StagingHome::Make(Staging()));
  }
  return Ok();
}

Result<std::optional<KeyLock>> LockKey(StoreImpl& store, const std::string& safe_name,
                                       const std::string& run) {
  if (store.key_locks == nullptr) {
    GF_TRY(store.key_locks, KeyLocks::Open(store.Locks() / "keys"));
  }
  return store.key_locks->Try(safe_name, run);
}

double Now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

Result<std::vector<std::string>> CleanStaging(StoreImpl& store, bool remove) {
  std::vector<std::string> dead;
  GF_TRY(const auto names, FolderNames(store.Staging()));
  for (const std::string& name : names) {
    const bool is_lock = name.size() > 5 && name.ends_with(".lock");
    const std::string folder = is_lock ? name.substr(0, name.size() - 5) : name;
    // What cannot be locked or removed now (another user's, or an orphaned worker still writes to it) is left
    // to a later time: it is in nobody's way.
    auto lock = FileLock::Try(store.Staging() / (folder + ".lock"), ThisProcess("cleaning " + folder));
    if (!lock.ok() || !lock->has_value()) continue;
    std::error_code ec;
    if (fs::exists(fs::symlink_status(store.Staging() / folder, ec))) dead.push_back(folder);
    if (remove) (void)RemoveTree(store.Staging() / folder);
  }
  return dead;
}

namespace {

const char* const kFolders[] = {"objects", "staging", "state", "logs", "quarantine", "locks"};

bool FileSystemIsReadOnly(const fs::path& folder) {
  struct statvfs info {};
  if (::statvfs(folder.c_str(), &info) == 0 && (info.f_flag & ST_RDONLY) != 0) return true;
  return ::access(folder.c_str(), W_OK) != 0 && (errno == EACCES || errno == EROFS);
}

uint64_t FileSize(const fs::path& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 ? static_cast<uint64_t>(info.st_size) : 0;
}

Status SetAside(StoreImpl& store, const std::string& name, const std::string& suffix) {
  const fs::path from = store.root / name;
  fs::path to = from;
  to += suffix;
  if (::rename(from.c_str(), to.c_str()) != 0 && errno != ENOENT) return ErrnoError(from.string(), errno);
  return Ok();
}

// Makes the tables, and registers the objects that are there already. The caller holds the init lock.
Status Initialize(StoreImpl& store) {
  for (const char* name : kFolders) GF_CHECK_OK(MakeDirectories(store.root / name));
  const fs::path ignore = store.root / ".gitignore";
  if (::access(ignore.c_str(), F_OK) != 0) {
    // For git's sake only: no need to sync it, nor to fail without it.
    const Fd fd(::open(ignore.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    if (fd.valid()) (void)WriteAll(fd.get(), "*\n").ok();
  }
  GF_CHECK_OK(store.db->Script("PRAGMA journal_mode=WAL"));
  GF_TRY(const auto objects, ObjectsOnDisk(store, nullptr));
  GF_TRY(auto transaction, Transaction::Begin(*store.db, true));
  GF_CHECK_OK(UpgradeSchema(*store.db));
  if (!objects.empty()) {
    std::vector<std::string> problems;
    GF_TRY(const int64_t registered, RegisterFromSidecars(store, objects, &problems));
    store.notices.push_back(store.DbPath().string() + " was not there: a new one was made from " +
                            Counted(registered, "object") +
                            "; logs are there, the history of runs and their metrics is not");
    for (std::string& problem : problems) store.notices.push_back(std::move(problem));
  }
  GF_CHECK_OK(transaction.Commit());
  GF_CHECK_OK(SyncPath(store.root));
  return SyncPath(store.root.parent_path());
}

Result<SchemaState> OpenDatabaseOnce(StoreImpl& store, const StoreOptions& options) {
  if (!store.frozen && !store.use) {
    GF_TRY(auto use, SharedLock::Wait(store.UseLock(), SharedLock::Mode::kShared));
    store.use.emplace(std::move(use));
  }
  DbMode mode = DbMode::kReadWrite;
  if (store.frozen) {
    // Without a write-ahead log the file is all there is, and needs no shared memory beside it.
    const bool has_log = FileSize(store.root / "store.db-wal") > 0;
    mode = has_log ? DbMode::kReadOnly : DbMode::kImmutable;
  }
  GF_TRY(store.db, Db::Open(store.DbPath(), mode, options.busy_timeout_ms));
  return CheckSchema(*store.db, store.DbPath().string());
}

// Opens store.db and reads what it is. On a full disk the ballast makes room for the files that SQLite needs
// beside it.
Result<SchemaState> OpenDatabase(StoreImpl& store, const StoreOptions& options) {
  while (true) {
    auto state = OpenDatabaseOnce(store, options);
    if (state.ok()) return state;
    store.db.reset();
    const bool full = state.error().code == Code::kExhausted && !store.frozen;
    if (!full || !store.Spare().GiveSome()) return state;
  }
}

// Runs of processes that are gone.
Status CloseDeadRuns(StoreImpl& store) {
  std::vector<std::string> running;
  {
    GF_TRY(auto query, store.db->Prepare("SELECT id FROM runs WHERE status = 'running'"));
    while (true) {
      GF_TRY(const bool row, query.Step());
      if (!row) break;
      running.push_back(query.Text(0));
    }
  }
  for (const std::string& run : running) {
    auto lock = FileLock::Try(store.RunLock(run), ThisProcess("closing " + run));
    if (!lock.ok() || !lock->has_value()) continue;  // alive, or another user's
    GF_TRY(auto transaction, Transaction::Begin(*store.db, false));
    GF_CHECK_OK(store.db->Do(
        "UPDATE runs SET status = 'interrupted', finished = max(started, "
        "ifnull((SELECT max(max(started, finished)) FROM attempts WHERE run = runs.id), 0), "
        "ifnull((SELECT max(time) FROM metrics WHERE run = runs.id), 0)) WHERE id = ? AND status = 'running'",
        run));
    if (store.db->Changes() > 0) {
      GF_CHECK_OK(
          store.db->Do("UPDATE attempts SET status = 'interrupted', finished = max(started, (SELECT finished "
                       "FROM runs WHERE id = attempts.run)), error_code = 'interrupted', "
                       "error_message = 'the process that ran it is gone' "
                       "WHERE run = ? AND status = 'running'",
                       run));
    }
    GF_CHECK_OK(transaction.Commit());
  }
  return Ok();
}

Error NoStore(const fs::path& root) {
  return MakeError(Code::kNotFound, root.string() + ": there is no run store here",
                   "run a pipeline first, or say where the store is with --store");
}

Result<std::unique_ptr<StoreImpl>> OpenImpl(const fs::path& where, const StoreOptions& options) {
  auto store = std::make_unique<StoreImpl>();
  std::error_code ec;
  store->root = fs::absolute(where, ec).lexically_normal();
  if (!store->root.has_filename()) store->root = store->root.parent_path();
  store->objects_folder = std::make_shared<const fs::path>(store->Objects());
  const bool create = options.create && !options.read_only;
  const fs::file_type found = fs::status(store->root, ec).type();
  const bool folder_exists = found == fs::file_type::directory;
  if (!folder_exists) {
    // One look decides: another process may be making the folder.
    if (fs::exists(fs::file_status(found)) || fs::is_symlink(store->root, ec)) {
      return InvalidError(store->root.string() + ": not a folder, so it cannot be the run store");
    }
    if (!create) return NoStore(store->root);
    if (auto made = MakeDirectories(store->root); !made.ok()) {
      Error error = made.error();
      error.hint = "the run store is kept beside the pipeline; give another folder with --store";
      return error;
    }
  }
  if (::access(store->root.c_str(), R_OK | X_OK) != 0) {
    Error error = ErrnoError(store->root.string(), errno);
    error.hint = "the run store is another user's; ask for the right to read it, or use another with --store";
    return error;
  }
  store->frozen = folder_exists && FileSystemIsReadOnly(store->root);
  store->read_only = options.read_only || store->frozen;
  if (store->frozen) {
    if (FileSize(store->DbPath()) == 0) return NoStore(store->root);
    GF_TRY(const SchemaState state, OpenDatabase(*store, options));
    if (state != SchemaState::kCurrent) {
      return InvalidError(
          store->DbPath().string() + ": made by an older genflow and cannot be upgraded read-only",
          "make the folder writable once");
    }
    return store;
  }
  if (FileSize(store->DbPath()) > 0) {
    GF_TRY(const SchemaState state, OpenDatabase(*store, options));
    if (state == SchemaState::kCurrent) return store;
    store->db.reset();
  }
  GF_TRY(const auto first_objects, FolderNames(store->Objects()));
  if (!create && FileSize(store->DbPath()) == 0 && first_objects.empty()) return NoStore(store->root);
  GF_TRY(const auto alone, SharedLock::Wait(store->Locks() / "init", SharedLock::Mode::kExclusive));
  if (FileSize(store->DbPath()) == 0 && FileSize(store->root / "store.db-wal") > 0) {
    // The log of a database that is gone: SQLite would delete it.
    GF_CHECK_OK(SetAside(*store, "store.db-wal", ".left-" + TimeStamp()));
    store->notices.push_back(store->root.string() +
                             ": a write-ahead log without its store.db was set aside as "
                             "store.db-wal.left-*");
  }
  GF_TRY(const SchemaState state, OpenDatabase(*store, options));
  if (state == SchemaState::kEmpty) {
    GF_CHECK_OK(Initialize(*store));
  } else if (state == SchemaState::kOlder) {
    GF_TRY(auto transaction, Transaction::Begin(*store->db, true));
    GF_CHECK_OK(UpgradeSchema(*store->db));
    GF_CHECK_OK(transaction.Commit());
  }
  return store;
}

}  // namespace

Store::Store(std::unique_ptr<StoreImpl> impl) : impl_(std::move(impl)) {}
Store::Store(Store&&) noexcept = default;
Store& Store::operator=(Store&&) noexcept = default;
Store::~Store() = default;

Result<Store> Store::Open(const fs::path& root, const StoreOptions& options) {
  GF_TRY(auto impl, OpenImpl(root, options));
  if (!impl->frozen) {
    if (auto cleaned = CleanStaging(*impl, true); !cleaned.ok()) return cleaned.error();
    // On a full disk, or where another process has the database, a later command does it.
    const Status closed = CloseDeadRuns(*impl);
    if (!closed.ok() && closed.error().code != Code::kExhausted && closed.error().code != Code::kIo)
      return closed.error();
    if (!impl->read_only) impl->Spare().Fill();
  }
  return Store(std::move(impl));
}

Result<Store> Store::Rebuild(const fs::path& root) {
  const std::string suffix = ".damaged-" + TimeStamp() + "-" + RandomName(4);
  {
    StoreImpl store;
    std::error_code ec;
    store.root = fs::absolute(root, ec).lexically_normal();
    if (!fs::is_directory(store.Objects(), ec)) return NoStore(store.root);
    GF_TRY(const auto alone, SharedLock::Wait(store.Locks() / "init", SharedLock::Mode::kExclusive));
    GF_TRY(const auto names, FolderNames(store.Locks()));
    for (const std::string& name : names) {
      if (name == "init" || name == "objects" || name == "use" || name == "keys") continue;
      LockHolder holder;
      GF_TRY(const auto lock, FileLock::Try(store.Locks() / name, ThisProcess("rebuilding"), &holder));
      if (!lock) {
        return MakeError(
            Code::kBusy,
            store.root.string() + ": process " + std::to_string(holder.pid) + " is using the store",
            "wait for it to finish, or stop it");
      }
    }
    GF_TRY(const auto sole, SharedLock::Try(store.UseLock(), SharedLock::Mode::kExclusive));
    if (!sole) {
      return MakeError(Code::kBusy, store.root.string() + ": another process is using the store",
                       "wait for it to finish, or stop it");
    }
    GF_CHECK_OK(SetAside(store, "store.db", suffix));
    GF_CHECK_OK(SetAside(store, "store.db-wal", suffix));
    GF_CHECK_OK(SetAside(store, "store.db-shm", suffix));
  }
  GF_TRY(auto rebuilt, Open(root));
  auto& notices = rebuilt.impl_->notices;
  notices.insert(notices.begin(), rebuilt.impl_->DbPath().string() + " was set aside as store.db" + suffix);
  return rebuilt;
}

const fs::path& Store::root() const { return impl_->root; }
bool Store::read_only() const { return impl_->read_only; }
const std::vector<std::string>& Store::notices() const { return impl_->notices; }

Result<FileLock> Store::LockPipeline(const std::string& pipeline) {
  GF_CHECK_OK(impl_->NeedWritable());
  const fs::path path = impl_->Locks() / ("pipeline-" + Sha256Hex(pipeline).substr(0, 16));
  LockHolder holder;
  GF_TRY(auto lock, FileLock::Try(path, ThisProcess(pipeline), &holder));
  if (lock) return std::move(*lock);
  std::string who = "another process";
  if (holder.pid != 0) {
    const auto since = static_cast<std::time_t>(holder.since);
    struct tm parts {};
    ::localtime_r(&since, &parts);
    char time[32];
    std::strftime(time, sizeof time, "%Y-%m-%d %H:%M:%S", &parts);
    who = (holder.run.empty() ? std::string("a run") : "run " + holder.run) + " (process " +
          std::to_string(holder.pid) + " on " + holder.host + ", since " + time + ")";
  }
  return MakeError(Code::kBusy, pipeline + ": is being run by " + who,
                   "wait for it to finish, or stop it with `kill " +
                       (holder.pid != 0 ? std::to_string(holder.pid) : std::string("PID")) + "`");
}

Status Store::DescribePipelineLock(FileLock& lock, const std::string& pipeline, const std::string& run) {
  return lock.Describe(ThisProcess(pipeline, run));
}

Result<std::optional<KeyLock>> Store::TryLockKey(const std::string& key, const std::string& run,
                                                 std::string* holder) {
  GF_CHECK_OK(impl_->NeedWritable());
  const std::string name = SafeName(key);
  GF_TRY(auto lock, LockKey(*impl_, name, run));
  if (lock || holder == nullptr) return lock;
  *holder = impl_->key_locks->HeldFor(name);
  if (!holder->empty()) return lock;
  GF_TRY(auto query, impl_->db->Prepare(
                         "SELECT run FROM attempts WHERE key = ? AND status = 'running' ORDER BY id DESC"));
  GF_TRY(const bool known, query.Bind(key).Step());
  if (known) *holder = query.Text(0);
  return lock;
}

Result<fs::path> Store::StateDir(const std::string& key) {
  GF_CHECK_OK(impl_->NeedWritable());
  GF_CHECK_OK(impl_->NeedHome());
  const fs::path folder = impl_->State() / SafeName(key);
  GF_CHECK_OK(impl_->home->MakeState(folder));
  return folder;
}

Result<fs::path> Store::LogPath(const std::string& run, const std::string& stage, int attempt) {
  GF_CHECK_OK(impl_->NeedWritable());
  const fs::path path = impl_->root / LogName(run, stage, attempt);
  GF_CHECK_OK(MakeDirectories(path.parent_path()));
  return path;
}

Store::WriteGroup::WriteGroup(Store& store) : store_(&store) { store.impl_->db->BeginGroup(); }

Result<std::unique_ptr<Store::WriteGroup>> Store::WriteGroup::Try(Store& store, int patience_ms) {
  GF_TRY(const bool begun, store.impl_->db->TryBeginGroup(patience_ms));
  if (!begun) return std::unique_ptr<WriteGroup>();
  return std::unique_ptr<WriteGroup>(new WriteGroup(store, Begun{}));
}

Store::WriteGroup::~WriteGroup() { (void)End(); }

Status Store::WriteGroup::End() {
  if (store_ == nullptr) return Ok();
  return std::exchange(store_, nullptr)->impl_->db->EndGroup();
}

}  // namespace genflow
