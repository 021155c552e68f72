// `params:` of a pipeline, and what overrides them.
#include <algorithm>

#include "base/files.h"
#include "base/strings.h"
#include "config/load_state.h"

namespace genflow {

namespace {

using nlohmann::json;

const char* KindName(const json& value) {
  if (value.is_boolean()) return "true or false";
  if (value.is_number_integer()) return "an integer";
  if (value.is_number()) return "a number";
  if (value.is_array()) return "a list";
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
  for (const auto& [name, value] : state->options.param_values) {
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      state->ErrorOutside("the parameter file gives '" + name + "', which the pipeline does not have",
                          state->DidYouMean(name, names));
    }
  }
  for (const auto& file : state->options.param_files) {
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
      if (value != nullptr) param.bad = !scope.ToJson(*value, &param.value);
    }
    ApplyFiles(state, name, &param);
    if (const auto given = state->options.param_values.find(name);
        given != state->options.param_values.end()) {
      param.bad = false;
      param.value = given->second;
      if (HasPlaceholder(param.value.dump(-1, ' ', false, json::error_handler_t::replace))) {
        state->ErrorOutside("the parameter file gives '" + name + "' a value that holds '${{'");
        param.bad = true;
      }
    }
    if (const auto given = last_override.find(name); given != last_override.end()) {
      auto value = ParseOverride(state, name, given->second, param.bad ? json() : param.value);
      param.bad = !value;
      if (value) param.value = *std::move(value);
    }
    if (param.value.is_null() && !param.bad) {
      state->Error(*entry.key, "the parameter '" + name + "' has no value",
                   "give one here, or with -p " + name + "=VALUE");
      param.bad = true;
    }
    state->params.emplace(name, std::move(param));
  }
}

Result<ParamsFile> LoadParamsFile(const std::filesystem::path& file) {
  GF_TRY(std::string text, ReadFile(file, kMaxPipelineBytes));
  if (const size_t bad = FindBadUtf8(text); bad != std::string_view::npos) {
    return InvalidError(file.string() + ": not UTF-8 text");
  }
  ParamsFile out;
  out.source = std::make_shared<const SourceText>(file.string(), std::move(text));
  const SourceText& source = *out.source;
  YamlTree tree;
  std::vector<Diagnostic> problems;
  const YamlNode* root = ParseYaml(source, &tree, &problems);
  if (!problems.empty() || root == nullptr) {
    const Diagnostic& first = problems.front();
    return InvalidError(file.string() + ":" + std::to_string(first.line) + ":" +
                            std::to_string(first.column) + ": " + first.message,
                        first.hint);
  }
  if (root->kind != YamlNode::Kind::kMap) {
    return InvalidError(file.string() + ": expected a mapping of parameters, got " + DescribeValue(*root));
  }
  for (const auto& entry : root->entries) {
    const std::string& name = entry.key->text;
    out.values[name] = YamlToJson(*entry.value);
    out.names[name] = source.At(entry.key->offset, entry.key->bytes);
    out.places[name] = source.At(entry.value->offset, entry.value->bytes);
  }
  return out;
}

Result<std::map<std::string, json>> ReadParamsFile(const std::filesystem::path& file) {
  GF_TRY(ParamsFile read, LoadParamsFile(file));
  return std::move(read.values);
}

}  // namespace genflow
