// genflow-session: the process that holds models for the command line, which links no libtorch. It is asked
// and answers in JSON, a line each way.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "base/files.h"
#include "base/result.h"
#include "base/subprocess.h"

namespace genflow::cli {

class Session {
 public:
  // Its log, what it and its libraries print, goes to an unnamed file.
  static Result<Session> Start();

  Status Ask(const nlohmann::json& request);
  // The next line. kInterrupted when `interrupted` turned true first; where the process has ended, or says
  // what is no JSON: an error that holds the end of its log.
  Result<nlohmann::json> Next(const std::function<bool()>& interrupted = {});
  // Asks it to stop what it is doing; its answer still comes.
  void Stop() const;
  void Kill() const;

 private:
  Session(Process process, Fd to, Fd from, Fd log)
      : process_(std::move(process)), to_(std::move(to)), from_(std::move(from)), log_(std::move(log)) {}
  Error Ended();

  Process process_;
  Fd to_, from_, log_;
  std::string pending_;
};

// The error of a line {"t": "error"}.
Error SaidError(const nlohmann::json& line);

struct Rates {
  double fp32_gflops = 0, bf16_gflops = 0;  // of products of these sizes, on all cores
  bool multiplies_bf16 = false;             // whether the processor does
};
// Takes about two seconds.
Result<Rates> MeasureRates(int64_t hidden, int64_t intermediate);

}  // namespace genflow::cli
