#include <map>

#include "store/attempts.h"
#include "store/impl.h"
#include "store/objects.h"
#include "store/store.h"

namespace genflow {

namespace {

// The cache row with its outputs' artifacts; nothing when the key is unknown.
Result<std::optional<CacheHit>> LoadCacheRow(StoreImpl& store, const std::string& key) {
  CacheHit hit;
  hit.key = key;
  {
    GF_TRY(auto query,
           store.db->Prepare("SELECT attempt, run, stage, summary, seconds FROM cache WHERE key = ?"));
    GF_TRY(const bool found, query.Bind(key).Step());
    if (!found) return std::optional<CacheHit>();
    hit.attempt = query.Int(0);
    hit.run = query.Text(1);
    hit.stage = query.Text(2);
    hit.summary = query.Text(3);
    hit.seconds = query.Real(4);
  }
  GF_TRY(auto query, store.db->Prepare("SELECT c.port, c.type, " GENFLOW_ARTIFACT_COLUMNS
                                       " FROM cache_outputs c LEFT JOIN artifacts a ON a.digest = c.digest "
                                       "WHERE c.key = ? ORDER BY c.seq"));
  query.Bind(key);
  GF_TRY(hit.outputs, ReadOutputs(store, query));
  return std::optional<CacheHit>(std::move(hit));
}

}  // namespace

Result<LookupResult> Store::Lookup(const std::string& key) {
  StoreImpl& store = *impl_;
  LookupResult result;
  std::optional<CacheHit> hit;
  {
    GF_TRY(auto view, Transaction::BeginRead(*store.db));
    GF_TRY(hit, LoadCacheRow(store, key));
    GF_CHECK_OK(view.Commit());
  }
  if (!hit) return result;
  for (const PortArtifact& output : hit->outputs) {
    std::string problem;
    if (output.artifact.lost) {
      problem = "it was lost";
      if (!store.read_only) GF_CHECK_OK(DropKey(key));
    } else {
      auto verified = VerifyObject(store, output.artifact.digest);
      // A collection or a drop by another process in between: a plain miss.
      if (!verified.ok()) {
        GF_TRY(const auto known, FindArtifact(store, output.artifact.digest));
        if (!known) return result;
        return verified.error();
      }
      problem = std::move(*verified);
    }
    if (!problem.empty()) {
      result.problem = "the stored output '" + output.port + "' of stage '" + hit->stage + "' (" +
                       output.artifact.digest.substr(0, 12) + ") is damaged: " + problem;
      return result;
    }
  }
  result.hit = std::move(hit);
  return result;
}

Status Store::DropKey(const std::string& key) {
  GF_CHECK_OK(impl_->NeedWritable());
  GF_TRY(auto transaction, Transaction::Begin(*impl_->db, false));
  GF_CHECK_OK(impl_->db->Do("DELETE FROM cache WHERE key = ?", key));
  return transaction.Commit();
}

Result<int64_t> Store::RecordCached(const AttemptStart& start, const CacheHit& hit) {
  GF_CHECK_OK(impl_->NeedWritable());
  Db& db = *impl_->db;
  GF_TRY(auto transaction, Transaction::Begin(db, false));
  bool same = true;
  {
    GF_TRY(auto query,
           db.Prepare("SELECT c.digest FROM cache_outputs c JOIN artifacts a ON a.digest = c.digest AND "
                      "a.lost = 0 WHERE c.key = ? ORDER BY c.seq"));
    query.Bind(hit.key);
    for (const PortArtifact& output : hit.outputs) {
      GF_TRY(const bool row, query.Step());
      same = same && row && query.View(0) == output.artifact.digest;
    }
    GF_TRY(const auto present, db.Number("SELECT 1 FROM cache WHERE key = ?", hit.key));
    same = same && present.has_value();
  }
  if (!same) {
    return MakeError(Code::kNotFound,
                     "the stored outputs of stage '" + start.stage + "' are gone since they were found",
                     "the stage must run");
  }
  const double now = Now();
  GF_TRY(const int64_t attempt, InsertAttempt(*impl_, start, now));
  GF_CHECK_OK(InsertOutputs(db, attempt, RowsOf(hit.outputs)));
  AttemptEnd end;
  end.status = AttemptStatus::kCached;
  end.summary = hit.summary;
  GF_CHECK_OK(EndAttempt(db, attempt, end, now));
  GF_CHECK_OK(db.Do("UPDATE attempts SET source_run = ?, source_seconds = ? WHERE id = ?", hit.run,
                    hit.seconds, attempt));
  GF_CHECK_OK(transaction.Commit());
  return attempt;
}

}  // namespace genflow
