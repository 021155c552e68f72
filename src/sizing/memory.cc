// The sums follow src/nn: adapted_group.cc (weights with their updates in one matrix), adapted_block.cc (what
// is kept, and the gradients in passing), flash_attention.cc, train/loss.cc, train/recompute.cc,
// train/optimizer.cc. On a GPU: linear.cc and attention.cc under autograd. What cannot be counted was
// measured with bench/train/memory.py, and stands here as a constant.
#include "sizing/memory.h"

#include <algorithm>
#include <numeric>

namespace genflow::sizing {
namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kLogitsBuffer = 96 * kMiB;  // LossOptions::buffer_bytes
// A worker with libtorch, Arrow and this program's own code, before it has a tokenizer or a model.
constexpr uint64_t kProcess = 176 * kMiB;
constexpr double kTokenizerBytes = 20;     // resident for each byte of tokenizer.json, at its peak
constexpr uint64_t kBytesOfDataToken = 6;  // id, label, and what vectors grow ahead
constexpr uint64_t kGpuContext = 512 * kMiB;
constexpr double kGpuFragments = 0.05;  // of what is allocated

uint64_t U(int64_t value) { return static_cast<uint64_t>(value); }

using LayerRanks = std::array<int64_t, kProjections>;
int64_t QkvRank(const LayerRanks& r) { return r[0] + r[1] + r[2]; }
int64_t GateUpRank(const LayerRanks& r) { return r[4] + r[5]; }

// One layer's four matrices of weights and updates, in elements.
uint64_t Matrices(const ModelShape& s, const LayerRanks& r) {
  const auto matrix = [](int64_t out, int64_t in, int64_t rank) { return U(out + rank) * U(in + rank); };
  return matrix(s.queries() + 2 * s.keys(), s.hidden, QkvRank(r)) + matrix(s.hidden, s.queries(), r[3]) +
         matrix(2 * s.intermediate, s.hidden, GateUpRank(r)) + matrix(s.hidden, s.intermediate, r[6]);
}

// What one layer keeps for the backward pass, in bytes a token.
uint64_t KeptOfLayer(const ModelShape& s, const LayerRanks& r, uint64_t e, bool on_gpu) {
  const int64_t q = s.queries(), kv = s.keys(), h = s.hidden, i = s.intermediate;
  const int64_t ranks = std::accumulate(r.begin(), r.end(), int64_t{0});
  if (on_gpu) return U(2 * h + 3 * q + 2 * kv + 4 * i) * e + 4 * U(2 * h + ranks + s.heads);
  return U(2 * h + 2 * q + 2 * kv + 2 * i + ranks) * e + 4 * U(s.heads);
}

// What is alive in passing while the backward pass is in a layer, in bytes a token: of its second half, which
// comes while everything is kept, or of its first.
uint64_t PassingOfLayer(const ModelShape& s, const LayerRanks& r, uint64_t e, bool on_gpu) {
  const int64_t q = s.queries(), kv = s.keys(), h = s.hidden, i = s.intermediate;
  if (on_gpu) return U(3 * i + 2 * h) * e + 8 * U(i);
  const uint64_t mlp = U(h + r[6] + 2 * i + GateUpRank(r) + i + 3 * h) * e;
  const uint64_t attention = U(h + r[3] + 2 * q + 2 * kv + QkvRank(r) + 3 * h) * e + 8 * U(q);
  const uint64_t kept_by_mlp = U(h + 2 * i + GateUpRank(r) + r[6]) * e;
  return std::max(mlp, attention > kept_by_mlp ? attention - kept_by_mlp : 0);
}

uint64_t OptimizerBytes(const ModelShape& s, const Job& job, uint64_t trained) {
  switch (job.optimizer) {
    case Optimizer::kAdamW:
      return 8 * trained;
    case Optimizer::kAdamW8bit:
      return 2 * trained + trained / 32;
    case Optimizer::kAdafactor:
      break;
  }
  uint64_t sides = 0;
  const auto projections = s.Projections();
  for (int64_t layer = 0; layer < s.layers; ++layer) {
    for (size_t p = 0; p < kProjections; ++p) {
      const int64_t rank = job.method == Method::kFull ? 0 : job.ranks[U(layer)][p];
      if (rank > 0 || job.method == Method::kFull)
        sides += U(2 * rank + projections[p].in + projections[p].out);
    }
  }
  return 4 * sides;
}

// Weights in memory and in the file's map.
void AddWeights(const ModelShape& s, const Job& job, uint64_t e, Memory* memory) {
  const uint64_t table = U(s.vocab) * U(s.hidden), tables = s.tied ? table : 2 * table;
  if (job.method == Method::kFull) {
    memory->weights = s.parameters * (job.bf16 ? 6 : 4);  // fp32, and a copy that is multiplied
    return;
  }
  if (job.method == Method::kQlora) {
    // NF4 in blocks of 64, whose scales are bytes in blocks of 256 with an fp32 scale each.
    const double bits = 4 + 8.0 / 64 + 32.0 / (64 * 256);
    const auto base = static_cast<double>(s.layer_weights()) * static_cast<double>(s.layers);
    memory->weights = static_cast<uint64_t>(base * bits / 8) + tables * e;
    return;
  }
  if (job.on_gpu) {
    memory->weights = s.parameters * e;
    return;
  }
  uint64_t matrices = 0;
  for (const LayerRanks& r : job.ranks) matrices += Matrices(s, r);
  memory->weights = matrices * e;
  // Tables that the file holds in the type that is multiplied stay in its map.
  const bool mapped = s.stored_type == (job.bf16 ? "BF16" : "F32");
  (mapped ? memory->mapped : memory->weights) += tables * e;
}

}  // namespace

