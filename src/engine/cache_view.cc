#include "engine/cache_view.h"

#include <algorithm>

#include "base/strings.h"
#include "engine/attempt.h"
#include "engine/outside_inputs.h"

namespace genflow {

namespace {

Result<std::vector<size_t>> FindStages(const Pipeline& pipeline, const std::vector<std::string>& ids,
                                       const std::string& option) {
  std::vector<size_t> nodes;
  for (const auto& id : ids) {
    const std::vector<size_t> found = pipeline.Select(id);
    nodes.insert(nodes.end(), found.begin(), found.end());
    if (!found.empty()) continue;
    Error error = NoSuchStage(pipeline, id);
    error.message = option + " '" + id + "': " + error.message;
    return error;
  }
  return nodes;
}

// Why a reference to a child of a matrix names none; nothing where it is no such reference.
std::optional<Error> NoSuchChild(const Pipeline& pipeline, const std::string& ref) {
  constexpr size_t kShown = 3;
  const auto parsed = ParseStageRef(ref);
  const std::string name = ref.substr(0, ref.find('['));
  std::vector<std::string> ids, axes;
  for (const auto& stage : pipeline.stages) {
    if (stage.parent != name) continue;
    ids.push_back(stage.id);
    for (const auto& value : stage.matrix) {
      if (std::find(axes.begin(), axes.end(), value.name) == axes.end()) axes.push_back(value.name);
    }
  }
  if (name == ref || (ids.empty() && !pipeline.IndexOf(name))) return std::nullopt;
  if (!parsed)
    return InvalidError("'" + ref + "' is no reference to a stage",
                        ids.empty() ? "write " + name : "a child of a matrix is written " + ids.front());
  if (ids.empty()) return InvalidError("stage '" + name + "' has no matrix", "write " + name);
  for (const auto& [axis, value] : parsed->values) {
    if (std::find(axes.begin(), axes.end(), axis) != axes.end()) continue;
    const auto near = NearestName(axis, axes);
    return InvalidError("the matrix of '" + name + "' has no '" + axis + "'",
                        near ? "did you mean '" + *near + "'?" : "it has " + Join(axes, ", "));
  }
  if (const auto near = NearestName(ref, ids))
    return InvalidError("'" + name + "' has no child '" + ref + "'", "did you mean '" + *near + "'?");
  const size_t more = ids.size() > kShown ? ids.size() - kShown : 0;
  ids.resize(ids.size() - more);
  return InvalidError("'" + name + "' has no child '" + ref + "'",
                      "its children: " + Join(ids, ", ") +
                          (more > 0 ? " and " + WithCommas(static_cast<int64_t>(more)) + " more" : ""));
}

}  // namespace

Error NoSuchStage(const Pipeline& pipeline, const std::string& ref) {
  if (auto error = NoSuchChild(pipeline, ref)) return *std::move(error);
  std::vector<std::string> names;
  const std::string* parent = nullptr;
  for (const auto& stage : pipeline.stages) {
    if (!stage.parent.empty() && (parent == nullptr || *parent != stage.parent))
      names.push_back(stage.parent);
    parent = &stage.parent;
    if (stage.parent.empty() || ref.find('[') != std::string::npos) names.push_back(stage.id);
  }
  const auto near = NearestName(ref, names);
  return InvalidError(pipeline.file.string() + " has no stage '" + ref + "'",
                      near ? "did you mean '" + *near + "'?" : "its stages are " + Join(names, ", "));
}

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
      const auto source = pipeline.IndexOf(need.stage);
      if (!source) continue;
      graphs.order.AddEdge(*source, node);
      if (need.reads) graphs.artifacts.AddEdge(*source, node);
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
      known_(pipeline.stages.size()),
      outputs_(OutsideArtifacts(pipeline)) {
  for (const auto& stage : pipeline.stages) {
    for (const auto* inputs : {&stage.inputs, &stage.expression_inputs}) {
      for (const auto& input : *inputs) read_.insert(input.Source());
    }
  }
}

Result<StageKey> CacheView::Key(size_t node) {
  if (!keys_[node]) {
    GF_TRY(auto key, ComputeKey(pipeline_.stages[node], outputs_, store_));
    keys_[node] = std::move(key);
  }
  return *keys_[node];
}

Result<StageKey> CacheView::KeyOfNow(size_t node) {
  if (!pipeline_.stages[node].files.empty()) keys_[node].reset();
  return Key(node);
}

Result<LookupResult> CacheView::Find(size_t node) {
  GF_TRY(const StageKey key, Key(node));
  GF_TRY(auto found, store_.Lookup(key.key));
  if (!found.hit) return found;
  const auto& has = found.hit->outputs;
  for (const auto& output : OutputsOf(pipeline_.stages[node])) {
    if (output.optional ||
        std::any_of(has.begin(), has.end(), [&](const auto& o) { return o.port == output.port; }))
      continue;
    if (!store_.read_only()) GF_CHECK_OK(store_.DropKey(key.key));
    found.problem = "the store has lost its output '" + output.port + "'";
    found.hit.reset();
    break;
  }
  return found;
}

void CacheView::SetOutputs(size_t node, const std::vector<PortArtifact>& outputs) {
  known_[node] = true;
  for (const auto& output : outputs) {
    std::string name = pipeline_.stages[node].id + "." + output.port;
    if (read_.contains(name)) outputs_.insert_or_assign(std::move(name), output.artifact);
  }
}

Result<std::string> CacheView::Components(size_t node) {
  const auto& stage = pipeline_.stages[node];
  if (keys_[node]) return keys_[node]->components;
  std::vector<std::string> added;
  for (const auto* inputs : {&stage.inputs, &stage.expression_inputs}) {
    for (const auto& input : *inputs) {
      const auto source = pipeline_.IndexOf(input.source_stage);
      if (!source || known_[*source]) continue;
      Artifact unknown;
      unknown.digest = kUnknownDigest;
      const std::string name = input.Source();
      if (outputs_.emplace(name, std::move(unknown)).second) added.push_back(name);
    }
  }
  auto key = ComputeKey(stage, outputs_, store_);
  for (const auto& name : added) outputs_.erase(name);
  if (!key.ok()) return std::move(key).error();
  return std::move(key->components);
}

bool CacheView::Compare(const std::vector<KeyRecord>& earlier, const std::string& components,
                        WhyRun* why) const {
  bool found = false;
  for (const KeyRecord& record : earlier) {
    if (KeyParts(record.components_json).empty()) continue;
    auto changes = CompareKeys(record.components_json, components);
    if (found && changes.size() >= why->changes.size()) continue;
    found = true;
    why->changes = std::move(changes);
    why->compared_run = record.run;
    if (why->changes.size() <= 1) break;  // nearer is none
  }
  return found;
}

WhyRun CacheView::Why(size_t node, const std::string& problem) {
  if (!problem.empty()) return {{problem}, {}, {}};
  const auto& stage = pipeline_.stages[node];
  const auto earlier = store_.EarlierKeys(pipeline_.name, stage.id, kKeysCompared);
  if (!earlier.ok() || earlier->empty()) return {{"never ran before"}, {}, {}};
  const auto key = Key(node);
  if (!key.ok()) return {{key.error().message}, {}, {}};
  const auto same = std::find_if(earlier->begin(), earlier->end(),
                                 [&](const KeyRecord& record) { return record.key == key->key; });
  if (same != earlier->end()) {
    const std::string in_run = " in run " + same->run;
    switch (same->status) {
      case AttemptStatus::kFailed:
        return {{"failed" + in_run}, {}, {}};
      case AttemptStatus::kInterrupted:
      case AttemptStatus::kRunning:
        return {{"was interrupted" + in_run}, {}, {}};
      case AttemptStatus::kGated:
        return {{"said no" + in_run}, {}, {}};
      default:
        return {{"its outputs are no longer in the store"}, {}, {}};
    }
  }
  WhyRun why;
  Compare(*earlier, key->components, &why);
  if (why.changes.empty()) why.sentences = {"no cache entry"};
  return why;
}

std::string CacheView::WhyNotCached(size_t node, const std::string& problem, size_t most) {
  WhyRun why = Why(node, problem);
  for (auto& sentence : DescribeChanges(why.changes)) why.sentences.push_back(std::move(sentence));
  const size_t all = why.sentences.size();
  why.sentences.resize(std::min(all, most));
  return Join(why.sentences, "; ") + (all > most ? "; and " + std::to_string(all - most) + " more" : "");
}

WhyRun CacheView::WhyMaybe(size_t node) {
  WhyRun why;
  const auto earlier = store_.EarlierKeys(pipeline_.name, pipeline_.stages[node].id, kKeysCompared);
  if (!earlier.ok() || earlier->empty()) return why;
  const auto components = Components(node);
  if (!components.ok()) return why;
  Compare(*earlier, *components, &why);
  if (why.changes.empty()) why.compared_run.clear();
  return why;
}

}  // namespace genflow
