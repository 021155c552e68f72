// Text for people: tables, Markdown, widths, figures, the end of a run.
#include <gtest/gtest.h>
#include <stdlib.h>

#include "cli/markdown.h"
#include "cli/renderer.h"
#include "cli/table.h"
#include "cli/terminal.h"

namespace genflow::cli {
namespace {

TEST(Terminal, WidthsInCells) {
  EXPECT_EQ(DisplayWidth("abc"), 3u);
  EXPECT_EQ(DisplayWidth("café"), 4u);
  EXPECT_EQ(DisplayWidth("e\xCC\x81"), 1u);  // combining acute
  EXPECT_EQ(DisplayWidth("日本"), 4u);
  EXPECT_EQ(DisplayWidth("\x1b[31mred\x1b[0m"), 3u);
  EXPECT_EQ(Shorten("abcdef", 4, true), "abc…");
  EXPECT_EQ(Shorten("abcdef", 4, false), "abc~");
  EXPECT_EQ(Shorten("日本語", 4, true), "日…");
  EXPECT_EQ(Shorten("abc", 3, true), "abc");
}

TEST(Table, AlignsColouredCells) {
  Table table({"name", "n"}, {Align::kLeft, Align::kRight});
  table.Add({Styled("a", Style::kRed, true), "1"});
  table.Add({"long name", "12"});
  EXPECT_EQ(table.Render("> "), "> name        n\n> \x1b[31ma\x1b[0m           1\n> long name  12\n");
}

TEST(Table, FitsByLeavingOutWhatMattersLeast) {
  ::setenv("LC_ALL", "C.UTF-8", 1);
  const auto make = [] {
    Table table({"run", "status", "tags", "summary"}, {Align::kLeft, Align::kRight});
    table.Add({"a", Styled("ok", Style::kGreen, true), "best", "a summary of many words"});
    table.Add({"b", "failed"});
    return table;
  };
  Table any = make(), fits = make(), narrow = make(), narrower = make(), least = make();
  any.Fit(0, {"tags"});
  EXPECT_EQ(
      any.Render(),
      "run  status  tags  summary\na        \x1b[32mok\x1b[0m  best  a summary of many words\nb    failed\n");
  fits.Fit(42, {"tags"});
  EXPECT_EQ(fits.Render(), any.Render());
  narrow.Fit(41, {"none", "tags"});
  EXPECT_EQ(narrow.Render(),
            "run  status  summary\na        \x1b[32mok\x1b[0m  a summary of many words\nb    failed\n");
  narrower.Fit(24, {"tags"}, {"summary"});
  EXPECT_EQ(narrower.Render(),
            "run  status  summary\na        \x1b[32mok\x1b[0m  a summary …\nb    failed\n");
  least.Fit(5, {"tags", "status"}, {"summary"});
  EXPECT_EQ(least.Render(), "run  summary\na    a summ…\nb\n");
}

TEST(Table, FitLeavesOutTheLastOfANameAndNeverTheFirstColumn) {
  Table table({"run", "a", "run"});
  table.Add({"one", "x", "two"});
  EXPECT_EQ(table.Fit(4, {"run", "run"}), 1u);
  EXPECT_EQ(table.Render(), "run  a\none  x\n");
}

TEST(Markdown, HeadingsTablesListsAndCode) {
  EXPECT_EQ(RenderMarkdown(
                "# Result\n\nIt is **better** by `2 %`.\n\n| metric | base | tuned |\n|---|--:|--:|\n"
                "| perplexity | 20.5 | **9.25** |\n| a \\| b | 1 | 2 |\n\n- one\n> said\n```\nx | y\n```\n",
                "  ", false),
            "  Result\n"
            "\n"
            "  It is better by 2 %.\n"
            "\n"
            "  metric      base  tuned\n"
            "  perplexity  20.5   9.25\n"
            "  a | b          1      2\n"
            "\n"
            "  - one\n"
            "    said\n"
            "      x | y\n");
  EXPECT_EQ(RenderMarkdown("**bold**", "", true), "\x1b[1mbold\x1b[0m\n");
  EXPECT_EQ(RenderMarkdown("snake_case * 2 ** 3", "", true), "snake_case * 2 ** 3\n");
}

TEST(ProgressFigures, RateEtaAndMetrics) {
  ProgressFigures figures(0);
  EXPECT_FALSE(figures.known());
  figures.Add(StageProgress{"s", 0, 1000, "rows", ""}, 0);
  figures.Add(StageProgress{"s", 100, 1000, "rows", ""}, 1);
  EXPECT_EQ(figures.Counts(), "100/1,000 rows");
  EXPECT_EQ(figures.Rate(), "100 rows/s");
  EXPECT_EQ(figures.Eta(1), "ETA 9.0 s");
  EXPECT_EQ(figures.Eta(4), "ETA 6.0 s");
  EXPECT_DOUBLE_EQ(figures.fraction(), 0.1);
  figures.Add(StageMetric{"s", "lr", 0.1, 1});
  EXPECT_EQ(figures.Metrics(), "lr 0.1");
  figures.Add(StageMetric{"s", "loss", 2.31415, 1});
  figures.Add(StageMetric{"s", "tokens_per_second", 12345, 1});
  EXPECT_EQ(figures.Metrics(), "loss 2.314  12.3k tok/s");
  figures.Add(StageProgress{"s", 6, 1000, "tokens", ""}, 1);
  EXPECT_EQ(figures.Metrics(), "loss 2.314");             // tokens/s is the rate of the progress
  figures.Add(StageProgress{"s", 5, 0, "files", ""}, 5);  // another phase, of unknown length
  EXPECT_EQ(figures.Counts(), "5 files");
  EXPECT_EQ(figures.Rate(), "");
  EXPECT_LT(figures.fraction(), 0);
}

TEST(ProgressFigures, ReportsThatComeAllAtOnceAreOneRate) {
  ProgressFigures figures(0);
  for (uint64_t i = 0; i <= 10; ++i) {
    figures.Add(StageProgress{"s", 10 * i, 1000, "rows", ""}, static_cast<double>(i));
  }
  EXPECT_EQ(figures.Rate(), "10 rows/s");
  // Stopped for a while, and then read in one go.
  for (uint64_t i = 0; i < 40; ++i) {
    figures.Add(StageProgress{"s", 110 + 10 * i, 1000, "rows", ""}, 50 + 1e-6 * static_cast<double>(i));
  }
  EXPECT_EQ(figures.Rate(), "10 rows/s");
  EXPECT_EQ(figures.Eta(50), "ETA 50.0 s");
}

TEST(ProgressFigures, NarrowTerminalsKeepWhatMattersMost) {
  ProgressFigures figures(0);
  figures.Add(StageProgress{"tune", 20000, 52171, "tokens", "step 20 of 53"}, 0);
  figures.Add(StageProgress{"tune", 23456, 52171, "tokens", "step 21 of 53"}, 10);
  figures.Add(StageMetric{"tune", "loss", 2.01449, 20});
  const TerminalTraits plain{.interactive = true, .color = false, .unicode = false};
  const std::pair<size_t, const char*> lines[] = {
      {120,
       "  ###########.............   44%  23,456/52,171 tokens  346 tokens/s  loss 2.014  ETA 1m 23s  step "
       "21 of 53"},
      {98, "  ###########.............   44%  23,456/52,171 tokens  346 tokens/s  loss 2.014  ETA 1m 23s"},
      {66, "  #########...........   44%  346 tokens/s  loss 2.014  ETA 1m 23s"},
      {54, "  ####....   44%  346 tokens/s  loss 2.014  ETA 1m 23s"},
      {50, "   44%  346 tokens/s  loss 2.014  ETA 1m 23s"},
      {36, "   44%  346 tokens/s  loss 2.014"},
      {20, "   44%  loss 2.014"},
      {8, "   44%"},
      {4, ""},
  };
  for (const auto& [cells, line] : lines) EXPECT_EQ(RenderFigures(figures, 10, cells, plain), line) << cells;

  ProgressFigures unknown(0);
  unknown.Add(StageProgress{"read", 5, 0, "files", ""}, 3);
  EXPECT_EQ(RenderFigures(unknown, 61, 40, plain), "  1m 01s  5 files");
}

RunReport Report() {
  RunReport report;
  report.run = "20261124-1607-ab12";
  report.pipeline = "demo";
  report.seconds = 12.5;
  StageResult a, b, c;
  a.stage = "a";
  a.status = StageStatus::kCached;
  a.seconds = 65;
  b.stage = "train";
  b.status = StageStatus::kRan;
  b.seconds = 3.25;
  b.attempts = 2;
  b.summary = "| x |\n|---|\n| 1 |\n";
  PortArtifact package;
  package.port = "package";
  package.artifact.type = "package";
  package.artifact.outside = "/store/objects/p/data";
  b.outputs = {package};
  report.stages = {a, b};
  return report;
}

TEST(Report, TableSummariesAndPackage) {
  EXPECT_EQ(RenderReport(Report(), {}, 0),
            "stage  status   time  note\n"
            "a      cached      -  saved 1m 05s\n"
            "train  ran     3.2 s  attempt 2\n"
            "\n"
            "train\n"
            "  x\n"
            "  1\n"
            "\n"
            "package train.package: /store/objects/p/data\n"
            "  to take it out: genflow artifacts export 20261124-1607-ab12:train.package DIR\n"
            "\n"
            "demo: done in 12.5 s (run 20261124-1607-ab12)\n");
}

TEST(Report, NothingToDo) {
  RunReport report = Report();
  report.stages.resize(1);
  report.seconds = 0.041;
  EXPECT_EQ(RenderReport(report, {}, 0), "demo: nothing to do (1 stage cached, 0.04 s)\n");
}

TEST(Report, Failures) {
  RunReport report = Report();
  EXPECT_EQ(RenderFailures(report, {}), "");
  report.stages[1].status = StageStatus::kFailed;
  report.stages[1].error = InvalidError("no rows", "add some");
  report.stages[1].log = "/logs/train.1.log";
  report.stages[1].log_tail = {"reading", "none"};
  report.status = RunStatus::kFailed;
  EXPECT_EQ(RenderFailures(report, {}),
            "error: train: no rows\n"
            "  hint: add some\n"
            "  last lines of its log:\n"
            "  | reading\n"
            "  | none\n"
            "  log: /logs/train.1.log\n");
}

TEST(PlainView, ProgressIsLimitedToOneLineInTenSeconds) {
  std::FILE* file = std::tmpfile();
  {
    auto view = MakePlainView(file);
    StageStart start;
    start.stage = "s";
    start.reason = "never ran before";
    view->StageStarted(start, 0);
    for (int second = 1; second <= 25; ++second) {
      view->Progress({"s", static_cast<uint64_t>(second * 10), 1000, "rows", ""}, second);
    }
  }
  std::rewind(file);
  std::string text(4096, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file));
  std::fclose(file);
  EXPECT_EQ(text,
            "s: started (never ran before)\n"
            "s: 10% (100/1,000 rows), 10 rows/s, ETA 1m 30s\n"
            "s: 20% (200/1,000 rows), 10 rows/s, ETA 1m 20s\n");
}

}  // namespace
}  // namespace genflow::cli
