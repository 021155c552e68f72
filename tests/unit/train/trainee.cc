// One process of a training on the tiny model, for tests that end it at will.
//   trainee SETTINGS    a JSON object, see trainees.h; writes what came out to the file settings["out"]
#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/sha256.h"
#include "formats/model_source.h"
#include "nn/device.h"
#include "nn/train/lora.h"
#include "nn/train/random.h"
#include "nn/train/sft.h"

namespace {

using namespace genflow;             // NOLINT
using namespace genflow::nn;         // NOLINT
using namespace genflow::nn::train;  // NOLINT
using nlohmann::json;

template <class T>
T Must(Result<T> result) {
  if (!result.ok()) {
    std::fprintf(stderr, "%s\n", result.error().ToString().c_str());
    std::exit(1);
  }
  return std::move(result).value();
}

SftExamples Corpus(const std::vector<int>& lengths) {
  SftExamples examples;
  Random random(7);
  for (const int length : lengths) {
    std::vector<int32_t> ids;
    std::vector<uint8_t> train;
    for (int t = 0; t < length; ++t) {
      ids.push_back(static_cast<int32_t>(random.Below(131)));
      train.push_back(t >= length / 2 ? 1 : 0);
    }
    examples.Append(ids, train);
  }
  return examples;
}

}  // namespace

int main(int, char** argv) {
  const json s = json::parse(argv[1]);
  SetThreads(1);
  const auto device = Must(ResolveDevice(s.value("device", "cpu")));
  const auto source = Must(formats::ModelSource::Open(std::string(GENFLOW_SOURCE_DIR) +
                                                      "/tests/parity/fixtures/nn/tiny_gqa_tied"));
  const auto model = Must(LoadCausalLM(source, {.dtype = at::kFloat, .device = device}));
  LoraConfig config;
  config.r = 4;
  config.dropout = s.value("dropout", 0.0);
  config.target_modules = TargetModules::AllLinear();
  config.layers_to_transform = s.value("layers", std::vector<int64_t>());
  auto lora = Must(AttachLora(*model, config, /*trainable=*/true));
  if (!InitLora(lora, 1).ok()) return 1;

  SftOptions options;
  options.max_steps = s.value("steps", 50);
  options.per_device_train_batch_size = s.value("batch", 3);
  options.gradient_accumulation_steps = s.value("accumulation", 2);
  options.packing = s.value("packing", false);
  options.max_length = 48;
  options.learning_rate = 1e-2;
  options.warmup_steps = 5;
  options.optimizer.weight_decay = 0.1;
  options.max_grad_norm = 0.5;
  options.gradient_checkpointing = s.value("checkpointing", false);
  options.bucket_bytes = s.value("bucket_bytes", 1);
  options.eval_steps = s.value("eval_steps", 0);
  options.state_dir = s.value("state", "");
  options.checkpoint_seconds = 0;
  options.checkpoint_steps = s.value("checkpoint_steps", 0);
  options.fingerprint = "trainee";

  const int rank = s.value("rank", 0);
  std::unique_ptr<Ranks> ranks;
  if (s.value("processes", 1) > 1) {
    ranks = Must(ConnectRanks({.rank = rank,
                               .size = s.at("processes").get<int>(),
                               .rendezvous = s.at("rendezvous").get<std::string>(),
                               .device = device,
                               .timeout = std::chrono::milliseconds(s.value("timeout_ms", 60000))}));
    options.ranks = ranks.get();
  }

  json out = {{"loss", json::array()}, {"grad_norm", json::array()}, {"eval_loss", json::array()}};
  SftHooks hooks;
  int polls = 0;
  const int stop_at = s.value("stop_at_poll", -1), kill_at = s.value("kill_at_poll", -1);
  const int64_t kill_after = s.value("kill_after_step", -1);
  hooks.should_stop = [&] {
    if (polls == kill_at) std::raise(s.value("signal", SIGKILL));
    return polls++ == stop_at;
  };
  hooks.metric = [&](const char* name, double value, int64_t step) {
    if (out.contains(name)) out[name].push_back(value);
    if (std::string(name) == "tokens_per_second" && step == kill_after) std::raise(SIGKILL);
  };
  hooks.warn = [&](const std::string& text) { out["warnings"].push_back(text); };
  const SftExamples train = Corpus(s.value(
      "lengths", std::vector<int>{9, 31, 4, 22, 15, 3, 40, 12, 7, 26, 18, 5, 33, 11, 2, 20, 28, 6, 13}));
  const SftExamples eval = Corpus({30, 5, 17, 9, 22});
  const auto result = RunSft(*model, lora, train, options.eval_steps > 0 ? &eval : nullptr, options, hooks);
  if (!result.ok()) {
    std::fprintf(stderr, "%s\n", result.error().ToString().c_str());
    return 1;
  }
  out["interrupted"] = result->interrupted;
  out["steps"] = result->steps;
  out["resumed_from"] = result->resumed_from;
  out["tokens"] = result->tokens;
  const at::Tensor flat = lora.flat().cpu();
  out["digest"] = Sha256Hex({static_cast<const char*>(flat.const_data_ptr()), flat.nbytes()});
  const std::string text = out.dump();
  return WriteFileAtomic(s.at("out").get<std::string>(), text).ok() ? 0 : 1;
}