std::optional<Method> MethodFromName(std::string_view name) {
  for (const Method method : {Method::kLora, Method::kQlora, Method::kFull}) {
    if (name == MethodName(method)) return method;
  }
  return std::nullopt;
}

const char* MethodName(Method method) {
  return method == Method::kLora ? "lora" : method == Method::kQlora ? "qlora" : "full";
}

std::optional<Optimizer> OptimizerFromName(std::string_view name) {
  if (name == "adamw_torch_fused") return Optimizer::kAdamW;
  if (name == "adamw_8bit") return Optimizer::kAdamW8bit;
  if (name == "adafactor") return Optimizer::kAdafactor;
  return std::nullopt;
}

uint64_t Memory::total() const {
  uint64_t sum = 0;
  for (const auto& [name, bytes] : Parts()) sum += bytes;
  return sum;
}

std::vector<std::pair<const char*, uint64_t>> Memory::Parts() const {
  return {{"weights", weights},         {"adapter", adapter},
          {"gradients", gradients},     {"optimizer states", optimizer},
          {"activations", activations}, {"logits and loss", logits},
          {"workspace", workspace},     {"process", base},
          {"mapped files", mapped}};
}

uint64_t TrainedParameters(const ModelShape& s, const Job& job) {
  if (job.method == Method::kFull) return s.parameters;
  uint64_t total = 0;
  const auto projections = s.Projections();
  for (const LayerRanks& r : job.ranks) {
    for (size_t p = 0; p < kProjections; ++p) total += U(r[p]) * U(projections[p].in + projections[p].out);
  }
  return total;
}

Memory PredictMemory(const ModelShape& s, const Job& job) {
  const uint64_t e = job.bf16 ? 2 : 4, n = U(job.tokens());
  const Ranks& ranks = job.method == Method::kFull ? AllLinear(s, 0) : job.ranks;
  Memory memory;
  AddWeights(s, job, e, &memory);
  const uint64_t trained = TrainedParameters(s, job);
  if (job.method != Method::kFull) memory.adapter = 4 * trained;
  memory.gradients = 4 * trained;
  memory.optimizer = OptimizerBytes(s, job, trained);

  // Nothing is kept below the lowest layer that is trained.
  const auto lowest = std::find_if(ranks.begin(), ranks.end(), [](const LayerRanks& r) {
    return std::any_of(r.begin(), r.end(), [](int64_t rank) { return rank > 0; });
  });
  const auto first = job.method == Method::kFull || lowest == ranks.end() ? ranks.begin() : lowest;
  uint64_t kept = 0, most_kept = 0, passing = 0;
  for (auto layer = first; layer != ranks.end(); ++layer) {
    const uint64_t own = KeptOfLayer(s, *layer, e, job.on_gpu);
    kept += own;
    most_kept = std::max(most_kept, own);
    passing = std::max(passing, PassingOfLayer(s, *layer, e, job.on_gpu));
  }
  const uint64_t row = U(s.hidden) * e;
  if (job.gradient_checkpointing) {
    kept = U(s.layers) * row;
    passing += most_kept;
  }
  memory.activations = n * (kept + 2 * row + 8 * U(s.head_dim));

  // The loss comes before the backward pass, while everything is kept: the two do not add up.
  const uint64_t width = job.on_gpu ? 10 : e;  // fp32 beside bf16 on a GPU
  const uint64_t chunk =
      std::min(n, std::max<uint64_t>(1, kLogitsBuffer / ((job.on_gpu ? 2 : e) * U(s.vocab))));
  memory.logits = chunk * (U(s.vocab) * width + 2 * row) + n * row;
  const uint64_t backward = n * passing;
  memory.workspace = backward > memory.logits ? backward - memory.logits : 0;

  if (job.on_gpu) {
    memory.base = kGpuContext;
    memory.workspace +=
        static_cast<uint64_t>(kGpuFragments * static_cast<double>(memory.total() - kGpuContext));
  } else {
    memory.base = kProcess + static_cast<uint64_t>(kTokenizerBytes * static_cast<double>(s.tokenizer_bytes)) +
                  kBytesOfDataToken * job.data_tokens;
  }
  if (job.method == Method::kQlora)
    memory.workspace += 3 * U(s.intermediate) * U(s.hidden) * e;  // one layer's, in bf16
  return memory;
}

double FlopPerToken(const ModelShape& s, const Job& job) {
  const double weights = static_cast<double>(s.layer_weights()) * static_cast<double>(s.layers) +
                         static_cast<double>(s.vocab) * static_cast<double>(s.hidden);
  const double attention = 7.0 * static_cast<double>(job.max_length) * static_cast<double>(s.queries()) *
                           static_cast<double>(s.layers);
  // Forward and backward; of the weights' own gradients nothing where they are frozen.
  const double passes = (job.method == Method::kFull ? 6 : 4) + (job.gradient_checkpointing ? 2 : 0);
  const double updates =
      job.method == Method::kFull ? 0 : 6.0 * static_cast<double>(TrainedParameters(s, job));
  return passes * weights + updates + attention;
}

}  // namespace genflow::sizing
