// `genflow init`: a first pipeline.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <cstdio>
#include <fstream>
#include <memory>

#include "base/files.h"
#include "base/strings.h"
#include "cli/commands.h"
#include "cli/errors.h"
#include "cli/init_templates.h"
#include "cli/json_output.h"
#include "cli/prompt.h"
#include "cli/terminal.h"
#include "cli/workspace.h"
#include "config/glob.h"

namespace genflow::cli {

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr char kPipelineFile[] = "pipeline.yaml";
constexpr char kExamplesFile[] = "data/examples.jsonl";

struct Options {
  std::string folder = ".", template_name, name, base, data;
  bool yes = false, force = false, json = false;
};

std::string TemplateNames() {
  std::vector<std::string> names;
  for (const auto& entry : InitTemplates()) names.emplace_back(entry.name);
  return Join(names, ", ");
}

bool IsModel(const fs::path& path) {
  std::error_code ec;
  return fs::is_directory(path, ec) ? fs::exists(path / "config.json", ec)
                                    : path.extension() == ".gguf" && fs::is_regular_file(path, ec);
}

// The first model, by name, in the folder or in its models/: a .gguf file or a Hugging Face folder; else "".
std::string NearbyModel(const fs::path& folder) {
  for (const fs::path& place : {folder, folder / "models"}) {
    std::vector<fs::path> found;
    std::error_code ec;
    for (fs::directory_iterator it(place, ec), end; !ec && it != end; it.increment(ec)) {
      if (IsModel(it->path())) found.push_back(it->path());
    }
    if (!found.empty()) return std::min_element(found.begin(), found.end())->lexically_normal().string();
  }
  return {};
}

// A path that was given relative to the current folder, as it is from `folder`. Absolute ones stay.
std::string SeenFrom(const fs::path& folder, const std::string& path) {
  std::error_code ec;
  if (fs::path(path).is_absolute()) return path;
  const fs::path here = fs::current_path(ec);
  return (here / path)
      .lexically_normal()
      .lexically_relative((here / folder).lexically_normal() / "")
      .string();
}

// Rows of text are made into conversations; everything that does not say so itself is taken for
// conversations.
DataKind KindOf(const fs::path& file) {
  std::ifstream in(file);
  std::string line;
  if (!std::getline(in, line)) return DataKind::kMessages;
  std::vector<std::string> fields;
  if (file.extension() == ".jsonl") {
    const json row = json::parse(line, nullptr, false);
    if (!row.is_object()) return DataKind::kMessages;
    for (const auto& [name, value] : row.items()) fields.push_back(name);
  } else if (file.extension() == ".csv") {
    for (const auto piece : Split(line, ',')) fields.emplace_back(Trim(piece));
  } else {
    return file.extension() == ".txt" ? DataKind::kText : DataKind::kMessages;
  }
  const auto has = [&](const char* name) {
    return std::find(fields.begin(), fields.end(), name) != fields.end();
  };
  const bool chats = has("messages") || has("conversations") || has("prompt") || has("instruction");
  return !chats && has("text") ? DataKind::kText : DataKind::kMessages;
}

// A name for the pipeline from that of its folder.
std::string NameOf(const fs::path& folder) {
  std::error_code ec;
  fs::path path = fs::absolute(folder, ec).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  std::string name;
  for (const char c : path.filename().string())
    name += std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_' ? c : '-';
  return name.empty() || name.find_first_not_of('-') == std::string::npos ? "pipeline" : name;
}

Error NothingWritten() {
  return InvalidError("the questions were not answered; nothing was written",
                      "give the answers as options: `genflow init --help` shows them");
}

Result<std::string> AskTemplate(const std::string& fallback) {
  for (const auto& entry : InitTemplates()) std::fprintf(stderr, "  %-10s%s\n", entry.name, entry.summary);
  while (true) {
    const auto answer = Ask("Which of these", fallback);
    if (!answer) return NothingWritten();
    if (FindInitTemplate(*answer) != nullptr) return *answer;
    std::fprintf(stderr, "  '%s' is none of %s\n", answer->c_str(), TemplateNames().c_str());
  }
}

Status CheckTemplate(const std::string& name) {
  if (FindInitTemplate(name) != nullptr) return Ok();
  std::vector<std::string> names;
  for (const auto& entry : InitTemplates()) names.emplace_back(entry.name);
  const auto near = NearestName(name, names);
  return InvalidError("no template is called '" + name + "'",
                      near ? "did you mean '" + *near + "'?" : "it is one of " + TemplateNames());
}

Status CheckBase(const std::string& base) {
  if (base.empty())
    return InvalidError("no model is here, nor in models/",
                        "name one: --base model.gguf, or a Hugging Face folder");
  if (IsModel(base)) return Ok();
  std::error_code ec;
  return InvalidError("--base " + base + (fs::exists(base, ec) ? " is no model" : " does not exist"),
                      "give a .gguf file, or a Hugging Face folder with its config.json");
}

// The first file of a pattern, which must have one.
Result<fs::path> FirstFile(const std::string& pattern) {
  GF_TRY(const auto found, FirstGlobMatch(fs::current_path(), pattern));
  if (!found.empty()) return fs::path(found.front());
  return InvalidError("--data " + pattern + " matches no file",
                      "without --data, init writes a few examples to start with");
}

// Asks until `check` is content, or takes what was given.
template <class Check>
Result<std::string> Answer(const std::string& given, bool ask, const std::string& question,
                           const std::string& fallback, const Check& check) {
  std::string answer = given.empty() ? fallback : given;
  while (given.empty() && ask) {
    const auto said = Ask(question, fallback);
    if (!said) return NothingWritten();
    const Status fine = check(*said);
    if (fine.ok()) return *said;
    std::fprintf(stderr, "  %s\n", fine.error().message.c_str());
  }
  GF_CHECK_OK(check(answer));
  return answer;
}

Status CheckName(const std::string& name) {
  if (!name.empty() && name.find("${{") == std::string::npos &&
      name.find_first_of("\n\r\t") == std::string::npos)
    return Ok();
  return InvalidError("a pipeline's name is one line of text without '${{'");
}

// Whether a line of the .gitignore already covers stores.
bool IgnoresStores(const fs::path& file) {
  const auto text = ReadFile(file, 1 << 20);
  if (!text.ok()) return false;
  for (const auto line : Split(*text, '\n')) {
    std::string_view rule = Trim(line);
    if (rule.starts_with("**/")) rule.remove_prefix(3);
    if (rule.starts_with("/")) rule.remove_prefix(1);
    if (rule.ends_with("/")) rule.remove_suffix(1);
    if (rule == ".genflow") return true;
  }
  return false;
}

// Adds ".genflow/" to the folder's .gitignore where a git repository begins in the folder or above, unless
// one on the way there has it. Whether it did.
Result<bool> IgnoreStore(const fs::path& folder) {
  std::error_code ec;
  const fs::path start = fs::canonical(folder, ec);
  if (ec) return ErrnoError(folder.string(), ec.value());
  for (fs::path at = start;; at = at.parent_path()) {
    if (IgnoresStores(at / ".gitignore")) return false;
    if (fs::exists(at / ".git", ec)) break;
    if (at == at.parent_path()) return false;
  }
  const fs::path file = folder / ".gitignore";
  std::string text;
  if (fs::exists(file, ec)) {
    GF_TRY(text, ReadFile(file, 1 << 20));
    if (!text.empty() && !text.ends_with('\n')) text += '\n';
  }
  GF_CHECK_OK(WriteFileAtomic(file, text + ".genflow/\n"));
  return true;
}

// What init has made or left.
struct Outcome {
  std::vector<std::string> written, kept;
  bool valid = false;
  size_t stages = 0;
  std::vector<Diagnostic> diagnostics;
};

Result<InitAnswers> Answers(const Options& options, const fs::path& folder, bool ask, bool* write_examples) {
  InitAnswers answers;
  const std::string nearby = NearbyModel(fs::exists(folder) ? folder : fs::path("."));
  answers.template_name = options.template_name;
  if (answers.template_name.empty()) {
    const std::string fallback = options.base.empty() && nearby.empty() ? "exec" : "finetune";
    if (ask) {
      GF_TRY(answers.template_name, AskTemplate(fallback));
    } else {
      answers.template_name = fallback;
    }
  }
  GF_CHECK_OK(CheckTemplate(answers.template_name));
  const InitTemplate& chosen = *FindInitTemplate(answers.template_name);
  if (!options.base.empty() && !chosen.needs_base)
    return InvalidError("the template '" + answers.template_name + "' takes no --base");
  if (!options.data.empty() && !chosen.needs_data)
    return InvalidError("the template '" + answers.template_name + "' takes no --data");
  GF_TRY(answers.name, Answer(options.name, ask, "Name of the pipeline", NameOf(folder), CheckName));
  if (chosen.needs_base) {
    GF_TRY(const auto base, Answer(options.base, ask, "Base model (a .gguf file or a Hugging Face folder)",
                                   nearby, CheckBase));
    answers.base = SeenFrom(folder, base);
  }
  if (chosen.needs_data) {
    GF_TRY(const auto data,
           Answer(options.data, ask, "Data (files, or a pattern; nothing: examples are written)", "",
                  [](const std::string& pattern) -> Status {
                    if (pattern.empty()) return Ok();
                    GF_TRY(const auto first, FirstFile(pattern));
                    return Ok();
                  }));
    *write_examples = data.empty();
    if (data.empty()) {
      answers.data = kExamplesFile;
    } else {
      answers.data = SeenFrom(folder, data);
      GF_TRY(const auto first, FirstFile(data));
      answers.kind = KindOf(first);
    }
  }
  return answers;
}

Result<Outcome> Write(const InitAnswers& answers, const fs::path& folder, bool write_examples) {
  Outcome out;
  std::error_code ec;
  GF_CHECK_OK(MakeDirectories(folder));
  const auto name = [&](const char* file) { return (folder / file).lexically_normal().string(); };
  if (write_examples) {
    if (fs::exists(folder / kExamplesFile, ec)) {
      out.kept.push_back(name(kExamplesFile));
    } else {
      GF_CHECK_OK(MakeDirectories((folder / kExamplesFile).parent_path()));
      GF_CHECK_OK(WriteFileAtomic(folder / kExamplesFile, ExampleConversations()));
      out.written.push_back(name(kExamplesFile));
    }
  }
  GF_CHECK_OK(WriteFileAtomic(folder / kPipelineFile, RenderInitTemplate(answers)));
  out.written.push_back(name(kPipelineFile));
  GF_TRY(const bool ignored, IgnoreStore(folder));
  if (ignored) out.written.push_back(name(".gitignore"));
  const Catalog catalog = UsableCatalog();
  PipelineOptions pipeline;
  GF_TRY(auto loaded, LoadForUse(pipeline, folder / kPipelineFile, catalog, nullptr));
  out.valid = loaded.pipeline.has_value() && !HasErrors(loaded.diagnostics);
  if (out.valid) out.stages = loaded.pipeline->stages.size();
  out.diagnostics = std::move(loaded.diagnostics);
  return out;
}

int Init(const Options& options) {
  const fs::path folder = options.folder;
  std::error_code ec;
  if (fs::exists(folder, ec) && !fs::is_directory(folder, ec))
    return Report(InvalidError(folder.string() + " is a file; init takes the folder of the new pipeline"));
  const fs::path file = (folder / kPipelineFile).lexically_normal();
  if (fs::exists(file, ec) && !options.force)
    return Report(InvalidError(file.string() + " exists already", "--force writes it anew"));
  const bool ask = !options.yes && CanAsk() && !options.json;
  if (!ask && !options.yes && options.template_name.empty()) {
    return Report(InvalidError("which template? --template is needed where nobody can be asked",
                               "it is one of " + TemplateNames() + "; --yes takes what fits the folder"));
  }
  bool write_examples = false;
  const auto answers = Answers(options, folder, ask && options.template_name.empty(), &write_examples);
  if (!answers.ok()) return Report(answers.error());
  const auto done = Write(*answers, folder, write_examples);
  if (!done.ok()) return Report(done.error());
  if (options.json) {
    std::fputs(DumpPretty({{"template", answers->template_name},
                           {"name", answers->name},
                           {"file", file.string()},
                           {"written", done->written},
                           {"kept", done->kept},
                           {"valid", done->valid},
                           {"stages", done->stages},
                           {"diagnostics", DiagnosticsToJson(done->diagnostics)}})
                   .c_str(),
               stdout);
    return done->valid ? kExitOk : kExitFailed;
  }
  for (const auto& name : done->written) std::printf("wrote %s\n", name.c_str());
  for (const auto& name : done->kept) std::printf("kept %s, which was there\n", name.c_str());
  if (!done->diagnostics.empty())
    std::fputs(RenderDiagnostics(done->diagnostics, {DetectTerminal(STDERR_FILENO).color}).c_str(), stderr);
  if (!done->valid) return kExitFailed;
  const std::string argument = file == kPipelineFile ? "" : " " + file.string();
  std::printf("\n%s is valid (%zu stages). What next:\n  genflow plan%s\n  genflow run%s\n", file.c_str(),
              done->stages, argument.c_str(), argument.c_str());
  return kExitOk;
}

}  // namespace

