// `genflow stages run`: one stage without a pipeline or a store.
#include <glob.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/files.h"
#include "base/strings.h"
#include "cli/commands.h"
#include "cli/errors.h"
#include "cli/pipeline_options.h"
#include "cli/workspace.h"
#include "host/stage_runner.h"

namespace genflow::cli {

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// Prints report lines as a person reads them.
class ConsoleSink : public ReportSink {
 public:
  void Report(const json& line) override {
    const std::string t = line.at("t");
    if (t == "progress") {
      std::fprintf(stderr, "%s/%s %s %s\n", line["done"].dump().c_str(), line["total"].dump().c_str(),
                   line["unit"].get<std::string>().c_str(), line.value("msg", "").c_str());
    } else if (t == "metric") {
      std::fprintf(stderr, "%s[%s] = %s\n", line["name"].get<std::string>().c_str(),
                   line["step"].dump().c_str(), line["value"].dump().c_str());
    } else if (t == "log") {
      std::fprintf(stderr, "%s: %s\n", line["level"].get<std::string>().c_str(),
                   line["text"].get<std::string>().c_str());
    } else if (t == "summary") {
      std::printf("%s\n", line["text"].get<std::string>().c_str());
    } else if (t == "fail") {
      std::fprintf(stderr, "error: %s\n", line["message"].get<std::string>().c_str());
      if (!line.value("hint", "").empty())
        std::fprintf(stderr, "  hint: %s\n", line["hint"].get<std::string>().c_str());
    }
  }
};

// Puts `value` at a dotted name of a nested object unless something is there.
void SetDefault(json& params, std::string_view dotted, const json& value) {
  json* at = &params;
  const auto parts = Split(dotted, '.');
  for (size_t i = 0; i + 1 < parts.size(); ++i) {
    at = &(*at)[std::string(parts[i])];
    if (!at->is_object() && !at->is_null()) return;  // the stage refuses it
  }
  json& leaf = (*at)[std::string(parts.back())];
  if (leaf.is_null()) leaf = value;
}

// Expands a files parameter in place: globs become sorted absolute paths.
Status ExpandFiles(json& params, const std::string& name) {
  json* at = &params;
  for (const auto part : Split(name, '.')) {
    if (!at->is_object() || !at->contains(std::string(part))) return Ok();
    at = &(*at)[std::string(part)];
  }
  std::vector<std::string> patterns;
  const json list = at->is_array() ? *at : json::array({*at});
  for (const auto& item : list) {
    if (!item.is_string())
      return InvalidError("--with: " + name + " is " + at->dump(), "expected a glob or a list of globs");
    patterns.push_back(item.get<std::string>());
  }
  json out = json::array();
  for (const auto& pattern : patterns) {
    glob_t found{};
    if (::glob(fs::absolute(pattern).c_str(), GLOB_BRACE, nullptr, &found) == 0) {
      for (size_t i = 0; i < found.gl_pathc; ++i) out.push_back(found.gl_pathv[i]);
    }
    ::globfree(&found);
  }
  *at = out;
  return Ok();
}

std::string PortNames(const std::vector<PortInfo>& ports) {
  std::vector<std::string> names;
  for (const auto& port : ports) names.push_back(port.name);
  return Join(names, ", ");
}

struct RunOptions {
  std::string stage, with = "{}", out = "out";
  std::vector<std::string> inputs;
  int threads = 0;
};

int RunByHand(const RunOptions& options) {
  if (options.stage == kExecStage)
    return Report(InvalidError("exec has no ports of its own, so it runs only in a pipeline",
                               "its text is bash: a shell runs it by hand"));
  const Catalog catalog = UsableCatalog();
  auto stage = FindStageInfo(catalog, options.stage);
  if (!stage.ok()) return Report(stage.error());
  StageRequest request;
  request.plugin = (*stage)->plugin_file.string();
  request.plugin_digest = (*stage)->plugin_digest;
  request.stage = options.stage;
  request.params = json::parse(options.with, nullptr, false);
  if (!request.params.is_object())
    return Report(
        InvalidError("--with is not a JSON object: " + options.with, "write --with '{\"name\": \"value\"}'"));
  for (const auto& param : (*stage)->params) {
    if (param.default_value) SetDefault(request.params, param.name, *param.default_value);
    if (param.type != ParamType::kFiles) continue;
    if (auto expanded = ExpandFiles(request.params, param.name); !expanded.ok())
      return Report(expanded.error());
  }
  std::error_code ec;
  for (const auto& text : options.inputs) {
    const size_t equals = text.find('=');
    const std::string port = text.substr(0, equals);
    const PortInfo* info = (*stage)->FindInput(port);
    if (equals == std::string::npos || info == nullptr) {
      const std::string inputs = PortNames((*stage)->inputs);
      return Report(InvalidError(
          "--in " + text + ": " + options.stage + " has no input '" + port + "'",
          inputs.empty() ? "it has no inputs" : "write --in PORT=PATH; its inputs are " + inputs));
    }
    const fs::path path = fs::absolute(text.substr(equals + 1), ec);
    if (!fs::exists(path, ec))
      return Report(MakeError(Code::kNotFound, "--in " + text + ": there is no such file or folder"));
    request.inputs.push_back({port, info->type, path.string(), "", "by hand"});
  }
  const fs::path out = fs::absolute(options.out, ec);
  for (const auto& port : (*stage)->outputs) {
    const fs::path path = out / port.name;
    if (fs::exists(fs::symlink_status(path, ec)))
      return Report(
          InvalidError(path.string() + ": exists already", "remove it, or give another folder with --out"));
    request.outputs[port.name] = path.string();
  }
  request.state_dir = (out / ".state").string();
  request.scratch_dir = (out / ".scratch").string();
  for (const auto& folder : {request.state_dir, request.scratch_dir}) {
    if (auto made = MakeDirectories(folder); !made.ok()) return Report(made.error());
  }
  request.threads =
      options.threads > 0 ? options.threads : static_cast<int>(std::thread::hardware_concurrency());
  request.info = {
      {"run_id", "by-hand"}, {"stage", options.stage}, {"pipeline", ""}, {"attempt", 1}, {"key", ""}};
  std::signal(SIGINT, [](int) { RequestStop(); });
  std::signal(SIGTERM, [](int) { RequestStop(); });
  ConsoleSink sink;
  const int outcome = RunStage(request, sink);
  std::fflush(nullptr);
  ::_exit(outcome);
}

}  // namespace

void AddStagesRunCommand(CLI::App& stages, Action& action) {
  CLI::App* run =
      stages.add_subcommand("run", "Run one stage on given inputs, without a pipeline or a store");
  auto options = std::make_shared<RunOptions>();
  run->add_option("STAGE", options->stage, "Name of the stage, such as data.read")->required();
  run->add_option("--with", options->with, "Parameters as a JSON object")->type_name("JSON");
  run->add_option("--in", options->inputs, "An input artifact; may be repeated")
      ->type_name("PORT=PATH")
      ->allow_extra_args(false);
  run->add_option("--out", options->out, "Folder for the outputs: DIR/<port>")
      ->type_name("DIR")
      ->capture_default_str();
  run->add_option("--threads", options->threads, "CPU threads (default: all)")->check(AtLeastOne());
  run->footer(
      "Example:\n"
      "  genflow stages run data.read --with '{\"path\": \"data/*.jsonl\"}' --out pages");
  run->callback([&action, options] { action = [options] { return RunByHand(*options); }; });
}

}  // namespace genflow::cli
