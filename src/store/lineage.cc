#include "store/attempts.h"
#include "store/impl.h"
#include "store/store.h"

namespace genflow {

Result<std::optional<MadeBy>> Store::MakerOf(const std::string& digest, const std::string& run) {
  MadeBy made;
  int64_t attempt = 0;
  {
    GF_TRY(auto query,
           impl_->db->Prepare(
               "SELECT t.id, t.run, r.pipeline, t.stage, t.uses, o.port, t.key, t.finished FROM "
               "attempt_outputs o "
               "JOIN attempts t ON t.id = o.attempt JOIN runs r ON r.id = t.run WHERE o.digest = ?1 "
               "ORDER BY t.status IN ('run', 'gated') DESC, t.run = ?2 DESC, t.id DESC LIMIT 1"));
    GF_TRY(const bool found, query.Bind(digest, run).Step());
    if (!found) return std::optional<MadeBy>();
    attempt = query.Int(0);
    made.run = query.Text(1);
    made.pipeline = query.Text(2);
    made.stage = query.Text(3);
    made.uses = query.Text(4);
    made.port = query.Text(5);
    made.key = query.Text(6);
    made.time = query.Real(7);
  }
  GF_TRY(made.inputs, ReadInputs(*impl_->db, attempt));
  return std::optional<MadeBy>(std::move(made));
}

Result<std::vector<MadeFrom>> Store::MadeOf(const std::string& digest) {
  // Attempts that left nothing count where that is what their stages do.
  // The row is the last attempt's that computed something, else the last one's; in the order of attempts.
  GF_TRY(auto query,
         impl_->db->Prepare(
             "SELECT group_concat(DISTINCT i.port), "
             "max((t.status IN ('run', 'gated')) * 1000000000000 + t.id) AS last, t.run, r.pipeline, "
             "t.stage, t.uses, "
             "ifnull(o.port, ''), ifnull(o.digest, ''), ifnull(o.type, ''), count(DISTINCT t.run) "
             "FROM attempt_inputs i JOIN attempts t ON t.id = i.attempt JOIN runs r ON r.id = t.run "
             "LEFT JOIN attempt_outputs o ON o.attempt = t.id WHERE i.digest = ?1 AND "
             "t.status IN ('run', 'cached', 'gated') GROUP BY r.pipeline, t.stage, t.uses, o.port, o.digest "
             "ORDER BY last % 1000000000000, o.seq"));
  query.Bind(digest);
  std::vector<MadeFrom> out;
  while (true) {
    GF_TRY(const bool row, query.Step());
    if (!row) return out;
    MadeFrom made;
    made.input_ports = query.Text(0);
    made.run = query.Text(2);  // of the row with the largest `last`: SQLite's rule for max() alone
    made.pipeline = query.Text(3);
    made.stage = query.Text(4);
    made.uses = query.Text(5);
    made.port = query.Text(6);
    made.digest = query.Text(7);
    made.type = query.Text(8);
    made.runs = query.Int(9);
    out.push_back(std::move(made));
  }
}

}  // namespace genflow
