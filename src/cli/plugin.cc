// `genflow plugin describe`: writes the manifest of a plugin.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>

#include "base/files.h"
#include "cli/commands.h"
#include "cli/errors.h"
#include "host/plugin_file.h"

namespace genflow::cli {

namespace {

int Describe(const std::string& file, std::string output) {
  auto plugin = DescribePlugin(file);
  if (!plugin.ok()) return Report(plugin.error());
  const std::string text = ManifestToJson(*plugin);
  if (output == "-") {
    std::fputs(text.c_str(), stdout);
    return kExitOk;
  }
  if (output.empty()) output = std::filesystem::path(file).replace_extension(".json").string();
  if (auto written = WriteFileAtomic(output, text); !written.ok()) return Report(written.error());
  return kExitOk;
}

}  // namespace

void AddPluginCommand(CLI::App& app, Action& action) {
  CLI::App* plugin = app.add_subcommand("plugin", "Work on stage plugins");
  plugin->require_subcommand(1);
  CLI::App* describe = plugin->add_subcommand("describe", "Write the manifest that stands beside a plugin");
  auto file = std::make_shared<std::string>(), output = std::make_shared<std::string>();
  describe->add_option("PLUGIN", *file, "The plugin's .so file")->required();
  describe->add_option("-o,--output", *output,
                       "Where to write; '-' is standard output (default: PLUGIN with .json)");
  describe->callback(
      [&action, file, output] { action = [file, output] { return Describe(*file, *output); }; });
}

}  // namespace genflow::cli
