#include "cli/sandbox.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <regex>

namespace genflow {

namespace fs = std::filesystem;

namespace {

constexpr auto kPatience = std::chrono::seconds(60);

}  // namespace

RunningCommand::RunningCommand(Process process, Fd out, Fd err)
    : process_(std::move(process)), out_(std::move(out)), err_(std::move(err)) {}

bool RunningCommand::ReadSome(int timeout_ms) {
  struct pollfd fds[] = {{out_.get(), POLLIN, 0}, {err_.get(), POLLIN, 0}};
  ::poll(fds, 2, timeout_ms);
  const auto take = [](Fd& fd, const struct pollfd& entry, std::string& to) {
    if (!fd.valid() || entry.revents == 0) return;
    char buffer[1 << 14];
    const ssize_t n = ::read(fd.get(), buffer, sizeof buffer);
    if (n > 0)
      to.append(buffer, static_cast<size_t>(n));
    else
      fd.Reset();
  };
  take(out_, fds[0], result_.out);
  take(err_, fds[1], result_.err);
  return out_.valid() || err_.valid();
}

bool RunningCommand::WaitForError(const std::string& text) {
  const auto give_up = std::chrono::steady_clock::now() + kPatience;
  while (result_.err.find(text) == std::string::npos) {
    if (!ReadSome(50) || std::chrono::steady_clock::now() > give_up) return false;
  }
  return true;
}

CommandResult RunningCommand::Wait() {
  const auto give_up = std::chrono::steady_clock::now() + kPatience;
  while (ReadSome(50)) {
    if (std::chrono::steady_clock::now() > give_up) {
      ADD_FAILURE() << "the command does not end; stderr so far:\n" << result_.err;
      process_.SignalGroup(SIGKILL);
    }
  }
  const ExitStatus status = process_.Wait();
  result_.code = status.signal != 0 ? 128 + status.signal : status.code;
  return result_;
}

Sandbox::Sandbox()
    : env_{{"PATH", std::getenv("PATH")},
           {"HOME", dir_.string()},
           {"LANG", "C.UTF-8"},
           {"TZ", "UTC"},
           {"GENFLOW_PLUGIN_PATH", TEST_PLUGIN_FOLDER}} {}

void Sandbox::Write(const std::string& name, const std::string& text) const {
  const fs::path path = dir_ / name;
  ASSERT_TRUE(MakeDirectories(path.parent_path()).ok());
  ASSERT_TRUE(WriteFileAtomic(path, text).ok());
}

std::string Sandbox::Read(const std::string& name) const {
  auto text = ReadFile(dir_ / name);
  EXPECT_TRUE(text.ok()) << text.error().ToString();
  return text.ok() ? *text : "";
}

bool Sandbox::Exists(const std::string& name) const { return fs::exists(dir_ / name); }

RunningCommand Sandbox::StartProgram(std::vector<std::string> argv) const {
  auto out = MakePipe(), err = MakePipe();
  EXPECT_TRUE(out.ok() && err.ok());
  ProcessOptions options;
  options.argv = std::move(argv);
  options.cwd = dir_;
  for (const auto& [name, value] : env_) options.env.push_back(name + "=" + value);
  options.fds = {{out->second.get(), 1}, {err->second.get(), 2}};
  auto process = Process::Start(options);
  EXPECT_TRUE(process.ok()) << process.error().ToString();
  return RunningCommand(*std::move(process), std::move(out->first), std::move(err->first));
}

RunningCommand Sandbox::Start(const std::vector<std::string>& args) const {
  std::vector<std::string> argv = {GENFLOW_BINARY};
  argv.insert(argv.end(), args.begin(), args.end());
  return StartProgram(std::move(argv));
}

nlohmann::json Sandbox::Json(const std::vector<std::string>& args) const {
  const auto result = Genflow(args);
  EXPECT_EQ(result.code, 0) << result.err;
  return nlohmann::json::parse(result.out, nullptr, /*allow_exceptions=*/false);
}

std::string Sandbox::Refusal(const std::vector<std::string>& args) const {
  const auto result = Genflow(args);
  EXPECT_EQ(result.code, 2);
  EXPECT_EQ(result.out, "");
  return result.err;
}

CommandResult Sandbox::Shell(const std::string& text) const {
  return StartProgram({"bash", "-eo", "pipefail", "-c", text}).Wait();
}

bool Sandbox::WaitFor(const std::string& condition) const {
  return Shell("SECONDS=0; until " + condition + "; do ((SECONDS < 50)); sleep 0.02; done").code == 0;
}

bool Sandbox::WaitForEndOf(const std::string& pids) const {
  return WaitFor(
      "(for p in " + pids +
      "; do if [[ -d /proc/$p ]] && ! grep -qs '^State:.*Z' /proc/$p/status; then exit 1; fi; done)");
}

std::string Sandbox::Normal(std::string text) const {
  for (size_t at; (at = text.find(dir_.string())) != std::string::npos;)
    text.replace(at, dir_.string().size(), "DIR");
  text = std::regex_replace(text, std::regex("[0-9]{8}-[0-9]{4}-[a-z0-9]{4}"), "RUN");
  text = std::regex_replace(text, std::regex("[0-9.]+ (ms|s)\\b|[0-9]+m [0-9]{2}s"), "TIME");
  // The table's time column is as wide as its widest duration.
  return std::regex_replace(text, std::regex(" +(TIME|time  note|-  )"), " $1");
}

std::string Sandbox::Artifact(const std::string& ref) const {
  const auto shown = Genflow({"artifacts", "export", ref, "exported-artifact"});
  EXPECT_EQ(shown.code, 0) << shown.err;
  std::string text = Read("exported-artifact");
  EXPECT_TRUE(RemoveTree(dir_ / "exported-artifact").ok());
  return text;
}

}  // namespace genflow
