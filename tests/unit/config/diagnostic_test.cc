#include "config/diagnostic.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace genflow {
namespace {

using nlohmann::json;

TEST(SourceText, CountsLinesAndCodePoints) {
  const SourceText source("f", "ab\r\nnaïve x\n\nlast");
  EXPECT_EQ(source.line_count(), 4);
  EXPECT_EQ(source.Line(1), "ab");
  EXPECT_EQ(source.Line(2), "naïve x");
  EXPECT_EQ(source.Line(3), "");
  EXPECT_EQ(source.Line(4), "last");
  EXPECT_EQ(source.Line(5), "");
  EXPECT_EQ(source.At(source.text().find('x')), (Position{2, 7, 1}));
  EXPECT_EQ(source.At(source.text().find("naïve"), 6), (Position{2, 1, 5}));
  EXPECT_EQ(source.At(source.text().find("last"), 100), (Position{4, 1, 4}));
  EXPECT_EQ(source.At(1000), (Position{4, 5, 1}));
}

TEST(SourceText, PlacesInLongTextsAreExact) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "é";
  const SourceText source("f", text + "x\n" + text + "y");
  EXPECT_EQ(source.At(2000), (Position{1, 1001, 1}));
  EXPECT_EQ(source.At(source.text().size() - 1), (Position{2, 1001, 1}));
  const Diagnostic d = source.Report(source.At(source.text().size() - 1), "m");
  EXPECT_EQ(d.source_column, 961);
  EXPECT_EQ(d.source_line.size(), 81u);
}

TEST(Diagnostic, RendersTheLineACaretAndAHint) {
  const SourceText source("dir/p.yaml", "a: 1\nusse: b\n");
  EXPECT_EQ("\n" + RenderDiagnostic(source.Report({2, 1, 4}, "unknown key 'usse'", "did you mean 'uses'?")),
            R"(
dir/p.yaml:2:1: error: unknown key 'usse'
    2 | usse: b
      | ^~~~
  hint: did you mean 'uses'?
)");
  EXPECT_EQ(RenderDiagnostic(source.Report({}, "whole file", "", Severity::kWarning)),
            "dir/p.yaml: warning: whole file\n");
  Diagnostic outside;
  outside.message = "-p x: unknown";
  EXPECT_EQ(RenderDiagnostic(outside), "error: -p x: unknown\n");
}

TEST(Diagnostic, AlignsTheCaretBehindTabsAndWideLetters) {
  const SourceText source("f", "\t漢字 x: é");
  EXPECT_EQ("\n" + RenderDiagnostic(source.Report({1, 5, 1}, "m")),
            "\nf:1:5: error: m\n    1 |  漢字 x: é\n      |       ^\n");
  EXPECT_EQ("\n" + RenderDiagnostic(source.Report({1, 2, 2}, "m")),
            "\nf:1:2: error: m\n    1 |  漢字 x: é\n      |  ^~~~\n");
}

TEST(Diagnostic, ShowsAPartOfALongLine) {
  const SourceText source("f", std::string(500, 'a') + "X" + std::string(500, 'b'));
  EXPECT_EQ("\n" + RenderDiagnostic(source.Report({1, 501, 1}, "m")),
            "\nf:1:501: error: m\n    1 | ..." + std::string(40, 'a') + "X" + std::string(119, 'b') +
                "\n      | " + std::string(43, ' ') + "^\n");
}

TEST(Diagnostic, KeepsTheGutterStraight) {
  std::string text;
  for (int i = 1; i < 123456; ++i) text += "\n";
  const SourceText source("f", text + "x");
  EXPECT_EQ(RenderDiagnostic(source.Report({123456, 1, 1}, "m")),
            "f:123456:1: error: m\n 123456 | x\n        | ^\n");
}

TEST(Diagnostic, NoFileSteersTheTerminal) {
  const SourceText source("f\x1b[2J",
                          "a\x1b[31m\x07\xC2\x9B\xE2\x80\xAE"
                          "b");
  EXPECT_EQ(RenderDiagnostic(source.Report({1, 1, 1}, "got '\x1b]0;x'", "\x1b")),
            "f?[2J:1:1: error: got '?]0;x'\n    1 | a?[31m???b\n      | ^\n  hint: ?\n");
}

TEST(Diagnostic, ColorsOnRequest) {
  const SourceText source("f", "x");
  EXPECT_EQ(
      RenderDiagnostic(source.Report({1, 1, 1}, "m", "h"), {.color = true}),
      "\x1b[1mf:1:1: \x1b[0m\x1b[1;31merror:\x1b[0m \x1b[1mm\x1b[0m\n    1 | x\n      | \x1b[1;32m^\x1b[0m\n"
      "  \x1b[36mhint:\x1b[0m h\n");
}

TEST(Diagnostics, AreSortedOnceEachAndCounted) {
  const SourceText source("f", "one\ntwo\n");
  std::vector<Diagnostic> all = {source.Report({2, 1, 1}, "b"),
                                 source.Report({1, 2, 1}, "a", "", Severity::kWarning),
                                 source.Report({2, 1, 1}, "b"), source.Report({1, 2, 1}, "e")};
  EXPECT_TRUE(HasErrors(all));
  SortDiagnostics(&all);
  EXPECT_EQ("\n" + RenderDiagnostics(all), R"(
f:1:2: error: e
    1 | one
      |  ^

f:1:2: warning: a
    1 | one
      |  ^

f:2:1: error: b
    2 | two
      | ^

2 errors, 1 warning
)");
  EXPECT_EQ(RenderDiagnostics({}), "");
}

TEST(Diagnostic, HasJson) {
  const SourceText source("f", "x");
  EXPECT_EQ(
      DiagnosticsToJson({source.Report({1, 1, 1}, "m", "h"), source.Report({}, "w", "", Severity::kWarning)}),
      json::parse(R"([{"file":"f","line":1,"column":1,"length":1,"severity":"error","message":"m","hint":"h"},
                            {"file":"f","line":0,"column":0,"length":1,"severity":"warning","message":"w"}])"));
}

}  // namespace
}  // namespace genflow
