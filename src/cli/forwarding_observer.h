// An observer that adds something to another one.
#pragma once

#include <string>

#include "engine/observer.h"

namespace genflow::cli {

// Passes everything on to `next`, which must outlive it. Every method of Observer stands here.
class ForwardingObserver : public Observer {
 public:
  explicit ForwardingObserver(Observer& next) : next_(next) {}

  void RunStarted(const RunHeader& header, double now) override { next_.RunStarted(header, now); }
  void StageStarted(const StageStart& start, double now) override { next_.StageStarted(start, now); }
  void Progress(const StageProgress& progress, double now) override { next_.Progress(progress, now); }
  void Metric(const StageMetric& metric, double now) override { next_.Metric(metric, now); }
  void Log(const StageLog& log, double now) override { next_.Log(log, now); }
  void StageRetries(const std::string& stage, int attempt, double delay, const Error& error,
                    double now) override {
    next_.StageRetries(stage, attempt, delay, error, now);
  }
  void StageWaits(const std::string& stage, const std::string& for_what, double now) override {
    next_.StageWaits(stage, for_what, now);
  }
  void StageFinished(const StageResult& result, double now) override { next_.StageFinished(result, now); }
  void Stopping(int signal, bool forced, double grace, double now) override {
    next_.Stopping(signal, forced, grace, now);
  }
  void Notice(const std::string& text) override { next_.Notice(text); }
  void RunFinished(const RunReport& report, double now) override { next_.RunFinished(report, now); }
  double Tick(double now) override { return next_.Tick(now); }

 private:
  Observer& next_;
};

}  // namespace genflow::cli
