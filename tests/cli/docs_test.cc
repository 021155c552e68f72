// What the documentation shows is what there is.
#include <gtest/gtest.h>

#include "base/files.h"
#include "cli/sandbox.h"

namespace genflow {
namespace {

std::string SourceFile(const std::string& name) {
  auto text = ReadFile(std::filesystem::path(GENFLOW_SOURCE_DIR) / name);
  EXPECT_TRUE(text.ok()) << name;
  return text.ok() ? *text : "";
}

// The block of a page that begins with `first`, without its fences.
std::string Block(const std::string& page, const std::string& first) {
  const std::string text = SourceFile(page);
  const size_t start = text.find("\n" + first);
  const size_t end = start == std::string::npos ? start : text.find("\n```\n", start);
  EXPECT_NE(end, std::string::npos) << page << " has no block that begins with " << first;
  return end == std::string::npos ? "" : text.substr(start + 1, end - start);
}

TEST(Docs, TheReadmesMistakesAreReportedAsItSays) {
  Sandbox box;
  box.Write("p.yaml",
            "name: p\nparams: { n: 3, zz: 1 }\nstages:\n  a:\n    usees: exec\n"
            "    with: { run: \"seq ${{ params.n }}\" }\n");
  const auto result = box.Genflow({"validate", "p.yaml"});
  EXPECT_EQ(result.code, 2);
  EXPECT_EQ(result.err, Block("README.md", "p.yaml:2:17: error: "));
}

TEST(Docs, ThePluginGuidesExampleIsTheTestedOne) {
  EXPECT_EQ(Block("docs/guide/plugins.md", "// text.cc"), SourceFile("tests/cli/sample_plugin/text.cc"));
  EXPECT_EQ(Block("docs/guide/plugins.md", "cmake_minimum_required"),
            SourceFile("tests/cli/sample_plugin/CMakeLists.txt"));
}

}  // namespace
}  // namespace genflow
