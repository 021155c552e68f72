#include <algorithm>
#include <cctype>

#include "base/strings.h"
#include "config/load_state.h"

namespace genflow {

namespace {

constexpr size_t kMaxDiagnostics = 1000;
constexpr size_t kMaxSuggestionCost = 1u << 20;

}  // namespace

Position LoadState::PartOf(const YamlNode& node, size_t start, size_t bytes) const {
  if (!node.from_source || start + bytes > node.text.size()) return PositionOf(node);
  const size_t quote = node.plain ? 0 : 1;
  if (source->text().compare(node.offset + quote, start + bytes, node.text, 0, start + bytes) != 0) {
    return PositionOf(node);
  }
  return source->At(node.offset + quote + start, bytes);
}

void LoadState::Error(Position where, std::string message, std::string hint) {
  if (diagnostics.size() > kMaxDiagnostics) return;
  if (diagnostics.size() == kMaxDiagnostics) {
    diagnostics.push_back(source->Report(
        {}, "there are more problems than the " + std::to_string(kMaxDiagnostics) + " that are shown"));
    return;
  }
  diagnostics.push_back(source->Report(where, std::move(message), std::move(hint)));
}

void LoadState::Warn(Position where, std::string message, std::string hint) {
  diagnostics.push_back(source->Report(where, std::move(message), std::move(hint), Severity::kWarning));
}

void LoadState::ErrorOutside(std::string message, std::string hint) {
  Diagnostic d;
  d.message = std::move(message);
  d.hint = std::move(hint);
  diagnostics.push_back(std::move(d));
}

std::optional<std::string> LoadState::Nearest(std::string_view word,
                                              const std::vector<std::string>& candidates) {
  suggestions_cost += candidates.size();
  if (suggestions_cost > kMaxSuggestionCost) return std::nullopt;
  return NearestName(word.substr(0, 200), candidates);
}

std::string LoadState::DidYouMean(std::string_view word, const std::vector<std::string>& candidates,
                                  std::string otherwise) {
  const auto near = Nearest(word, candidates);
  return near ? "did you mean '" + *near + "'?" : std::move(otherwise);
}

bool LoadState::ExpectMap(const YamlNode& node, std::string_view what) {
  if (node.kind == YamlNode::Kind::kMap) return true;
  Error(node, std::string(what) + " expects a mapping, got " + DescribeValue(node));
  return false;
}

void LoadState::CheckKeys(const YamlNode& map, std::string_view what, const std::vector<std::string>& known) {
  for (const auto& entry : map.entries) {
    if (std::find(known.begin(), known.end(), entry.key->text) != known.end()) continue;
    const std::string file =
        entry.value->is_scalar() && !entry.value->text.empty() ? entry.value->text : "./FILE.yaml";
    Error(*entry.key, "unknown key '" + entry.key->text + "' in " + std::string(what),
          entry.key->text == "include"
              ? "a stage uses another pipeline file: uses: " + file
              : DidYouMean(entry.key->text, known, "known keys: " + Join(known, ", ")));
  }
}

bool LoadState::IsMisspelt(const YamlNode& map, std::string_view name,
                           const std::vector<std::string>& known) {
  return std::any_of(map.entries.begin(), map.entries.end(), [&](const YamlNode::Entry& entry) {
    const std::string& key = entry.key->text;
    return std::find(known.begin(), known.end(), key) == known.end() && Nearest(key, known) == name;
  });
}

LoadState::NamedStages LoadState::FindStages(std::string_view ref) {
  constexpr size_t kShown = 3;
  NamedStages out;
  const std::string text(ref);
  const auto parsed = ParseStageRef(ref);
  const std::string name = parsed ? parsed->name : text.substr(0, text.find('['));
  const auto found = head_index.find(name);
  if (found == head_index.end()) {
    out.problem = "there is no stage '" + name + "'";
    out.problem_bytes = name.size();
    out.hint = DidYouMean(name, stage_ids);
    return out;
  }
  const StageHead& first = heads[found->second.front()];
  out.problem_bytes = text.size();
  if (!parsed) {
    out.problem = "'" + text + "' is no reference to a stage";
    out.hint = "a child of a matrix is written " + (first.is_child ? first.id : name + "[axis=value]");
    if (text.find(',') != std::string::npos) out.hint += ", a ',' in a value %2C";
    return out;
  }
  if (parsed->bracket && first.bad_matrix) {  // nobody knows which children there are
    out.heads = {&first};
    out.single = true;
    return out;
  }
  if (parsed->bracket && !first.is_child) {
    out.problem = "stage '" + name + "' has no matrix, so there is no '" + text + "'";
    out.hint = "write " + name;
    return out;
  }
  for (const size_t i : found->second) {
    if (MatchesRef(*parsed, heads[i].matrix)) out.heads.push_back(&heads[i]);
  }
  out.single = !first.is_child || (out.heads.size() == 1 && NamesWholeId(*parsed, out.heads.front()->matrix));
  if (!out.heads.empty()) return out;

  const std::vector<std::string> axes = MatrixNames(first);
  std::vector<std::string> ids;
  for (const size_t i : found->second) ids.push_back(heads[i].id);
  for (const auto& [axis, value] : parsed->values) {
    if (std::find(axes.begin(), axes.end(), axis) != axes.end()) continue;
    out.problem = "the matrix of '" + name + "' has no '" + axis + "'";
    out.hint = DidYouMean(axis, axes, "it has " + Join(axes, ", "));
    return out;
  }
  out.problem = "'" + name + "' has no child '" + text + "'";
  std::string all;
  for (size_t i = 0; i < std::min(ids.size(), kShown); ++i) all += (i > 0 ? ", " : "") + ids[i];
  if (ids.size() > kShown) all += " and " + WithCommas(static_cast<int64_t>(ids.size() - kShown)) + " more";
  out.hint = DidYouMean(text, ids, "its children: " + all);
  return out;
}

std::vector<std::string> LoadState::MatrixNames(const StageHead& child) const {
  std::vector<std::string> names;
  for (const size_t i : head_index.at(child.key->text)) {
    for (const auto& value : heads[i].matrix) {
      if (std::find(names.begin(), names.end(), value.name) == names.end()) names.push_back(value.name);
    }
  }
  return names;
}

const ParamIndex& LoadState::IndexOf(const StageInfo& info) {
  const auto [at, added] = indexes_.try_emplace(&info);
  ParamIndex& index = at->second;
  if (!added) return index;
  for (const auto& param : info.params) {
    index.params.emplace(param.name, &param);
    std::string_view rest = param.name;
    std::string group;
    while (true) {
      const size_t dot = rest.find('.');
      const std::string name(rest.substr(0, dot));
      auto& names = index.groups[group];
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
      if (dot == std::string_view::npos) break;
      group += (group.empty() ? "" : ".") + name;
      rest.remove_prefix(dot + 1);
    }
  }
  return index;
}

std::optional<std::string> LoadState::OutputType(const StageHead& head, std::string_view port) {
  if (head.info != nullptr) {
    const PortInfo* found = head.info->FindOutput(port);
    return found == nullptr ? std::nullopt : std::optional(found->type);
  }
  for (const auto& output : head.outputs) {
    if (output.port == port) return output.type;
  }
  return std::nullopt;
}

std::vector<std::string> LoadState::OutputNames(const StageHead& head) {
  std::vector<std::string> names;
  if (head.info != nullptr) {
    for (const auto& port : head.info->outputs) names.push_back(port.name);
  }
  for (const auto& output : head.outputs) names.push_back(output.port);
  return names;
}

size_t FindBadUtf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const size_t length = text[i] == '\0' ? 0 : Utf8CharLength(text.substr(i));
    if (length == 0) return i;
    i += length;
  }
  return std::string_view::npos;
}

