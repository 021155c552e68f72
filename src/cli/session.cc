#include "cli/session.h"

#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "base/strings.h"
#include "cli/json_output.h"

namespace genflow::cli {

namespace {

constexpr size_t kLogTail = 2000;
constexpr int kLookEvery = 100;  // milliseconds

}  // namespace

Result<Session> Session::Start() {
  const std::filesystem::path program =
      ExecutablePath().parent_path().parent_path() / "lib/genflow/genflow-session";
  std::error_code ec;
  if (!std::filesystem::exists(program, ec)) {
    return MakeError(Code::kUnsupported,
                     "this build of genflow cannot run a model: " + program.string() + " is not there",
                     "build it with GENFLOW_TORCH=ON");
  }
  std::signal(SIGPIPE, SIG_IGN);  // what is asked of a process that has ended is an error
  GF_TRY(auto to, MakePipe());
  GF_TRY(auto from, MakePipe());
  Fd log(::memfd_create("genflow-session", MFD_CLOEXEC));
  if (!log.valid()) return ErrnoError("a file in memory", errno);
  ProcessOptions options;
  options.argv = {program.string()};
  options.env = EnvironmentWith({});
  options.fds = {{to.first.get(), 0}, {from.second.get(), 1}, {log.get(), 2}};
  GF_TRY(auto process, Process::Start(options));
  return Session(std::move(process), std::move(to.second), std::move(from.first), std::move(log));
}

Error Session::Ended() {
  const ExitStatus status = process_.Wait();
  std::string text(kLogTail, '\0');
  const off_t size = ::lseek(log_.get(), 0, SEEK_END);
  const off_t begin = std::max<off_t>(0, size - static_cast<off_t>(kLogTail));
  const ssize_t n = ::pread(log_.get(), text.data(), text.size(), begin);
  text.resize(n > 0 ? static_cast<size_t>(n) : 0);
  const std::string_view log = Trim(text);
  std::string message = "the process that runs the model ended: " + status.ToString();
  if (!log.empty()) message += "\n" + std::string(log);
  return MakeError(Code::kInternal, message,
                   status.signal == SIGKILL
                       ? "it may have run out of memory: `genflow models size` says what "
                         "a model takes"
                       : "");
}

Status Session::Ask(const nlohmann::json& request) {
  const auto written = WriteAll(to_.get(), Dump(request) + "\n");
  if (!written.ok()) return Ended();
  return Ok();
}

Result<nlohmann::json> Session::Next(const std::function<bool()>& interrupted) {
  while (true) {
    if (const size_t end = pending_.find('\n'); end != std::string::npos) {
      auto line = nlohmann::json::parse(pending_.substr(0, end), nullptr, /*allow_exceptions=*/false);
      pending_.erase(0, end + 1);
      if (!line.is_object() || !line.contains("t")) {
        process_.SignalGroup(SIGKILL);
        return Ended();
      }
      return line;
    }
    struct pollfd entry = {from_.get(), POLLIN, 0};
    const int ready = ::poll(&entry, 1, kLookEvery);
    if (interrupted && interrupted()) return MakeError(Code::kInterrupted, "stopped");
    if (ready == 0 || (ready < 0 && errno == EINTR)) continue;
    char buffer[1 << 14];
    const ssize_t n = ::read(from_.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return Ended();
    pending_.append(buffer, static_cast<size_t>(n));
  }
}

void Session::Stop() const { process_.SignalGroup(SIGINT); }
void Session::Kill() const { process_.SignalGroup(SIGKILL); }

Error SaidError(const nlohmann::json& line) {
  Code code = Code::kInternal;
  for (const Code one : {Code::kInvalid, Code::kNotFound, Code::kIo, Code::kCorrupt, Code::kExhausted,
                         Code::kUnsupported, Code::kBusy, Code::kInterrupted}) {
    if (line.value("code", "") == CodeName(one)) code = one;
  }
  return MakeError(code, line.value("message", "the process that runs the model failed"),
                   line.value("hint", ""));
}

Result<Rates> MeasureRates(int64_t hidden, int64_t intermediate) {
  GF_TRY(auto session, Session::Start());
  GF_CHECK_OK(session.Ask({{"do", "measure"}, {"hidden", hidden}, {"intermediate", intermediate}}));
  GF_TRY(const auto line, session.Next());
  if (line["t"] != "rates") return SaidError(line);
  return Rates{line.value("fp32_gflops", 0.0), line.value("bf16_gflops", 0.0),
               line.value("multiplies_bf16", false)};
}

}  // namespace genflow::cli
