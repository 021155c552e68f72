// `genflow models convert`, `merge` and `quantize`: a model in another format, with an adapter in it, or
// smaller.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <map>
#include <memory>

#include "adapter/folder.h"
#include "adapter/gguf_lora.h"
#include "adapter/merge.h"
#include "adapter/plain_lora.h"
#include "base/strings.h"
#include "cli/commands.h"
#include "cli/errors.h"
#include "cli/json_output.h"
#include "cli/new_output.h"
#include "cli/progress_line.h"
#include "cli/terminal.h"
#include "formats/gguf.h"
#include "formats/model_source.h"
#include "formats/model_writer.h"
#include "formats/safetensors.h"

namespace genflow::cli {

namespace {

namespace fs = std::filesystem;
using formats::GgufType;
using formats::ModelContent;
using formats::ModelSource;

struct Options {
  std::string source, adapter, base, to, type, name, output;
  bool json = false, residual_base = false, allow_requantize = false;
};

volatile std::sig_atomic_t g_signal = 0;

// While it lives, SIGINT, SIGTERM and SIGHUP are noted in g_signal, so that what is half written can go.
class StopSignals {
 public:
  StopSignals() {
    struct sigaction action {};
    action.sa_handler = [](int signal) { g_signal = signal; };
    for (size_t i = 0; i < std::size(kSignals); ++i) ::sigaction(kSignals[i], &action, &before_[i]);
  }
  ~StopSignals() {
    for (size_t i = 0; i < std::size(kSignals); ++i) ::sigaction(kSignals[i], &before_[i], nullptr);
  }
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

 private:
  static constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP};
  struct sigaction before_[std::size(kSignals)];
};

Error Stopped() { return MakeError(Code::kInterrupted, "stopped; nothing was written"); }

// Shows each tensor that is written, and stops when asked to.
void Watch(ModelContent* model, const Options& options) {
  const bool live = !options.json && DetectTerminal(STDERR_FILENO).interactive;
  const size_t total = model->Tensors().size();
  model->fill = [fill = std::move(model->fill), live, total, line = std::make_shared<ProgressLine>(),
                 done = uint64_t{0}](std::string_view name, formats::DType type, void* to,
                                     size_t bytes) mutable -> Status {
    if (g_signal != 0) return Stopped();
    if (live) {
      line->Show("writing", done, total,
                 WithCommas(static_cast<int64_t>(done)) + " of " + Counted(total, "tensor"));
    }
    ++done;
    Status filled = fill(name, type, to, bytes);
    if (live && (done == total || !filled.ok())) line->Clear();
    return filled;
  };
}

// What the tensors of a written model are stored as: how many of each type.
Result<std::map<std::string, uint64_t>> StoredTypes(const fs::path& path, bool gguf) {
  std::map<std::string, uint64_t> out;
  if (gguf) {
    GF_TRY(const auto file, formats::GgufFile::Open(path));
    for (const auto& tensor : file.tensors()) ++out[formats::GgmlTypeName(tensor.type)];
    return out;
  }
  std::error_code ec;
  const fs::path model = path / "model.safetensors", lora = path / adapter::kTensorFile;
  GF_TRY(const auto file, formats::SafetensorsFile::Open(fs::exists(model, ec) ? model : lora));
  for (const auto& tensor : file.tensors()) ++out[tensor.dtype];
  return out;
}

uint64_t BytesBelow(const fs::path& path) {
  std::error_code ec;
  if (!fs::is_directory(path, ec)) return fs::file_size(path, ec);
  uint64_t out = 0;
  for (fs::recursive_directory_iterator it(path, ec), end; !ec && it != end; it.increment(ec)) {
    if (it->is_regular_file(ec)) out += it->file_size(ec);
  }
  return out;
}

// What a command is to write.
struct Target {
  bool gguf = false;
  GgufType type = GgufType::kF16;

