#include "stages/train/fit.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "base/strings.h"
#include "sizing/advice.h"
#include "sizing/machine.h"

namespace genflow::stages {
namespace {

// What a prediction may be too high by (bench/train/memory.py): what is refused does not fit.
constexpr double kTooHigh = 0.9;

Result<sizing::Ranks> RanksOf(const sizing::ModelShape& shape, const adapter::LoraConfig& lora) {
  sizing::Ranks ranks = sizing::AllLinear(shape, 0);
  const auto projections = shape.Projections();
  for (size_t layer = 0; layer < ranks.size(); ++layer) {
    for (size_t p = 0; p < sizing::kProjections; ++p) {
      const std::string module = "model.layers." + std::to_string(layer) + "." + projections[p].name;
      GF_TRY(const bool adapts, adapter::Adapts(lora, module));
      if (!adapts) continue;
      GF_TRY(const adapter::LoraRank rank, adapter::RankOf(lora, module));
      ranks[layer][p] = rank.r;
    }
  }
  return ranks;
}

uint64_t MemoryLimit(const Context& context) {
  const auto info = nlohmann::json::parse(context.InfoJson(), nullptr, /*allow_exceptions=*/false);
  return info.is_object() ? info.value("memory_limit", uint64_t{0}) : 0;
}

}  // namespace

Status CheckFit(const Context& context, const TrainLora& stage, const formats::ModelSource& source,
                const adapter::LoraConfig& lora, const nn::train::SftExamples& train, bool bf16) {
  const auto shape = sizing::ShapeOf(source);
  if (!shape.ok()) return Ok();  // loading says what is wrong with it
  sizing::Job job;
  job.bf16 = bf16;
  job.optimizer = *sizing::OptimizerFromName(stage.optim);
  job.gradient_checkpointing = stage.gradient_checkpointing;
  job.threads = context.Threads();
  job.data_tokens = static_cast<uint64_t>(train.tokens());
  GF_TRY(job.ranks, RanksOf(*shape, lora));
  // Packed rows are as good as full; the data may be less than a batch of them.
  job.max_length = stage.packing ? stage.max_length : std::min(stage.max_length, train.longest());
  job.max_length = std::min(job.max_length, std::max<int64_t>(1, train.tokens()));
  job.batch = std::min(stage.batch, (train.tokens() + job.max_length - 1) / job.max_length);

  const sizing::Memory needed = sizing::PredictMemory(*shape, job);
  sizing::AvailableMemory left = sizing::MemoryLeft(MemoryLimit(context));
  left.bytes /= static_cast<uint64_t>(std::max(1, context.Processes()));  // each has its own model
  if (needed.total() <= left.bytes) return Ok();
  const std::string numbers = "this training needs about " + HumanBytes(needed.total()) + " of memory, and " +
                              left.what + " " + HumanBytes(left.bytes) + " (" + sizing::PartsText(needed) +
                              ")";
  std::string advice = "no setting of it fits: use a smaller model, or a machine with more memory";
  if (const auto fits = sizing::FirstThatFits(*shape, job, left.bytes)) {
    advice = "set " + sizing::Difference(job, *fits, stage.accumulation) + ", which needs about " +
             HumanBytes(sizing::PredictMemory(*shape, *fits).total());
  }
  if (kTooHigh * static_cast<double>(needed.total()) > static_cast<double>(left.bytes))
    return InvalidError(numbers, advice);
  context.Warn(numbers + "; " + advice);
  return Ok();
}

}  // namespace genflow::stages
