#include "nn/train/gradient_sums.h"

#include <algorithm>
#include <functional>
#include <utility>

namespace genflow::nn::train {

GradientSums::GradientSums(Ranks& ranks, const TrainedTensors& trained, int64_t bucket_bytes)
    : ranks_(ranks), gradient_(trained.flat_grad()) {
  const std::vector<ParameterSlice> slices = trained.Slices();
  const int64_t least = std::max<int64_t>(1, bucket_bytes / static_cast<int64_t>(sizeof(float)));
  for (size_t end = slices.size(); end > 0;) {
    // Neighbours in or out of layers, whole layers.
    size_t begin = end;
    Bucket bucket{slices[end - 1].layer, 0, slices[end - 1].offset + slices[end - 1].size()};
    do {
      --begin;
      bucket.begin = slices[begin].offset;
      bucket.layer = std::min(bucket.layer, slices[begin].layer);
      if (begin == 0 || (slices[begin - 1].layer < 0) != (bucket.layer < 0)) break;
    } while (bucket.end - bucket.begin < least || slices[begin - 1].layer == slices[begin].layer);
    buckets_.push_back(bucket);
    end = begin;
  }
  std::ranges::stable_sort(buckets_, std::greater(), &Bucket::layer);
}

void GradientSums::Watch(const at::Tensor& x, int64_t layer) {
  // What is below the lowest adapter gets no gradient: Finish() starts what is left.
  if (!x.requires_grad()) return;
  x.register_hook([this, layer](const at::Tensor&) {
    try {
      StartFrom(layer);
    } catch (...) {
      failed_ = std::current_exception();
    }
  });
}

void GradientSums::StartFrom(int64_t layer) {
  while (!failed_ && started_ < buckets_.size() && buckets_[started_].layer >= layer) {
    const Bucket& bucket = buckets_[started_++];
    ranks_.StartSum(gradient_.narrow(0, bucket.begin, bucket.end - bucket.begin));
  }
}

void GradientSums::Finish() {
  StartFrom(-1);
  started_ = 0;
  if (failed_) std::rethrow_exception(std::exchange(failed_, nullptr));
  ranks_.Wait();
}

}  // namespace genflow::nn::train
