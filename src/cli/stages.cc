// `genflow stages`: what stages there are.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "base/files.h"
#include "base/strings.h"
#include "cli/commands.h"
#include "cli/errors.h"
#include "cli/json_output.h"
#include "cli/pager.h"
#include "cli/stage_reference.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "cli/workspace.h"

namespace genflow::cli {

namespace {

struct Options {
  std::string stage, output;
  bool json = false, no_pager = false;
};

nlohmann::json ToJson(const StageInfo& stage) {
  nlohmann::json params = nlohmann::json::array(), inputs = nlohmann::json::array(),
                 outputs = nlohmann::json::array();
  for (const auto& param : stage.params) {
    nlohmann::json entry = {
        {"name", param.name},     {"type", ParamTypeName(param.type)}, {"required", param.required},
        {"secret", param.secret}, {"volatile", param.is_volatile},     {"doc", param.doc}};
    if (param.default_value) entry["default"] = *param.default_value;
    if (param.min) entry["min"] = *param.min;
    if (param.max) entry["max"] = *param.max;
    if (!param.choices.empty()) entry["choices"] = param.choices;
    params.push_back(std::move(entry));
  }
  const auto ports = [](const std::vector<PortInfo>& from, nlohmann::json& to) {
    for (const auto& port : from) {
      to.push_back({{"name", port.name},
                    {"type", port.type},
                    {"optional", port.optional},
                    {"many", port.many},
                    {"doc", port.doc}});
    }
  };
  ports(stage.inputs, inputs);
  ports(stage.outputs, outputs);
  return {{"name", stage.name},
          {"version", stage.version},
          {"summary", stage.summary},
          {"doc", stage.doc},
          {"plugin", stage.plugin_name},
          {"file", stage.plugin_file.string()},
          {"digest", stage.plugin_digest},
          {"params", params},
          {"inputs", inputs},
          {"outputs", outputs}};
}

int List(const Options& options) {
  const Catalog catalog = UsableCatalog();
  if (options.json) {
    nlohmann::json out = nlohmann::json::array();
    for (const auto& stage : catalog.stages()) out.push_back(ToJson(stage));
    out.push_back(ToJson(ExecInfo()));
    std::fputs(DumpPretty(out).c_str(), stdout);
    return kExitOk;
  }
  Table table({"stage", "version", "summary"});
  for (const auto& stage : catalog.stages()) table.Add({stage.name, stage.version, stage.summary});
  const StageInfo exec = ExecInfo();
  table.Add({exec.name, "", exec.summary});
  table.Fit(RoomForTables(), {"version"}, {"summary"});
  ShowText(table.Render("", DetectTerminal(STDOUT_FILENO).color), options.no_pager);
  return kExitOk;
}

int Show(const Options& options) {
  const Catalog catalog = UsableCatalog();
  StageInfo stage = ExecInfo();
  if (options.stage != stage.name) {
    auto found = FindStageInfo(catalog, options.stage);
    if (!found.ok()) return Report(found.error());
    stage = **found;
  }
  if (options.json)
    std::fputs(DumpPretty(ToJson(stage)).c_str(), stdout);
  else
    ShowText(DescribeStage(stage, DetectTerminal(STDOUT_FILENO).color), options.no_pager);
  return kExitOk;
}

int Reference(const Options& options) {
  const Catalog catalog = UsableCatalog();
  if (catalog.stages().empty())
    return Report(MakeError(Code::kNotFound, "no plugins were found", "build them first"));
  for (const auto& [name, text] : ReferencePages(catalog)) {
    const auto file = std::filesystem::path(options.output) / name;
    if (auto made = MakeDirectories(options.output); !made.ok()) return Report(made.error());
    if (auto written = WriteFileAtomic(file, text); !written.ok()) return Report(written.error());
    std::printf("%s\n", file.c_str());
  }
  return kExitOk;
}

}  // namespace

void AddStagesCommand(CLI::App& app, Action& action) {
  CLI::App* stages = app.add_subcommand("stages", "List stages, show one, run one by hand");
  stages->require_subcommand(1);
  stages->footer("Examples:\n  genflow stages ls\n  genflow stages show train.lora");
  auto options = std::make_shared<Options>();

  CLI::App* list = stages->add_subcommand("ls", "List every stage that can be used");
  list->add_flag("--json", options->json, "JSON on stdout");
  AddPagerOption(*list, &options->no_pager);
  list->footer("Example:\n  genflow stages ls");
  list->callback([&action, options] { action = [options] { return List(*options); }; });

  CLI::App* show = stages->add_subcommand("show", "Show a stage's parameters and ports");
  show->add_option("STAGE", options->stage, "Name of the stage, such as data.read")->required();
  show->add_flag("--json", options->json, "JSON on stdout");
  AddPagerOption(*show, &options->no_pager);
  show->footer("Example:\n  genflow stages show train.lora");
  show->callback([&action, options] { action = [options] { return Show(*options); }; });

  CLI::App* reference =
      stages->add_subcommand("reference", "Write the reference pages as Markdown, one file a plugin");
  reference->add_option("-o,--output", options->output, "Folder to write to")->required()->type_name("DIR");
  reference->footer("Example:\n  genflow stages reference --output docs/reference");
  reference->callback([&action, options] { action = [options] { return Reference(*options); }; });

  AddStagesRunCommand(*stages, action);
}

}  // namespace genflow::cli
