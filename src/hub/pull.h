// Fetches a model into a folder that is there whole or not at all.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"

namespace genflow::hub {

struct PullRequest {
  std::string endpoint;  // "https://..." without a slash at its end
  std::string token;     // "" none
  std::string id;        // "organisation/model" or "model"
  std::string revision = "main";
  std::filesystem::path folder;  // must not exist; what is fetched stands in FOLDER.part until it is whole
  std::vector<std::string> include, exclude;
  int jobs = 4;             // files at once
  int attempts = 5;         // without a byte of progress between them
  double backoff = 0.5;     // seconds before the second attempt; doubled each time
  double max_backoff = 30;  // also of what a server asks for with Retry-After
};

struct PullHooks {
  // Called once; from then on the rest, from several threads, one call at a time.
  std::function<void(size_t files, int64_t bytes, const std::string& commit)> plan;
  // Bytes that are there so far, those of an earlier attempt included.
  std::function<void(int64_t done)> progress;
  std::function<void(const std::string& name, int64_t bytes)> file;
  std::function<void(const std::string& text)> note;
  const std::atomic<bool>* stop = nullptr;  // ends it: kInterrupted, and what came so far stays
};

// Continues what an earlier call left of the same files. A file counts when its size and digest are those of
// the list; a wrong one is fetched once more from its beginning.
Status Pull(const PullRequest& request, const PullHooks& hooks);

}  // namespace genflow::hub
