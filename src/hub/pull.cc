#include "hub/pull.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <set>
#include <thread>

#include "base/files.h"
#include "base/strings.h"
#include "hub/download.h"
#include "hub/http.h"
#include "hub/listing.h"

namespace genflow::hub {
namespace {

namespace fs = std::filesystem;

constexpr size_t kLongestListing = 64 << 20;

Error Refusal(const PullRequest& request, long status) {
  const std::string what = "'" + request.id + "' at revision '" + request.revision + "'";
  const bool token = !request.token.empty();
  switch (status) {
    case 401:
      return MakeError(
          Code::kInvalid, "the server wants to know who asks for " + what + " (status 401)",
          token ? "it does not accept the token in HF_TOKEN"
                : "set HF_TOKEN to a token that may read it; a name that does not exist is answered "
                  "likewise");
    case 403:
      return MakeError(
          Code::kInvalid, "the server refuses " + what + " (status 403)",
          token ? "the token in HF_TOKEN may not read it: some models want their terms accepted first"
                : "set HF_TOKEN to a token that may read it");
    case 404:
      return MakeError(
          Code::kNotFound, "the server has no " + what + " (status 404)",
          "check the name, its capital letters and the revision; a private model needs HF_TOKEN");
    default:
      return MakeError(Code::kIo, "the server answers " + what + " with status " + std::to_string(status));
  }
}

Result<Listing> FetchListing(const PullRequest& request, const PullHooks& hooks) {
  std::string path;
  for (const auto piece : Split(request.id, '/')) path += "/" + Escaped(piece);
  Client client;
  std::string body;
  Get get;
  get.url =
      request.endpoint + "/api/models" + path + "/revision/" + Escaped(request.revision) + "?blobs=true";
  get.token = request.token;
  get.stop = hooks.stop;
  get.on_head = [&](const Response&) {
    body.clear();
    return Ok();
  };
  get.on_body = [&](std::string_view bytes) -> Status {
    if (body.size() + bytes.size() > kLongestListing)
      return MakeError(Code::kCorrupt, "the list of files that the server sends does not end");
    body += bytes;
    return Ok();
  };
  Response response;
  GF_CHECK_OK(WithRetries(request, hooks, "the list of files",
                          [&](bool* /*progressed*/) { return client.Perform(get, &response); }));
  if (response.status < 200 || response.status > 299) return Refusal(request, response.status);
  return ParseListing(body);
}

// Room for what is still to come, as far as sizes are known.
Status CheckRoom(const fs::path& folder, int64_t bytes) {
  struct statvfs there {};
  if (::statvfs(folder.c_str(), &there) != 0) return Ok();
  const auto free = static_cast<uint64_t>(there.f_bavail) * there.f_frsize;
  if (static_cast<uint64_t>(std::max<int64_t>(0, bytes)) <= free) return Ok();
  return MakeError(Code::kExhausted,
                   folder.string() + ": " + HumanBytes(static_cast<uint64_t>(bytes)) +
                       " are to come, and the disk has " + HumanBytes(free) + " left",
                   "make room, leave files out with --exclude, or give another place with --to");
}

// Removes what an earlier attempt left of files that are not wanted any more.
Status RemoveOthers(const fs::path& part, const std::vector<RemoteFile>& files) {
  std::set<fs::path> wanted;
  for (const auto& file : files) {
    wanted.insert(part / file.name);
    wanted.insert(part / (file.name + kPartSuffix));
  }
  std::vector<fs::path> others;
  std::error_code ec;
  for (fs::recursive_directory_iterator it(part, ec), end; !ec && it != end; it.increment(ec)) {
    if (!it->is_directory(ec) && wanted.count(it->path()) == 0) others.push_back(it->path());
  }
  for (const auto& other : others) GF_CHECK_OK(RemoveTree(other));
  return Ok();
}

Status SyncFolders(const fs::path& root) {
  std::error_code ec;
  std::vector<fs::path> folders = {root};
  for (fs::recursive_directory_iterator it(root, ec), end; !ec && it != end; it.increment(ec)) {
    if (it->is_directory(ec)) folders.push_back(it->path());
  }
  for (const auto& folder : folders) GF_CHECK_OK(SyncPath(folder));
  return Ok();
}

}  // namespace

Status Pull(const PullRequest& request, const PullHooks& hooks) {
  std::error_code ec;
  if (fs::exists(fs::symlink_status(request.folder, ec))) {
    return InvalidError(request.folder.string() + ": exists already",
                        "remove it, or give another folder with --to");
  }
  GF_TRY(const Listing listing, FetchListing(request, hooks));
  std::vector<RemoteFile> files = Selected(listing.files, request.include, request.exclude);
  if (files.empty()) {
    return InvalidError("no file of '" + request.id + "' is to be fetched: the server lists " +
                            Counted(listing.files.size(), "file"),
                        listing.files.empty() ? "" : "--include and --exclude leave none of them over");
  }
  // The long ones first, so that threads end together.
  std::stable_sort(files.begin(), files.end(),
                   [](const RemoteFile& a, const RemoteFile& b) { return a.size > b.size; });

  const fs::path part = request.folder.string() + kPartSuffix;
  GF_CHECK_OK(MakeDirectories(part));
  const Fd lock(::open(part.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!lock.valid()) return ErrnoError(part.string(), errno);
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    return MakeError(Code::kBusy, "another process fetches into " + part.string(), "wait until it has ended");
  }
  GF_CHECK_OK(RemoveOthers(part, files));

  std::mutex mutex;
  std::atomic<int64_t> done{0};
  std::atomic<bool> give_up{false};
  Download download(request, hooks, listing.commit.empty() ? request.revision : listing.commit, part);
  int64_t total = 0, missing = 0;
  for (const auto& file : files) {
    total += std::max<int64_t>(0, file.size);
    missing += std::max<int64_t>(0, file.size - download.Present(file));
  }
  if (hooks.plan) hooks.plan(files.size(), total, listing.commit);
  GF_CHECK_OK(CheckRoom(part, missing));

  std::atomic<size_t> next{0};
  Status first_error;
  const auto count = [&](int64_t bytes) {
    const int64_t now = done += bytes;
    const std::lock_guard guard(mutex);
    if (hooks.progress) hooks.progress(now);
  };
  const auto work = [&] {
    Client client;
    for (size_t i = next++; i < files.size() && !give_up; i = next++) {
      const auto status = download.Fetch(client, files[i], &give_up, count);
      const std::lock_guard guard(mutex);
      if (!status.ok()) {
        // What others say once they were told to give up is no news.
        if (first_error.ok() || first_error.error().code == Code::kInterrupted) first_error = status;
        give_up = true;
      } else if (hooks.file) {
        hooks.file(files[i].name, files[i].size);
      }
    }
  };
  std::vector<std::thread> threads;
  const auto jobs = std::min(files.size(), static_cast<size_t>(std::max(1, request.jobs)));
  for (size_t i = 1; i < jobs; ++i) threads.emplace_back(work);
  work();
  for (auto& thread : threads) thread.join();
  GF_CHECK_OK(first_error);

  GF_CHECK_OK(SyncFolders(part));
  if (::rename(part.c_str(), request.folder.c_str()) != 0) return ErrnoError(request.folder.string(), errno);
  const fs::path parent = fs::absolute(request.folder, ec).parent_path();
  return SyncPath(parent);
}

}  // namespace genflow::hub
