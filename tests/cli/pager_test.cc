// Long answers on a terminal go through a pager; nothing else does.
#include <gtest/gtest.h>

#include "cli/sandbox.h"
#include "cli/terminal_session.h"

namespace genflow {
namespace {

// A store with a stage whose log has 40 lines.
void MakeLog(Sandbox& box) {
  box.Write("pipeline.yaml",
            "name: p\nstages:\n  talk:\n    uses: exec\n    with: { run: seq -f 'line %g' 40 }\n");
  ASSERT_EQ(box.Genflow({"run", "--quiet"}).code, 0);
}

TEST(Pager, ShowsALongAnswerOnATerminal) {
  Sandbox box;
  box.SetEnv("GENFLOW_PAGER", "sed 's/^/P:/'");
  box.SetEnv("PAGER", "false");
  TerminalSession session(box, {"stages", "show", "exec"}, 80, 8);
  EXPECT_EQ(session.Wait(), 0);
  EXPECT_NE(session.raw().find("P:"), std::string::npos) << session.raw();
  EXPECT_NE(session.raw().find("exec"), std::string::npos);
}

TEST(Pager, IsNotThereForAShortAnswerNorWhereItIsNotWanted) {
  Sandbox box;
  MakeLog(box);
  box.SetEnv("GENFLOW_PAGER", "sed 's/^/P:/'");
  TerminalSession shorter(box, {"runs", "ls"}, 120, 24);
  EXPECT_EQ(shorter.Wait(), 0);
  EXPECT_EQ(shorter.raw().find("P:"), std::string::npos) << shorter.raw();
  TerminalSession unwanted(box, {"logs", "talk", "--no-pager"}, 80, 8);
  EXPECT_EQ(unwanted.Wait(), 0);
  EXPECT_EQ(unwanted.raw().find("P:"), std::string::npos) << unwanted.raw();
  EXPECT_NE(unwanted.raw().find("line 40"), std::string::npos);
  EXPECT_EQ(box.Genflow({"logs", "talk"}).out.find("P:"), std::string::npos) << "a pipe is no terminal";
}

TEST(Pager, OneThatIsNotThereLeavesTheAnswer) {
  Sandbox box;
  MakeLog(box);
  box.SetEnv("GENFLOW_PAGER", "no-such-pager 2>/dev/null");
  TerminalSession log(box, {"logs", "talk"}, 80, 8);
  EXPECT_EQ(log.Wait(), 0);
  EXPECT_NE(log.raw().find("line 1\r\n"), std::string::npos) << log.raw();
  EXPECT_NE(log.raw().find("line 40\r\n"), std::string::npos);
}

TEST(Pager, OneThatReadsNothingIsNoError) {
  Sandbox box;
  MakeLog(box);
  box.SetEnv("GENFLOW_PAGER", "true");
  TerminalSession log(box, {"logs", "talk"}, 80, 8);
  EXPECT_EQ(log.Wait(), 0);
  EXPECT_EQ(log.raw(), "");
}

TEST(Pager, LessIsTheOneWhereNobodySaysOtherwise) {
  Sandbox box;
  if (box.Shell("command -v less").code != 0) GTEST_SKIP() << "less is not installed";
  MakeLog(box);
  TerminalSession log(box, {"logs", "talk"}, 80, 12);
  ASSERT_TRUE(log.WaitForText(":")) << log.raw();
  EXPECT_FALSE(log.Echoes()) << "less has the keyboard";
  log.Type("G");
  ASSERT_TRUE(log.WaitForText("line 40")) << log.Screen();
  log.Type("q");
  EXPECT_EQ(log.Wait(), 0);
}

}  // namespace
}  // namespace genflow
