// Times log-likelihoods. Usage: score_speed MODEL fp32|bf16 THREADS REQUESTS.json; the requests are an array
// of
// {"tokens": [...], "begin": index of the first scored token}. Prints {"seconds": ..., "logprobs": [...],
// "greedy":
// [...]}.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/files.h"
#include "formats/model_source.h"
#include "nn/device.h"
#include "nn/model.h"
#include "nn/page_arena.h"
#include "nn/score.h"

int main(int argc, char** argv) {
  using genflow::nn::ScoreItem;
  if (argc != 5) {
    std::fprintf(stderr, "usage: score_speed MODEL fp32|bf16 THREADS REQUESTS.json\n");
    return 2;
  }
  const auto fail = [](const genflow::Error& error) {
    std::fprintf(stderr, "%s\n", error.ToString().c_str());
    return 1;
  };
  genflow::nn::UsePageArena();
  genflow::nn::SetThreads(std::atoi(argv[3]));
  const auto source = genflow::formats::ModelSource::Open(argv[1]);
  if (!source.ok()) return fail(source.error());
  genflow::nn::LoadOptions options;
  options.dtype = argv[2] == std::string_view("bf16") ? at::kBFloat16 : at::kFloat;
  const auto model = genflow::nn::LoadCausalLM(*source, options);
  if (!model.ok()) return fail(model.error());
  const auto text = genflow::ReadFile(argv[4]);
  if (!text.ok()) return fail(text.error());
  std::vector<ScoreItem> items;
  for (const auto& request : nlohmann::json::parse(*text)) {
    auto tokens = request["tokens"].get<std::vector<int32_t>>();
    const auto end = static_cast<int64_t>(tokens.size());
    items.push_back(ScoreItem::Span(std::move(tokens), request["begin"], end));
  }
  const auto begin = std::chrono::steady_clock::now();
  const auto scores = genflow::nn::ScoreItems(**model, items);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  if (!scores.ok()) return fail(scores.error());
  nlohmann::json out{{"seconds", seconds}};
  for (const auto& score : *scores) {
    out["logprobs"].push_back(score.logprob);
    out["greedy"].push_back(score.greedy);
  }
  std::cout << out << "\n";
  return 0;
}
