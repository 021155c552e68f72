// Times the model core on a model: whole-sequence forward passes, and decoding with a cache.
// Usage: nn_speed MODEL THREADS. Prints one JSON object.
#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "formats/model_source.h"
#include "nn/device.h"
#include "nn/generate.h"
#include "nn/model.h"

namespace {

using genflow::nn::Batch;
using genflow::nn::CausalLM;

double Seconds(const std::function<void()>& work, int repeats) {
  work();
  double best = 1e9;
  for (int i = 0; i < repeats; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    work();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  return best;
}

std::vector<std::vector<int32_t>> Prompts(int64_t count, int64_t length, int64_t vocab) {
  at::manual_seed(1);
  const at::Tensor ids = at::randint(vocab, {count, length}, at::kInt);
  std::vector<std::vector<int32_t>> prompts;
  for (int64_t i = 0; i < count; ++i) {
    const auto* row = ids.const_data_ptr<int32_t>() + i * length;
    prompts.emplace_back(row, row + length);
  }
  return prompts;
}

double DecodeRate(const CausalLM& model, int64_t batch, int64_t tokens, int repeats) {
  const auto prompts = Prompts(batch, 32, model.config().vocab_size);
  genflow::nn::GenerateOptions options;
  options.stop_tokens.emplace();
  options.max_batch = batch;
  const auto run = [&](int64_t count) {
    options.max_new_tokens = count;
    return Seconds(
        [&] {
          if (!genflow::nn::Generate(model, nullptr, prompts, options).ok()) std::abort();
        },
        repeats);
  };
  return static_cast<double>(batch * (tokens - 1)) / (run(tokens) - run(1));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: nn_speed MODEL THREADS\n");
    return 2;
  }
  genflow::nn::SetThreads(std::atoi(argv[2]));
  const auto source = genflow::formats::ModelSource::Open(argv[1]);
  if (!source.ok()) {
    std::fprintf(stderr, "%s\n", source.error().ToString().c_str());
    return 1;
  }
  const auto begin = std::chrono::steady_clock::now();
  const auto loaded = genflow::nn::LoadCausalLM(*source, {});
  if (!loaded.ok()) {
    std::fprintf(stderr, "%s\n", loaded.error().ToString().c_str());
    return 1;
  }
  const double load = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  const CausalLM& model = **loaded;

  Batch batch;
  batch.input_ids = at::randint(model.config().vocab_size, {4, 512}, at::kLong);
  const double forward = [&] {
    const c10::InferenceMode inference;
    return Seconds([&] { model.Hidden(batch); }, 3);
  }();
  std::printf(
      "{\"load_s\": %.3f, \"forward_4x512_tok_s\": %.1f, \"decode_1_tok_s\": %.2f, \"decode_8_tok_s\": "
      "%.2f}\n",
      load, 4 * 512 / forward, DecodeRate(model, 1, 33, 2), DecodeRate(model, 8, 17, 2));
  return 0;
}
