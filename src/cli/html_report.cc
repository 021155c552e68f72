#include "cli/html_report.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "cli/html_text.h"
#include "cli/markdown.h"
#include "cli/times.h"

namespace genflow::cli {

namespace {

constexpr size_t kMaxCharts = 60;
constexpr double kRowHeight = 22, kNames = 150, kBars = 620, kMargin = 110;

constexpr char kStyle[] = R"css(
:root { --bg: #fff; --fg: #1c1e21; --dim: #68707a; --line: #dfe3e8; --panel: #f6f7f9; --accent: #2563eb;
  --ok: #15803d; --bad: #c2261d; --warn: #a16207; }
@media (prefers-color-scheme: dark) { :root { --bg: #15181c; --fg: #e6e8eb; --dim: #98a1ab; --line: #30363d;
  --panel: #1c2127; --accent: #6ea0ff; --ok: #4cc47a; --bad: #ff7b72; --warn: #d8a634; } }
body { margin: 0 auto; padding: 2rem 1.5rem 4rem; max-width: 68rem; background: var(--bg); color: var(--fg);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .3rem; } h2 { font-size: 1.1rem; margin: 2.2rem 0 .6rem; }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; }
p.facts { color: var(--dim); margin: 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; color: var(--dim); }
th, td { padding: .25rem .9rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.number { text-align: right; white-space: nowrap; }
code, pre { font: 13px/1.45 ui-monospace, monospace; }
pre { background: var(--panel); padding: .7rem .9rem; border-radius: 6px; overflow-x: auto; margin: .4rem 0; }
.ok { color: var(--ok); } .bad { color: var(--bad); } .warn { color: var(--warn); } .dim { color: var(--dim); }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(18rem, 1fr)); gap: .8rem; }
svg { width: 100%; height: auto; } svg text { font: 11px system-ui, sans-serif; fill: var(--dim); }
svg.chart { background: var(--panel); border-radius: 6px; }
svg .name { fill: var(--fg); font-weight: 600; } svg .last { fill: var(--fg); }
polyline { fill: none; stroke: var(--accent); stroke-width: 1.5; stroke-linejoin: round; }
circle { fill: var(--accent); } .axis { stroke: var(--line); }
rect { fill: var(--ok); } rect.bad { fill: var(--bad); } rect.warn { fill: var(--warn); } rect.dim { fill: var(--dim); }
)css";

const char* ClassOf(AttemptStatus status) {
  switch (status) {
    case AttemptStatus::kRun:
      return "ok";
    case AttemptStatus::kCached:
    case AttemptStatus::kSkipped:
      return "dim";
    case AttemptStatus::kFailed:
    case AttemptStatus::kGated:
      return "bad";
    default:
      return "warn";
  }
}

const char* ClassOf(RunStatus status) {
  return status == RunStatus::kOk                                      ? "ok"
         : status == RunStatus::kFailed || status == RunStatus::kGated ? "bad"
                                                                       : "warn";
}

std::string Span(const char* style, const std::string& text) {
  return std::string("<span class=\"") + style + "\">" + HtmlText(text) + "</span>";
}
std::string Code(const std::string& text) { return "<code>" + HtmlText(text) + "</code>"; }
std::string Pre(const std::string& text) { return "<pre>" + HtmlText(text) + "</pre>\n"; }

// `cells` hold HTML. Columns whose names begin with "#" are numbers.
class HtmlTable {
 public:
  explicit HtmlTable(std::vector<std::string> columns) : columns_(std::move(columns)) {}
  void Add(const std::vector<std::string>& cells) {
    rows_ += "<tr>";
    for (size_t i = 0; i < cells.size(); ++i) {
      const bool number = i < columns_.size() && columns_[i].starts_with("#");
      rows_ += std::string(number ? "<td class=\"number\">" : "<td>") + cells[i] + "</td>";
    }
    rows_ += "</tr>\n";
  }
  std::string Render() const {
    if (rows_.empty()) return "";
    std::string head;
    for (const auto& column : columns_)
      head += "<th>" + HtmlText(column.starts_with("#") ? column.substr(1) : column) + "</th>";
    return "<div class=\"scroll\"><table>\n<tr>" + head + "</tr>\n" + rows_ + "</table></div>\n";
  }

