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
  for (size_t i = 0; i + 1 < parts.size(); ++i) at = &(*at)[std::string(parts[i])];
  json& leaf = (*at)[std::string(parts.back())];
  if (leaf.is_null()) leaf = value;
}

// Expands a files parameter in place: globs become sorted absolute paths.
void ExpandFiles(json& params, const std::string& name) {
  json* at = &params;
  for (const auto part : Split(name, '.')) {
    if (!at->is_object() || !at->contains(std::string(part))) return;
    at = &(*at)[std::string(part)];
  }
  std::vector<std::string> patterns = at->is_string() ? std::vector<std::string>{at->get<std::string>()}
                                                      : at->get<std::vector<std::string>>();
  json out = json::array();
  for (const auto& pattern : patterns) {
    glob_t found{};
    if (::glob(fs::absolute(pattern).c_str(), GLOB_BRACE, nullptr, &found) == 0) {
      for (size_t i = 0; i < found.gl_pathc; ++i) out.push_back(found.gl_pathv[i]);
    }
    ::globfree(&found);
  }
  *at = out;
}

struct RunOptions {
  std::string stage, with = "{}", out = "out";
  std::vector<std::string> inputs;
  int threads = 0;
};

int RunByHand(const RunOptions& options) {
  const Catalog catalog = UsableCatalog();
  auto stage = FindStageInfo(catalog, options.stage);
  if (!stage.ok()) return Report(stage.error());
  StageRequest request;
  request.plugin = (*stage)->plugin_file.string();
  request.plugin_digest = (*stage)->plugin_digest;
  request.stage = options.stage;
  request.params = json::parse(options.with, nullptr, false);
  if (!request.params.is_object())
    return Report(InvalidError("--with is not a JSON object: " + options.with));
  for (const auto& param : (*stage)->params) {
    if (param.default_value) SetDefault(request.params, param.name, *param.default_value);
    if (param.type == ParamType::kFiles) ExpandFiles(request.params, param.name);
  }
  std::error_code ec;
  for (const auto& text : options.inputs) {
    const size_t equals = text.find('=');
    const std::string port = text.substr(0, equals);
    const PortInfo* info = (*stage)->FindInput(port);
    if (equals == std::string::npos || info == nullptr) {
      return Report(
          InvalidError("--in " + text + ": " + options.stage + " has no such input", "write --in PORT=PATH"));
    }
    request.inputs.push_back(
        {port, info->type, fs::absolute(text.substr(equals + 1), ec).string(), "", "by hand"});
  }
  const fs::path out = fs::absolute(options.out, ec);
  for (const auto& port : (*stage)->outputs) {
    const fs::path path = out / port.name;
    if (auto removed = RemoveTree(path); !removed.ok()) return Report(removed.error());
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
  run->add_option("--with", options->with, "Parameters as a JSON object");
  run->add_option("--in", options->inputs, "PORT=PATH of an input artifact; may be repeated");
  run->add_option("--out", options->out, "Folder for the outputs: DIR/<port>")->capture_default_str();
  run->add_option("--threads", options->threads, "CPU threads (default: all)");
  run->callback([&action, options] { action = [options] { return RunByHand(*options); }; });
}

}  // namespace genflow::cli
