// One file of a hub, fetched into its place piece by piece, whatever breaks off between.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "base/result.h"
#include "hub/http.h"
#include "hub/listing.h"
#include "hub/pull.h"

namespace genflow::hub {

// Calls `attempt` until it has no problem, or one that trying again does not help, or it has failed
// request.attempts times without setting `progressed`. `what` it is for, for notes and errors.
Status WithRetries(const PullRequest& request, const PullHooks& hooks, const std::string& what,
                   const std::function<std::optional<Problem>(bool* progressed)>& attempt);

class Download {
 public:
  // All must outlive it. `revision`: a commit where one is known. Files come to `folder`.
  Download(const PullRequest& request, const PullHooks& hooks, std::string revision,
           std::filesystem::path folder)
      : request_(request), hooks_(hooks), revision_(std::move(revision)), folder_(std::move(folder)) {}

  // Bytes of the file that an earlier attempt has left.
  int64_t Present(const RemoteFile& file) const;

  // Until the file stands in the folder, synced, with the right digest. `count` gets the bytes that came to
  // be there; negative where some had to be thrown away. Thread-safe.
  Status Fetch(Client& client, const RemoteFile& file, const std::atomic<bool>* stop,
               const std::function<void(int64_t bytes)>& count) const;

 private:
  struct Target;
  std::optional<Problem> Attempt(Client& client, const RemoteFile& file, Target& target,
                                 const std::atomic<bool>* stop, bool* progressed) const;

  const PullRequest& request_;
  const PullHooks& hooks_;
  std::string revision_;
  std::filesystem::path folder_;
};

}  // namespace genflow::hub
