// The latest start of a pipeline that recorded no run: nothing had changed, the pipeline was locked or wrong.
// Kept in the store, one small file a pipeline, so that `genflow status` tells a pipeline that is looked
// after from one that is forgotten.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace genflow::cli {

struct StartNote {
  std::string file;      // absolute path of the pipeline file
  std::string pipeline;  // its name; empty where it could not be read
  double time = 0;       // seconds since the Unix epoch
  std::string outcome;   // "unchanged", "locked" or "error"
  int exit_code = 0;
  std::string message;  // one sentence

  // Whether somebody has to do something.
  bool IsFailure() const { return outcome == "error"; }
};

// The path that the engine records a pipeline file by.
std::string PipelineIdentity(const std::filesystem::path& file);

// No effect where there is no store at `root`.
Status WriteStartNote(const std::filesystem::path& root, const StartNote& note);
// Nothing where there is none, or none that can be read.
std::optional<StartNote> ReadStartNote(const std::filesystem::path& root, const std::string& file);
// The notes of all pipelines of a store.
std::vector<StartNote> ReadStartNotes(const std::filesystem::path& root);

}  // namespace genflow::cli
