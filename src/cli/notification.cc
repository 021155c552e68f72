#include "cli/notification.h"

#include <sys/stat.h>

#include <algorithm>

#include "base/files.h"
#include "base/strings.h"
#include "cli/json_output.h"
#include "cli/markup.h"

namespace genflow::cli {

namespace {

const std::vector<std::string>& EventNames() {
  static const std::vector<std::string> names = {"failure", "gate", "recovery", "success", "interrupted"};
  return names;
}

// Where the host begins, and the end of the host and port; npos: this is no URL of ours.
size_t HostStart(const std::string& url) {
  for (const char* scheme : {"https://", "http://"}) {
    const std::string start(scheme);
    if (ToLowerAscii(std::string_view(url).substr(0, start.size())) == start) return start.size();
  }
  return std::string::npos;
}
size_t HostEnd(const std::string& url, size_t start) {
  return std::min(url.find_first_of("/?#", start), url.size());
}

// Host and port, without a user's name and password.
std::string Authority(const std::string& url) {
  const size_t start = HostStart(url);
  if (start == std::string::npos) return "";
  const std::string text = url.substr(start, HostEnd(url, start) - start);
  const size_t at = text.rfind('@');
  return at == std::string::npos ? text : text.substr(at + 1);
}

Result<NotifyTarget> ReadTarget(std::string text, const std::string& from) {
  NotifyTarget target;
  target.slack = text.starts_with("slack:");
  if (target.slack) text = text.substr(6);
  const std::string authority = Authority(text);
  const bool odd =
      std::any_of(text.begin(), text.end(), [](unsigned char c) { return c <= ' ' || c == 127; });
  if (authority.empty() || odd) {
    return InvalidError(from + ": this is no URL of a web hook",
                        "write https://HOST/PATH, slack:https://HOST/PATH, or @FILE that holds one a line");
  }
  const std::string host = ToLowerAscii(authority.substr(0, authority.find(':')));
  target.slack |= host == "hooks.slack.com";
  target.url = std::move(text);
  return target;
}

Status ReadTargetsFile(const std::string& file, std::vector<NotifyTarget>& targets) {
  struct stat info {};
  if (::stat(file.c_str(), &info) != 0) return ErrnoError("--notify @" + file, errno);
  if ((info.st_mode & 077) != 0) {
    return InvalidError("--notify @" + file + ": others can read this file", "chmod 600 " + file);
  }
  GF_TRY(const auto text, ReadFile(file, 1 << 20));
  const size_t before = targets.size();
  int number = 0;
  for (const auto line : Split(text, '\n')) {
    ++number;
    const std::string_view word = Trim(line);
    if (word.empty() || word.starts_with('#')) continue;
    GF_TRY(auto target, ReadTarget(std::string(word), file + ":" + std::to_string(number)));
    targets.push_back(std::move(target));
  }
  if (targets.size() == before)
    return InvalidError("--notify @" + file + ": no URL in it", "write one a line: https://HOST/PATH");
  return Ok();
}

// Stages by how they ended.
nlohmann::json Counts(const RunReport& report) {
  const auto count = [&](std::initializer_list<StageStatus> which) {
    return std::count_if(report.stages.begin(), report.stages.end(), [&](const StageResult& stage) {
      return std::find(which.begin(), which.end(), stage.status) != which.end();
    });
  };
  return {{"ran", count({StageStatus::kRan})},
          {"cached", count({StageStatus::kCached})},
          {"failed", count({StageStatus::kFailed})},
          {"gated", count({StageStatus::kGated})},
          {"interrupted", count({StageStatus::kInterrupted})},
          {"skipped", count({StageStatus::kSkipped})}};
}

// Slack's three characters with a meaning are those of an element's text.
std::string SlackText(const std::string& text) { return EscapeMarkup(text, MarkupPlace::kElement); }

}  // namespace

std::string HiddenUrl(const std::string& url) {
  const std::string authority = Authority(url);
  if (authority.empty()) return "...";
  return url.substr(0, HostStart(url)) + authority + "/...";
}

std::vector<std::string> HideUrls(std::vector<std::string> argv) {
  const auto hidden = [](const std::string& text) {
    if (text.starts_with('@')) return text;
    const bool slack = text.starts_with("slack:");
    return (slack ? "slack:" : "") + HiddenUrl(slack ? text.substr(6) : text);
  };
  for (size_t i = 0; i < argv.size(); ++i) {
    if (argv[i] == "--notify" && i + 1 < argv.size())
      argv[i + 1] = hidden(argv[i + 1]);
    else if (argv[i].starts_with("--notify="))
      argv[i] = "--notify=" + hidden(argv[i].substr(9));
  }
  return argv;
}

Result<NotifyPlan> ReadNotifyPlan(const std::vector<std::string>& texts, const char* variable,
                                  const std::string& events) {
  NotifyPlan plan;
  const auto read = [&plan](const std::string& text, const std::string& from) -> Status {
    if (text.starts_with('@')) return ReadTargetsFile(text.substr(1), plan.targets);
    GF_TRY(auto target, ReadTarget(text, from));
    plan.targets.push_back(std::move(target));
    return Ok();
  };
  for (const auto& text : texts) GF_CHECK_OK(read(text, "--notify"));
  for (const auto word : Split(variable == nullptr ? "" : variable, ' ')) {
    if (!Trim(word).empty()) GF_CHECK_OK(read(std::string(Trim(word)), "GENFLOW_NOTIFY"));
  }
  for (const auto word : Split(events, ',')) {
    const std::string name(Trim(word));
    const auto& names = EventNames();
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      const auto near = NearestName(name, names);
      return InvalidError("--notify-on: '" + name + "' is no event",
                          near ? "did you mean '" + *near + "'?" : "there are " + Join(names, ", "));
    }
    plan.events.insert(name);
  }
  return plan;
}

