// The lines of the live view, for screens of any size.
#include "cli/live_block.h"

#include <gtest/gtest.h>

namespace genflow::cli {
namespace {

using Lines = std::vector<std::string>;

constexpr TerminalTraits kPlain;  // no colours, ASCII

StageResult Result(const std::string& stage, StageStatus status, double seconds = 0,
                   const std::string& error = {}) {
  StageResult out;
  out.stage = stage;
  out.status = status;
  out.seconds = seconds;
  out.attempts = 1;
  if (!error.empty()) out.error = MakeError(Code::kIo, error);
  return out;
}

LiveBlock Matrix() {
  LiveBlock block(kPlain);
  block.Begin({"read", "tune[r=4]", "tune[r=8]", "tune[r=16]", "tune[r=32]", "gate"}, 0);
  return block;
}

TEST(LiveBlock, AMatrixIsALineWithItsRunningChildrenBelow) {
  LiveBlock block = Matrix();
  EXPECT_EQ(block.Lines(0, 60, 10), Lines());
  block.Start("read", 0);
  block.Start("tune[r=4]", 0);
  block.Start("tune[r=8]", 0);
  EXPECT_EQ(block.Lines(0, 60, 10),
            (Lines{"| read      0 s", "| tune      0/4 done, 2 running", "|   [r=4]   0 s", "|   [r=8]   0 s",
                   "  0/6 done, 3 running, 0 s"}));
}

TEST(LiveBlock, AMatrixOverAUsedFileAndOneInIt) {
  LiveBlock block(kPlain);
  block.Begin({"part[w=a]/copy", "part[w=a]/tune[r=4]", "part[w=a]/tune[r=8]", "part[w=b]/copy",
               "part[w=b]/tune[r=4]", "part[w=b]/tune[r=8]", "once/tune[r=1]", "once/tune[r=2]"},
              0);
  block.Start("part[w=a]/copy", 0);
  block.Start("part[w=b]/tune[r=8]", 0);
  block.Start("once/tune[r=2]", 0);
  EXPECT_EQ(block.Lines(0, 60, 10),
            (Lines{"| part               0/6 done, 2 running", "|   [w=a]/copy       0 s",
                   "|   [w=b]/tune[r=8]  0 s", "| once/tune          0/2 done, 1 running",
                   "|   [r=2]            0 s", "  0/8 done, 3 running, 0 s"}));
  EXPECT_EQ(block.Lines(0, 60, 3),
            (Lines{"| part               0/6 done, 2 running", "| once/tune          0/2 done, 1 running",
                   "  0/8 done, 3 running, 0 s"}));
}

TEST(LiveBlock, ChildrenAreShownAsFarAsTheScreenGoes) {
  LiveBlock block(kPlain);
  block.Begin({"prepare-everything", "tune[r=4]", "tune[r=8]", "tune[r=16]", "other"}, 0);
  for (const char* stage : {"tune[r=4]", "tune[r=8]", "tune[r=16]", "other"}) block.Start(stage, 1);
  const auto line = [](const std::string& name, const std::string& rest) {
    return "- " + PadRight(name, 18) + "  " + rest;
  };
  const std::string group = line("tune", "0/3 done, 3 running"), other = line("other", "1 s"),
                    first = line("  [r=4]", "1 s"), second = line("  [r=8]", "1 s"),
                    third = line("  [r=16]", "1 s"), status = "  0/5 done, 4 running, 2 s";
  EXPECT_EQ(block.Lines(2.25, 60, 10), (Lines{group, first, second, third, other, status}));
  EXPECT_EQ(block.Lines(2.25, 60, 6), (Lines{group, first, second, third, other, status}));
  EXPECT_EQ(block.Lines(2.25, 60, 4), (Lines{group, first, other, status}));
  EXPECT_EQ(block.Lines(2.25, 60, 3), (Lines{group, other, status}));
  EXPECT_EQ(block.Lines(2.25, 60, 2), (Lines{"  and 2 more", status}));
  EXPECT_EQ(block.Lines(2.25, 60, 1), (Lines{status}));
  EXPECT_EQ(block.Lines(2.25, 12, 1), (Lines{"  0/5 done,~"}));
}

TEST(LiveBlock, OfAMatrixOnlyFailuresAndTheEndStay) {
  LiveBlock block = Matrix();
  EXPECT_EQ(block.Finish(Result("read", StageStatus::kRan, 2)), (Lines{"+ read      ran in 2.0 s"}));
  EXPECT_EQ(block.Finish(Result("tune[r=4]", StageStatus::kRan, 3)), Lines());
  EXPECT_EQ(block.Finish(Result("tune[r=8]", StageStatus::kFailed, 1, "out of memory")),
            (Lines{"x tune[r=8]  failed after 1.0 s: out of memory"}));
  block.Start("tune[r=16]", 0);
  EXPECT_EQ(block.Lines(0, 60, 2),
            (Lines{"| tune      2/4 done, 1 running, 1 failed", "  3/6 done, 1 running, 0 s"}));
  EXPECT_EQ(block.Finish(Result("tune[r=16]", StageStatus::kCached)), Lines());
  EXPECT_EQ(block.Finish(Result("tune[r=32]", StageStatus::kSkipped)),
            (Lines{"x tune      1 ran, 1 cached, 1 failed, 1 skipped of 4, the longest in 3.0 s"}));
  EXPECT_EQ(block.Finish(Result("gate", StageStatus::kCached)), Lines());
  EXPECT_TRUE(block.idle());
}

TEST(LiveBlock, AMatrixThatWasCachedSaysNothing) {
  LiveBlock block(kPlain);
  block.Begin({"a[x=1]", "a[x=2]"}, 0);
  EXPECT_EQ(block.Finish(Result("a[x=1]", StageStatus::kCached)), Lines());
  EXPECT_EQ(block.Finish(Result("a[x=2]", StageStatus::kCached)), Lines());
}

TEST(LiveBlock, OneChildAloneIsAStageLikeOthers) {
  LiveBlock block(kPlain);
  block.Begin({"a[x=1]", "b"}, 0);
  block.Start("a[x=1]", 0);
  EXPECT_EQ(block.Lines(0, 60, 9), (Lines{"| a[x=1]  0 s", "  0/2 done, 1 running, 0 s"}));
  EXPECT_EQ(block.Finish(Result("a[x=1]", StageStatus::kRan, 1)), (Lines{"+ a[x=1]  ran in 1.0 s"}));
}

TEST(LiveBlock, WhatWaitsStandsInTheBlock) {
  LiveBlock block(kPlain);
  block.Begin({"read", "tune[r=4]", "tune[r=8]", "tune[r=16]"}, 0);
  block.Wait("read", "run R");
  EXPECT_FALSE(block.idle());
  EXPECT_EQ(block.Lines(0.9, 60, 9), (Lines{"  read      waits for run R, which is computing it",
                                            "  0/4 done, 0 running, 1 waiting, 0 s"}));
  block.Finish(Result("read", StageStatus::kCached));
  block.Start("tune[r=4]", 0);
  block.Wait("tune[r=8]", "the same stage of this run");
  block.Wait("tune[r=16]", "the same stage of this run");
  EXPECT_EQ(block.Lines(0.05, 60, 9), (Lines{"| tune      0/3 done, 1 running, 2 waiting", "|   [r=4]   0 s",
                                             "  1/4 done, 1 running, 2 waiting, 0 s"}));
  block.Start("tune[r=8]", 1);
  block.Finish(Result("tune[r=16]", StageStatus::kCached));
  EXPECT_EQ(block.Lines(1, 60, 1), (Lines{"  2/4 done, 2 running, 1 s"}));
}

TEST(LiveBlock, LongLabelsStillTellChildrenApart) {
  const auto labels = [](const std::vector<std::string>& stages) {
    LiveBlock block(kPlain);
    block.Begin(stages, 0);
    for (const auto& stage : stages) block.Start(stage, 0);
    Lines lines = block.Lines(0, 60, 9), out;
    for (size_t i = 1; i + 1 < lines.size(); ++i) out.push_back(lines[i].substr(4, 22));
    return out;
  };
  EXPECT_EQ(labels({"t[learning_rate=1e-4,batch=8]", "t[learning_rate=1e-4,batch=16]"}),
            (Lines{"[1e-4,8]   0 s", "[1e-4,16]  0 s"}));
  EXPECT_EQ(labels({"t[base=/models/one/of/many/a,r=8]", "t[base=/models/one/of/many/b,r=8]"}),
            (Lines{"[/models/~of/many/a,8]", "[/models/~of/many/b,8]"}));
}

TEST(LiveBlock, TheSecondCtrlCIsToldOnOneLine) {
  EXPECT_LE(DisplayWidth(StoppingPhrase(false, 3599)), 79u);
  EXPECT_LE(DisplayWidth(StoppingPhrase(false, 30)), 79u);
}

TEST(LiveBlock, NoLineIsWiderThanTheScreen) {
  LiveBlock block({true, true, true});
  block.Begin({"a-stage-with-a-very-long-name-that-does-not-fit", "tune[r=4,lr=0.001]", "tune[r=8,lr=0.001]"},
              0);
  for (const char* stage :
       {"a-stage-with-a-very-long-name-that-does-not-fit", "tune[r=4,lr=0.001]", "tune[r=8,lr=0.001]"})
    block.Start(stage, 0);
  for (size_t columns = 1; columns < 120; ++columns) {
    for (size_t rows = 1; rows < 8; ++rows) {
      const auto lines = block.Lines(3.5, columns, rows);
      EXPECT_LE(lines.size(), rows);
      EXPECT_GE(lines.size(), 1u);
      for (const auto& line : lines) EXPECT_LE(DisplayWidth(line), columns) << line;
    }
  }
}

}  // namespace
}  // namespace genflow::cli
