#include "store/impl.h"
#include "store/objects.h"
#include "store/store.h"

namespace genflow {

namespace {

bool IsModelName(const std::string& name) {
  return !name.empty() && name.find_first_of("@: \t\n/") == std::string::npos;
}

Error NoModel(const std::string& name) {
  return MakeError(Code::kNotFound, "there is no model '" + name + "'");
}

}  // namespace

Result<ModelVersion> Store::RegisterModel(const std::string& name, const std::string& digest,
                                          const std::string& run) {
  GF_CHECK_OK(impl_->NeedWritable());
  if (!IsModelName(name)) {
    return InvalidError("model name '" + name + "' must not be empty or hold '@', ':', '/' or spaces");
  }
  Db& db = *impl_->db;
  GF_TRY(auto transaction, Transaction::Begin(db, true));
  GF_TRY(const Artifact artifact, GetArtifact(digest));
  ModelVersion model;
  GF_TRY(const auto last, db.Number("SELECT ifnull(max(version), 0) FROM models WHERE name = ?", name));
  model.name = name;
  model.version = static_cast<int>(last.value_or(0)) + 1;
  model.artifact = artifact;
  model.run = run;
  model.created = Now();
  GF_CHECK_OK(db.Do("INSERT INTO models (name, version, digest, run, created) VALUES (?,?,?,?,?)", name,
                    model.version, digest, run, model.created));
  GF_CHECK_OK(transaction.Commit());
  return model;
}

Status Store::SetAlias(const std::string& name, const std::string& alias, int version) {
  GF_CHECK_OK(impl_->NeedWritable());
  if (!IsModelName(alias) || alias.find_first_not_of("0123456789") == std::string::npos) {
    return InvalidError("model alias '" + alias +
                        "' must be a name without '@', ':', '/' or spaces, and not a number");
  }
  Db& db = *impl_->db;
  GF_TRY(auto transaction, Transaction::Begin(db, true));
  GF_TRY(const auto exists, db.Number("SELECT 1 FROM models WHERE name = ? AND version = ?", name, version));
  if (!exists) return NoModel(name + "@" + std::to_string(version));
  GF_CHECK_OK(
      db.Do("INSERT INTO model_aliases (name, alias, version) VALUES (?,?,?) "
            "ON CONFLICT DO UPDATE SET version = excluded.version",
            name, alias, version));
  return transaction.Commit();
}

Status Store::RemoveAlias(const std::string& name, const std::string& alias) {
  GF_CHECK_OK(impl_->NeedWritable());
  Db& db = *impl_->db;
  GF_TRY(auto transaction, Transaction::Begin(db, true));
  GF_TRY(const auto exists,
         db.Number("SELECT 1 FROM model_aliases WHERE name = ? AND alias = ?", name, alias));
  if (!exists) {
    return MakeError(Code::kNotFound, "model '" + name + "' has no alias '" + alias + "'");
  }
  GF_CHECK_OK(db.Do("DELETE FROM model_aliases WHERE name = ? AND alias = ?", name, alias));
  return transaction.Commit();
}

Status Store::RemoveModel(const std::string& name, int version) {
  GF_CHECK_OK(impl_->NeedWritable());
  Db& db = *impl_->db;
  GF_TRY(auto transaction, Transaction::Begin(db, true));
  const std::string which = name + "@" + std::to_string(version);
  GF_TRY(const auto exists, db.Number("SELECT 1 FROM models WHERE name = ? AND version = ?", name, version));
  if (!exists) return NoModel(which);
  GF_TRY(const auto aliases,
         db.Number("SELECT count(*) FROM model_aliases WHERE name = ? AND version = ?", name, version));
  if (*aliases != 0) {
    return InvalidError("model '" + which + "' has an alias",
                        "move it or take it away first: genflow models alias --remove " + name + " ALIAS");
  }
  GF_CHECK_OK(db.Do("DELETE FROM models WHERE name = ? AND version = ?", name, version));
  return transaction.Commit();
}

Result<std::vector<ModelVersion>> Store::ListModels(const std::string& name) {
  std::vector<ModelVersion> models;
  Db& db = *impl_->db;
  {
    GF_TRY(auto query, db.Prepare("SELECT m.name, m.version, m.run, m.created, " GENFLOW_ARTIFACT_COLUMNS
                                  " FROM models m JOIN artifacts a ON a.digest = m.digest "
                                  "WHERE (?1 = '' OR m.name = ?1) ORDER BY m.name, m.version DESC"));
    query.Bind(name);
    while (true) {
      GF_TRY(const bool row, query.Step());
      if (!row) break;
      ModelVersion model;
      model.name = query.Text(0);
      model.version = static_cast<int>(query.Int(1));
      model.run = query.Text(2);
      model.created = query.Real(3);
      model.artifact = RowToArtifact(*impl_, query, 4);
      models.push_back(std::move(model));
    }
  }
  for (ModelVersion& model : models) {
    GF_TRY(auto query,
           db.Prepare("SELECT alias FROM model_aliases WHERE name = ? AND version = ? ORDER BY alias"));
    query.Bind(model.name, model.version);
    while (true) {
      GF_TRY(const bool row, query.Step());
      if (!row) break;
      model.aliases.push_back(query.Text(0));
    }
  }
  return models;
}

}  // namespace genflow
