// A run as one HTML file: no scripts, nothing from outside.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "cli/ci_outcome.h"
#include "store/records.h"

namespace genflow::cli {

struct HtmlStage {
  AttemptInfo last;                                         // how the stage ended
  std::vector<AttemptInfo> attempts;                        // all of them, in order
  std::map<std::string, std::vector<MetricPoint>> metrics;  // by name, each by step
  std::optional<GateReport> gate;
  std::vector<std::string> log_tail;  // of a stage that failed
};

struct HtmlReport {
  RunInfo run;
  std::vector<HtmlStage> stages;  // in order of their first start
  double now = 0;                 // the end of what still goes on, seconds since the Unix epoch
};

// Well-formed XML apart from its document type. Times of day are in the user's time zone.
std::string RenderHtmlReport(const HtmlReport& report);

// A line chart as inline SVG: `points` by step (or by order, where they have none). Thousands of points are
// drawn as the range of each column of pixels.
std::string RenderChart(const std::string& title, const std::vector<MetricPoint>& points);

}  // namespace genflow::cli
