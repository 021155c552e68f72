// Pipeline files that are large, hostile or cut off.
#include <gmock/gmock.h>

#include <ctime>

#include "unit/config/loading.h"

namespace genflow {
namespace {

using ::testing::HasSubstr;

TEST(Pipeline, StopsAtAThousandProblems) {
  std::string text = "stages:\n";
  for (int i = 0; i < 1500; ++i) text += "  s" + std::to_string(i) + ": { uses: nothing }\n";
  const LoadResult result = ParsePipeline(text, "p.yaml", Options());
  EXPECT_EQ(result.diagnostics.size(), 1001u);
  EXPECT_EQ(result.diagnostics[0].message, "there are more problems than the 1000 that are shown");
}

TEST(Pipeline, TenThousandStagesLoadInLinearTime) {
  const auto seconds = [](int n) {
    std::string text = "stages:\n  s0: { uses: data.read, with: { path: x } }\n";
    for (int i = 1; i <= n; ++i) {
      text += "  s" + std::to_string(i) + ": { uses: data.clean, in: { dataset: s" + std::to_string(i - 1) +
              (i == 1 ? ".dataset" : ".train") + " }, with: { drop: [a, b] } }\n";
    }
    const std::clock_t start = std::clock();  // CPU time: others may use the machine
    EXPECT_EQ(Load(text).stages.size(), static_cast<size_t>(n) + 1);
    return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  };
  // Quadratic work would make ten times the stages a hundred times slower.
  EXPECT_LT(seconds(10'000), 40 * seconds(1'000) + 0.2);
}

TEST(Pipeline, HostileFilesEndQuickly) {
  std::string bomb = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n";
  std::string chain = "a0: &a0 [x]\n";
  for (int i = 1; i < 2000; ++i) {
    const std::string before = "*a" + std::to_string(i - 1), name = "a" + std::to_string(i);
    if (i < 15) {
      bomb += name + ": &" + name + " [";
      for (int k = 0; k < 9; ++k) bomb += (k > 0 ? ", " : "") + before;
      bomb += "]\n";
    }
    chain += name + ": &" + name + " [" + before + "]\n";
  }
  EXPECT_THAT(RenderDiagnostics(ParsePipeline(bomb, "p.yaml", Options()).diagnostics),
              HasSubstr("p.yaml:7:40: error: the aliases of this file unfold to more than 16 MiB\n"));
  EXPECT_THAT(RenderDiagnostics(ParsePipeline(chain, "p.yaml", Options()).diagnostics),
              HasSubstr("p.yaml:64:12: error: values are nested more than 64 levels deep\n"));
  EXPECT_THAT(
      RenderDiagnostics(ParsePipeline("a: " + std::string(1 << 20, '['), "p.yaml", Options()).diagnostics),
      HasSubstr("error: values are nested more than 64 levels deep\n"));

  std::string doubling = "params:\n  p0: '" + std::string(1000, 'x') + "'\n";
  for (int i = 1; i < 30; ++i) {
    const std::string before = "params.p" + std::to_string(i - 1);
    doubling += "  p" + std::to_string(i) + ": ${{ " + before + " }}${{ " + before + " }}\n";
  }
  EXPECT_THAT(RenderDiagnostics(ParsePipeline(doubling, "p.yaml", Options()).diagnostics),
              HasSubstr("error: the expressions of this file give more than 64 MiB of values\n"));
}

// Whatever is cut off, the answer is a pipeline or a message, and never a crash.
TEST(Pipeline, EveryPrefixOfAFileIsHandled) {
  const std::string text = kDesign;
  for (size_t size = 0; size < text.size(); ++size) {
    const LoadResult result = ParsePipeline(text.substr(0, size), "p.yaml", Options());
    EXPECT_EQ(result.pipeline.has_value(), !HasErrors(result.diagnostics)) << size;
  }
}

}  // namespace
}  // namespace genflow
