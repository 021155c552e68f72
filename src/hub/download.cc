#include "hub/download.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>

#include "base/files.h"
#include "base/strings.h"
#include "hub/checksum.h"

namespace genflow::hub {
namespace {

namespace fs = std::filesystem;

bool Stopped(const std::atomic<bool>* stop) { return stop != nullptr && *stop; }

int64_t SizeOfFile(const fs::path& path) {
  struct stat there {};
  return ::stat(path.c_str(), &there) == 0 && S_ISREG(there.st_mode) ? static_cast<int64_t>(there.st_size)
                                                                     : -1;
}

Error Of(const RemoteFile& file, const Error& error) {
  return MakeError(error.code, file.name + ": " + error.message, error.hint);
}

// Whether a file has the digest; of one that cannot be read it has not.
bool HasDigest(const fs::path& path, const std::string& digest, int64_t size) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return false;
  Checksum sum(digest, static_cast<uint64_t>(size));
  static thread_local char buffer[1 << 18];
  while (true) {
    const ssize_t n = ::read(fd.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    if (n == 0) return sum.Matches();
    sum.Add({buffer, static_cast<size_t>(n)});
  }
}

}  // namespace

Status WithRetries(const PullRequest& request, const PullHooks& hooks, const std::string& what,
                   const std::function<std::optional<Problem>(bool* progressed)>& attempt) {
  double pause = request.backoff;
  for (int failed = 0;;) {
    bool progressed = false;
    const auto problem = attempt(&progressed);
    if (!problem) return Ok();
    if (progressed) {
      failed = 0;
      pause = request.backoff;
    }
    if (!problem->may_help) return problem->error;
    if (++failed >= request.attempts) {
      return MakeError(problem->error.code,
                       what + ": " + problem->error.message + " (tried " + std::to_string(failed) + " times)",
                       "what came so far is kept: the same command goes on with it");
    }
    const double wait = std::min(std::max(pause, problem->wait), request.max_backoff);
    if (hooks.note) hooks.note(what + ": " + problem->error.message + "; again in " + HumanDuration(wait));
    const auto until = std::chrono::steady_clock::now() + std::chrono::duration<double>(wait);
    while (std::chrono::steady_clock::now() < until) {
      if (Stopped(hooks.stop)) return MakeError(Code::kInterrupted, "stopped");
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    pause *= 2;
  }
}

// The file while it is being written.
struct Download::Target {
  fs::path path;
  Fd fd;
  int64_t size = 0;    // of what is there
  std::string digest;  // expected; may come with the answer
  std::function<void(int64_t)> count;

  Status Truncate() {
    if (::ftruncate(fd.get(), 0) != 0 || ::lseek(fd.get(), 0, SEEK_SET) != 0)
      return ErrnoError(path.string(), errno);
    count(-size);
    size = 0;
    return Ok();
  }
  Status Append(std::string_view bytes) {
    if (const auto written = WriteAll(fd.get(), path, bytes); !written.ok()) {
      Error error = written.error();
      if (error.code == Code::kExhausted)
        error.hint = "make room; the same command then goes on where it stopped";
      return error;
    }
    size += static_cast<int64_t>(bytes.size());
    count(static_cast<int64_t>(bytes.size()));
    return Ok();
  }
};

int64_t Download::Present(const RemoteFile& file) const {
  const int64_t whole = SizeOfFile(folder_ / file.name);
  return std::max<int64_t>(0, whole >= 0 ? whole : SizeOfFile(folder_ / (file.name + kPartSuffix)));
}

std::optional<Problem> Download::Attempt(Client& client, const RemoteFile& file, Target& target,
                                         const std::atomic<bool>* stop, bool* progressed) const {
  const int64_t before = target.size;
  Get get;
  get.url = request_.endpoint;
  for (const auto piece : Split(request_.id, '/')) get.url += "/" + Escaped(piece);
  get.url += "/resolve/" + Escaped(revision_);
  for (const auto piece : Split(file.name, '/')) get.url += "/" + Escaped(piece);
  get.token = request_.token;
  get.from = target.size;
  get.stop = stop;
  get.on_head = [&](const Response& head) -> Status {
    if (head.status < 200 || head.status > 299) return Ok();
    if (target.digest.empty() && Checksum::IsDigest(head.etag)) target.digest = head.etag;
    // A server that knows no ranges, or gives another one, begins at the beginning.
    if (target.size > 0 && (head.status != 206 || head.range_begin != target.size)) {
      if (head.status == 206)
        return MakeError(Code::kCorrupt, "the server sends another part than was asked for");
      return target.Truncate();
    }
    return Ok();
  };
  get.on_body = [&](std::string_view bytes) -> Status {
    if (file.size >= 0 && target.size + static_cast<int64_t>(bytes.size()) > file.size)
      return MakeError(Code::kCorrupt,
                       "the server sends more than the " + WithCommas(file.size) + " bytes it listed");
    return target.Append(bytes);
  };
  Response head;
  auto problem = client.Perform(get, &head);
  *progressed = target.size > before;
  if (problem) return problem;
  if (head.status == 416) {  // there is nothing behind what is here
    if (file.size < 0 || target.size == file.size) return std::nullopt;
    if (const auto status = target.Truncate(); !status.ok()) return Problem{status.error()};
    return Problem{MakeError(Code::kIo, "the server does not go on where it broke off"), true};
  }
  if (head.status == 401 || head.status == 403) {
    return Problem{MakeError(Code::kInvalid,
                             "the server refuses it (status " + std::to_string(head.status) + ")",
                             request_.token.empty() ? "set HF_TOKEN to a token that may read it"
                                                    : "the token in HF_TOKEN may not read it")};
  }
  if (head.status == 404) {
    return Problem{MakeError(Code::kNotFound, "the server lists it and does not have it (status 404)")};
  }
  if (head.status < 200 || head.status > 299) {
    return Problem{MakeError(Code::kIo, "the server answers with status " + std::to_string(head.status))};
  }
  if (file.size >= 0 && target.size < file.size)
    return Problem{MakeError(Code::kIo, "the server ends before the file does"), true};
  return std::nullopt;
}

Status Download::Fetch(Client& client, const RemoteFile& file, const std::atomic<bool>* stop,
                       const std::function<void(int64_t bytes)>& count) const {
  const auto halts = [&] { return Stopped(stop) || Stopped(hooks_.stop); };
  const fs::path path = folder_ / file.name, part = path.string() + kPartSuffix;
  GF_CHECK_OK(MakeDirectories(path.parent_path()));
  if (const int64_t size = SizeOfFile(path); size >= 0) {  // of an earlier attempt
    if ((file.size < 0 || size == file.size) && HasDigest(path, file.digest, size)) {
      count(size);
      return Ok();
    }
    GF_CHECK_OK(RemoveTree(path));
  }
  Target target;
  target.path = part;
  target.digest = file.digest;
  target.count = count;
  target.fd = Fd(::open(part.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!target.fd.valid()) return ErrnoError(part.string(), errno);
  target.size = std::max<int64_t>(0, ::lseek(target.fd.get(), 0, SEEK_END));
  count(target.size);
  if (file.size >= 0 && target.size > file.size) GF_CHECK_OK(target.Truncate());

  for (bool again = false;; again = true) {
    if (file.size < 0 || target.size < file.size) {
      const auto status =
          WithRetries(request_, hooks_, file.name, [&](bool* progressed) -> std::optional<Problem> {
            if (halts()) return Problem{MakeError(Code::kInterrupted, "stopped")};
            auto problem = Attempt(client, file, target, hooks_.stop, progressed);
            if (problem && !problem->may_help && problem->error.code != Code::kInterrupted &&
                problem->error.code != Code::kExhausted)
              problem->error = Of(file, problem->error);
            return problem;
          });
      GF_CHECK_OK(status);
    }
    if (HasDigest(part, target.digest, target.size)) break;
    if (again) {
      GF_CHECK_OK(RemoveTree(part));
      return MakeError(Code::kCorrupt,
                       file.name + ": the server sends other bytes than it listed: the checksum is wrong",
                       "try again later, or another revision or endpoint");
    }
    if (hooks_.note) hooks_.note(file.name + ": the checksum is wrong; once more from its beginning");
    GF_CHECK_OK(target.Truncate());
  }
  if (::fsync(target.fd.get()) != 0) return ErrnoError(part.string() + ": fsync", errno);
  if (::rename(part.c_str(), path.c_str()) != 0) return ErrnoError(path.string(), errno);
  return Ok();
}

}  // namespace genflow::hub
