// The live view on a terminal: what the screen shows, and what becomes of the terminal.
#include <gtest/gtest.h>

#include <regex>

#include "cli/sandbox.h"
#include "cli/terminal_session.h"

namespace genflow {
namespace {

// A stage that runs until the file `go` is there.
std::string Waiting(const std::string& name) {
  return "  " + name + ":\n    uses: exec\n    with: { run: \"touch " + name +
         "-began; until [ -e go ]; do sleep 0.02; done\" }\n";
}

// Spinner pictures and durations differ from look to look.
std::string Still(std::string text) {
  text = std::regex_replace(text, std::regex("⠋|⠙|⠹|⠸|⠼|⠴|⠦|⠧|⠇|⠏"), "*");
  text = std::regex_replace(text, std::regex("[0-9]{8}-[0-9]{4}-[a-z0-9]{4}"), "RUN");
  return std::regex_replace(text, std::regex(" *\\b([0-9.]+ (ms|s)|[0-9]+m [0-9]{2}s)"), " TIME");
}

bool ShowsOne(const class Screen& screen, const std::string& wanted) {
  return Still(screen.Text()) == wanted;
}

TEST(LiveView, TheBlockIsRedrawnInPlaceAndGoesAway) {
  Sandbox box;
  box.Write("pipeline.yaml", "name: p\nstages:\n" + Waiting("one") + Waiting("two"));
  TerminalSession session(box, {"run", "-j", "2", "--cpus", "2"}, 60, 10);
  const std::string block = "* one TIME\n* two TIME\n  0/2 done, 2 running, TIME\n";
  EXPECT_TRUE(session.WaitUntil([&](const auto& screen) { return ShowsOne(screen, block); }))
      << session.Screen();
  box.Write("go", "");
  EXPECT_EQ(session.Wait(), 0);
  const std::string screen = Still(session.Screen());
  EXPECT_NE(screen.find("✓ one   ran in TIME\n"), std::string::npos) << screen;
  EXPECT_NE(screen.find("✓ two   ran in TIME\n"), std::string::npos) << screen;
  EXPECT_EQ(screen.find('*'), std::string::npos) << screen;
  EXPECT_EQ(screen.find("running"), std::string::npos) << screen;
  EXPECT_NE(screen.find("\np: done in TIME (run RUN)\n"), std::string::npos) << screen;
}

TEST(LiveView, KeysAreNotEchoedAndDoNothing) {
  Sandbox box;
  box.Write("pipeline.yaml", "name: p\nstages:\n" + Waiting("one"));
  TerminalSession session(box, {"run"}, 60, 10);
  ASSERT_TRUE(session.Echoes());
  ASSERT_TRUE(session.WaitForText("0/1 done, 1 running")) << session.Screen();
  EXPECT_FALSE(session.Echoes());
  session.Type("q\nquit\n\x1b[A");
  const size_t before = session.raw().size();
  ASSERT_TRUE(session.WaitUntil([&](const auto&) { return session.raw().size() > before + 200; }));
  EXPECT_EQ(Still(session.Screen()), "* one TIME\n  0/1 done, 1 running, TIME\n");
  EXPECT_EQ(session.raw().find("quit"), std::string::npos);
  box.Write("go", "");
  EXPECT_EQ(session.Wait(), 0);
  EXPECT_TRUE(session.Echoes()) << "the terminal is given back";
}

TEST(LiveView, StaysRightWhenTheTerminalIsResized) {
  Sandbox box;
  box.Write("pipeline.yaml", "name: p\nstages:\n  quick:\n    uses: exec\n    with: { run: \"true\" }\n" +
                                 Waiting("first-of-all") + Waiting("second") + Waiting("third"));
  TerminalSession session(box, {"run", "-j", "4", "--cpus", "4"}, 70, 12);
  const std::string block =
      "✓ quick         ran in TIME\n* first-of-all TIME\n* second TIME\n* third TIME\n"
      "  1/4 done, 3 running, TIME\n";
  ASSERT_TRUE(session.WaitUntil([&](const auto& s) { return ShowsOne(s, block); })) << session.Screen();
  session.Resize(20, 12);
  EXPECT_TRUE(session.WaitUntil([&](const auto& s) {
    return s.Holds("1/4 done, 3 runn…") && s.Text().find("quick") == s.Text().rfind("quick") &&
           s.Text().find("second") == s.Text().rfind("second") &&
           s.Text().find("third") == s.Text().rfind("third");
  })) << session.Screen();
  session.Resize(70, 4);  // room for two stages' lines at most
  EXPECT_TRUE(session.WaitUntil([&](const auto& s) {
    return s.Holds("  and 2 more\n  1/4 done, 3 running");
  })) << session.Screen();
  session.Resize(70, 12);
  EXPECT_TRUE(session.WaitUntil([&](const auto& s) {
    const std::string now = Still(s.Text());
    return now.ends_with(
               "* first-of-all TIME\n* second TIME\n* third TIME\n  1/4 done, 3 running, "
               "TIME\n") &&
           now.find("second") == now.rfind("second");
  })) << session.Screen();
  box.Write("go", "");
  EXPECT_EQ(session.Wait(), 0);
  EXPECT_EQ(session.Screen().find("running"), std::string::npos) << session.Screen();
}

TEST(LiveView, ATerminalOfOneRowShowsTheStatusAlone) {
  Sandbox box;
  box.Write("pipeline.yaml", "name: p\nstages:\n" + Waiting("one") + Waiting("two"));
  TerminalSession session(box, {"run", "-j", "2", "--cpus", "2"}, 60, 1);
  ASSERT_TRUE(session.WaitForText("  0/2 done, 2 running")) << session.Screen();
  const size_t before = session.raw().size();
  ASSERT_TRUE(session.WaitUntil([&](const auto&) { return session.raw().size() > before + 300; }));
  EXPECT_EQ(Still(session.History()), "  0/2 done, 2 running, TIME\n") << "nothing scrolls away";
  box.Write("go", "");
  EXPECT_EQ(session.Wait(), 0);
}

TEST(LiveView, StoppedByCtrlZItGivesTheTerminalBackAndTakesItAgain) {
  Sandbox box;
  box.Write("pipeline.yaml", "name: p\nstages:\n" + Waiting("one"));
  JobShell session(box);
  ASSERT_TRUE(session.StartRun()) << session.Screen();
  session.Type("\x1a");
  ASSERT_TRUE(session.WaitForText("Stopped")) << session.Screen();
  session.Type("echo typed\n");
  ASSERT_TRUE(session.WaitForText("$ echo typed\ntyped\n$")) << session.Screen();
  ASSERT_TRUE(session.Foreground()) << session.Screen();
  EXPECT_FALSE(session.Echoes());
  EXPECT_NE(session.Screen().find("$ echo typed\ntyped\n$ fg\n"), std::string::npos) << session.Screen();
  ASSERT_TRUE(session.EndRun(box)) << session.Screen();
}

TEST(LiveView, ACrashGivesTheTerminalBack) {
  Sandbox box;
  box.Write("pipeline.yaml", "name: p\nstages:\n" + Waiting("one"));
  TerminalSession session(box, {"run"}, 60, 10);
  ASSERT_TRUE(session.WaitForText("0/1 done, 1 running")) << session.Screen();
  EXPECT_FALSE(session.Echoes());
  ::kill(session.pid(), SIGSEGV);
  EXPECT_EQ(session.Wait(), 128 + SIGSEGV);
  EXPECT_TRUE(session.Echoes());
  box.Write("go", "");
}

TEST(LiveView, CtrlCEndsItCleanly) {
  Sandbox box;
  box.Write("pipeline.yaml", "name: p\nstages:\n" + Waiting("one"));
  TerminalSession session(box, {"run", "--grace", "1s"}, 80, 12);
  ASSERT_TRUE(session.WaitForText("0/1 done, 1 running")) << session.Screen();
  session.Type("\x03");
  session.Wait();
  EXPECT_TRUE(session.Echoes());
  EXPECT_EQ(session.Screen().find("1 running"), std::string::npos) << session.Screen();
  EXPECT_EQ(session.Screen().find("^C"), std::string::npos) << session.Screen();
  box.Write("go", "");
}

}  // namespace
}  // namespace genflow
