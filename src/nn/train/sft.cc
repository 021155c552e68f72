#include "nn/train/sft.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <optional>

#include "base/strings.h"
#include "nn/guarded.h"
#include "nn/train/checkpoint.h"
#include "nn/train/gradient_sums.h"
#include "nn/train/random.h"
#include "nn/train/sft_forward.h"
#include "nn/train/sft_plan.h"
#include "nn/train/sft_state.h"

namespace genflow::nn::train {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
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

Status CheckOptions(const CausalLM& model, const TrainedTensors& trained, const SftExamples& train,
                    const SftExamples* eval, const SftOptions& o) {
  if (!trained.flat_grad().defined())
    return MakeError(Code::kInternal, "what is to be trained was not attached as trainable");
  if (train.size() == 0) return InvalidError("there is no example to train on");
  if (o.max_steps <= 0 && !(o.epochs > 0)) return InvalidError("epochs must be greater than 0");
  if (o.per_device_train_batch_size < 1 || o.gradient_accumulation_steps < 1) {
    return InvalidError("per_device_train_batch_size and gradient_accumulation_steps must be at least 1");
  }
  if (o.packing && (o.group_by_length || !o.padding_free)) {
    return InvalidError("group_by_length and padding are for rows of one example each",
                        "set packing to false");
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

Result<SftResult> RunSft(CausalLM& model, TrainedTensors& trained, const SftExamples& train,
                         const SftExamples* eval, const SftOptions& options, const SftHooks& hooks) {
  GF_CHECK_OK(CheckOptions(model, trained, train, eval, options));
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
        Optimizer::Make(options.optimizer, trained.flat(), trained.Slices(options.loraplus_lr_ratio));

    // This process, and those that it shares the windows with.
    Ranks* const ranks = options.ranks;
    const int process = ranks != nullptr ? ranks->rank() : 0,
              processes = ranks != nullptr ? ranks->size() : 1;
    std::optional<GradientSums> sums;
    if (ranks != nullptr) sums.emplace(*ranks, trained, options.bucket_bytes);

    // Continue from the last checkpoint.
    CheckpointStore checkpoints(options.state_dir);
    Progress state;
    Best& best = state.best;
    if (eval != nullptr && options.load_best_model_at_end) best.parameters = trained.flat().clone();
    const auto kept = [&] {
      auto tensors = optimizer->State();
      tensors.emplace_back("parameters", trained.flat());
      if (best.parameters.defined()) tensors.emplace_back("best_parameters", best.parameters);
      return tensors;
    };
    SftResult result;
    GF_TRY(result.resumed_from, Resume(checkpoints, options, hooks, kept(), &state));
    optimizer->set_steps(result.resumed_from);
    result.total_steps = total_steps;
    result.packing_efficiency = plan.Efficiency();
    int64_t saved_step = result.resumed_from > 0 ? result.resumed_from : -1;
    const auto save = [&](int64_t step) -> Status {
      if (process != 0 || options.state_dir.empty() || step == saved_step) return Ok();
      saved_step = step;
      return checkpoints.Save({step, options.fingerprint, state.ToJson(), kept()});
    };
    const auto stop = [&] { return hooks.should_stop && hooks.should_stop(); };

    const auto started = Clock::now();
    auto last_save = started;
    const int64_t first_tokens = plan.TokensBefore(result.resumed_from);
    const auto total_tokens = static_cast<uint64_t>(plan.TokensBefore(total_steps));
    int64_t tokens = first_tokens;  // of all processes
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
      auto loss = EvaluateLoss(model, *eval, eval_batch, hooks.should_stop, ranks);
      if (!loss.ok() && loss.error().code == Code::kInterrupted) {
        result.interrupted = true;
        return Ok();
      }
      if (!loss.ok()) return std::move(loss).error();
      result.eval_loss = *loss;
      state.evaluated = done;
      best.Take(*loss, done, trained.flat());
      if (hooks.metric) hooks.metric("eval_loss", *loss, done - 1);
      return Ok();
    };
    const auto evaluation_due = [&](int64_t done) {
      return eval != nullptr && options.eval_steps > 0 && done > 0 && done % options.eval_steps == 0 &&
             state.evaluated < done;
    };

    // Gradients of the mean loss over all labels of a window, however they fall into micro-batches and
    // processes, and that loss; nothing where any process is to stop.
    const auto window_gradient = [&](int64_t step) -> std::optional<double> {
      const int64_t before = tokens;
      const double scale = 1.0 / static_cast<double>(plan.Labels(step));
      const auto window = plan.MicroBatches(step, process, processes);
      const uint64_t seed = Random(options.seed, "dropout", static_cast<uint64_t>(step)).Next();
      at::manual_seed(seed);
      trained.flat_grad().zero_();
      double loss = 0;
      bool stopped = false;
      for (size_t i = 0; i < window.size(); ++i) {
        stopped = stop();
        if (stopped && ranks == nullptr) return std::nullopt;
        if (stopped) break;  // the others wait for this one's sums
        const MicroBatch micro = options.padding_free
                                     ? Collate(train, window[i])
                                     : CollatePadded(train, window[i], options.pad_to_multiple_of);
        ForwardOptions forward{
            .scale = scale,
            .recompute = options.gradient_checkpointing,
            .seed = seed + (i * static_cast<size_t>(processes) + static_cast<size_t>(process) + 1) *
                               model.layers.size(),
            .neftune_noise_alpha = options.neftune_noise_alpha,
            .on_layer_input = {}};
        if (sums && i + 1 == window.size())
          forward.on_layer_input = [&](const at::Tensor& x, int64_t layer) { sums->Watch(x, layer); };
        const at::Tensor part = MicroLoss(model, micro, forward);
        part.backward();
        loss += part.item<double>();
        tokens += micro.tokens;
        if (i + 1 == window.size()) tokens = before + plan.Tokens(step);
        if (hooks.progress) {
          hooks.progress(static_cast<uint64_t>(tokens), total_tokens,
                         StepMessage(step, total_steps, schedule.At(step)));
        }
      }
      tokens = before + plan.Tokens(step);
      if (!sums) return loss;
      sums->Finish();
      const at::Tensor all = at::tensor({loss, stopped ? 1.0 : 0.0}, at::kDouble);
      ranks->Sum(all);
      if (all[1].item<double>() > 0) return std::nullopt;
      return all[0].item<double>();
    };

    int64_t last = total_steps;          // updates after which it ends
    int64_t done = result.resumed_from;  // whole updates
    try {
      while (done < last) {
        const int64_t step = done;
        if (evaluation_due(step)) {
          GF_CHECK_OK(evaluate(step));
          if (result.interrupted) return interrupted(step);
        }
        if (options.early_stopping_patience > 0 &&
            best.evaluations_since >= options.early_stopping_patience) {
          result.stopped_early = true;
          last = step;
          break;
        }
        const auto step_started = Clock::now();
        model.SetTraining(true);
        const auto loss = window_gradient(step);
        if (!loss) return interrupted(step);
        const double norm = ClipGradNorm(trained.flat_grad(), options.max_grad_norm);
        if (!std::isfinite(*loss) || !std::isfinite(norm)) {
          return InvalidError("the " + std::string(std::isfinite(*loss) ? "gradient" : "loss") + " of step " +
                                  std::to_string(step + 1) + " is not finite",
                              "lower learning_rate, or lengthen the warm-up");
        }
        const double lr = schedule.At(step);
        optimizer->Step(trained.flat_grad(), lr);

        if (step == 0) state.first_loss = *loss;
        state.final_loss = *loss;
        state.labelled_tokens += plan.Labels(step);
        state.loss_sum += *loss;
        if (hooks.metric) {
          hooks.metric("loss", *loss, step);
          hooks.metric("learning_rate", lr, step);
          hooks.metric("grad_norm", norm, step);
          hooks.metric("tokens_per_second",
                       static_cast<double>(plan.Tokens(step)) / SecondsSince(step_started), step);
        }

        if (++done == total_steps) break;
        const bool by_steps = options.checkpoint_steps > 0 && done % options.checkpoint_steps == 0;
        const bool by_time =
            options.checkpoint_seconds > 0 && SecondsSince(last_save) >= options.checkpoint_seconds;
        if (by_steps || by_time) {
          GF_CHECK_OK(save(done));
          last_save = Clock::now();
        }
      }

      if (eval != nullptr && state.evaluated < last) {
        GF_CHECK_OK(save(last));  // an evaluation that fails costs no training
        GF_CHECK_OK(evaluate(last));
        if (result.interrupted) return interrupted(last);
      }
    } catch (const RankLost& lost) {
      if (hooks.warn) hooks.warn(lost.what());
      return interrupted(done);
    }
    GF_CHECK_OK(checkpoints.Finish());
    if (best.parameters.defined()) {
      trained.flat().copy_(best.parameters);
      result.eval_loss = best.loss;
      result.best_step = best.step;
    }
    result.steps = last;
    result.epoch = static_cast<double>(last) / static_cast<double>(plan.steps_per_epoch());
    result.tokens = tokens;
    result.labelled_tokens = state.labelled_tokens;
    result.first_loss = state.first_loss;
    result.final_loss = state.final_loss;
    result.mean_loss = state.loss_sum / static_cast<double>(std::max<int64_t>(1, last));
    result.seconds = SecondsSince(started);
    result.tokens_per_second = static_cast<double>(tokens - first_tokens) / std::max(1e-9, result.seconds);
    return result;
  });
}

}  // namespace genflow::nn::train
