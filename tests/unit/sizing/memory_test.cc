// Sums that can be done by hand; that they are the sums that training takes is measured
// (bench/train/memory.py).
#include "sizing/memory.h"

#include <gtest/gtest.h>

#include "formats/model_source.h"
#include "sizing/machine.h"
#include "unit/sizing/shapes.h"

namespace genflow::sizing {
namespace {

TEST(Sizing, ShapeOfAFile) {
  const auto source = formats::ModelSource::Open(GENFLOW_SMOLLM2_GGUF);
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  const auto shape = ShapeOf(*source);
  ASSERT_TRUE(shape.ok()) << shape.error().ToString();
  EXPECT_EQ(shape->parameters, SmolLm2().parameters);
  EXPECT_EQ(shape->layer_weights() * 30 + 49152u * 576 + 61u * 576, shape->parameters);
  EXPECT_EQ(shape->stored_type, "Q4_1");
  EXPECT_TRUE(shape->tied);
}

TEST(Sizing, PartsOfALoraTraining) {
  const ModelShape s = SmolLm2();
  const Job job = LoraJob(s, 16);
  const Memory m = PredictMemory(s, job);
  // PEFT counts the same for r = 16 on all projections.
  EXPECT_EQ(TrainedParameters(s, job), 4'884'480u);
  EXPECT_EQ(m.adapter, 4u * 4'884'480);
  EXPECT_EQ(m.gradients, m.adapter);
  EXPECT_EQ(m.optimizer, 2 * m.adapter);
  // The embedding is stored in bf16 and stays where it is.
  EXPECT_EQ(m.mapped, 2u * 49152 * 576);
  // Each group's matrix: weights, A below, B beside, and a corner.
  const uint64_t layer =
      (960 + 48) * (576 + 48) + (576 + 16) * (576 + 16) + (3072 + 32) * (576 + 32) + (576 + 16) * (1536 + 16);
  EXPECT_EQ(m.weights, 2 * 30 * layer);
  uint64_t sum = 0;
  for (const auto& [name, bytes] : m.Parts()) sum += bytes;
  EXPECT_EQ(m.total(), sum);
}

TEST(Sizing, WhatSavesMemory) {
  const ModelShape s = SmolLm2();
  const Job job = LoraJob(s, 16);
  const auto with = [&](auto change) {
    Job other = job;
    change(other);
    return PredictMemory(s, other);
  };
  const Memory m = PredictMemory(s, job);
  EXPECT_LT(with([](Job& j) { j.gradient_checkpointing = true; }).activations * 5, m.activations);
  EXPECT_LT(with([](Job& j) { j.batch = 1; }).activations * 3, m.activations);
  EXPECT_GT(with([](Job& j) { j.bf16 = false; }).total(), m.total());
  EXPECT_LT(with([](Job& j) { j.optimizer = Optimizer::kAdamW8bit; }).optimizer * 3, m.optimizer);
  EXPECT_LT(with([](Job& j) { j.optimizer = Optimizer::kAdafactor; }).optimizer * 3, m.optimizer);
  // Nothing is kept below the lowest layer that learns.
  EXPECT_LT(with([](Job& j) {
              for (size_t layer = 0; layer < 27; ++layer) j.ranks[layer].fill(0);
            }).activations *
                5,
            m.activations);
}

TEST(Sizing, WhatIsStoredInAnotherTypeIsConverted) {
  ModelShape s = SmolLm2();
  s.stored_type = "Q4_1";
  const Memory m = PredictMemory(s, LoraJob(s, 16));
  EXPECT_EQ(m.mapped, 0u);
  EXPECT_EQ(m.weights, PredictMemory(SmolLm2(), LoraJob(s, 16)).weights + 2u * 49152 * 576);
}

TEST(Sizing, MethodsOnAGpu) {
  const ModelShape s = SmolLm2();
  Job job = LoraJob(s, 16);
  job.on_gpu = true;
  const uint64_t lora = PredictMemory(s, job).weights;
  EXPECT_EQ(lora, 2 * s.parameters);
  job.method = Method::kQlora;
  // 4.127 bits a weight of the projections, the embedding in bf16.
  EXPECT_EQ(PredictMemory(s, job).weights,
            static_cast<uint64_t>(30.0 * 3538944 * 4.126953125 / 8) + 2u * 49152 * 576);
  job.method = Method::kFull;
  job.ranks.clear();
  const Memory full = PredictMemory(s, job);
  EXPECT_EQ(full.adapter, 0u);
  EXPECT_EQ(full.optimizer, 8 * s.parameters);
  EXPECT_EQ(TrainedParameters(s, job), s.parameters);
}

TEST(Sizing, ComputationOfAToken) {
  const ModelShape s = SmolLm2();
  Job job = LoraJob(s, 16);
  const double weights = 30.0 * 3538944 + 49152.0 * 576;
  EXPECT_DOUBLE_EQ(FlopPerToken(s, job), 4 * weights + 6.0 * 4'884'480 + 7.0 * 512 * 576 * 30);
  job.gradient_checkpointing = true;
  EXPECT_DOUBLE_EQ(FlopPerToken(s, job), 6 * weights + 6.0 * 4'884'480 + 7.0 * 512 * 576 * 30);
}

TEST(Sizing, WhatIsLeft) {
  const auto left = MemoryLeft();
  EXPECT_GT(left.bytes, 1u << 20);
  EXPECT_LT(left.bytes, 1ull << 50);
  EXPECT_EQ(MemoryLeft(1 << 20).bytes, 1u << 20);
  EXPECT_EQ(MemoryLeft(1 << 20).what, "its resources allow");
}

}  // namespace
}  // namespace genflow::sizing
