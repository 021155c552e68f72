// Command-line options that several commands have in common.
#pragma once

#include <CLI/CLI.hpp>

#include "cli/workspace.h"

namespace genflow::cli {

// For options that count something.
inline CLI::Validator AtLeastOne() {
  return CLI::Validator(
      [](const std::string& text) {
        const bool digits =
            !text.empty() && text.size() <= 9 && text.find_first_not_of("0123456789") == std::string::npos;
        return digits && text.find_first_not_of('0') != std::string::npos
                   ? std::string()
                   : text + " is not a number from 1 up";
      },
      "N");
}

inline void AddPipelineOptions(CLI::App& command, PipelineOptions& options) {
  command.add_option("PIPELINE", options.file, "The pipeline file (default: pipeline.yaml)");
  command
      .add_option("-p,--param", options.params,
                  "NAME=VALUE: sets a parameter of the pipeline; may be repeated")
      ->allow_extra_args(false);
  command.add_option("--params-file", options.params_file,
                     "YAML or JSON file of parameters; -p wins over it");
  command.add_option("--secrets-file", options.secrets_file,
                     "File of NAME=VALUE lines that only you can read");
}

inline void AddStoreOption(CLI::App& command, std::string& store) {
  command.add_option("--store", store,
                     "The run store (default: .genflow beside the pipeline, or $GENFLOW_STORE)");
}

}  // namespace genflow::cli
