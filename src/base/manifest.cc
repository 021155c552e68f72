#include "base/manifest.h"

#include <algorithm>
#include <array>
#include <utility>

namespace genflow {

namespace {

using nlohmann::json;

constexpr std::array<std::pair<ParamType, const char*>, 11> kTypes = {{
    {ParamType::kBool, "bool"},
    {ParamType::kInt, "int"},
    {ParamType::kFloat, "float"},
    {ParamType::kString, "string"},
    {ParamType::kEnum, "enum"},
    {ParamType::kPath, "path"},
    {ParamType::kFiles, "files"},
    {ParamType::kStringList, "string-list"},
    {ParamType::kSize, "size"},
    {ParamType::kDuration, "duration"},
    {ParamType::kJson, "json"},
}};

json ToJson(const ParamInfo& p) {
  json out = {{"name", p.name}, {"type", ParamTypeName(p.type)}, {"doc", p.doc}};
  if (p.required) out["required"] = true;
  if (p.secret) out["secret"] = true;
  if (p.is_volatile) out["volatile"] = true;
  if (p.default_value) out["default"] = *p.default_value;
  if (p.min && p.max) {
    out["min"] = *p.min;
    out["max"] = *p.max;
  }
  if (!p.choices.empty()) out["choices"] = p.choices;
  return out;
}

json ToJson(const PortInfo& p) {
  json out = {{"name", p.name}, {"type", p.type}, {"doc", p.doc}};
  if (p.optional) out["optional"] = true;
  if (p.many) out["many"] = true;
  return out;
}

template <class T>
json ListToJson(const std::vector<T>& list) {
  json out = json::array();
  for (const auto& item : list) out.push_back(ToJson(item));
  return out;
}

ParamInfo ParamFromJson(const json& j) {
  ParamInfo p;
  p.name = j.at("name").get<std::string>();
  const auto type = ParamTypeFromName(j.at("type").get<std::string>());
  if (!type) throw std::runtime_error("parameter '" + p.name + "' has an unknown type");
  p.type = *type;
  p.doc = j.value("doc", "");
  p.required = j.value("required", false);
  p.secret = j.value("secret", false);
  p.is_volatile = j.value("volatile", false);
  if (j.contains("default")) p.default_value = j.at("default");
  if (j.contains("min")) p.min = j.at("min").get<double>();
  if (j.contains("max")) p.max = j.at("max").get<double>();
  p.choices = j.value("choices", std::vector<std::string>{});
  return p;
}

PortInfo PortFromJson(const json& j) {
  PortInfo p;
  p.name = j.at("name").get<std::string>();
  p.type = j.at("type").get<std::string>();
  p.doc = j.value("doc", "");
  p.optional = j.value("optional", false);
  p.many = j.value("many", false);
  return p;
}

template <class T>
const T* FindByName(const std::vector<T>& list, std::string_view name) {
  for (const auto& item : list) {
    if (item.name == name) return &item;
  }
  return nullptr;
}

}  // namespace

const char* ParamTypeName(ParamType type) {
  for (const auto& [value, name] : kTypes) {
    if (value == type) return name;
  }
  return "json";
}

std::optional<ParamType> ParamTypeFromName(std::string_view name) {
  for (const auto& [value, text] : kTypes) {
    if (name == text) return value;
  }
  return std::nullopt;
}

const ParamInfo* StageInfo::FindParam(std::string_view param) const { return FindByName(params, param); }
const PortInfo* StageInfo::FindInput(std::string_view port) const { return FindByName(inputs, port); }
const PortInfo* StageInfo::FindOutput(std::string_view port) const { return FindByName(outputs, port); }

std::string ManifestToJson(const PluginInfo& plugin) {
  json stages = json::array();
  for (const auto& s : plugin.stages) {
    stages.push_back({{"name", s.name},
                      {"version", s.version},
                      {"summary", s.summary},
                      {"doc", s.doc},
                      {"params", ListToJson(s.params)},
                      {"inputs", ListToJson(s.inputs)},
                      {"outputs", ListToJson(s.outputs)}});
    if (s.has_check) stages.back()["check"] = true;
    if (s.processes) stages.back()["processes"] = true;
  }
  const json out = {{"manifest", 1},           {"abi", {plugin.abi_major, plugin.abi_minor}},
                    {"plugin", plugin.name},   {"version", plugin.version},
                    {"sha256", plugin.digest}, {"stages", stages}};
  return out.dump(2) + "\n";
}

Result<PluginInfo> ManifestFromJson(std::string_view text, const std::filesystem::path& file) {
  try {
    const json j = json::parse(text);
    PluginInfo plugin;
    plugin.name = j.at("plugin").get<std::string>();
    plugin.version = j.at("version").get<std::string>();
    plugin.digest = j.at("sha256").get<std::string>();
    plugin.abi_major = j.at("abi").at(0).get<uint32_t>();
    plugin.abi_minor = j.at("abi").at(1).get<uint32_t>();
    plugin.file = file;
    for (const auto& s : j.at("stages")) {
      StageInfo stage;
      stage.name = s.at("name").get<std::string>();
      stage.version = s.at("version").get<std::string>();
      stage.summary = s.value("summary", "");
      stage.doc = s.value("doc", "");
      for (const auto& p : s.at("params")) stage.params.push_back(ParamFromJson(p));
      for (const auto& p : s.at("inputs")) stage.inputs.push_back(PortFromJson(p));
      for (const auto& p : s.at("outputs")) stage.outputs.push_back(PortFromJson(p));
      stage.has_check = s.value("check", false);
      stage.processes = s.value("processes", false);
      stage.plugin_name = plugin.name;
      stage.plugin_file = file;
      stage.plugin_digest = plugin.digest;
      plugin.stages.push_back(std::move(stage));
    }
    return plugin;
  } catch (const std::exception& e) {
    return MakeError(Code::kCorrupt, "plugin manifest of " + file.string() + ": " + e.what(),
                     "write it again with `genflow plugin describe " + file.string() + "`");
  }
}

Catalog::Catalog(std::vector<StageInfo> stages) : stages_(std::move(stages)) {
  std::sort(stages_.begin(), stages_.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
}

const StageInfo* Catalog::Find(std::string_view name) const {
  const auto it = std::lower_bound(stages_.begin(), stages_.end(), name,
                                   [](const StageInfo& s, std::string_view n) { return s.name < n; });
  return it != stages_.end() && it->name == name ? &*it : nullptr;
}

std::vector<std::string> Catalog::Names() const {
  std::vector<std::string> out;
  for (const auto& s : stages_) out.push_back(s.name);
  return out;
}

}  // namespace genflow
