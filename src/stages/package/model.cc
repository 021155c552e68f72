#include "stages/package/model.h"

#include <set>

#include "adapter/gguf_lora.h"
#include "adapter/merge.h"
#include "base/files.h"
#include "base/strings.h"
#include "data/dataset.h"
#include "eval/model_card.h"
#include "eval/report.h"
#include "formats/gguf.h"
#include "formats/model_source.h"
#include "formats/model_writer.h"
#include "formats/training_record.h"
#include "stages/package/files.h"
#include "stages/stage_status.h"
#include "text/numbers.h"

namespace genflow::stages {
namespace {

namespace fs = std::filesystem;

// Tells the host of each tensor written, and stops with the run.
formats::ModelContent Reporting(formats::ModelContent model, const char* what, const Context& context) {
  const size_t tensors = model.Tensors().size();
  model.fill = [fill = std::move(model.fill), tensors, what, &context, done = uint64_t{0}](
                   std::string_view name, formats::DType type, void* to, size_t bytes) mutable -> Status {
    if (context.ShouldStop()) return MakeError(Code::kInterrupted, "packaging was stopped");
    context.Progress(done++, tensors, "tensors", what);
    return fill(name, type, to, bytes);
  };
  return model;
}

std::vector<std::pair<std::string, std::string>> Training(const adapter::LoraConfig& config,
                                                          const formats::TrainingRecord& record) {
  const auto& targets = config.target_modules;
  std::vector<std::pair<std::string, std::string>> rows = {
      {"method",
       std::string(config.use_dora ? "DoRA" : "LoRA") + (config.use_rslora ? ", rank-stabilised" : "")},
      {"rank (r)", std::to_string(config.r)},
      {"alpha", text::Number(config.alpha)},
      {"dropout", text::Number(config.dropout)},
      {"target modules", targets.pattern.empty() ? Join(targets.names, ", ") : targets.pattern}};
  const auto more = eval::TrainingRows(record);
  rows.insert(rows.end(), more.begin(), more.end());
  return rows;
}

std::string SourceOf(const Input& input) {
  return input.source.empty() ? fs::path(input.path).filename().string() : input.source;
}

// What a GGUF says about itself; "" where it says nothing or the model is no GGUF.
std::string GgufText(const formats::ModelSource& source, const char* key) {
  if (source.format() != formats::ModelSource::Format::kGguf) return "";
  const auto file = ValueOf(formats::GgufFile::Open(source.path()));
  const auto text = file.String(key);
  return text ? std::string(*text) : "";
}

}  // namespace

void PackageModel::Declare(Spec& spec) {
  spec.Doc(
      "Writes a folder that needs nothing of genflow: `adapter/` (PEFT, byte for byte), `merged/` (Hugging "
      "Face layout "
      "with tokenizer and chat template), `gguf/NAME-TYPE.gguf` (llama.cpp), `reports/`, `licenses/`, "
      "`MODEL_CARD.md` and "
      "`SHA256SUMS`. The adapter is merged in fp32, tensor by tensor, and rounded once to `dtype` "
      "(`gguf_type` "
      "in the GGUF). "
      "The card is made of the reports and datasets that are connected and of what `train.lora` wrote beside "
      "the "
      "adapter (`training_args.json`, `trainer_state.json`), and names every input by its digest.");
  spec.Input("model", "model", "The base model.");
  spec.Input("adapter", "adapter", "The PEFT adapter that was trained on it.");
  spec.Input("reports", "report", "Reports for the model card.", GF_PORT_MANY | GF_PORT_OPTIONAL);
  spec.Input("datasets", "dataset", "Datasets that the model card counts.", GF_PORT_MANY | GF_PORT_OPTIONAL);
  spec.Param("name", &name, "model", "Name of the model: title of the card and part of file names.");
  spec.Param("about", &about, "", "A paragraph for the card (Markdown).");
  spec.Param("license", &license, "", "License of the package for the card, such as `apache-2.0`.");
  spec.Param("base_name", &base_name, "",
             "The base model's public name for the card; empty takes what the model says of itself.");
  spec.Param("merged", &merged, true, "Write `merged/`.");
  spec.Param("gguf", &gguf, true, "Write `gguf/`.");
  spec.Param(
      "gguf_type", &gguf_type, "f16",
      "How the weights of `gguf/` are stored, in llama.cpp's words; `q4_k_m` is its mixture of 4 and 6 bits.",
      {.choices = {"f32", "f16", "bf16", "q8_0", "q4_k_m"}});
  spec.Param("gguf_adapter", &gguf_adapter, false,
             "Write `gguf/NAME-lora.gguf`, too: the adapter alone, for llama.cpp's `--lora`. DoRA has no "
             "counterpart "
             "there.");
  spec.Param("dtype", &dtype, "bfloat16",
             "Number format of `merged/`; `float32` keeps every bit of the merge.",
             {.choices = {"float32", "bfloat16", "float16"}});
  spec.Output("package", "package", "The folder.");
}

std::string PackageModel::Check() const {
  for (const char c : name) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.';
    if (!plain)
      return "name is '" + name + "': it becomes a file name, so use letters, digits, '-', '_' and '.'";
  }
  return name.empty() || name[0] == '.'
             ? "name is '" + name + "': expected a name that begins with a letter or digit"
             : "";
}

