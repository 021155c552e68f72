// `genflow models size`, and the training that is refused for what it would take.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "cli/sandbox.h"
#include "unit/eval/tiny_model.h"

namespace genflow {
namespace {

class ModelsSize : public testing::Test {
 protected:
  ModelsSize() { testing_support::WriteTinyModel(box_.dir() / "model", 1); }
  CommandResult Run(std::vector<std::string> args) {
    args.insert(args.begin(), {"models", "size"});
    return box_.Genflow(args);
  }
  Sandbox box_;
};

TEST_F(ModelsSize, OnAGpuOfTheData) {
  const auto result = Run({"model", "--gpu", "a100", "--seq", "128", "--batch", "2", "--rank", "4"});
  EXPECT_EQ(result.code, 0) << result.err;
  for (const char* text :
       {"layers of 32", "lora, r 4 on all projections, bf16, adamw_torch_fused, 2 x 128 tokens",
        "NVIDIA A100 SXM 80 GB", "312 TFLOP/s of the data sheet, of which 40% are reached", "RunPod, 2026-03",
        "weights", "activations", "on demand", "spot", "yes, recommended", "it fits as asked for\n"}) {
    EXPECT_NE(result.out.find(text), std::string::npos) << text << "\n" << result.out;
  }
}

TEST_F(ModelsSize, Json) {
  const auto result = Run({"model", "--gpu", "h100", "--json", "--method", "qlora"});
  EXPECT_EQ(result.code, 0) << result.err;
  const auto out = nlohmann::json::parse(result.out);
  uint64_t sum = 0;
  for (const auto& [name, bytes] : out["memory"]["parts"].items()) sum += bytes.get<uint64_t>();
  EXPECT_EQ(out["memory"]["total_bytes"], sum);
  EXPECT_EQ(out["fits"], true);
  EXPECT_EQ(out["recommended"]["per_device_train_batch_size"], 4);
  ASSERT_EQ(out["settings"].size(), 10u);
  const auto& first = out["settings"][0];
  EXPECT_EQ(first["per_device_train_batch_size"], 16);
  EXPECT_NEAR(first["dollars_per_million_tokens"].get<double>(),
              2.69 * first["hours_per_million_tokens"].get<double>(), 1e-12);
}

TEST_F(ModelsSize, OnThisMachine) {
  const auto result = Run({"model", "--seq", "64", "--dtype", "fp32", "--json"});
  EXPECT_EQ(result.code, 0) << result.err;
  const auto out = nlohmann::json::parse(result.out);
  EXPECT_EQ(out["place"], "this machine's processors");
  EXPECT_NE(out["rate"].get<std::string>().find(" GFLOP/s measured now"), std::string::npos) << out["rate"];
  EXPECT_GT(out["settings"][0]["hours_per_million_tokens"].get<double>(), 0);
  EXPECT_GT(out["memory_available_bytes"].get<uint64_t>(), 1u << 20);
}

TEST_F(ModelsSize, WhatDoesNotFit) {
  const auto result = Run({"model", "--gpu", "600M", "--seq", "1024", "--batch", "64"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_NE(result.out.find("\nrecommended: per_device_train_batch_size: "), std::string::npos) << result.out;
  const auto none = Run({"model", "--gpu", "100M"});
  EXPECT_EQ(none.code, 0) << none.err;
  EXPECT_TRUE(
      none.out.ends_with("nothing of it fits: take a larger GPU, a smaller model or --method qlora\n"))
      << none.out;
}

TEST_F(ModelsSize, FilesOfOnesOwn) {
  box_.Write("mine.yaml",
             "cards:\n  box: { title: My box, memory: 48G, bf16_tflops: 100, efficiency: 0.5 }\n");
  const auto result = Run({"model", "--gpu", "box", "--hardware", "mine.yaml"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_NE(result.out.find("100 TFLOP/s of the data sheet, of which 50% are reached"), std::string::npos)
      << result.out;
  box_.Write("mine.yaml", "cards:\n  box: { memory: much }\n");
  const auto wrong = Run({"model", "--gpu", "box", "--hardware", "mine.yaml"});
  EXPECT_EQ(wrong.code, 2);
  EXPECT_EQ(wrong.err,
            "error: mine.yaml cannot be used\n"
            "mine.yaml:2:18: error: 'box' needs its memory\n"
            "    2 |   box: { memory: much }\n"
            "      |                  ^~~~\n"
            "  hint: such as memory: 24G\n"
            "\n"
            "1 error\n");
}

TEST_F(ModelsSize, Refusals) {
  EXPECT_EQ(Run({"model", "--gpu", "b1000"}).code, 2);
  const auto absent = Run({"./nothing"});
  EXPECT_EQ(absent.code, 2);
  EXPECT_EQ(absent.err,
            "error: there is no file, folder or registered model './nothing'\n"
            "  hint: give a model folder, a GGUF file or a name that `genflow models ls` shows; `genflow "
            "models pull` "
            "fetches a model\n");
  box_.Shell("truncate -s 100 model/model.safetensors");
  const auto damaged = Run({"model"});
  EXPECT_EQ(damaged.code, 1);
  EXPECT_NE(damaged.err.find("model.safetensors: ends inside its header"), std::string::npos) << damaged.err;
}

TEST_F(ModelsSize, ARegisteredModel) {
  box_.Write("pipeline.yaml", "stages:\n  base:\n    uses: model.import\n    with: { path: model }\n");
  ASSERT_EQ(box_.Genflow({"run"}).code, 0);
  ASSERT_EQ(box_.Genflow({"models", "register", "tiny", "base.model", "--alias", "best"}).code, 0);
  const auto result = Run({"tiny@best", "--gpu", "24G"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_NE(result.out.find("layers of 32"), std::string::npos) << result.out;
  EXPECT_EQ(Run({"tiny@worst"}).err, "error: there is no model 'tiny@worst'\n  hint: 'tiny' has 1, best\n");
}

constexpr char kPipeline[] =
    "stages:\n"
    "  base:\n"
    "    uses: model.import\n"
    "    with: { path: model }\n"
    "  texts:\n"
    "    uses: data.read\n"
    "    with: { files: [texts.jsonl] }\n"
    "  tune:\n"
    "    uses: train.lora\n"
    "    in: { model: base.model, dataset: texts.dataset }\n"
    "    resources: { cpus: 1, memory: 100M }\n"
    "    retries: 3\n"
    "    with: { max_steps: 1, max_length: 512, dtype: fp32, device: cpu }\n";

TEST_F(ModelsSize, ATrainingThatCannotFitIsRefused) {
  box_.Write("pipeline.yaml", kPipeline);
  std::string lines;
  for (int i = 0; i < 40; ++i)
    lines += R"({"text": ")" + std::string(400, static_cast<char>('a' + i % 26)) + "\"}\n";
  box_.Write("texts.jsonl", lines);
  const auto result = box_.Genflow({"run"});
  EXPECT_EQ(result.code, 1);
  EXPECT_NE(result.err.find("this training needs about "), std::string::npos) << result.err;
  EXPECT_NE(result.err.find(" of memory, and its resources allow 100 MiB (process "), std::string::npos)
      << result.err;
  EXPECT_NE(result.err.find("no setting of it fits: use a smaller model, or a machine with more memory"),
            std::string::npos)
      << result.err;
  // A refusal is not tried again, and nothing was loaded.
  EXPECT_EQ(result.err.find("attempt 2"), std::string::npos) << result.err;
  EXPECT_EQ(result.err.find("loading the model"), std::string::npos) << result.err;
}

}  // namespace
}  // namespace genflow
