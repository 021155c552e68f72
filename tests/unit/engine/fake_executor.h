// An executor and a clock for tests of the engine's loop: attempts end as a script says, time moves only
// when the engine waits.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/files.h"
#include "engine/executor.h"

namespace genflow {

class FakeClock : public Clock {
 public:
  double Now() override { return now; }
  double WallNow() override { return 1.7e9 + now; }
  double now = 100;
};

// What an attempt of a stage does.
struct Script {
  double seconds = 1;
  int code = 0, signal = 0;
  std::vector<Event> reports;  // job numbers are filled in
  bool write_outputs = true;
  std::optional<double> stops_after;  // seconds from SIGTERM to its end; nothing: it ignores SIGTERM
  int stopped_code = 75;              // how it ends then
};

class FakeExecutor : public Executor {
 public:
  explicit FakeExecutor(FakeClock& clock) : clock_(clock) {}

  // Scripts of a stage by attempt; the last one serves all further ones. Without any: success in a second.
  std::map<std::string, std::vector<Script>> scripts;
  // Signals that the user sends: time -> number.
  std::map<double, int> signals;

  // What happened, in order: "100 start a", "101 end a", "105 ask a", "110 kill a".
  std::vector<std::string> history;
  std::vector<Job> jobs;
  size_t most_running = 0;

  Status Start(const Job& job) override {
    const auto& list = scripts[job.stage];
    const auto attempt = static_cast<size_t>(started_[job.stage]++);
    Running running;
    running.job = job;
    if (!list.empty()) running.script = list[std::min(attempt, list.size() - 1)];
    running.ends = clock_.now + running.script.seconds;
    Note("start " + job.stage);
    jobs.push_back(job);
    for (Event event : running.script.reports) {
      std::visit([&](auto& e) { SetJob(e, job.id); }, event);
      pending_.push_back(std::move(event));
    }
    running_[job.id] = std::move(running);
    most_running = std::max(most_running, running_.size());
    return Ok();
  }

  void Stop(int id, StopKind kind) override {
    const auto it = running_.find(id);
    if (it == running_.end()) return;
    Running& running = it->second;
    Note((kind == StopKind::kAsk ? "ask " : "kill ") + running.job.stage);
    if (kind == StopKind::kKill) {
      running.ends = clock_.now;
      running.script.signal = 9;
    } else if (running.script.stops_after) {
      running.ends = std::min(running.ends, clock_.now + *running.script.stops_after);
      running.script.code = running.script.stopped_code;
      running.script.write_outputs = false;
    }
  }

  void Background(int job, std::function<Status()> work) override {
    pending_.push_back(event::Worked{job, work()});
  }

  void Join() override {}

  Event Wait(double deadline) override {
    if (pending_.empty()) Advance(deadline);
    if (pending_.empty()) return event::Deadline{};
    Event event = std::move(pending_.front());
    pending_.pop_front();
    return event;
  }

 private:
  struct Running {
    Job job;
    Script script;
    double ends = 0;
  };

  static void SetJob(event::Deadline&, int) {}
  static void SetJob(event::Signal&, int) {}
  static void SetJob(event::Away&, int) {}
  template <class E>
  static void SetJob(E& event, int job) {
    event.job = job;
  }

  void Note(const std::string& what) {
    history.push_back(std::to_string(static_cast<int>(clock_.now)) + " " + what);
  }

  // Moves the clock to what comes first: a signal, the end of an attempt, or the deadline.
  void Advance(double deadline) {
    double next = deadline;
    const auto first = [&]() -> Running* {
      Running* at = nullptr;
      for (auto& [id, running] : running_) {
        if (running.ends <= next && (at == nullptr || running.ends < at->ends)) at = &running;
      }
      return at;
    }();
    if (first != nullptr) next = first->ends;
    if (!signals.empty() && signals.begin()->first <= next) {
      clock_.now = std::max(clock_.now, signals.begin()->first);
      pending_.push_back(event::Signal{signals.begin()->second});
      signals.erase(signals.begin());
      return;
    }
    ASSERT_LT(next, 1e9) << "the engine waits for nothing";
    clock_.now = std::max(clock_.now, next);
    if (first == nullptr) return;
    const Running ended = *first;
    running_.erase(ended.job.id);
    Note("end " + ended.job.stage);
    const auto& exec = std::get<ExecRequest>(ended.job.request);
    if (ended.script.write_outputs && ended.script.code == 0 && ended.script.signal == 0) {
      for (const auto& [port, path] : exec.outputs) std::ofstream(path) << ended.job.stage << "." << port;
    }
    ExitStatus status;
    status.code = ended.script.signal != 0 ? 0 : ended.script.code;
    status.signal = ended.script.signal;
    pending_.push_back(event::Exited{ended.job.id, status, std::nullopt});
  }

  FakeClock& clock_;
  std::map<int, Running> running_;
  std::map<std::string, int> started_;
  std::deque<Event> pending_;
};

}  // namespace genflow
