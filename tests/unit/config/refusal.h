// What a user reads about a pipeline file.
#pragma once

#include <gtest/gtest.h>

#include "config/pipeline.h"
#include "unit/config/catalog.h"

namespace genflow {

// Everything that is said about a pipeline file, behind a line break that makes the texts below readable.
inline std::string Refusal(const std::string& text,
                           std::vector<std::pair<std::string, std::string>> overrides = {},
                           const std::string& params_file = {}) {
  const Catalog catalog = TestCatalog();
  LoadOptions options;
  options.catalog = &catalog;
  options.overrides = std::move(overrides);
  if (!params_file.empty()) options.param_files = {ParseParamsFile(params_file, "params.yaml")};
  options.env = [](const std::string& name) -> std::optional<std::string> {
    if (name == "BAD") return "${{ secrets.TOKEN }}";
    return std::nullopt;
  };
  options.secrets = [](const std::string& name) -> std::optional<std::string> {
    if (name == "TOKEN") return "hunter2";
    return std::nullopt;
  };
  const LoadResult result = ParsePipeline(text, "pipeline.yaml", options);
  EXPECT_FALSE(result.pipeline.has_value());
  return "\n" + RenderDiagnostics(result.diagnostics);
}

}  // namespace genflow
