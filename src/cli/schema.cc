// `genflow schema` and `genflow version`.
#include "config/schema.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "base/files.h"
#include "cli/commands.h"
#include "cli/errors.h"
#include "cli/json_output.h"
#include "cli/version.h"
#include "cli/workspace.h"
#include "genflow/plugin.h"

namespace genflow::cli {

void AddSchemaCommand(CLI::App& app, Action& action) {
  CLI::App* schema = app.add_subcommand("schema", "Print the JSON Schema of pipeline files, for editors");
  auto output = std::make_shared<std::string>();
  schema->add_option("-o,--output", *output, "File to write instead of stdout")->type_name("FILE");
  schema->footer(
      "Example:\n"
      "  genflow schema -o .genflow/schema.json\n"
      "and as first line of a pipeline:\n"
      "  # yaml-language-server: $schema=.genflow/schema.json");
  schema->callback([&action, output] {
    action = [output] {
      const std::string text = DumpPretty(PipelineJsonSchema(UsableCatalog()));
      if (output->empty()) {
        std::fputs(text.c_str(), stdout);
        return kExitOk;
      }
      if (auto written = WriteFileAtomic(*output, text); !written.ok()) return Report(written.error());
      return kExitOk;
    };
  });
}

void AddVersionCommand(CLI::App& app, Action& action) {
  CLI::App* version = app.add_subcommand("version", "Print the version");
  auto json = std::make_shared<bool>(false);
  version->add_flag("--json", *json, "JSON on stdout");
  version->footer("Example:\n  genflow version --json");
  version->callback([&action, json] {
    action = [json] {
      if (*json)
        std::fputs(
            DumpPretty(
                {{"version", kVersion}, {"abi_major", GENFLOW_ABI_MAJOR}, {"abi_minor", GENFLOW_ABI_MINOR}})
                .c_str(),
            stdout);
      else
        std::printf("genflow %s\n", kVersion);
      return kExitOk;
    };
  });
}

}  // namespace genflow::cli
