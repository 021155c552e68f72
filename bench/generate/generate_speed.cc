// Times text generation: reading prompts, and decoding 1 and 8 streams; and what the machine allows: the
// products of a forward pass alone, and reading all weights once a token. Usage: generate_speed MODEL
// fp32|bf16|gguf THREADS [PROMPT_TOKENS] [NEW_TOKENS]. Prints one JSON object.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>
#include <omp.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string_view>

#include "formats/model_source.h"
#include "nn/device.h"
#include "nn/generate.h"
#include "nn/linear.h"
#include "nn/model.h"
#include "nn/page_arena.h"

namespace {

using genflow::nn::CausalLM;

// Of both, the best counts.
constexpr int kRepeats = 2;
constexpr int kTurns = 5;

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

double GenerateSeconds(const CausalLM& model, int64_t streams, int64_t prompt, int64_t tokens) {
  genflow::nn::GenerateOptions options;
  options.stop_tokens.emplace();
  options.max_batch = streams;
  options.max_new_tokens = tokens;
  const auto prompts = Prompts(streams, prompt, model.config().vocab_size);
  return Seconds(
      [&] {
        if (!genflow::nn::Generate(model, nullptr, prompts, options).ok()) std::abort();
      },
      kRepeats);
}

double DecodeRate(const CausalLM& model, int64_t streams, int64_t prompt, int64_t tokens) {
  return static_cast<double>(streams * (tokens - 1)) /
         (GenerateSeconds(model, streams, prompt, tokens) - GenerateSeconds(model, streams, prompt, 1));
}

// Seconds that reading a prompt takes, and those that its products would take alone: those with all
// projections, as fast as they are made here, and attention's two, of what a token sees, at the same rate.
// The two in turns, so that both see what else the machine does.
std::pair<double, double> PrefillSeconds(CausalLM& model, int64_t tokens) {
  std::vector<std::pair<at::Tensor, at::Tensor>> products;
  double weights = 0;
  model.ForEachLinear([&](const std::string&, genflow::nn::Linear& linear) {
    const at::Tensor weight = linear.matrix().To(model.dtype());
    products.emplace_back(at::randn({tokens, linear.in_features()}, weight.options()), weight);
    weights += static_cast<double>(weight.numel());
  });
  const auto& config = model.config();
  // Multiplications a token, of which `weights` counts the others.
  const auto attention = static_cast<double>(tokens * config.num_heads * config.head_dim * config.num_layers);
  double whole = 1e9, alone = 1e9;
  for (int turn = 0; turn < kTurns; ++turn) {
    whole = std::min(whole, GenerateSeconds(model, 1, tokens, 1));
    const c10::InferenceMode inference;
    const double seconds = Seconds(
        [&] {
          for (const auto& [x, w] : products) genflow::nn::MultiplyTransposed(x, w);
        },
        kRepeats);
    alone = std::min(alone, seconds * (1 + attention / weights));
  }
  return {whole, alone};
}

// Bytes a second that all threads together read.
double Bandwidth() {
  const at::Tensor large = at::ones({size_t{1} << 28}, at::kFloat);
  const auto* const data = large.const_data_ptr<float>();
  volatile float sink = 0;
  const double seconds = Seconds(
      [&] {
        float sum = 0;
#pragma omp parallel for simd reduction(+ : sum) num_threads(at::get_num_threads())
        for (size_t i = 0; i < (size_t{1} << 28); i += 4) sum += data[i];
        sink = sum;
      },
      3);
  return static_cast<double>(large.nbytes()) / seconds;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: generate_speed MODEL fp32|bf16|gguf THREADS [PROMPT_TOKENS] [NEW_TOKENS]\n");
    return 2;
  }
  genflow::nn::UsePageArena();
  genflow::nn::SetThreads(std::atoi(argv[3]));
  const int64_t prompt = argc > 4 ? std::atoi(argv[4]) : 512;
  const int64_t tokens = argc > 5 ? std::atoi(argv[5]) : 65;
  const auto source = genflow::formats::ModelSource::Open(argv[1]);
  if (!source.ok()) {
    std::fprintf(stderr, "%s\n", source.error().ToString().c_str());
    return 1;
  }
  genflow::nn::LoadOptions options;
  options.dtype = argv[2] == std::string_view("fp32") ? at::kFloat : at::kBFloat16;
  if (argv[2] == std::string_view("gguf")) options.quantization = genflow::nn::Quantization::kGguf;
  const auto begin = std::chrono::steady_clock::now();
  const auto loaded = genflow::nn::LoadCausalLM(*source, options);
  if (!loaded.ok()) {
    std::fprintf(stderr, "%s\n", loaded.error().ToString().c_str());
    return 1;
  }
  const double load = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  CausalLM& model = **loaded;

  const auto bytes = static_cast<double>(model.WeightBytes());  // that a token reads
  const auto [whole, products] = PrefillSeconds(model, prompt);
  const double prefill = static_cast<double>(prompt) / whole;
  const double prefill_limit = static_cast<double>(prompt) / products;
  const double bandwidth = Bandwidth();
  std::printf(
      "{\"load_s\": %.3f, \"prefill_tok_s\": %.1f, \"prefill_limit_tok_s\": %.1f, \"decode_1_tok_s\": %.2f, "
      "\"decode_8_tok_s\": %.2f, \"decode_limit_tok_s\": %.2f, \"bandwidth_gb_s\": %.1f}\n",
      load, prefill, prefill_limit, DecodeRate(model, 1, 32, tokens), DecodeRate(model, 8, 32, tokens),
      bandwidth / bytes, bandwidth / 1e9);
  return 0;
}
