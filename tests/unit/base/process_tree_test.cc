// What /proc tells of processes, and the end of those that carry a mark. Real processes.
#include "base/process_tree.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "testing/processes.h"
#include "testing/sanitizers.h"
#include "testing/scratch.h"

namespace genflow {
namespace {

namespace fs = std::filesystem;

class ProcessTree : public testing::Test {
 protected:
  // Bash in the scratch folder, with the mark in its environment.
  Process Start(const std::string& text, bool marked = true) {
    auto options = Bash(text);
    options.cwd = scratch_.path();
    if (marked) options.env.push_back(mark_);
    auto process = Process::Start(options);
    EXPECT_TRUE(process.ok()) << process.error().ToString();
    EXPECT_TRUE(Within(20, [&] { return MarkOf(process->pid(), mark_) != Mark::kStarting; }));
    return *std::move(process);
  }
  // The process whose number is in the file, once it is.
  pid_t PidIn(const std::string& file) {
    pid_t pid = 0;
    EXPECT_TRUE(Within(20, [&] { return !!(std::ifstream(scratch_ / file) >> pid); })) << file;
    return pid;
  }

  const ScratchFolder scratch_;
  const std::string mark_ = "GENFLOW_TEST_MARK=" + std::to_string(::getpid());
};

TEST_F(ProcessTree, MarksAreWholeVariables) {
  if (kThreadSanitizer) GTEST_SKIP() << "ThreadSanitizer makes a fork of vfork";
  const Process process = Start("sleep 60");
  EXPECT_EQ(MarkOf(process.pid(), mark_), Mark::kPresent);
  EXPECT_EQ(MarkOf(process.pid(), mark_ + "1"), Mark::kAbsent);
  EXPECT_EQ(MarkOf(process.pid(), mark_.substr(0, mark_.size() - 1)), Mark::kAbsent);
  EXPECT_EQ(MarkOf(process.pid(), mark_.substr(1)), Mark::kAbsent);
  EXPECT_TRUE(IsMarked(process.pid(), "PATH=/usr/bin:/bin")) << "the first one";
  EXPECT_FALSE(IsMarked(process.pid(), mark_.substr(1)));
}

TEST_F(ProcessTree, WhatHasEndedHasNoMark) {
  Process process = Start("exit 0");
  ASSERT_TRUE(Within(20, [&] { return process.HasEnded(); }));
  EXPECT_EQ(MarkOf(process.pid(), mark_), Mark::kAbsent);
  const pid_t pid = process.pid();
  EXPECT_TRUE(process.Wait().Succeeded());
  EXPECT_EQ(MarkOf(pid, mark_), Mark::kAbsent);
  EXPECT_TRUE(process.HasEnded());
}

TEST_F(ProcessTree, AnEmptyEnvironmentHoldsNoMark) {
  ProcessOptions options;
  options.argv = {"/bin/sleep", "60"};
  const auto process = Process::Start(options);
  ASSERT_TRUE(process.ok());
  EXPECT_TRUE(Within(20, [&] { return MarkOf(process->pid(), mark_) == Mark::kAbsent; }));
}

TEST_F(ProcessTree, AGroupLivesWhileOneOfItsMembersDoes) {
  Process process = Start("sleep 60 & echo $! > member; exec sleep 0.01");
  const pid_t member = PidIn("member");
  ASSERT_TRUE(Within(20, [&] { return process.HasEnded(); }));
  EXPECT_TRUE(GroupIsAlive(process.pid()));
  EXPECT_FALSE(GroupIsAlive(member)) << "it leads none";
  ::kill(member, SIGKILL);
  EXPECT_TRUE(Within(20, [&] { return !GroupIsAlive(process.pid()); })) << "its leader is a zombie";
}

TEST_F(ProcessTree, MemoryOfGrandchildrenCounts) {
  // The tail of zeros, which are one line, is held whole.
  const Process process =
      Start("(head -c 50000000 /dev/zero; touch full; sleep 60) | (tail -c 50000000; true)");
  ASSERT_TRUE(Within(20, [&] { return fs::exists(scratch_ / "full"); }));
  EXPECT_TRUE(Within(20, [&] { return MemoryOfTree(process.pid()) > 45'000'000; }));
  EXPECT_EQ(MemoryOfTree(0), 0u);
}

TEST_F(ProcessTree, KillMarkedFindsThemWhereverTheyAre) {
  const Process marked = Start("setsid sleep 60 & echo $! > other; wait"),
                unmarked = Start("sleep 60", false);
  const pid_t other = PidIn("other");
  KillMarked(mark_);
  EXPECT_TRUE(DiesWithin(marked.pid(), 20));
  EXPECT_TRUE(DiesWithin(other, 20));
  EXPECT_TRUE(Alive(unmarked.pid()));
}

class Orphans : public ProcessTree {
 protected:
  void SetUp() override { BecomeSubreaper(); }
  void TearDown() override { ::prctl(PR_SET_CHILD_SUBREAPER, 0); }
};

// Each generation is adopted when the one before it ends.
TEST_F(Orphans, AreEndedToTheLastGeneration) {
  Process process = Start(
      "setsid bash -c 'setsid bash -c \"setsid sleep 60 & echo \\$! > third; wait\" & echo $! > second; "
      "wait' &"
      "echo $! > first; until [ -s third ]; do sleep 0.01; done");
  EXPECT_TRUE(process.Wait().Succeeded());
  ReapOrphans({}, mark_);
  for (const char* generation : {"first", "second", "third"})
    EXPECT_EQ(StateOf(PidIn(generation)), 0) << generation;
}

TEST_F(Orphans, OfOthersLiveOn) {
  Process process = Start(
      "setsid bash -c 'echo $$ > orphan; exec sleep 60' & until [ -s orphan ]; do sleep 0.01; done", false);
  const Process child = Start("sleep 60");
  EXPECT_TRUE(process.Wait().Succeeded());
  ReapOrphans({child.pid()}, mark_);
  const pid_t orphan = PidIn("orphan");
  EXPECT_TRUE(Alive(orphan));
  EXPECT_TRUE(Alive(child.pid())) << "it is one of ours";
  ::kill(orphan, SIGKILL);
  ASSERT_TRUE(DiesWithin(orphan, 20));
  ReapOrphans({child.pid()}, mark_);
  EXPECT_EQ(StateOf(orphan), 0) << "it is reaped";
}

// The guardian of a program that the stage ran has work to do when that program is killed.
TEST_F(Orphans, GuardiansAreWaitedFor) {
  Process process = Start(
      "setsid bash -c 'printf genflow-guard > /proc/$$/comm; echo $$ > guardian; sleep 0.3; touch guarded; "
      "true' &"
      "until [ -s guardian ]; do sleep 0.01; done");
  EXPECT_TRUE(process.Wait().Succeeded());
  // What it runs meanwhile is a child of it, not of this process.
  ReapOrphans({}, mark_);
  EXPECT_EQ(StateOf(PidIn("guardian")), 0);
  EXPECT_TRUE(fs::exists(scratch_ / "guarded"));
}

}  // namespace
}  // namespace genflow
