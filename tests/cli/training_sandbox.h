// What the tests of whole trainings share: a pipeline, its model and its data in a sandbox.
#pragma once

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "cli/sandbox.h"
#include "unit/eval/tiny_model.h"

namespace genflow {

inline constexpr char kTrainingPipeline[] =
    "name: training\n"
    "stages:\n"
    "  base:\n"
    "    uses: model.import\n"
    "    with: { path: model }\n"
    "  chats:\n"
    "    uses: data.read\n"
    "    with: { files: [chats.jsonl] }\n"
    "  tune:\n"
    "    uses: train.lora\n"
    "    in: { model: base.model, dataset: chats.dataset }\n"
    "    resources: { cpus: 1 }\n"
    "    with:\n"
    "      lora: { r: 4, dropout: 0.1 }\n"
    "      max_steps: 60\n"
    "      max_length: 256\n"
    "      per_device_train_batch_size: 1\n"
    "      dtype: fp32\n"
    "      device: cpu\n"
    "      checkpoint_interval: 100ms\n";

// The same, long enough to be interrupted behind its first checkpoint.
inline std::string LongTraining(std::string text = kTrainingPipeline) {
  text.replace(text.find("max_steps: 60"), 13, "max_steps: 800");
  return text;
}

// The pipeline, its model and its data in a sandbox.
inline void PrepareTraining(const Sandbox& box, const std::string& pipeline = kTrainingPipeline) {
  box.Write("pipeline.yaml", pipeline);
  testing_support::WriteTinyModel(box.dir() / "model", 1);
  std::string lines;
  for (int i = 0; i < 200; ++i) {
    const std::string n = std::to_string(i);
    lines += R"({"messages": [{"role": "user", "content": "What is )" + n +
             R"( and then some?"}, {"role": "assistant", "content": "It is )" + n + R"(, and then )" + n +
             R"(."}]})" + "\n";
  }
  box.Write("chats.jsonl", lines);
}

// Digest of what the latest run trained.
inline std::string TrainedDigest(const Sandbox& box, const std::string& port = "adapter") {
  const auto shown = box.Genflow({"artifacts", "show", "tune." + port, "--json"});
  EXPECT_EQ(shown.code, 0) << shown.err;
  return shown.code == 0 ? nlohmann::json::parse(shown.out).at("digest").get<std::string>() : "";
}

inline bool WaitForCheckpoint(const Sandbox& box) {
  return box.WaitFor("[[ -d .genflow/state && -n $(find .genflow/state -name 'step-*.safetensors') ]]");
}

}  // namespace genflow
