// One attempt of a stage: what is asked of the executor, and what its end means.
#pragma once

#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "config/pipeline.h"
#include "engine/executor.h"
#include "engine/log_file.h"
#include "engine/masker.h"
#include "engine/retry.h"
#include "engine/stage_key.h"
#include "graph/schedule.h"
#include "store/store.h"

namespace genflow {

inline constexpr double kNever = std::numeric_limits<double>::infinity();

// How an attempt ended. Messages speak of the stage without naming it: "did not write its output 'model'".
struct Verdict {
  enum class Kind { kSucceeded, kGated, kFailed, kInterrupted } kind = Kind::kFailed;
  Error error;                                // kFailed, kGated; kInterrupted by itself
  bool retry_may_help = true;                 // kFailed; kInterrupted by itself
  FailureCause cause = FailureCause::kError;  // likewise
};

// What is known of an attempt while it runs.
struct Attempt {
  int number = 1;
  int64_t row = 0;  // in the store
  std::optional<Staging> staging;
  std::optional<LogFile> log;
  std::vector<OutputSpec> outputs;
  std::map<std::string, std::string> output_paths;
  std::string state_dir;
  Grant grant;
  double started = 0;
  double timeout_at = kNever;
  double kill_at = kNever;  // set once it was asked to stop
  Job job;
  bool running = false;  // its process
  bool keyless = false;  // the files that it has read are not those of its key
  bool timed_out = false;
  std::optional<uint64_t> over_memory;  // OverMemory::bytes
  bool stop_asked = false;              // by the user
  std::optional<Error> failure;
  std::string broken;  // what the worker did against the protocol
  std::string summary;
  std::optional<OutputMasker> output;
  std::vector<MetricPoint> metrics;  // not yet in the store
  ExitStatus exit;
  Verdict verdict;  // once its outputs are being sealed
};

// Facts that do not change within a run.
struct RunFacts {
  const Pipeline* pipeline = nullptr;
  std::string run;
  std::vector<int> gpus;  // of the pool
};

std::vector<OutputSpec> OutputsOf(const StageSpec& stage);

// What the stage reads, as the store is told of it.
std::vector<InputUse> InputsOf(const StageSpec& stage, const KnownOutputs& known);

// Everything the executor needs; placeholders are replaced by paths and secrets.
Result<Job> MakeJob(const RunFacts& facts, const StageSpec& stage, int id, const StageKey& key,
                    const Attempt& attempt, const KnownOutputs& known);

Verdict Judge(const StageSpec& stage, const Attempt& attempt, std::optional<int> outcome);

// Before the outputs are sealed: required ones are there, and nothing else.
Status CheckOutputs(const StageSpec& stage, const Attempt& attempt);

// Metrics that a program wrote into its reports, once they are sealed: it has no other way to say them.
// Reports that cannot be read have none; that is the fault of who asks for them.
std::map<std::string, double> SealedMetrics(const StageSpec& stage, const Attempt& attempt);

// What the store records of an attempt that has ended. `error` counts where it failed or a gate said no.
AttemptEnd EndOf(const Attempt& attempt, AttemptStatus status, const Error& error);

}  // namespace genflow
