// What docs/guide/explain.md shows is what there is.
#include <gtest/gtest.h>

#include <regex>

#include "base/files.h"
#include "cli/sandbox.h"

namespace genflow {
namespace {

// Block number `index`, from 0, of those between fences of this kind.
std::string Block(const std::string& fence, int index) {
  const auto page = ReadFile(std::filesystem::path(GENFLOW_SOURCE_DIR) / "docs/guide/explain.md");
  EXPECT_TRUE(page.ok());
  const std::string open = "\n\n```" + fence + "\n";
  size_t at = 0;
  for (int i = 0; i <= index; ++i) {
    at = page->find(open, at);
    EXPECT_NE(at, std::string::npos);
    at += open.size();
  }
  return page->substr(at, page->find("```", at) - at);
}

// Runs, digests and times alike.
std::string Normal(std::string text) {
  text = std::regex_replace(text, std::regex("[0-9]{8}-[0-9]{4}-[a-z0-9]{4}"), "RUN");
  text = std::regex_replace(text, std::regex("\\b[0-9a-f]{12}\\b"), "DIGEST");
  return std::regex_replace(text, std::regex("about [0-9.]+ m?s"), "about TIME");
}

TEST(ExplainGuide, ItsExamplesSayWhatTheySay) {
  Sandbox box;
  box.Write("words.yaml", Block("yaml", 0));
  const std::string genflow = "genflow() { " + std::string(GENFLOW_BINARY) + " \"$@\"; }\n";
  const auto output = [&](const std::string& commands) {
    const auto result = box.Shell(genflow + commands);
    EXPECT_EQ(result.code, 0) << result.err;
    return result.out;
  };
  std::string plan = Block("sh", 0);
  plan.replace(plan.find("run words"), 3, "run -q");
  EXPECT_EQ(Normal(output(plan)), Normal(Block("", 0)));
  EXPECT_NE(output(Block("sh", 1)).find("now    would run: its key changed\n"), std::string::npos);
  EXPECT_EQ(output(Block("sh", 2)), Block("", 1));
  EXPECT_EQ(Normal(output(Block("sh", 3))), Normal(Block("", 2)));
  EXPECT_EQ(output("genflow runs tag latest released > tagged; genflow runs export released -o run.tar\n"),
            "run.tar: 1 run, 4 objects, 89 B\n");
}

}  // namespace
}  // namespace genflow
