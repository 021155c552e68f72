// Tables on a terminal of 80 columns: no line is wider, whatever the names.
#include <gtest/gtest.h>

#include <regex>

#include "base/strings.h"
#include "cli/sandbox.h"
#include "cli/terminal_session.h"

namespace genflow {
namespace {

// Everything in it has a name that is longer than anyone's patience.
constexpr char kLong[] = R"yaml(name: a-pipeline-whose-name-is-rather-long
params:
  a_parameter_of_a_considerable_length: the-first-value-that-it-ever-had-and-long
  another_parameter_that_is_no_shorter: short
stages:
  measure-something-of-importance:
    uses: test.act
    matrix: { repetition_number: [1, 2], of_the_word: ["${{ params.a_parameter_of_a_considerable_length }}"] }
    with: { do: write, text: "${{ params.another_parameter_that_is_no_shorter }}" }
  a-stage-that-fails-with-a-long-message:
    uses: exec
    with: { run: 'echo "a very long line on standard error, which the end of the run tells again" >&2; exit 3' }
  report-with-metrics-of-long-names:
    uses: exec
    with:
      run: |
        mkdir "$GENFLOW_OUT_REPORT"
        echo '{"format": "genflow.report", "version": 1, "title": "T", "metrics": {
          "the_first_of_the_metrics_with_a_long_name": {"value": ${{ params.value }}},
          "the_second_of_the_metrics_with_a_long_name": {"value": 2.123456789},
          "the_third_of_the_metrics_with_a_long_name": {"value": ${{ params.value }}}}}' \
          > "$GENFLOW_OUT_REPORT/report.json"
        echo x > "$GENFLOW_OUT_PACKAGE"
    out: { report: report, package: package }
)yaml";

// What a command printed to its terminal, line by line, without escapes.
std::vector<std::string> LinesOf(const TerminalSession& session) {
  const std::string text = std::regex_replace(session.raw(), std::regex("\x1b\\[[0-9;?]*[A-Za-z]|\r"), "");
  std::vector<std::string> out;
  for (const auto line : Split(text, '\n')) out.emplace_back(line);
  return out;
}

TEST(Width, NoTableIsWiderThanTheTerminal) {
  Sandbox box;
  box.SetEnv("LC_ALL", "C");
  box.SetEnv("PAGER", "cat");
  box.Write("pipeline.yaml",
            std::regex_replace(std::string(kLong), std::regex("params:"), "params:\n  value: 1"));
  box.Genflow({"run", "-k"});
  ASSERT_EQ(box.Genflow({"runs", "tag", "latest", "first"}).code, 0);
  ASSERT_EQ(box.Genflow({"models", "register", "a-model-with-a-name-that-is-as-long-as-all-the-others-are",
                         "report-with-metrics-of-long-names.package"})
                .code,
            0);
  ASSERT_EQ(
      box.Shell("mkdir bin; printf '#!/bin/sh\\n[ $1 = - ] && cat >/dev/null; exit 0\\n' > bin/crontab; "
                "chmod +x bin/crontab")
          .code,
      0);
  box.SetEnv("PATH", (box.dir() / "bin").string() + ":" + std::getenv("PATH"));
  ASSERT_EQ(box.Genflow({"schedule", "add", "pipeline.yaml", "*/15 0-6 1,15 jan-jun mon-fri", "--name",
                         "a-schedule-that-goes-by-a-name-of-some-length"})
                .code,
            0);
  const std::vector<std::string> other = {"-p", "value=2.25", "-p",
                                          "another_parameter_that_is_no_shorter=other"};
  std::vector<std::string> again = {"run", "-k", "--quiet"};
  again.insert(again.end(), other.begin(), other.end());
  const std::vector<std::vector<std::string>> commands = {
      again,
      {"runs", "ls"},
      {"runs", "show"},
      {"runs", "compare"},
      {"runs", "compare", "--metrics", "the_second_of_the_metrics_with_a_long_name"},
      {"runs", "diff", "first", "latest"},
      {"runs", "metrics"},
      {"logs", "latest"},
      {"models", "ls"},
      {"artifacts", "ls"},
      {"schedule", "ls"},
      {"stages"},
      {"plan"}};
  for (const auto& command : commands) {
    TerminalSession session(box, command, 80, 50);
    session.Wait();
    const auto lines = LinesOf(session);
    EXPECT_GT(lines.size(), 2u) << Join(command, " ");
    for (const auto& line : lines) {
      // No table's, or whole, to be copied.
      const bool other = std::regex_search(
          line, std::regex("^(error:|pipeline  |params  |command  |logs in )|\\.log$|genflow logs "));
      EXPECT_TRUE(line.size() <= 80 || other) << Join(command, " ") << ": " << line.size() << ": " << line;
    }
  }
}

}  // namespace
}  // namespace genflow
