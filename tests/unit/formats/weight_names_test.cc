#include "formats/weight_names.h"

#include <gtest/gtest.h>

#include <vector>

namespace genflow::formats {
namespace {

TEST(WeightNames, TellTheLayer) {
  EXPECT_EQ(LayerOf("model.layers.12.self_attn.q_proj.weight"), 12);
  EXPECT_EQ(LayerOf("model.layers.0.mlp.up_proj"), 0);
  EXPECT_EQ(LayerOf(kEmbeddingWeight), -1);
  EXPECT_EQ(LayerOf(kHeadWeight), -1);
}

TEST(WeightNames, ShapesAreLists) {
  EXPECT_EQ(ShapeText({}), "[]");
  EXPECT_EQ(ShapeText(std::vector<int64_t>{576}), "[576]");
  EXPECT_EQ(ShapeText(std::vector<int64_t>{576, 1536}), "[576, 1536]");
}

}  // namespace
}  // namespace genflow::formats
