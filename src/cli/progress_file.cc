#include "cli/progress_file.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <limits>

#include "base/files.h"
#include "cli/forwarding_observer.h"
#include "cli/json_output.h"

namespace genflow::cli {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr double kInterval = 2;
constexpr double kNever = std::numeric_limits<double>::infinity();

fs::path ProgressPath(const fs::path& store_root, const std::string& run) {
  return store_root / "logs" / run / "progress.json";
}

class ProgressFile : public ForwardingObserver {
 public:
  explicit ProgressFile(std::unique_ptr<Observer> next) : ForwardingObserver(*next), next_(std::move(next)) {}
  ~ProgressFile() override { Remove(); }

  void RunStarted(const RunHeader& header, double now) override {
    path_ = ProgressPath(header.store, header.run);
    progress_.stages = header.stages.size();
    next_write_ = now + kInterval;
    ForwardingObserver::RunStarted(header, now);
  }
  void StageStarted(const StageStart& start, double now) override {
    progress_.running.erase(start.stage);
    ForwardingObserver::StageStarted(start, now);
    Changed(now);
  }
  void Progress(const StageProgress& progress, double now) override {
    progress_.running[progress.stage] = progress;
    ForwardingObserver::Progress(progress, now);
    Changed(now);
  }
  void StageRetries(const std::string& stage, int attempt, double delay, const Error& error,
                    double now) override {
    progress_.running.erase(stage);
    ForwardingObserver::StageRetries(stage, attempt, delay, error, now);
    Changed(now);
  }
  void StageFinished(const StageResult& result, double now) override {
    progress_.running.erase(result.stage);
    ++progress_.finished;
    ForwardingObserver::StageFinished(result, now);
    Changed(now);
  }
  void RunFinished(const RunReport& report, double now) override {
    Remove();
    ForwardingObserver::RunFinished(report, now);
  }
  double Tick(double now) override {
    if (now >= next_write_ && changed_) Write(now);
    return std::min(ForwardingObserver::Tick(now), changed_ ? next_write_ : kNever);
  }

 private:
  void Changed(double now) {
    changed_ = true;
    if (now >= next_write_) Write(now);
  }

  // Whole for its readers, and not synced: after a crash the run is over.
  void Write(double now) {
    changed_ = false;
    next_write_ = now + kInterval;
    if (path_.empty()) return;
    json running = json::object();
    for (const auto& [stage, progress] : progress_.running) {
      running[stage] = {{"done", progress.done},
                        {"total", progress.total},
                        {"unit", progress.unit},
                        {"message", progress.message}};
    }
    const json all = {
        {"stages", progress_.stages}, {"finished", progress_.finished}, {"running", std::move(running)}};
    std::error_code ec;
    fs::create_directories(path_.parent_path(), ec);
    fs::path partial = path_;
    partial += ".new";
    std::ofstream out(partial);
    out << Dump(all) << "\n";
    out.close();
    if (out) fs::rename(partial, path_, ec);
    if (!out || ec) fs::remove(partial, ec);
    written_ = true;
  }

  void Remove() {
    if (!written_) return;
    std::error_code ec;
    fs::remove(path_, ec);
    path_.clear();
    written_ = false;
  }

  std::unique_ptr<Observer> next_;
  fs::path path_;
  RunProgress progress_;
  double next_write_ = kNever;
  bool changed_ = false, written_ = false;
};

}  // namespace

std::unique_ptr<Observer> MakeProgressFile(std::unique_ptr<Observer> next) {
  return std::make_unique<ProgressFile>(std::move(next));
}

std::optional<RunProgress> ReadProgressFile(const fs::path& store_root, const std::string& run) {
  const auto text = ReadFile(ProgressPath(store_root, run), 64 << 20);
  if (!text.ok()) return std::nullopt;
  const auto all = json::parse(*text, nullptr, false);
  if (!all.is_object()) return std::nullopt;
  try {
    RunProgress out;
    out.stages = all.at("stages").get<size_t>();
    out.finished = all.at("finished").get<size_t>();
    for (const auto& [stage, item] : all.at("running").items()) {
      out.running[stage] = {stage, item.at("done").get<uint64_t>(), item.at("total").get<uint64_t>(),
                            item.at("unit").get<std::string>(), item.at("message").get<std::string>()};
    }
    return out;
  } catch (const json::exception&) {
    return std::nullopt;
  }
}

}  // namespace genflow::cli
