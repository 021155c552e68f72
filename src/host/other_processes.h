// A stage that runs in several processes: process 0 starts the others and watches them.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "base/subprocess.h"
#include "host/stage_runner.h"

namespace genflow {

// They are workers with the same request, in the process group of process 0, and end with it. When one ends
// although it was not asked to, process 0 is asked to stop; where it does not within kLostGrace seconds,
// because it waits for what will never come, it is ended, and so is the stage.
class OtherProcesses {
 public:
  static constexpr double kLostGrace = 20;

  // `report` is called from other threads.
  static Result<std::unique_ptr<OtherProcesses>> Start(
      const StageRequest& request, std::function<void(const nlohmann::json& line)> report);
  ~OtherProcesses();

  // After the stage has ended here: waits for the others, or ends them, and says how the stage as a whole has
  // ended. `failed`: process 0 has said why it fails.
  int32_t End(int32_t outcome, bool failed);

 private:
  struct Other {
    int number = 0;  // from 2, as people are told
    std::optional<Process> process;
    Fd reports;
    std::thread watch;
    bool ended = false;
    std::optional<nlohmann::json> fail;  // what it said it fails with
  };

  explicit OtherProcesses(std::function<void(const nlohmann::json&)> report) : report_(std::move(report)) {}
  void Watch(Other& other);
  std::string NameOf(const Other& other) const;
  // What the stage ends with when process 0 has; reports the failure of another.
  int32_t Outcome(int32_t outcome, bool failed);

  std::function<void(const nlohmann::json&)> report_;
  std::vector<std::unique_ptr<Other>> others_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool ending_ = false;  // process 0 is done
};

}  // namespace genflow
