// `genflow explain`: everything about the key of one stage.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/pipeline.h"
#include "engine/engine.h"
#include "engine/key_change.h"
#include "store/locks.h"
#include "store/store.h"

namespace genflow {

struct StageExplanation {
  PlannedStage planned;  // what a run would do, and why
  // The parts of its key now; those that are not known yet say so (IsUnknown).
  std::vector<KeyPart> parts;
  // Of the key compared with: the hit's, or the nearest of those that the stage has had. Empty: there is
  // none.
  std::vector<KeyPart> earlier_parts;
  std::string earlier_run;
  std::optional<AttemptInfo> last;  // its last attempt that had a key
  // Where its outputs lie: of the hit, or of the last run that made some.
  std::vector<PortArtifact> outputs;
  std::string outputs_run;
  std::vector<std::string> blocked;         // why it is not run, or not yet, one sentence each
  std::vector<std::string> invalidated_by;  // what would change its key
  std::vector<std::string> ignored;         // what does not count in it
};

// `stage` is an id of the pipeline; an unknown one is refused with "did you mean".
Result<StageExplanation> ExplainStage(const Pipeline& pipeline, const std::string& stage, Store& store);

}  // namespace genflow
