#include "adapter/merge.h"

#include "adapter_testing.h"
#include "formats/gguf.h"

namespace genflow::adapter {
namespace {

using formats::DType;
using formats::ModelSource;
namespace fs = std::filesystem;

// The merged model differs from the base where PEFT's does, and is what PEFT's is.
void ExpectAsPeft(const ModelSource& base, const std::string& folder, const std::string& expected,
                  const ReadOptions& options = {}) {
  const auto merged = MergedModel(base, folder, options);
  ASSERT_TRUE(merged.ok()) << merged.error().ToString();
  const auto file = formats::SafetensorsFile::Open(expected);
  ASSERT_TRUE(file.ok()) << file.error().ToString();
  size_t compared = 0;
  for (const auto& tensor : merged->Tensors()) {
    const auto values = Filled(*merged, tensor.name, tensor.elements);
    if (file->Find(tensor.name) != nullptr) {
      EXPECT_LE(LargestDifference(values, Floats(*file, tensor.name)), 1e-6) << tensor.name;
      ++compared;
    } else {
      std::vector<float> before(tensor.elements);
      ASSERT_TRUE(base.Read(tensor.name, DType::kF32, before.data()).ok());
      EXPECT_EQ(values, before) << tensor.name;
    }
  }
  // PEFT's fixtures of the trainer hold logits, too.
  size_t weights = 0;
  for (const auto& tensor : file->tensors()) weights += tensor.name.ends_with(".weight") ? 1 : 0;
  EXPECT_EQ(compared, weights);
  EXPECT_GT(compared, 0u);
}

class PeftAdapters : public testing::TestWithParam<const char*> {};
TEST_P(PeftAdapters, MergeAsPeft) {
  const std::string folder = FixturePath(GetParam());
  ExpectAsPeft(TiedBase(), folder, folder + ".expected.safetensors");
}
INSTANTIATE_TEST_SUITE_P(Fixtures, PeftAdapters,
                         testing::Values("train/peft_adapter", "train/peft_patterns", "adapter/dora",
                                         "adapter/dora_rslora", "adapter/rslora_patterns", "adapter/head",
                                         "adapter/embedding", "adapter/saved"),
                         [](const auto& info) {
                           const std::string name = info.param;
                           return name.substr(name.find('/') + 1);
                         });

TEST(Merge, OfTiedEmbeddingsUntiesThem) {
  const ModelSource base = TiedBase();
  for (const auto& [name, unties] : std::vector<std::pair<std::string, bool>>{{"adapter/head", true},
                                                                              {"adapter/embedding", true},
                                                                              {"adapter/saved", true},
                                                                              {"adapter/dora", false}}) {
    const auto merged = MergedModel(base, FixturePath(name));
    ASSERT_TRUE(merged.ok()) << merged.error().ToString();
    EXPECT_EQ(merged->untie, unties) << name;
    EXPECT_EQ(merged->Tensors().size(), base.tensors().size() + (unties ? 1 : 0)) << name;
    const ScratchFolder scratch;
    ASSERT_TRUE(formats::WriteHuggingFaceModel(scratch / "merged", *merged, DType::kF32).ok());
    const auto written = ModelSource::Open(scratch / "merged");
    ASSERT_TRUE(written.ok()) << written.error().ToString();
    EXPECT_EQ(written->config()["tie_word_embeddings"], !unties) << name;
    EXPECT_EQ(written->Find("lm_head.weight") != nullptr, unties) << name;
  }
}

// The original model with some tensors taken from a file, as a folder.
void WriteWith(const std::string& tensors, const fs::path& folder) {
  const ModelSource base = TiedBase();
  const auto file = formats::SafetensorsFile::Open(tensors);
  ASSERT_TRUE(file.ok());
  formats::ModelContent model = formats::CopyOf(base);
  model.fill = [&file, copy = model.fill](std::string_view name, DType type, void* to,
                                          size_t bytes) -> Status {
    const auto* tensor = file->Find(name);
    if (tensor == nullptr) return copy(name, type, to, bytes);
    formats::ConvertElements(tensor->data, DType::kF32, to, type, tensor->elements);
    return Ok();
  };
  ASSERT_TRUE(formats::WriteHuggingFaceModel(folder, model, DType::kF32).ok());
}

TEST(Merge, PissaBelongsToItsResidual) {
  const std::string pissa = FixturePath("adapter/pissa"), expected = pissa + ".expected.safetensors";
  const auto refused = MergedModel(TiedBase(), pissa);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kUnsupported);
  EXPECT_EQ(
      refused.error().ToString(),
      "'" + pissa +
          "/adapter_config.json': init_lora_weights is \"pissa\", which changes the base weights that the "
          "adapter belongs to\n  hint: convert it with PEFT: save_pretrained(..., "
          "path_initial_model_for_weight_conversion=...); or give the residual model, and say so");
  const ScratchFolder scratch;
  WriteWith(FixturePath("adapter/pissa_base.safetensors"), scratch / "residual");
  const auto residual = ModelSource::Open(scratch / "residual");
  ASSERT_TRUE(residual.ok());
  ExpectAsPeft(*residual, pissa, expected, {.residual_base = true});
  // Converted by PEFT it is a LoRA for the original model.
  ExpectAsPeft(TiedBase(), FixturePath("adapter/pissa_converted"), expected);
}

// The update is added to what the blocks stand for.
TEST(Merge, IntoAQuantisedBase) {
  const auto base = ModelSource::Open(FixturePath("formats/tiny_llama.gguf"));
  ASSERT_TRUE(base.ok());
  const auto merged = MergedModel(*base, FixturePath("adapter/for_llama_cpp"));
  ASSERT_TRUE(merged.ok()) << merged.error().ToString();
  const auto adapter =
      formats::SafetensorsFile::Open(FixturePath("adapter/for_llama_cpp/adapter_model.safetensors"));
  ASSERT_TRUE(adapter.ok());
  const auto dequantised = formats::SafetensorsFile::Open(FixturePath("formats/tiny_llama_gguf.safetensors"));
  ASSERT_TRUE(dequantised.ok());
  for (const std::string module : {"model.layers.0.self_attn.q_proj", "model.layers.1.mlp.down_proj"}) {
    std::vector<float> expected = Floats(*dequantised, module + ".weight");
    const auto a = Floats(*adapter, "base_model.model." + module + ".lora_A.weight"),
               b = Floats(*adapter, "base_model.model." + module + ".lora_B.weight");
    const size_t columns = a.size() / 2;
    for (size_t i = 0; i < expected.size(); ++i) {
      const size_t row = i / columns, column = i % columns;
      expected[i] += 2.5f * (b[row * 2] * a[column] + b[row * 2 + 1] * a[columns + column]);
    }
    EXPECT_LE(LargestDifference(Filled(*merged, module + ".weight", expected.size()), expected), 1e-6)
        << module;
  }
}

std::string MergeError(const fs::path& folder) {
  const auto merged = MergedModel(TiedBase(), folder);
  return merged.ok() ? "merged" : merged.error().message;
}

// An adapter with the tensors of another that `keep` wants, changed by `change`.
template <class Keep, class Change>
void WriteTensors(const std::string& from, const fs::path& to, Keep&& keep, Change&& change) {
  ASSERT_TRUE(MakeDirectories(to).ok());
  fs::copy_file(from + "/adapter_config.json", to / "adapter_config.json");
  const auto file = formats::SafetensorsFile::Open(from + "/adapter_model.safetensors");
  ASSERT_TRUE(file.ok());
  std::vector<std::vector<float>> values;
  std::vector<formats::TensorView> views;
  for (const auto& tensor : file->tensors()) {
    if (!keep(tensor.name)) continue;
    values.push_back(Floats(*file, tensor.name));
    formats::TensorView view{tensor.name, tensor.shape, DType::kF32, nullptr};
    change(view, values.back());
    views.push_back(view);
  }
  for (size_t i = 0; i < views.size(); ++i) views[i].data = values[i].data();
  ASSERT_TRUE(formats::WriteSafetensors(to / "adapter_model.safetensors", views).ok());
}

TEST(Merge, RefusesWhatDoesNotFit) {
  const ScratchFolder scratch;
  const std::string peft = FixturePath("train/peft_adapter"), dora = FixturePath("adapter/dora");
  const auto file = [&](const char* name) {
    return "'" + (scratch / name).string() + "/adapter_model.safetensors': ";
  };
  const auto all = [](const std::string&) { return true; };
  const auto same = [](formats::TensorView&, std::vector<float>&) {};

  CopyChanged(peft, scratch / "rank", "r", 5);
  EXPECT_EQ(MergeError(scratch / "rank"), file("rank") +
                                              "the matrices [48, 4] x [4, 80] do not fit "
                                              "'model.layers.0.mlp.down_proj.weight' [48, 80] with rank 5");
  WriteTensors(
      peft, scratch / "fewer",
      [](const std::string& name) { return name.find("1.self_attn.q_proj") == name.npos; }, same);
  EXPECT_EQ(
      MergeError(scratch / "fewer"),
      file("fewer") + "tensor 'base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight' is missing");
  WriteTensors(
      peft, scratch / "half", [](const std::string& name) { return name.find("lora_B") == name.npos; }, same);
  EXPECT_EQ(MergeError(scratch / "half"),
            file("half") + "only one of the two matrices for 'model.layers.0.mlp.down_proj.weight' is there");
  WriteTensors(
      peft, scratch / "none", [](const std::string&) { return false; }, same);
  EXPECT_EQ(MergeError(scratch / "none"), file("none") + "has no LoRA tensor");
  WriteTensors(peft, scratch / "nan", all,
               [](formats::TensorView&, std::vector<float>& values) { values[0] = std::nanf(""); });
  EXPECT_EQ(MergeError(scratch / "nan"),
            file("nan") +
                "tensor 'base_model.model.model.layers.0.mlp.down_proj.lora_A.weight' holds a NaN or an "
                "infinity");
  WriteTensors(peft, scratch / "place", all, [](formats::TensorView& view, std::vector<float>&) {
    if (view.name.find("1.mlp.down_proj.lora_A") != std::string::npos)
      view.name = "base_model.model.x.lora_A.weight";
  });
  EXPECT_EQ(MergeError(scratch / "place"),
            file("place") + "tensor 'base_model.model.x.lora_A.weight' has no place in the model");
  CopyChanged(dora, scratch / "magnitudes", "use_dora", false);
  EXPECT_EQ(MergeError(scratch / "magnitudes"),
            file("magnitudes") +
                "the magnitudes of 'model.layers.0.mlp.down_proj.weight' are there, and use_dora is false");
  CopyChanged(peft, scratch / "no_magnitudes", "use_dora", true);
  EXPECT_EQ(MergeError(scratch / "no_magnitudes"),
            file("no_magnitudes") +
                "the magnitudes of 'model.layers.0.mlp.down_proj.weight' are missing, and use_dora is true");
  WriteTensors(FixturePath("adapter/saved"), scratch / "longer", all,
               [](formats::TensorView& view, std::vector<float>& values) {
                 if (view.shape[0] != 131) return;
                 view.shape[0] = 132;
                 values.resize(132 * 48);
               });
  EXPECT_EQ(MergeError(scratch / "longer"),
            file("longer") +
                "tensor 'base_model.model.lm_head.weight' has shape [132, 48], the model's is [131, 48]");
}

}  // namespace
}  // namespace genflow::adapter
