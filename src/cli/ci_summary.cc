#include "cli/ci_summary.h"

#include <algorithm>

#include "base/strings.h"

namespace genflow::cli {

namespace {

constexpr size_t kLogLines = 20;
constexpr size_t kMaxCell = 300;  // bytes

// Text as a table cell: one line, in which Markdown and HTML mean nothing.
std::string Cell(std::string_view text) {
  std::string out;
  for (const char c : CleanReportText(text)) {
    if (c == '\n' || c == '\t')
      out += ' ';
    else if (c == '<')
      out += "&lt;";
    else if (c == '&')
      out += "&amp;";
    else if (std::string_view("|\\`*_[]~#").find(c) != std::string_view::npos)
      out += std::string("\\") + c;
    else
      out += c;
  }
  return out;
}

// As Cell(), cut when long.
std::string Brief(std::string_view text) {
  if (text.size() <= kMaxCell) return Cell(text);
  size_t end = kMaxCell;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return Cell(text.substr(0, end)) + "…";
}

std::string Row(const std::vector<std::string>& cells) { return "| " + Join(cells, " | ") + " |\n"; }

std::string Head(const std::vector<std::string>& columns) {
  std::string out = Row(columns) + "|";
  for (size_t i = 0; i < columns.size(); ++i) out += "---|";
  return out + "\n";
}

// A block of code whose fence is longer than any in the text.
std::string Block(std::string_view raw) {
  const std::string text = CleanReportText(raw);
  size_t longest = 2, here = 0;
  for (const char c : text) {
    here = c == '`' ? here + 1 : 0;
    longest = std::max(longest, here);
  }
  const std::string fence(longest + 1, '`');
  return fence + "text\n" + text + (text.ends_with('\n') ? "" : "\n") + fence + "\n";
}

std::string Note(const StageResult& stage) {
  if (stage.error) {  // its first line; the whole stands below
    const std::string& text = stage.error->message;
    std::string line = text.substr(0, text.find('\n'));
    if (line.size() < text.size() && line.ends_with(':')) line.pop_back();
    return line;
  }
  if (stage.status == StageStatus::kSkipped) return stage.reason;
  if (stage.status == StageStatus::kCached) return "from run " + stage.reason;
  return stage.attempts > 1 ? "attempt " + std::to_string(stage.attempts) : "";
}

std::string Heading(const RunOutcome& outcome) {
  std::string out = "## " + Cell(outcome.Title()) + ": ";
  if (outcome.report && !outcome.error) {
    const RunStatus status = outcome.report->status;
    out += status == RunStatus::kOk      ? "done"
           : status == RunStatus::kGated ? "the gate said no"
                                         : RunStatusName(status);
    out += " in " + HumanDuration(outcome.report->seconds) + "\n\nRun `" + outcome.report->run + "`";
    if (outcome.report->resumable && status == RunStatus::kInterrupted)
      out += "; the same command continues it";
    return out + ".\n";
  }
  return out +
         (HasErrors(outcome.diagnostics) ? "invalid pipeline"
          : outcome.report               ? "stopped"
                                         : "did not run") +
         "\n";
}

std::string Gate(const StageResult& stage, const GateReport& gate) {
  std::string out =
      "\n### Gate `" + stage.stage + "`\n\n" + Head({"requirement", "met", "difference", "numbers"});
  for (const auto& requirement : gate.requirements) {
    const std::string verdict =
        requirement.failed() ? "**" + requirement.verdict + "**" : requirement.verdict;
    out += Row({Brief(requirement.text), verdict, Brief(requirement.difference), Brief(requirement.numbers)});
  }
  if (gate.changes.empty()) return out;
  out += "\nAgainst the baseline:\n\n";
  std::vector<std::string> columns;
  for (const auto& column : gate.change_columns) columns.push_back(Cell(column));
  out += Head(columns);
  for (const auto& change : gate.changes) {
    std::vector<std::string> cells;
    for (const auto& cell : change) cells.push_back(cell == "worse" ? "**worse**" : Brief(cell));
    out += Row(cells);
  }
  return out;
}

std::string Failure(const StageResult& stage) {
  if (!stage.error) return "";
  std::string out = "\n### `" + stage.stage + "` " +
                    (stage.status == StageStatus::kGated ? "said no" : "failed") + "\n\n" +
                    Block(stage.error->ToString());
  if (stage.status == StageStatus::kGated) return out;
  const auto lines = LastLogLines(stage, kLogLines);
  if (lines.empty()) return out;
  return out + "\nThe last lines of its log:\n\n" + Block(Join(lines, "\n"));
}

}  // namespace

std::string RenderCiSummary(const RunOutcome& outcome) {
  std::string out = Heading(outcome);
  if (!outcome.diagnostics.empty()) out += "\n" + Block(RenderDiagnostics(outcome.diagnostics));
  if (outcome.error) out += "\n" + Block(outcome.error->ToString());
  if (outcome.report) {
    out += "\n" + Head({"stage", "status", "time", "note"});
    for (const auto& stage : outcome.report->stages) {
      const bool bad = stage.status == StageStatus::kFailed || stage.status == StageStatus::kGated;
      const std::string status = StageStatusName(stage.status);
      out += Row({Cell(stage.stage), bad ? "**" + status + "**" : status,
                  stage.attempts > 0 ? HumanDuration(stage.seconds) : "", Brief(Note(stage))});
    }
    for (const auto& stage : outcome.report->stages) {
      if (const auto gate = ReadGateReport(stage)) out += Gate(stage, *gate);
    }
    for (const auto& stage : outcome.report->stages) out += Failure(stage);
    for (const auto& stage : outcome.report->stages) {
      const bool finished = stage.status == StageStatus::kRan || stage.status == StageStatus::kCached;
      if (!finished || Trim(stage.summary).empty()) continue;
      // A stage's Markdown is its own; HTML in it is not.
      std::string summary = CleanReportText(stage.summary);
      for (size_t at = 0; (at = summary.find('<', at)) != std::string::npos;) summary.replace(at, 1, "&lt;");
      out += "\n### `" + stage.stage + "`\n\n" + summary + "\n";
    }
  }
  if (out.size() <= kMaxCiSummary) return out;
  size_t end = out.rfind('\n', kMaxCiSummary - 100);
  if (end == std::string::npos) end = 0;
  return out.substr(0, end) + "\n\n(cut: the rest is in the log and the JUnit report)\n";
}

}  // namespace genflow::cli
