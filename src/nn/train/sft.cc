#include "nn/train/sft.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "nn/guarded.h"
#include "nn/train/checkpoint.h"
#include "nn/train/loss.h"
#include "nn/train/random.h"
#include "nn/train/recompute.h"
#include "nn/train/sft_plan.h"

namespace genflow::nn::train {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Sum of the losses of a micro-batch's labels, times `scale`.
at::Tensor MicroLoss(const CausalLM& model, const MicroBatch& micro, double scale, bool recompute = false,
                     uint64_t seed = 0, double noise = 0) {
  const auto tensor = [&](const std::vector<int64_t>& values) {
    return at::tensor(values, at::kLong).to(model.device());
  };
  Batch batch;
  batch.input_ids = tensor(micro.ids).unsqueeze(0);           // [1, N]
  batch.position_ids = tensor(micro.positions).unsqueeze(0);  // [1, N]
  batch.cu_seqlens = micro.cu_seqlens;
  batch.dropout_seed = seed;
  batch.neftune_noise_alpha = noise;
  const at::Tensor hidden = recompute ? HiddenRecomputed(model, batch) : model.Hidden(batch).flatten(0, 1);
  return LabelledCrossEntropy(hidden, model.head(), tensor(micro.rows), tensor(micro.targets), scale);
}

// The lowest loss on held-out examples so far, and the adapter that had it where that is wanted.
struct Best {
  double loss = std::numeric_limits<double>::infinity();
  int64_t step = 0;               // updates when it was found
  int64_t evaluations_since = 0;  // without a lower one
  at::Tensor parameters;

  void Take(double found, int64_t done, const at::Tensor& adapter) {
    ++evaluations_since;
    if (!(found < loss)) return;
    loss = found;
    step = done;
    evaluations_since = 0;
    if (parameters.defined()) parameters.copy_(adapter);
  }
};

// Puts a checkpoint's tensors into those of the same names, all of which it must hold.
Status Restore(const Checkpoint& checkpoint, const std::vector<std::pair<std::string, at::Tensor>>& to) {
  for (const auto& [name, tensor] : to) {
    const auto found = std::find_if(checkpoint.tensors.begin(), checkpoint.tensors.end(),
                                    [&](const auto& other) { return other.first == name; });
    if (found == checkpoint.tensors.end() || found->second.numel() != tensor.numel() ||
        found->second.scalar_type() != tensor.scalar_type()) {
      return MakeError(Code::kCorrupt, "the checkpoint of step " + std::to_string(checkpoint.step) +
                                           " does not hold '" + name + "' as this training keeps it");
    }
    tensor.copy_(found->second);
  }
  return Ok();
}

Status CheckExamples(const CausalLM& model, const SftExamples& examples, const std::string& what) {
  const int64_t context = model.config().max_positions;
  if (context > 0 && examples.longest() > context) {
    return InvalidError(what + ": an example has " + WithCommas(examples.longest()) +
                            " tokens, and the model's context is " + WithCommas(context),
                        "set max_length to at most the model's context");
  }
  if (examples.largest_id() >= model.config().vocab_size) {
    return InvalidError(what + ": the examples hold token " + std::to_string(examples.largest_id()) +
                            ", and the model's vocabulary ends at " +
                            std::to_string(model.config().vocab_size - 1),
                        "the tokenizer does not belong to the model");
  }
  return Ok();
}

Status CheckOptions(const CausalLM& model, const TrainedTensors& lora, const SftExamples& train,
                    const SftExamples* eval, const SftOptions& o) {
  if (!lora.flat_grad().defined())
    return MakeError(Code::kInternal, "what is to be trained was not attached as trainable");
  if (train.size() == 0) return InvalidError("there is no example to train on");
  if (o.max_steps <= 0 && !(o.epochs > 0)) return InvalidError("epochs must be greater than 0");
  if (o.per_device_train_batch_size < 1 || o.gradient_accumulation_steps < 1) {
    return InvalidError("per_device_train_batch_size and gradient_accumulation_steps must be at least 1");
  }
  GF_CHECK_OK(CheckExamples(model, train, "dataset"));
  return eval != nullptr ? CheckExamples(model, *eval, "eval_dataset") : Ok();
}

std::string StepMessage(int64_t step, int64_t steps, double lr) {
  char text[96];
  std::snprintf(text, sizeof text, "step %lld of %lld, lr %.2e", static_cast<long long>(step + 1),
                static_cast<long long>(steps), lr);
  return text;
}

}  // namespace