std::string WithArticle(std::string_view noun) {
  const bool vowel = !noun.empty() && std::string_view("aeiou").find(noun[0]) != std::string_view::npos;
  return (vowel ? "an " : "a ") + std::string(noun);
}

std::string DescribeValue(const YamlNode& node) {
  if (node.kind == YamlNode::Kind::kNull) return "nothing";
  if (node.kind == YamlNode::Kind::kList) return "a list";
  if (node.kind == YamlNode::Kind::kMap) return "a mapping";
  if (!node.from_source && HasPlaceholder(node.text)) {
    return node.text.find("${{ secrets.") != std::string::npos ? "a secret" : "the path of an output";
  }
  constexpr size_t kShown = 60;
  if (node.text.size() <= kShown) return "'" + node.text + "'";
  size_t cut = kShown;
  while (cut > 0 && (static_cast<unsigned char>(node.text[cut]) & 0xC0) == 0x80) --cut;
  return "'" + node.text.substr(0, cut) + "...'";
}

bool IsIdentifier(std::string_view text, bool allow_dash) {
  if (text.empty() || text.size() > 100) return false;
  if (!std::isalpha(static_cast<unsigned char>(text[0])) && text[0] != '_') return false;
  for (char c : text) {
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '_' && !(allow_dash && c == '-')) return false;
  }
  return true;
}

}  // namespace genflow
