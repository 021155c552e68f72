#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/files.h"
#include "store/copy.h"
#include "store/impl.h"
#include "store/objects.h"
#include "store/store.h"

namespace genflow {

namespace fs = std::filesystem;

namespace {

Result<std::vector<ArtifactUse>> ReadUses(StoreImpl& store, Statement& query) {
  std::vector<ArtifactUse> uses;
  while (true) {
    GF_TRY(const bool row, query.Step());
    if (!row) break;
    ArtifactUse use;
    use.run = query.Text(0);
    use.pipeline = query.Text(1);
    use.stage = query.Text(2);
    use.port = query.Text(3);
    use.time = query.Real(4);
    use.artifact = RowToArtifact(store, query, 6);
    use.artifact.type = query.Text(5);
    uses.push_back(std::move(use));
  }
  return uses;
}

}  // namespace

Result<std::vector<ArtifactUse>> Store::ListArtifacts(const ArtifactFilter& filter) {
  // CROSS JOIN: attempts first, from the latest back, so that a limit ends it early however many there are.
  const std::string of_run = filter.run.empty() ? "?1 = ''" : "t.run = ?1";
  GF_TRY(auto query,
         impl_->db->Prepare(
             "SELECT t.run, r.pipeline, t.stage, o.port, t.finished, o.type, " GENFLOW_ARTIFACT_COLUMNS
             " FROM attempts t CROSS JOIN attempt_outputs o ON o.attempt = t.id CROSS JOIN runs r ON "
             "r.id = t.run CROSS JOIN artifacts a ON a.digest = o.digest WHERE " +
             of_run + " AND (?2 = '' OR t.stage = ?2) AND (?3 = '' OR o.type = ?3) " +
             "ORDER BY t.id DESC, o.seq LIMIT ?4"));
  query.Bind(filter.run, filter.stage, filter.type, filter.limit > 0 ? filter.limit : -1);
  return ReadUses(*impl_, query);
}

Result<StoreUsage> Store::Usage() {
  GF_TRY(auto query,
         impl_->db->Prepare("SELECT count(*), ifnull(sum(bytes), 0) FROM artifacts WHERE lost = 0"));
  GF_TRY(const bool row, query.Step());
  if (!row) return StoreUsage{};
  return StoreUsage{static_cast<uint64_t>(query.Int(0)), static_cast<uint64_t>(query.Int(1))};
}

Result<Artifact> Store::GetArtifact(const std::string& digest) {
  GF_TRY(auto artifact, FindArtifact(*impl_, digest));
  if (!artifact)
    return MakeError(Code::kNotFound, "there is no artifact " + digest, "`genflow artifacts ls` shows them");
  return std::move(*artifact);
}

Result<std::vector<ArtifactUse>> Store::ArtifactProducers(const std::string& digest) {
  GF_TRY(auto query,
         impl_->db->Prepare(
             "SELECT t.run, r.pipeline, t.stage, o.port, t.finished, o.type, " GENFLOW_ARTIFACT_COLUMNS
             " FROM attempt_outputs o JOIN attempts t ON t.id = o.attempt JOIN runs r ON r.id = t.run "
             "JOIN artifacts a ON a.digest = o.digest WHERE o.digest = ? ORDER BY t.id DESC"));
  query.Bind(digest);
  return ReadUses(*impl_, query);
}

Result<std::vector<ArtifactUse>> Store::ArtifactConsumers(const std::string& digest) {
  GF_TRY(auto query,
         impl_->db->Prepare(
             "SELECT t.run, r.pipeline, t.stage, i.port, t.started, i.type, " GENFLOW_ARTIFACT_COLUMNS
             " FROM attempt_inputs i JOIN attempts t ON t.id = i.attempt JOIN runs r ON r.id = t.run "
             "JOIN artifacts a ON a.digest = i.digest WHERE i.digest = ? ORDER BY t.id DESC"));
  query.Bind(digest);
  return ReadUses(*impl_, query);
}

Result<std::string> Store::CheckArtifact(const std::string& digest) { return VerifyObject(*impl_, digest); }

Status Store::Export(const Artifact& artifact, const fs::path& target, ExportMode mode) {
  GF_TRY(const Artifact known, GetArtifact(artifact.digest));
  const std::string hint = "run the pipeline again to make it anew";
  if (known.lost) {
    return MakeError(Code::kCorrupt, "artifact " + known.digest.substr(0, 12) + " was damaged and set aside",
                     hint);
  }
  GF_TRY(const std::string problem, VerifyObject(*impl_, known.digest));
  if (!problem.empty()) {
    return MakeError(Code::kCorrupt, "artifact " + known.digest.substr(0, 12) + " is damaged: " + problem,
                     hint);
  }
  std::error_code ec;
  fs::path to = fs::absolute(target, ec).lexically_normal();
  if (!to.has_filename()) to = to.parent_path();
  if (fs::exists(fs::symlink_status(to, ec))) {
    return InvalidError(to.string() + ": exists already", "remove it, or export to another path");
  }
  GF_CHECK_OK(MakeDirectories(to.parent_path()));
  // Copied beside the target, so that the target appears whole.
  const fs::path partial = to.parent_path() / ("." + to.filename().string() + ".export-" + RandomName(6));
  Status copied = CopyTree(known.path(), partial, mode == ExportMode::kHardLink);
  if (copied.ok() && ::rename(partial.c_str(), to.c_str()) != 0) copied = ErrnoError(to.string(), errno);
  if (copied.ok()) return copied;
  (void)RemoveTree(partial);
  Error error = copied.error();
  if (const size_t at = error.message.find(partial.string()); at != std::string::npos)
    error.message.replace(at, partial.string().size(), to.string());
  return error;
}

}  // namespace genflow
