// Runs one stage in this process: what a worker does. The engine talks to a worker through the request
// and report lines defined here.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/result.h"

namespace genflow {

struct StageInput {
  std::string port, type, path, digest, source;
};

// What a worker is asked to do. On the wire: one JSON object, members as named here.
struct StageRequest {
  std::string plugin;                                // path of the .so
  std::string plugin_digest;                         // SHA-256 the manifest promised; "" skips the check
  std::string stage;                                 // "train.lora"
  nlohmann::json params = nlohmann::json::object();  // resolved and nested, secrets in clear
  std::vector<StageInput> inputs;
  std::map<std::string, std::string> outputs;  // port -> path to write
  std::string state_dir, scratch_dir;
  int threads = 1;    // of each process
  int processes = 1;  // that run the stage at once; 0 starts the others
  int process = 0;    // which of them this one is
  nlohmann::json info = nlohmann::json::object();
};

nlohmann::json RequestToJson(const StageRequest& request);
Result<StageRequest> RequestFromJson(std::string_view text);

// Receives report objects: {"t":"progress"|"metric"|"log"|"summary"|"fail"|"done", ...}. Called from
// any thread, one call at a time.
class ReportSink {
 public:
  virtual ~ReportSink() = default;
  virtual void Report(const nlohmann::json& line) = 0;
};

// Asks the running stage to stop; async-signal-safe.
void RequestStop();

// Loads the plugin, runs the stage to its end and reports, closing with {"t":"done","outcome":N}.
// Returns the outcome (gf_outcome).
int32_t RunStage(const StageRequest& request, ReportSink& sink);

// Body of `genflow worker`: request from standard input, report lines to the descriptor in
// $GENFLOW_REPORT_FD. Returns the process's exit code, which equals the outcome.
int WorkerMain();

}  // namespace genflow
