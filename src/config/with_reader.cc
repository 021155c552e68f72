#include "base/strings.h"
#include "config/load_state.h"

namespace genflow {

namespace {

using nlohmann::json;

void SetNested(json* object, std::string_view dotted, json value) {
  while (true) {
    const size_t dot = dotted.find('.');
    json& at = (*object)[std::string(dotted.substr(0, dot))];
    if (dot == std::string_view::npos) {
      at = std::move(value);
      return;
    }
    if (!at.is_object()) at = json::object();
    object = &at;
    dotted.remove_prefix(dot + 1);
  }
}

// Reads one level of `with`; `group` is "" or the dotted name of the level.
void ReadGroup(LoadState* state, const StageInfo& info, const ParamIndex& index, const YamlNode& map,
               const std::string& group, Scope& scope, StageSpec* stage, std::set<std::string>* given) {
  for (const auto& entry : map.entries) {
    const std::string name = group.empty() ? entry.key->text : group + "." + entry.key->text;
    if (const auto param = index.params.find(name); param != index.params.end()) {
      if (given->count(name) > 0) {
        state->Error(*entry.key, "with." + name + " is given twice");
        continue;
      }
      stage->with_positions[name] = state->PositionOf(*entry.value);
      json value;
      bool absent = false;
      if (!CoerceParam(scope, *entry.value, *param->second, name, stage, &value, &absent)) {
        given->insert(name);
      } else if (!absent) {
        given->insert(name);
        SetNested(&stage->with, name, std::move(value));
      }
      continue;
    }
    if (index.groups.count(name) > 0) {
      const YamlNode* inner = scope.Resolve(*entry.value);
      if (inner == nullptr) continue;
      if (inner->kind != YamlNode::Kind::kMap) {
        state->Error(*entry.value, "with." + name + " expects a mapping, got " + DescribeValue(*inner),
                     "its keys: " + Join(index.groups.at(name), ", "));
        continue;
      }
      ReadGroup(state, info, index, *inner, name, scope, stage, given);
      continue;
    }
    // The name may be right and the level wrong.
    std::string hint;
    for (const auto& param : info.params) {
      if (hint.empty() && param.name.ends_with("." + entry.key->text))
        hint = "did you mean '" + param.name + "'?";
    }
    if (const auto level = index.groups.find(group); hint.empty() && level != index.groups.end()) {
      const std::string all = "its keys: " + Join(level->second, ", ");
      hint = state->DidYouMean(entry.key->text, level->second, group.empty() ? "" : all);
      // What was probably meant is not reported as missing as well.
      if (const auto near = state->Nearest(entry.key->text, level->second)) {
        given->insert(group.empty() ? *near : group + "." + *near);
      }
    }
    if (hint.empty()) hint = "see: genflow stages show " + info.name;
    state->Error(*entry.key, "'" + info.name + "' has no parameter '" + name + "'", std::move(hint));
  }
}

}  // namespace

void ReadWith(LoadState* state, const StageInfo& info, Position where, const YamlNode* with, Scope& scope,
              StageSpec* stage) {
  std::set<std::string> given;
  if (with != nullptr && with->kind != YamlNode::Kind::kNull) {
    const YamlNode* map = scope.Resolve(*with);
    if (map == nullptr || !state->ExpectMap(*map, "with")) return;
    ReadGroup(state, info, state->IndexOf(info), *map, "", scope, stage, &given);
  }
  for (const auto& param : info.params) {
    if (given.count(param.name) > 0) continue;
    if (param.required) {
      const std::string needs = " needs the parameter '" + param.name + "'";
      state->Error(
          where,
          stage->id.empty()
              ? info.name + needs
              : "stage '" + (stage->parent.empty() ? stage->id : stage->parent).substr(state->prefix.size()) +
                    "'" + needs + " of " + info.name,
          param.doc.empty() ? "" : param.name + ": " + param.doc);
    } else if (param.default_value) {
      SetNested(&stage->with, param.name, *param.default_value);
    }
  }
}

LoadResult ParseStageParams(std::string text, const std::string& name, const StageInfo& info,
                            const LoadOptions& options) {
  auto source = std::make_shared<const SourceText>(name, std::move(text));
  LoadState state(options, source);
  StageSpec stage;
  stage.uses = info.name;
  stage.info = &info;
  if (FindBadUtf8(source->text()) != std::string_view::npos) {
    state.Error(Position{}, "the parameters are not UTF-8 text");
  } else if (const YamlNode* root = ParseYaml(*source, &state.tree, &state.diagnostics); root != nullptr) {
    std::set<std::string> secrets;
    Scope scope(&state, Scope::kEnv | Scope::kSecrets, name, nullptr, &secrets);
    const Position where = source->text().empty() ? Position{} : state.PositionOf(*root);
    ReadWith(&state, info, where, root, scope, &stage);
    stage.secrets.assign(secrets.begin(), secrets.end());
  }
  LoadResult result;
  result.diagnostics = std::move(state.diagnostics);
  SortDiagnostics(&result.diagnostics);
  if (HasErrors(result.diagnostics)) return result;
  std::error_code error;
  result.pipeline.emplace();
  result.pipeline->dir = std::filesystem::current_path(error);
  result.pipeline->stages.push_back(std::move(stage));
  result.pipeline->secrets = std::move(state.secrets);
  result.pipeline->source = std::move(source);
  return result;
}

}  // namespace genflow
