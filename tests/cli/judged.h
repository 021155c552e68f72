// A pipeline that measures a score as told, and judges it.
#pragma once

#include <string>

namespace genflow {

// `baseline`: what stands behind `baseline: ` of the gate; empty: no such input.
inline std::string Judged(const std::string& baseline, const std::string& require) {
  return R"(name: judged
params: { score: 0.8, broken: false }
stages:
  measure:
    uses: exec
    with:
      run: |
        echo measuring
        if ${{ params.broken }}; then echo "the sensor is gone" >&2; exit 7; fi
        mkdir "$GENFLOW_OUT_REPORT"
        printf '{"format": "genflow.report", "version": 1, "title": "T", "metrics": {"score":
          {"value": %s, "stderr": 0.01, "n": 100, "higher_is_better": true}}}' ${{ params.score }} \
          > "$GENFLOW_OUT_REPORT/report.json"
        echo ${{ params.score }} > "$GENFLOW_OUT_PACKAGE"
    out: { report: report, package: package }
  gate:
    uses: gate.metrics
    in:
      report: measure.report
)" + (baseline.empty() ? "" : "      baseline: " + baseline + "\n") +
         "    with: { require: [" + require + "] }\n";
}

inline constexpr char kAgainstLatest[] = "{ run: latest-ok, optional: true }";
inline constexpr char kNotWorse[] = "score >= 0.5, score >= baseline.score - 0.05 at 95%";

}  // namespace genflow
