// What the tests of the trainer share: the tiny model, fixtures, examples.
#pragma once

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/files.h"
#include "formats/model_source.h"
#include "formats/safetensors.h"
#include "nn/device.h"
#include "nn/model.h"
#include "nn/train/lora.h"
#include "nn/train/sft_data.h"
#include "testing/scratch.h"

namespace genflow::nn::train {

inline std::filesystem::path Fixtures() {
  return std::filesystem::path(GENFLOW_SOURCE_DIR) / "tests/parity/fixtures";
}
inline std::filesystem::path TinyModelPath() { return Fixtures() / "nn/tiny_gqa_tied"; }

// One thread: the model is tiny, and tests run beside each other.
inline std::shared_ptr<CausalLM> TinyModel(at::ScalarType dtype = at::kFloat,
                                           const std::string& name = "tiny_gqa_tied") {
  SetThreads(1);
  const auto source = formats::ModelSource::Open(Fixtures() / "nn" / name);
  EXPECT_TRUE(source.ok()) << source.error().ToString();
  if (!source.ok()) return nullptr;
  auto model = LoadCausalLM(*source, {.dtype = dtype});
  EXPECT_TRUE(model.ok()) << model.error().ToString();
  return model.ok() ? *model : nullptr;
}

// The tensors of a fixture by name; I32 ones as int32.
class Tensors {
 public:
  explicit Tensors(const std::filesystem::path& path) {
    auto file = formats::SafetensorsFile::Open(path);
    EXPECT_TRUE(file.ok()) << file.error().ToString();
    if (file.ok()) file_ = std::move(*file);
  }
  bool Has(const std::string& name) const { return file_.Find(name) != nullptr; }
  at::Tensor Get(const std::string& name) const {
    const auto* tensor = file_.Find(name);
    EXPECT_NE(tensor, nullptr) << name;
    if (tensor == nullptr) return at::zeros({1});
    const at::Tensor out = at::empty(tensor->shape, tensor->dtype == "I32" ? at::kInt : at::kFloat);
    EXPECT_EQ(static_cast<uint64_t>(out.nbytes()), tensor->bytes);
    std::memcpy(out.data_ptr(), tensor->data, tensor->bytes);
    return out;
  }
  std::vector<std::string> Names(const std::string& prefix) const {
    std::vector<std::string> names;
    for (const auto& tensor : file_.tensors()) {
      if (tensor.name.starts_with(prefix)) names.push_back(tensor.name.substr(prefix.size()));
    }
    return names;
  }

 private:
  formats::SafetensorsFile file_;
};

// The examples that train_fixtures.py wrote under a prefix.
inline SftExamples ReadExamples(const Tensors& tensors, const std::string& prefix) {
  SftExamples examples;
  for (int i = 0; tensors.Has(prefix + "ids." + std::to_string(i)); ++i) {
    const at::Tensor ids = tensors.Get(prefix + "ids." + std::to_string(i));
    const at::Tensor train = tensors.Get(prefix + "train." + std::to_string(i)).to(at::kByte);
    const auto size = static_cast<size_t>(ids.numel());
    examples.Append({ids.const_data_ptr<int32_t>(), size}, {train.const_data_ptr<uint8_t>(), size});
  }
  return examples;
}

inline std::string PeftName(const std::string& module, char matrix) {
  return "base_model.model." + module + ".lora_" + matrix + ".weight";
}

// Fills an adapter from a fixture's tensors under a prefix.
inline void FillLora(LoraSet& lora, const Tensors& tensors, const std::string& prefix) {
  for (const auto& module : lora.modules()) {
    module.a.detach().copy_(tensors.Get(prefix + PeftName(module.name, 'A')));
    module.b.detach().copy_(tensors.Get(prefix + PeftName(module.name, 'B')));
  }
}

// Sequences of random tokens whose second half is to be learned.
inline SftExamples RandomExamples(const std::vector<int>& lengths, uint64_t seed, int32_t vocab = 131) {
  SftExamples examples;
  uint64_t state = seed;
  for (const int length : lengths) {
    std::vector<int32_t> ids;
    std::vector<uint8_t> train;
    for (int t = 0; t < length; ++t) {
      state = state * 6364136223846793005ull + 1442695040888963407ull;
      ids.push_back(static_cast<int32_t>((state >> 33) % static_cast<uint64_t>(vocab)));
      train.push_back(t >= length / 2 ? 1 : 0);
    }
    examples.Append(ids, train);
  }
  return examples;
}

// The largest difference as a share of the largest entry of `expected`.
inline double RelativeDifference(const at::Tensor& actual, const at::Tensor& expected) {
  const double scale = expected.abs().max().item<double>();
  return (actual.to(at::kDouble) - expected.to(at::kDouble)).abs().max().item<double>() /
         std::max(scale, 1e-12);
}

}  // namespace genflow::nn::train
