// The store's and the engine's records as JSON, for --json.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "base/result.h"
#include "engine/observer.h"
#include "store/maintenance.h"
#include "store/records.h"

namespace genflow::cli {

// One line, whatever bytes the strings hold; NaN becomes null.
std::string Dump(const nlohmann::json& value);
// The same, indented and with a newline at the end.
std::string DumpPretty(const nlohmann::json& value);

nlohmann::json ToJson(const Error& error);
nlohmann::json ToJson(const Artifact& artifact);
nlohmann::json ToJson(const PortArtifact& output);
nlohmann::json ToJson(const ArtifactUse& use);
nlohmann::json ToJson(const RunInfo& run);
nlohmann::json ToJson(const AttemptInfo& attempt);
nlohmann::json ToJson(const StageResult& result);
nlohmann::json ToJson(const GcReport& report);
nlohmann::json ToJson(const FsckReport& report);

}  // namespace genflow::cli
