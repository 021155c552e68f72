#include "sizing/advice.h"

#include <gtest/gtest.h>

#include "unit/sizing/shapes.h"

namespace genflow::sizing {
namespace {

TEST(Advice, TheFasterFirst) {
  const ModelShape s = SmolLm2();
  const Job job = LoraJob(s, 16);
  const auto all = Alternatives(job);
  ASSERT_GE(all.size(), 6u);
  EXPECT_EQ(Difference(job, all[0], 1), "");
  EXPECT_EQ(Difference(job, all[1], 2), "per_device_train_batch_size: 2, gradient_accumulation_steps: 4");
  EXPECT_EQ(Difference(job, all[3], 1), "gradient_checkpointing: true");
  EXPECT_EQ(Difference(job, all.back(), 1),
            "per_device_train_batch_size: 1, gradient_accumulation_steps: 4, gradient_checkpointing: true, "
            "max_length: 128");
}

TEST(Advice, WhatFits) {
  const ModelShape s = SmolLm2();
  Job job = LoraJob(s, 16);
  job.bf16 = false;
  const uint64_t needed = PredictMemory(s, job).total();
  EXPECT_EQ(Difference(job, *FirstThatFits(s, job, needed), 1), "");
  const auto smaller = FirstThatFits(s, job, needed - 1);
  ASSERT_TRUE(smaller.has_value());
  EXPECT_EQ(smaller->batch, 2);
  uint64_t least = needed;
  for (const Job& other : Alternatives(job)) least = std::min(least, PredictMemory(s, other).total());
  const auto smallest = FirstThatFits(s, job, least);
  ASSERT_TRUE(smallest.has_value());
  EXPECT_TRUE(smallest->bf16);
  EXPECT_FALSE(FirstThatFits(s, job, least - 1).has_value());
}

TEST(Advice, Parts) {
  Memory memory;
  memory.weights = 3ull << 30;
  memory.base = 1ull << 30;
  memory.logits = 1 << 20;
  EXPECT_EQ(PartsText(memory), "weights 3.0 GiB, process 1.0 GiB");
}

}  // namespace
}  // namespace genflow::sizing
