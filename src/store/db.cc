#include "store/db.h"

#include <fcntl.h>
#include <sqlite3.h>

#include <cerrno>

namespace genflow {

namespace fs = std::filesystem;

namespace {

// SQLite tells that a call failed and seldom with what: errno is cleared before it is called and read after.
// Where it cannot open a file it tries others, so that the first failure counts.
thread_local int t_open_errno = 0;

int OpenNotingErrno(const char* path, int flags, int mode) {
  const int fd = ::open(path, flags, mode);
  if (fd < 0 && t_open_errno == 0) t_open_errno = errno;
  return fd;
}

void NoteOpenErrors() {
  [[maybe_unused]] static const bool once = [] {
    sqlite3_vfs* vfs = sqlite3_vfs_find(nullptr);
    return vfs != nullptr && vfs->xSetSystemCall != nullptr &&
           vfs->xSetSystemCall(vfs, "open", reinterpret_cast<sqlite3_syscall_ptr>(&OpenNotingErrno)) ==
               SQLITE_OK;
  }();
}

void ForgetErrno() { errno = t_open_errno = 0; }
int LastErrno() { return t_open_errno != 0 ? t_open_errno : errno; }

}  // namespace

std::string SqliteVersion() { return sqlite3_libversion(); }

Statement::~Statement() {
  if (stmt_ == nullptr) return;
  sqlite3_reset(stmt_);
  sqlite3_clear_bindings(stmt_);
  const char* sql = sqlite3_sql(stmt_);
  auto found = db_->free_.find(std::string_view(sql));
  if (found == db_->free_.end()) found = db_->free_.emplace(sql, std::vector<sqlite3_stmt*>()).first;
  found->second.push_back(stmt_);
}

void Statement::Restart() {
  sqlite3_reset(stmt_);
  next_ = 1;
}
void Statement::BindOne(int64_t value) { sqlite3_bind_int64(stmt_, next_++, value); }
void Statement::BindOne(double value) { sqlite3_bind_double(stmt_, next_++, value); }
void Statement::BindOne(std::string_view value) {
  sqlite3_bind_text64(stmt_, next_++, value.data() != nullptr ? value.data() : "", value.size(),
                      SQLITE_TRANSIENT, SQLITE_UTF8);
}
void Statement::BindOne(std::nullptr_t) { sqlite3_bind_null(stmt_, next_++); }

Result<bool> Statement::Step() {
  ForgetErrno();
  const int rc = sqlite3_step(stmt_);
  if (rc == SQLITE_ROW) return true;
  if (rc == SQLITE_DONE) return false;
  Error error = db_->MakeLastError();
  sqlite3_reset(stmt_);
  return error;
}

Status Statement::Run() {
  while (true) {
    GF_TRY(const bool row, Step());
    if (!row) break;
  }
  sqlite3_reset(stmt_);
  return Ok();
}

bool Statement::IsNull(int column) const { return sqlite3_column_type(stmt_, column) == SQLITE_NULL; }
int64_t Statement::Int(int column) const { return sqlite3_column_int64(stmt_, column); }
double Statement::Real(int column) const { return sqlite3_column_double(stmt_, column); }
std::string Statement::Text(int column) const { return std::string(View(column)); }
std::string_view Statement::View(int column) const {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(stmt_, column));
  if (text == nullptr) return {};
  return {text, static_cast<size_t>(sqlite3_column_bytes(stmt_, column))};
}

Result<std::unique_ptr<Db>> Db::Open(const fs::path& path, DbMode mode, int busy_timeout_ms) {
  std::unique_ptr<Db> db(new Db);
  db->path_ = path;
  int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  std::string name = path.string();
  if (mode == DbMode::kReadWrite) {
    flags |= SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  } else {
    flags |= SQLITE_OPEN_READONLY;
    if (mode == DbMode::kImmutable) {
      std::string escaped;
      for (const char c : name) {
        if (c == '%')
          escaped += "%25";
        else if (c == '?')
          escaped += "%3f";
        else if (c == '#')
          escaped += "%23";
        else
          escaped += c;
      }
      name = "file:" + escaped + "?immutable=1";
      flags |= SQLITE_OPEN_URI;
    }
  }
  NoteOpenErrors();
  ForgetErrno();
  if (sqlite3_open_v2(name.c_str(), &db->db_, flags, nullptr) != SQLITE_OK) return db->MakeLastError();
  db->busy_timeout_ms_ = busy_timeout_ms;
  sqlite3_busy_timeout(db->db_, busy_timeout_ms);
  GF_CHECK_OK(
      db->Script("PRAGMA foreign_keys=ON; PRAGMA temp_store=MEMORY; PRAGMA synchronous=NORMAL; "
                 "PRAGMA cache_size=-32768;"));
  return db;
}

Db::~Db() {
  for (auto& [sql, statements] : free_) {
    for (sqlite3_stmt* statement : statements) sqlite3_finalize(statement);
  }
  sqlite3_close(db_);
}

Result<Statement> Db::Prepare(std::string_view sql) {
  auto found = free_.find(sql);
  if (found != free_.end() && !found->second.empty()) {
    sqlite3_stmt* statement = found->second.back();
    found->second.pop_back();
    return Statement(this, statement);
  }
  sqlite3_stmt* statement = nullptr;
  ForgetErrno();
  if (sqlite3_prepare_v3(db_, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT, &statement,
                         nullptr) != SQLITE_OK) {
    return MakeLastError();
  }
  return Statement(this, statement);
}

