#include "cli/chat_columns.h"

#include <gtest/gtest.h>

#include "cli/screen.h"

namespace genflow::cli {
namespace {

TEST(ChatColumns, RowsOfAText) {
  using Rows = std::vector<std::string>;
  EXPECT_EQ(Wrapped("one two three", 8), (Rows{"one two", "three"}));
  EXPECT_EQ(Wrapped("one\n\ntwo", 8), (Rows{"one", "", "two"}));
  EXPECT_EQ(Wrapped("abcdefghijk lm", 4), (Rows{"abcd", "efgh", "ijk", "lm"}));
  EXPECT_EQ(Wrapped("日本語日本", 4), (Rows{"日本", "語日", "本"}));
  EXPECT_EQ(Wrapped("", 4), (Rows{""}));
}

TEST(ChatColumns, NoTextSteersTheTerminal) {
  EXPECT_EQ(Harmless("a\x1b[2Jb\tc\rd\x7f"), "a [2Jb    c d ");
  EXPECT_EQ(Harmless("\xc2\x9b"
                     "2J\n\xff"),
            " 2J\n ");
}

TEST(ChatColumns, SideBySide) {
  Screen screen(72, 10);
  ChatColumns columns({"base", "tuned"}, 72, 10, /*unicode=*/false);
  std::string all;
  const auto draw = [&] {
    for (const char c : columns.Draw()) {
      if (c == '\n') all += '\r';
      all += c;
    }
    screen.Write(all);
    all.clear();
  };
  draw();
  columns.Add(0, "Hello");
  draw();
  columns.Add(1, "Good");
  draw();
  columns.Add(1, " day, this is a sentence that is longer than a column");
  draw();
  const std::string gap(34 - 5, ' ');
  EXPECT_EQ(screen.Text(), "base" + std::string(30, ' ') + " | tuned\n" + "Hello" + gap +
                               " | Good day, this is a sentence that\n" + std::string(34, ' ') +
                               " | is longer than a column\n");
  columns.End(0);
  columns.End(1);
  draw();
  EXPECT_EQ(screen.row(), 3);
}

// A column that is far ahead waits, and nothing is lost.
TEST(ChatColumns, LongerThanTheScreen) {
  Screen screen(80, 8);
  ChatColumns columns({"base", "tuned"}, 80, 8, /*unicode=*/true);
  const auto draw = [&] {
    std::string all;
    for (const char c : columns.Draw()) {
      if (c == '\n') all += '\r';
      all += c;
    }
    screen.Write(all);
  };
  for (int i = 0; i < 30; ++i) {
    columns.Add(0, "left " + std::to_string(i) + "\n");
    draw();
  }
  for (int i = 0; i < 20; ++i) {
    columns.Add(1, "right " + std::to_string(i) + "\n");
    draw();
  }
  columns.End(0);
  columns.End(1);
  draw();
  const std::string history = screen.History();
  size_t at = 0;
  for (int i = 0; i < 30; ++i) {
    const std::string left = "left " + std::to_string(i) + " ";
    at = history.find(left, at);
    ASSERT_NE(at, std::string::npos) << left << "\n" << history;
    if (i < 20) {
      const std::string row = history.substr(at, history.find('\n', at) - at);
      EXPECT_NE(row.find("│ right " + std::to_string(i)), std::string::npos) << row;
    }
  }
  EXPECT_EQ(history.find("left 0 ", history.find("left 0 ") + 1), std::string::npos) << history;
}

}  // namespace
}  // namespace genflow::cli
