// Training state on disk: whole or not at all, the last two kept.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <future>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace genflow::nn::train {

struct Checkpoint {
  int64_t step = 0;         // updates done
  std::string fingerprint;  // of everything that decides the run: a checkpoint of another run is not used
  nlohmann::json state;     // small values of the recipe
  std::vector<std::pair<std::string, at::Tensor>> tensors;  // [n] fp32 or uint8 each
};

class CheckpointStore {
 public:
  explicit CheckpointStore(std::filesystem::path folder) : folder_(std::move(folder)) {}
  ~CheckpointStore();

  // Writes step-N.safetensors beside the others through a temporary file, synced and renamed. Then removes
  // all but this one and the one before it: later steps are of a run that is not continued. There are never
  // more than three, however often a process is killed here. The tensors are copied at once, and the file is
  // written by a thread of its own, one at a time: waits for the one before it, whose error is returned.
  Status Save(const Checkpoint& checkpoint);
  // Until the last one is on the disk; its error.
  Status Finish();

  // The newest checkpoint with this fingerprint whose bytes are whole. `notes` gets a sentence for each
  // newer file that was passed over.
  Result<std::optional<Checkpoint>> LoadNewest(const std::string& fingerprint,
                                               std::vector<std::string>* notes) const;

 private:
  std::filesystem::path folder_;
  std::future<Status> writing_;
};

}  // namespace genflow::nn::train
