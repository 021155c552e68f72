#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>
#include <set>

#include "base/files.h"
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

Result<std::optional<LockHolder>> Store::KeyHolder(const std::string& key) {
  const auto path = impl_->Locks() / ("key-" + SafeName(key));
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) {
    if (errno == ENOENT || errno == EACCES) return std::optional<LockHolder>();
    return ErrnoError(path.string(), errno);
  }
  // A shared lock fails while somebody holds the exclusive one; ours is gone with the descriptor.
  if (::flock(fd.get(), LOCK_SH | LOCK_NB) == 0 || errno != EWOULDBLOCK) return std::optional<LockHolder>();
  return std::optional<LockHolder>(FileLock::ReadHolder(path));
}

}  // namespace genflow
