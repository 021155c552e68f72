// Inputs from outside the pipeline: what is read, and what is refused.
#include <gtest/gtest.h>

#include "unit/config/loading.h"
#include "unit/config/refusal.h"

namespace genflow {
namespace {

// A gate whose input `report` is `value`, after a stage that makes two outputs of which one is a report.
std::string Gate(const std::string& value) {
  return "name: p\nparams: { base: latest-ok }\nstages:\n"
         "  quality:\n    uses: exec\n    with: { run: 'true' }\n    out: { report: report, other: file }\n"
         "  judge:\n    uses: exec\n    in:\n      report: quality.report\n      base: " +
         value + "\n    with: { run: 'echo ${{ params.base }}' }\n";
}

TEST(OutsideInputs, Kinds) {
  const Pipeline run = Load(Gate("{ run: '${{ params.base }}', output: quality.report, optional: true }"));
  const InputRef& input = run.Find("judge")->inputs[1];
  ASSERT_TRUE(input.outside.has_value());
  EXPECT_EQ(input.outside->kind, OutsideSource::Kind::kRun);
  EXPECT_EQ(input.outside->ref, "latest-ok");
  EXPECT_EQ(input.outside->output, "quality.report");
  EXPECT_TRUE(input.outside->optional);
  EXPECT_EQ(input.Source(), "latest-ok:quality.report");
  EXPECT_EQ(run.Find("judge")->inputs[0].Source(), "quality.report");
  const Pipeline model = Load(Gate("{ model: helper@production }"));
  EXPECT_EQ(model.Find("judge")->inputs[1].Source(), "helper@production");
  const Pipeline file = Load(Gate("{ file: a.b }"));
  EXPECT_EQ(file.Find("judge")->inputs[1].Source(), "file:a.b");
}

TEST(OutsideInputs, TheOutputIsThatOfTheOtherInputsOfItsType) {
  const Pipeline pipeline = Load(
      std::string(kDesign) +
      "  again:\n    uses: eval.perplexity\n    in: { model: { model: helper@1 }, dataset: clean.test }\n"
      "  both:\n    uses: gate.metrics\n    in: { report: [quality.report, { run: latest-ok }, again.report] "
      "}\n"
      "    with: { require: [a < 1] }\n");
  EXPECT_EQ(pipeline.Find("again")->inputs[0].Source(), "helper@1");
  EXPECT_EQ(pipeline.Find("again")->inputs[0].type, "model");
  std::vector<std::string> sources;
  for (const auto& input : pipeline.Find("both")->inputs) sources.push_back(input.Source());
  EXPECT_EQ(sources, (std::vector<std::string>{"quality.report", "latest-ok:quality.report",
                                               "latest-ok:again.report", "again.report"}));
}

// What is said of `value`, without the source line.
std::string Said(const std::string& value) {
  const std::string text = Refusal(Gate(value));
  const size_t line = text.find("\n   12 |"), caret = text.find("^", line), end = text.find('\n', caret);
  return line == std::string::npos ? text : text.substr(1, line) + text.substr(end + 1);
}

TEST(OutsideInputs, Refusals) {
  EXPECT_EQ(
      Said("{ rnu: latest }"),
      "pipeline.yaml:12:15: error: unknown key 'rnu' in in.base\n  hint: did you mean 'run'?\n\n1 error\n");
  EXPECT_EQ(
      Said("{ output: quality.report }"),
      "pipeline.yaml:12:13: error: in.base: expected an output such as stage.port, or one of run, model "
      "and file\n  hint: for example base: { run: latest-ok, output: stage.port }\n\n1 error\n");
  EXPECT_EQ(Said("{ run: latest, file: x }"),
            "pipeline.yaml:12:34: error: in.base: give one of run, model and file\n\n1 error\n");
  EXPECT_EQ(Said("{ run: latest }"),
            "pipeline.yaml:12:20: error: in.base: which output of that run is meant?\n"
            "  hint: add output: stage.port\n\n1 error\n");
  EXPECT_EQ(
      Said("{ run: latest, output: report }"),
      "pipeline.yaml:12:36: error: in.base.output: expected an output such as stage.port, got 'report'\n\n"
      "1 error\n");
  EXPECT_EQ(Said("{ model: helper }"),
            "pipeline.yaml:12:22: error: in.base.model: expected NAME@ALIAS or NAME@VERSION, got 'helper'\n"
            "  hint: `genflow models ls` lists them\n\n1 error\n");
  EXPECT_EQ(Said("{ file: x, output: a.b }"),
            "pipeline.yaml:12:32: error: in.base: a file has no output\n\n1 error\n");
  EXPECT_EQ(Said("{ file: x, optional: maybe }"),
            "pipeline.yaml:12:34: error: in.base.optional: expected true or false, got 'maybe'\n\n1 error\n");
  EXPECT_EQ(Said("{ run: '' }"), "pipeline.yaml:12:20: error: in.base.run is empty\n\n1 error\n");
}

TEST(OutsideInputs, APortThatNeedsItsArtifactIsNotOptional) {
  const std::string text =
      "name: p\nstages:\n  gate:\n    uses: gate.metrics\n"
      "    in: { report: { run: latest, output: a.b, optional: true } }\n    with: { require: [a < 1] }\n";
  EXPECT_EQ(Refusal(text), R"(
pipeline.yaml:5:57: error: in.report: the port needs its artifact, so that it cannot be optional
    5 |     in: { report: { run: latest, output: a.b, optional: true } }
      |                                                         ^~~~

1 error
)");
}

}  // namespace
}  // namespace genflow
