#include "stages/gate/metrics.h"

#include "eval/gate.h"
#include "stages/stage_status.h"

namespace genflow::stages {

void GateMetrics::Declare(Spec& spec) {
  spec.Doc(
      "Every requirement is an expression over metrics that must be true:\n\n"
      "```yaml\n"
      "require:\n"
      "  - perplexity < baseline.perplexity * 0.75\n"
      "  - guard.pass_rate >= 0.9 and abs(drift) < 0.1\n"
      "```\n\n"
      "Metrics go by the names in the reports; where two reports hold the same name, put the stage before "
      "it: "
      "`quality.perplexity`. Names with other characters than letters, digits, `_` and `.` are quoted: "
      "`\"my-stage.loss\"`. There are `+ - * /`, `< <= > >= == !=`, `and`, `or`, `not`, `min`, `max`, `abs` "
      "and "
      "parentheses.\n\n"
      "When a requirement is not met the run ends with exit code 3, after saying the numbers behind it. One "
      "that "
      "cannot be judged (an unknown metric, a division by zero) fails the stage: exit code 1.");
  spec.Param("require", &require, "[]", "Expressions that must all be true.", {.required = true});
  spec.Param(
      "tolerance", &tolerance, 0.0,
      "Standard errors by which a comparison may miss, taken from the metrics' own standard errors as if "
      "they were independent. Negative: it must hold with that much to spare.",
      {.min = -10, .max = 10});
  spec.Input("report", "report", "Reports whose metrics the requirements name.", GF_PORT_MANY);
  spec.Output("report", "report", "The requirements, the numbers behind them and what came out.");
}

std::string GateMetrics::Check() const { return eval::CheckRequirements(require); }

Outcome GateMetrics::Run(Context& context) {
  std::vector<eval::NamedReport> reports;
  for (const auto& input : context.GetInputs("report")) {
    reports.push_back({StageOfSource(input.source), ValueOf(eval::ReadReport(input.path)), input.source});
  }
  const auto outcomes = eval::Judge(require, reports, tolerance);
  const eval::Report report = eval::GateReport(outcomes, reports);
  Require(eval::WriteReport(report, context.OutputPath("report")));
  for (const auto& metric : report.metrics) context.Metric(metric.name, metric.value);
  const std::string message = eval::GateMessage(outcomes);
  if (eval::AnyError(outcomes)) return context.Fail(GF_ERROR_INVALID, message);
  if (!message.empty()) return context.Gate(message);
  context.Summary("Gate: " + std::to_string(outcomes.size()) +
                  (outcomes.size() == 1 ? " requirement met." : " requirements, all met."));
  return Outcome::kOk;
}

}  // namespace genflow::stages
