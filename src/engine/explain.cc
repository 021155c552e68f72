#include "engine/explain.h"

#include <algorithm>
#include <iterator>
#include <set>

#include "base/strings.h"
#include "engine/cache_view.h"

namespace genflow {

namespace {

// "a, b, c and 4 others", of a set or a vector.
template <class Names>
std::string NamesOf(const Names& names) {
  constexpr size_t kShown = 5;
  const auto shown = static_cast<std::ptrdiff_t>(std::min(names.size(), kShown));
  const std::vector<std::string> first(names.begin(), std::next(names.begin(), shown));
  const std::string out = Join(first, ", ");
  return names.size() > kShown ? out + " and " + Counted(names.size() - kShown, "other") : out;
}

std::vector<std::string> WhatInvalidates(const StageSpec& stage, const std::vector<KeyPart>& parts) {
  std::vector<std::string> out;
  if (stage.info != nullptr) {
    out.push_back("another version or build of " + stage.uses + " (plugin " +
                  stage.info->plugin_file.filename().string() + ")");
  }
  std::set<std::string> params, env, files, contents, seen;
  std::vector<std::string> ports;  // as the pipeline has them
  for (const KeyPart& part : parts) {
    if (part.kind == KeyPartKind::kParam) params.insert(part.name);
    if (part.kind == KeyPartKind::kEnv) env.insert(part.name);
    if (part.kind == KeyPartKind::kFile) files.insert(part.name);
    if (part.kind == KeyPartKind::kContent) contents.insert(part.name);
  }
  if (stage.exec) out.push_back("another text under `run`, or other outputs under `out`");
  if (!params.empty()) out.push_back("another value of a parameter: " + NamesOf(params));
  for (const auto* inputs : {&stage.inputs, &stage.expression_inputs}) {
    for (const InputRef& input : *inputs) {
      if (seen.insert(input.Source()).second) ports.push_back(input.Source());
    }
  }
  if (!ports.empty()) out.push_back("other bytes of what it reads: " + NamesOf(ports));
  if (!contents.empty()) out.push_back("other content of what a parameter names: " + NamesOf(contents));
  if (!files.empty())
    out.push_back("other content of a file, one more or one less (" + Counted(files.size(), "file") +
                  "): " + NamesOf(files));
  if (!env.empty()) out.push_back("another value under `env`: " + NamesOf(env));
  return out;
}

std::vector<std::string> WhatIsIgnored(const StageSpec& stage) {
  std::vector<std::string> out = {
      "its id, `needs`, `if`, `retries`, `timeout`, `resources`, and the place of the pipeline"};
  std::set<std::string> names;
  if (stage.info != nullptr) {
    for (const ParamInfo& param : stage.info->params) {
      if (param.is_volatile) names.insert(param.name);
    }
  }
  if (!names.empty()) out.push_back("parameters that do not change what it makes: " + NamesOf(names));
  if (stage.exec)
    out.push_back("files that `run` reads and `files` does not name; variables not under `env`");
  return out;
}

// What its run, if one goes on, waits for.
Result<std::vector<std::string>> WhatItWaitsFor(const Pipeline& pipeline, size_t node, Store& store) {
  std::vector<std::string> out;
  RunFilter filter;
  filter.pipeline = pipeline.name;
  filter.status = RunStatus::kRunning;
  GF_TRY(const auto runs, store.ListRuns(filter));
  const StageSpec& stage = pipeline.stages[node];
  const Graph order = BuildGraphs(pipeline).order;
  for (const RunInfo& run : runs) {
    if (std::find(run.stages.begin(), run.stages.end(), stage.id) == run.stages.end()) continue;
    GF_TRY(const auto attempts, store.ListAttempts(run.id));
    const auto last_of = [&](const std::string& id) {
      const auto found = std::find_if(attempts.rbegin(), attempts.rend(),
                                      [&](const AttemptInfo& attempt) { return attempt.stage == id; });
      return found == attempts.rend() ? nullptr : &*found;
    };
    const AttemptInfo* mine = last_of(stage.id);
    if (mine != nullptr && mine->status == AttemptStatus::kRunning) {
      out.push_back("is running in run " + run.id + " (attempt " + std::to_string(mine->attempt) + ")");
      continue;
    }
    if (mine != nullptr && mine->end.retry_at > 0) {
      out.push_back("failed in run " + run.id + ", which goes on, and is tried again");
      continue;
    }
    if (mine != nullptr) continue;
    bool waits = false;
    for (const size_t before : order.Predecessors(node)) {
      const auto& id = pipeline.stages[before].id;
      const AttemptInfo* attempt = last_of(id);
      const bool running = attempt != nullptr && attempt->status == AttemptStatus::kRunning;
      if (attempt != nullptr && !running && attempt->end.retry_at == 0) continue;
      if (std::find(run.stages.begin(), run.stages.end(), id) == run.stages.end()) continue;
      out.push_back("waits in run " + run.id + " for '" + id + "', which " +
                    (running              ? "is running"
                     : attempt != nullptr ? "is tried again"
                                          : "has not started"));
      waits = true;
    }
    if (!waits)
      out.push_back("waits in run " + run.id + " for its turn: for cpus, gpus or memory, or for its key");
  }
  return out;
}

}  // namespace

Result<StageExplanation> ExplainStage(const Pipeline& pipeline, const std::string& id, Store& store) {
  const auto node = pipeline.IndexOf(id);
  if (!node) return NoSuchStage(pipeline, id);
  RunOptions options;
  options.until = {id};
  CacheView cache(pipeline, store);
  GF_TRY(auto planned, PlanThrough(cache, pipeline, store, options));
  const auto mine = std::find_if(planned.begin(), planned.end(),
                                 [&](const PlannedStage& stage) { return stage.stage == id; });
  StageExplanation out;
  out.planned = std::move(*mine);
  if (const auto components = cache.Components(*node); components.ok())
    out.parts = KeyParts(*components);
  else
    out.blocked.push_back(components.error().message);

  GF_TRY(const auto earlier, store.EarlierKeys(pipeline.name, id, kKeysCompared));
  out.earlier_run = out.planned.hit ? out.planned.hit->run : out.planned.compared_run;
  if (out.earlier_run.empty() && !earlier.empty()) out.earlier_run = earlier.front().run;
  // The one with the same key tells most, then the one compared with.
  const auto find = [&](auto wanted) { return std::find_if(earlier.begin(), earlier.end(), wanted); };
  auto record = find([&](const KeyRecord& one) { return one.key == out.planned.key; });
  if (record == earlier.end())
    record = find([&](const KeyRecord& one) { return one.run == out.earlier_run; });
  if (record != earlier.end()) {
    out.earlier_parts = KeyParts(record->components_json);
    if (!out.planned.hit) out.earlier_run = record->run;
  }
  GF_TRY(out.last, store.PreviousAttempt(pipeline.name, id));
  if (out.planned.hit) {
    out.outputs = out.planned.hit->outputs;
    out.outputs_run = out.planned.hit->run;
  } else if (out.last && !out.last->outputs.empty()) {
    out.outputs = out.last->outputs;
    out.outputs_run = out.last->run;
  }

  if (out.planned.action == PlannedStage::Action::kSkip) {
    for (const auto& reason : out.planned.reasons) out.blocked.push_back(reason);
  }
  GF_TRY(auto waits, WhatItWaitsFor(pipeline, *node, store));
  for (auto& sentence : waits) out.blocked.push_back(std::move(sentence));
  if (!out.planned.key.empty() && !out.planned.hit) {
    GF_TRY(const auto run, store.ComputingRun(out.planned.key));
    if (run) {
      out.blocked.push_back("its key is being computed by run " + run->id + " (process " +
                            std::to_string(run->pid) + " on " + run->host + ")");
    }
  }
  out.invalidated_by = WhatInvalidates(pipeline.stages[*node], out.parts);
  out.ignored = WhatIsIgnored(pipeline.stages[*node]);
  return out;
}

}  // namespace genflow
