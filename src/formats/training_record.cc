#include "formats/training_record.h"

#include <nlohmann/json.hpp>

#include "base/files.h"

namespace genflow::formats {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr char kArgsFile[] = "training_args.json";
constexpr char kStateFile[] = "trainer_state.json";

Result<std::optional<json>> ReadObject(const fs::path& file) {
  std::error_code ec;
  if (!fs::exists(file, ec)) return std::optional<json>();
  GF_TRY(const std::string text, ReadFile(file, 256 << 20));
  json object = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) return InvalidError("'" + file.string() + "' is not a JSON object");
  return std::optional<json>(std::move(object));
}

// Reads members of one file; the first one of a wrong type is remembered.
class Members {
 public:
  Members(const fs::path& file, const json& object) : file_(file), object_(object) {}

  // Leaves `to` alone where the key is missing or null.
  template <class T>
  void Get(const char* key, T* to) {
    const auto it = object_.find(key);
    if (it == object_.end() || it->is_null() || !status_.ok()) return;
    constexpr bool boolean = std::is_same_v<T, bool>, text = std::is_same_v<T, std::string>;
    const bool right = boolean ? it->is_boolean() : text ? it->is_string() : it->is_number();
    if (right)
      *to = it->template get<T>();
    else
      status_ = InvalidError("'" + file_.string() + "': " + key + " is " + it->dump() + ", expected " +
                             (boolean ? "true or false"
                              : text  ? "a text"
                                      : "a number"));
  }
  const Status& status() const { return status_; }

 private:
  const fs::path& file_;
  const json& object_;
  Status status_ = Ok();
};

Result<TrainingArgs> ArgsFrom(const fs::path& file, const json& object) {
  TrainingArgs args;
  Members in(file, object);
  in.Get("learning_rate", &args.learning_rate);
  in.Get("lr_scheduler_type", &args.lr_scheduler_type);
  in.Get("optim", &args.optim);
  in.Get("warmup_ratio", &args.warmup_ratio);
  in.Get("warmup_steps", &args.warmup_steps);
  in.Get("weight_decay", &args.weight_decay);
  in.Get("max_grad_norm", &args.max_grad_norm);
  in.Get("num_train_epochs", &args.num_train_epochs);
  in.Get("max_steps", &args.max_steps);
  in.Get("per_device_train_batch_size", &args.per_device_train_batch_size);
  in.Get("gradient_accumulation_steps", &args.gradient_accumulation_steps);
  in.Get("max_length", &args.max_length);
  in.Get("packing", &args.packing);
  in.Get("gradient_checkpointing", &args.gradient_checkpointing);
  in.Get("bf16", &args.bf16);
  in.Get("seed", &args.seed);
  if (!in.status().ok()) return in.status().error();
  return args;
}

Result<TrainerState> StateFrom(const fs::path& file, const json& object) {
  TrainerState state;
  Members in(file, object);
  in.Get("global_step", &state.global_step);
  in.Get("epoch", &state.epoch);
  in.Get("num_input_tokens_seen", &state.num_input_tokens_seen);
  in.Get("num_labelled_tokens_seen", &state.num_labelled_tokens_seen);
  if (!in.status().ok()) return in.status().error();
  const auto history = object.find("log_history");
  if (history == object.end() || !history->is_array()) return state;
  for (const json& entry : *history) {  // later entries replace earlier ones
    if (!entry.is_object()) continue;
    const auto take = [&entry](const char* key, std::optional<double>* to) {
      if (const auto it = entry.find(key); it != entry.end() && it->is_number()) *to = it->get<double>();
    };
    take("loss", &state.loss);
    take("train_loss", &state.train_loss);
    take("eval_loss", &state.eval_loss);
  }
  return state;
}

json ToJson(const TrainingArgs& args) {
  return {{"assistant_only_loss", true},
          {"bf16", args.bf16},
          {"gradient_accumulation_steps", args.gradient_accumulation_steps},
          {"gradient_checkpointing", args.gradient_checkpointing},
          {"learning_rate", args.learning_rate},
          {"lr_scheduler_type", args.lr_scheduler_type},
          {"max_grad_norm", args.max_grad_norm},
          {"max_length", args.max_length},
          {"max_steps", args.max_steps > 0 ? args.max_steps : -1},
          {"num_train_epochs", args.num_train_epochs},
          {"optim", args.optim},
          {"packing", args.packing},
          {"per_device_train_batch_size", args.per_device_train_batch_size},
          {"seed", args.seed},
          {"warmup_ratio", args.warmup_ratio},
          {"warmup_steps", args.warmup_steps},
          {"weight_decay", args.weight_decay}};
}

json ToJson(const TrainerState& state) {
  json history = json::array();
  const auto add = [&](const char* key, const std::optional<double>& value) {
    if (value) history.push_back({{"epoch", state.epoch}, {"step", state.global_step}, {key, *value}});
  };
  add("loss", state.loss);
  add("eval_loss", state.eval_loss);
  add("train_loss", state.train_loss);
  return {{"epoch", state.epoch},
          {"global_step", state.global_step},
          {"log_history", std::move(history)},
          {"max_steps", state.global_step},
          {"num_input_tokens_seen", state.num_input_tokens_seen},
          {"num_labelled_tokens_seen", state.num_labelled_tokens_seen}};
}

}  // namespace

Status WriteTrainingRecord(const fs::path& folder, const TrainingRecord& record) {
  if (record.args) GF_CHECK_OK(WriteFileAtomic(folder / kArgsFile, ToJson(*record.args).dump(2) + "\n"));
  if (record.state) GF_CHECK_OK(WriteFileAtomic(folder / kStateFile, ToJson(*record.state).dump(2) + "\n"));
  return Ok();
}

Result<TrainingRecord> ReadTrainingRecord(const fs::path& folder) {
  TrainingRecord record;
  GF_TRY(const auto args, ReadObject(folder / kArgsFile));
  if (args) {
    GF_TRY(record.args, ArgsFrom(folder / kArgsFile, *args));
  }
  GF_TRY(const auto state, ReadObject(folder / kStateFile));
  if (state) {
    GF_TRY(record.state, StateFrom(folder / kStateFile, *state));
  }
  return record;
}

}  // namespace genflow::formats
