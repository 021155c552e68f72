// What `genflow doctor` looks at: one finding a line.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace genflow::cli {

enum class Health { kOk, kWarn, kFail };
const char* HealthName(Health health);  // "ok", "warn", "fail"

struct Finding {
  std::string check;  // "cpu", "plugin train"
  Health health = Health::kOk;
  std::string text;                                 // what there is, one sentence
  std::string hint;                                 // what to do about it; empty where it is well
  nlohmann::json facts = nlohmann::json::object();  // for --json
};
using Findings = std::vector<Finding>;

// Processor, memory, GPUs, limits, clock, terminal, and the programs that stages need.
Findings CheckMachine();
// Every plugin, loaded into a process of its own.
Findings CheckPluginsLoad();
// The store at `root`, which need not exist; its disk and what its file system can do.
Findings CheckStore(const std::filesystem::path& root);

}  // namespace genflow::cli
