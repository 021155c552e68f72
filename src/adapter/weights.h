// The tensors of a PEFT adapter (adapter_model.safetensors), held against the model that they change.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "adapter/lora_config.h"
#include "base/result.h"
#include "formats/model_source.h"

namespace genflow::adapter {

// fp32, row by row.
struct Matrix {
  int64_t rows = 0, columns = 0;
  std::vector<float> values;

  float* row(int64_t i) { return values.data() + i * columns; }
  const float* row(int64_t i) const { return values.data() + i * columns; }
};

// W + scaling * B A of one module; with DoRA, each row of that brought to the length magnitude[row].
struct Update {
  Matrix a;                      // [r, in]
  Matrix b;                      // [out, r]
  std::vector<float> magnitude;  // [out], or empty without DoRA
  double scaling = 1;
};

struct Weights {
  LoraConfig config;
  // By the name of the weight: "model.layers.0.self_attn.q_proj.weight". Those of an embedding are turned
  // about, so that they are as a linear layer's.
  std::map<std::string, Update> updates;
  // Weights that the adapter brings whole (modules_to_save), by name.
  std::map<std::string, Matrix> replaced;
};

struct ReadOptions {
  // The base holds what is left when the principal parts that the adapter began with are taken away (PiSSA's
  // residual). Without it an adapter of such an initialisation is refused.
  bool residual_base = false;
};

// Reads the adapter in `folder`. Every tensor must have its place in `base` and the shape that it needs
// there, every adapted module its tensors, and every number must be finite; errors name file and tensor.
Result<Weights> ReadWeights(const formats::ModelSource& base, const std::filesystem::path& folder,
                            const ReadOptions& options = {});

// Shape of a weight in the model: lm_head's is the embeddings', where they are tied. nullptr when it has
// none.
const formats::TensorInfo* FindWeight(const formats::ModelSource& base, const std::string& name);

}  // namespace genflow::adapter
