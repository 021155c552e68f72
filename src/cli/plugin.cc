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
  std::error_code ec;
  if (!std::filesystem::exists(file, ec))
    return Report(MakeError(Code::kNotFound, file + ": there is no such file"));
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
  plugin->footer("Example:\n  genflow plugin describe build/my_plugin.so");
  CLI::App* describe = plugin->add_subcommand("describe", "Write the manifest that stands beside a plugin");
  auto file = std::make_shared<std::string>(), output = std::make_shared<std::string>();
  describe->add_option("PLUGIN", *file, "The plugin's .so file")->required();
  describe
      ->add_option("-o,--output", *output,
                   "Where to write; '-' is standard output (default: PLUGIN with .json)")
      ->type_name("FILE");
  describe->footer("Example:\n  genflow plugin describe build/my_plugin.so -o -");
  describe->callback(
      [&action, file, output] { action = [file, output] { return Describe(*file, *output); }; });
}

}  // namespace genflow::cli