  std::string TypeName() const { return std::string(formats::GgufTypeName(type)); }
};

// The options --to and --type; without them the output's name tells the format.
Result<Target> ReadTarget(const Options& options) {
  Target out;
  if (options.to.empty())
    out.gguf = options.output.ends_with(".gguf");
  else
    out.gguf = options.to == "gguf";
  const std::string name = options.type.empty() ? (out.gguf ? "f16" : "bf16") : options.type;
  const auto type = formats::ParseGgufType(name);
  if (!type) return InvalidError("--type is '" + name + "'", "f32, f16, bf16, q8_0 and q4_k_m are known");
  if (!out.gguf && IsQuantized(*type)) {
    return InvalidError("--type " + name + " is a type of GGUF files",
                        "a Hugging Face folder takes f32, f16 or bf16; --to gguf writes a GGUF");
  }
  out.type = *type;
  return out;
}

// Rounding twice is worse than once, so a rounded model is not rounded again unasked.
Status CheckRequantize(const ModelSource& source, const Target& target, const Options& options) {
  if (!IsQuantized(target.type) || options.allow_requantize) return Ok();
  for (const auto& tensor : source.tensors()) {
    if (tensor.stored_type == "F32" || tensor.stored_type == "F16" || tensor.stored_type == "BF16") continue;
    return InvalidError(
        source.path().string() + ": is quantised already: '" + tensor.name + "' is " + tensor.stored_type,
        "start from the model in f16 or bf16, or say --allow-requantize and lose more than needed");
  }
  return Ok();
}

formats::DType ElementType(GgufType type) {
  return type == GgufType::kF32   ? formats::DType::kF32
         : type == GgufType::kF16 ? formats::DType::kF16
                                  : formats::DType::kBF16;
}

// Makes the output with `write`, which is given a path where nothing is, and says what it is.
template <class Write>
int Produce(const Options& options, const Target& target, uint64_t parameters, Write&& write) {
  auto output = NewOutput::Create(options.output);
  if (!output.ok()) return Report(output.error());
  const auto produce = [&]() -> Status {
    const StopSignals signals;
    GF_CHECK_OK(write(output->partial()));
    if (g_signal != 0) return Stopped();
    return Ok();
  };
  const Status written = produce();
  if (!written.ok()) {
    const int code = Report(output->ForUser(written.error()));
    return g_signal != 0 ? 128 + g_signal : code;
  }
  auto types = StoredTypes(output->partial(), target.gguf);
  if (!types.ok()) return Report(output->ForUser(types.error()));
  const uint64_t bytes = BytesBelow(output->partial());
  if (auto kept = output->Keep(); !kept.ok()) return Report(kept.error());
  if (options.json) {
    std::fputs(DumpPretty({{"path", output->target().string()},
                           {"format", target.gguf ? "gguf" : "hf"},
                           {"type", target.TypeName()},
                           {"parameters", parameters},
                           {"tensors", *types},
                           {"bytes", bytes}})
                   .c_str(),
               stdout);
    return kExitOk;
  }
  std::vector<std::string> counts;
  for (const auto& [type, count] : *types) counts.push_back(std::to_string(count) + " " + type);
  std::printf("%s: %s, %s parameters, %s; tensors: %s\n", output->target().c_str(),
              target.gguf ? "GGUF" : "Hugging Face", WithCommas(static_cast<int64_t>(parameters)).c_str(),
              HumanBytes(bytes).c_str(), Join(counts, ", ").c_str());
  return kExitOk;
}

int WriteModel(const Options& options, const Target& target, ModelContent model) {
  uint64_t parameters = 0;
  for (const auto& tensor : model.Tensors()) parameters += tensor.elements;
  Watch(&model, options);
  return Produce(options, target, parameters, [&](const fs::path& path) {
    if (!target.gguf) return formats::WriteHuggingFaceModel(path, model, ElementType(target.type));
    return formats::WriteGgufModel(path, model, {.type = target.type, .name = options.name});
  });
}

bool IsAdapter(const std::string& path) {
  std::error_code ec;
  return fs::exists(fs::path(path) / adapter::kConfigFile, ec);
}

int ConvertAdapter(const Options& options, const Target& target) {
  if (options.base.empty()) {
    return Report(InvalidError(options.source + ": is an adapter, and --base is missing",
                               "--base PATH names the model that it belongs to"));
  }
  if (IsQuantized(target.type)) {
    return Report(
        InvalidError("--type " + target.TypeName() + " is no type of adapters", "f32, f16 and bf16 are"));
  }
  if (!target.gguf && !options.type.empty()) {
    return Report(InvalidError("--type is for GGUF files: a PEFT adapter stays f32", "leave it out"));
  }
  const auto base = ModelSource::Open(options.base);
  if (!base.ok()) return Report(base.error());
  const adapter::ReadOptions read{.residual_base = options.residual_base};
  auto weights = adapter::ReadWeights(*base, options.source, read);
  if (!weights.ok()) return Report(weights.error());
  uint64_t parameters = 0;
  for (const auto& [name, update] : weights->updates)
    parameters += update.a.values.size() + update.b.values.size();
  // An adapter is small: f32, as llama.cpp's converter writes it, unless told otherwise.
  const Target written{target.gguf, options.type.empty() ? GgufType::kF32 : target.type};
  std::string name = options.name;
  if (name.empty()) name = fs::path(options.source).lexically_normal().filename().string();
  return Produce(options, written, parameters, [&](const fs::path& path) {
    if (!written.gguf) return adapter::WritePlainLora(path, *base, options.source, read);
    return adapter::ExportGgufLora(path, *base, options.source,
                                   {.type = ElementType(written.type), .name = name, .read = read});
  });
}

int Convert(const Options& options) {
  const auto target = ReadTarget(options);
  if (!target.ok()) return Report(target.error());
  if (IsAdapter(options.source)) return ConvertAdapter(options, *target);
  if (!options.base.empty())
    return Report(InvalidError(options.source + ": is no adapter, and --base is for adapters"));
  const auto source = ModelSource::Open(options.source);
  if (!source.ok()) return Report(source.error());
  if (auto fit = CheckRequantize(*source, *target, options); !fit.ok()) return Report(fit.error());
  return WriteModel(options, *target, formats::CopyOf(*source));
}

int Quantize(const Options& options) {
  Options to_gguf = options;
  to_gguf.to = "gguf";
  if (IsAdapter(options.source)) {
    return Report(InvalidError(options.source + ": is an adapter, which is not quantised",
                               "genflow models merge --type q4_k_m puts it into its model first"));
  }
  return Convert(to_gguf);
}

int Merge(const Options& options) {
  const auto target = ReadTarget(options);
  if (!target.ok()) return Report(target.error());
  const auto base = ModelSource::Open(options.source);
  if (!base.ok()) return Report(base.error());
  auto merged = adapter::MergedModel(*base, options.adapter, {.residual_base = options.residual_base});
  if (!merged.ok()) return Report(merged.error());
  return WriteModel(options, *target, *std::move(merged));
}

void AddOutput(CLI::App& command, Options& options) {
  command.add_option("-o,--output", options.output, "The new file or folder, which must not exist")
      ->type_name("PATH")
      ->required();
  command.add_option("--name", options.name, "The model's name in the GGUF (default: the source's)")
      ->type_name("NAME");
  command.add_flag("--json", options.json, "JSON on stdout");
}

void AddFormat(CLI::App& command, Options& options) {
  command
      .add_option("--to", options.to,
                  "gguf (llama.cpp), or hf: a Hugging Face folder (default: gguf if PATH ends so)")
      ->type_name("FORMAT")
      ->check(CLI::IsMember({"gguf", "hf"}));
  command
      .add_option(
          "--type", options.type,
          "Of the matrices: f32, f16, bf16, and in a GGUF q8_0 or q4_k_m (default: f16 in a GGUF, else bf16)")
      ->type_name("TYPE");
}

void AddResidual(CLI::App& command, Options& options) {
  command.add_flag("--residual-base", options.residual_base,
                   "The base is what PiSSA left of the model, so an adapter that was not converted fits it");
}

}  // namespace

