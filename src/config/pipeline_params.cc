// `params:` of a pipeline, and what overrides them.
#include <algorithm>
#include <utility>

#include "base/files.h"
#include "base/strings.h"
#include "config/include.h"

namespace genflow {

namespace {

using nlohmann::json;

const char* KindName(const json& value) {
  if (value.is_boolean()) return "true or false";
  if (value.is_number()) return "a number";
  if (value.is_array()) return "a list";
  if (value.is_string()) return "a text";
  return "a mapping";
}

bool Fits(const json& standard, const json& value) {
  return standard.is_null() || standard.type() == value.type() || (standard.is_number() && value.is_number());
}

// The values of parameter files and profiles, the later ones in the place of the earlier.
void ApplyFiles(LoadState* state, const std::string& name, ParamValue* param) {
  for (const auto& file : state->options.param_files) {
    const auto given = file.values.find(name);
    if (given == file.values.end()) continue;
    const auto report = [&](std::string message, std::string hint = {}) {
      state->diagnostics.push_back(
          file.source->Report(file.places.at(name), std::move(message), std::move(hint)));
      param->bad = true;
    };
    const json standard = param->bad ? json() : param->value;
    param->bad = false;
    if (HasPlaceholder(given->second.dump(-1, ' ', false, json::error_handler_t::replace))) {
      report(name + ": a value in a parameter file cannot hold '${{'");
    } else if (given->second.is_null()) {
      report("the parameter '" + name + "' has no value");
    } else if (standard.is_string() && given->second.is_primitive()) {
      std::string text;
      ScalarToText(given->second, &text);
      param->value = given->second.is_string() ? given->second : json(text);
    } else if (!Fits(standard, given->second)) {
      report(name + ": expected " + KindName(standard) + ", like the default " + standard.dump());
    } else {
      param->value = given->second;
    }
  }
}

// Whether a profile's value has the type of the default; a scalar becomes text where that is text.
bool FitsDefault(LoadState* state, const YamlNode& at, const std::string& name, const json& standard,
                 json* value) {
  if (standard.is_string() && value->is_primitive() && !value->is_null() && !value->is_string()) {
    std::string text;
    ScalarToText(*value, &text);
    *value = text;
  }
  if (value->is_null() || Fits(standard, *value)) return true;
  state->Error(at, name + ": expected " + KindName(standard) + ", like the default " + standard.dump());
  return false;
}

// A `-p` value: typed as YAML; text stays text where the default is text. Nothing after a problem.
std::optional<json> ParseOverride(LoadState* state, const std::string& name, const std::string& text,
                                  const json& standard) {
  const std::string shown = "-p " + name + "=" + (text.size() > 60 ? text.substr(0, 60) + "..." : text);
  if (HasPlaceholder(text)) {
    state->ErrorOutside(shown + ": a value cannot hold '${{'");
    return std::nullopt;
  }
  if (standard.is_string()) return json(text);
  json value;
  if (!text.empty() && std::string_view("[{\"'").find(text[0]) != std::string_view::npos) {
    const SourceText source("", text);
    std::vector<Diagnostic> problems;
    YamlTree tree;
    const YamlNode* node = ParseYaml(source, &tree, &problems);
    if (node == nullptr || !problems.empty()) {
      state->ErrorOutside(shown + ": " + (problems.empty() ? "not valid YAML" : problems[0].message));
      return std::nullopt;
    }
    value = YamlToJson(*node);
  } else {
    YamlNode node;
    ResolvePlainScalar(text, &node);
    value = YamlToJson(node);
  }
  if (!Fits(standard, value)) {
    state->ErrorOutside(shown + ": expected " + KindName(standard) + ", like the default " + standard.dump() +
                        ", got '" + text + "'");
    return std::nullopt;
  }
  return value;
}

}  // namespace

void ReadParams(LoadState* state, const YamlNode* node) {
  std::vector<std::string> names;
  if (node != nullptr && node->kind != YamlNode::Kind::kNull && state->ExpectMap(*node, "params")) {
    for (const auto& entry : node->entries) names.push_back(entry.key->text);
  }
  std::map<std::string, std::string> last_override;
  for (const auto& [name, value] : state->options.overrides) {
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      state->ErrorOutside(
          "-p " + name + ": the pipeline has no parameter '" + name + "'",
          state->DidYouMean(name, names,
                            names.empty() ? "it has no parameters" : "its parameters: " + Join(names, ", ")));
    }
    last_override[name] = value;
  }
  bool all_known = true;
  for (const auto& file : state->options.param_files) {
    all_known = all_known && file.problems.empty();
    for (const auto& [name, value] : file.values) {
      if (std::find(names.begin(), names.end(), name) != names.end()) continue;
      state->diagnostics.push_back(file.source->Report(
          file.names.at(name), "the pipeline has no parameter '" + name + "'",
          state->DidYouMean(
              name, names, names.empty() ? "it has no parameters" : "its parameters: " + Join(names, ", "))));
    }
  }
  if (node == nullptr || node->kind != YamlNode::Kind::kMap) return;

