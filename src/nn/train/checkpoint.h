// Training state on disk: whole or not at all, the last two kept.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace genflow::nn::train {

struct Checkpoint {
  int64_t step = 0;         // updates done
  std::string fingerprint;  // of everything that decides the run: a checkpoint of another run is not used
  nlohmann::json state;     // small values of the recipe
  at::Tensor parameters, exp_avg, exp_avg_sq;  // [n] fp32
};

class CheckpointStore {
 public:
  explicit CheckpointStore(std::filesystem::path folder) : folder_(std::move(folder)) {}

  // Writes step-N.safetensors beside the others through a temporary file, synced and renamed. Then removes
  // all but this one and the one before it: later steps are of a run that is not continued.
  Status Save(const Checkpoint& checkpoint) const;

  // The newest checkpoint with this fingerprint whose bytes are whole. `notes` gets a sentence for each
  // newer file that was passed over.
  Result<std::optional<Checkpoint>> LoadNewest(const std::string& fingerprint,
                                               std::vector<std::string>* notes) const;

 private:
  std::filesystem::path folder_;
};

}  // namespace genflow::nn::train
