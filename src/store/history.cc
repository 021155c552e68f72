#include <set>

#include "store/impl.h"
#include "store/store.h"

namespace genflow {

namespace {

constexpr int kAttemptsLookedAt = 200;

}  // namespace

Result<std::vector<KeyRecord>> Store::EarlierKeys(const std::string& pipeline, const std::string& stage,
                                                  size_t limit) {
  std::vector<KeyRecord> records;
  {
    GF_TRY(auto query,
           impl_->db->Prepare("SELECT a.id, a.run, a.key, a.status, a.started FROM attempts a JOIN runs r ON "
                              "r.id = a.run WHERE a.stage = ?1 AND r.pipeline = ?2 AND a.key <> '' AND "
                              "a.status <> 'skipped' ORDER BY a.id DESC LIMIT ?3"));
    query.Bind(stage, pipeline, kAttemptsLookedAt);
    std::set<std::string, std::less<>> seen;
    while (records.size() < limit) {
      GF_TRY(const bool row, query.Step());
      if (!row) break;
      if (!seen.emplace(query.View(2)).second) continue;
      KeyRecord record;
      record.attempt = query.Int(0);
      record.run = query.Text(1);
      record.key = query.Text(2);
      record.status = AttemptStatusFromName(query.View(3)).value_or(AttemptStatus::kFailed);
      record.started = query.Real(4);
      records.push_back(std::move(record));
    }
  }
  for (KeyRecord& record : records) {
    GF_TRY(record.components_json, KeyComponents(record.key));
  }
  return records;
}

Result<std::string> Store::KeyComponents(const std::string& key) {
  // An attempt that was answered from the cache keeps none: the one that computed the key has them.
  GF_TRY(auto query, impl_->db->Prepare("SELECT components FROM attempts WHERE key = ? AND components NOT IN "
                                        "('', '{}') ORDER BY id DESC LIMIT 1"));
  GF_TRY(const bool row, query.Bind(key).Step());
  return row ? query.Text(0) : "{}";
}

Result<std::optional<RunInfo>> Store::ComputingRun(const std::string& key) {
  std::string run;
  {
    GF_TRY(auto query,
           impl_->db->Prepare("SELECT run FROM attempts WHERE key = ? AND status = 'running' ORDER "
                              "BY id DESC LIMIT 1"));
    GF_TRY(const bool found, query.Bind(key).Step());
    if (!found) return std::optional<RunInfo>();
    run = query.Text(0);
  }
  GF_TRY(auto info, GetRun(run));
  return std::optional<RunInfo>(std::move(info));
}

}  // namespace genflow
