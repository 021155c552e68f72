// Models and reference numbers written by tests/parity/nn_*.py.
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/files.h"
#include "formats/model_source.h"
#include "formats/safetensors.h"
#include "nn/model.h"

namespace genflow::nn {

inline constexpr const char* kTinyModels[] = {"tiny_gqa_tied", "tiny_llama3_untied", "tiny_linear_bias"};

inline std::filesystem::path FixturePath(const std::string& name) {
  return std::filesystem::path(GENFLOW_SOURCE_DIR) / "tests/parity/fixtures/nn" / name;
}

inline nlohmann::json ReadJson(const std::filesystem::path& path) {
  const auto text = ReadFile(path);
  EXPECT_TRUE(text.ok()) << text.error().ToString();
  return text.ok() ? nlohmann::json::parse(*text) : nlohmann::json();
}

inline std::shared_ptr<CausalLM> LoadFixture(const std::filesystem::path& path,
                                             at::ScalarType dtype = at::kFloat) {
  const auto source = formats::ModelSource::Open(path);
  EXPECT_TRUE(source.ok()) << source.error().ToString();
  if (!source.ok()) return nullptr;
  LoadOptions options;
  options.dtype = dtype;
  auto model = LoadCausalLM(*source, options);
  EXPECT_TRUE(model.ok()) << model.error().ToString();
  return model.ok() ? *model : nullptr;
}
inline std::shared_ptr<CausalLM> LoadTiny(const std::string& name, at::ScalarType dtype = at::kFloat) {
  return LoadFixture(FixturePath(name), dtype);
}

// The tensors of a safetensors file, by name.
inline at::Tensor ReadTensor(const formats::SafetensorsFile& file, const std::string& name) {
  const formats::SafetensorsTensor* tensor = file.Find(name);
  EXPECT_NE(tensor, nullptr) << name;
  if (tensor == nullptr) return {};
  const at::ScalarType dtype = tensor->dtype == "I64" ? at::kLong : at::kFloat;
  at::Tensor result = at::empty(tensor->shape, dtype);
  EXPECT_EQ(static_cast<uint64_t>(result.nbytes()), tensor->bytes);
  std::memcpy(result.data_ptr(), tensor->data, tensor->bytes);
  return result;
}

// Input ids and the logits that transformers gives for them.
struct Reference {
  std::vector<int32_t> ids;
  at::Tensor logits;  // [tokens, vocab]
};
inline std::vector<Reference> ReadReferences(const std::string& name) {
  const auto file = formats::SafetensorsFile::Open(FixturePath(name) / "expected.safetensors");
  EXPECT_TRUE(file.ok()) << file.error().ToString();
  std::vector<Reference> references;
  if (!file.ok()) return references;
  for (int i = 0; file->Find("ids." + std::to_string(i)) != nullptr; ++i) {
    const at::Tensor ids = ReadTensor(*file, "ids." + std::to_string(i));
    Reference reference;
    for (int64_t t = 0; t < ids.size(0); ++t)
      reference.ids.push_back(static_cast<int32_t>(ids[t].item<int64_t>()));
    reference.logits = ReadTensor(*file, "logits." + std::to_string(i));
    references.push_back(std::move(reference));
  }
  return references;
}

inline double MaxDifference(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
}

// One sequence as a batch of one row.
inline Batch OneRow(const std::vector<int32_t>& ids) {
  Batch batch;
  batch.input_ids = at::tensor(std::vector<int64_t>(ids.begin(), ids.end()), at::kLong).unsqueeze(0);
  return batch;
}

}  // namespace genflow::nn