void AddInitCommand(CLI::App& app, Action& action) {
  CLI::App* init = app.add_subcommand("init", "Write a first pipeline, which is valid as it is");
  auto options = std::make_shared<Options>();
  init->add_option("DIR", options->folder, "Folder of the new pipeline.yaml (default: here)");
  init->add_option("--template", options->template_name, "What to begin with: " + TemplateNames())
      ->type_name("TEMPLATE");
  init->add_option("--name", options->name, "Name of the pipeline (default: the folder's)");
  init->add_option("--base", options->base, "The base model: a .gguf file or a Hugging Face folder")
      ->type_name("PATH");
  init->add_option("--data", options->data, "Files to read; without it a few examples are written")
      ->type_name("PATTERN");
  init->add_flag("-y,--yes", options->yes, "Ask nothing: take what fits for all that is not given");
  init->add_flag("--force", options->force, "Write pipeline.yaml anew where there is one");
  init->add_flag("--json", options->json, "What was written, as JSON on stdout; asks nothing");
  init->footer(
      "Examples:\n"
      "  genflow init\n"
      "  genflow init my-model --template finetune --base model.gguf\n"
      "  genflow init --template exec --yes");
  init->callback([&action, options] { action = [options] { return Init(*options); }; });
}

}  // namespace genflow::cli