Result<double> EvaluateLoss(CausalLM& model, const SftExamples& examples, int64_t tokens_per_batch,
                            const std::function<bool()>& should_stop) {
  return Guarded("evaluation", [&]() -> Result<double> {
    const c10::NoGradGuard no_grad;
    model.SetTraining(false);
    double total = 0;
    std::vector<uint32_t> members;
    int64_t tokens = 0;
    for (size_t i = 0; i < examples.size(); ++i) {
      members.push_back(static_cast<uint32_t>(i));
      tokens += static_cast<int64_t>(examples.ids(i).size());
      if (tokens < tokens_per_batch && i + 1 < examples.size()) continue;
      if (should_stop && should_stop()) return MakeError(Code::kInterrupted, "stopped during evaluation");
      total += MicroLoss(model, Collate(examples, members), 1.0).item<double>();
      members.clear();
      tokens = 0;
    }
    return total / static_cast<double>(examples.labelled_tokens());
  });
}

Result<SftResult> RunSft(CausalLM& model, TrainedTensors& lora, const SftExamples& train,
                         const SftExamples* eval, const SftOptions& options, const SftHooks& hooks) {
  GF_CHECK_OK(CheckOptions(model, lora, train, eval, options));
  return Guarded("training", [&]() -> Result<SftResult> {
    // Sums of a GPU in one order; what has no such kernel warns and goes on.
    if (model.device().is_cuda()) at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/true);

    // What each update sees, and how fast it learns.
    SftPlan plan(train, options);
    const int64_t total_steps = plan.total_steps();
    const LrSchedule schedule(
        {.kind = options.lr_scheduler_type,
         .learning_rate = options.learning_rate,
         .warmup_steps = WarmupSteps(options.warmup_steps, options.warmup_ratio, total_steps),
         .total_steps = total_steps,
         .decay_steps = options.num_decay_steps,
         .decay_type = options.decay_type,
         .min_lr_ratio = options.min_lr_ratio});
    const auto optimizer =
        Optimizer::Make(options.optimizer, lora.flat(), lora.Slices(options.loraplus_lr_ratio));

    SftResult result;
    result.total_steps = total_steps;
    if (options.packing) {
      result.packing_efficiency = static_cast<double>(train.tokens()) /
                                  static_cast<double>(plan.rows() * static_cast<size_t>(options.max_length));
    }

    // Continue from the last checkpoint.
    CheckpointStore checkpoints(options.state_dir);
    double loss_sum = 0;
    int64_t saved_step = -1, evaluated = 0;
    Best best;
    if (eval != nullptr && options.load_best_model_at_end) best.parameters = lora.flat().clone();
    const auto kept = [&] {
      auto tensors = optimizer->State();
      tensors.emplace_back("parameters", lora.flat());
      if (best.parameters.defined()) tensors.emplace_back("best_parameters", best.parameters);
      return tensors;
    };
    if (!options.state_dir.empty()) {
      std::vector<std::string> notes;
      GF_TRY(auto found, checkpoints.LoadNewest(options.fingerprint, &notes));
      if (hooks.warn) {
        for (const auto& note : notes) hooks.warn(note);
      }
      if (found) {
        GF_CHECK_OK(Restore(*found, kept()));
        optimizer->set_steps(found->step);
        result.resumed_from = saved_step = found->step;
        loss_sum = found->state.value("loss_sum", 0.0);
        result.first_loss = found->state.value("first_loss", 0.0);
        result.final_loss = found->state.value("final_loss", 0.0);
        result.labelled_tokens = found->state.value("labelled_tokens", int64_t{0});
        evaluated = found->state.value("evaluated", int64_t{0});
        best.step = found->state.value("best_step", int64_t{0});
        if (best.step > 0) best.loss = found->state.value("best_loss", best.loss);
        best.evaluations_since = found->state.value("evaluations_since_best", int64_t{0});
        if (hooks.info) hooks.info("continuing from the checkpoint of step " + std::to_string(found->step));
      }
    }
    const auto save = [&](int64_t step) -> Status {
      if (options.state_dir.empty() || step == saved_step) return Ok();
      saved_step = step;
      return checkpoints.Save({step,
                               options.fingerprint,
                               {{"loss_sum", loss_sum},
                                {"first_loss", result.first_loss},
                                {"final_loss", result.final_loss},
                                {"labelled_tokens", result.labelled_tokens},
                                {"evaluated", evaluated},
                                {"best_loss", best.loss},
                                {"best_step", best.step},
                                {"evaluations_since_best", best.evaluations_since}},
                               kept()});
    };
    const auto stop = [&] { return hooks.should_stop && hooks.should_stop(); };

    const auto started = Clock::now();
    auto last_save = started;
    const int64_t first_tokens = plan.TokensBefore(result.resumed_from);
    const auto total_tokens = static_cast<uint64_t>(plan.TokensBefore(total_steps));
    int64_t tokens = first_tokens;
    // No more tokens at once than an update holds.
    const int64_t eval_batch =
        options.per_device_train_batch_size *
        (options.packing ? options.max_length : std::min(options.max_length, train.longest()));
    // A stop in the middle of an update gives that update up: the state is that of the last whole one.
    const auto interrupted = [&](int64_t step) -> Result<SftResult> {
      GF_CHECK_OK(save(step));
      GF_CHECK_OK(checkpoints.Finish());
      result.interrupted = true;
      result.steps = step;
      result.seconds = SecondsSince(started);
      return result;
    };

    const auto evaluate = [&](int64_t done) -> Status {
      auto loss = EvaluateLoss(model, *eval, eval_batch, hooks.should_stop);
      if (!loss.ok() && loss.error().code == Code::kInterrupted) {
        result.interrupted = true;
        return Ok();
      }
      if (!loss.ok()) return std::move(loss).error();
      result.eval_loss = *loss;
      evaluated = done;
      best.Take(*loss, done, lora.flat());
      if (hooks.metric) hooks.metric("eval_loss", *loss, done - 1);
      return Ok();
    };

    const auto evaluation_due = [&](int64_t done) {
      return eval != nullptr && options.eval_steps > 0 && done > 0 && done % options.eval_steps == 0 &&
             evaluated < done;
    };
    int64_t last = total_steps;  // updates after which it ends
    for (int64_t step = result.resumed_from; step < last; ++step) {
      if (evaluation_due(step)) {
        GF_CHECK_OK(evaluate(step));
        if (result.interrupted) return interrupted(step);
      }
      if (options.early_stopping_patience > 0 && best.evaluations_since >= options.early_stopping_patience) {
        result.stopped_early = true;
        last = step;
        break;
      }
      const auto step_started = Clock::now();
      const int64_t tokens_before = tokens;
      model.SetTraining(true);

      // Gradients of the mean loss over all labels of the window, however they fall into micro-batches.
      std::vector<MicroBatch> window;
      int64_t labels = 0;
      for (const auto& members : plan.MicroBatches(step)) {
        window.push_back(Collate(train, members));
        labels += static_cast<int64_t>(window.back().targets.size());
      }
      uint64_t seed = Random(options.seed, "dropout", static_cast<uint64_t>(step)).Next();
      at::manual_seed(seed);
      lora.flat_grad().zero_();
      double loss = 0;
      for (const MicroBatch& micro : window) {
        if (stop()) return interrupted(step);
        const at::Tensor part =
            MicroLoss(model, micro, 1.0 / static_cast<double>(labels), options.gradient_checkpointing,
                      seed += model.layers.size(), options.neftune_noise_alpha);
        part.backward();
        loss += part.item<double>();
        tokens += static_cast<int64_t>(micro.ids.size());
        if (hooks.progress) {
          hooks.progress(static_cast<uint64_t>(tokens), total_tokens,
                         StepMessage(step, total_steps, schedule.At(step)));
        }
      }

      const double norm = ClipGradNorm(lora.flat_grad(), options.max_grad_norm);
      if (!std::isfinite(loss) || !std::isfinite(norm)) {
        return InvalidError("the " + std::string(std::isfinite(loss) ? "gradient" : "loss") + " of step " +
                                std::to_string(step + 1) + " is not finite",
                            "lower learning_rate, or lengthen the warm-up");
      }
      const double lr = schedule.At(step);
      optimizer->Step(lora.flat_grad(), lr);

      if (step == 0) result.first_loss = loss;
      result.final_loss = loss;
      result.labelled_tokens += labels;
      loss_sum += loss;
      if (hooks.metric) {
        hooks.metric("loss", loss, step);
        hooks.metric("learning_rate", lr, step);
        hooks.metric("grad_norm", norm, step);
        hooks.metric("tokens_per_second",
                     static_cast<double>(tokens - tokens_before) / SecondsSince(step_started), step);
      }

      const int64_t done = step + 1;
      if (done == total_steps) break;
      const bool by_steps = options.checkpoint_steps > 0 && done % options.checkpoint_steps == 0;
      const bool by_time =
          options.checkpoint_seconds > 0 && SecondsSince(last_save) >= options.checkpoint_seconds;
      if (by_steps || by_time) {
        GF_CHECK_OK(save(done));
        last_save = Clock::now();
      }
    }

    if (eval != nullptr && evaluated < last) {
      GF_CHECK_OK(save(last));  // an evaluation that fails costs no training
      GF_CHECK_OK(evaluate(last));
      if (result.interrupted) return interrupted(last);
    }
    GF_CHECK_OK(checkpoints.Finish());
    if (best.parameters.defined()) {
      lora.flat().copy_(best.parameters);
      result.eval_loss = best.loss;
      result.best_step = best.step;
    }
    result.steps = last;
    result.epoch = static_cast<double>(last) / static_cast<double>(plan.steps_per_epoch());
    result.tokens = tokens;
    result.mean_loss = loss_sum / static_cast<double>(std::max<int64_t>(1, last));
    result.seconds = SecondsSince(started);
    result.tokens_per_second = static_cast<double>(tokens - first_tokens) / std::max(1e-9, result.seconds);
    return result;
  });
}

}  // namespace genflow::nn::train