std::string EventOf(int exit_code, bool recovered) {
  if (exit_code == 0) return recovered ? "recovery" : "success";
  if (exit_code == 3) return "gate";
  return exit_code == 75 || exit_code > 128 ? "interrupted" : "failure";
}

std::string Headline(const Notification& n) {
  const std::string verb = n.event == "failure"    ? n.report ? " failed" : " could not start"
                           : n.event == "gate"     ? " was stopped by a gate"
                           : n.event == "recovery" ? " works again"
                           : n.event == "success"  ? " succeeded"
                                                   : " was interrupted";
  std::string why = n.message;
  if (n.report) {
    for (const auto& stage : n.report->stages) {
      if (!stage.error) continue;
      why = stage.stage + ": " + stage.error->message;
      break;
    }
  }
  return n.pipeline + verb + " on " + n.host + (why.empty() ? "" : ": " + why);
}

nlohmann::json GenericPayload(const Notification& n) {
  nlohmann::json out = {{"event", n.event},         {"message", Headline(n)}, {"pipeline", n.pipeline},
                        {"file", n.file},           {"host", n.host},         {"time", n.time},
                        {"exit_code", n.exit_code}, {"run", nullptr}};
  if (!n.report) return out;
  out["run"] = n.report->run;
  out["status"] = RunStatusName(n.report->status);
  out["seconds"] = n.report->seconds;
  out["stages"] = Counts(*n.report);
  out["problems"] = nlohmann::json::array();
  for (const auto& stage : n.report->stages) {
    if (!stage.error) continue;
    nlohmann::json problem = ToJson(*stage.error);
    problem["stage"] = stage.stage;
    problem["log"] = stage.log.string();
    out["problems"].push_back(std::move(problem));
  }
  return out;
}

nlohmann::json SlackPayload(const Notification& n) {
  const char* icon = n.event == "failure" || n.event == "gate" ? ":red_circle: "
                     : n.event == "interrupted"                ? ":large_yellow_circle: "
                                                               : ":large_green_circle: ";
  std::string text = icon + SlackText(Headline(n));
  if (n.report)
    text += SlackText("\nrun " + n.report->run + ", " + HumanDuration(n.report->seconds) + ", " + n.file);
  return {{"text", text}};
}

}  // namespace genflow::cli
