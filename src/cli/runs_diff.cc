// `genflow runs diff`: what is different between two runs.
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
#include "cli/times.h"

namespace genflow::cli {

namespace {

using nlohmann::json;

constexpr size_t kDigestShown = 12, kValueShown = 28;

struct Options {
  std::string store, a, b;
  bool json = false;
};

// Names of either map, and whether what they name is the same.
template <class Value>
std::vector<std::pair<std::string, bool>> Names(const std::map<std::string, Value>& a,
                                                const std::map<std::string, Value>& b) {
  std::set<std::string> names;
  for (const auto& [name, value] : a) names.insert(name);
  for (const auto& [name, value] : b) names.insert(name);
  std::vector<std::pair<std::string, bool>> out;
  for (const auto& name : names) {
    const auto left = a.find(name), right = b.find(name);
    out.emplace_back(name, left != a.end() && right != b.end() && left->second == right->second);
  }
  return out;
}

template <class Value>
json ValueOr(const std::map<std::string, Value>& values, const std::string& name) {
  const auto found = values.find(name);
  return found == values.end() ? json() : json(found->second);
}

struct StagePair {
  std::string name;
  const StageFacts *a = nullptr, *b = nullptr;
};

// The stages of both, in the order of the second run; those of the first alone come last.
std::vector<StagePair> Stages(const RunFacts& a, const RunFacts& b) {
  std::vector<StagePair> out;
  for (const auto& stage : b.stages) out.push_back({stage.stage, nullptr, &stage});
  for (const auto& stage : a.stages) {
    const auto found =
        std::find_if(out.begin(), out.end(), [&](const StagePair& pair) { return pair.name == stage.stage; });
    if (found != out.end())
      found->a = &stage;
    else
      out.push_back({stage.stage, &stage, nullptr});
  }
  return out;
}

std::string VersionText(const StageFacts* stage) {
  if (stage == nullptr) return "-";
  return stage->version.empty() ? stage->uses : stage->uses + " " + stage->version;
}

bool SameVersion(const StagePair& pair) {
  return pair.a == nullptr || pair.b == nullptr || VersionText(pair.a) == VersionText(pair.b);
}

std::string DifferenceText(double a, double b) {
  std::string out = MetricText(b - a);
  if (b > a) out = "+" + out;
  if (a == 0 || !std::isfinite(a) || !std::isfinite(b)) return out;
  char percent[40];
  std::snprintf(percent, sizeof percent, " (%+.1f%%)", (b - a) / std::abs(a) * 100);
  return out + percent;
}

json DiffToJson(const RunFacts& a, const RunFacts& b) {
  json out = {{"a", ToJson(a.run)}, {"b", ToJson(b.run)}, {"same", json::object()}};
  json origins = out["a"]["origins"];
  origins.update(out["b"]["origins"]);
  // Adds where the stage comes from whose metric or artifact has this name.
  const auto with_origin = [&](json item) {
    const std::string& name = item["name"].get_ref<const std::string&>();
    const auto in_b = b.stage_of.find(name);
    AddOrigin(origins, in_b != b.stage_of.end() ? in_b->second : a.stage_of.at(name), &item);
    return item;
  };
  size_t same = 0;
  const auto begin = [&](const char* what) { return out[what] = json::array(), same = 0, what; };
  const char* what = begin("params");
  for (const auto& [name, equal] : Names(a.params, b.params)) {
    if (equal)
      ++same;
    else
      out[what].push_back({{"name", name}, {"a", ValueOr(a.params, name)}, {"b", ValueOr(b.params, name)}});
  }
  out["same"][what] = same;
  what = begin("metrics");
  for (const auto& [name, equal] : Names(a.metrics, b.metrics)) {
    json item = {{"name", name}, {"a", ValueOr(a.metrics, name)}, {"b", ValueOr(b.metrics, name)}};
    if (item["a"].is_number() && item["b"].is_number())
      item["difference"] = item["b"].get<double>() - item["a"].get<double>();
    if (equal)
      ++same;
    else
      out[what].push_back(with_origin(std::move(item)));
  }
  out["same"][what] = same;
  what = begin("artifacts");
  for (const auto& [name, equal] : Names(a.artifacts, b.artifacts)) {
    if (equal)
      ++same;
    else
      out[what].push_back(with_origin(
          {{"name", name}, {"a", ValueOr(a.artifacts, name)}, {"b", ValueOr(b.artifacts, name)}}));
  }
  out["same"][what] = same;
  out["stages"] = json::array();
  what = begin("plugins");
  const auto stage_json = [](const StageFacts* stage) {
    return stage == nullptr ? json() : json{{"status", stage->status}, {"seconds", stage->seconds}};
  };
  for (const auto& pair : Stages(a, b)) {
    json origin = json::object();
    AddOrigin(origins, pair.name, &origin);
    out["stages"].push_back({{"stage", pair.name}, {"a", stage_json(pair.a)}, {"b", stage_json(pair.b)}});
    out["stages"].back().update(origin);
    if (SameVersion(pair)) {
      ++same;
      continue;
    }
    out[what].push_back({{"stage", pair.name}, {"a", VersionText(pair.a)}, {"b", VersionText(pair.b)}});
    out[what].back().update(origin);
  }
  out["same"][what] = same;
  return out;
}

std::string Section(const std::string& title, Table table, size_t same, bool color) {
  std::string heading = Styled(title, Style::kBold, color);
  const std::string count = WithCommas(static_cast<int64_t>(same)) + " the same";
  if (table.empty()) return same == 0 ? "" : "\n" + heading + ": no difference (" + count + ")\n";
  if (same > 0) heading += " (" + count + ")";
  if (const size_t room = RoomForTables(); room > 2)
    table.Fit(room - 2, {}, {"param", "metric", "artifact", "stage", "a", "b"});
  return "\n" + heading + "\n" + table.Render("  ", color);
}

std::string RunTime(const RunInfo& run) {
  return run.finished > run.started ? HumanDuration(run.finished - run.started) : "-";
}

std::string RenderDiff(const RunFacts& a, const RunFacts& b, bool color) {
  Table head({"", "a", "b"});
  head.Add({"run", a.run.id, b.run.id});
  if (a.run.pipeline != b.run.pipeline) head.Add({"pipeline", a.run.pipeline, b.run.pipeline});
  head.Add({"status", RunStatusName(a.run.status), RunStatusName(b.run.status)});
  head.Add({"started", LocalTime(a.run.started), LocalTime(b.run.started)});
  head.Add({"time", RunTime(a.run), RunTime(b.run)});
  if (a.run.version != b.run.version) head.Add({"genflow", a.run.version, b.run.version});
  std::string out = head.Render("", color);

  Table params({"param", "a", "b"});
  size_t same = 0;
  const auto param = [](const RunFacts& facts, const std::string& name) {
    return Shorten(ParamText(ValueOr(facts.params, name)), kValueShown, false);
  };
  for (const auto& [name, equal] : Names(a.params, b.params)) {
    if (!equal) params.Add({name, param(a, name), param(b, name)});
    same += equal ? 1 : 0;
  }
  out += Section("params", params, same, color);

  Table metrics({"metric", "a", "b", "difference"},
                {Align::kLeft, Align::kRight, Align::kRight, Align::kRight});
  same = 0;
  for (const auto& [name, equal] : Names(a.metrics, b.metrics)) {
    same += equal ? 1 : 0;
    if (equal) continue;
    const auto left = a.metrics.find(name), right = b.metrics.find(name);
    const bool both = left != a.metrics.end() && right != b.metrics.end();
    metrics.Add({name, left == a.metrics.end() ? "-" : MetricText(left->second),
                 right == b.metrics.end() ? "-" : MetricText(right->second),
                 both ? DifferenceText(left->second, right->second) : ""});
  }
  out += Section("metrics", metrics, same, color);

  Table artifacts({"artifact", "a", "b"});
  same = 0;
  const auto digest = [](const RunFacts& facts, const std::string& name) {
    const auto found = facts.artifacts.find(name);
    return found == facts.artifacts.end() ? std::string("-") : found->second.substr(0, kDigestShown);
  };
  for (const auto& [name, equal] : Names(a.artifacts, b.artifacts)) {
    if (!equal) artifacts.Add({name, digest(a, name), digest(b, name)});
    same += equal ? 1 : 0;
  }
  out += Section("artifacts", artifacts, same, color);

  Table plugins({"stage", "a", "b"}), stages({"stage", "a", "b"});
  same = 0;
  for (const auto& pair : Stages(a, b)) {
    stages.Add({pair.name, StageText(pair.a), StageText(pair.b)});
    if (!SameVersion(pair))
      plugins.Add({pair.name, VersionText(pair.a), VersionText(pair.b)});
    else
      ++same;
  }
  out += Section("plugins", plugins, same, color);
  return out + Section("stages", stages, 0, color);
}

int Diff(const Options& options) {
  auto store = OpenStore(options.store, true);
  if (!store.ok()) return Report(store.error());
  auto a = FactsOfRun(*store, options.a);
  if (!a.ok()) return Report(a.error());
  auto b = FactsOfRun(*store, options.b);
  if (!b.ok()) return Report(b.error());
  const std::string text =
      options.json ? DumpPretty(DiffToJson(*a, *b)) : RenderDiff(*a, *b, DetectTerminal(STDOUT_FILENO).color);
  std::fputs(text.c_str(), stdout);
  return kExitOk;
}

}  // namespace

void AddRunsDiffCommand(CLI::App& runs, Action& action) {
  CLI::App* diff = runs.add_subcommand("diff", "Show what is different between two runs");
  auto options = std::make_shared<Options>();
  diff->add_option("A", options->a, "An id, its beginning or its end, a tag, or 'latest'")->required();
  diff->add_option("B", options->b, "The other run")->required();
  AddStoreOption(*diff, options->store);
  diff->add_flag("--json", options->json, "JSON on stdout");
  diff->footer("Example:\n  genflow runs diff released latest");
  diff->callback([&action, options] { action = [options] { return Diff(*options); }; });
}

}  // namespace genflow::cli
