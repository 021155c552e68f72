#include "sizing/shape.h"

#include <algorithm>
#include <filesystem>

#include "formats/model_source.h"

namespace genflow::sizing {

std::array<Projection, kProjections> ModelShape::Projections() const {
  return {{{"self_attn.q_proj", hidden, queries()},
           {"self_attn.k_proj", hidden, keys()},
           {"self_attn.v_proj", hidden, keys()},
           {"self_attn.o_proj", queries(), hidden},
           {"mlp.gate_proj", hidden, intermediate},
           {"mlp.up_proj", hidden, intermediate},
           {"mlp.down_proj", intermediate, hidden}}};
}

uint64_t ModelShape::layer_weights() const {
  uint64_t total = 0;
  for (const Projection& p : Projections()) total += static_cast<uint64_t>(p.in * p.out);
  return total;
}

Ranks AllLinear(const ModelShape& shape, int64_t rank) {
  std::array<int64_t, kProjections> layer;
  layer.fill(rank);
  return Ranks(static_cast<size_t>(shape.layers), layer);
}

Result<ModelShape> ShapeOf(const formats::ModelSource& source) {
  const auto& config = source.config();
  const std::string where = source.path().string();
  ModelShape shape;
  const auto read = [&](const char* key, int64_t* to) -> Status {
    const auto found = config.find(key);
    if (found == config.end() || !found->is_number_integer()) {
      return MakeError(Code::kUnsupported, where + ": its config has no whole number '" + key + "'",
                       "sizes are known of Llama and the models that share its architecture");
    }
    *to = found->get<int64_t>();
    if (*to < 1 || *to > INT32_MAX) {
      return MakeError(Code::kCorrupt, where + ": '" + key + "' is " + found->dump());
    }
    return Ok();
  };
  GF_CHECK_OK(read("num_hidden_layers", &shape.layers));
  GF_CHECK_OK(read("hidden_size", &shape.hidden));
  GF_CHECK_OK(read("intermediate_size", &shape.intermediate));
  GF_CHECK_OK(read("num_attention_heads", &shape.heads));
  GF_CHECK_OK(read("num_key_value_heads", &shape.kv_heads));
  GF_CHECK_OK(read("head_dim", &shape.head_dim));
  GF_CHECK_OK(read("vocab_size", &shape.vocab));
  const auto tied = config.find("tie_word_embeddings");
  shape.tied = tied != config.end() && tied->is_boolean() && tied->get<bool>();
  shape.parameters = source.parameter_count();
  shape.stored_type = source.dominant_type();
  const auto per_layer = shape.parameters / static_cast<uint64_t>(shape.layers);
  if (per_layer < shape.layer_weights() / 2) {
    return MakeError(Code::kCorrupt, where + ": it holds " + std::to_string(shape.parameters) +
                                         " weights, too few for the sizes in its config");
  }
  std::error_code ec;
  const auto bytes = std::filesystem::file_size(source.path() / "tokenizer.json", ec);
  // A GGUF's vocabulary, once it is tokenizer.json: about 40 bytes a token, merges included.
  shape.tokenizer_bytes = ec ? static_cast<uint64_t>(shape.vocab) * 40 : bytes;
  return shape;
}

}  // namespace genflow::sizing
