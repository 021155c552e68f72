// Times the recipe: every token labelled, rows of one length, all projections adapted.
// Usage: train_speed MODEL fp32|bf16 THREADS STEPS BATCH LENGTH RANK [checkpointing] [METHOD] [PROCESS
// PROCESSES FILE]. Prints one JSON object. METHOD: lora (default), dora, full, or LoRA on a base in int8, nf4
// or gguf. PROCESS (from 0) of PROCESSES that share each BATCH and meet at FILE.
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "formats/model_source.h"
#include "nn/device.h"
#include "nn/page_arena.h"
#include "nn/train/full.h"
#include "nn/train/lora.h"
#include "nn/train/random.h"
#include "nn/train/sft.h"

namespace {

using namespace genflow::nn;         // NOLINT
using namespace genflow::nn::train;  // NOLINT

template <class T>
T Must(genflow::Result<T> result) {
  if (!result.ok()) {
    std::fprintf(stderr, "%s\n", result.error().ToString().c_str());
    std::exit(1);
  }
  return std::move(result).value();
}

// Megabytes that were resident at most so far.
double PeakMegabytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> rest(argv + std::min(argc, 8), argv + argc);
  const bool checkpointing = !rest.empty() && rest.front() == "checkpointing";
  if (checkpointing) rest.erase(rest.begin());
  std::string method = "lora";
  if (rest.size() % 3 == 1) {
    method = rest.front();
    rest.erase(rest.begin());
  }
  const bool full = method == "full";
  const bool is_update = method == "lora" || method == "dora" || full;
  const auto quantization = QuantizationFromName(is_update ? "none" : method);
  if (argc < 8 || (!rest.empty() && rest.size() != 3) || !quantization) {
    std::fprintf(
        stderr,
        "usage: train_speed MODEL fp32|bf16 THREADS STEPS BATCH LENGTH RANK [checkpointing] [METHOD] "
        "[PROCESS PROCESSES FILE]\n");
    return 2;
  }
  const int64_t steps = std::atoll(argv[4]), batch = std::atoll(argv[5]), length = std::atoll(argv[6]);
  SetThreads(std::atoi(argv[3]));
  UsePageArena();
  const auto source = Must(genflow::formats::ModelSource::Open(argv[1]));
  const auto device = Must(ResolveDevice("auto"));
  const auto dtype = Must(ResolveDtype(argv[2], device));
  const auto model = Must(LoadCausalLM(
      source, {.dtype = full ? at::kFloat : dtype, .device = device, .quantization = *quantization}));

  SftExamples examples;
  Random random(1);
  for (int64_t i = 0; i < batch * steps; ++i) {
    std::vector<int32_t> ids;
    for (int64_t t = 0; t < length; ++t) {
      ids.push_back(static_cast<int32_t>(random.Below(static_cast<uint64_t>(model->config().vocab_size))));
    }
    examples.Append(ids, std::vector<uint8_t>(ids.size(), 1));
  }

  LoraConfig config;
  config.r = std::atoll(argv[7]);
  config.alpha = 2 * static_cast<double>(config.r);
  config.target_modules = TargetModules::AllLinear();
  config.use_dora = method == "dora";
  std::optional<LoraSet> lora;
  std::optional<FullSet> weights;
  if (full) {
    weights = Must(TrainFully(*model, dtype));
  } else {
    lora = Must(AttachLora(*model, config, /*trainable=*/true));
    if (!InitLora(*lora, 1).ok()) return 1;
  }
  const double loaded = PeakMegabytes();

  SftOptions options;
  options.per_device_train_batch_size = batch;
  options.max_length = length;
  options.gradient_checkpointing = checkpointing;
  std::unique_ptr<Ranks> ranks;
  if (!rest.empty()) {
    ranks = Must(ConnectRanks({.rank = std::atoi(rest[0].c_str()),
                               .size = std::atoi(rest[1].c_str()),
                               .rendezvous = rest[2],
                               .device = device}));
    options.ranks = ranks.get();
  }
  std::vector<double> rates, losses;
  SftHooks hooks;
  hooks.metric = [&](const char* name, double value, int64_t) {
    if (std::string(name) == "tokens_per_second") rates.push_back(value);
    if (std::string(name) == "loss") losses.push_back(value);
  };
  TrainedTensors& trained = full ? static_cast<TrainedTensors&>(*weights) : *lora;
  Must(RunSft(*model, trained, examples, nullptr, options, hooks));
  // The first step warms up; the best of the others is what the machine can do.
  std::printf("{\"tokens_per_second\": %.1f, \"peak_mb\": %.0f, \"loaded_mb\": %.0f, \"first_loss\": %.4f}\n",
              *std::max_element(rates.begin() + (rates.size() > 1), rates.end()), PeakMegabytes(), loaded,
              losses.front());
  return 0;
}
