// A pipeline seen through the store: its graph, its keys, what is cached and why the rest is not.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/pipeline.h"
#include "engine/engine.h"
#include "engine/stage_key.h"
#include "graph/graph.h"
#include "graph/plan.h"
#include "store/store.h"

namespace genflow {

// One node a stage, in the order of the file.
struct PipelineGraphs {
  Graph order;      // edges from inputs, expressions and needs
  Graph artifacts;  // the same without needs
};
PipelineGraphs BuildGraphs(const Pipeline& pipeline);

// What takes part in a run. kInvalid with "did you mean" for unknown stage ids, and for a selection that
// leaves nothing.
Result<Plan> PlanFor(const Pipeline& pipeline, const PipelineGraphs& graphs, const RunOptions& options,
                     Store& store);

class CacheView {
 public:
  // Both must outlive the view. It begins with what ResolveOutsideInputs() has found.
  CacheView(const Pipeline& pipeline, Store& store);

  // The key of a stage whose predecessors' outputs are known. Computed once.
  Result<StageKey> Key(size_t node);
  // Announces what a stage has put out.
  void SetOutputs(size_t node, const std::vector<PortArtifact>& outputs);
  const KnownOutputs& outputs() const { return outputs_; }

  // Why there is no cached answer for the stage's key: at least one sentence. `problem` is what Lookup said.
  std::vector<std::string> WhyNotCached(size_t node, const std::string& problem);

 private:
  const Pipeline& pipeline_;
  Store& store_;
  std::vector<std::optional<StageKey>> keys_;
  KnownOutputs outputs_;
};

}  // namespace genflow
