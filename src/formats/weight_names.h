// A model's weights as Hugging Face names them, and their shapes as messages do.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace genflow::formats {

inline constexpr char kEmbeddingWeight[] = "model.embed_tokens.weight", kHeadWeight[] = "lm_head.weight";

// 12 for "model.layers.12.self_attn.q_proj" and its weight; -1 outside of the layers.
int64_t LayerOf(std::string_view name);

// "[576, 1536]"
std::string ShapeText(std::span<const int64_t> shape);

}  // namespace genflow::formats
