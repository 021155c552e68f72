#include "stages/train/lora.h"

#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/sha256.h"
#include "base/strings.h"
#include "formats/model_source.h"
#include "formats/training_record.h"
#include "nn/device.h"
#include "nn/page_arena.h"
#include "nn/train/adapter.h"
#include "nn/train/sft.h"
#include "stages/stage_status.h"
#include "text/chat_encoding.h"

namespace genflow::stages {
namespace {

using nn::train::SftExamples;

std::string Fixed(double value, int digits) {
  char text[40];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
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

// What the adapter's folder says of how it was trained.
formats::TrainingRecord Record(const nn::train::SftOptions& options, const std::string& schedule, bool bf16,
                               const nn::train::SftResult& result) {
  formats::TrainingRecord record;
  record.args = {.learning_rate = options.learning_rate,
                 .lr_scheduler_type = schedule,
                 .warmup_ratio = options.warmup_ratio,
                 .warmup_steps = options.warmup_steps,
                 .weight_decay = options.weight_decay,
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

void TrainLora::Declare(Spec& spec) {
  spec.Doc(
      "Learns the assistant's answers, and the token that ends them, of a `messages` dataset through the "
      "model's own "
      "chat template; the base weights stay as they are. Names, initialisation, scaling and file format are "
      "PEFT's, "
      "schedules and accumulation those of transformers. Sequences are packed without seeing each other and "
      "without padding.\n\n"
      "A dataset that cannot teach anything is refused: examples without assistant tokens, with every label "
      "masked, or whose end-of-turn token is never trained. Interrupted, it continues from its last "
      "checkpoint to "
      "the same bytes as an uninterrupted run.\n\n"
      "Metrics, step by step: `loss` (nats a learned token), `learning_rate`, `grad_norm`, "
      "`tokens_per_second`, "
      "`eval_loss`; at the end `train_loss` (mean over all steps), `tokens`, `labelled_tokens`, "
      "`trainable_parameters`, `packing_efficiency`, `dropped`, `truncated`.");
  spec.Input("dataset", "dataset", "Conversations to learn from, of kind messages.");
  spec.Input("model", "model", "The base model: a Hugging Face folder or a GGUF file.");
  spec.Input("eval_dataset", "dataset", "Held-out conversations for `eval_loss`.", GF_PORT_OPTIONAL);
  spec.Input("adapter", "adapter",
             "A PEFT adapter of the model to continue from; its own configuration counts instead of `lora`.",
             GF_PORT_OPTIONAL);
  spec.Output("adapter", "adapter",
              "The trained adapter, a PEFT folder. `training_args.json` and `trainer_state.json` in it say "
              "how it was "
              "trained.");

  spec.Param("lora.r", &r, int64_t{16}, "Rank of the update.", {.min = 1, .max = 4096});
  spec.Param("lora.alpha", &alpha, 32.0, "The update is scaled by alpha / r.", {.min = 1e-6, .max = 1e6});
  spec.Param("lora.dropout", &dropout, 0.0, "Share of the update's inputs that are zeroed in training.",
             {.min = 0, .max = 0.999});
  spec.Json("lora.target_modules", &target_modules, "\"all-linear\"",
            "Projections to adapt: `all-linear`, a list of names such as `[q_proj, v_proj]`, or a regular "
            "expression "
            "for whole module names.");
  spec.Param("lora.use_rslora", &use_rslora, false,
             "Scale by alpha / sqrt(r) instead (rank-stabilised LoRA).");

  spec.Param("epochs", &epochs, 1.0, "Passes over the data; may be fractional.", {.min = 0, .max = 1e6});
  spec.Param("max_steps", &max_steps, int64_t{0}, "Updates; a positive number replaces `epochs`.",
             {.min = 0, .max = 1e9});
  spec.Param("learning_rate", &learning_rate, 2e-4, "Highest learning rate of AdamW.", {.min = 0, .max = 10});
  spec.Param("lr_scheduler_type", &lr_scheduler_type, "cosine",
             "Course of the learning rate after the warm-up.",
             {.choices = {"cosine", "linear", "constant", "constant_with_warmup"}});
  spec.Param("warmup_ratio", &warmup_ratio, 0.0,
             "Share of the updates in which the learning rate rises from 0.", {.min = 0, .max = 1});
  spec.Param("warmup_steps", &warmup_steps, int64_t{0},
             "The same as a number; a positive one replaces the ratio.", {.min = 0, .max = 1e9});
  spec.Param("weight_decay", &weight_decay, 0.0, "Decoupled weight decay of AdamW.", {.min = 0, .max = 10});
  spec.Param("max_grad_norm", &max_grad_norm, 1.0, "Gradients are clipped to this norm; 0 does not clip.",
             {.min = 0, .max = 1e9});
  spec.Param("per_device_train_batch_size", &batch, int64_t{4},
             "Rows in a forward pass: packed rows of `max_length` tokens, or examples without packing.",
             {.min = 1, .max = 65536});
  spec.Param("gradient_accumulation_steps", &accumulation, int64_t{1}, "Forward passes in an update.",
             {.min = 1, .max = 65536});
  spec.Param("max_length", &max_length, int64_t{1024}, "Tokens in a row, and in the longest example.",
             {.min = 8, .max = 1e7});
  spec.Param(
      "on_too_long", &on_too_long, "error",
      "What happens to an example of more than `max_length` tokens; those dropped or truncated are counted.",
      {.choices = {"error", "drop", "truncate"}});
  spec.Param("packing", &packing, true,
             "Put several examples into a row, best fit first. None sees another.");
  spec.Param("eval_steps", &eval_steps, int64_t{0}, "Updates between two evaluations; 0: at the end alone.",
             {.min = 0, .max = 1e9});
  spec.Param("gradient_checkpointing", &gradient_checkpointing, false,
             "Compute activations twice instead of keeping them: less memory, about a third slower.");
  spec.Param("dtype", &dtype, "auto",
             "Number format of the base weights; `auto` is bf16 where the hardware multiplies "
             "it. The adapter is fp32.",
             {.choices = {"auto", "fp32", "bf16"}});
  spec.Param("device", &device, "auto",
             "`auto`, `cpu`, `cuda` or `cuda:N`. `auto` takes a GPU where there is one.");
  spec.Param("seed", &seed, int64_t{42}, "Decides initialisation, order, packing and dropout.",
             {.min = 0, .max = 9e15});
  spec.Duration("checkpoint_interval", &checkpoint_interval, 60,
                "Time between two checkpoints; 0: only when stopped.",
                {.is_volatile = true, .min = 0, .max = 1e7});
}

Result<nn::train::LoraConfig> TrainLora::Lora() const {
  nn::train::LoraConfig config;
  config.r = r;
  config.alpha = alpha;
  config.dropout = dropout;
  config.use_rslora = use_rslora;
  const Error wrong =
      InvalidError("lora.target_modules must be all-linear, a list of names or a regular expression",
                   "such as [q_proj, v_proj]");
  if (target_modules.IsString()) {
    config.target_modules.pattern = target_modules.AsString();
  } else if (target_modules.IsArray()) {
    for (const auto& item : target_modules.items()) {
      if (!item.IsString()) return wrong;
      config.target_modules.names.push_back(item.AsString());
    }
  } else {
    return wrong;
  }
  GF_CHECK_OK(nn::train::CheckConfig(config));
  return config;
}

std::string TrainLora::Check() const {
  std::string problems;
  if (const auto lora = Lora(); !lora.ok()) problems += CheckText(lora.error()) + "\n";
  if (max_steps == 0 && epochs <= 0)
    problems += "epochs must be greater than 0 where max_steps is not given\n";
  if (lr_scheduler_type == "constant" && (warmup_steps > 0 || warmup_ratio > 0)) {
    problems +=
        "lr_scheduler_type constant has no warm-up\n"
        "hint: use constant_with_warmup, or leave out warmup_steps and warmup_ratio\n";
  }
  return problems;
}

Outcome TrainLora::Run(Context& context) {
  return Interruptible([&]() -> Outcome {
    nn::SetThreads(context.Threads());
    nn::UsePageArena();
    std::string why_not_cuda;
    const at::Device at_device = ValueOf(nn::ResolveDevice(device, &why_not_cuda));
    if (!why_not_cuda.empty()) context.Warn(why_not_cuda);
    const at::ScalarType at_dtype = ValueOf(nn::ResolveDtype(dtype, at_device));
    const std::string& model_path = context.GetInput("model").path;

    const auto encoder = ValueOf(text::ChatEncoder::FromModel(model_path));
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
        ValueOf(SftExamples::Read(context.GetInput("dataset").path, encoder, data_options));
    std::optional<SftExamples> eval;
    if (const Input* input = context.FindInput("eval_dataset")) {
      auto read = SftExamples::Read(input->path, encoder, data_options);
      if (!read.ok()) {
        Error error = read.error();
        error.message = "eval_dataset: " + error.message;
        Throw(error);
      }
      eval = std::move(read).value();
    }
    context.Info(WithCommas(static_cast<int64_t>(train.size())) + " examples, " + WithCommas(train.tokens()) +
                 " tokens, of which " + WithCommas(train.labelled_tokens()) + " are learned");
    WarnOfTooLong(context, train, "");
    if (eval) WarnOfTooLong(context, *eval, "eval_dataset: ");

    const auto source = ValueOf(formats::ModelSource::Open(model_path));
    nn::LoadOptions load{.dtype = at_dtype, .device = at_device};
    load.progress = [&](int64_t done, int64_t total) {
      context.Progress(static_cast<uint64_t>(done), static_cast<uint64_t>(total), "tensors",
                       "loading the model");
      return !context.ShouldStop();
    };
    const auto model = ValueOf(nn::LoadCausalLM(source, load));

    std::optional<nn::train::LoraSet> lora;
    if (const Input* adapter = context.FindInput("adapter")) {
      lora = ValueOf(nn::train::LoadAdapter(*model, adapter->path, /*trainable=*/true));
    } else {
      lora = ValueOf(nn::train::AttachLora(*model, ValueOf(Lora()), /*trainable=*/true));
      Require(nn::train::InitLora(*lora, static_cast<uint64_t>(seed)));
    }
    context.Info(WithCommas(lora->NumParameters()) + " trainable parameters in " +
                 std::to_string(lora->modules().size()) + " projections, base in " + nn::DtypeName(at_dtype) +
                 " on " + at_device.str());

    nn::train::SftOptions options;
    options.epochs = epochs;
    options.max_steps = max_steps;
    options.per_device_train_batch_size = batch;
    options.gradient_accumulation_steps = accumulation;
    options.learning_rate = learning_rate;
    options.lr_scheduler_type = *nn::train::ScheduleFromName(lr_scheduler_type);
    options.warmup_ratio = warmup_ratio;
    options.warmup_steps = warmup_steps;
    options.weight_decay = weight_decay;
    options.max_grad_norm = max_grad_norm;
    options.packing = packing;
    options.max_length = max_length;
    options.seed = static_cast<uint64_t>(seed);
    options.eval_steps = eval_steps;
    options.gradient_checkpointing = gradient_checkpointing;
    options.state_dir = context.StateDir();
    options.checkpoint_seconds = checkpoint_interval;
    options.fingerprint = Fingerprint(context, at_device, at_dtype);

    nn::train::SftHooks hooks;
    hooks.should_stop = [&] { return context.ShouldStop(); };
    hooks.metric = [&](const char* name, double value, int64_t step) { context.Metric(name, value, step); };
    hooks.progress = [&](uint64_t done, uint64_t total, const std::string& message) {
      context.Progress(done, total, "tokens", message);
    };
    hooks.info = [&](const std::string& text) { context.Info(text); };
    hooks.warn = [&](const std::string& text) { context.Warn(text); };
    const auto result =
        ValueOf(nn::train::RunSft(*model, *lora, train, eval ? &*eval : nullptr, options, hooks));
    if (result.interrupted) {
      context.Info("stopped after step " + std::to_string(result.steps) + " of " +
                   std::to_string(result.total_steps));
      return Outcome::kInterrupted;
    }

    const std::string folder = context.OutputPath("adapter");
    Require(nn::train::SaveAdapter(*lora, folder));
    Require(formats::WriteTrainingRecord(
        folder, Record(options, lr_scheduler_type, at_dtype == at::kBFloat16, result)));
    context.Metric("train_loss", result.mean_loss);
    context.Metric("tokens", static_cast<double>(result.tokens));
    context.Metric("labelled_tokens", static_cast<double>(result.labelled_tokens));
    context.Metric("trainable_parameters", static_cast<double>(lora->NumParameters()));
    context.Metric("packing_efficiency", result.packing_efficiency);
    context.Metric("dropped", static_cast<double>(train.dropped()));
    context.Metric("truncated", static_cast<double>(train.truncated()));
    context.Summary(Summary(result, train, lora->NumParameters()));
    return Outcome::kOk;
  });
}

}  // namespace genflow::stages
