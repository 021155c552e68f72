#include "nn/train/sft_plan.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace genflow::nn::train {

SftPlan::SftPlan(const SftExamples& examples, const SftOptions& options)
    : seed_(options.seed),
      shuffle_(options.shuffle),
      group_by_length_(options.group_by_length),
      pads_(!options.padding_free),
      max_length_(options.packing ? options.max_length : 0),
      pad_to_multiple_of_(options.pad_to_multiple_of) {
  if (options.packing) {
    std::vector<int64_t> lengths;
    for (size_t i = 0; i < examples.size(); ++i)
      lengths.push_back(static_cast<int64_t>(examples.ids(i).size()));
    rows_ = PackBestFit(lengths, options.max_length, options.seed);
  } else {
    rows_ = OneRowEach(examples.size());
  }
  for (const auto& row : rows_) {
    int64_t tokens = 0, labels = 0;
    for (const uint32_t member : row) {
      tokens += static_cast<int64_t>(examples.ids(member).size());
      const auto train = examples.train(member);
      for (size_t t = 1; t < train.size(); ++t) labels += train[t] != 0;
    }
    row_tokens_.push_back(tokens);
    row_labels_.push_back(labels);
  }
  order_.resize(rows_.size());
  batch_ = static_cast<size_t>(options.per_device_train_batch_size);
  window_ = batch_ * static_cast<size_t>(options.gradient_accumulation_steps);
  steps_per_epoch_ = static_cast<int64_t>((rows_.size() + window_ - 1) / window_);
  total_steps_ =
      options.max_steps > 0
          ? options.max_steps
          : static_cast<int64_t>(std::ceil(options.epochs * static_cast<double>(steps_per_epoch_)));
}

std::pair<size_t, size_t> SftPlan::Window(int64_t step) const {
  const size_t begin = static_cast<size_t>(step % steps_per_epoch_) * window_;
  return {begin, std::min(rows_.size(), begin + window_)};
}

std::vector<std::vector<uint32_t>> SftPlan::MicroBatches(int64_t step, int process, int processes) {
  const auto& order = Order(step / steps_per_epoch_);
  const auto [begin, end] = Window(step);
  std::vector<std::vector<uint32_t>> out;
  size_t taken = 0;
  for (size_t i = begin + static_cast<size_t>(process); i < end; i += static_cast<size_t>(processes)) {
    if (taken++ % batch_ == 0) out.emplace_back();
    out.back().insert(out.back().end(), rows_[order[i]].begin(), rows_[order[i]].end());
  }
  return out;
}

int64_t SftPlan::OfWindow(const std::vector<int64_t>& of_rows, int64_t step) {
  const auto& order = Order(step / steps_per_epoch_);
  const auto [begin, end] = Window(step);
  int64_t out = 0;
  for (size_t i = begin; i < end; ++i) out += of_rows[order[i]];
  return out;
}

int64_t SftPlan::TokensBefore(int64_t step) {
  int64_t out = step / steps_per_epoch_ * std::accumulate(row_tokens_.begin(), row_tokens_.end(), int64_t{0});
  const auto& order = Order(step / steps_per_epoch_);
  const size_t rest = Window(step).first;
  for (size_t i = 0; i < rest; ++i) out += row_tokens_[order[i]];
  return out;
}

double SftPlan::Efficiency() {
  if (max_length_ == 0 && !pads_) return 1;
  const auto tokens = std::accumulate(row_tokens_.begin(), row_tokens_.end(), int64_t{0});
  int64_t places = static_cast<int64_t>(rows_.size()) * max_length_;
  const auto& order = Order(0);
  // Micro-batches do not reach beyond their window, which holds a whole number of them.
  for (size_t i = 0; max_length_ == 0 && i < order.size(); i += batch_) {
    const size_t end = std::min(order.size(), i + batch_);
    int64_t longest = 0;
    for (size_t j = i; j < end; ++j) longest = std::max(longest, row_tokens_[order[j]]);
    places += static_cast<int64_t>(end - i) * PaddedWidth(longest, pad_to_multiple_of_);
  }
  return static_cast<double>(tokens) / static_cast<double>(places);
}

const std::vector<uint32_t>& SftPlan::Order(int64_t epoch) {
  if (epoch == epoch_) return order_;
  if (shuffle_) {
    order_ = EpochOrder(rows_.size(), seed_, epoch);
  } else {
    std::iota(order_.begin(), order_.end(), 0u);
  }
  if (group_by_length_) order_ = GroupByLength(row_tokens_, window_, std::move(order_));
  epoch_ = epoch;
  return order_;
}

}  // namespace genflow::nn::train
