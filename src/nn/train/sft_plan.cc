#include "nn/train/sft_plan.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace genflow::nn::train {

SftPlan::SftPlan(const SftExamples& examples, const SftOptions& options)
    : seed_(options.seed), shuffle_(options.shuffle) {
  if (options.packing) {
    std::vector<int64_t> lengths;
    for (size_t i = 0; i < examples.size(); ++i)
      lengths.push_back(static_cast<int64_t>(examples.ids(i).size()));
    rows_ = PackBestFit(lengths, options.max_length, options.seed);
  } else {
    rows_ = OneRowEach(examples.size());
  }
  for (const auto& row : rows_) {
    int64_t tokens = 0;
    for (const uint32_t member : row) tokens += static_cast<int64_t>(examples.ids(member).size());
    row_tokens_.push_back(tokens);
  }
  order_.resize(rows_.size());
  std::iota(order_.begin(), order_.end(), 0u);
  batch_ = static_cast<size_t>(options.per_device_train_batch_size);
  window_ = batch_ * static_cast<size_t>(options.gradient_accumulation_steps);
  steps_per_epoch_ = static_cast<int64_t>((rows_.size() + window_ - 1) / window_);
  total_steps_ =
      options.max_steps > 0
          ? options.max_steps
          : static_cast<int64_t>(std::ceil(options.epochs * static_cast<double>(steps_per_epoch_)));
}

std::vector<std::vector<uint32_t>> SftPlan::MicroBatches(int64_t step) {
  const auto& order = Order(step / steps_per_epoch_);
  const size_t begin = static_cast<size_t>(step % steps_per_epoch_) * window_;
  const size_t end = std::min(order.size(), begin + window_);
  std::vector<std::vector<uint32_t>> out;
  for (size_t i = begin; i < end; i += batch_) {
    auto& members = out.emplace_back();
    for (size_t j = i; j < std::min(end, i + batch_); ++j) {
      members.insert(members.end(), rows_[order[j]].begin(), rows_[order[j]].end());
    }
  }
  return out;
}

int64_t SftPlan::TokensBefore(int64_t step) {
  int64_t out = step / steps_per_epoch_ * std::accumulate(row_tokens_.begin(), row_tokens_.end(), int64_t{0});
  const auto& order = Order(step / steps_per_epoch_);
  const size_t rest = static_cast<size_t>(step % steps_per_epoch_) * window_;
  for (size_t i = 0; i < rest; ++i) out += row_tokens_[order[i]];
  return out;
}

const std::vector<uint32_t>& SftPlan::Order(int64_t epoch) {
  if (epoch != epoch_ && shuffle_) order_ = EpochOrder(rows_.size(), seed_, epoch);
  epoch_ = epoch;
  return order_;
}

}  // namespace genflow::nn::train