Outcome PackageModel::Run(Context& context) {
  return Interruptible([&] {
    const fs::path folder = context.OutputPath("package");
    const Input& input = context.GetInput("adapter");
    const auto base = ValueOf(formats::ModelSource::Open(context.GetInput("model").path));
    const auto config = ValueOf(adapter::ReadLoraConfig(input.path));
    const auto tuned = ValueOf(adapter::MergedModel(base, input.path));
    Require(MakeDirectories(folder));
    Require(CopyTree(input.path, folder / "adapter"));

    eval::ModelCard card;
    card.name = name;
    card.about = about;
    card.license = license;
    card.base_license = GgufText(base, "general.license");
    card.base_name = base_name.empty() ? GgufText(base, "general.name") : base_name;
    if (card.base_name.empty()) card.base_name = base.path().filename().string();
    const auto& architectures =
        base.config().value("architectures", std::vector<std::string>{base.model_type()});
    card.architecture = architectures.empty() ? base.model_type() : architectures.front();
    card.base_type = base.dominant_type();
    card.parameters = static_cast<int64_t>(base.parameter_count());
    card.training = Training(config, ValueOf(formats::ReadTrainingRecord(input.path)));

    if (merged) {
      const auto type = formats::ParseDType(dtype).value();
      Require(
          formats::WriteHuggingFaceModel(folder / "merged", Reporting(tuned, "merged model", context), type));
      card.merged_dtype = dtype;
    }
    if (gguf || gguf_adapter) Require(MakeDirectories(folder / "gguf"));
    if (gguf) {
      card.gguf_file = "gguf/" + name + "-" + gguf_type + ".gguf";
      Require(formats::WriteGgufModel(folder / card.gguf_file, Reporting(tuned, "GGUF", context),
                                      {.type = formats::ParseGgufType(gguf_type).value(), .name = name}));
    }
    if (gguf_adapter) {
      Require(adapter::ExportGgufLora(folder / "gguf" / (name + "-lora.gguf"), base, input.path,
                                      {.type = formats::DType::kF32, .name = name, .read = {}}));
    }
    const fs::path source_folder =
        base.format() == formats::ModelSource::Format::kGguf ? base.path().parent_path() : base.path();
    for (const auto& file : ValueOf(CopyLicenses(source_folder, folder / "licenses"))) {
      card.license_files.push_back("licenses/" + file);
    }

    std::set<std::string> files;
    for (const auto& port : context.GetInputs("reports")) {
      auto report = ValueOf(eval::ReadReport(port.path, port.source));
      const std::string stage = StageOfSource(port.source);
      std::string wanted = stage.empty() ? "report-" + std::to_string(card.reports.size() + 1) : stage;
      // A stage may have several reports, and the same one may be connected twice.
      if (!stage.empty() && files.count(stage) != 0) wanted = port.source;
      std::string file = wanted;
      for (int i = 2; !files.insert(file).second; ++i) file = wanted + "-" + std::to_string(i);
      Require(MakeDirectories(folder / "reports"));
      Require(WriteFileAtomic(folder / "reports" / (file + ".json"), eval::ReportToJson(report)));
      Require(WriteFileAtomic(folder / "reports" / (file + ".md"), eval::ReportToMarkdown(report)));
      card.reports.push_back({stage, std::move(report), port.source});
    }
    for (const auto& port : context.GetInputs("datasets")) {
      const auto reader = ValueOf(data::DatasetReader::Open(port.path));
      const std::string stage = StageOfSource(port.source);
      card.datasets.push_back({stage.empty() ? SourceOf(port) : port.source, data::KindName(reader.kind()),
                               static_cast<int64_t>(reader.rows()),
                               static_cast<int64_t>(reader.info().characters)});
    }
    for (const char* name_of_port : {"model", "adapter", "datasets", "reports"}) {
      for (const auto& port : context.GetInputs(name_of_port)) {
        card.lineage.push_back({port.type, SourceOf(port), port.digest});
      }
    }
    Require(WriteFileAtomic(folder / "MODEL_CARD.md", eval::RenderModelCard(card)));
    Require(WriteChecksums(folder));
    context.Summary("Package `" + name + "`: adapter" + (merged ? ", merged model (" + dtype + ")" : "") +
                    (gguf ? ", GGUF (" + gguf_type + ")" : "") + (gguf_adapter ? ", GGUF adapter" : "") +
                    ", model card, checksums.");
    return Outcome::kOk;
  });
}

}  // namespace genflow::stages
