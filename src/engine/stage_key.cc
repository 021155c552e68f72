#include "engine/stage_key.h"

#include <optional>

#include "base/sha256.h"
#include "base/strings.h"
#include "config/placeholder.h"
#include "engine/report_lines.h"

namespace genflow {

using nlohmann::json;

namespace {

// Where a name or a text in the components is not UTF-8 ("env FOO"); nothing where all are.
std::optional<std::string> FindNotUtf8(const json& value) {
  const std::optional<std::string> here = std::string();
  if (value.is_string()) return IsUtf8(value.get_ref<const std::string&>()) ? std::nullopt : here;
  if (!value.is_structured()) return std::nullopt;
  for (const auto& [name, member] : value.items()) {
    const auto found = IsUtf8(name) ? FindNotUtf8(member) : here;
    if (!found) continue;
    if (!value.is_object()) return found;
    return CleanText(name) + (found->empty() ? "" : " " + *found);
  }
  return std::nullopt;
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
      // Of what is collected the stage sees the names, too.
      json entry = it->second.digest;
      if (input.collected)
        entry = {{"digest", entry}, {"from", input.source_stage}, {"matrix", MatrixJson(input.matrix)}};
      inputs[input.port].push_back(std::move(entry));
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
    GF_TRY(files[file.param][file.name], store.DigestTree(file.path));
  }
  components["files"] = std::move(files);

  // Bytes that are no text would have to be written as something else, and two keys would be one.
  if (const auto where = FindNotUtf8(components)) {
    return InvalidError("its " + *where + " is not UTF-8 text",
                        "give it in UTF-8; bytes go to a stage in a file");
  }
  StageKey key;
  key.components = components.dump();
  key.key = Sha256Hex(key.components);
  return key;
}

}  // namespace genflow
