// What the tests of adapters share: PEFT's fixtures (tests/parity/adapter_fixtures.py) and their base models.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/files.h"
#include "formats/model_source.h"
#include "formats/model_writer.h"
#include "formats/safetensors.h"
#include "testing/scratch.h"

namespace genflow::adapter {

inline std::string FixturePath(const std::string& name) {
  return GENFLOW_SOURCE_DIR "/tests/parity/fixtures/" + name;
}
// The model that most adapters belong to; it ties lm_head to the embeddings.
inline formats::ModelSource TiedBase() {
  auto base = formats::ModelSource::Open(FixturePath("nn/tiny_gqa_tied"));
  EXPECT_TRUE(base.ok()) << base.error().ToString();
  return *std::move(base);
}

// The numbers of a tensor of a safetensors file, which is F32.
inline std::vector<float> Floats(const formats::SafetensorsFile& file, const std::string& name) {
  const formats::SafetensorsTensor* tensor = file.Find(name);
  EXPECT_NE(tensor, nullptr) << name;
  if (tensor == nullptr) return {};
  std::vector<float> out(tensor->elements);
  formats::ConvertElements(tensor->data, formats::DType::kF32, out.data(), formats::DType::kF32, out.size());
  return out;
}

inline std::vector<float> Filled(const formats::ModelContent& model, const std::string& name, size_t count) {
  std::vector<float> out(count);
  const Status filled = model.fill(name, formats::DType::kF32, out.data(), count * sizeof(float));
  EXPECT_TRUE(filled.ok()) << filled.error().ToString();
  return out;
}

inline double LargestDifference(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double out = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i)
    out = std::max(out, std::abs(static_cast<double>(a[i]) - b[i]));
  return out;
}

// A copy of an adapter with one key of its configuration changed.
inline void CopyChanged(const std::string& from, const std::filesystem::path& to, const std::string& key,
                        const nlohmann::json& value) {
  auto config = nlohmann::ordered_json::parse(*ReadFile(from + "/adapter_config.json"));
  config[key] = value;
  ASSERT_TRUE(MakeDirectories(to).ok());
  ASSERT_TRUE(WriteFileAtomic(to / "adapter_config.json", config.dump()).ok());
  ASSERT_TRUE(
      WriteFileAtomic(to / "adapter_model.safetensors", *ReadFile(from + "/adapter_model.safetensors")).ok());
}

}  // namespace genflow::adapter
