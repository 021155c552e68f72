#include <algorithm>

#include "base/strings.h"
#include "store/impl.h"
#include "store/objects.h"
#include "store/store.h"

namespace genflow {

namespace {

std::string EscapeLike(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '%' || c == '_' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

Result<std::vector<std::string>> Texts(Statement& query) {
  std::vector<std::string> texts;
  while (true) {
    GF_TRY(const bool row, query.Step());
    if (!row) return texts;
    texts.push_back(query.Text(0));
  }
}

constexpr size_t kMaxShown = 5;

Error Ambiguous(const std::string& what, const std::string& ref, std::vector<std::string> candidates) {
  const bool more = candidates.size() > kMaxShown;
  if (more) candidates.resize(kMaxShown);
  return InvalidError(what + " '" + ref + "' is ambiguous",
                      "it could be " + Join(candidates, ", ") + (more ? ", ..." : ""));
}

// `ref` is "name@alias" or "name@version" of a model; nothing when no model has that name.
Result<std::optional<Artifact>> FindModel(StoreImpl& store, const std::string& ref) {
  const size_t at = ref.rfind('@');
  if (at == std::string::npos) return std::optional<Artifact>();
  const std::string name = ref.substr(0, at), which = ref.substr(at + 1);
  GF_TRY(auto query,
         store.db->Prepare(
             "SELECT m.digest FROM models m WHERE m.name = ?1 AND (CAST(m.version AS TEXT) = ?2 OR "
             "m.version = (SELECT version FROM model_aliases WHERE name = ?1 AND alias = ?2))"));
  GF_TRY(const bool found, query.Bind(name, which).Step());
  if (!found) {
    return MakeError(Code::kNotFound, "there is no model '" + ref + "'");
  }
  return FindArtifact(store, query.Text(0));
}

Result<std::optional<Artifact>> FindByDigestPrefix(StoreImpl& store, const std::string& ref) {
  if (ref.size() < 4 || ref.size() > 64 || ref.find_first_not_of("0123456789abcdef") != std::string::npos) {
    return std::optional<Artifact>();
  }
  std::vector<std::string> digests;
  {
    GF_TRY(auto query,
           store.db->Prepare("SELECT digest FROM artifacts WHERE digest >= ?1 AND digest < ?1 || 'g' "
                             "ORDER BY digest LIMIT 6"));
    query.Bind(ref);
    GF_TRY(digests, Texts(query));
  }
  if (digests.empty()) return std::optional<Artifact>();
  if (digests.size() > 1) {
    for (std::string& digest : digests) digest.resize(16);
    return Ambiguous("artifact", ref, std::move(digests));
  }
  return FindArtifact(store, digests[0]);
}

}  // namespace

Result<std::string> Store::ResolveRun(const std::string& ref) {
  Db& db = *impl_->db;
  if (ref == "latest") {
    GF_TRY(auto query, db.Prepare("SELECT id FROM runs ORDER BY seq DESC LIMIT 1"));
    GF_TRY(const bool found, query.Step());
    if (!found) return MakeError(Code::kNotFound, "there is no run yet", "`genflow run PIPELINE` makes one");
    return query.Text(0);
  }
  {
    GF_TRY(auto query,
           db.Prepare("SELECT r.id FROM tags t JOIN runs r ON r.id = t.run WHERE t.tag = ?1 AND NOT "
                      "EXISTS (SELECT 1 FROM runs WHERE id = ?1) ORDER BY r.seq DESC LIMIT 1"));
    GF_TRY(const bool tagged, query.Bind(ref).Step());
    if (tagged) return query.Text(0);
  }
  std::vector<std::string> ids;
  if (!ref.empty()) {
    GF_TRY(auto query, db.Prepare("SELECT id FROM runs WHERE id = ?1 OR id LIKE ?2 || '%' ESCAPE '\\' OR "
                                  "id LIKE '%' || ?2 ESCAPE '\\' ORDER BY id = ?1 DESC, seq DESC LIMIT 6"));
    query.Bind(ref, EscapeLike(ref));
    GF_TRY(ids, Texts(query));
  }
  if (ids.empty())
    return MakeError(Code::kNotFound, "there is no run '" + ref + "'", "`genflow runs ls` shows them");
  if (ids.size() == 1 || ids[0] == ref) return ids[0];
  return Ambiguous("run", ref, std::move(ids));
}

Result<Artifact> Store::ResolveArtifact(const std::string& ref) {
  StoreImpl& store = *impl_;
  GF_TRY(auto model, FindModel(store, ref));
  if (model) return std::move(*model);
  GF_TRY(auto by_digest, FindByDigestPrefix(store, ref));
  if (by_digest) return std::move(*by_digest);

  std::string run, rest = ref;
  if (const size_t colon = ref.find(':'); colon != std::string::npos) {
    GF_TRY(run, ResolveRun(ref.substr(0, colon)));
    rest = ref.substr(colon + 1);
  }
  const size_t dot = rest.rfind('.');
  if (dot == std::string::npos) {
    return MakeError(Code::kNotFound, "there is no artifact '" + ref + "'",
                     "write RUN:STAGE.PORT, STAGE.PORT, or at least 4 digits of a digest; "
                     "`genflow artifacts ls` shows them");
  }
  const std::string stage = rest.substr(0, dot), port = rest.substr(dot + 1);
  {
    GF_TRY(auto query,
           store.db->Prepare("SELECT o.type, " GENFLOW_ARTIFACT_COLUMNS
                             " FROM attempt_outputs o JOIN attempts t ON t.id = o.attempt "
                             "JOIN runs r ON r.id = t.run JOIN artifacts a ON a.digest = o.digest WHERE "
                             "t.stage = ?1 AND o.port = ?2 AND (?3 = '' OR t.run = ?3) "
                             "ORDER BY r.seq DESC, t.id DESC LIMIT 1"));
    GF_TRY(const bool found, query.Bind(stage, port, run).Step());
    if (found) {
      Artifact artifact = RowToArtifact(store, query, 1);
      artifact.type = query.Text(0);
      return artifact;
    }
  }
  std::vector<std::string> names;
  {
    GF_TRY(auto query, store.db->Prepare("SELECT DISTINCT t.stage || '.' || o.port FROM attempt_outputs o "
                                         "JOIN attempts t ON t.id = o.attempt WHERE (?1 = '' OR t.run = ?1) "
                                         "ORDER BY 1"));
    query.Bind(run);
    GF_TRY(names, Texts(query));
  }
  const auto near = NearestName(rest, names);
  return MakeError(Code::kNotFound,
                   run.empty() ? "no run has made an artifact '" + rest + "'"
                               : "run '" + run + "' has no artifact '" + rest + "'",
                   near ? "did you mean '" + *near + "'?" : "`genflow artifacts ls` shows them");
}

}  // namespace genflow
