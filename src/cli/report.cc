#include <algorithm>
#include <cstdio>

#include "base/strings.h"
#include "cli/markdown.h"
#include "cli/renderer.h"
#include "cli/table.h"

namespace genflow::cli {

namespace {

Style StyleOf(StageStatus status) {
  switch (status) {
    case StageStatus::kRan:
      return Style::kGreen;
    case StageStatus::kCached:
    case StageStatus::kSkipped:
      return Style::kDim;
    case StageStatus::kInterrupted:
      return Style::kYellow;
    default:
      return Style::kRed;
  }
}

std::string NoteOf(const StageResult& result) {
  switch (result.status) {
    case StageStatus::kCached:
      return result.seconds > 0 ? "saved " + HumanDuration(result.seconds) : "";  // unknown after a rebuild
    case StageStatus::kSkipped:
      return result.reason;
    case StageStatus::kFailed:
    case StageStatus::kGated:
      return result.error ? result.error->message : "";
    case StageStatus::kRan:
      return result.attempts > 1 ? "attempt " + std::to_string(result.attempts) : "";
    default:
      return "";
  }
}

}  // namespace

std::string RenderReport(const RunReport& report, TerminalTraits traits, size_t room) {
  const auto cached = std::count_if(report.stages.begin(), report.stages.end(),
                                    [](const StageResult& s) { return s.status == StageStatus::kCached; });
  if (cached == static_cast<std::ptrdiff_t>(report.stages.size())) {
    char seconds[40];
    std::snprintf(seconds, sizeof seconds, "%.2f", report.seconds);
    return report.pipeline + ": nothing to do (" + Counted(cached, "stage") + " cached, " + seconds + " s)\n";
  }
  Table table({"stage", "status", "time", "note"}, {Align::kLeft, Align::kLeft, Align::kRight, Align::kLeft});
  for (const auto& stage : report.stages) {
    const bool timed = stage.attempts > 0;
    table.Add({stage.stage, Styled(StageStatusName(stage.status), StyleOf(stage.status), traits.color),
               timed ? HumanDuration(stage.seconds) : "-", NoteOf(stage)});
  }
  table.Fit(room, {}, {"stage", "note"});
  std::string out = table.Render("", traits.color);
  for (const auto& stage : report.stages) {
    const bool finished = stage.status == StageStatus::kRan || stage.status == StageStatus::kCached ||
                          stage.status == StageStatus::kGated;
    if (!finished || Trim(stage.summary).empty()) continue;
    out += "\n" + Styled(stage.stage, Style::kBold, traits.color) + "\n" +
           RenderMarkdown(stage.summary, "  ", traits.color);
  }
  for (const auto& stage : report.stages) {
    for (const auto& output : stage.outputs) {
      if (output.artifact.type != "package") continue;
      out += "\npackage " + stage.stage + "." + output.port + ": " + output.artifact.path().string() + "\n" +
             "  to take it out: genflow artifacts export " + report.run + ":" + stage.stage + "." +
             output.port + " DIR\n";
    }
  }
  out += "\n" + report.pipeline + ": " +
         (report.status == RunStatus::kOk ? "done" : RunStatusName(report.status)) + " in " +
         HumanDuration(report.seconds) + " (run " + report.run + ")\n";
  return out;
}

std::string RenderFailures(const RunReport& report, TerminalTraits traits) {
  std::string out;
  for (const auto& stage : report.stages) {
    if (stage.status != StageStatus::kFailed && stage.status != StageStatus::kGated) continue;
    if (!stage.error) continue;
    if (!out.empty()) out += "\n";
    const bool gated = stage.status == StageStatus::kGated;
    out += Styled("error: ", Style::kRed, traits.color) + stage.stage + (gated ? " said no: " : ": ") +
           stage.error->ToString() + "\n";
    if (!gated && !stage.log_tail.empty()) {
      out += "  last lines of its log:\n";
      for (const auto& line : stage.log_tail) out += "  | " + line + "\n";
    }
    if (!stage.log.empty()) out += "  log: " + stage.log.string() + "\n";
  }
  if (report.status == RunStatus::kInterrupted) {
    if (!out.empty()) out += "\n";
    out += report.resumable ? "interrupted: the same command continues from here\n" : "interrupted\n";
  }
  return out;
}

}  // namespace genflow::cli
