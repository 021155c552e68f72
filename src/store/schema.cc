#include "store/schema.h"

#include <string>

namespace genflow {

namespace {

constexpr char kVersion1[] = R"sql(
CREATE TABLE runs (
  id TEXT PRIMARY KEY, pipeline TEXT NOT NULL, file TEXT NOT NULL, params TEXT NOT NULL, argv TEXT NOT NULL,
  version TEXT NOT NULL, pid INTEGER NOT NULL, host TEXT NOT NULL, started REAL NOT NULL,
  finished REAL NOT NULL DEFAULT 0, status TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX runs_started ON runs(started);
CREATE INDEX runs_pipeline ON runs(pipeline, started);
CREATE INDEX runs_running ON runs(id) WHERE status = 'running';

CREATE TABLE tags (
  run TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE, tag TEXT NOT NULL,
  PRIMARY KEY (run, tag)) WITHOUT ROWID;

CREATE TABLE attempts (
  id INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
  stage TEXT NOT NULL, uses TEXT NOT NULL, attempt INTEGER NOT NULL, status TEXT NOT NULL, key TEXT NOT NULL,
  components TEXT NOT NULL, started REAL NOT NULL, finished REAL NOT NULL DEFAULT 0,
  exit_code INTEGER NOT NULL DEFAULT 0, exit_signal INTEGER NOT NULL DEFAULT 0,
  error_code TEXT NOT NULL DEFAULT '', error_message TEXT NOT NULL DEFAULT '',
  error_hint TEXT NOT NULL DEFAULT '', summary TEXT NOT NULL DEFAULT '', peak_rss INTEGER NOT NULL DEFAULT 0,
  cpu REAL NOT NULL DEFAULT 0, log TEXT NOT NULL DEFAULT '', source_run TEXT NOT NULL DEFAULT '',
  source_seconds REAL NOT NULL DEFAULT 0);
CREATE INDEX attempts_run ON attempts(run);
CREATE INDEX attempts_stage ON attempts(stage);
CREATE INDEX attempts_key ON attempts(key);

CREATE TABLE artifacts (
  digest TEXT PRIMARY KEY, type TEXT NOT NULL, is_tree INTEGER NOT NULL, bytes INTEGER NOT NULL,
  files INTEGER NOT NULL, created REAL NOT NULL, key TEXT NOT NULL, run TEXT NOT NULL, stage TEXT NOT NULL,
  port TEXT NOT NULL, lost INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE TABLE artifact_files (
  digest TEXT NOT NULL REFERENCES artifacts(digest) ON DELETE CASCADE, path TEXT NOT NULL, kind TEXT NOT NULL,
  executable INTEGER NOT NULL, size INTEGER NOT NULL, sha256 TEXT NOT NULL, target TEXT NOT NULL,
  ino INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL,
  PRIMARY KEY (digest, path)) WITHOUT ROWID;

CREATE TABLE attempt_inputs (
  attempt INTEGER NOT NULL REFERENCES attempts(id) ON DELETE CASCADE, seq INTEGER NOT NULL,
  port TEXT NOT NULL, digest TEXT NOT NULL, type TEXT NOT NULL, source TEXT NOT NULL,
  PRIMARY KEY (attempt, seq)) WITHOUT ROWID;
CREATE INDEX attempt_inputs_digest ON attempt_inputs(digest);
CREATE TABLE attempt_outputs (
  attempt INTEGER NOT NULL REFERENCES attempts(id) ON DELETE CASCADE, seq INTEGER NOT NULL,
  port TEXT NOT NULL, digest TEXT NOT NULL, type TEXT NOT NULL,
  PRIMARY KEY (attempt, seq)) WITHOUT ROWID;
CREATE INDEX attempt_outputs_digest ON attempt_outputs(digest);

CREATE TABLE cache (
  key TEXT PRIMARY KEY, attempt INTEGER NOT NULL, run TEXT NOT NULL, stage TEXT NOT NULL,
  summary TEXT NOT NULL, seconds REAL NOT NULL, created REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE cache_outputs (
  key TEXT NOT NULL REFERENCES cache(key) ON DELETE CASCADE, seq INTEGER NOT NULL, port TEXT NOT NULL,
  digest TEXT NOT NULL, type TEXT NOT NULL, PRIMARY KEY (key, seq)) WITHOUT ROWID;
CREATE INDEX cache_outputs_digest ON cache_outputs(digest);

CREATE TABLE metrics (
  run TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE, stage TEXT NOT NULL, name TEXT NOT NULL,
  step INTEGER NOT NULL, value REAL, time REAL NOT NULL,
  PRIMARY KEY (run, stage, name, step)) WITHOUT ROWID;

CREATE TABLE durations (
  pipeline TEXT NOT NULL, stage TEXT NOT NULL, seconds REAL NOT NULL,
  PRIMARY KEY (pipeline, stage)) WITHOUT ROWID;

CREATE TABLE models (
  name TEXT NOT NULL, version INTEGER NOT NULL, digest TEXT NOT NULL, run TEXT NOT NULL, created REAL NOT NULL,
  PRIMARY KEY (name, version)) WITHOUT ROWID;
CREATE TABLE model_aliases (
  name TEXT NOT NULL, alias TEXT NOT NULL, version INTEGER NOT NULL,
  PRIMARY KEY (name, alias)) WITHOUT ROWID;

CREATE TABLE file_digests (
  dev INTEGER NOT NULL, ino INTEGER NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
  ctime_ns INTEGER NOT NULL, digest TEXT NOT NULL, checked_ns INTEGER NOT NULL,
  PRIMARY KEY (dev, ino)) WITHOUT ROWID;
)sql";

constexpr char kVersion2[] = R"sql(
ALTER TABLE runs ADD COLUMN stages TEXT NOT NULL DEFAULT '[]';
ALTER TABLE attempts ADD COLUMN retry_at REAL NOT NULL DEFAULT 0;
)sql";

// runs.seq: the order in which the store learnt of its runs. Clocks jump; this does not.
constexpr char kVersion3[] = R"sql(
ALTER TABLE runs ADD COLUMN seq INTEGER NOT NULL DEFAULT 0;
UPDATE runs SET seq = o.place FROM (SELECT id, row_number() OVER (ORDER BY started, id) AS place FROM runs) AS o
  WHERE o.id = runs.id;
DROP INDEX runs_started;
DROP INDEX runs_pipeline;
CREATE INDEX runs_seq ON runs(seq);
CREATE INDEX runs_pipeline ON runs(pipeline, seq);
)sql";

// runs.origins: RunStart::origins_json.
constexpr char kVersion4[] = R"sql(
ALTER TABLE runs ADD COLUMN origins TEXT NOT NULL DEFAULT '{}';
)sql";

// kMigrations[v] brings a store of version v to version v + 1.
constexpr const char* kMigrations[] = {kVersion1, kVersion2, kVersion3, kVersion4};
static_assert(std::size(kMigrations) == kSchemaVersion);

}  // namespace

