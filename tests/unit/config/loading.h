// The design's pipeline, and how the tests load it.
#pragma once

#include <gtest/gtest.h>

#include "config/pipeline.h"
#include "unit/config/catalog.h"

namespace genflow {

inline const Catalog& TheCatalog() {
  static const Catalog catalog = TestCatalog();
  return catalog;
}

inline LoadOptions Options() {
  LoadOptions options;
  options.catalog = &TheCatalog();
  options.env = [](const std::string& name) -> std::optional<std::string> {
    if (name == "HOME") return "/home/u";
    if (name == "ROWS") return "12";
    return std::nullopt;
  };
  options.secrets = [](const std::string& name) -> std::optional<std::string> {
    if (name == "TOKEN") return "hunter2";
    return std::nullopt;
  };
  options.secret_salt = "salt";
  return options;
}

inline Pipeline Load(const std::string& text, const LoadOptions& options = Options()) {
  LoadResult result = ParsePipeline(text, "flows/pipeline.yaml", options);
  EXPECT_EQ(RenderDiagnostics(result.diagnostics), "");
  return result.pipeline ? *std::move(result.pipeline) : Pipeline{};
}

inline constexpr char kDesign[] = R"(name: linux-helper
params:
  base: smollm2-135m          # overridable: -p base=...
  epochs: 2
defaults: { retries: 1, timeout: 30m }
stages:
  base:
    uses: model.import
    with: { path: "${{ params.base }}" }
  pages:
    uses: data.read
    with: { path: data/*.jsonl }
  clean:
    uses: data.clean
    in: { dataset: pages.dataset }
  tune:
    uses: train.lora
    in: { dataset: clean.train, model: base.model }
    with: { lora: { r: 16, target_modules: all-linear }, epochs: "${{ params.epochs }}" }
    resources: { gpus: 0..1, memory: 8G }
  quality:
    uses: eval.perplexity
    in: { model: base.model, adapter: tune.adapter, dataset: clean.test }
  gate:
    uses: gate.metrics
    in: { report: quality.report }
    with: { require: ["perplexity < baseline.perplexity * 0.9"] }
)";

}  // namespace genflow
