// `genflow validate`: every error of a pipeline file at once.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "base/strings.h"
#include "cli/ci_reports.h"
#include "cli/commands.h"
#include "cli/errors.h"
#include "cli/json_output.h"
#include "cli/pipeline_options.h"
#include "cli/terminal.h"

namespace genflow::cli {

namespace {

int Validate(const PipelineOptions& options, bool json, const std::string& code_quality) {
  CiOptions ci;
  ci.code_quality = code_quality;
  if (const auto safe = CheckReportFiles(ci, options); !safe.ok()) return Report(safe.error());
  auto file = PipelineFile(options);
  if (!file.ok()) return Report(file.error());
  const Catalog catalog = UsableCatalog();
  auto loaded = LoadForUse(options, *file, catalog, nullptr);
  if (!loaded.ok()) return Report(loaded.error());
  const bool valid = loaded->pipeline.has_value() && !HasErrors(loaded->diagnostics);
  RunOutcome outcome;
  outcome.file = *file;
  if (valid) outcome.pipeline = loaded->pipeline->name;
  outcome.diagnostics = loaded->diagnostics;
  const auto end = [&] { return WriteCiDiagnostics(code_quality, outcome, valid ? kExitOk : kExitUsage); };
  if (json) {
    nlohmann::json out = {
        {"file", file->string()}, {"valid", valid}, {"diagnostics", DiagnosticsToJson(loaded->diagnostics)}};
    if (valid) out["stages"] = loaded->pipeline->stages.size();
    std::fputs(DumpPretty(out).c_str(), stdout);
    return end();
  }
  if (!loaded->diagnostics.empty()) {
    std::fputs(RenderDiagnostics(loaded->diagnostics, {DetectTerminal(STDERR_FILENO).color}).c_str(), stderr);
  }
  if (valid) {
    std::printf("%s: valid (%s)\n", file->c_str(), Counted(loaded->pipeline->stages.size(), "stage").c_str());
  }
  return end();
}

}  // namespace

void AddValidateCommand(CLI::App& app, Action& action) {
  CLI::App* validate = app.add_subcommand("validate", "Check a pipeline file; reports every error at once");
  auto options = std::make_shared<PipelineOptions>();
  auto json = std::make_shared<bool>(false);
  auto code_quality = std::make_shared<std::string>();
  AddPipelineOptions(*validate, *options);
  options->inputs_allowed = true;
  validate->add_flag("--json", *json, "Diagnostics as JSON on stdout");
  validate->add_option("--code-quality", *code_quality, "Write diagnostics as a GitLab code quality report")
      ->type_name("FILE")
      ->check(NamesFile());
  validate->footer("Example:\n  genflow validate pipelines/quickstart.yaml");
  validate->callback([&action, options, json, code_quality] {
    action = [options, json, code_quality] { return Validate(*options, *json, *code_quality); };
  });
}

}  // namespace genflow::cli
