#include "engine/cache_view.h"

#include <algorithm>

#include "base/strings.h"
#include "engine/outside_inputs.h"

namespace genflow {

namespace {

Result<std::vector<size_t>> FindStages(const Pipeline& pipeline, const std::vector<std::string>& ids,
                                       const std::string& option) {
  std::vector<size_t> nodes;
  for (const auto& id : ids) {
    if (const auto index = pipeline.IndexOf(id)) {
      nodes.push_back(*index);
      continue;
    }
    std::vector<std::string> names;
    for (const auto& stage : pipeline.stages) names.push_back(stage.id);
    const auto near = NearestName(id, names);
    return InvalidError(option + " '" + id + "': " + pipeline.file.string() + " has no such stage",
                        near ? "did you mean '" + *near + "'?" : "its stages are " + Join(names, ", "));
  }
  return nodes;
}

// What went into the attempt's key. A cached attempt keeps none: the attempt that computed the key has it.
std::string ComponentsOf(Store& store, const AttemptInfo& attempt) {
  if (attempt.source_run.empty()) return attempt.key_components_json;
  const auto attempts = store.ListAttempts(attempt.source_run);
  if (!attempts.ok()) return {};
  for (const auto& other : *attempts) {
    if (other.key == attempt.key && other.source_run.empty()) return other.key_components_json;
  }
  return {};
}

std::string RunPhrase(const AttemptInfo& attempt) { return "in run " + attempt.run; }

}  // namespace

PipelineGraphs BuildGraphs(const Pipeline& pipeline) {
  PipelineGraphs graphs{Graph(pipeline.stages.size()), Graph(pipeline.stages.size())};
  for (size_t node = 0; node < pipeline.stages.size(); ++node) {
    const auto& stage = pipeline.stages[node];
    for (const auto* inputs : {&stage.inputs, &stage.expression_inputs}) {
      for (const auto& input : *inputs) {
        const auto source = pipeline.IndexOf(input.source_stage);
        if (!source) continue;
        graphs.order.AddEdge(*source, node);
        graphs.artifacts.AddEdge(*source, node);
      }
    }
    for (const auto& need : stage.needs) {
      if (const auto source = pipeline.IndexOf(need.stage)) graphs.order.AddEdge(*source, node);
    }
  }
  return graphs;
}

Result<Plan> PlanFor(const Pipeline& pipeline, const PipelineGraphs& graphs, const RunOptions& options,
                     Store& store) {
  Selection selection;
  GF_TRY(selection.from, FindStages(pipeline, options.from, "--from"));
  GF_TRY(selection.until, FindStages(pipeline, options.until, "--until"));
  GF_TRY(selection.force, FindStages(pipeline, options.force, "--force"));
  selection.force_all = options.force_all;
  GF_TRY(const auto seconds, store.AverageDurations(pipeline.name));
  std::vector<NodeEstimate> estimates(pipeline.stages.size());
  for (size_t node = 0; node < pipeline.stages.size(); ++node) {
    const auto known = seconds.find(pipeline.stages[node].id);
    if (known != seconds.end()) estimates[node].seconds = known->second;
    estimates[node].enabled = pipeline.stages[node].enabled;
  }
  Plan plan = MakePlan(graphs.order, graphs.artifacts, selection, estimates);
  const bool something = std::any_of(plan.roles.begin(), plan.roles.end(), [](Role role) {
    return role == Role::kConsider || role == Role::kForce || role == Role::kDisabled;
  });
  if (!something) {
    return InvalidError("no stage lies between --from " + Join(options.from, ",") + " and --until " +
                            Join(options.until, ","),
                        "--until must name stages that depend on those of --from");
  }
  return plan;
}

CacheView::CacheView(const Pipeline& pipeline, Store& store)
    : pipeline_(pipeline),
      store_(store),
      keys_(pipeline.stages.size()),
      outputs_(OutsideArtifacts(pipeline)) {}

Result<StageKey> CacheView::Key(size_t node) {
  if (!keys_[node]) {
    GF_TRY(auto key, ComputeKey(pipeline_.stages[node], outputs_, store_));
    keys_[node] = std::move(key);
  }
  return *keys_[node];
}

void CacheView::SetOutputs(size_t node, const std::vector<PortArtifact>& outputs) {
  for (const auto& output : outputs) {
    outputs_.insert_or_assign(pipeline_.stages[node].id + "." + output.port, output.artifact);
  }
}

std::vector<std::string> CacheView::WhyNotCached(size_t node, const std::string& problem) {
  const auto& stage = pipeline_.stages[node];
  if (!problem.empty()) return {problem};
  const auto previous = store_.PreviousAttempt(pipeline_.name, stage.id);
  if (!previous.ok() || !*previous) return {"never ran before"};
  const AttemptInfo& attempt = **previous;
  const auto key = Key(node);
  if (key.ok() && attempt.key == key->key) {
    switch (attempt.end.status) {
      case AttemptStatus::kFailed:
        return {"failed " + RunPhrase(attempt)};
      case AttemptStatus::kInterrupted:
      case AttemptStatus::kRunning:
        return {"was interrupted " + RunPhrase(attempt)};
      case AttemptStatus::kGated:
        return {"said no " + RunPhrase(attempt)};
      default:
        return {"its outputs are no longer in the store"};
    }
  }
  std::vector<std::string> changes;
  if (key.ok()) changes = DescribeKeyChange(ComponentsOf(store_, attempt), key->components);
  if (changes.empty()) changes.push_back("no cache entry");
  return changes;
}

}  // namespace genflow
