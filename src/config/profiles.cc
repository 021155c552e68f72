// `profiles:`, sets of changes to a pipeline that `--profile NAME` puts in force.
#include <algorithm>

#include "base/strings.h"
#include "config/load_state.h"

namespace genflow {

namespace {

const std::vector<std::string> kProfileKeys = {"params", "env", "defaults", "stages"};

std::vector<std::string> NamesIn(const YamlNode* map) {
  std::vector<std::string> out;
  if (map == nullptr || map->kind != YamlNode::Kind::kMap) return out;
  for (const auto& entry : map->entries) out.push_back(entry.key->text);
  return out;
}

// Reports keys of `map` that the pipeline does not have.
void CheckNames(LoadState* state, const YamlNode& map, const std::string& what, const std::string& noun,
                const std::vector<std::string>& names) {
  for (const auto& entry : map.entries) {
    const std::string& name = entry.key->text;
    if (std::find(names.begin(), names.end(), name) != names.end()) continue;
    state->Error(*entry.key, what + ": the pipeline has no " + noun + " '" + name + "'",
                 state->DidYouMean(name, names));
  }
}

// A parameter that only a profile uses which is not in force is used all the same.
void MarkUsed(LoadState* state, const YamlNode& node) {
  for (const YamlNode* item : node.items) MarkUsed(state, *item);
  for (const auto& entry : node.entries) MarkUsed(state, *entry.value);
  if (!HasPlaceholder(node.text)) return;
  for (auto& [name, param] : state->params) {
    if (node.text.find("params." + name) != std::string::npos) param.used = true;
  }
}

}  // namespace

void ReadProfiles(LoadState* state, const YamlNode& root) {
  const YamlNode* profiles = root.Find("profiles");
  if (profiles != nullptr && profiles->kind == YamlNode::Kind::kNull) profiles = nullptr;
  if (profiles != nullptr && !state->ExpectMap(*profiles, "profiles")) return;
  const std::vector<std::string> names = NamesIn(profiles);
  const std::vector<std::string> params = NamesIn(root.Find("params")), stages = NamesIn(root.Find("stages"));
  for (size_t i = 0; i < names.size(); ++i) {
    const YamlNode& body = *profiles->entries[i].value;
    const std::string what = "profiles." + names[i];
    if (!IsIdentifier(names[i], true))
      state->Error(*profiles->entries[i].key, "'" + names[i] + "' cannot name a profile",
                   "use letters, digits, - and _");
    if (body.kind == YamlNode::Kind::kNull || !state->ExpectMap(body, what)) continue;
    state->CheckKeys(body, what, kProfileKeys);
    if (const YamlNode* map = body.Find("params"); map != nullptr && state->ExpectMap(*map, what + ".params"))
      CheckNames(state, *map, what + ".params", "parameter", params);
    if (const YamlNode* map = body.Find("stages");
        map != nullptr && state->ExpectMap(*map, what + ".stages")) {
      CheckNames(state, *map, what + ".stages", "stage", stages);
      for (const auto& entry : map->entries) {
        if (state->ExpectMap(*entry.value, what + ".stages." + entry.key->text))
          state->CheckKeys(*entry.value, what + ".stages." + entry.key->text, kSettingKeys);
      }
    }
  }
  for (const std::string& name : state->options.profiles) {
    const auto found = std::find(names.begin(), names.end(), name);
    if (found != names.end()) {
      state->profiles.push_back(profiles->entries[static_cast<size_t>(found - names.begin())].value);
      continue;
    }
    state->ErrorOutside(
        "--profile " + name + ": the pipeline has no profile '" + name + "'",
        state->DidYouMean(name, names,
                          names.empty() ? "it has no profiles" : "its profiles: " + Join(names, ", ")));
  }
}

const YamlNode* InProfile(const YamlNode& profile, std::string_view key, std::string_view inner) {
  if (profile.kind != YamlNode::Kind::kMap) return nullptr;
  const YamlNode* map = profile.Find(key);
  if (map == nullptr || map->kind != YamlNode::Kind::kMap || inner.empty()) return map;
  const YamlNode* out = map->Find(inner);
  return out;
}

void MarkProfilesUsed(LoadState* state, const YamlNode& root) {
  if (const YamlNode* profiles = root.Find("profiles"); profiles != nullptr) MarkUsed(state, *profiles);
}

}  // namespace genflow
