// Schedules: what is to be started when. Each is a file of its user's own; cron or systemd does the starting.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/cron_expression.h"
#include "cli/pipeline_status.h"

namespace genflow::cli {

struct Schedule {
  std::string name;
  std::string cron;                        // as written
  std::string backend;                     // cron or systemd
  std::string pipeline;                    // absolute path of the file
  std::vector<std::string> argv;           // of `genflow`: run PIPELINE ...
  std::string cwd, program;                // absolute
  std::map<std::string, std::string> env;  // set for the run
  double jitter = 0;                       // seconds; a start is late by up to that
  std::string log, state;                  // absolute; state: that of schedule_state.h
};

// $XDG_CONFIG_HOME/genflow/schedules, and where logs and states go: $XDG_STATE_HOME/genflow/schedules.
// kInvalid where there is neither the variable nor a home.
Result<std::filesystem::path> ScheduleFolder();
Result<std::filesystem::path> ScheduleStateFolder();
// A name is a file name of letters, digits, '_', '-' and inner '.'.
bool IsScheduleName(const std::string& name);

nlohmann::json ToJson(const Schedule& schedule);
Result<Schedule> ReadSchedule(const std::filesystem::path& definition);
// Readable for its owner alone: it may hold web hooks. Returns its path.
Result<std::filesystem::path> WriteSchedule(const Schedule& schedule);
// Where the schedule of that name stands, or would.
Result<std::filesystem::path> ScheduleFile(const std::string& name);

struct BrokenSchedule {
  std::string name;
  Error error;
};
struct ScheduleList {
  std::vector<Schedule> schedules;     // by name
  std::vector<BrokenSchedule> broken;  // their files cannot be read; by name
};
Result<ScheduleList> ListSchedules();

// Fills in the next starts of the pipelines. Schedules that cannot be read are left out.
void AddNextStarts(StoreStatus& status);

}  // namespace genflow::cli
