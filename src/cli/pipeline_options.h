// Command-line options that several commands have in common.
#pragma once

#include <CLI/CLI.hpp>

#include "cli/workspace.h"

namespace genflow::cli {

// For options that count something.
inline CLI::Validator NumberFrom(int least) {
  return CLI::Validator(
      [least](const std::string& text) {
        const bool digits =
            !text.empty() && text.size() <= 9 && text.find_first_not_of("0123456789") == std::string::npos;
        return digits && std::stoi(text) >= least
                   ? std::string()
                   : text + " is not a number from " + std::to_string(least) + " up";
      },
      "");
}
inline CLI::Validator AtLeastOne() { return NumberFrom(1); }
inline CLI::Validator NotNegative() { return NumberFrom(0); }

inline void AddPipelineOptions(CLI::App& command, PipelineOptions& options) {
  command.add_option("PIPELINE", options.file, "The pipeline file (default: pipeline.yaml)");
  command.add_option("-p,--param", options.params, "Sets a parameter of the pipeline; may be repeated")
      ->type_name("NAME=VALUE")
      ->allow_extra_args(false);
  command
      .add_option("-f,--params-file", options.params_files,
                  "YAML or JSON file of parameters; may be repeated, later ones win, and -p over all")
      ->type_name("FILE")
      ->allow_extra_args(false);
  command
      .add_option("--profile", options.profiles,
                  "Puts a profile of the pipeline in force; may be repeated, later ones win")
      ->type_name("NAME")
      ->allow_extra_args(false);
  command
      .add_option("--secrets-file", options.secrets_file, "File of NAME=VALUE lines that only you can read")
      ->type_name("FILE");
}

inline void AddStoreOption(CLI::App& command, std::string& store) {
  command
      .add_option("--store", store,
                  "The run store (default: .genflow beside the pipeline, or $GENFLOW_STORE)")
      ->type_name("DIR");
}

}  // namespace genflow::cli
