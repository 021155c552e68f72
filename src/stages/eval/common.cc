#include "stages/eval/common.h"

#include <filesystem>

#include "base/strings.h"
#include "eval/report_samples.h"
#include "nn/page_arena.h"
#include "nn/quantized_weight.h"

namespace genflow::stages {

void ModelParams::Declare(Spec& spec) {
  spec.Param("device", &device, "auto",
             "`auto`, `cpu`, `cuda` or `cuda:N`. `auto` takes a GPU where there is one.");
  spec.Param("dtype", &dtype, "auto",
             "Number format of the weights; `auto` is bf16 where the hardware multiplies it.",
             {.choices = {"auto", "fp32", "bf16"}});
  spec.Param(
      "quantization", &quantization, "none",
      "How the base's matrices are held: as `dtype`, or in `int8`, `nf4` or the types that its GGUF stores "
      "(`gguf`), from which answers are written two to three times faster.",
      {.choices = {"none", "int8", "nf4", "gguf"}});
  spec.Input("model", "model", "The base model: a Hugging Face folder or a GGUF file.");
  spec.Input("adapter", "adapter", "A PEFT adapter of the base model.", GF_PORT_OPTIONAL);
}

eval::TunedModel ModelParams::Load(const Context& context) const {
  const Input* adapter = context.FindInput("adapter");
  eval::LoadOptions options;
  options.device = device;
  options.dtype = dtype;
  options.quantization = *nn::QuantizationFromName(quantization);
  nn::UsePageArena();
  options.threads = context.Threads();
  options.progress = [&context](int64_t done, int64_t total) {
    context.Progress(static_cast<uint64_t>(done), static_cast<uint64_t>(total), "tensors",
                     "loading the model");
    return !context.ShouldStop();
  };
  std::string why_not_cuda;
  options.why_not_cuda = &why_not_cuda;
  auto model =
      ValueOf(eval::TunedModel::Load(context.GetInput("model").path, adapter ? adapter->path : "", options));
  if (!why_not_cuda.empty()) context.Warn(why_not_cuda);
  context.Info("model on " + model.device() + " in " + model.dtype() +
               (quantization == "none" ? "" : ", its matrices in " + quantization));
  return model;
}

std::string ArtifactName(const Input& input) {
  const std::string stage = StageOfSource(input.source);
  return stage.empty() ? std::filesystem::path(input.path).filename().string() : stage;
}

std::function<bool(size_t done, size_t total)> ProgressOf(const Context& context, std::string what,
                                                          std::string message) {
  return [&context, what = std::move(what), message = std::move(message)](size_t done, size_t total) {
    context.Progress(done, total, what, message);
    return !context.ShouldStop();
  };
}

void ReportTooLong(const std::vector<std::string>& ids, eval::Report* report, const Context& context) {
  report->Set({.name = "too_long", .value = static_cast<double>(ids.size())});
  if (ids.empty()) return;
  context.Warn(Counted(ids.size(), "example") + (ids.size() == 1 ? " is" : " are") +
               " longer than the model's context and left out, the first is '" + ids[0] + "'");
}

void Publish(const eval::Report& report, const Context& context) {
  Require(eval::WriteReportWithSamples(report, context.OutputPath("report")));
  for (const auto& metric : report.metrics) context.Metric(metric.name, metric.value);
}

}  // namespace genflow::stages
