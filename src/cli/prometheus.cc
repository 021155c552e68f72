// The status in Prometheus' text exposition format (version 0.0.4).
#include <cmath>
#include <cstdio>

#include "base/files.h"
#include "cli/pipeline_status.h"

namespace genflow::cli {

namespace {

using Labels = std::vector<std::pair<std::string, std::string>>;

// Backslash, double quote and line feed, as the format wants them in a label's value.
std::string EscapedLabel(const std::string& value) {
  std::string out;
  for (const char c : value) {
    if (c == '\n') {
      out += "\\n";
      continue;
    }
    if (c == '\\' || c == '"') out += '\\';
    out += c;
  }
  return out;
}

// Integers in full, times to the millisecond.
std::string Number(double value) {
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, value == std::floor(value) ? "%.0f" : "%.3f", value);
  return buffer;
}

// One metric with all its samples, which the format wants together.
class Family {
 public:
  Family(std::string name, const std::string& help) : name_(std::move(name)) {
    head_ = "# HELP " + name_ + " " + help + "\n# TYPE " + name_ + " gauge\n";
  }
  void Add(const Labels& labels, double value) {
    samples_ += name_;
    const char* separator = "{";
    for (const auto& [name, text] : labels) {
      samples_ += separator + name + "=\"" + EscapedLabel(text) + "\"";
      separator = ",";
    }
    samples_ += (labels.empty() ? " " : "} ") + Number(value) + "\n";
  }
  std::string Text() const { return samples_.empty() ? "" : head_ + samples_; }

 private:
  std::string name_, head_, samples_;
};

void With(Labels labels, std::string name, std::string value, Family& family, double number) {
  labels.emplace_back(std::move(name), std::move(value));
  family.Add(labels, number);
}

}  // namespace

std::string RenderPrometheus(const StoreStatus& status) {
  Family running("genflow_running", "1 while a run of the pipeline goes on.");
  Family done("genflow_running_stages_done", "Stages that the running run has finished.");
  Family total("genflow_running_stages", "Stages of the running run.");
  Family progress("genflow_running_stage_progress_ratio", "Progress of a running stage, from 0 to 1.");
  Family start("genflow_last_run_start_timestamp_seconds", "Start of the last run that is over.");
  Family end("genflow_last_run_end_timestamp_seconds", "End of the last run that is over.");
  Family state("genflow_last_run_status", "1 for the status of the last run that is over, 0 for the others.");
  Family stages("genflow_last_run_stages", "Stages of the last run that is over, by how they ended.");
  Family success("genflow_last_success_timestamp_seconds", "End of the last run that succeeded.");
  Family failures("genflow_consecutive_failures",
                  "Runs that failed, were gated or could not start since the last success.");
  Family attempted("genflow_last_start_timestamp_seconds",
                   "Last time that a run was asked for, also where nothing had changed.");
  Family next("genflow_next_start_timestamp_seconds", "Next start by a schedule.");
  for (const auto& p : status.pipelines) {
    const Labels labels = {{"pipeline", p.pipeline}, {"file", p.file}};
    running.Add(labels, p.running ? 1 : 0);
    if (p.running) {
      done.Add(labels, static_cast<double>(p.stages_done));
      total.Add(labels, static_cast<double>(p.running->stages.size()));
      for (const auto& stage : p.stages) {
        if (!stage.progress || stage.progress->total == 0) continue;
        With(labels, "stage", stage.stage, progress,
             static_cast<double>(stage.progress->done) / static_cast<double>(stage.progress->total));
      }
    }
    double started = p.running ? p.running->started : 0;
    if (p.last) {
      start.Add(labels, p.last->started);
      end.Add(labels, p.last->finished);
      for (const RunStatus each :
           {RunStatus::kOk, RunStatus::kFailed, RunStatus::kGated, RunStatus::kInterrupted})
        With(labels, "status", RunStatusName(each), state, p.last->status == each ? 1 : 0);
      With(labels, "result", "run", stages, p.last->stages_run);
      With(labels, "result", "cached", stages, p.last->stages_cached);
      With(labels, "result", "failed", stages, p.last->stages_failed);
      With(labels, "result", "skipped", stages, p.last->stages_skipped);
      started = std::max(started, p.last->started);
    }
    if (p.success) success.Add(labels, p.success->finished);
    failures.Add(labels, p.consecutive_failures);
    if (p.note) started = std::max(started, p.note->time);
    attempted.Add(labels, started);
    for (const auto& each : p.next) With(labels, "schedule", each.schedule, next, each.time);
  }
  const Labels store = {{"store", status.root.string()}};
  Family objects("genflow_store_objects", "Artifacts in the store.");
  Family bytes("genflow_store_bytes", "Bytes that the artifacts in the store take.");
  Family free("genflow_store_free_bytes", "Bytes that are free on the store's file system.");
  objects.Add(store, static_cast<double>(status.usage.objects));
  bytes.Add(store, static_cast<double>(status.usage.bytes));
  free.Add(store, static_cast<double>(status.free_bytes));
  std::string out;
  for (const Family* family : {&running, &done, &total, &progress, &start, &end, &state, &stages, &success,
                               &failures, &attempted, &next, &objects, &bytes, &free})
    out += family->Text();
  return out;
}

Status CheckPrometheusName(const std::string& file) {
  if (file.empty() || file.ends_with(".prom")) return Ok();
  return InvalidError("--prometheus " + file + ": node_exporter reads only files that end in .prom",
                      "write --prometheus " + file + ".prom");
}

Status WritePrometheus(const StoreStatus& status, const std::string& file) {
  return WriteFileAtomic(file, RenderPrometheus(status), 0644);
}

}  // namespace genflow::cli