Status Db::Script(const char* sql) {
  ForgetErrno();
  if (sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) != SQLITE_OK) return MakeLastError();
  return Ok();
}

int64_t Db::LastRowId() const { return sqlite3_last_insert_rowid(db_); }
int64_t Db::Changes() const { return sqlite3_changes64(db_); }

Error Db::MakeLastError() {
  const int cause = LastErrno();
  const int extended = db_ != nullptr ? sqlite3_extended_errcode(db_) : SQLITE_NOMEM;
  const char* text = db_ != nullptr ? sqlite3_errmsg(db_) : "out of memory";
  const std::string where = path_.string();
  was_locked_ = (extended & 0xff) == SQLITE_BUSY;
  switch (extended & 0xff) {
    case SQLITE_FULL:
      return MakeError(Code::kExhausted, where + ": No space left on device",
                       "free some space and run again");
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return MakeError(Code::kIo, where + ": another process has kept the store's database locked",
                       "`fuser " + where + "` names those that have it open; run again when it is free");
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      if (cause == EIO) return ErrnoError(where, EIO);  // could not be read, which SQLite takes for damage
      return MakeError(
          Code::kCorrupt, where + ": the store's database is damaged (" + text + ")",
          "`genflow fsck --rebuild` sets it aside and rebuilds it from the objects, which are intact; "
          "run history and metrics are lost with it");
    case SQLITE_ERROR:  // a table or a column that is not there
    case SQLITE_CONSTRAINT:
      return MakeError(
          Code::kCorrupt, where + ": the store's database contradicts itself (" + text + ")",
          "`genflow fsck` says where; `genflow fsck --rebuild` makes a new one from the objects");
    case SQLITE_READONLY:
      return MakeError(Code::kIo, where + ": the store is read-only");
    case SQLITE_NOMEM:
      return MakeError(Code::kExhausted, where + ": out of memory");
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_CANTOPEN:
    case SQLITE_IOERR:
      if (cause == ENOSPC)
        return MakeError(Code::kExhausted, where + ": No space left on device",
                         "free some space and run again");
      if (cause == EFBIG) return MakeError(Code::kExhausted, where + ": File too large");
      if (cause != 0) return ErrnoError(where, cause);
      return MakeError(Code::kIo, where + ": " + text);
    default:
      return MakeError(Code::kInternal, where + ": " + text);
  }
}

Status Db::SetDurable(bool durable) {
  if (durable == durable_) return Ok();
  GF_CHECK_OK(Script(durable ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL"));
  durable_ = durable;
  return Ok();
}

Result<bool> Db::TryBegin(bool durable, int patience_ms) {
  GF_CHECK_OK(SetDurable(durable));
  sqlite3_busy_timeout(db_, patience_ms);
  const Status begun = Do("BEGIN IMMEDIATE");
  sqlite3_busy_timeout(db_, busy_timeout_ms_);
  if (begun.ok()) return true;
  if (was_locked_) return false;
  return begun.error();
}

Result<bool> Db::TryBeginGroup(int patience_ms) {
  GF_TRY(group_open_, TryBegin(false, patience_ms));
  grouping_ = group_open_;
  return group_open_;
}

Status Db::FlushGroup() {
  if (!std::exchange(group_open_, false)) return Ok();
  const Status committed = Do("COMMIT");
  if (!committed.ok() && sqlite3_get_autocommit(db_) == 0) (void)Do("ROLLBACK");
  return committed;
}

Status Db::EndGroup() {
  grouping_ = false;
  return FlushGroup();
}

Result<Transaction> Transaction::Begin(Db& db, bool durable, bool alone) {
  if (db.grouping_ && !durable && !alone) {
    if (!db.group_open_) {
      GF_CHECK_OK(db.SetDurable(false));
      GF_CHECK_OK(db.Do("BEGIN IMMEDIATE"));
      db.group_open_ = true;
    }
    GF_CHECK_OK(db.Do("SAVEPOINT inner"));
    return Transaction(&db, true);
  }
  GF_CHECK_OK(db.FlushGroup());
  GF_CHECK_OK(db.SetDurable(durable));
  GF_CHECK_OK(db.Do("BEGIN IMMEDIATE"));
  return Transaction(&db, false);
}

Result<std::optional<Transaction>> Transaction::Try(Db& db, bool durable, int patience_ms) {
  GF_CHECK_OK(db.FlushGroup());
  GF_TRY(const bool begun, db.TryBegin(durable, patience_ms));
  if (!begun) return std::optional<Transaction>();
  return std::optional<Transaction>(Transaction(&db, false));
}

Result<Transaction> Transaction::BeginRead(Db& db) {
  const bool inner = db.group_open_;
  GF_CHECK_OK(db.Do(inner ? "SAVEPOINT inner" : "BEGIN"));
  return Transaction(&db, inner);
}

Transaction::~Transaction() {
  // A failed statement may have rolled back already, the whole of it.
  if (db_ == nullptr) return;
  if (sqlite3_get_autocommit(db_->db_) != 0) {
    db_->group_open_ = false;
  } else if (inner_) {
    (void)db_->Do("ROLLBACK TO inner");
    (void)db_->Do("RELEASE inner");
  } else {
    (void)db_->Do("ROLLBACK");
  }
}

Status Transaction::Commit() {
  GF_CHECK_OK(db_->Do(inner_ ? "RELEASE inner" : "COMMIT"));
  db_ = nullptr;
  return Ok();
}

}  // namespace genflow
