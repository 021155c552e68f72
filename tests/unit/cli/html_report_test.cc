#include "cli/html_report.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "testing/junit_check.h"

namespace genflow::cli {
namespace {

AttemptInfo Attempt(const std::string& stage, int number, AttemptStatus status, double from, double to) {
  AttemptInfo out;
  out.run = "20261124-1607-ab12";
  out.stage = stage;
  out.uses = "test.act";
  out.attempt = number;
  out.status = status;
  out.started = from;
  out.finished = to;
  return out;
}

// A cached stage, one that worked at the second attempt and one that failed; names that are not for HTML.
HtmlReport Sample() {
  HtmlReport report;
  report.run.id = "20261124-1607-ab12";
  report.run.pipeline = "a <b> & \"c\"";
  report.run.status = RunStatus::kFailed;
  report.run.started = 1000;
  report.run.finished = 1100;
  report.run.params_json = R"({"epochs": 2, "text": "<i>"})";
  report.now = 1200;
  HtmlStage pages, tune, gate;
  pages.last = Attempt("pages", 1, AttemptStatus::kCached, 1000, 1000);
  pages.last.source_run = "20261123-0000-aaaa";
  pages.attempts = {pages.last};
  tune.attempts = {Attempt("tune", 1, AttemptStatus::kFailed, 1000, 1010),
                   Attempt("tune", 2, AttemptStatus::kRun, 1020, 1090)};
  tune.last = tune.attempts.back();
  tune.last.end.summary = "Trained **well**";
  for (int step = 0; step < 10; ++step) tune.metrics["loss"].push_back({"loss", 1.0 / (step + 1), step, 0});
  tune.metrics["rows"] = {{"rows", 1234, -1, 0}};
  PortArtifact output;
  output.port = "adapter";
  output.artifact.type = "adapter";
  output.artifact.digest = std::string(64, 'a');
  output.artifact.bytes = 2048;
  tune.last.outputs = {output};
  gate.last = Attempt("gate", 1, AttemptStatus::kGated, 1090, 1100);
  gate.last.end.error_message = "1 of 1 requirements is not met:\n  loss < 0";
  gate.attempts = {gate.last};
  gate.gate = GateReport{{{"loss < 0", "no", "loss = 0.1", "0.1"}},
                         {"metric", "now", "baseline", "change [95%]", "samples", ""},
                         {{"loss", "0.1", "0.05", "0.05", "", "worse"}}};
  report.stages = {pages, tune, gate};
  return report;
}

// The document as XML; fails the test where it is not well-formed.
XmlElement Parsed(std::string html) {
  const std::string type = "<!DOCTYPE html>\n";
  EXPECT_TRUE(html.starts_with(type));
  std::string problem;
  const XmlElement root =
      ParseXml("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n" + html.substr(type.size()), &problem);
  EXPECT_EQ(problem, "");
  return root;
}

void Collect(const XmlElement& element, const std::string& name, std::vector<const XmlElement*>* out) {
  if (element.name == name) out->push_back(&element);
  for (const auto& child : element.children) Collect(child, name, out);
}

std::vector<const XmlElement*> All(const XmlElement& root, const std::string& name) {
  std::vector<const XmlElement*> out;
  Collect(root, name, &out);
  return out;
}

TEST(HtmlReport, SectionsInOrder) {
  const XmlElement root = Parsed(RenderHtmlReport(Sample()));
  std::string sections;
  for (const auto* heading : All(root, "h2")) sections += heading->text + "\n";
  EXPECT_EQ(sections,
            "Parameters\nWhat went wrong\nStages\nTimeline\nGate gate\nMetrics by step\nMetrics\nSummaries\n"
            "Artifacts\n");
  EXPECT_EQ(All(root, "title")[0]->text, "a <b> & \"c\", run 20261124-1607-ab12");
}

TEST(HtmlReport, TheTimelineHasABarAnAttempt) {
  const XmlElement root = Parsed(RenderHtmlReport(Sample()));
  std::string bars;
  for (const auto* bar : All(root, "rect")) {
    bars += bar->Get("class") + " " + bar->Get("x") + " " + bar->Get("width") + " " + bar->children[0].text +
            "\n";
  }
  EXPECT_EQ(bars,
            "bad 150.0 62.0 tune, attempt 1: failed after 10.0 s\n"
            "ok 274.0 434.0 tune, attempt 2: run after 1m 10s\n"
            "bad 708.0 62.0 gate, attempt 1: gated after 10.0 s\n");
}

TEST(HtmlReport, NothingFromOutsideAndNoScript) {
  HtmlReport report = Sample();
  report.stages[1].last.end.summary = "<script>alert(1)</script> ![x](http://example.org/x.png)";
  const std::string html = RenderHtmlReport(report);
  const XmlElement root = Parsed(html);
  for (const char* name : {"script", "link", "img", "iframe", "object", "a", "i"})
    EXPECT_TRUE(All(root, name).empty()) << name;
  for (const char* attribute : {" src=", " href=", " onload=", "@import", "url("})
    EXPECT_EQ(html.find(attribute), std::string::npos) << attribute;
}

TEST(HtmlReport, ARunThatIsCachedHasNoTimeline) {
  HtmlReport report = Sample();
  report.stages.resize(1);
  const XmlElement root = Parsed(RenderHtmlReport(report));
  EXPECT_TRUE(All(root, "svg").empty());
}

TEST(Chart, FirstLastAndRange) {
  std::vector<MetricPoint> points = {{"loss", 4, 10, 0}, {"loss", 1, 20, 0}, {"loss", 2, 30, 0}};
  const std::string chart = RenderChart("tune: loss", points);
  EXPECT_NE(chart.find("<polyline points=\"8.0,28.0 160.0,128.0 312.0,94.7\"/>"), std::string::npos) << chart;
  for (const char* label : {">tune: loss<", ">2<", ">step 10<", ">1 to 4<", ">30<"})
    EXPECT_NE(chart.find(label), std::string::npos) << label;
  points[1].value = std::numeric_limits<double>::quiet_NaN();
  EXPECT_NE(RenderChart("x", points).find("points=\"8.0,28.0 312.0,128.0\""), std::string::npos);
  EXPECT_EQ(RenderChart("x", {}), "");
  EXPECT_NE(RenderChart("x", {{"c", 3, -1, 0}, {"c", 3, -1, 0}}).find(">first<"), std::string::npos);
}

TEST(Chart, ManyPointsKeepTheirPeaks) {
  std::vector<MetricPoint> points;
  for (int step = 0; step < 100000; ++step) points.push_back({"x", step == 77777 ? 5.0 : 1.0, step, 0});
  const std::string chart = RenderChart("x", points);
  EXPECT_LT(chart.size(), 20000u);
  EXPECT_NE(chart.find(",28.0"), std::string::npos) << "the peak is drawn";
}

}  // namespace
}  // namespace genflow::cli
