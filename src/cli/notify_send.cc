// The delivery of notifications: one process of genflow-notify a target.
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>

#include "base/files.h"
#include "base/strings.h"
#include "base/subprocess.h"
#include "cli/json_output.h"
#include "cli/notification.h"

namespace genflow::cli {

namespace {

constexpr auto kPatience = std::chrono::seconds(60);

struct Sender {
  std::string target;  // what may be shown of it
  std::optional<Process> process;
  Fd answer;
  std::string problem;
};

std::filesystem::path Program() {
  return ExecutablePath().parent_path().parent_path() / "lib/genflow/genflow-notify";
}

Status Begin(Sender& sender, const NotifyTarget& target, const Notification& notification) {
  const auto payload = target.slack ? SlackPayload(notification) : GenericPayload(notification);
  GF_TRY(const Fd request, TextAsFile(Dump({{"url", target.url}, {"body", Dump(payload)}})));
  GF_TRY(auto pipe, MakePipe());
  ProcessOptions options;
  options.argv = {Program().string()};
  options.env = EnvironmentWith({});
  options.fds = {{request.get(), 0}, {pipe.second.get(), 1}};
  GF_TRY(sender.process, Process::Start(options));
  sender.answer = std::move(pipe.first);
  return Ok();
}

// Its answer, or that there was none in time.
void Finish(Sender& sender, std::chrono::steady_clock::time_point until) {
  std::string text;
  while (true) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    struct pollfd entry = {sender.answer.get(), POLLIN, 0};
    if (left.count() <= 0 || ::poll(&entry, 1, static_cast<int>(left.count())) == 0) {
      sender.process->SignalGroup(SIGKILL);
      (void)sender.process->Wait();
      sender.problem = "no answer within a minute";
      return;
    }
    char buffer[512];
    const ssize_t n = ::read(sender.answer.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    text.append(buffer, static_cast<size_t>(n));
  }
  const ExitStatus status = sender.process->Wait();
  if (status.Succeeded()) return;
  sender.problem = std::string(Trim(text));
  if (sender.problem.empty()) sender.problem = Program().string() + " ended with " + status.ToString();
}

}  // namespace

std::vector<std::string> Send(const NotifyPlan& plan, const Notification& notification) {
  std::vector<Sender> senders;
  for (const auto& target : plan.targets) {
    Sender sender;
    sender.target = HiddenUrl(target.url);
    if (auto begun = Begin(sender, target, notification); !begun.ok()) sender.problem = begun.error().message;
    senders.push_back(std::move(sender));
  }
  const auto until = std::chrono::steady_clock::now() + kPatience;
  std::vector<std::string> problems;
  for (auto& sender : senders) {
    if (sender.problem.empty()) Finish(sender, until);
    if (!sender.problem.empty())
      problems.push_back("the notification to " + sender.target + " was not delivered: " + sender.problem);
  }
  return problems;
}

}  // namespace genflow::cli
