// What shells do to their jobs: Ctrl-Z, fg, bg, kill; nohup and a script's `&`.
#include <gtest/gtest.h>

#include <csignal>

#include "cli/sandbox.h"
#include "cli/terminal_session.h"
#include "testing/processes.h"

namespace genflow {
namespace {

// A stage that counts in `ticks` until the file `go` is there.
std::string Ticking(const std::string& more = "") {
  return "name: p\nstages:\n  tick:\n    uses: exec\n    with: { run: 'echo $PPID > engine; until [ -e go ]; "
         "do "
         "echo x >> ticks; sleep 0.02; done' }\n" +
         more;
}

bool WaitForTicks(const Sandbox& box) { return box.WaitFor("test -s ticks"); }
size_t Ticks(const Sandbox& box) { return box.Read("ticks").size(); }
bool IsStopped(pid_t pid) {
  return Within(50, [pid] { return StateOf(pid) == 'T'; });
}
void Pause(int milliseconds) { std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds)); }

TEST(JobControl, CtrlZStopsTheStagesToo) {
  Sandbox box;
  box.Write("pipeline.yaml", Ticking("    timeout: 4s\n"));
  auto run = box.Start({"run"});
  ASSERT_TRUE(WaitForTicks(box));
  run.Signal(SIGTSTP);
  ASSERT_TRUE(IsStopped(run.pid()));
  Pause(100);  // for the tick that was on its way
  const size_t ticks = Ticks(box);
  Pause(4500);
  EXPECT_EQ(Ticks(box), ticks);
  box.Write("go", "");
  run.Signal(SIGCONT);
  const auto ended = run.Wait();
  EXPECT_EQ(ended.code, 0) << "the time away counts towards no timeout\n" << ended.err;
}

TEST(JobControl, ASecondCtrlZStopsAgain) {
  Sandbox box;
  box.Write("pipeline.yaml", Ticking());
  auto run = box.Start({"run"});
  ASSERT_TRUE(WaitForTicks(box));
  for (int i = 0; i < 2; ++i) {
    run.Signal(SIGTSTP);
    ASSERT_TRUE(IsStopped(run.pid()));
    Pause(100);
    const size_t ticks = Ticks(box);
    run.Signal(SIGCONT);
    EXPECT_TRUE(Within(50, [&] { return Ticks(box) > ticks; }));
  }
  box.Write("go", "");
  EXPECT_EQ(run.Wait().code, 0);
}

// As `kill %1` of a shell does.
TEST(JobControl, AStoppedRunIsStoppedInOrder) {
  Sandbox box;
  box.Write(
      "pipeline.yaml",
      "name: p\nstages:\n  s:\n    uses: exec\n    with: { run: 'trap \"touch saved; exit 1\" TERM; touch "
      "began; while :; do sleep 0.02 || true; done' }\n");
  auto run = box.Start({"run"});
  ASSERT_TRUE(box.WaitFor("test -e began"));
  run.Signal(SIGTSTP);
  ASSERT_TRUE(IsStopped(run.pid()));
  run.Signal(SIGTERM);
  run.Signal(SIGCONT);
  EXPECT_EQ(run.Wait().code, 143);
  EXPECT_TRUE(box.Exists("saved"));
}

TEST(JobControl, WhereNoShellCouldContinueItCtrlZDoesNothing) {
  Sandbox box;
  box.Write("pipeline.yaml", Ticking());
  const auto done =
      box.Shell("setsid -w " GENFLOW_BINARY
                " run > out 2>&1 & until [ -s ticks ]; do sleep 0.02; done; "
                "for i in 1 2 3; do kill -TSTP $(cat engine); sleep 0.1; done; "
                "before=$(wc -l < ticks); sleep 0.3; [ $(wc -l < ticks) -gt $before ]; touch go; wait $!");
  EXPECT_EQ(done.code, 0) << box.Read("out");
}

TEST(JobControl, TheLiveViewComesBackWithTheStages) {
  Sandbox box;
  box.Write("pipeline.yaml", Ticking("    timeout: 6s\n"));
  JobShell session(box);
  ASSERT_TRUE(session.StartRun()) << session.Screen();
  ASSERT_TRUE(WaitForTicks(box));
  session.Type("\x1a");
  ASSERT_TRUE(session.WaitForText("Stopped")) << session.Screen();
  Pause(100);
  const size_t ticks = Ticks(box);
  Pause(500);
  EXPECT_EQ(Ticks(box), ticks);
  ASSERT_TRUE(session.Foreground()) << session.Screen();
  EXPECT_FALSE(session.Echoes());
  EXPECT_TRUE(Within(50, [&] { return Ticks(box) > ticks; }));
  ASSERT_TRUE(session.EndRun(box)) << session.Screen();
}

// nohup ignores SIGHUP; a shell without jobs, SIGINT and SIGQUIT for what it runs with `&`.
TEST(JobControl, WhatIsIgnoredAtTheStartStaysIgnored) {
  Sandbox box;
  box.Write("pipeline.yaml", Ticking());
  const auto done = box.Shell("nohup " GENFLOW_BINARY
                              " run > out 2>&1 & until [ -s ticks ]; do sleep 0.02; done; "
                              "for s in HUP INT QUIT; do kill -$s $!; sleep 0.1; done; touch go; wait $!");
  EXPECT_EQ(done.code, 0) << box.Read("out");
}

TEST(JobControl, SoDoesWhatTheLiveViewTakes) {
  Sandbox box;
  box.Write("pipeline.yaml", Ticking());
  TerminalSession session(box, {"/bin/bash", "-c", "trap '' QUIT TSTP; exec " GENFLOW_BINARY " run"}, 60, 10);
  ASSERT_TRUE(session.WaitForText("0/1 done, 1 running")) << session.Screen();
  ASSERT_TRUE(WaitForTicks(box));
  session.Type("\x1c\x1a");
  Pause(300);
  const size_t ticks = Ticks(box);
  EXPECT_TRUE(Within(50, [&] { return Ticks(box) > ticks; }));
  box.Write("go", "");
  EXPECT_EQ(session.Wait(), 0);
}

}  // namespace
}  // namespace genflow
