// Full fine-tuning: every weight of the model is trained.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "formats/model_source.h"
#include "nn/model.h"
#include "nn/train/trained.h"

namespace genflow::nn::train {

// The weights of one model, in its order, as fp32 leaves that view one flat buffer. The model computes with
// them, rounded where it computes in bf16, as torch.autocast does. Points into the model, which must live as
// long.
class FullSet : public TrainedTensors {
 public:
  // A weight under its Hugging Face name; a tied head is not repeated.
  const std::vector<std::pair<std::string, at::Tensor>>& weights() const { return weights_; }

 private:
  friend Result<FullSet> TrainFully(CausalLM& model, at::ScalarType dtype);
  std::vector<std::pair<std::string, at::Tensor>> weights_;
};

// Makes every weight of `model`, loaded in fp32 and not quantised, one that is trained; the model computes in
// `dtype` from then on. Weights are moved one at a time.
Result<FullSet> TrainFully(CausalLM& model, at::ScalarType dtype);

// Creates `folder`, a Hugging Face model with the weights in `dtype` and all else from `base`, of which the
// model was loaded. Same weights, same bytes.
Status SaveModel(const FullSet& weights, const formats::ModelSource& base, at::ScalarType dtype,
                 const std::filesystem::path& folder);

}  // namespace genflow::nn::train
