#include "sizing/advice.h"

#include <algorithm>

#include "base/strings.h"

namespace genflow::sizing {

std::vector<Job> Alternatives(const Job& job) {
  std::vector<Job> all;
  const auto add = [&](bool checkpointing, bool bf16, int64_t max_length) {
    for (int64_t batch = job.batch; batch >= 1; batch /= 2) {
      Job& next = all.emplace_back(job);
      next.batch = batch;
      next.gradient_checkpointing = checkpointing;
      next.bf16 = bf16;
      next.max_length = max_length;
    }
  };
  for (const bool bf16 : {job.bf16, true}) {
    if (!job.gradient_checkpointing) add(false, bf16, job.max_length);
    add(true, bf16, job.max_length);
    if (job.bf16) break;
  }
  constexpr int64_t kShortest = 128;
  for (int64_t length = job.max_length / 2; length >= kShortest; length /= 2) add(true, true, length);
  return all;
}

std::optional<Job> FirstThatFits(const ModelShape& shape, const Job& job, uint64_t bytes) {
  for (const Job& next : Alternatives(job)) {
    if (PredictMemory(shape, next).total() <= bytes) return next;
  }
  return std::nullopt;
}

std::string Difference(const Job& from, const Job& to, int64_t accumulation) {
  std::vector<std::string> parts;
  if (to.batch != from.batch) {
    parts.push_back("per_device_train_batch_size: " + std::to_string(to.batch));
    const int64_t steps = accumulation * from.batch / std::max<int64_t>(1, to.batch);
    parts.push_back("gradient_accumulation_steps: " + std::to_string(steps));
  }
  if (to.gradient_checkpointing != from.gradient_checkpointing)
    parts.emplace_back("gradient_checkpointing: true");
  if (to.bf16 != from.bf16) parts.emplace_back("dtype: bf16");
  if (to.max_length != from.max_length) parts.push_back("max_length: " + std::to_string(to.max_length));
  return Join(parts, ", ");
}

std::string PartsText(const Memory& memory) {
  auto parts = memory.Parts();
  std::stable_sort(parts.begin(), parts.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  const uint64_t least = memory.total() / 100;
  std::vector<std::string> texts;
  for (const auto& [name, bytes] : parts) {
    if (bytes > least) texts.push_back(std::string(name) + " " + HumanBytes(bytes));
  }
  return Join(texts, ", ");
}

}  // namespace genflow::sizing
