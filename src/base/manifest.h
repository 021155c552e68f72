// What a plugin declares, as data: read from the manifest beside a plugin, without loading it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace genflow {

// The types of plugin.h, by the names used in manifests and messages.
enum class ParamType {
  kBool,
  kInt,
  kFloat,
  kString,
  kEnum,
  kPath,
  kFiles,
  kStringList,
  kSize,
  kDuration,
  kJson
};

const char* ParamTypeName(ParamType type);  // "bool", "int", ..., "string-list", "json"
std::optional<ParamType> ParamTypeFromName(std::string_view name);

struct ParamInfo {
  std::string name;  // dotted: "lora.r"
  ParamType type = ParamType::kString;
  bool required = false, secret = false, is_volatile = false;
  std::optional<nlohmann::json> default_value;
  std::optional<double> min, max;  // inclusive; both or neither
  std::vector<std::string> choices;
  std::string doc;
};

struct PortInfo {
  std::string name;
  std::string type;  // dataset, model, adapter, report, package, file; inputs also "any"
  bool optional = false, many = false;
  std::string doc;
};

struct StageInfo {
  std::string name, version, summary, doc;
  std::vector<ParamInfo> params;
  std::vector<PortInfo> inputs, outputs;
  bool has_check = false;             // the plugin has a word on parameters before a run
  bool processes = false;             // it can run in several processes
  std::string plugin_name;            // filled when read from a PluginInfo
  std::filesystem::path plugin_file;  // the .so, absolute
  std::string plugin_digest;          // SHA-256 of the .so, 64 hex digits

  const ParamInfo* FindParam(std::string_view param) const;
  const PortInfo* FindInput(std::string_view port) const;
  const PortInfo* FindOutput(std::string_view port) const;
};

struct PluginInfo {
  std::string name, version;
  uint32_t abi_major = 0, abi_minor = 0;
  std::filesystem::path file;
  std::string digest;
  std::vector<StageInfo> stages;
};

// Canonical JSON of a manifest (sorted keys, two-space indent, newline at the end).
std::string ManifestToJson(const PluginInfo& plugin);
// `file` is the .so that the manifest stands beside. Malformed text is kCorrupt.
Result<PluginInfo> ManifestFromJson(std::string_view text, const std::filesystem::path& file);

// Every stage that can be used, sorted by name.
class Catalog {
 public:
  Catalog() = default;
  explicit Catalog(std::vector<StageInfo> stages);

  const StageInfo* Find(std::string_view name) const;
  const std::vector<StageInfo>& stages() const { return stages_; }
  std::vector<std::string> Names() const;

 private:
  std::vector<StageInfo> stages_;
};

}  // namespace genflow
