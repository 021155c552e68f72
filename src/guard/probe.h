// Probes: prompts that tempt a model, and the detectors that say whether it gave in. They are data files
// (configs/guard), compiled into genflow and replaceable by the user's own.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "guard/detector.h"

namespace genflow::guard {

// "low", "medium", "high", "critical", in this order.
const std::vector<std::string>& Severities();

struct Probe {
  std::string kind;  // "prompt_injection"
  std::string id;    // unique in its kind
  std::string severity;
  std::string system;              // "" without a system prompt
  std::vector<std::string> turns;  // what the user says, the model answering in between
  std::vector<std::shared_ptr<const Detector>> detectors;  // any finding in any answer fails the probe
};

// One probe file:
//   {"format": "genflow.guard", "version": 1, "kind": "...", "about": "...", "severity": "high",
//    "system": "...", "detectors": [...],                          optional, for probes without their own
//    "probes": [{"id": "...", "turns": ["..."], "severity"?, "system"?, "detectors"?}, ...]}
struct ProbeFile {
  std::string kind, about;
  std::vector<Probe> probes;
};

// `where` names the text in messages.
Result<ProbeFile> ParseProbeFile(std::string_view text, const std::string& where, const WordLists& lists);

// The probes and word lists of configs/guard, as they were when this was compiled, sorted by kind. `lists`
// holds at least the lists of BuiltinWordLists().
Result<std::vector<ProbeFile>> BuiltinProbes(const WordLists& lists);
WordLists BuiltinWordLists();

}  // namespace genflow::guard
