// What runs are compared by.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "store/store.h"

namespace genflow::cli {

struct StageFacts {
  std::string stage, uses;
  std::string status;   // of its last attempt
  double seconds = 0;   // it took; of a cached one: that the run it came from took
  std::string version;  // of the stage, and the beginning of its plugin's digest; empty for exec
};

struct RunFacts {
  RunInfo run;
  std::map<std::string, nlohmann::json> params;
  std::vector<StageFacts> stages;                // in the order of the run
  std::map<std::string, double> metrics;         // by "stage.metric": the last value
  std::map<std::string, std::string> artifacts;  // by "stage.port": digest
  std::map<std::string, std::string> stage_of;   // of those names
};

// `ref` as ResolveRun takes it.
Result<RunFacts> FactsOfRun(Store& store, const std::string& ref);

// "ran 1.2 s", "cached", "-" for null.
std::string StageText(const StageFacts* stage);
// One line; strings that need no quotes have none.
std::string ParamText(const nlohmann::json& value);

}  // namespace genflow::cli
