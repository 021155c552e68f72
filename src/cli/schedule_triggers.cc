#include "cli/schedule_triggers.h"

#include <unistd.h>

#include <cstdlib>

#include "base/files.h"
#include "base/sha256.h"
#include "base/strings.h"
#include "base/subprocess.h"
#include "store/locks.h"

namespace genflow::cli {

namespace fs = std::filesystem;

namespace {

struct Answer {
  ExitStatus status;
  std::string out, err;
};

// A program found in $PATH; `input` is its standard input. Its output is short.
Result<Answer> Ask(const std::vector<std::string>& argv, const std::string& input = {}) {
  GF_TRY(const Fd in, TextAsFile(input));
  GF_TRY(auto out, MakePipe());
  GF_TRY(const Fd err, TextAsFile(""));
  ProcessOptions options;
  options.argv = argv;
  options.env = EnvironmentWith({{"LC_ALL", "C"}});
  options.fds = {{in.get(), 0}, {out.second.get(), 1}, {err.get(), 2}};
  GF_TRY(auto process, Process::Start(options));
  out.second.Reset();
  Answer answer;
  answer.out = ReadToEnd(out.first.get());
  answer.status = process.Wait();
  ::lseek(err.get(), 0, SEEK_SET);
  answer.err = ReadToEnd(err.get());
  return answer;
}

Error Refused(const std::string& what, const Answer& answer) {
  const std::string said(Trim(answer.err));
  return MakeError(Code::kIo, "`" + what + "` failed: " + (said.empty() ? answer.status.ToString() : said));
}

// --- cron ----------------------------------------------------------------------------------------------

std::string Mark(const std::string& name, const char* which) {
  return "# genflow schedule " + name + ": " + which;
}

// For cron's shell; cron itself takes a bare % for a line break.
std::string ShellQuoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'')
      out += "'\\''";
    else if (c == '%')
      out += "\\%";
    else
      out += c;
  }
  return out + "'";
}

// The crontab that is there; "" where the user has none.
Result<std::string> ReadCrontab() {
  GF_TRY(const auto answer, Ask({"crontab", "-l"}));
  if (answer.status.Succeeded()) return answer.out;
  if (answer.err.find("no crontab for") != std::string::npos) return std::string();
  return Refused("crontab -l", answer);  // never taken for an empty one
}

Status ChangeCrontab(const std::string& name, const std::string& block) {
  if (!HasProgram("crontab")) {
    return MakeError(Code::kUnsupported, "there is no `crontab` program here",
                     "install cron, or use --backend systemd");
  }
  GF_TRY(const auto folder, ScheduleStateFolder());
  GF_CHECK_OK(MakeDirectories(folder));
  GF_TRY(const auto lock, SharedLock::Wait(folder / "crontab.lock", SharedLock::Mode::kExclusive));
  GF_TRY(const auto before, ReadCrontab());
  GF_TRY(const auto after, ReplaceBlock(before, name, block));
  if (after == before) return Ok();
  GF_TRY(const auto answer, Ask({"crontab", "-"}, after));
  if (!answer.status.Succeeded()) return Refused("crontab -", answer);
  return Ok();
}

// --- systemd -------------------------------------------------------------------------------------------

// A word of ExecStart=.
std::string UnitQuoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '%' || c == '$') out += c;
    out += c;
  }
  return out + "\"";
}

Result<fs::path> UnitFolder() {
  const char* given = std::getenv("XDG_CONFIG_HOME");
  if (given != nullptr && *given == '/') return fs::path(given) / "systemd/user";
  const char* home = std::getenv("HOME");
  if (home == nullptr || *home != '/')
    return InvalidError("there is no home folder for systemd's units: HOME is not set", "set HOME");
  return fs::path(home) / ".config/systemd/user";
}

std::string UnitName(const std::string& name) { return "genflow-" + name; }

// What was asked of systemd and did not work, with what to do.
void AskSystemd(const std::vector<std::vector<std::string>>& commands, std::vector<std::string>& notices) {
  std::vector<std::string> missed;
  std::string why;
  for (const auto& arguments : commands) {
    std::vector<std::string> argv = {"systemctl", "--user"};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    if (why.empty() && !HasProgram("systemctl")) why = "there is no `systemctl` program here";
    if (why.empty()) {
      const auto answer = Ask(argv);
      if (answer.ok() && answer->status.Succeeded()) continue;
      why = answer.ok() ? Refused(Join(argv, " "), *answer).message : answer.error().message;
    }
    missed.push_back("`" + Join(argv, " ") + "`");
  }
  if (!missed.empty()) notices.push_back(why + "; run " + Join(missed, " and ") + " where systemd runs");
}

}  // namespace

bool HasProgram(const std::string& name) {
  const char* path = std::getenv("PATH");
  for (const auto folder : Split(path == nullptr ? "" : path, ':')) {
    if (!folder.empty() && ::access((fs::path(folder) / name).c_str(), X_OK) == 0) return true;
  }
  return false;
}

