#include "stages/model/import.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <vector>

#include "base/files.h"
#include "base/strings.h"
#include "formats/model_source.h"
#include "stages/model/copy_file.h"
#include "stages/stage_status.h"
#include "text/chat_encoding.h"

namespace genflow::stages {
namespace {

namespace fs = std::filesystem;

// The files of a Hugging Face folder that make the model: configuration, weights, tokenizer, template,
// licence.
std::vector<fs::path> ModelFiles(const fs::path& folder) {
  static constexpr std::string_view kExtensions[] = {".json", ".safetensors", ".jinja",
                                                     ".txt",  ".model",       ".md"};
  static constexpr std::string_view kNames[] = {"LICENSE", "NOTICE", "LICENCE"};
  std::vector<fs::path> out;
  std::error_code ec;
  for (fs::directory_iterator it(folder, ec), end; !ec && it != end; it.increment(ec)) {
    if (!it->is_regular_file(ec)) continue;
    const fs::path name = it->path().filename();
    const auto is = [&](const auto& list, const std::string& text) {
      return std::find(std::begin(list), std::end(list), text) != std::end(list);
    };
    if (is(kExtensions, name.extension().string()) || is(kNames, name.string())) out.push_back(it->path());
  }
  if (ec) Throw(ErrnoError(folder.string(), ec.value()));
  std::sort(out.begin(), out.end());
  return out;
}

std::string Millions(uint64_t count) {
  char text[32];
  if (count >= 1'000'000'000)
    std::snprintf(text, sizeof text, "%.2f billion", static_cast<double>(count) / 1e9);
  else
    std::snprintf(text, sizeof text, "%.1f million", static_cast<double>(count) / 1e6);
  return text;
}

// What can be said of the model's tokenizer and chat template; a model without them can still be trained on
// text.
std::string DescribeText(const Context& context, const fs::path& path) {
  const auto tokenizer = text::Tokenizer::FromModel(path);
  if (!tokenizer.ok()) {
    context.Warn("the tokenizer cannot be used: " + tokenizer.error().message);
    return "cannot be used";
  }
  const std::string size = WithCommas(tokenizer->vocab_size()) + " tokens";
  if (tokenizer->chat_template().empty()) return size + ", no chat template";
  const auto chat = text::ChatTemplate::Parse(tokenizer->chat_template());
  if (chat.ok()) return size + ", chat template";
  context.Warn("the chat template cannot be used: " + chat.error().message);
  return size + ", chat template that cannot be used";
}

}  // namespace

void ModelImport::Declare(Spec& spec) {
  spec.Doc(
      "The model is opened and checked before it is copied: every tensor must lie inside its file, and every "
      "tensor of "
      "a GGUF must have a place in the architecture. GGUF architectures: llama, qwen2, qwen3. A GGUF file is "
      "kept as it "
      "came, in any of GGML's quantisations; of a folder, `config.json`, the safetensors files, the "
      "tokenizer and the "
      "chat template are taken.");
  spec.Path("path", &path, "A Hugging Face model folder, a .gguf file, or a folder with one .gguf file.",
            {.required = true});
  spec.Output("model", "model", "The model, as a folder.");
}

Outcome ModelImport::Run(Context& context) {
  const auto source = ValueOf(formats::ModelSource::Open(path));
  const bool gguf = source.format() == formats::ModelSource::Format::kGguf;
  const std::vector<fs::path> files = gguf ? std::vector<fs::path>{source.path()} : ModelFiles(source.path());
  const fs::path folder = context.OutputPath("model");
  Require(MakeDirectories(folder));
  uint64_t total = 0, done = 0;
  std::error_code ec;
  for (const auto& file : files) total += fs::file_size(file, ec);
  for (const auto& file : files) {
    if (context.ShouldStop()) return Outcome::kInterrupted;
    Require(CopyFile(file, folder / (gguf && file.extension() != ".gguf" ? "model.gguf" : file.filename())));
    done += fs::file_size(file, ec);
    context.Progress(done, total, "bytes");
  }

  const auto& config = source.config();
  const std::string architecture = config.contains("architectures") && config["architectures"].is_array() &&
                                           !config["architectures"].empty()
                                       ? config["architectures"][0].get<std::string>()
                                       : source.model_type();
  const int64_t context_length = config.value("max_position_embeddings", int64_t{0});
  context.Metric("parameters", static_cast<double>(source.parameter_count()));
  context.Metric("bytes", static_cast<double>(total));
  context.Summary("| | |\n|---|---|\n| architecture | " + architecture + " |\n| parameters | " +
                  Millions(source.parameter_count()) + " |\n| weights | " + source.dominant_type() +
                  (gguf ? ", GGUF, " : ", safetensors, ") + HumanBytes(total) + " |\n| context | " +
                  WithCommas(context_length) + " tokens |\n| tokenizer | " + DescribeText(context, folder) +
                  " |\n");
  return Outcome::kOk;
}

}  // namespace genflow::stages
