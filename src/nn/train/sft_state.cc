#include "nn/train/sft_state.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>
#include <optional>

namespace genflow::nn::train {

using nlohmann::json;

void Best::Take(double found, int64_t done, const at::Tensor& adapter) {
  ++evaluations_since;
  if (!(found < loss)) return;
  loss = found;
  step = done;
  evaluations_since = 0;
  if (parameters.defined()) parameters.copy_(adapter);
}

json Progress::ToJson() const {
  return {{"loss_sum", loss_sum},     {"first_loss", first_loss},
          {"final_loss", final_loss}, {"labelled_tokens", labelled_tokens},
          {"evaluated", evaluated},   {"best_loss", best.loss},
          {"best_step", best.step},   {"evaluations_since_best", best.evaluations_since}};
}

void Progress::FromJson(const json& state) {
  loss_sum = state.value("loss_sum", 0.0);
  first_loss = state.value("first_loss", 0.0);
  final_loss = state.value("final_loss", 0.0);
  labelled_tokens = state.value("labelled_tokens", int64_t{0});
  evaluated = state.value("evaluated", int64_t{0});
  best.step = state.value("best_step", int64_t{0});
  if (best.step > 0) best.loss = state.value("best_loss", best.loss);
  best.evaluations_since = state.value("evaluations_since_best", int64_t{0});
}

namespace {

Status Restore(const Checkpoint& checkpoint, const NamedTensors& to) {
  for (const auto& [name, tensor] : to) {
    const auto found = std::find_if(checkpoint.tensors.begin(), checkpoint.tensors.end(),
                                    [&](const auto& other) { return other.first == name; });
    if (found == checkpoint.tensors.end() || found->second.numel() != tensor.numel() ||
        found->second.scalar_type() != tensor.scalar_type()) {
      return MakeError(Code::kCorrupt, "the checkpoint of step " + std::to_string(checkpoint.step) +
                                           " does not hold '" + name + "' as this training keeps it");
    }
    tensor.copy_(found->second.view_as(tensor));
  }
  return Ok();
}

// The text of process 0.
std::string Shared(Ranks& ranks, const std::string& text) {
  const at::Tensor size = at::tensor({static_cast<int64_t>(text.size())}, at::kLong);
  ranks.Broadcast(size);
  const at::Tensor bytes = at::zeros({size.item<int64_t>()}, at::kByte);
  if (ranks.rank() == 0) std::memcpy(bytes.mutable_data_ptr(), text.data(), text.size());
  ranks.Broadcast(bytes);
  return {static_cast<const char*>(bytes.const_data_ptr()), static_cast<size_t>(bytes.numel())};
}

}  // namespace

Result<int64_t> Resume(const CheckpointStore& checkpoints, const SftOptions& options, const SftHooks& hooks,
                       const NamedTensors& kept, Progress* progress) {
  json state = {{"step", 0}};
  if (!options.state_dir.empty() && (options.ranks == nullptr || options.ranks->rank() == 0)) {
    std::vector<std::string> notes;
    GF_TRY(const auto found, checkpoints.LoadNewest(options.fingerprint, &notes));
    if (hooks.warn) {
      for (const auto& note : notes) hooks.warn(note);
    }
    if (found) {
      GF_CHECK_OK(Restore(*found, kept));
      state = found->state;
      state["step"] = found->step;
    }
  }
  if (options.ranks != nullptr) try {
      state = json::parse(Shared(*options.ranks, state.dump()));
      for (const auto& [name, tensor] : kept) {
        const at::Tensor values = tensor.detach().clone().contiguous();
        options.ranks->Broadcast(values);
        tensor.copy_(values);
      }
    } catch (const RankLost& lost) {
      return MakeError(Code::kInterrupted, lost.what());
    }
  const auto step = state.at("step").get<int64_t>();
  if (step == 0) return step;
  progress->FromJson(state);
  if (hooks.info) hooks.info("continuing from the checkpoint of step " + std::to_string(step));
  return step;
}

}  // namespace genflow::nn::train
