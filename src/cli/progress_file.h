// How far a running run is, in a small file beside its logs: for `genflow status`, which is another process.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "engine/executor.h"
#include "engine/observer.h"

namespace genflow::cli {

struct RunProgress {
  size_t stages = 0, finished = 0;
  // Of the stages that report it, by id.
  std::map<std::string, StageProgress> running;
};

// Passes everything on to `next` and rewrites the file of the run at most every two seconds, from its second
// second on; removes it at the end. A file that cannot be written is done without.
std::unique_ptr<Observer> MakeProgressFile(std::unique_ptr<Observer> next);

// Nothing where the run is younger than its first file, or is over.
std::optional<RunProgress> ReadProgressFile(const std::filesystem::path& store_root, const std::string& run);

}  // namespace genflow::cli
