#include "store/attempts.h"

namespace genflow {

Status InsertInputs(Db& db, int64_t attempt, const std::vector<InputUse>& inputs) {
  int seq = 0;
  for (const InputUse& input : inputs) {
    GF_CHECK_OK(
        db.Do("INSERT INTO attempt_inputs (attempt, seq, port, digest, type, source) VALUES (?,?,?,?,?,?)",
              attempt, seq++, input.port, input.digest, input.type, input.source));
  }
  return Ok();
}

Result<std::vector<InputUse>> ReadInputs(Db& db, int64_t attempt) {
  std::vector<InputUse> inputs;
  GF_TRY(auto query, db.Prepare("SELECT port, digest, type, source FROM attempt_inputs WHERE attempt = ? "
                                "ORDER BY seq"));
  query.Bind(attempt);
  while (true) {
    GF_TRY(const bool row, query.Step());
    if (!row) return inputs;
    inputs.push_back({query.Text(0), query.Text(1), query.Text(2), query.Text(3)});
  }
}

Status InsertOutputs(Db& db, int64_t attempt, const std::vector<OutputRow>& outputs) {
  int seq = 0;
  for (const OutputRow& row : outputs) {
    GF_CHECK_OK(db.Do("INSERT INTO attempt_outputs (attempt, seq, port, digest, type) VALUES (?,?,?,?,?)",
                      attempt, seq++, row.port, row.digest, row.type));
  }
  return Ok();
}

Status InsertCachedOutputs(Db& db, const std::string& key, const std::vector<OutputRow>& outputs) {
  int seq = 0;
  for (const OutputRow& row : outputs) {
    GF_CHECK_OK(db.Do("INSERT INTO cache_outputs (key, seq, port, digest, type) VALUES (?,?,?,?,?)", key,
                      seq++, row.port, row.digest, row.type));
  }
  return Ok();
}

Result<std::vector<PortArtifact>> ReadOutputs(const StoreImpl& store, Statement& query) {
  std::vector<PortArtifact> outputs;
  while (true) {
    GF_TRY(const bool row, query.Step());
    if (!row) return outputs;
    PortArtifact& output = outputs.emplace_back();
    output.port = query.Text(0);
    output.artifact = RowToArtifact(store, query, 2);
    output.artifact.type = query.Text(1);
    if (query.IsNull(2)) output.artifact.lost = true;
  }
}

std::vector<OutputRow> RowsOf(const std::vector<PortArtifact>& outputs) {
  std::vector<OutputRow> rows;
  for (const PortArtifact& output : outputs)
    rows.push_back({output.port, output.artifact.digest, output.artifact.type});
  return rows;
}

}  // namespace genflow
