#include "stages/gate/metrics.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "eval/gate.h"
#include "eval/report_samples.h"
#include "stages/stage_status.h"

namespace genflow::stages {

namespace {

constexpr std::string_view kFileSource = "file:";

// `source` is "STAGE.PORT"; "REF:STAGE.PORT" for an output of another run; "file:PATH" for a file.
eval::NamedReport ReadNamed(const Input& input, bool baseline) {
  eval::NamedReport out;
  out.baseline = baseline;
  if (input.source.starts_with(kFileSource)) {
    out.source = input.source.substr(kFileSource.size());
  } else {
    out.source = input.source.substr(input.source.rfind(':') + 1);
    out.stage = StageOfSource(out.source);
  }
  out.report = ValueOf(eval::ReadReport(input.path, out.source));
  out.samples = ValueOf(eval::ReadSampleRows(input.path));
  return out;
}

// Whether the pipeline connects `port` to something that was not found and may be missing.
bool IsAbsent(const Context& context, const std::string& port) {
  const auto info = nlohmann::json::parse(context.InfoJson(), nullptr, false);
  if (!info.is_object()) return false;
  const auto absent = info.value("absent_inputs", nlohmann::json::array());
  return std::find(absent.begin(), absent.end(), port) != absent.end();
}

}  // namespace

void GateMetrics::Declare(Spec& spec) {
  spec.Doc(
      "Every requirement is an expression over metrics that must be true:\n\n"
      "```yaml\n"
      "require:\n"
      "  - perplexity < baseline.perplexity * 1.02\n"
      "  - guard.pass_rate >= baseline.guard.pass_rate - 0.02 at 95%\n"
      "  - rouge_l > 0.3 proven at 95%\n"
      "  - guard.pass_rate >= 0.9 and abs(drift) < 0.1\n"
      "```\n\n"
      "Metrics go by the names in the reports; where two reports hold the same name, put the stage before "
      "it: "
      "`quality.perplexity`. Names with other characters than letters, digits, `_` and `.` are quoted: "
      "`\"my-stage.loss\"`, and so are those of the children of a matrix: `\"eval[r=16].loss\"`. There are "
      "`+ - * /`, `< <= > >= == !=`, `and`, `or`, `not`, `min`, `max`, `abs` "
      "and "
      "parentheses.\n\n"
      "Metrics of the reports at `baseline` have `baseline.` before their names, and win over a report's own "
      "metrics that are called so (`quality.baseline.perplexity` still means those).\n\n"
      "`at 95%`: the comparison fails only when the numbers refute it, that is, when the whole two-sided 95% "
      "interval of the difference of its sides lies on the wrong side. `proven at 95%`: it holds only when "
      "the "
      "whole interval lies on the right side. Intervals are by the normal approximation, errors propagate by "
      "the delta method, and metrics of the same samples are compared sample by sample.\n\n"
      "When a requirement is not met the run ends with exit code 3, after saying the numbers behind it. One "
      "that "
      "cannot be judged (an unknown metric, a division by zero) fails the stage: exit code 1.");
  spec.Param("require", &require, "[]", "Expressions that must all be true.", {.required = true});
  spec.Param("confidence", &confidence, 0.0,
             "From 0.5 to less than 1: every comparison that says nothing else is judged `at` this "
             "confidence. 0: as the numbers stand.",
             {.min = 0, .max = 0.9999});
  spec.Param("tolerance", &tolerance, 0.0,
             "Standard errors of the difference by which a comparison may miss. Negative: it must hold with "
             "that much to spare.",
             {.min = -10, .max = 10});
  spec.Input("report", "report", "Reports whose metrics the requirements name.", GF_PORT_MANY);
  spec.Input("baseline", "report",
             "What they are compared with: reports of an earlier run, of a registered model or of a file.",
             GF_PORT_MANY | GF_PORT_OPTIONAL);
  spec.Output("report", "report",
              "The requirements, the numbers behind them and what came out; every metric against the "
              "baseline.");
}

std::string GateMetrics::Check() const {
  if (confidence != 0 && confidence < 0.5) return "confidence: expected 0, or at least 0.5";
  if (confidence != 0 && tolerance != 0) return "confidence and tolerance exclude each other";
  return eval::CheckRequirements(require);
}

Outcome GateMetrics::Run(Context& context) {
  std::vector<eval::NamedReport> reports;
  for (const auto& input : context.GetInputs("report")) reports.push_back(ReadNamed(input, false));
  for (const auto& input : context.GetInputs("baseline")) reports.push_back(ReadNamed(input, true));
  const eval::JudgeOptions options{tolerance, confidence, IsAbsent(context, "baseline")};
  const auto outcomes = eval::Judge(require, reports, options);
  const eval::Report report = eval::GateReport(outcomes, reports);
  Require(eval::WriteReport(report, context.OutputPath("report")));
  for (const auto& metric : report.metrics) context.Metric(metric.name, metric.value);
  const std::string message = eval::GateMessage(outcomes);
  if (eval::AnyError(outcomes)) return context.Fail(GF_ERROR_INVALID, message);
  if (!message.empty()) return context.Gate(message);
  context.Summary(eval::GateSummary(outcomes));
  return Outcome::kOk;
}

}  // namespace genflow::stages
