#include "cli/schedules.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <tuple>

#include "base/files.h"
#include "cli/json_output.h"
#include "store/locks.h"

namespace genflow::cli {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

// A folder of the user's own, by the XDG base directory specification.
Result<fs::path> UserFolder(const char* variable, const char* below_home) {
  const char* given = std::getenv(variable);
  if (given != nullptr && *given == '/') return fs::path(given) / "genflow/schedules";
  const char* home = std::getenv("HOME");
  if (home == nullptr || *home != '/') {
    return InvalidError("there is no home folder for schedules: HOME is not set",
                        std::string("set HOME or ") + variable);
  }
  return fs::path(home) / below_home / "genflow/schedules";
}

}  // namespace

Result<fs::path> ScheduleFolder() { return UserFolder("XDG_CONFIG_HOME", ".config"); }
Result<fs::path> ScheduleStateFolder() { return UserFolder("XDG_STATE_HOME", ".local/state"); }

bool IsScheduleName(const std::string& name) {
  return !name.empty() && name.size() <= 64 && name[0] != '.' && name[0] != '-' &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) {
           return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.';
         });
}

json ToJson(const Schedule& s) {
  return {{"name", s.name},     {"cron", s.cron}, {"backend", s.backend}, {"pipeline", s.pipeline},
          {"argv", s.argv},     {"cwd", s.cwd},   {"program", s.program}, {"env", s.env},
          {"jitter", s.jitter}, {"log", s.log},   {"state", s.state}};
}

Result<Schedule> ReadSchedule(const fs::path& definition) {
  GF_TRY(const auto text, ReadFile(definition, 1 << 20));
  try {
    const auto all = json::parse(text);
    Schedule s;
    s.name = all.at("name").get<std::string>();
    s.cron = all.at("cron").get<std::string>();
    s.backend = all.at("backend").get<std::string>();
    s.pipeline = all.at("pipeline").get<std::string>();
    s.argv = all.at("argv").get<std::vector<std::string>>();
    s.cwd = all.at("cwd").get<std::string>();
    s.program = all.at("program").get<std::string>();
    s.env = all.at("env").get<std::map<std::string, std::string>>();
    s.jitter = all.at("jitter").get<double>();
    s.log = all.at("log").get<std::string>();
    s.state = all.at("state").get<std::string>();
    return s;
  } catch (const json::exception&) {
    return MakeError(Code::kCorrupt, definition.string() + ": is not a schedule",
                     "`genflow schedule rm " + definition.stem().string() +
                         "` removes it with what starts it; then add it again");
  }
}

Result<fs::path> ScheduleFile(const std::string& name) {
  GF_TRY(const auto folder, ScheduleFolder());
  return folder / (name + ".json");
}

Result<fs::path> WriteSchedule(const Schedule& schedule) {
  GF_TRY(const auto path, ScheduleFile(schedule.name));
  GF_CHECK_OK(MakeDirectories(path.parent_path()));
  GF_CHECK_OK(WriteFileAtomic(path, DumpPretty(ToJson(schedule)), 0600));
  return path;
}

Result<ScheduleList> ListSchedules() {
  GF_TRY(const auto folder, ScheduleFolder());
  std::vector<fs::path> files;
  std::error_code ec;
  for (fs::directory_iterator it(folder, ec), end; !ec && it != end; it.increment(ec)) {
    if (it->path().extension() == ".json" && IsScheduleName(it->path().stem())) files.push_back(it->path());
  }
  std::sort(files.begin(), files.end());
  ScheduleList out;
  for (const auto& file : files) {
    auto schedule = ReadSchedule(file);
    if (schedule.ok())
      out.schedules.push_back(*std::move(schedule));
    else
      out.broken.push_back({file.stem().string(), schedule.error()});
  }
  return out;
}

void AddNextStarts(StoreStatus& status) {
  const auto folder = ScheduleFolder();
  if (!folder.ok()) return;
  std::error_code ec;
  for (fs::directory_iterator it(*folder, ec), end; !ec && it != end; it.increment(ec)) {
    if (it->path().extension() != ".json") continue;
    const auto schedule = ReadSchedule(it->path());
    if (!schedule.ok()) continue;
    const auto cron = CronExpression::Parse(schedule->cron);
    const auto next = cron.ok() ? cron->Next(static_cast<std::time_t>(status.time)) : std::nullopt;
    if (!next) continue;
    for (auto& p : status.pipelines) {
      if (p.file == schedule->pipeline)
        p.next.push_back({schedule->name, schedule->backend, static_cast<double>(*next)});
    }
  }
  for (auto& p : status.pipelines) {
    std::sort(p.next.begin(), p.next.end(), [](const auto& a, const auto& b) {
      return std::tie(a.time, a.schedule) < std::tie(b.time, b.schedule);
    });
  }
}

}  // namespace genflow::cli
