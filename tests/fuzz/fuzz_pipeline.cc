// Any text as a pipeline file: it gives a pipeline, or diagnostics that can be shown.
#include <cstdlib>

#include "config/pipeline.h"
#include "unit/config/catalog.h"

namespace {
constexpr char kSecret[] = "hunter2";
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace genflow;
  static const Catalog catalog = TestCatalog();
  LoadOptions options;
  options.catalog = &catalog;
  options.env = [](const std::string& name) -> std::optional<std::string> {
    if (name == "HOME") return "/home/u";
    return std::nullopt;
  };
  options.secrets = [](const std::string& name) -> std::optional<std::string> {
    if (name == "TOKEN") return kSecret;
    return std::nullopt;
  };
  options.secret_salt = "salt";
  const std::string text(reinterpret_cast<const char*>(data), size);
  // A file that has them is read with a profile in force, and as one that others use.
  if (text.find("profiles:") != std::string::npos) options.profiles = {"ci"};
  options.inputs_allowed = text.find("inputs:") != std::string::npos;
  const LoadResult result = ParsePipeline(text, "flows/pipeline.yaml", options);
  const std::string shown = RenderDiagnostics(result.diagnostics);
  if (!result.pipeline && shown.empty()) std::abort();
  // A secret is told by nobody but the file itself.
  if (text.find(kSecret) == std::string::npos && shown.find(kSecret) != std::string::npos) std::abort();
  if (result.pipeline) {
    for (const StageSpec& stage : result.pipeline->stages) (void)KeyParams(stage);
  }
  return 0;
}
