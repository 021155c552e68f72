// What `genflow run --notify` tells the world about the end of a run.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/observer.h"

namespace genflow::cli {

struct NotifyTarget {
  std::string url;
  bool slack = false;  // wants Slack's message format
};

struct NotifyPlan {
  std::vector<NotifyTarget> targets;
  std::set<std::string> events;
};

// Each of `texts` is a URL, slack:URL, or @FILE with one of them a line, which only its owner can read.
// `variable`: $GENFLOW_NOTIFY, the same separated by blanks; may be null. `events`: names separated by
// commas. Messages hold no more of a URL than HiddenUrl.
Result<NotifyPlan> ReadNotifyPlan(const std::vector<std::string>& texts, const char* variable,
                                  const std::string& events);

// "https://hooks.slack.com/..." for "https://user:pass@hooks.slack.com/services/T0/B0/key": what may be
// shown.
std::string HiddenUrl(const std::string& url);
// The command line of a run, for its record: URLs that follow --notify are hidden.
std::vector<std::string> HideUrls(std::vector<std::string> argv);

struct Notification {
  std::string event;  // failure, gate, recovery, success, interrupted
  std::string pipeline, file, host;
  int exit_code = 0;
  double time = 0;                  // seconds since the Unix epoch
  std::string message;              // of a start without a run: why
  std::optional<RunReport> report;  // of the run
};

// The event that an end means. `recovered`: the run before it had failed.
std::string EventOf(int exit_code, bool recovered);

// "quick failed on build-7: a: the data has no rows"
std::string Headline(const Notification& notification);
nlohmann::json GenericPayload(const Notification& notification);
nlohmann::json SlackPayload(const Notification& notification);

// Sends it to every target at once, through the program genflow-notify, and waits for the last one, a minute
// at most. What was not delivered comes back as one sentence each.
std::vector<std::string> Send(const NotifyPlan& plan, const Notification& notification);

}  // namespace genflow::cli
