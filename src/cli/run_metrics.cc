// `genflow runs metrics`: what the stages of a run measured, step by step.
#include "cli/run_metrics.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>

#include "base/strings.h"
#include "cli/errors.h"
#include "cli/json_output.h"
#include "cli/pipeline_options.h"
#include "cli/stage_origins.h"
#include "cli/table.h"
#include "cli/terminal.h"

namespace genflow::cli {

namespace {

struct Options {
  std::string store, run = "latest", stage, name;
  bool json = false;
};

std::string StepText(int64_t step) { return step < 0 ? "-" : std::to_string(step); }

int ShowMetrics(const Options& options) {
  auto store = OpenStore(options.store, true);
  if (!store.ok()) return Report(store.error());
  auto id = store->ResolveRun(options.run);
  if (!id.ok()) return Report(id.error());
  auto attempts = store->ListAttempts(*id);
  if (!attempts.ok()) return Report(attempts.error());
  std::map<std::string, StageMetrics> stages;
  std::vector<std::string> stage_names, metric_names;
  for (const auto& attempt : LastAttempts(*attempts)) {
    stage_names.push_back(attempt.stage);
    if (!options.stage.empty() && attempt.stage != options.stage) continue;
    auto metrics = MetricsOf(*store, attempt);
    if (!metrics.ok()) return Report(metrics.error());
    for (auto& [name, points] : *metrics) {
      metric_names.push_back(name);
      if (options.name.empty() || name == options.name) stages[attempt.stage][name] = std::move(points);
    }
  }
  if (!options.stage.empty() &&
      std::find(stage_names.begin(), stage_names.end(), options.stage) == stage_names.end()) {
    const auto near = NearestName(options.stage, stage_names);
    return Report(
        MakeError(Code::kNotFound, "run " + *id + " has no stage '" + options.stage + "'",
                  near ? "did you mean '" + *near + "'?" : "its stages: " + Join(stage_names, ", ")));
  }
  if (!options.name.empty() && stages.empty()) {
    const auto near = NearestName(options.name, metric_names);
    return Report(
        MakeError(Code::kNotFound, "run " + *id + " has no metric '" + options.name + "'",
                  near ? "did you mean '" + *near + "'?" : "`genflow runs metrics " + *id + "` lists them"));
  }
  if (options.json) {
    nlohmann::json out = {
        {"run", *id}, {"stages", nlohmann::json::object()}, {"origins", nlohmann::json::object()}};
    RunOrigins origins(*store);
    for (const auto& [stage, metrics] : stages) {
      nlohmann::json origin = nlohmann::json::object();
      origins.Add(*id, stage, &origin);
      if (!origin.empty()) out["origins"][stage] = std::move(origin);
      for (const auto& [name, points] : metrics) {
        auto& list = out["stages"][stage][name] = nlohmann::json::array();
        for (const auto& p : points) list.push_back({{"step", p.step}, {"value", p.value}, {"time", p.time}});
      }
    }
    std::fputs(DumpPretty(out).c_str(), stdout);
    return kExitOk;
  }
  if (stages.empty()) {
    std::printf("no metrics\n");
    return kExitOk;
  }
  // One metric was asked for: all of its points. Else the last value of each.
  const bool all = !options.name.empty();
  Table table(
      all ? std::vector<std::string>{"stage", "step", options.name}
          : std::vector<std::string>{"stage", "metric", "value", "step", "points"},
      {Align::kLeft, all ? Align::kRight : Align::kLeft, Align::kRight, Align::kRight, Align::kRight});
  for (const auto& stage : stage_names) {
    for (const auto& [name, points] : stages[stage]) {
      if (!all) {
        table.Add({stage, name, MetricText(points.back().value), StepText(points.back().step),
                   std::to_string(points.size())});
        continue;
      }
      for (const auto& p : points) table.Add({stage, StepText(p.step), MetricText(p.value)});
    }
  }
  table.Fit(RoomForTables(), {"points"}, {"stage", "metric"});
  table.Print();
  return kExitOk;
}

}  // namespace

std::string MetricText(double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%.6g", value);
  return text;
}

std::vector<AttemptInfo> LastAttempts(const std::vector<AttemptInfo>& attempts) {
  std::vector<AttemptInfo> out;
  std::map<std::string, size_t> places;  // stage -> its place in `out`
  for (const auto& attempt : attempts) {
    const auto [at, is_new] = places.emplace(attempt.stage, out.size());
    if (is_new)
      out.push_back(attempt);
    else
      out[at->second] = attempt;
  }
  return out;
}

Result<StageMetrics> MetricsOf(Store& store, const AttemptInfo& attempt) {
  const bool cached = attempt.status == AttemptStatus::kCached && !attempt.source_run.empty();
  GF_TRY(auto points, store.Metrics(cached ? attempt.source_run : attempt.run, attempt.stage));
  if (cached && points.empty()) {  // an imported run brings them along
    GF_TRY(points, store.Metrics(attempt.run, attempt.stage));
  }
  StageMetrics out;
  for (auto& point : points) out[point.name].push_back(std::move(point));
  return out;
}

Result<nlohmann::json> LastMetrics(Store& store, const std::vector<AttemptInfo>& attempts) {
  auto out = nlohmann::json::object();
  for (const auto& attempt : LastAttempts(attempts)) {
    GF_TRY(const auto metrics, MetricsOf(store, attempt));
    for (const auto& [name, points] : metrics) out[attempt.stage][name] = points.back().value;
  }
  return out;
}

void AddRunMetricsCommand(CLI::App& runs, Action& action) {
  CLI::App* metrics = runs.add_subcommand("metrics", "Show what the stages of a run measured");
  auto options = std::make_shared<Options>();
  metrics->add_option("RUN", options->run, "An id, its beginning or its end, or 'latest'")
      ->default_str("latest");
  metrics->add_option("STAGE", options->stage, "Only this stage");
  metrics->add_option("--name", options->name, "Only this metric, step by step")->type_name("METRIC");
  AddStoreOption(*metrics, options->store);
  metrics->add_flag("--json", options->json, "Every point, as JSON on stdout");
  metrics->footer("Examples:\n  genflow runs metrics\n  genflow runs metrics latest tune --name loss");
  metrics->callback([&action, options] { action = [options] { return ShowMetrics(*options); }; });
}

}  // namespace genflow::cli
