#include "cli/rotating_log.h"

#include <gtest/gtest.h>

#include "testing/scratch.h"

namespace genflow::cli {
namespace {

std::string Text(const std::filesystem::path& path) {
  auto text = ReadFile(path);
  return text.ok() ? *text : "(none)";
}

TEST(RotatingLog, KeepsTheLatestFiles) {
  const ScratchFolder scratch;
  const auto path = scratch / "logs" / "x.log";
  auto log = RotatingLog::Open(path, 10, 3);
  ASSERT_TRUE(log.ok()) << log.error().ToString();
  for (const char* line : {"one..\n", "two\n", "three.\n", "four..\n", "longer than a file\n", "six\n"})
    ASSERT_TRUE(log->Write(line).ok());
  EXPECT_EQ(Text(path), "six\n");
  EXPECT_EQ(Text(path.string() + ".1"), "longer than a file\n");
  EXPECT_EQ(Text(path.string() + ".2"), "four..\n");
  EXPECT_EQ(Text(path.string() + ".3"), "(none)");
}

TEST(RotatingLog, TwoWritersShareOneLog) {
  const ScratchFolder scratch;
  const auto path = scratch / "x.log";
  auto a = RotatingLog::Open(path, 10, 3), b = RotatingLog::Open(path, 10, 3);
  ASSERT_TRUE(a.ok() && b.ok());
  ASSERT_TRUE(a->Write("a1......\n").ok());
  ASSERT_TRUE(b->Write("b1......\n").ok());
  ASSERT_TRUE(a->Write("a2\n").ok());
  EXPECT_EQ(Text(path), "a2\n") << "a has followed the move that b made, and made its own";
  EXPECT_EQ(Text(path.string() + ".1"), "b1......\n");
  EXPECT_EQ(Text(path.string() + ".2"), "a1......\n");
}

TEST(RotatingLog, GoesOnWithWhatIsThere) {
  const ScratchFolder scratch;
  ASSERT_TRUE(RotatingLog::Open(scratch / "x.log")->Write("one\n").ok());
  ASSERT_TRUE(RotatingLog::Open(scratch / "x.log")->Write("two\n").ok());
  EXPECT_EQ(Text(scratch / "x.log"), "one\ntwo\n");
}

}  // namespace
}  // namespace genflow::cli
