// `genflow models size`: what training a model takes, and where it fits.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>
#include <thread>

#include "base/files.h"
#include "base/strings.h"
#include "cli/commands.h"
#include "cli/errors.h"
#include "cli/facts.h"
#include "cli/json_output.h"
#include "cli/model_names.h"
#include "cli/pipeline_options.h"
#include "cli/session.h"
#include "cli/terminal.h"
#include "formats/model_source.h"
#include "sizing/advice.h"
#include "sizing/hardware.h"
#include "sizing/machine.h"

namespace genflow::cli {

namespace {

using nlohmann::json;

// What of a card's memory is left to one program: drivers and displays have some.
constexpr double kOfCard = 0.97;

struct Options {
  std::string model, store, gpu, hardware, method = "lora", dtype = "auto", optim = "adamw_torch_fused";
  int64_t seq = 1024, batch = 4, rank = 16;
  double rate = 0;  // GFLOP/s; 0: measured
  bool gradient_checkpointing = false, json = false;
};

// Where it is to run.
struct Place {
  std::string title, memory_is;
  uint64_t memory = 0;
  double flops = 0;  // that training reaches, a second; 0: not known
  std::string rate_is;
  std::optional<double> on_demand, spot;
  std::string price_is;
};

struct Setting {
  sizing::Job job;
  sizing::Memory memory;
  bool fits = false;
  double hours = 0;  // for a million tokens; 0: not known
};

std::string Number(double value, int digits) {
  char text[40];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

// Two digits that count: "0.034", "1.2", "38".
std::string Brief(double value) {
  return Number(value, value < 0.1 ? 3 : value < 1 ? 2 : value < 10 ? 1 : 0);
}

// Measured: how much of the products' rate a step reaches (docs/concepts/training.md).
constexpr double kCpuEfficiency = 0.8;

Result<Place> PlaceOf(const Options& options, const sizing::ModelShape& shape, sizing::Job* job) {
  Place place;
  if (options.gpu.empty()) {
    const auto left = sizing::MemoryLeft();
    place.title = "this machine's processors";
    place.memory = left.bytes;
    place.memory_is = left.what;
    job->threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
    double rate = options.rate;
    place.rate_is = "given";
    if (rate == 0) {
      // Without libtorch there is nothing to measure with, and nothing to train with either.
      if (const auto measured = MeasureRates(shape.hidden, shape.intermediate); measured.ok()) {
        if (options.dtype == "auto") job->bf16 = measured->multiplies_bf16;
        rate = job->bf16 ? measured->bf16_gflops : measured->fp32_gflops;
        place.rate_is = "measured now";
      }
    }
    place.flops = rate * 1e9 * kCpuEfficiency;
    if (rate > 0) place.rate_is = Number(rate, 0) + " GFLOP/s " + place.rate_is;
    return place;
  }
  std::vector<sizing::Card> cards;
  if (options.hardware.empty()) {
    GF_TRY(cards, sizing::BuiltinCards());
  } else {
    GF_TRY(auto text, ReadFile(options.hardware, 1 << 20));
    GF_TRY(cards, sizing::ReadCards(options.hardware, std::move(text)));
  }
  GF_TRY(const sizing::Card card, sizing::FindCard(cards, options.gpu));
  job->on_gpu = true;
  place.title = card.title;
  place.memory = static_cast<uint64_t>(kOfCard * static_cast<double>(card.memory));
  place.memory_is = "of the card's " + HumanBytes(card.memory) + " a program gets";
  const double tflops = job->bf16 ? card.bf16_tflops : card.fp32_tflops;
  place.flops = (options.rate > 0 ? options.rate * 1e9 : tflops * 1e12) * card.efficiency;
  if (place.flops > 0) {
    place.rate_is = (options.rate > 0 ? Number(options.rate / 1000, 0) + " TFLOP/s given"
                                      : Number(tflops, 0) + " TFLOP/s of the data sheet") +
                    ", of which " + Number(100 * card.efficiency, 0) + "% are reached";
  }
  place.on_demand = card.on_demand;
  place.spot = card.spot;
  if (!card.price_source.empty()) place.price_is = card.price_source + ", " + card.price_as_of;
  return place;
}

// The job asked for, and what may be set instead, from the most rows at once to the fewest.
std::vector<Setting> Settings(const sizing::ModelShape& shape, const sizing::Job& job, const Place& place) {
  std::vector<Setting> settings;
  const auto add = [&](sizing::Job next) {
    Setting& setting = settings.emplace_back();
    setting.memory = sizing::PredictMemory(shape, next);
    setting.fits = setting.memory.total() <= place.memory;
    if (place.flops > 0) setting.hours = 1e6 * sizing::FlopPerToken(shape, next) / place.flops / 3600;
    setting.job = std::move(next);
  };
  for (const bool checkpointing : {false, true}) {
    for (int64_t batch = 4 * job.batch; batch >= 1; batch /= 2) {
      sizing::Job next = job;
      next.batch = batch;
      next.gradient_checkpointing = checkpointing;
      add(std::move(next));
    }
  }
  return settings;
}

bool Same(const sizing::Job& a, const sizing::Job& b) {
  return a.batch == b.batch && a.gradient_checkpointing == b.gradient_checkpointing && a.bf16 == b.bf16 &&
         a.max_length == b.max_length;
}

json JobJson(const sizing::Job& job) {
  return {{"per_device_train_batch_size", job.batch},
          {"max_length", job.max_length},
          {"gradient_checkpointing", job.gradient_checkpointing},
          {"dtype", job.bf16 ? "bf16" : "fp32"}};
}

json SettingJson(const Setting& setting, const Place& place) {
  json out = JobJson(setting.job);
  out["memory_bytes"] = setting.memory.total();
  out["fits"] = setting.fits;
  if (setting.hours > 0) {
    out["hours_per_million_tokens"] = setting.hours;
    if (place.on_demand) out["dollars_per_million_tokens"] = setting.hours * *place.on_demand;
    if (place.spot) out["spot_dollars_per_million_tokens"] = setting.hours * *place.spot;
  }
  return out;
}

std::string SettingText(const sizing::Job& job) {
  return std::to_string(job.batch) + " x " + WithCommas(job.max_length) +
         (job.gradient_checkpointing ? ", gradient checkpointing" : "");
}

std::string TimeText(double hours) { return hours == 0 ? "" : HumanDuration(hours * 3600); }

void PrintParts(const sizing::Memory& memory) {
  Table table({"part", "memory"}, {Align::kLeft, Align::kRight});
  for (const auto& [name, bytes] : memory.Parts()) {
    if (bytes > 0) table.Add({name, HumanBytes(bytes)});
  }
  table.Add({"all", HumanBytes(memory.total())});
  table.Print();
}

void PrintSettings(const std::vector<Setting>& settings, const Place& place,
                   const std::optional<sizing::Job>& best) {
  const TerminalTraits traits = DetectTerminal(STDOUT_FILENO);
  std::vector<std::string> heads = {"rows x tokens", "memory", "fits"};
  std::vector<Align> align = {Align::kLeft, Align::kRight, Align::kLeft};
  const auto column = [&](bool there, const char* head) {
    if (!there) return;
    heads.emplace_back(head);
    align.push_back(Align::kRight);
  };
  column(place.flops > 0, "1M tokens");
  column(place.flops > 0 && place.on_demand, "on demand");
  column(place.flops > 0 && place.spot, "spot");
  Table table(heads, align);
  for (const Setting& setting : settings) {
    std::vector<std::string> cells = {SettingText(setting.job), HumanBytes(setting.memory.total()),
                                      setting.fits ? "yes" : Styled("no", Style::kRed, traits.color)};
    if (place.flops > 0) cells.push_back(TimeText(setting.hours));
    for (const auto& price : {place.on_demand, place.spot}) {
      if (place.flops > 0 && price) cells.push_back("$" + Brief(setting.hours * *price));
    }
    if (best && Same(*best, setting.job)) cells[2] += ", recommended";
    table.Add(std::move(cells));
  }
  table.Fit(RoomForTables(), {"spot", "on demand"}, {"rows x tokens"});
  table.Print();
}

std::string TrainingText(const Options& options, const sizing::Job& job) {
  std::string text = sizing::MethodName(job.method);
  if (job.method != sizing::Method::kFull)
    text += ", r " + std::to_string(options.rank) + " on all projections";
  return text + ", " + (job.bf16 ? "bf16" : "fp32") + ", " + options.optim + ", " + SettingText(job) +
         " tokens";
}

int Size(const Options& options) {
  auto path = ModelPath(options.model, options.store, "model");
  if (!path.ok()) return Report(path.error());
  auto source = formats::ModelSource::Open(*path);
  if (!source.ok()) return Report(source.error());
  auto shape = sizing::ShapeOf(*source);
  if (!shape.ok()) return Report(shape.error());

  sizing::Job job;
  job.method = *sizing::MethodFromName(options.method);
  job.optimizer = *sizing::OptimizerFromName(options.optim);
  job.bf16 = options.dtype != "fp32";
  job.batch = options.batch;
  job.max_length = options.seq;
  job.gradient_checkpointing = options.gradient_checkpointing;
  job.ranks = sizing::AllLinear(*shape, options.rank);
  const auto place = PlaceOf(options, *shape, &job);
  if (!place.ok()) return Report(place.error());
  const sizing::Memory memory = sizing::PredictMemory(*shape, job);
  const auto settings = Settings(*shape, job, *place);
  const auto best = sizing::FirstThatFits(*shape, job, place->memory);

  if (options.json) {
    json parts = json::object(), all = json::array();
    for (const auto& [name, bytes] : memory.Parts()) parts[name] = bytes;
    for (const Setting& setting : settings) all.push_back(SettingJson(setting, *place));
    const json out = {{"model", path->string()},
                      {"parameters", shape->parameters},
                      {"trained_parameters", sizing::TrainedParameters(*shape, job)},
                      {"stored_type", shape->stored_type},
                      {"method", options.method},
                      {"optim", options.optim},
                      {"place", place->title},
                      {"memory_available_bytes", place->memory},
                      {"training", JobJson(job)},
                      {"memory", {{"parts", parts}, {"total_bytes", memory.total()}}},
                      {"fits", memory.total() <= place->memory},
                      {"rate", place->rate_is},
                      {"prices", place->price_is},
                      {"settings", all},
                      {"recommended", best ? JobJson(*best) : json()}};
    std::fputs(DumpPretty(out).c_str(), stdout);
    return kExitOk;
  }
  Facts facts;
  facts.Add("model", WithCommas(static_cast<int64_t>(shape->parameters)) + " weights, " +
                         std::to_string(shape->layers) + " layers of " + WithCommas(shape->hidden) +
                         ", vocabulary " + WithCommas(shape->vocab) + ", stored as " + shape->stored_type);
  facts.Add("training", TrainingText(options, job));
  facts.Add("on", place->title);
  facts.Add("memory", HumanBytes(place->memory) + " (" + place->memory_is + ")");
  if (place->flops > 0) facts.Add("rate", place->rate_is);
  facts.Add("prices", place->price_is);
  std::fputs((facts.Render() + "\n").c_str(), stdout);
  PrintParts(memory);
  std::fputs("\n", stdout);
  PrintSettings(settings, *place, best);
  std::fputs("\n", stdout);
  if (!best) {
    std::printf("nothing of it fits: take a larger GPU, a smaller model or --method qlora\n");
  } else if (Same(*best, job)) {
    std::printf("it fits as asked for\n");
  } else {
    std::printf("recommended: %s\n", sizing::Difference(job, *best, 1).c_str());
  }
  return kExitOk;
}

}  // namespace

void AddModelsSizeCommand(CLI::App& models, Action& action) {
  CLI::App* size =
      models.add_subcommand("size", "Predict what training a model takes: memory, time and money");
  auto options = std::make_shared<Options>();
  size->add_option("MODEL", options->model, "A Hugging Face folder, a GGUF file, or a registered model")
      ->required();
  size->add_option("--gpu", options->gpu,
                   "A GPU such as a10, a100 or h100, or a size of memory such as 24G (default: this machine, "
                   "without a GPU)");
  size->add_option("--seq", options->seq, "Tokens of a row")->check(NumberFrom(2))->capture_default_str();
  size->add_option("--batch", options->batch, "Rows in a forward pass")
      ->check(CLI::Range(1, 65536))
      ->capture_default_str();
  size->add_option("--rank", options->rank, "Rank of the LoRA update")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  size->add_option("--method", options->method, "lora, qlora (the base in 4 bits) or full")
      ->check(CLI::IsMember({"lora", "qlora", "full"}))
      ->capture_default_str();
  size->add_option("--dtype", options->dtype, "auto, fp32 or bf16")
      ->check(CLI::IsMember({"auto", "fp32", "bf16"}))
      ->capture_default_str();
  size->add_option("--optim", options->optim, "adamw_torch_fused, adamw_8bit or adafactor")
      ->check(CLI::IsMember({"adamw_torch_fused", "adamw_8bit", "adafactor"}))
      ->capture_default_str();
  size->add_flag("--gradient-checkpointing", options->gradient_checkpointing,
                 "Compute activations again instead of keeping them");
  size->add_option("--rate", options->rate,
                   "GFLOP/s of matrix products (default: measured here, or the GPU's data)")
      ->check(CLI::PositiveNumber);
  size->add_option("--hardware", options->hardware,
                   "YAML file of GPUs and prices instead of the ones built in (configs/hardware/gpus.yaml)")
      ->type_name("FILE");
  AddStoreOption(*size, options->store);
  size->add_flag("--json", options->json, "JSON on stdout");
  size->footer(
      "Examples:\n  genflow models size models/smollm2-135m-instruct.gguf\n"
      "  genflow models size ./llama-8b --gpu a100 --seq 4096 --method qlora");
  size->callback([&action, options] { action = [options] { return Size(*options); }; });
}

}  // namespace genflow::cli