Result<std::string> ReplaceBlock(const std::string& crontab, const std::string& name,
                                 const std::string& block) {
  const std::string begin = Mark(name, "begin"), end = Mark(name, "end");
  std::string out;
  bool inside = false, placed = block.empty();
  for (size_t at = 0; at < crontab.size();) {
    const size_t stop = std::min(crontab.find('\n', at), crontab.size() - 1);
    const std::string line = crontab.substr(at, stop + 1 - at);
    at = stop + 1;
    const std::string_view bare = Trim(line);
    if (bare == begin) {
      inside = true;
      if (!placed) out += block;
      placed = true;
    } else if (inside && bare == end) {
      inside = false;
    } else if (!inside) {
      out += line;
    }
  }
  if (inside) {
    return MakeError(Code::kCorrupt,
                     "the crontab has the line '" + begin + "' and none '" + end + "' after it",
                     "put it right with `crontab -e`");
  }
  if (placed) return out;
  if (!out.empty() && out.back() != '\n') out += '\n';
  return out + block;
}

std::string CrontabBlock(const Schedule& schedule, const fs::path& definition) {
  const auto cron = CronExpression::Parse(schedule.cron);
  const std::string command =
      ShellQuoted(schedule.program) + " schedule run " + ShellQuoted(definition.string()) + "\n";
  // Spread over the hour, so that many schedules do not look all at once.
  const int minute = std::stoi(Sha256Hex(schedule.name).substr(0, 4), nullptr, 16) % 60;
  return Mark(schedule.name, "begin") + "\n# `genflow schedule rm " + schedule.name +
         "` removes these lines. The second one catches up a start that was missed.\n" +
         (cron.ok() ? cron->Normal() : schedule.cron) + " " + command + std::to_string(minute) + " * * * * " +
         command + Mark(schedule.name, "end") + "\n";
}

std::string ServiceUnit(const Schedule& schedule, const fs::path& definition) {
  return "# `genflow schedule rm " + schedule.name +
         "` removes this file and the timer beside it.\n"
         "[Unit]\nDescription=genflow schedule " +
         schedule.name +
         "\n\n[Service]\nType=oneshot\n"
         "# The run is asked to stop and saves its state; its stages are not asked behind its back.\n"
         "KillMode=mixed\nTimeoutStopSec=90\n"
         "# Lets the kernel hold each stage to its `memory`.\nDelegate=memory\nExecStart=" +
         UnitQuoted(schedule.program) + " schedule run --now " + UnitQuoted(definition.string()) + "\n";
}

std::string TimerUnit(const Schedule& schedule) {
  std::string out = "[Unit]\nDescription=genflow schedule " + schedule.name + "\n\n[Timer]\n";
  if (const auto cron = CronExpression::Parse(schedule.cron); cron.ok()) {
    for (const auto& calendar : cron->Calendar()) out += "OnCalendar=" + calendar + "\n";
  }
  out += "# A start that was missed while the machine was off is caught up once.\nPersistent=true\n";
  if (schedule.jitter > 0)
    out += "RandomizedDelaySec=" + std::to_string(static_cast<int64_t>(schedule.jitter)) + "\n";
  return out + "\n[Install]\nWantedBy=timers.target\n";
}

Result<std::vector<std::string>> InstallTrigger(const Schedule& schedule, const fs::path& definition) {
  std::vector<std::string> notices;
  if (schedule.backend == "cron") {
    GF_CHECK_OK(ChangeCrontab(schedule.name, CrontabBlock(schedule, definition)));
    return notices;
  }
  GF_TRY(const auto folder, UnitFolder());
  GF_CHECK_OK(MakeDirectories(folder));
  GF_CHECK_OK(
      WriteFileAtomic(folder / (UnitName(schedule.name) + ".service"), ServiceUnit(schedule, definition)));
  GF_CHECK_OK(WriteFileAtomic(folder / (UnitName(schedule.name) + ".timer"), TimerUnit(schedule)));
  AskSystemd({{"daemon-reload"}, {"enable", "--now", UnitName(schedule.name) + ".timer"}}, notices);
  return notices;
}

Result<std::vector<std::string>> FindTriggers(const std::string& name) {
  std::vector<std::string> out;
  if (HasProgram("crontab")) {
    GF_TRY(const auto crontab, ReadCrontab());
    GF_TRY(const auto without, ReplaceBlock(crontab, name, ""));
    if (without != crontab) out.emplace_back("cron");
  }
  GF_TRY(const auto folder, UnitFolder());
  std::error_code ec;
  for (const char* ending : {".timer", ".service"}) {
    if (!fs::exists(folder / (UnitName(name) + ending), ec)) continue;
    out.emplace_back("systemd");
    break;
  }
  return out;
}

Result<std::vector<std::string>> RemoveTrigger(const std::string& name, const std::string& backend) {
  std::vector<std::string> notices;
  if (backend == "cron") {
    GF_CHECK_OK(ChangeCrontab(name, ""));
    return notices;
  }
  GF_TRY(const auto folder, UnitFolder());
  const fs::path timer = folder / (UnitName(name) + ".timer"),
                 service = folder / (UnitName(name) + ".service");
  AskSystemd({{"disable", "--now", UnitName(name) + ".timer"}}, notices);
  GF_CHECK_OK(RemoveTree(timer));
  GF_CHECK_OK(RemoveTree(service));
  AskSystemd({{"daemon-reload"}}, notices);
  return notices;
}

}  // namespace genflow::cli