 private:
  std::vector<std::string> columns_;
  std::string rows_;
};

double Ended(const AttemptInfo& attempt, double now) { return attempt.finished > 0 ? attempt.finished : now; }

bool Executed(const AttemptInfo& attempt) {
  return attempt.status != AttemptStatus::kCached && attempt.status != AttemptStatus::kSkipped;
}

std::string Heading(const HtmlReport& report) {
  const RunInfo& run = report.run;
  std::string out = "<h1>" + HtmlText(run.pipeline) + ": " +
                    Span(ClassOf(run.status), RunStatusName(run.status)) + "</h1>\n<p class=\"facts\">run " +
                    Code(run.id) + ", " + HtmlText(LocalTime(run.started));
  const double end = run.finished > 0 ? run.finished : report.now;
  if (end > run.started) out += ", " + HtmlText(HumanDuration(end - run.started));
  if (!run.host.empty()) out += ", on " + HtmlText(run.host);
  if (!run.version.empty()) out += ", genflow " + HtmlText(run.version);
  for (const auto& tag : run.tags) out += ", tag " + Code(tag);
  out += "</p>\n";
  const auto params = nlohmann::json::parse(run.params_json, nullptr, false);
  if (params.is_object() && !params.empty()) {
    HtmlTable table({"parameter", "value"});
    for (const auto& [name, value] : params.items()) {
      table.Add({Code(name), HtmlText(value.is_string() ? value.get<std::string>() : value.dump())});
    }
    out += "<h2>Parameters</h2>\n" + table.Render();
  }
  return out;
}

std::string Timeline(const HtmlReport& report) {
  double begin = report.run.started, end = begin;
  size_t rows = 0;
  for (const auto& stage : report.stages) {
    bool shown = false;
    for (const auto& attempt : stage.attempts) {
      if (!Executed(attempt)) continue;
      shown = true;
      begin = std::min(begin, attempt.started);
      end = std::max(end, Ended(attempt, report.now));
    }
    rows += shown ? 1 : 0;
  }
  if (rows == 0 || end <= begin) return "";
  const double height = static_cast<double>(rows) * kRowHeight + 24;
  std::string out = "<h2>Timeline</h2>\n<svg viewBox=\"0 0 " + Fixed1(kNames + kBars + kMargin) + " " +
                    Fixed1(height) + "\" role=\"img\"><title>When each stage ran</title>\n";
  double y = 4;
  for (const auto& stage : report.stages) {
    double last = begin;
    std::string bars;
    for (const auto& attempt : stage.attempts) {
      if (!Executed(attempt)) continue;
      const double from = kNames + (attempt.started - begin) / (end - begin) * kBars;
      const double to = kNames + (Ended(attempt, report.now) - begin) / (end - begin) * kBars;
      last = std::max(last, Ended(attempt, report.now));
      bars += "<rect class=\"" + std::string(ClassOf(attempt.status)) + "\" x=\"" + Fixed1(from) + "\" y=\"" +
              Fixed1(y + 3) + "\" width=\"" + Fixed1(std::max(1.5, to - from)) +
              "\" height=\"14\" rx=\"2\"><title>" +
              HtmlText(stage.last.stage + ", attempt " + std::to_string(attempt.attempt) + ": " +
                       AttemptStatusName(attempt.status) + " after " +
                       HumanDuration(Ended(attempt, report.now) - attempt.started)) +
              "</title></rect>";
    }
    if (bars.empty()) continue;
    out += "<text x=\"" + Fixed1(kNames - 8) + "\" y=\"" + Fixed1(y + 14) + "\" text-anchor=\"end\">" +
           HtmlText(stage.last.stage) + "</text>" + bars + "<text x=\"" +
           Fixed1(kNames + (last - begin) / (end - begin) * kBars + 6) + "\" y=\"" + Fixed1(y + 14) + "\">" +
           HtmlText(HumanDuration(last - stage.attempts.front().started)) + "</text>\n";
    y += kRowHeight;
  }
  out += "<line class=\"axis\" x1=\"" + Fixed1(kNames) + "\" y1=\"" + Fixed1(y + 2) + "\" x2=\"" +
         Fixed1(kNames + kBars) + "\" y2=\"" + Fixed1(y + 2) + "\"/><text x=\"" + Fixed1(kNames) + "\" y=\"" +
         Fixed1(y + 16) + "\">0</text><text x=\"" + Fixed1(kNames + kBars) + "\" y=\"" + Fixed1(y + 16) +
         "\" text-anchor=\"end\">" + HtmlText(HumanDuration(end - begin)) + "</text>\n";
  return out + "</svg>\n";
}

std::string Stages(const HtmlReport& report) {
  HtmlTable table({"stage", "uses", "status", "#time", "#CPU", "#memory", "note"});
  for (const auto& stage : report.stages) {
    const AttemptInfo& last = stage.last;
    std::string note = last.end.error_message;
    if (last.status == AttemptStatus::kCached) note = "from run " + last.source_run;
    if (stage.attempts.size() > 1) {
      note = std::to_string(stage.attempts.size()) + " attempts" + (note.empty() ? "" : "; " + note);
    }
    const bool executed = Executed(last);
    table.Add({HtmlText(last.stage), Code(last.uses),
               Span(ClassOf(last.status), AttemptStatusName(last.status)),
               executed ? HtmlText(HumanDuration(Ended(last, report.now) - last.started)) : "",
               last.end.cpu_seconds > 0 ? HtmlText(HumanDuration(last.end.cpu_seconds)) : "",
               last.end.peak_rss_bytes > 0 ? HtmlText(HumanBytes(last.end.peak_rss_bytes)) : "",
               HtmlText(note.substr(0, note.find('\n')))});
  }
  return "<h2>Stages</h2>\n" + table.Render();
}

std::string Failures(const HtmlReport& report) {
  std::string out;
  for (const auto& stage : report.stages) {
    const AttemptInfo& last = stage.last;
    if (last.status != AttemptStatus::kFailed && last.status != AttemptStatus::kGated) continue;
    out +=
        "<h3>" + HtmlText(last.stage) + "</h3>\n" +
        Pre(last.end.error_message + (last.end.error_hint.empty() ? "" : "\nhint: " + last.end.error_hint));
    if (!stage.log_tail.empty())
      out += "<p class=\"facts\">The last lines of its log:</p>\n" + Pre(Join(stage.log_tail, "\n"));
  }
  return out.empty() ? "" : "<h2>What went wrong</h2>\n" + out;
}

std::string Gates(const HtmlReport& report) {
  std::string out;
  for (const auto& stage : report.stages) {
    if (!stage.gate) continue;
    out += "<h2>Gate " + HtmlText(stage.last.stage) + "</h2>\n";
    HtmlTable requirements({"requirement", "met", "difference", "numbers"});
    for (const auto& r : stage.gate->requirements) {
      const char* style = r.failed() ? "bad" : r.verdict == "yes" ? "ok" : "dim";
      requirements.Add({Code(r.text), Span(style, r.verdict), HtmlText(r.difference), HtmlText(r.numbers)});
    }
    out += requirements.Render();
    if (stage.gate->changes.empty()) continue;
    HtmlTable changes(stage.gate->change_columns);
    for (const auto& row : stage.gate->changes) {
      std::vector<std::string> cells;
      for (const auto& cell : row)
        cells.push_back(cell == "worse"    ? Span("bad", cell)
                        : cell == "better" ? Span("ok", cell)
                                           : HtmlText(cell));
      changes.Add(cells);
    }
    out += "<h3>Against the baseline</h3>\n" + changes.Render();
  }
  return out;
}

std::string Metrics(const HtmlReport& report) {
  std::string charts;
  HtmlTable values({"stage", "metric", "#value"});
  size_t drawn = 0;
  for (const auto& stage : report.stages) {
    for (const auto& [name, points] : stage.metrics) {
      if (points.size() > 1 && drawn < kMaxCharts) {
        const std::string chart = RenderChart(stage.last.stage + ": " + name, points);
        drawn += chart.empty() ? 0 : 1;
        charts += chart;
      }
      if (points.size() == 1 || drawn == kMaxCharts) {
        values.Add({HtmlText(stage.last.stage), Code(name), HtmlText(HtmlNumber(points.back().value))});
      }
    }
  }
  std::string out;
  if (!charts.empty()) out += "<h2>Metrics by step</h2>\n<div class=\"charts\">\n" + charts + "</div>\n";
  const std::string table = values.Render();
  return table.empty() ? out : out + "<h2>Metrics</h2>\n" + table;
}

std::string Summaries(const HtmlReport& report) {
  std::string out;
  for (const auto& stage : report.stages) {
    if (Trim(stage.last.end.summary).empty()) continue;
    out += "<h3>" + HtmlText(stage.last.stage) + "</h3>\n" +
           Pre(RenderMarkdown(stage.last.end.summary, "", false));
  }
  return out.empty() ? "" : "<h2>Summaries</h2>\n" + out;
}

std::string Artifacts(const HtmlReport& report) {
  HtmlTable table({"artifact", "type", "#size", "digest"});
  for (const auto& stage : report.stages) {
    for (const auto& output : stage.last.outputs) {
      table.Add({HtmlText(stage.last.stage + "." + output.port), HtmlText(output.artifact.type),
                 HtmlText(HumanBytes(output.artifact.bytes)), Code(output.artifact.digest.substr(0, 16))});
    }
  }
  const std::string rows = table.Render();
  return rows.empty() ? "" : "<h2>Artifacts</h2>\n" + rows;
}

}  // namespace

std::string RenderHtmlReport(const HtmlReport& report) {
  return "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
         "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
         "'unsafe-inline'\"/>\n"
         "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<title>" +
         HtmlText(report.run.pipeline + ", run " + report.run.id) + "</title>\n<style>" + kStyle +
         "</style>\n</head>\n<body>\n" + Heading(report) + Failures(report) + Stages(report) +
         Timeline(report) + Gates(report) + Metrics(report) + Summaries(report) + Artifacts(report) +
         "</body>\n</html>\n";
}

}  // namespace genflow::cli
