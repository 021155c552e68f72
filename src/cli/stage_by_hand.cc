// `genflow stages run`: one stage without a pipeline or a store.
#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/files.h"
#include "base/strings.h"
#include "cli/commands.h"
#include "cli/errors.h"
#include "cli/json_output.h"
#include "cli/pipeline_options.h"
#include "cli/terminal.h"
#include "cli/workspace.h"
#include "genflow/plugin.h"
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

// Prints them as they are, one a line, to what was standard output: from here on, what the stage itself
// prints goes to standard error.
class JsonSink : public ReportSink {
 public:
  JsonSink() : fd_(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)) { ::dup2(STDERR_FILENO, STDOUT_FILENO); }
  void Report(const json& line) override {
    if (!WriteAll(fd_.get(), Dump(line) + "\n").ok()) RequestStop();
  }

 private:
  Fd fd_;
};

struct RunOptions {
  std::string stage, with, out = "out";
  std::vector<std::string> inputs;
  int threads = 0;
  bool json = false;
};

// The values of the parameters, or nothing after diagnostics were shown.
std::optional<json> ReadParams(const StageInfo& stage, const RunOptions& options) {
  LoadOptions load;
  load.secrets_in_clear = true;
  LoadResult read = ParseStageParams(options.with, "--with", stage, load);
  if (read.pipeline) read.diagnostics = ResolveFiles(&*read.pipeline);
  if (!read.diagnostics.empty()) {
    if (options.json) {
      const json line = {{"t", "diagnostics"}, {"diagnostics", DiagnosticsToJson(read.diagnostics)}};
      std::printf("%s\n", Dump(line).c_str());
    } else {
      const bool color = DetectTerminal(STDERR_FILENO).color;
      std::fputs(RenderDiagnostics(read.diagnostics, {color}).c_str(), stderr);
    }
    return std::nullopt;
  }
  const auto& secrets = read.pipeline->secrets;
  auto params = SubstitutePlaceholders(
      read.pipeline->stages[0].with,
      [&](const Placeholder& p) -> Result<std::string> { return secrets.at(p.name).Reveal(); });
  return *std::move(params);
}

std::string PortNames(const std::vector<PortInfo>& ports) {
  std::vector<std::string> names;
  names.reserve(ports.size());
  for (const auto& port : ports) names.push_back(port.name);
  return Join(names, ", ");
}

// The artifacts given with --in.
Result<std::vector<StageInput>> ReadInputs(const StageInfo& stage, const RunOptions& options) {
  std::vector<StageInput> out;
  std::set<std::string> given;
  std::error_code ec;
  for (const auto& text : options.inputs) {
    const size_t equals = text.find('=');
    const std::string port = text.substr(0, equals);
    const PortInfo* info = stage.FindInput(port);
    if (equals == std::string::npos || info == nullptr) {
      const std::string inputs = PortNames(stage.inputs);
      return InvalidError(
          "--in " + text + ": " + stage.name + " has no input '" + port + "'",
          inputs.empty() ? "it has no inputs" : "write --in PORT=PATH; its inputs are " + inputs);
    }
    if (!given.insert(port).second && !info->many)
      return InvalidError("--in " + text + ": '" + port + "' takes one artifact, and has one already");
    const fs::path path = fs::absolute(text.substr(equals + 1), ec);
    if (!fs::exists(path, ec))
      return MakeError(Code::kNotFound, "--in " + text + ": there is no such file or folder");
    out.push_back({port, info->type, path.string(), "", "by hand"});
  }
  for (const auto& port : stage.inputs) {
    if (!port.optional && given.count(port.name) == 0)
      return InvalidError(stage.name + " needs the input '" + port.name + "'",
                          "write --in " + port.name + "=PATH");
  }
  return out;
}

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
  auto params = ReadParams(**stage, options);
  if (!params) return kExitUsage;
  request.params = *std::move(params);
  auto inputs = ReadInputs(**stage, options);
  if (!inputs.ok()) return Report(inputs.error());
  request.inputs = *std::move(inputs);
  std::error_code ec;
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
  if (auto gone = RemoveTree(request.scratch_dir); !gone.ok()) return Report(gone.error());
  for (const auto& folder : {request.state_dir, request.scratch_dir}) {
    if (auto made = MakeDirectories(folder); !made.ok()) return Report(made.error());
  }
  request.threads =
      options.threads > 0 ? options.threads : static_cast<int>(std::thread::hardware_concurrency());
  request.info = {
      {"run_id", "by-hand"}, {"stage", options.stage}, {"pipeline", ""}, {"attempt", 1}, {"key", ""}};
  std::signal(SIGINT, [](int) { RequestStop(); });
  std::signal(SIGTERM, [](int) { RequestStop(); });
  std::unique_ptr<ReportSink> sink = std::make_unique<ConsoleSink>();
  if (options.json) sink = std::make_unique<JsonSink>();
  const int outcome = RunStage(request, *sink);
  (void)RemoveTree(request.scratch_dir).ok();
  // Checkpoints are for the run that continues from them.
  if (outcome == GF_OK || outcome == GF_GATE) (void)RemoveTree(request.state_dir).ok();
  std::fflush(nullptr);
  ::_exit(outcome);
}

}  // namespace

void AddStagesRunCommand(CLI::App& stages, Action& action) {
  CLI::App* run =
      stages.add_subcommand("run", "Run one stage on given inputs, without a pipeline or a store");
  auto options = std::make_shared<RunOptions>();
  run->add_option("STAGE", options->stage, "Name of the stage, such as data.read")->required();
  run->add_option("--with", options->with, "Parameters, as under with: in a pipeline; JSON is YAML, too")
      ->type_name("YAML");
  run->add_option("--in", options->inputs, "An input artifact; may be repeated")
      ->type_name("PORT=PATH")
      ->allow_extra_args(false);
  run->add_option("--out", options->out, "Folder for the outputs: DIR/<port>")
      ->type_name("DIR")
      ->capture_default_str();
  run->add_option("--threads", options->threads, "CPU threads (default: all)")->check(AtLeastOne());
  run->add_flag("--json", options->json, "What the stage reports, as JSON lines on stdout");
  run->footer("Example:\n  genflow stages run data.read --with 'files: data/*.jsonl' --out pages");
  run->callback([&action, options] { action = [options] { return RunByHand(*options); }; });
}

}  // namespace genflow::cli
