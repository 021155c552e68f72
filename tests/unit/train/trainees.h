// Trainings in processes of their own (trainee.cc).
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/subprocess.h"

namespace genflow::testing_support {

struct Trainee {
  ExitStatus status;
  nlohmann::json out;  // null where it wrote nothing
};

// Runs settings["processes"] (1 where it is not there) trainees at once and waits for them. Settings, each
// with a default: steps, batch, accumulation, packing, lengths, dropout, layers, checkpointing, bucket_bytes,
// eval_steps, device; state (a folder), checkpoint_steps; stop_at_poll, kill_at_poll (with signal) and
// kill_after_step, which are counted from 0; timeout_ms; kill_rest (once process 0 has ended). `of_rank` adds
// to those of one. What they write: loss, grad_norm, eval_loss, warnings (lists), interrupted, steps,
// resumed_from, tokens, digest (of the adapter).
std::vector<Trainee> RunTrainees(const std::filesystem::path& folder, nlohmann::json settings,
                                 const std::map<int, nlohmann::json>& of_rank = {},
                                 const std::map<std::string, std::string>& env = {});

}  // namespace genflow::testing_support