  Scope scope(state, Scope::kParams | Scope::kEnv, "params");
  for (const auto& entry : node->entries) {
    const std::string& name = entry.key->text;
    ParamValue param;
    param.key = entry.key;
    if (!IsIdentifier(name, true)) {
      state->Error(*entry.key, "'" + name + "' cannot name a parameter", "use letters, digits, - and _");
      param.bad = param.used = true;
    }
    if (!scope.ToJson(*entry.value, &param.value)) param.bad = true;
    for (const YamlNode* profile : state->profiles) {
      const YamlNode* value = InProfile(*profile, "params", name);
      if (value == nullptr) continue;
      const json standard = param.bad ? json() : param.value;
      param.bad =
          !scope.ToJson(*value, &param.value) || !FitsDefault(state, *value, name, standard, &param.value);
    }
    ApplyFiles(state, name, &param);
    if (const auto given = last_override.find(name); given != last_override.end()) {
      auto value = ParseOverride(state, name, given->second, param.bad ? json() : param.value);
      param.bad = !value;
      if (value) param.value = *std::move(value);
    }
    if (param.value.is_null() && !param.bad) {
      if (all_known)
        state->Error(*entry.key, "the parameter '" + name + "' has no value",
                     "give one here, or with -p " + name + "=VALUE");
      param.bad = true;
    }
    state->params.emplace(name, std::move(param));
  }
}

void CheckProfileParams(LoadState* state, const YamlNode& root) {
  const YamlNode *params = root.Find("params"), *profiles = root.Find("profiles");
  if (params == nullptr || params->kind != YamlNode::Kind::kMap) return;
  if (profiles == nullptr || profiles->kind != YamlNode::Kind::kMap) return;
  for (const auto& entry : profiles->entries) {
    const auto& in_force = state->profiles;
    if (std::find(in_force.begin(), in_force.end(), entry.value) != in_force.end()) continue;
    for (const auto& param : params->entries) {
      const std::string& name = param.key->text;
      const YamlNode* at = InProfile(*entry.value, "params", name);
      if (at == nullptr || HasPlaceholder(at->text) || HasPlaceholder(param.value->text)) continue;
      json value = YamlToJson(*at);
      FitsDefault(state, *at, name, YamlToJson(*param.value), &value);
    }
  }
}

ParamsFile LoadParamsFile(const std::filesystem::path& file) {
  auto text = ReadFile(file, kMaxPipelineBytes);
  if (text.ok()) return ParseParamsFile(*std::move(text), file.string());
  ParamsFile out;
  Diagnostic& problem = out.problems.emplace_back();
  problem.message = "-f " + text.error().message;
  problem.hint = text.error().hint;
  return out;
}

ParamsFile ParseParamsFile(std::string text, const std::string& name) {
  ParamsFile out;
  out.source = std::make_shared<const SourceText>(name, std::move(text));
  const SourceText& source = *out.source;
  if (auto problem = NotUtf8(source)) {
    out.problems.push_back(*std::move(problem));
    return out;
  }
  YamlTree tree;
  const YamlNode* root = ParseYaml(source, &tree, &out.problems);
  if (root == nullptr) return out;
  if (root->kind != YamlNode::Kind::kMap) {
    out.problems.push_back(source.Report(source.At(root->offset, root->bytes),
                                         "expected a mapping of parameters, got " + DescribeValue(*root)));
    return out;
  }
  for (const auto& entry : root->entries) {
    const std::string& key = entry.key->text;
    out.values[key] = YamlToJson(*entry.value);
    out.names[key] = source.At(entry.key->offset, entry.key->bytes);
    out.places[key] = source.At(entry.value->offset, entry.value->bytes);
  }
  return out;
}

}  // namespace genflow