Result<SchemaState> CheckSchema(Db& db, const std::string& name) {
  // One view: another process may be making the store meanwhile.
  GF_TRY(const auto view, Transaction::BeginRead(db));
  GF_TRY(const auto application, db.Number("PRAGMA application_id"));
  GF_TRY(const auto version, db.Number("PRAGMA user_version"));
  if (*application == kApplicationId) {
    if (*version == kSchemaVersion) return SchemaState::kCurrent;
    if (*version > kSchemaVersion) {
      return MakeError(Code::kUnsupported,
                       name + ": the store was made by a newer genflow (schema " + std::to_string(*version) +
                           ", this one knows up to " + std::to_string(kSchemaVersion) + ")",
                       "upgrade genflow, or use another store with --store");
    }
    return SchemaState::kOlder;
  }
  GF_TRY(const auto tables, db.Number("SELECT count(*) FROM sqlite_master"));
  if (*application == 0 && *version == 0 && *tables == 0) return SchemaState::kEmpty;
  return InvalidError(name + ": not a genflow store, but the database of another program",
                      "use another folder with --store");
}

Status UpgradeSchema(Db& db) {
  GF_TRY(const auto version, db.Number("PRAGMA user_version"));
  for (int64_t from = *version; from < kSchemaVersion; ++from) GF_CHECK_OK(db.Script(kMigrations[from]));
  GF_CHECK_OK(db.Script(("PRAGMA application_id=" + std::to_string(kApplicationId)).c_str()));
  return db.Script(("PRAGMA user_version=" + std::to_string(kSchemaVersion)).c_str());
}

}  // namespace genflow
