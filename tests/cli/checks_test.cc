// The plugins' own word on parameters, before anything runs.
#include <gtest/gtest.h>

#include "cli/sandbox.h"

namespace genflow {
namespace {

constexpr char kWrong[] = R"(name: picky
stages:
  first:
    uses: test.count
  second:
    uses: test.picky
    needs: [first]
    with:
      low: 5
      high: 3
      rules: [a<b, "a<"]
  third:
    uses: test.picky
    with: { low: 9, high: 2 }
)";

TEST(Checks, EveryProblemAtItsPlaceBeforeAnythingRuns) {
  Sandbox box;
  box.Write("pipeline.yaml", kWrong);
  const std::string expected =
      "pipeline.yaml:10:13: error: high is less than low (3 < 5)\n"
      "   10 |       high: 3\n"
      "      |             ^\n"
      "  hint: exchange them\n"
      "\n"
      "pipeline.yaml:11:20: error: rules[1] ends with '<'\n"
      "   11 |       rules: [a<b, \"a<\"]\n"
      "      |                    ^~~~\n"
      "\n"
      "pipeline.yaml:14:27: error: high is less than low (2 < 9)\n"
      "   14 |     with: { low: 9, high: 2 }\n"
      "      |                           ^\n"
      "  hint: exchange them\n"
      "\n"
      "3 errors\n";
  for (const char* command : {"validate", "run", "plan"}) {
    const auto result = box.Genflow({command, "pipeline.yaml"});
    EXPECT_EQ(result.code, 2) << command;
    EXPECT_EQ(result.err, expected) << command;
  }
  EXPECT_FALSE(box.Exists(".genflow")) << "nothing ran";
}

TEST(Checks, WhatIsRightIsNotAskedAgain) {
  Sandbox box;
  box.SetEnv("PICKY_LOG", (box.dir() / "asked").string());
  box.Write("pipeline.yaml",
            "name: p\nstages:\n  a:\n    uses: test.picky\n    with: { low: 1, high: 2 }\n"
            "  b:\n    uses: test.picky\n    with: { low: 1, high: 2 }\n");
  EXPECT_EQ(box.Genflow({"validate"}).code, 0);
  EXPECT_EQ(box.Read("asked"), "asked\nasked\n");
  EXPECT_EQ(box.Genflow({"validate"}).code, 0);
  EXPECT_EQ(box.Read("asked"), "asked\nasked\n") << "remembered";
  // Damage to the memory costs nothing but time.
  box.Write(".cache/genflow/checked", "\xff\n\n");
  EXPECT_EQ(box.Genflow({"validate"}).code, 0);
  EXPECT_EQ(box.Read("asked"), "asked\nasked\nasked\nasked\n");
  EXPECT_EQ(box.Shell("rm -r .cache && ln -s /proc/none .cache").code, 0);
  EXPECT_EQ(box.Genflow({"validate"}).code, 0);
}

TEST(Checks, AStageIsNotAskedBeforeItsValuesAreKnown) {
  Sandbox box;
  box.SetEnv("GENFLOW_SECRET_T", "<");
  box.Write("pipeline.yaml",
            "name: p\nstages:\n  a:\n    uses: test.picky\n    with: { rules: ['${{ secrets.T }}'] }\n"
            "  off:\n    uses: test.picky\n    if: 1 > 2\n    with: { low: 5, high: 2 }\n");
  EXPECT_EQ(box.Genflow({"validate"}).code, 0);
  const auto run = box.Genflow({"run"});
  EXPECT_EQ(run.code, 1);
  EXPECT_NE(run.err.find("a: failed"), std::string::npos) << run.err;
  EXPECT_NE(run.err.find("rules[0] ends with '<'"), std::string::npos) << run.err;
}

TEST(Checks, APluginThatCrashesWhileAskedIsAnError) {
  Sandbox box;
  box.Write("pipeline.yaml", "name: p\nstages:\n  a:\n    uses: test.picky\n    with: { low: -1 }\n");
  const auto result = box.Genflow({"validate"});
  EXPECT_EQ(result.code, 2);
  EXPECT_NE(result.err.find("pipeline.yaml:4:11: error: plugin "), std::string::npos) << result.err;
  EXPECT_NE(result.err.find(" ended with killed by signal 6 (Aborted) while it checked parameters"),
            std::string::npos)
      << result.err;
}

TEST(Checks, AWorkerThatSomethingKilledIsReplacedOnce) {
  Sandbox box;
  box.SetEnv("PICKY_LOG", (box.dir() / "asked").string());
  box.Write("pipeline.yaml", "name: p\nstages:\n  a:\n    uses: test.picky\n    with: { high: 99 }\n");
  const auto result = box.Genflow({"validate"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(box.Read("asked"), "asked\nasked\n");
}

TEST(Checks, WhatAPluginShowsOfATextIsShownInTheFile) {
  Sandbox box;
  box.Write("pipeline.yaml",
            "name: p\nstages:\n  a:\n    uses: test.picky\n    with:\n      rules: [\"a ?\", 'it''s ?']\n");
  const auto result = box.Genflow({"validate"});
  EXPECT_EQ(result.code, 2);
  EXPECT_EQ(result.err,
            "pipeline.yaml:6:18: error: rules[0], column 3: a '?'\n"
            "    6 |       rules: [\"a ?\", 'it''s ?']\n"
            "      |                  ^\n"
            "  hint: be sure\n"
            "\n"
            "pipeline.yaml:6:22: error: rules[1], column 6: a '?'\n"
            "    it's ?\n"
            "         ^\n"
            "    6 |       rules: [\"a ?\", 'it''s ?']\n"
            "      |                      ^~~~~~~~~\n"
            "  hint: be sure\n"
            "\n"
            "2 errors\n");
}

}  // namespace
}  // namespace genflow
