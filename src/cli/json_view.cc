#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/json_output.h"
#include "cli/renderer.h"
#include "cli/stage_origins.h"

namespace genflow::cli {

namespace {

using nlohmann::json;

class JsonView : public Observer {
 public:
  JsonView(std::FILE* out, const Pipeline& pipeline) : out_(out), pipeline_(pipeline) {}

  void RunStarted(const RunHeader& header, double) override {
    json origins = json::object();
    for (const auto& stage : header.stages) {
      json origin = json::object();
      AddOrigin(pipeline_, stage, &origin);
      if (!origin.empty()) origins[stage] = std::move(origin);
    }
    Emit({{"event", "run-started"},
          {"run", header.run},
          {"pipeline", header.pipeline},
          {"store", header.store.string()},
          {"stages", header.stages},
          {"origins", std::move(origins)}});
  }
  void StageStarted(const StageStart& start, double) override {
    EmitOf(start.stage, {{"event", "stage-started"},
                         {"stage", start.stage},
                         {"uses", start.uses},
                         {"attempt", start.attempt},
                         {"reason", start.reason},
                         {"threads", start.threads},
                         {"gpus", start.gpus},
                         {"log", start.log.string()}});
  }
  void Progress(const StageProgress& p, double) override {
    Emit({{"event", "progress"},
          {"stage", p.stage},
          {"done", p.done},
          {"total", p.total},
          {"unit", p.unit},
          {"message", p.message}});
  }
  void Metric(const StageMetric& m, double) override {
    Emit({{"event", "metric"}, {"stage", m.stage}, {"name", m.name}, {"value", m.value}, {"step", m.step}});
  }
  void Log(const StageLog& log, double) override {
    Emit({{"event", "log"}, {"stage", log.stage}, {"level", log.level}, {"text", log.text}});
  }
  void StageRetries(const std::string& stage, int attempt, double delay, const Error& error,
                    double) override {
    EmitOf(stage, {{"event", "stage-retries"},
                   {"stage", stage},
                   {"attempt", attempt},
                   {"delay", delay},
                   {"error", ToJson(error)}});
  }
  void StageWaits(const std::string& stage, const std::string& for_what, double) override {
    EmitOf(stage, {{"event", "stage-waits"}, {"stage", stage}, {"for", for_what}});
  }
  void StageFinished(const StageResult& result, double) override {
    json line = ToJson(result);
    line["event"] = "stage-finished";
    EmitOf(result.stage, std::move(line));
  }
  void Stopping(int signal, bool forced, double grace, double) override {
    Emit({{"event", "stopping"}, {"signal", signal}, {"forced", forced}, {"grace", grace}});
  }
  void Notice(const std::string& text) override { Emit({{"event", "notice"}, {"text", text}}); }
  void RunFinished(const RunReport& report, double) override {
    json stages = json::array();
    for (const auto& stage : report.stages) {
      stages.push_back(ToJson(stage));
      AddOrigin(pipeline_, stage.stage, &stages.back());
    }
    Emit({{"event", "run-finished"},
          {"run", report.run},
          {"pipeline", report.pipeline},
          {"status", RunStatusName(report.status)},
          {"exit_code", report.exit_code},
          {"seconds", report.seconds},
          {"resumable", report.resumable},
          {"stages", stages}});
  }

 private:
  void EmitOf(const std::string& stage, json line) {
    AddOrigin(pipeline_, stage, &line);
    Emit(line);
  }
  void Emit(const json& line) {
    std::fputs((Dump(line) + "\n").c_str(), out_);
    std::fflush(out_);
  }

  std::FILE* out_;
  const Pipeline& pipeline_;
};

}  // namespace

std::unique_ptr<Observer> MakeJsonView(std::FILE* out, const Pipeline& pipeline) {
  return std::make_unique<JsonView>(out, pipeline);
}

}  // namespace genflow::cli
