// A pipeline seen through the store: its graph, its keys, what is cached and why the rest is not.
#pragma once

#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "config/pipeline.h"
#include "engine/engine.h"
#include "engine/key_change.h"
#include "engine/stage_key.h"
#include "graph/graph.h"
#include "graph/plan.h"
#include "store/store.h"

namespace genflow {

// One node a stage, in the order of the file.
struct PipelineGraphs {
  Graph order;      // edges from inputs, expressions and needs
  Graph artifacts;  // the same without needs, those excepted whose metrics or outputs a condition asks for
};
PipelineGraphs BuildGraphs(const Pipeline& pipeline);

// What takes part in a run. kInvalid with "did you mean" for unknown stage ids, and for a selection that
// leaves nothing.
Result<Plan> PlanFor(const Pipeline& pipeline, const PipelineGraphs& graphs, const RunOptions& options,
                     Store& store);

// Why no stage of the pipeline is called `ref`: "'tune' has no child 'tune[r=99]'", "FILE has no stage 'x'".
Error NoSuchStage(const Pipeline& pipeline, const std::string& ref);

// Of the keys that a stage has had, so many are compared with its key of now.
inline constexpr size_t kKeysCompared = 20;

// Why there is no cached answer for a stage's key.
struct WhyRun {
  std::vector<std::string> sentences;  // without those on `changes`
  // Against the nearest of the keys that the stage has had: the one with the fewest differences, of several
  // the latest. Empty: it never ran, or its key is the same.
  std::vector<KeyChange> changes;
  std::string compared_run;  // the last run with that key
};

class CacheView {
 public:
  // Both must outlive the view. It begins with what ResolveOutsideInputs() has found.
  CacheView(const Pipeline& pipeline, Store& store);

  // The key of a stage whose predecessors' outputs are known. Computed once.
  Result<StageKey> Key(size_t node);
  // Computed anew where it counts files of the workspace, which may have changed meanwhile.
  Result<StageKey> KeyOfNow(size_t node);
  // What the store has for the stage's key. A hit without an output that the stage always writes is none.
  Result<LookupResult> Find(size_t node);
  // Announces what a stage has put out: outputs() then has what other stages read of it.
  void SetOutputs(size_t node, const std::vector<PortArtifact>& outputs);
  const KnownOutputs& outputs() const { return outputs_; }

  // The components of the key of a stage that may read what is not known yet: kUnknownDigest stands for it.
  Result<std::string> Components(size_t node);

  // Why there is no cached answer for the stage's key. `problem` is what Lookup said.
  WhyRun Why(size_t node, const std::string& problem);
  // The same as text, "a; b; c; and 4 more": the first `most` of what there is to say.
  std::string WhyNotCached(size_t node, const std::string& problem, size_t most = 3);
  // What has changed already in the key of a stage that reads what is not known yet.
  WhyRun WhyMaybe(size_t node);

 private:
  // The nearest of the stage's earlier keys, into `why`; false when there is none.
  bool Compare(const std::vector<KeyRecord>& earlier, const std::string& components, WhyRun* why) const;

  const Pipeline& pipeline_;
  Store& store_;
  std::vector<std::optional<StageKey>> keys_;
  std::vector<bool> known_;               // its outputs were announced
  std::unordered_set<std::string> read_;  // outputs that stages read, as InputRef::Source()
  KnownOutputs outputs_;
};

// PlanPipeline with a view of the caller's, which afterwards knows the outputs of what is cached.
Result<std::vector<PlannedStage>> PlanThrough(CacheView& cache, const Pipeline& pipeline, Store& store,
                                              const RunOptions& options);

}  // namespace genflow
