#include <cmath>
#include <map>

#include "store/impl.h"
#include "store/store.h"

namespace genflow {

Status Store::AddMetrics(const std::string& run, const std::string& stage,
                         const std::vector<MetricPoint>& points) {
  GF_CHECK_OK(impl_->NeedWritable());
  if (points.empty()) return Ok();
  const double now = Now();
  GF_TRY(auto transaction, Transaction::Begin(*impl_->db, false));
  {
    // A stage that resumes from a checkpoint reports steps again: the later value counts.
    GF_TRY(auto insert,
           impl_->db->Prepare("INSERT INTO metrics (run, stage, name, step, value, time) "
                              "VALUES (?,?,?,?,?,?) ON CONFLICT DO UPDATE SET value = excluded.value, "
                              "time = excluded.time"));
    for (const MetricPoint& point : points) {
      GF_CHECK_OK(
          insert.Bind(run, stage, point.name, point.step, point.value, point.time > 0 ? point.time : now)
              .Run());
    }
  }
  return transaction.Commit();
}

Result<std::map<std::string, double>> Store::AverageDurations(const std::string& pipeline) {
  std::map<std::string, double> durations;
  GF_TRY(auto query, impl_->db->Prepare("SELECT stage, seconds FROM durations WHERE pipeline = ?"));
  query.Bind(pipeline);
  while (true) {
    GF_TRY(const bool row, query.Step());
    if (!row) break;
    durations[query.Text(0)] = query.Real(1);
  }
  return durations;
}

Result<std::vector<MetricPoint>> Store::Metrics(const std::string& run, const std::string& stage) {
  std::vector<MetricPoint> points;
  GF_TRY(auto query,
         impl_->db->Prepare("SELECT name, value, step, time FROM metrics WHERE run = ? AND stage = ? "
                            "ORDER BY name, step"));
  query.Bind(run, stage);
  while (true) {
    GF_TRY(const bool row, query.Step());
    if (!row) break;
    // SQLite keeps a NaN as NULL.
    points.push_back(
        {query.Text(0), query.IsNull(1) ? std::nan("") : query.Real(1), query.Int(2), query.Real(3)});
  }
  return points;
}

Result<std::vector<MetricSample>> Store::MetricHistory(const std::string& pipeline, const std::string& stage,
                                                       const std::string& name, int limit) {
  std::vector<MetricSample> samples;
  GF_TRY(auto query,
         impl_->db->Prepare(
             "SELECT r.id, m.value, m.step, m.time FROM runs r JOIN metrics m ON m.run = r.id AND "
             "m.stage = ?2 AND m.name = ?3 WHERE r.pipeline = ?1 AND m.step = (SELECT max(step) FROM "
             "metrics WHERE run = r.id AND stage = ?2 AND name = ?3) ORDER BY r.seq DESC LIMIT ?4"));
  query.Bind(pipeline, stage, name, limit > 0 ? limit : -1);
  while (true) {
    GF_TRY(const bool row, query.Step());
    if (!row) break;
    samples.push_back({query.Text(0),
                       pipeline,
                       stage,
                       {name, query.IsNull(1) ? std::nan("") : query.Real(1), query.Int(2), query.Real(3)}});
  }
  return samples;
}

}  // namespace genflow
