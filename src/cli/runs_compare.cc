// `genflow runs compare`: many runs in one table.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <set>

#include "base/strings.h"
#include "cli/commands.h"
#include "cli/errors.h"
#include "cli/json_output.h"
#include "cli/pipeline_options.h"
#include "cli/run_comparison.h"
#include "cli/run_facts.h"
#include "cli/run_metrics.h"
#include "cli/stage_origins.h"
#include "cli/table.h"
#include "cli/terminal.h"

namespace genflow::cli {

namespace {

using nlohmann::json;

constexpr size_t kMetricsShown = 4;  // where none were asked for
constexpr size_t kValueShown = 20;

struct Options {
  std::string store, pipeline, metrics, sort;
  std::vector<std::string> runs;
  int last = 10;
  bool reverse = false, json = false;
};

// The runs that were named, or the last ones of a pipeline, the latest last.
Result<std::vector<RunFacts>> Chosen(Store& store, const Options& options) {
  std::vector<std::string> ids = options.runs;
  if (ids.empty()) {
    RunFilter filter;
    filter.pipeline = options.pipeline;
    if (filter.pipeline.empty()) {
      GF_TRY(const auto latest, store.ResolveRun("latest"));
      GF_TRY(const auto run, store.GetRun(latest));
      filter.pipeline = run.pipeline;
    }
    filter.limit = options.last;
    GF_TRY(const auto runs, store.ListRuns(filter));
    if (runs.empty()) {
      return MakeError(Code::kNotFound, "there is no run of a pipeline '" + filter.pipeline + "'",
                       "`genflow runs ls` shows them");
    }
    for (auto run = runs.rbegin(); run != runs.rend(); ++run) ids.push_back(run->id);
  }
  std::vector<RunFacts> out;
  std::set<std::string> seen;
  for (const auto& id : ids) {
    GF_TRY(auto facts, FactsOfRun(store, id));
    if (seen.insert(facts.run.id).second) out.push_back(std::move(facts));
  }
  return out;
}

std::set<std::string> AllMetrics(const std::vector<RunFacts>& runs) {
  std::set<std::string> out;
  for (const auto& run : runs) {
    for (const auto& [name, value] : run.metrics) out.insert(name);
  }
  return out;
}

// The metric "stage.metric" that `name` means: itself, or the only one whose last part it is.
Result<std::string> FindMetric(const std::string& name, const std::set<std::string>& all) {
  if (all.count(name) != 0) return name;
  std::vector<std::string> fits, known;
  for (const auto& full : all) {
    known.push_back(full);
    const size_t dot = full.find('.');
    known.push_back(full.substr(dot + 1));
    if (known.back() == name) fits.push_back(full);
  }
  if (fits.size() == 1) return fits.front();
  if (!fits.empty())
    return InvalidError("several stages have a metric '" + name + "'", "say which: " + Join(fits, ", "));
  const auto near = NearestName(name, known);
  return MakeError(Code::kNotFound, "none of these runs has a metric '" + name + "'",
                   near          ? "did you mean '" + *near + "'?"
                   : all.empty() ? "they have no metrics"
                                 : "they have " + Join({all.begin(), all.end()}, ", "));
}

bool Differs(const std::vector<RunFacts>& runs, const std::string& metric) {
  const auto value = [&](const RunFacts& run) -> std::optional<double> {
    const auto found = run.metrics.find(metric);
    return found == run.metrics.end() ? std::nullopt : std::optional<double>(found->second);
  };
  return std::any_of(runs.begin(), runs.end(),
                     [&](const RunFacts& run) { return value(run) != value(runs.front()); });
}

std::vector<std::string> DifferentParams(const std::vector<RunFacts>& runs) {
  std::set<std::string> names;
  for (const auto& run : runs) {
    for (const auto& [name, value] : run.params) names.insert(name);
  }
  std::vector<std::string> out;
  for (const auto& name : names) {
    const auto value = [&](const RunFacts& run) {
      const auto found = run.params.find(name);
      return found == run.params.end() ? json() : found->second;
    };
    if (std::any_of(runs.begin(), runs.end(),
                    [&](const auto& run) { return value(run) != value(runs.front()); }))
      out.push_back(name);
  }
  return out;
}

void SortRuns(const std::string& metric, bool reverse, std::vector<RunFacts>* runs) {
  const auto value = [&](const RunFacts& run) {
    const auto found = run.metrics.find(metric);
    return found == run.metrics.end() || std::isnan(found->second) ? std::nullopt
                                                                   : std::optional<double>(found->second);
  };
  std::stable_sort(runs->begin(), runs->end(), [&](const RunFacts& a, const RunFacts& b) {
    const auto left = value(a), right = value(b);
    if (!left || !right) return left.has_value() && !right.has_value();  // without the metric: last
    return reverse ? *right < *left : *left < *right;
  });
}

double SecondsOf(const RunInfo& run) { return run.finished > run.started ? run.finished - run.started : 0; }

int Compare(const Options& options) {
  auto store = OpenStore(options.store, true);
  if (!store.ok()) return Report(store.error());
  auto runs = Chosen(*store, options);
  if (!runs.ok()) return Report(runs.error());
  const auto all = AllMetrics(*runs);
  std::vector<std::string> metrics;
  for (const auto text : Split(options.metrics, ',')) {
    if (Trim(text).empty()) continue;
    auto metric = FindMetric(std::string(Trim(text)), all);
    if (!metric.ok()) return Report(metric.error());
    metrics.push_back(*metric);
  }
  size_t left_out = 0;
  if (options.metrics.empty()) {
    for (const auto& metric : all) {
      if (!options.json && runs->size() > 1 && !Differs(*runs, metric)) continue;
      if (!options.json && metrics.size() == kMetricsShown)
        ++left_out;
      else
        metrics.push_back(metric);
    }
  }
  if (!options.sort.empty()) {
    auto metric = FindMetric(options.sort, all);
    if (!metric.ok()) return Report(metric.error());
    SortRuns(*metric, options.reverse, &*runs);
    if (std::find(metrics.begin(), metrics.end(), *metric) == metrics.end())
      metrics.insert(metrics.begin(), *metric);
  } else if (options.reverse) {
    std::reverse(runs->begin(), runs->end());
  }
  const auto params = DifferentParams(*runs);
  if (options.json) {
    json out = {{"params", params}, {"metrics", metrics}, {"runs", json::array()}};
    for (const auto& run : *runs) {
      json item = {{"run", run.run.id},
                   {"pipeline", run.run.pipeline},
                   {"status", RunStatusName(run.run.status)},
                   {"started", run.run.started},
                   {"seconds", SecondsOf(run.run)},
                   {"tags", run.run.tags},
                   {"origins", OriginsOf(run.run)},
                   {"params", json::object()},
                   {"metrics", json::object()}};
      for (const auto& [name, value] : run.params) item["params"][name] = value;
      for (const auto& name : metrics) {
        if (const auto found = run.metrics.find(name); found != run.metrics.end())
          item["metrics"][name] = found->second;
      }
      out["runs"].push_back(std::move(item));
    }
    std::fputs(DumpPretty(out).c_str(), stdout);
    return kExitOk;
  }
  std::vector<std::string> columns = {"run", "status", "time"};
  std::vector<Align> alignment = {Align::kLeft, Align::kLeft, Align::kRight};
  for (const auto& param : params) {
    columns.push_back(param);
    alignment.push_back(Align::kLeft);
  }
  for (const auto& metric : metrics) {
    columns.push_back(metric);
    alignment.push_back(Align::kRight);
  }
  Table table(columns, alignment);
  for (const auto& run : *runs) {
    const double seconds = SecondsOf(run.run);
    std::vector<std::string> cells = {run.run.id, RunStatusName(run.run.status),
                                      seconds > 0 ? HumanDuration(seconds) : "-"};
    for (const auto& name : params) {
      const auto found = run.params.find(name);
      cells.push_back(found == run.params.end() ? "-"
                                                : Shorten(ParamText(found->second), kValueShown, false));
    }
    for (const auto& name : metrics) {
      const auto found = run.metrics.find(name);
      cells.push_back(found == run.metrics.end() ? "-" : MetricText(found->second));
    }
    table.Add(std::move(cells));
  }
  // A terminal shows as many as fit, the first ones first.
  std::vector<std::string> least = {"time", "status"};
  least.insert(least.end(), columns.rbegin(), columns.rend() - 3);
  const size_t hidden = table.Fit(RoomForTables(), least, {"run"});
  table.Print();
  if (hidden > 0)
    std::printf("\n%s left out for want of room; a wider terminal or `| cat` shows them\n",
                Counted(hidden, "column").c_str());
  if (left_out > 0) {
    std::printf("\n%zu more metric%s differ%s; choose with --metrics\n", left_out, left_out == 1 ? "" : "s",
                left_out == 1 ? "s" : "");
  }
  return kExitOk;
}

}  // namespace

void AddRunsCompareCommand(CLI::App& runs, Action& action) {
  CLI::App* compare = runs.add_subcommand(
      "compare", "Show many runs in one table: what differs in their params, and metrics");
  auto options = std::make_shared<Options>();
  compare->add_option("RUN", options->runs,
                      "Ids, their beginnings or ends, tags, or 'latest' (default: the last runs)");
  compare->add_option("-n,--last", options->last, "Without RUN: so many of the last runs of a pipeline")
      ->capture_default_str()
      ->check(AtLeastOne());
  compare->add_option("--pipeline", options->pipeline, "Whose last runs (default: that of the latest run)")
      ->type_name("NAME");
  compare
      ->add_option("--metrics", options->metrics,
                   "These, as METRIC or STAGE.METRIC, with commas between (default: those that differ)")
      ->type_name("NAMES");
  compare->add_option("--sort", options->sort, "By this metric, the smallest first")->type_name("METRIC");
  compare->add_flag("--reverse", options->reverse, "The other way round");
  AddStoreOption(*compare, options->store);
  compare->add_flag("--json", options->json, "JSON on stdout");
  compare->footer(
      "Examples:\n  genflow runs compare --last 5 --metrics loss --sort loss\n"
      "  genflow runs compare released latest --json");
  compare->callback([&action, options] { action = [options] { return Compare(*options); }; });
}

}  // namespace genflow::cli
