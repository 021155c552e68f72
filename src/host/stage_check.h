// A stage's own word on its parameters, before anything runs (gf_stage::check).
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/result.h"
#include "genflow/plugin.h"

namespace genflow {

// One thing that is wrong with the parameters of a stage.
struct ParamProblem {
  std::string param;          // dotted, with an index into a list: "require[1]"; empty: all of them together
  std::string message, hint;  // a message may have several lines
  bool operator==(const ParamProblem&) const = default;
};

// What the stage's check() says of these parameters (resolved and nested); empty: nothing is wrong, or the
// stage has no check.
std::vector<ParamProblem> CheckParams(const gf_stage& stage, const nlohmann::json& params);

struct CheckRequest {
  struct Stage {
    std::string name;  // "train.lora"
    nlohmann::json params;
  };
  std::filesystem::path plugin;  // of the .so
  std::string plugin_digest;     // SHA-256 the manifest promised
  std::vector<Stage> stages;
};

// For each stage of the request, what is wrong. Loads the plugin into this process.
Result<std::vector<std::vector<ParamProblem>>> CheckStages(const CheckRequest& request);

// The same, asked of worker processes: `workers` at most at a time, one a request; a plugin that crashes
// takes its worker along; one that is killed by SIGKILL is replaced once. Results in the order of the
// requests.
std::vector<Result<std::vector<std::vector<ParamProblem>>>> CheckInWorkers(
    const std::vector<CheckRequest>& requests, size_t workers);

// Body of `genflow worker --check`: request from standard input, answer to standard output, both JSON.
int CheckWorkerMain();

}  // namespace genflow
