// The parameters of train.lora and train.full, and what they mean.
#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "stages/stage_status.h"
#include "stages/train/lora.h"

namespace genflow::stages {
namespace {

Result<adapter::TargetModules> ModulesOf(const json::Value& value, const std::string& name) {
  const Error wrong =
      InvalidError(name + " must be " + (name == "lora.target_modules" ? "all-linear, " : "") +
                       "a list of names or a regular expression",
                   "such as [q_proj, v_proj]");
  adapter::TargetModules modules;
  if (value.IsString()) {
    modules.pattern = value.AsString();
    return modules;
  }
  if (!value.IsArray()) return wrong;
  for (const auto& item : value.items()) {
    if (!item.IsString()) return wrong;
    modules.names.push_back(item.AsString());
  }
  return modules;
}

bool IsWhole(const json::Value& value) {
  return value.IsNumber() && value.AsDouble() == std::floor(value.AsDouble()) &&
         std::abs(value.AsDouble()) < 1e9;
}

// {pattern: number}
Result<std::vector<std::pair<std::string, json::Value>>> PatternsOf(const json::Value& value,
                                                                    const std::string& name) {
  const bool numbers =
      value.IsObject() && std::all_of(value.members().begin(), value.members().end(),
                                      [](const auto& member) { return member.second.IsNumber(); });
  if (!numbers) return InvalidError(name + " must map names to numbers", "such as {down_proj: 32}");
  return value.members();
}

}  // namespace

void TrainLora::Declare(Spec& spec) {
  spec.Doc(
      "Learns the assistant's answers, and the token that ends them, of a `messages` dataset through the "
      "model's own "
      "chat template, or every token of a `text` dataset; the base weights stay as they are. Names, "
      "initialisation, scaling and file format are "
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
  DeclareInputs(spec);
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
  spec.Json("lora.exclude_modules", &exclude_modules, "[]",
            "Of those, projections not to adapt; as `target_modules`.");
  spec.Json("lora.layers_to_transform", &layers_to_transform, "[]",
            "Indices of the decoder layers to adapt, from 0; none: all.");
  spec.Json(
      "lora.rank_pattern", &rank_pattern, "{}",
      "Other ranks, such as `{down_proj: 32}`: the end of a module's name, or a regular expression for it.");
  spec.Json("lora.alpha_pattern", &alpha_pattern, "{}", "Other values of alpha, likewise.");
  spec.Param("lora.use_rslora", &use_rslora, false,
             "Scale by alpha / sqrt(r) instead (rank-stabilised LoRA).");
  spec.Param(
      "lora.use_dora", &use_dora, false,
      "Learn directions and magnitudes apart (DoRA): beside A and B the length of each row of the sum.");
  spec.Json(
      "lora.init_lora_weights", &init_lora_weights, "true",
      "How A and B begin: `true` (A uniform, B zero), `gaussian` (A normal), or `pissa`, which moves the "
      "largest r singular values of each weight from the base into them; what it learned is converted to "
      "a plain adapter of rank 2 r that fits the unchanged base.");
  spec.Param("lora.modules_to_save", &modules_to_save, "[]",
             "Modules that are trained whole and saved with the adapter, by the ends of their names: "
             "`[lm_head, embed_tokens]`. Of tied embeddings each becomes a copy of its own, as in PEFT.");
  spec.Param(
      "quantization", &quantization, "none",
      "How the frozen base is held in memory: `int8` (8 bits an element and a scale a row, as LLM.int8 "
      "stores weights; activations are not quantised), `nf4` (4-bit NormalFloat in blocks of 64 with "
      "quantised scales, as in QLoRA), `gguf` (as the GGUF file has it, from the map), or in `dtype`.",
      {.choices = {"none", "int8", "nf4", "gguf"}});
  spec.Param("loraplus_lr_ratio", &loraplus_lr_ratio, 1.0, "How many times faster B learns than A (LoRA+).",
             {.min = 1e-3, .max = 1e4});
  DeclareTraining(
      spec, 2e-4,
      "Number format that the base computes in, and has where it is not quantised; `auto` is bf16 "
      "where the hardware multiplies it. The adapter is fp32.");
}

void Training::DeclareInputs(Spec& spec) {
  spec.Input("dataset", "dataset",
             "Conversations to learn from, of kind messages; or texts, of kind text, of which every token is "
             "learned.");
  spec.Input("model", "model", "The base model: a Hugging Face folder or a GGUF file.");
  spec.Input("eval_dataset", "dataset", "Held-out conversations for `eval_loss`.", GF_PORT_OPTIONAL);
}

void Training::DeclareTraining(Spec& spec, double default_learning_rate, const char* dtype_doc) {
  spec.Param("epochs", &epochs, 1.0, "Passes over the data; may be fractional.", {.min = 0, .max = 1e6});
  spec.Param("max_steps", &max_steps, int64_t{0}, "Updates; a positive number replaces `epochs`.",
             {.min = 0, .max = 1e9});
  spec.Param("optim", &optim, "adamw_torch_fused",
             "`adamw_8bit` keeps its moments in 8 bits each, in blocks of 256 (bitsandbytes); `adafactor` "
             "keeps the means of "
             "rows and columns alone.",
             {.choices = {"adamw_torch_fused", "adamw_8bit", "adafactor"}});
  spec.Param("adam_beta1", &adam_beta1, 0.9, "Decay of AdamW's first moment.", {.min = 0, .max = 0.999999});
  spec.Param("adam_beta2", &adam_beta2, 0.999, "Decay of its second moment.", {.min = 0, .max = 0.999999});
  spec.Param("adam_epsilon", &adam_epsilon, 1e-8, "Added to the root of the second moment.",
             {.min = 0, .max = 1});
  spec.Param("learning_rate", &learning_rate, default_learning_rate, "Highest learning rate.",
             {.min = 0, .max = 10});
  spec.Param("lr_scheduler_type", &lr_scheduler_type, "cosine",
             "Course of the learning rate after the warm-up.",
             {.choices = {"cosine", "linear", "constant", "constant_with_warmup", "warmup_stable_decay"}});
  spec.Param("lr_scheduler_kwargs.num_decay_steps", &num_decay_steps, int64_t{0},
             "Of `warmup_stable_decay`: the last updates, in which the learning rate falls.",
             {.min = 0, .max = 1e9});
  spec.Param("lr_scheduler_kwargs.decay_type", &decay_type, "cosine", "Likewise: how it falls.",
             {.choices = {"cosine", "linear", "1-sqrt"}});
  spec.Param("lr_scheduler_kwargs.min_lr_ratio", &min_lr_ratio, 0.0,
             "Likewise: the share that is left at the end.", {.min = 0, .max = 1});
  spec.Param("warmup_ratio", &warmup_ratio, 0.0,
             "Share of the updates in which the learning rate rises from 0.", {.min = 0, .max = 1});
  spec.Param("warmup_steps", &warmup_steps, int64_t{0},
             "The same as a number; a positive one replaces the ratio.", {.min = 0, .max = 1e9});
  spec.Param("weight_decay", &weight_decay, 0.0, "Decoupled weight decay.", {.min = 0, .max = 10});
  spec.Param("max_grad_norm", &max_grad_norm, 1.0, "Gradients are clipped to this norm; 0 does not clip.",
             {.min = 0, .max = 1e9});
  spec.Param(
      "neftune_noise_alpha", &neftune_noise_alpha, 0.0,
      "Noise on the embeddings in training (NEFTune): uniform in +-alpha / sqrt(tokens * hidden size).",
      {.min = 0, .max = 1000});
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
  spec.Param("group_by_length", &group_by_length, false,
             "Without packing: updates of examples of similar length, as transformers groups them.");
  spec.Param("padding_free", &padding_free, true,
             "Without packing: examples stand one behind the other; otherwise each is padded on the right to "
             "the longest of its forward pass, which changes nothing but the time.");
  spec.Param("pad_to_multiple_of", &pad_to_multiple_of, int64_t{0},
             "With padding: to the next multiple of this many tokens; 0: to the longest.",
             {.min = 0, .max = 65536});
  spec.Param("eval_steps", &eval_steps, int64_t{0}, "Updates between two evaluations; 0: at the end alone.",
             {.min = 0, .max = 1e9});
  spec.Param("early_stopping_patience", &early_stopping_patience, int64_t{0},
             "Evaluations without a new lowest `eval_loss` after which the training ends; 0: never.",
             {.min = 0, .max = 1e6});
  spec.Param("load_best_model_at_end", &load_best_model_at_end, false,
             "The result is what was learned at the lowest `eval_loss` instead of the last.");
  spec.Param("gradient_checkpointing", &gradient_checkpointing, false,
             "Compute activations twice instead of keeping them: less memory, about a third slower.");
  spec.Param("dtype", &dtype, "auto", dtype_doc, {.choices = {"auto", "fp32", "bf16"}});
  spec.Param("device", &device, "auto",
             "`auto`, `cpu`, `cuda` or `cuda:N`. `auto` takes a GPU where there is one.");
  spec.Param("seed", &seed, int64_t{42}, "Decides initialisation, order, packing and dropout.",
             {.min = 0, .max = 9e15});
  spec.Duration("checkpoint_interval", &checkpoint_interval, 60,
                "Time between two checkpoints; 0: only when stopped.",
                {.is_volatile = true, .min = 0, .max = 1e7});
}

Result<adapter::LoraConfig> TrainLora::Lora() const {
  adapter::LoraConfig config;
  config.r = r;
  config.alpha = alpha;
  config.dropout = dropout;
  config.use_rslora = use_rslora;
  config.use_dora = use_dora;
  config.modules_to_save = modules_to_save;
  const bool plain = init_lora_weights.kind() == json::Value::Kind::kBool && init_lora_weights.AsBool();
  const std::string init = init_lora_weights.IsString() ? init_lora_weights.AsString() : "";
  if (!plain && init != "gaussian" && init != "pissa") {
    return InvalidError("lora.init_lora_weights must be true, gaussian or pissa");
  }
  config.init_lora_weights = init;
  if (init == "pissa" && quantization != "none") {
    return InvalidError("lora.init_lora_weights pissa needs quantization none",
                        "PiSSA changes the base, which a quantised one cannot take");
  }
  GF_TRY(config.target_modules, ModulesOf(target_modules, "lora.target_modules"));
  if (!exclude_modules.IsArray() || !exclude_modules.items().empty()) {
    GF_TRY(config.exclude_modules, ModulesOf(exclude_modules, "lora.exclude_modules"));
  }
  if (!layers_to_transform.IsArray()) {
    return InvalidError("lora.layers_to_transform must be a list of indices", "such as [22, 23]");
  }
  for (const auto& layer : layers_to_transform.items()) {
    if (!IsWhole(layer))
      return InvalidError("lora.layers_to_transform must hold whole numbers", "such as [22, 23]");
    config.layers_to_transform.push_back(layer.AsInt());
  }
  GF_TRY(const auto ranks, PatternsOf(rank_pattern, "lora.rank_pattern"));
  for (const auto& [pattern, value] : ranks) {
    if (!IsWhole(value)) return InvalidError("lora.rank_pattern '" + pattern + "' must be a whole number");
    config.rank_pattern.emplace_back(pattern, value.AsInt());
  }
  GF_TRY(const auto alphas, PatternsOf(alpha_pattern, "lora.alpha_pattern"));
  for (const auto& [pattern, value] : alphas) config.alpha_pattern.emplace_back(pattern, value.AsDouble());
  GF_CHECK_OK(nn::train::CheckConfig(config));
  return config;
}

std::string TrainLora::Check() const {
  const auto lora = Lora();
  return (lora.ok() ? "" : CheckText(lora.error()) + "\n") + CheckTraining();
}

void TrainFull::Declare(Spec& spec) {
  spec.Doc(
      "As `train.lora`, but every weight of the model is trained, from fp32 and with fp32 moments: 16 bytes "
      "a parameter with AdamW, 10 with `adamw_8bit`; while a checkpoint is written, all but the gradient's 4 "
      "of them are there twice. The result is a Hugging Face model in `dtype` with the base's tokenizer and "
      "configuration. Norms and biases do not decay. What is learned, what is refused, the metrics and the "
      "checkpoints are "
      "those of `train.lora`.");
  DeclareInputs(spec);
  spec.Output(
      "model", "model",
      "The trained model, a Hugging Face folder. `training_args.json` and `trainer_state.json` in it say "
      "how it was trained.");
  DeclareTraining(
      spec, 2e-5,
      "Number format of activations, of products and of the model that is saved; `auto` is bf16 where "
      "the hardware multiplies it. The weights that are trained are fp32.");
}

std::string TrainFull::Check() const { return CheckTraining(); }

std::string Training::CheckTraining() const {
  std::string problems;
  if (max_steps == 0 && epochs <= 0)
    problems += "epochs must be greater than 0 where max_steps is not given\n";
  if (lr_scheduler_type == "constant" && (warmup_steps > 0 || warmup_ratio > 0)) {
    problems +=
        "lr_scheduler_type constant has no warm-up\n"
        "hint: use constant_with_warmup, or leave out warmup_steps and warmup_ratio\n";
  }
  if (lr_scheduler_type == "warmup_stable_decay" && num_decay_steps == 0) {
    problems +=
        "lr_scheduler_type warmup_stable_decay needs lr_scheduler_kwargs.num_decay_steps\n"
        "hint: a tenth to a fifth of the updates is usual\n";
  }
  if (packing && group_by_length) {
    problems += "group_by_length needs packing: false\nhint: packing fills rows of one length\n";
  }
  if (packing && !padding_free) {
    problems += "padding_free: false needs packing: false\nhint: packed rows need no padding\n";
  }
  if (padding_free && pad_to_multiple_of > 0) {
    problems += "pad_to_multiple_of needs padding_free: false\nhint: nothing is padded\n";
  }
  if (early_stopping_patience > 0 && eval_steps == 0) {
    problems += "early_stopping_patience needs eval_steps: it counts evaluations\n";
  }
  return problems;
}

}  // namespace genflow::stages
