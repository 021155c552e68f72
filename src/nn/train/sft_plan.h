// Which rows each update sees.
#pragma once

#include <cstdint>
#include <vector>

#include "nn/train/sft.h"
#include "nn/train/sft_data.h"

namespace genflow::nn::train {

// Everything follows from an update's number, so that a resumed run needs to know nothing else.
class SftPlan {
 public:
  SftPlan(const SftExamples& examples, const SftOptions& options);

  int64_t total_steps() const { return total_steps_; }
  int64_t steps_per_epoch() const { return steps_per_epoch_; }
  size_t rows() const { return rows_.size(); }

  // The examples of each micro-batch of an update. The last window of an epoch may be short.
  std::vector<std::vector<uint32_t>> MicroBatches(int64_t step);
  // Tokens of the updates before `step`.
  int64_t TokensBefore(int64_t step);

 private:
  const std::vector<uint32_t>& Order(int64_t epoch);

  uint64_t seed_;
  bool shuffle_;
  PackedRows rows_;
  std::vector<int64_t> row_tokens_;
  size_t batch_ = 1, window_ = 1;
  int64_t steps_per_epoch_ = 0, total_steps_ = 0;
  int64_t epoch_ = -1;
  std::vector<uint32_t> order_;
};

}  // namespace genflow::nn::train
