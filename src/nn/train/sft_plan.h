// Which rows each update sees.
#pragma once

#include <cstdint>
#include <utility>
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

  // The examples of each micro-batch of an update. The last window of an epoch may be short. Of `processes`
  // that share a window, each gets every processes-th of its rows.
  std::vector<std::vector<uint32_t>> MicroBatches(int64_t step, int process = 0, int processes = 1);
  // Labels and tokens of an update, in all processes.
  int64_t Labels(int64_t step) { return OfWindow(row_labels_, step); }
  int64_t Tokens(int64_t step) { return OfWindow(row_tokens_, step); }
  // Tokens of the updates before `step`.
  int64_t TokensBefore(int64_t step);
  // How much of the first epoch's rows is tokens: the rest is left empty by packing, or filled with pads.
  double Efficiency();

 private:
  const std::vector<uint32_t>& Order(int64_t epoch);
  // The window's rows: begin and end in the order of its epoch.
  std::pair<size_t, size_t> Window(int64_t step) const;
  int64_t OfWindow(const std::vector<int64_t>& of_rows, int64_t step);

  uint64_t seed_;
  bool shuffle_, group_by_length_, pads_;
  int64_t max_length_ = 0, pad_to_multiple_of_ = 0;  // max_length_: of packed rows, else 0
  PackedRows rows_;
  std::vector<int64_t> row_tokens_, row_labels_;
  size_t batch_ = 1, window_ = 1;
  int64_t steps_per_epoch_ = 0, total_steps_ = 0;
  int64_t epoch_ = -1;
  std::vector<uint32_t> order_;
};

}  // namespace genflow::nn::train
