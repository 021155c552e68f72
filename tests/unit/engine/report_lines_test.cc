#include "engine/report_lines.h"

#include <gtest/gtest.h>

#include <cmath>

namespace genflow {
namespace {

TEST(LineBuffer, CutsAcrossReadsAndKeepsTheRest) {
  LineBuffer lines(100);
  EXPECT_EQ(lines.Add("one\ntw"), std::vector<std::string>{"one"});
  EXPECT_EQ(lines.Add("o\n\nthr"), (std::vector<std::string>{"two", ""}));
  EXPECT_EQ(lines.Rest(), "thr");
  EXPECT_EQ(lines.Rest(), std::nullopt);
  EXPECT_FALSE(lines.overflowed());
}

TEST(LineBuffer, LongLinesComeInPieces) {
  LineBuffer lines(4);
  EXPECT_EQ(lines.Add("abcdefghij\n"), (std::vector<std::string>{"abcd", "efgh", "ij"}));
  EXPECT_TRUE(lines.overflowed());
}

template <class E>
E Parsed(std::string_view line) {
  std::optional<int> outcome;
  auto event = ParseReportLine(7, line, &outcome);
  EXPECT_TRUE(event && std::holds_alternative<E>(*event)) << line;
  return event && std::holds_alternative<E>(*event) ? std::get<E>(*event) : E();
}

TEST(ReportLine, EveryKind) {
  const auto progress =
      Parsed<event::Progress>(R"({"t":"progress","done":3,"total":9,"unit":"rows","msg":"reading"})");
  EXPECT_EQ(progress.job, 7);
  EXPECT_EQ(progress.done, 3u);
  EXPECT_EQ(progress.total, 9u);
  EXPECT_EQ(progress.unit, "rows");
  EXPECT_EQ(progress.message, "reading");
  const auto metric = Parsed<event::Metric>(R"({"t":"metric","name":"loss","value":0.5,"step":12})");
  EXPECT_EQ(metric.name, "loss");
  EXPECT_EQ(metric.value, 0.5);
  EXPECT_EQ(metric.step, 12);
  EXPECT_TRUE(
      std::isnan(Parsed<event::Metric>(R"({"t":"metric","name":"loss","value":null,"step":1})").value));
  EXPECT_EQ(Parsed<event::Log>(R"({"t":"log","level":"warning","text":"hm"})").level, "warning");
  EXPECT_EQ(Parsed<event::Summary>(R"({"t":"summary","text":"# ok"})").text, "# ok");
  const auto fail = Parsed<event::Fail>(R"({"t":"fail","code":"io","message":"no","hint":"yes"})");
  EXPECT_EQ(fail.error.code, Code::kIo);
  EXPECT_EQ(fail.error.ToString(), "no\n  hint: yes");
  std::optional<int> outcome;
  EXPECT_FALSE(ParseReportLine(7, R"({"t":"done","outcome":3})", &outcome).has_value());
  EXPECT_EQ(outcome, 3);
}

TEST(ReportLine, WhatIsNotOneIsNamed) {
  EXPECT_EQ(Parsed<event::Broken>("hello").what,
            "wrote a report line that genflow does not understand: hello");
  EXPECT_EQ(Parsed<event::Broken>(R"({"t":"dance"})").what,
            R"(wrote a report line that genflow does not understand: {"t":"dance"})");
  EXPECT_EQ(Parsed<event::Broken>(R"({"t":"done"})").what,
            R"(wrote a report line that genflow does not understand: {"t":"done"})");
  EXPECT_EQ(Parsed<event::Broken>("[1,2").what, "wrote a report line that genflow does not understand: [1,2");
  EXPECT_EQ(Parsed<event::Broken>("\x1b[2J" + std::string(100, 'x')).what,
            "wrote a report line that genflow does not understand: " + std::string(76, 'x') + "...");
}

TEST(ReportLine, WrongTypesOfMembersCountAsAbsent) {
  const auto progress = Parsed<event::Progress>(R"({"t":"progress","done":-3,"total":"x","unit":7})");
  EXPECT_EQ(progress.done, 0u);
  EXPECT_EQ(progress.total, 0u);
  EXPECT_EQ(progress.unit, "");
}

TEST(CleanText, DropsControlsAndMendsUtf8) {
  EXPECT_EQ(CleanText("a\x1b[31mb\tc\nd\r"), "ab\tc\nd");
  EXPECT_EQ(CleanText("caf\xC3\xA9 \xE2\x82\xAC"), "café €");
  EXPECT_EQ(CleanText("\xFF\xC3"), "\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(CleanText("\xC2\x9B"
                      "31m"),
            "");                                                                 // a C1 control
  EXPECT_EQ(CleanText("\xED\xA0\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");  // a surrogate
}

TEST(CleanText, WhatATerminalWouldNotShowGoes) {
  EXPECT_EQ(CleanText("\x1b[1;31mred\x1b[0m \x1b[?25lx\x1b(B"), "red x");
  EXPECT_EQ(CleanText("\x1b]8;;https://example.com\x1b\\link\x1b]8;;\x07."), "link.");
  EXPECT_EQ(CleanText("\x1b]never ended\nnext"), "never ended\nnext");
  EXPECT_EQ(CleanText("end\x1b[31"), "end");
  EXPECT_EQ(CleanText("end\x1b"), "end");
  EXPECT_EQ(CleanText("\x1b[3\xC3\xA9"), "\xC3\xA9");
}

TEST(CleanText, OfALineWrittenOverTheLastPieceStays) {
  EXPECT_EQ(CleanText("\r1%\r2%\r3%"), "3%");
  EXPECT_EQ(CleanText("1%\r2%\r\nnext\r\n"), "2%\nnext\n");
  EXPECT_EQ(CleanText("keep\n1%\r\x1b[K2%"), "keep\n2%");
}

}  // namespace
}  // namespace genflow