void AddModelsConvertCommands(CLI::App& models, Action& action) {
  const auto add = [&](const char* name, const char* help, const char* footer, int (*run)(const Options&)) {
    auto options = std::make_shared<Options>();
    CLI::App* command = models.add_subcommand(name, help);
    command->footer(footer);
    command->callback([&action, options, run] { action = [options, run] { return run(*options); }; });
    return std::pair(command, options);
  };
  const char* source_help = "A Hugging Face model folder, or a .gguf file";

  auto [convert, to] = add("convert", "Write a model, or an adapter, in another format",
                           "Examples:\n"
                           "  genflow models convert models/helper --to gguf --type q4_k_m -o helper.gguf\n"
                           "  genflow models convert helper.gguf --to hf -o helper\n"
                           "  genflow models convert adapter --base models/base -o adapter.gguf\n"
                           "\n"
                           "An adapter becomes a GGUF for llama.cpp (--lora), or with --to hf a PEFT folder\n"
                           "of plain LoRA, which vLLM takes: other scalings are folded in.",
                           Convert);
  convert->add_option("SRC", to->source, std::string(source_help) + ", or a PEFT adapter folder")->required();
  AddFormat(*convert, *to);
  convert->add_option("--base", to->base, "Of an adapter: the model that it belongs to")->type_name("PATH");
  AddResidual(*convert, *to);
  convert->add_flag("--allow-requantize", to->allow_requantize, "Quantise a model that is quantised already");
  AddOutput(*convert, *to);

  auto [merge, with] = add("merge", "Fold an adapter into its model",
                           "Examples:\n"
                           "  genflow models merge models/base adapter -o helper\n"
                           "  genflow models merge base.gguf adapter --type q4_k_m -o helper.gguf\n"
                           "\n"
                           "LoRA, rank-stabilised LoRA and DoRA are merged in f32, tensor by tensor, and\n"
                           "rounded once.",
                           Merge);
  merge->add_option("BASE", with->source, source_help)->required();
  merge->add_option("ADAPTER", with->adapter, "The PEFT adapter folder")->required();
  AddFormat(*merge, *with);
  AddResidual(*merge, *with);
  AddOutput(*merge, *with);

  auto [quantize, smaller] = add("quantize", "Write a model as a smaller GGUF, as llama-quantize does",
                                 "Example:\n"
                                 "  genflow models quantize helper-f16.gguf --type q4_k_m -o helper.gguf",
                                 Quantize);
  quantize->add_option("SRC", smaller->source, source_help)->required();
  quantize->add_option("--type", smaller->type, "q8_0, or q4_k_m: most matrices in 4 bits, some in 6")
      ->type_name("TYPE")
      ->default_val("q4_k_m");
  quantize->add_flag("--allow-requantize", smaller->allow_requantize,
                     "Quantise a model that is quantised already");
  AddOutput(*quantize, *smaller);
}

}  // namespace genflow::cli
