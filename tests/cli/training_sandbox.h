// What the tests of whole trainings share: a pipeline, its model and its data in a sandbox.
#pragma once

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "cli/sandbox.h"
#include "unit/eval/tiny_model.h"

namespace genflow {

struct TinyTraining {
  int max_steps = 60, max_length = 256, batch = 1;
  int cpus = 1, processes = 1;
  int checkpoint_ms = 100;
  std::string settings;  // lines of the stage
};

// Long enough to be interrupted behind its first checkpoint.
inline TinyTraining LongTraining() { return {.max_steps = 800}; }

// The stages `base`, `chats` and `tune`, as PrepareTraining() gives them what they read.
inline std::string TrainingStages(const TinyTraining& training = {}) {
  const auto number = [](int value) { return std::to_string(value); };
  return "  base:\n"
         "    uses: model.import\n"
         "    with: { path: model }\n"
         "  chats:\n"
         "    uses: data.read\n"
         "    with: { files: [chats.jsonl] }\n"
         "  tune:\n"
         "    uses: train.lora\n"
         "    in: { model: base.model, dataset: chats.dataset }\n"
         "    resources: { cpus: " +
         number(training.cpus) +
         (training.processes > 1 ? ", processes: " + number(training.processes) : "") + " }\n" +
         training.settings +
         "    with:\n"
         "      lora: { r: 4, dropout: 0.1 }\n"
         "      max_steps: " +
         number(training.max_steps) + "\n      max_length: " + number(training.max_length) +
         "\n      per_device_train_batch_size: " + number(training.batch) +
         "\n      dtype: fp32\n"
         "      device: cpu\n"
         "      checkpoint_interval: " +
         number(training.checkpoint_ms) + "ms\n";
}

inline std::string TrainingPipeline(const TinyTraining& training = {}) {
  return "name: training\nstages:\n" + TrainingStages(training);
}

// The model and the data that the stages read, in a sandbox.
inline void PrepareTrainingInputs(const Sandbox& box) {
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

inline void PrepareTraining(const Sandbox& box, const std::string& pipeline = TrainingPipeline()) {
  box.Write("pipeline.yaml", pipeline);
  PrepareTrainingInputs(box);
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
