#include "stages/train/lora.h"

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/sha256.h"
#include "base/strings.h"
#include "formats/model_source.h"
#include "formats/training_record.h"
#include "nn/device.h"
#include "nn/page_arena.h"
#include "nn/train/adapter.h"
#include "nn/train/full.h"
#include "nn/train/sft.h"
#include "stages/stage_status.h"
#include "stages/train/fit.h"

namespace genflow::stages {
namespace {

using nn::train::SftExamples;

std::string Fixed(double value, int digits) {
  char text[40];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

// The GPU of this process where several train.
Result<at::Device> OwnGpu(const Context& context, const std::string& device) {
  const std::string each = std::to_string(context.Processes()) + " processes need a GPU each";
  if (device.starts_with("cuda:"))
    return InvalidError(each + ", and device is " + device, "use cuda or auto");
  // The last one there, so that all of them find out.
  const auto last = nn::ResolveDevice("cuda:" + std::to_string(context.Processes() - 1));
  if (!last.ok()) {
    return InvalidError(each + ": " + last.error().message,
                        "write `gpus` as many as `processes` in its `resources:`, or use device cpu");
  }
  return nn::ResolveDevice("cuda:" + std::to_string(context.Process()));
}

// Everything that decides the run: a checkpoint made with anything else is not continued.
std::string Fingerprint(const Context& context, at::Device at_device, at::ScalarType at_dtype) {
  auto params = nlohmann::json::parse(context.ParamsJson());
  params.erase("checkpoint_interval");
  std::string text =
      params.dump() + "\n" + (at_device.is_cuda() ? "cuda" : "cpu") + " " + nn::DtypeName(at_dtype);
  for (const char* port : {"dataset", "model", "eval_dataset", "adapter"}) {
    const Input* input = context.FindInput(port);
    text += std::string("\n") + port + " " + (input != nullptr ? input->digest : "");
  }
  return Sha256Hex(text);
}

std::string Summary(const nn::train::SftResult& result, const SftExamples& train, int64_t parameters) {
  std::string text = "Trained " + WithCommas(parameters) + " parameters in " + WithCommas(result.steps) +
                     " steps on " + WithCommas(static_cast<int64_t>(train.size())) + " examples: loss " +
                     Fixed(result.first_loss, 3) + " to " + Fixed(result.final_loss, 3);
  if (result.eval_loss) text += ", " + Fixed(*result.eval_loss, 3) + " on held-out examples";
  text += "; " + WithCommas(result.tokens) + " tokens in " + HumanDuration(result.seconds) + ", " +
          WithCommas(static_cast<int64_t>(result.tokens_per_second)) + " tokens/s";
  if (result.packing_efficiency < 1) text += ", rows " + Fixed(result.packing_efficiency * 100, 1) + "% full";
  if (train.dropped() > 0) text += "; " + Counted(train.dropped(), "example") + " dropped as too long";
  if (train.truncated() > 0) text += "; " + Counted(train.truncated(), "example") + " truncated";
  return text;
}

void WarnOfTooLong(const Context& context, const SftExamples& examples, const std::string& prefix) {
  if (examples.dropped() > 0) {
    context.Warn(prefix + Counted(examples.dropped(), "example") + " dropped: more than max_length tokens");
  }
  if (examples.truncated() > 0)
    context.Warn(prefix + Counted(examples.truncated(), "example") + " truncated to max_length tokens");
}

// What the result's folder says of how it was trained.
formats::TrainingRecord Record(const nn::train::SftOptions& options, const std::string& schedule,
                               const std::string& optim, bool bf16, const nn::train::SftResult& result) {
  formats::TrainingRecord record;
  record.args = {.learning_rate = options.learning_rate,
                 .lr_scheduler_type = schedule,
                 .optim = optim,
                 .warmup_ratio = options.warmup_ratio,
                 .warmup_steps = options.warmup_steps,
                 .weight_decay = options.optimizer.weight_decay,
                 .max_grad_norm = options.max_grad_norm,
                 .num_train_epochs = options.epochs,
                 .max_steps = options.max_steps,
                 .per_device_train_batch_size = options.per_device_train_batch_size,
                 .gradient_accumulation_steps = options.gradient_accumulation_steps,
                 .max_length = options.max_length,
                 .packing = options.packing,
                 .gradient_checkpointing = options.gradient_checkpointing,
                 .bf16 = bf16,
                 .seed = static_cast<int64_t>(options.seed)};
  record.state = {.global_step = result.steps,
                  .epoch = result.epoch,
                  .num_input_tokens_seen = result.tokens,
                  .num_labelled_tokens_seen = result.labelled_tokens,
                  .loss = result.final_loss,
                  .train_loss = result.mean_loss,
                  .eval_loss = result.eval_loss};
  return record;
}

}  // namespace

Outcome Training::Train(Context& context, const std::function<Method(at::ScalarType dtype)>& choose) {
  return Interruptible([&]() -> Outcome {
    nn::SetThreads(context.Threads());
    nn::UsePageArena();
    std::string why_not_cuda;
    at::Device at_device = ValueOf(nn::ResolveDevice(device, &why_not_cuda));
    if (context.Processes() > 1 && at_device.is_cuda()) at_device = ValueOf(OwnGpu(context, device));
    if (!why_not_cuda.empty()) context.Warn(why_not_cuda);
    const at::ScalarType at_dtype = ValueOf(nn::ResolveDtype(dtype, at_device));
    const std::string& model_path = context.GetInput("model").path;

    nn::train::SftDataOptions data_options;
    data_options.max_length = max_length;
    data_options.on_too_long = on_too_long == "drop"       ? nn::train::TooLong::kDrop
                               : on_too_long == "truncate" ? nn::train::TooLong::kTruncate
                                                           : nn::train::TooLong::kError;
    data_options.threads = context.Threads();
    data_options.progress = [&](uint64_t done, uint64_t total) {
      context.Progress(done, total, "examples", "encoding");
      return !context.ShouldStop();
    };
    const SftExamples train =
        ValueOf(SftExamples::FromDataset(context.GetInput("dataset").path, model_path, data_options));
    std::optional<SftExamples> eval;
    if (const Input* input = context.FindInput("eval_dataset")) {
      auto read = SftExamples::FromDataset(input->path, model_path, data_options);
      if (!read.ok()) {
        Error error = read.error();
        error.message = "eval_dataset: " + error.message;
        Throw(error);
      }
      eval = std::move(read).value();
    }
    context.Info(WithCommas(static_cast<int64_t>(train.size())) + " examples, " + WithCommas(train.tokens()) +
                 " tokens, of which " + WithCommas(train.labelled_tokens()) + " are learned");
    if (!eval && (early_stopping_patience > 0 || load_best_model_at_end)) {
      Throw(InvalidError("early_stopping_patience and load_best_model_at_end need the input eval_dataset",
                         "give the stage held-out conversations: in: { eval_dataset: split.test }"));
    }
    WarnOfTooLong(context, train, "");
    if (eval) WarnOfTooLong(context, *eval, "eval_dataset: ");

    const auto source = ValueOf(formats::ModelSource::Open(model_path));
    const Method method = choose(at_dtype);
    if (method.fits && at_device.is_cpu()) Require(method.fits(source, train));
    nn::LoadOptions load{.dtype = method.weights,
                         .device = at_device,
                         .quantization = method.quantization,
                         .read_only = method.keeps_base};
    load.progress = [&](int64_t done, int64_t total) {
      context.Progress(static_cast<uint64_t>(done), static_cast<uint64_t>(total), "tensors",
                       "loading the model");
      return !context.ShouldStop();
    };
    const auto model = ValueOf(nn::LoadCausalLM(source, load));

    std::string note;
    nn::train::TrainedTensors& trained = method.attach(*model, &note);
    context.Info(WithCommas(trained.NumParameters()) + " trainable parameters" + note + " on " +
                 at_device.str());

    nn::train::SftOptions options;
    options.epochs = epochs;
    options.max_steps = max_steps;
    options.per_device_train_batch_size = batch;
    options.gradient_accumulation_steps = accumulation;
    options.optimizer = {.kind = *nn::train::OptimizerFromName(optim),
                         .beta1 = adam_beta1,
                         .beta2 = adam_beta2,
                         .epsilon = adam_epsilon,
                         .weight_decay = weight_decay};
    options.loraplus_lr_ratio = loraplus_lr_ratio;
    options.num_decay_steps = num_decay_steps;
    options.decay_type = *nn::train::DecayTypeFromName(decay_type);
    options.min_lr_ratio = min_lr_ratio;
    options.neftune_noise_alpha = neftune_noise_alpha;
    options.early_stopping_patience = early_stopping_patience;
    options.load_best_model_at_end = load_best_model_at_end;
    options.learning_rate = learning_rate;
    options.lr_scheduler_type = *nn::train::ScheduleFromName(lr_scheduler_type);
    options.warmup_ratio = warmup_ratio;
    options.warmup_steps = warmup_steps;
    options.max_grad_norm = max_grad_norm;
    options.packing = packing;
    options.group_by_length = group_by_length;
    options.padding_free = padding_free;
    options.pad_to_multiple_of = pad_to_multiple_of;
    options.max_length = max_length;
    options.seed = static_cast<uint64_t>(seed);
    options.eval_steps = eval_steps;
    options.gradient_checkpointing = gradient_checkpointing;
    options.state_dir = context.StateDir();
    options.checkpoint_seconds = checkpoint_interval;
    options.fingerprint = Fingerprint(context, at_device, at_dtype);

    std::unique_ptr<nn::train::Ranks> ranks;
    if (context.Processes() > 1) {
      ranks = ValueOf(nn::train::ConnectRanks({.rank = context.Process(),
                                               .size = context.Processes(),
                                               .rendezvous = context.ScratchDir() + "/processes",
                                               .device = at_device}));
      context.Info(std::to_string(context.Processes()) + " processes of " +
                   Counted(static_cast<uint64_t>(context.Threads()), "thread") + " each");
      options.ranks = ranks.get();
    }

    nn::train::SftHooks hooks;
    hooks.should_stop = [&] { return context.ShouldStop(); };
    hooks.metric = [&](const char* name, double value, int64_t step) { context.Metric(name, value, step); };
    hooks.progress = [&](uint64_t done, uint64_t total, const std::string& message) {
      context.Progress(done, total, "tokens", message);
    };
    hooks.info = [&](const std::string& text) { context.Info(text); };
    hooks.warn = [&](const std::string& text) { context.Warn(text); };
    const auto result =
        ValueOf(nn::train::RunSft(*model, trained, train, eval ? &*eval : nullptr, options, hooks));
    if (result.interrupted) {
      context.Info("stopped after step " + std::to_string(result.steps) + " of " +
                   std::to_string(result.total_steps));
      return Outcome::kInterrupted;
    }

    if (context.Process() != 0) return Outcome::kOk;  // it has learned the same, and process 0 writes it
    const std::string folder = context.OutputPath(method.output);
    method.save(source, folder);
    Require(formats::WriteTrainingRecord(
        folder, Record(options, lr_scheduler_type, optim, at_dtype == at::kBFloat16, result)));
    context.Metric("train_loss", result.mean_loss);
    context.Metric("tokens", static_cast<double>(result.tokens));
    context.Metric("labelled_tokens", static_cast<double>(result.labelled_tokens));
    context.Metric("trainable_parameters", static_cast<double>(trained.NumParameters()));
    context.Metric("packing_efficiency", result.packing_efficiency);
    context.Metric("dropped", static_cast<double>(train.dropped()));
    context.Metric("truncated", static_cast<double>(train.truncated()));
    context.Summary(Summary(result, train, trained.NumParameters()));
    return Outcome::kOk;
  });
}

Outcome TrainLora::Run(Context& context) {
  std::optional<nn::train::LoraSet> lora;
  return Train(context, [&](at::ScalarType at_dtype) {
    Method method;
    method.quantization = *nn::QuantizationFromName(quantization);
    method.weights = at_dtype;
    method.keeps_base = !(init_lora_weights.IsString() && init_lora_weights.AsString() == "pissa");
    // Predicted is what plain LoRA takes.
    if (quantization == "none" && !use_dora && modules_to_save.empty() && method.keeps_base) {
      method.fits = [&, at_dtype](const formats::ModelSource& source, const SftExamples& train) -> Status {
        const Input* const adapter = context.FindInput("adapter");
        GF_TRY(const auto config, adapter != nullptr ? nn::train::ReadAdapterConfig(adapter->path) : Lora());
        return CheckFit(context, *this, source, config, train, at_dtype == at::kBFloat16);
      };
    }
    method.attach = [&, at_dtype](nn::CausalLM& model, std::string* note) -> nn::train::TrainedTensors& {
      const std::string size = HumanBytes(static_cast<uint64_t>(model.WeightBytes()));
      if (const Input* adapter = context.FindInput("adapter")) {
        lora = ValueOf(nn::train::LoadAdapter(model, adapter->path, /*trainable=*/true));
      } else {
        lora = ValueOf(nn::train::AttachLora(model, ValueOf(Lora()), /*trainable=*/true));
        Require(nn::train::InitLora(*lora, static_cast<uint64_t>(seed)));
      }
      *note = " in " + Counted(lora->modules().size(), "projection");
      if (!lora->saved().empty())
        *note += " and " + Counted(lora->saved().size(), "weight") + " trained whole";
      *note += ", base in " + (quantization == "none" ? "" : quantization + " and ") +
               nn::DtypeName(at_dtype) + ", " + size + ",";
      return *lora;
    };
    method.output = "adapter";
    method.save = [&](const formats::ModelSource&, const std::string& folder) {
      Require(nn::train::SaveAdapter(*lora, folder));
    };
    return method;
  });
}

Outcome TrainFull::Run(Context& context) {
  std::optional<nn::train::FullSet> full;
  return Train(context, [&](at::ScalarType at_dtype) {
    Method method;
    method.attach = [&, at_dtype](nn::CausalLM& model, std::string* note) -> nn::train::TrainedTensors& {
      full = ValueOf(nn::train::TrainFully(model, at_dtype));
      *note = ", computed in " + nn::DtypeName(at_dtype);
      return *full;
    };
    method.output = "model";
    method.save = [&, at_dtype](const formats::ModelSource& source, const std::string& folder) {
      Require(nn::train::SaveModel(*full, source, at_dtype, folder));
    };
    return method;
  });
}

}  // namespace genflow::stages
