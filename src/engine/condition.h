// `if` conditions that ask how other stages went: decided when all that a stage needs has ended.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "config/pipeline.h"
#include "graph/schedule.h"
#include "store/store.h"

namespace genflow {

// GitHub's words. A cached stage is a success, a gate that said no a failure.
enum class StageOutcome { kSuccess, kFailure, kCancelled, kSkipped };
const char* StageOutcomeName(StageOutcome outcome);  // "success", "failure", "cancelled", "skipped"
StageOutcome OutcomeOfState(NodeState state);
// Why a stage in `state` did not start because of another: "needs 'tune', which failed", or "not started,
// because 'tune' was interrupted".
std::string WhyNotStarted(NodeState state, const std::string& cause, NodeState cause_state);

// What a condition may ask, for one stage.
struct RunKnowledge {
  bool needs_succeeded = true;   // everything that the stage needs directly
  bool ancestor_failed = false;  // something that it needs, directly or not
  bool cancelled = false;        // the run was stopped by a signal
  std::function<StageOutcome(const std::string& id)> outcome;
  // Metrics of a stage that succeeded, by name.
  std::function<Result<std::map<std::string, double>>(const std::string& id)> metrics;
  // The path of an artifact of a stage that succeeded; nothing: it did not write it.
  std::function<std::optional<std::string>(const std::string& id, const std::string& port)> output;
};

struct Decision {
  bool yes = true;
  std::string text;  // of the condition that said no
  // What it asked, as "stages.quality.metrics.perplexity is 23.1"; joined by ", ".
  std::string facts;

  // "its `if` is false: TEXT (FACTS)"
  std::string Reason() const;
};

// All conditions must hold. kInvalid where one asks a stage for a metric that it does not have.
Result<Decision> Decide(const std::vector<RunCondition>& conditions, const RunKnowledge& knowledge);

// The metrics in report.json of each output of type report. Values that are no numbers are left out.
Result<std::map<std::string, double>> ReportedMetrics(const std::string& stage,
                                                      const std::vector<PortArtifact>& outputs);

// What `stages.S.metrics` sees: ReportedMetrics(), and for names that none has the last value that the stage
// reported while it ran, in run `run` as stage `stage`.
Result<std::map<std::string, double>> MetricsOf(Store& store, const std::string& run,
                                                const std::string& stage,
                                                const std::vector<PortArtifact>& outputs);

// Conditions that ask for more than success(): such a stage is not skipped when something it needs fails.
bool AsksHowItWent(const StageSpec& stage);
// Conditions with always(), failure() or cancelled(): such a stage is never taken from the cache.
bool IsReaction(const StageSpec& stage);

}  // namespace genflow
