// SQLite behind an interface of ours: statements that are prepared once, errors as values.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace genflow {

class Db;

// A prepared statement on loan from its Db; goes back, reset, on destruction.
class Statement {
 public:
  Statement(Statement&& other) noexcept
      : db_(other.db_), stmt_(std::exchange(other.stmt_, nullptr)), next_(other.next_) {}
  Statement& operator=(Statement&&) = delete;
  ~Statement();

  // Binds the parameters, in order from the first. Texts are copied.
  template <class... Values>
  Statement& Bind(const Values&... values) {
    Restart();
    (BindOne(values), ...);
    return *this;
  }
  // True: on a row. False: done.
  Result<bool> Step();
  // Runs to the end.
  Status Run();

  bool IsNull(int column) const;
  int64_t Int(int column) const;
  double Real(int column) const;
  std::string Text(int column) const;
  std::string_view View(int column) const;  // until the next Step

 private:
  friend class Db;
  Statement(Db* db, sqlite3_stmt* stmt) : db_(db), stmt_(stmt) {}
  void Restart();
  void BindOne(int64_t value);
  void BindOne(uint64_t value) { BindOne(static_cast<int64_t>(value)); }
  void BindOne(int value) { BindOne(static_cast<int64_t>(value)); }
  void BindOne(bool value) { BindOne(static_cast<int64_t>(value)); }
  void BindOne(double value);
  void BindOne(std::string_view value);
  void BindOne(const std::string& value) { BindOne(std::string_view(value)); }
  void BindOne(const char* value) { BindOne(std::string_view(value)); }
  void BindOne(std::nullptr_t);

  Db* db_;
  sqlite3_stmt* stmt_;
  int next_ = 1;
};

enum class DbMode { kReadWrite, kReadOnly, kImmutable };  // kReadWrite creates the file

// Of the SQLite library that is loaded, "3.40.1".
std::string SqliteVersion();

class Db {
 public:
  // Statements point to the Db, which must outlive them.
  static Result<std::unique_ptr<Db>> Open(const std::filesystem::path& path, DbMode mode,
                                          int busy_timeout_ms);
  ~Db();
  Db(const Db&) = delete;
  Db& operator=(const Db&) = delete;

  // `sql` is one statement. The same text is compiled once.
  Result<Statement> Prepare(std::string_view sql);
  // Prepare, Bind and Run.
  template <class... Values>
  Status Do(std::string_view sql, const Values&... values) {
    auto statement = Prepare(sql);
    if (!statement.ok()) return statement.error();
    return statement->Bind(values...).Run();
  }
  // Several statements without parameters.
  Status Script(const char* sql);
  // The single number that a query gives; nothing without a row.
  template <class... Values>
  Result<std::optional<int64_t>> Number(std::string_view sql, const Values&... values) {
    auto statement = Prepare(sql);
    if (!statement.ok()) return statement.error();
    auto row = statement->Bind(values...).Step();
    if (!row.ok()) return row.error();
    if (!*row) return std::optional<int64_t>();
    return std::optional<int64_t>(statement->Int(0));
  }

  // From here to EndGroup(), transactions that need not be durable join one that is committed at the end, or
  // when a durable one begins: many small ones cost as much as one. Other writers wait meanwhile. What is
  // rolled back inside leaves the rest as it is. Groups do not nest.
  void BeginGroup() { grouping_ = true; }
  // The same, begun at once: writes of the group do not wait for the database. False where another process
  // has kept it locked for `patience_ms`; there is no group then.
  Result<bool> TryBeginGroup(int patience_ms);
  Status EndGroup();
  // Commits what is there and goes on grouping: before waiting for a lock whose holder may want to write.
  Status FlushGroup();

  int64_t LastRowId() const;
  int64_t Changes() const;
  Error MakeLastError();

 private:
  friend class Statement;
  friend class Transaction;
  Db() = default;
  Status SetDurable(bool durable);
  // False: locked for as long by another process.
  Result<bool> TryBegin(bool durable, int patience_ms);

  std::filesystem::path path_;
  int busy_timeout_ms_ = 0;
  bool was_locked_ = false;  // the last error: another process had the database
  sqlite3* db_ = nullptr;
  bool durable_ = false;
  bool grouping_ = false, group_open_ = false;
  std::map<std::string, std::vector<sqlite3_stmt*>, std::less<>> free_;
};

// A write transaction; rolled back unless committed. Durable: on the disk when Commit returns; otherwise
// after a power loss the store may be as it was before it (never in between).
class Transaction {
 public:
  // One that is not durable joins an open group, unless it stands `alone`.
  static Result<Transaction> Begin(Db& db, bool durable, bool alone = false);
  // One that stands alone; nothing where another process has kept the database locked for `patience_ms`.
  static Result<std::optional<Transaction>> Try(Db& db, bool durable, int patience_ms);
  // A read transaction: one consistent view over several queries.
  static Result<Transaction> BeginRead(Db& db);
  Transaction(Transaction&& other) noexcept : db_(std::exchange(other.db_, nullptr)), inner_(other.inner_) {}
  ~Transaction();
  Status Commit();

 private:
  Transaction(Db* db, bool inner) : db_(db), inner_(inner) {}
  Db* db_;
  bool inner_;  // a savepoint of the open group
};

}  // namespace genflow
