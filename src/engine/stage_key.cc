#include "engine/stage_key.h"

#include <set>

#include "base/sha256.h"
#include "base/strings.h"
#include "config/placeholder.h"

namespace genflow {

namespace {

using nlohmann::json;

constexpr size_t kNamesShown = 3;

std::string Shown(const json& value) {
  std::string text = value.dump(-1, ' ', false, json::error_handler_t::replace);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}

// One sentence for each leaf that differs.
void DiffValues(const std::string& what, const std::string& name, const json& before, const json& after,
                std::vector<std::string>* out) {
  if (before == after) return;
  if (before.is_object() && after.is_object()) {
    std::set<std::string> names;
    for (const auto& [key, value] : before.items()) names.insert(key);
    for (const auto& [key, value] : after.items()) names.insert(key);
    for (const auto& key : names) {
      DiffValues(what, name.empty() ? key : name + "." + key, before.value(key, json()),
                 after.value(key, json()), out);
    }
    return;
  }
  const std::string subject = what + " '" + name + "'";
  if (before.is_null())
    out->push_back(subject + " is new: " + Shown(after));
  else if (after.is_null())
    out->push_back(subject + " is gone, was " + Shown(before));
  else
    out->push_back(subject + " changed: " + Shown(before) + " -> " + Shown(after));
}

// {"port": [digest, ...]}: digests say nothing to people, so only the name is given, and of many the first.
void DiffNames(const std::string& what, const json& before, const json& after,
               std::vector<std::string>* out) {
  std::set<std::string> names;
  for (const auto& [key, value] : before.items()) names.insert(key);
  for (const auto& [key, value] : after.items()) names.insert(key);
  size_t differ = 0;
  for (const auto& key : names) {
    const char* how = !before.contains(key) ? "is new" : !after.contains(key) ? "is gone" : "changed";
    if (before.contains(key) && after.contains(key) && before[key] == after[key]) continue;
    if (++differ <= kNamesShown) out->push_back(what + " '" + key + "' " + how);
  }
  if (differ > kNamesShown)
    out->push_back("and " + WithCommas(static_cast<int64_t>(differ - kNamesShown)) + " more " + what +
                   "s differ");
}

json Object(const json& parent, const char* name) {
  const auto it = parent.find(name);
  return it != parent.end() && it->is_object() ? *it : json::object();
}

}  // namespace

Result<StageKey> ComputeKey(const StageSpec& stage, const KnownOutputs& outputs, Store& store) {
  json components = {{"format", 1}, {"stage", stage.uses}};
  if (stage.info != nullptr) {
    components["version"] = stage.info->version;
    components["plugin"] = stage.info->plugin_digest;
  }

  json inputs = json::object();
  for (const auto& input : stage.inputs) {
    const auto it = outputs.find(input.Source());
    if (it != outputs.end()) {
      inputs[input.port].push_back(it->second.digest);
      continue;
    }
    if (input.outside && input.outside->optional) {
      if (!inputs.contains(input.port)) inputs[input.port] = json::array();  // not the same as not connected
      continue;
    }
    const PortInfo* port = stage.info != nullptr ? stage.info->FindInput(input.port) : nullptr;
    if (port == nullptr || !port->optional) {
      return InvalidError("its input '" + input.port + "' is missing: '" + input.source_stage +
                          "' did not write its optional output '" + input.source_port + "'");
    }
  }
  components["inputs"] = std::move(inputs);

  const PlaceholderLookup to_digest = [&](const Placeholder& placeholder) -> Result<std::string> {
    if (placeholder.kind == Placeholder::Kind::kSecret) return placeholder.ToText();
    const auto it = outputs.find(placeholder.stage + "." + placeholder.port);
    if (it != outputs.end()) return "sha256:" + it->second.digest;
    return InvalidError("uses the output '" + placeholder.port + "' of '" + placeholder.stage +
                        "', which did not write it");
  };
  GF_TRY(components["params"], SubstitutePlaceholders(KeyParams(stage), to_digest));
  json env = json::object();
  for (const auto& [name, value] : stage.env) {
    GF_TRY(env[name], SubstitutePlaceholders(std::string_view(value), to_digest));
  }
  components["env"] = std::move(env);
  if (stage.exec) {
    GF_TRY(components["run"], SubstitutePlaceholders(std::string_view(stage.exec->run), to_digest));
    json ports = json::object();
    for (const auto& port : stage.exec->outputs) ports[port.port] = port.type;
    components["out"] = std::move(ports);
  }

  json files = json::object();
  for (const auto& file : stage.files) {
    std::error_code ec;
    auto digest = std::filesystem::is_directory(file.path, ec) ? store.DigestTree(file.path)
                                                               : store.DigestFile(file.path);
    if (!digest.ok()) return std::move(digest).error();
    files[file.param][file.name] = std::move(digest).value();
  }
  components["files"] = std::move(files);

  StageKey key;
  key.components = components.dump(-1, ' ', false, json::error_handler_t::replace);
  key.key = Sha256Hex(key.components);
  return key;
}

std::vector<std::string> DescribeKeyChange(std::string_view before_text, std::string_view after_text) {
  const json before = json::parse(before_text, nullptr, false),
             after = json::parse(after_text, nullptr, false);
  std::vector<std::string> out;
  if (!before.is_object() || !after.is_object()) return out;
  const auto text = [](const json& of, const char* name) {
    const auto it = of.find(name);
    return it != of.end() && it->is_string() ? it->get<std::string>() : std::string();
  };
  if (text(before, "stage") != text(after, "stage")) {
    out.push_back("uses '" + text(after, "stage") + "', was '" + text(before, "stage") + "'");
    return out;
  }
  if (text(before, "version") != text(after, "version")) {
    out.push_back("stage is version " + text(after, "version") + ", was " + text(before, "version"));
  } else if (text(before, "plugin") != text(after, "plugin")) {
    out.push_back("plugin of '" + text(after, "stage") + "' changed");
  }
  DiffValues("param", "", Object(before, "params"), Object(after, "params"), &out);
  if (text(before, "run") != text(after, "run")) out.push_back("run text changed");
  DiffValues("env", "", Object(before, "env"), Object(after, "env"), &out);
  DiffValues("output", "", Object(before, "out"), Object(after, "out"), &out);
  DiffNames("input", Object(before, "inputs"), Object(after, "inputs"), &out);
  const json files_before = Object(before, "files"), files_after = Object(after, "files");
  std::set<std::string> params;
  for (const auto& [name, value] : files_before.items()) params.insert(name);
  for (const auto& [name, value] : files_after.items()) params.insert(name);
  for (const auto& param : params) {
    const json old_files = Object(files_before, param.c_str()),
               new_files = Object(files_after, param.c_str());
    const bool path = (new_files.empty() ? old_files : new_files).contains("");
    if (!path)
      DiffNames("file", old_files, new_files, &out);
    else if (old_files != new_files)
      out.push_back("content of '" + param + "' changed");
  }
  return out;
}

}  // namespace genflow
