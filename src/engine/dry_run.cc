// `genflow plan`: the engine's decisions without their effects.
#include <algorithm>

#include "engine/cache_view.h"
#include "engine/condition.h"
#include "engine/engine.h"

namespace genflow {

namespace {

using Action = PlannedStage::Action;

// The `if` of a stage of which everything it needs is known already: its reason to be skipped, or nothing.
Result<std::optional<std::string>> WhySkipped(const Pipeline& pipeline, Store& store, size_t node,
                                              const PipelineGraphs& graphs,
                                              const std::vector<std::optional<Action>>& actions,
                                              const std::map<size_t, CacheHit>& hits) {
  const auto cached = [&](const std::string& id) { return hits.find(*pipeline.IndexOf(id)); };
  RunKnowledge knowledge;
  for (const size_t before : graphs.order.Predecessors(node)) {
    if (actions[before]) knowledge.needs_succeeded &= *actions[before] == Action::kCached;
  }
  knowledge.outcome = [&](const std::string& id) {
    return cached(id) == hits.end() ? StageOutcome::kSkipped : StageOutcome::kSuccess;
  };
  knowledge.metrics = [&](const std::string& id) {
    const CacheHit& hit = cached(id)->second;
    return MetricsOf(store, hit.run, hit.stage, hit.outputs);
  };
  knowledge.output = [&](const std::string& id, const std::string& port) -> std::optional<std::string> {
    for (const auto& output : cached(id)->second.outputs) {
      if (output.port == port) return output.artifact.path().string();
    }
    return std::nullopt;
  };
  GF_TRY(const Decision decision, Decide(pipeline.stages[node].conditions, knowledge));
  if (decision.yes) return std::optional<std::string>();
  return std::optional(decision.Reason());
}

}  // namespace

const char* PlannedActionName(PlannedStage::Action action) {
  switch (action) {
    case PlannedStage::Action::kRun:
      return "run";
    case PlannedStage::Action::kMaybe:
      return "maybe";
    case PlannedStage::Action::kCached:
      return "cached";
    case PlannedStage::Action::kSkip:
      return "skip";
    case PlannedStage::Action::kMissing:
      return "missing";
  }
  return "unknown";
}

Result<std::vector<PlannedStage>> PlanThrough(CacheView& cache, const Pipeline& pipeline, Store& store,
                                              const RunOptions& options) {
  const PipelineGraphs graphs = BuildGraphs(pipeline);
  GF_TRY(const Plan plan, PlanFor(pipeline, graphs, options, store));
  GF_TRY(const auto seconds, store.AverageDurations(pipeline.name));
  std::vector<std::optional<Action>> actions(pipeline.stages.size());
  std::map<size_t, CacheHit> hits;
  std::vector<PlannedStage> out;
  const auto add_why = [](WhyRun why, PlannedStage* planned) {
    for (auto& sentence : why.sentences) planned->reasons.push_back(std::move(sentence));
    for (auto& sentence : DescribeChanges(why.changes)) planned->reasons.push_back(std::move(sentence));
    planned->changes = std::move(why.changes);
    planned->compared_run = std::move(why.compared_run);
  };
  for (const size_t node : plan.order) {
    const auto& stage = pipeline.stages[node];
    PlannedStage planned;
    planned.stage = stage.id;
    planned.uses = stage.uses;
    if (const auto known = seconds.find(stage.id); known != seconds.end())
      planned.estimated_seconds = known->second;

    const auto first_with = [&](const Graph& graph,
                                std::initializer_list<Action> wanted) -> std::optional<size_t> {
      for (const size_t before : graph.Predecessors(node)) {
        if (actions[before] && std::find(wanted.begin(), wanted.end(), *actions[before]) != wanted.end())
          return before;
      }
      return std::nullopt;
    };
    if (plan.roles[node] == Role::kDisabled) {
      planned.action = Action::kSkip;
      planned.reasons = {"its `if` is false: " + stage.condition};
    } else if (const auto skipped = first_with(graphs.order, {Action::kSkip, Action::kMissing});
               skipped && !AsksHowItWent(stage)) {
      planned.action = Action::kSkip;
      planned.reasons = {"needs '" + pipeline.stages[*skipped].id + "'"};
    } else if (const auto open = first_with(graphs.order, {Action::kRun, Action::kMaybe, Action::kMissing});
               open && !stage.conditions.empty()) {
      planned.action = Action::kMaybe;
      planned.reasons = {"its `if` is decided in the run: " + stage.condition};
    } else if (const auto before = first_with(graphs.artifacts, {Action::kRun, Action::kMaybe})) {
      // Its key is not known before that one has run; the same bytes may come out.
      planned.action = plan.roles[node] == Role::kForce ? Action::kRun : Action::kMaybe;
      planned.reasons = {plan.roles[node] == Role::kForce
                             ? "forced"
                             : "reads '" + pipeline.stages[*before].id + "', which will run"};
      add_why(cache.WhyMaybe(node), &planned);
    } else {
      if (!stage.conditions.empty() && plan.roles[node] != Role::kReuse) {
        auto why = WhySkipped(pipeline, store, node, graphs, actions, hits);
        if (!why.ok() || *why) {
          planned.action = why.ok() ? Action::kSkip : Action::kRun;
          planned.reasons = {why.ok() ? **why : "will fail: " + why.error().message};
          if (!why.ok() && !why.error().hint.empty()) planned.reasons.push_back("hint: " + why.error().hint);
          actions[node] = planned.action;
          out.push_back(std::move(planned));
          continue;
        }
      }
      GF_TRY(const auto key, cache.Key(node));
      planned.key = key.key;
      GF_TRY(auto found, cache.Find(node));
      planned.hit = std::move(found.hit);
      if (plan.roles[node] == Role::kForce) {
        planned.reasons = {"forced"};
      } else if (IsReaction(stage)) {
        planned.reasons = {"its `if` is true: " + stage.condition};
      } else if (planned.hit) {
        planned.action = Action::kCached;
        cache.SetOutputs(node, planned.hit->outputs);
        hits.emplace(node, *planned.hit);
      } else {
        if (plan.roles[node] == Role::kReuse) planned.action = Action::kMissing;
        add_why(cache.Why(node, found.problem), &planned);
      }
    }
    actions[node] = planned.action;
    out.push_back(std::move(planned));
  }
  return out;
}

Result<std::vector<PlannedStage>> PlanPipeline(const Pipeline& pipeline, Store& store,
                                               const RunOptions& options) {
  CacheView cache(pipeline, store);
  return PlanThrough(cache, pipeline, store, options);
}

}  // namespace genflow
