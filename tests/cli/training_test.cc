// A training through the command line: stopped and killed, then continued to the bytes of an uninterrupted
// one.
#include <gtest/gtest.h>

#include <csignal>
#include <nlohmann/json.hpp>
#include <string>

#include "cli/sandbox.h"
#include "formats/training_record.h"
#include "unit/eval/tiny_model.h"

namespace genflow {
namespace {

constexpr char kPipeline[] =
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
    "      checkpoint_interval: 200ms\n";

// The pipeline, its model and its data in a sandbox.
void Prepare(const Sandbox& box) {
  box.Write("pipeline.yaml", kPipeline);
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

// Digest of the adapter of the latest run.
std::string AdapterDigest(const Sandbox& box) {
  const auto shown = box.Genflow({"artifacts", "show", "tune.adapter", "--json"});
  EXPECT_EQ(shown.code, 0) << shown.err;
  return shown.code == 0 ? nlohmann::json::parse(shown.out).at("digest").get<std::string>() : "";
}

bool WaitForCheckpoint(const Sandbox& box) {
  return box.Shell(
                "for i in $(seq 400); do [[ -d .genflow/state && -n $(find .genflow/state -name "
                "'step-*.safetensors') ]] "
                "&& "
                "exit 0; sleep 0.05; done; exit 1")
             .code == 0;
}

std::string UninterruptedDigest() {
  Sandbox box;
  Prepare(box);
  const auto run = box.Genflow({"run"});
  EXPECT_EQ(run.code, 0) << run.err;
  return AdapterDigest(box);
}

void ExpectContinuesToTheSameBytes(const Sandbox& box) {
  const auto again = box.Genflow({"run"});
  ASSERT_EQ(again.code, 0) << again.err;
  const auto log = box.Genflow({"logs", "tune"});
  EXPECT_NE(log.out.find("continuing from the checkpoint of step "), std::string::npos) << log.out;
  const std::string digest = AdapterDigest(box);
  EXPECT_EQ(digest.size(), 64u);
  EXPECT_EQ(digest, UninterruptedDigest());
}

TEST(Training, CtrlCAndTheSameCommandEndInTheSameBytes) {
  Sandbox box;
  Prepare(box);
  auto run = box.Start({"run"});
  ASSERT_TRUE(WaitForCheckpoint(box));
  run.Signal(SIGINT);
  const auto stopped = run.Wait();
  ASSERT_EQ(stopped.code, 75) << stopped.err;
  EXPECT_NE(stopped.err.find("interrupted: the same command continues from here\n"), std::string::npos)
      << stopped.err;
  const auto log = box.Genflow({"logs", "tune"});
  EXPECT_NE(log.out.find("stopped after step "), std::string::npos) << log.out;
  ExpectContinuesToTheSameBytes(box);
}

TEST(Training, KillAndTheSameCommandEndInTheSameBytes) {
  Sandbox box;
  Prepare(box);
  auto run = box.Start({"run"});
  ASSERT_TRUE(WaitForCheckpoint(box));
  run.Signal(SIGKILL);
  EXPECT_EQ(run.Wait().code, 137);
  ExpectContinuesToTheSameBytes(box);
}

TEST(Training, TheAdapterSaysHowItWasTrained) {
  Sandbox box;
  Prepare(box);
  const auto run = box.Genflow({"run"});
  ASSERT_EQ(run.code, 0) << run.err;
  ASSERT_EQ(box.Genflow({"artifacts", "export", "tune.adapter", "adapter"}).code, 0);
  EXPECT_EQ(box.Read("adapter/training_args.json"), R"({
  "assistant_only_loss": true,
  "bf16": false,
  "gradient_accumulation_steps": 1,
  "gradient_checkpointing": false,
  "learning_rate": 0.0002,
  "lr_scheduler_type": "cosine",
  "max_grad_norm": 1.0,
  "max_length": 256,
  "max_steps": 60,
  "num_train_epochs": 1.0,
  "optim": "adamw_torch",
  "packing": true,
  "per_device_train_batch_size": 1,
  "seed": 42,
  "warmup_ratio": 0.0,
  "warmup_steps": 0,
  "weight_decay": 0.0
}
)");
  const auto record = formats::ReadTrainingRecord(box.dir() / "adapter");
  ASSERT_TRUE(record.ok()) << record.error().ToString();
  ASSERT_TRUE(record->state.has_value());
  EXPECT_EQ(record->state->global_step, 60);
  EXPECT_GT(record->state->epoch, 0);
  EXPECT_GT(record->state->num_labelled_tokens_seen, 0);
  EXPECT_GT(record->state->num_input_tokens_seen, record->state->num_labelled_tokens_seen);
  EXPECT_TRUE(record->state->loss && record->state->train_loss);
  EXPECT_LT(*record->state->loss, *record->state->train_loss);
  EXPECT_FALSE(record->state->eval_loss);
}

}  // namespace
}  // namespace genflow
