#include "engine/key_change.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "base/strings.h"
#include "base/text_diff.h"
#include "engine/fan_in_change.h"

namespace genflow {

namespace {

using nlohmann::json;

constexpr size_t kNamesShown = 3;       // of inputs and of files, in sentences
constexpr size_t kSentenceValue = 60;   // characters of a value in a sentence
constexpr size_t kDiffLinesShown = 12;  // of one text
constexpr size_t kDigestShown = 12;
constexpr const char* kOtherSecret = "a secret in it has another value";

std::string Text(const json& of, const char* name) {
  const auto it = of.find(name);
  return it != of.end() && it->is_string() ? it->get<std::string>() : std::string();
}

json Object(const json& parent, const char* name) {
  const auto it = parent.find(name);
  return it != parent.end() && it->is_object() ? *it : json::object();
}

void AddLeaves(KeyPartKind kind, const std::string& name, const json& value, std::vector<KeyPart>* out) {
  if (!value.is_object() || (value.empty() && !name.empty())) {
    out->push_back({kind, name, "", value});
    return;
  }
  for (const auto& [key, inner] : value.items())
    AddLeaves(kind, name.empty() ? key : name + "." + key, inner, out);
}

bool IsHex(std::string_view text) {
  return text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

// Digests cut to 12 characters; secrets' salted digests left out.
std::string ForPeople(std::string_view text) {
  constexpr std::string_view kSecret = "${{ secrets.", kDigest = "sha256:";
  std::string out;
  while (!text.empty()) {
    const size_t secret = text.find(kSecret), digest = text.find(kDigest);
    const size_t next = std::min(secret, digest);
    out += text.substr(0, next);
    if (next == std::string_view::npos) break;
    text.remove_prefix(next);
    if (next == secret) {
      const size_t hash = text.find('#'), close = text.find(" }}");
      out += text.substr(0, std::min(hash, close));
      text.remove_prefix(std::min(close, text.size()));
    } else {
      out += kDigest;
      text.remove_prefix(kDigest.size());
      if (text.size() < 64 || !IsHex(text.substr(0, 64))) continue;
      out += text.substr(0, kDigestShown);
      text.remove_prefix(64);
    }
  }
  return out;
}

bool HoldsDigests(KeyPartKind kind) {
  return kind == KeyPartKind::kPlugin || kind == KeyPartKind::kInput || kind == KeyPartKind::kFile ||
         kind == KeyPartKind::kContent;
}

std::string ShownJson(KeyPartKind kind, const json& value) {
  if (HoldsDigests(kind)) {
    std::vector<std::string> digests;
    for (const auto& one : value.is_array() ? value : json::array({value})) {
      const std::string digest = DigestOfInput(one);
      digests.push_back(digest == kUnknownDigest ? "not known yet" : digest.substr(0, kDigestShown));
    }
    return Join(digests, ", ");
  }
  if (kind == KeyPartKind::kRun && value.is_string()) {
    const auto lines = Split(Trim(value.get_ref<const std::string&>()), '\n');
    const std::string first = ForPeople(lines.front());
    return lines.size() == 1 ? first : first + " ... (" + Counted(lines.size(), "line") + ")";
  }
  return ForPeople(value.dump(-1, ' ', false, json::error_handler_t::replace));
}

// Not in the middle of a UTF-8 sequence.
size_t Boundary(std::string_view text, size_t at) {
  while (at > 0 && at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80) --at;
  return at;
}

// At most about `limit` bytes of the text, among them what follows its first `same` bytes.
std::string CutAround(const std::string& text, size_t same, size_t limit) {
  if (text.size() <= limit) return text;
  limit = std::max<size_t>(limit, 16);
  const size_t begin = same > limit / 2 ? Boundary(text, std::min(same, text.size()) - limit / 3) : 0;
  std::string out = begin > 0 ? "..." : "";
  const size_t room = limit - out.size();
  if (text.size() - begin <= room) return out + text.substr(begin);
  return out + text.substr(begin, Boundary(text, begin + room - 3) - begin) + "...";
}

size_t FirstDifference(const std::string& a, const std::string& b) {
  return static_cast<size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
}

std::string Subject(const KeyPart& part) {
  switch (part.kind) {
    case KeyPartKind::kRun:
      return "run text";
    case KeyPartKind::kContent:
      return "content of '" + part.name + "'";
    case KeyPartKind::kPlugin:
      return "plugin of '" + part.name + "'";
    default:
      return std::string(KeyPartName(part.kind)) + " '" + part.name + "'";
  }
}

// The whole sentence of changes that have a form of their own.
std::string OwnSentence(const KeyChange& change) {
  const auto text = [](const json& value) {
    return value.is_string() ? value.get<std::string>() : "unknown";
  };
  if (change.part.kind == KeyPartKind::kStage)
    return "uses '" + text(change.part.value) + "', was '" + text(change.before) + "'";
  if (change.part.kind == KeyPartKind::kVersion)
    return "stage is version " + text(change.part.value) + ", was " + text(change.before);
  return {};
}

const char* How(const KeyChange& change) {
  return change.before.is_null() ? " is new" : change.part.value.is_null() ? " is gone" : " changed";
}

// Calls `tell` for each change, for those of inputs and files the first `names` of each kind; then `more`
// with how many were left out.
template <class Tell, class More>
void ForFirst(const std::vector<KeyChange>& changes, size_t names, Tell tell, More more) {
  for (size_t i = 0; i < changes.size();) {
    const KeyPartKind kind = changes[i].part.kind;
    size_t end = i + 1;
    if (kind == KeyPartKind::kInput || kind == KeyPartKind::kFile) {
      while (end < changes.size() && changes[end].part.kind == kind) ++end;
    }
    for (size_t k = i; k < std::min(end, i + names); ++k) tell(changes[k]);
    if (end - i > names) {
      more("and " + WithCommas(static_cast<int64_t>(end - i - names)) + " more " + KeyPartName(kind) +
           (end - i - names == 1 ? " differs" : "s differ"));
    }
    i = end;
  }
}

bool HasLines(const json& value) {
  return value.is_string() && value.get_ref<const std::string&>().find('\n') != std::string::npos;
}

void AppendTextDiff(const KeyChange& change, size_t width, std::vector<std::string>* out) {
  const auto text = [](const json& value) {
    return ForPeople(value.is_string() ? value.get<std::string>() : value.dump());
  };
  const auto lines = LineDiff(text(change.before), text(change.part.value), 1);
  size_t shown = 0;
  for (const DiffLine& line : lines) {
    if (line.kind == DiffLine::Kind::kSkipped) {
      if (&line != &lines.front() && &line != &lines.back()) out->push_back("    ...");
      continue;
    }
    if (++shown > kDiffLinesShown) {
      out->push_back("    and more");
      return;
    }
    out->push_back(std::string("  ") + static_cast<char>(line.kind) + " " +
                   CutAround(line.text, 0, width > 24 ? width - 4 : 20));
    while (out->back().ends_with(' ')) out->back().pop_back();
  }
  if (lines.empty()) out->push_back(std::string("  (") + kOtherSecret + ")");
}

void AppendInFull(const KeyChange& change, size_t width, std::vector<std::string>* out) {
  if (auto own = OwnSentence(change); !own.empty()) {
    out->push_back(std::move(own));
    return;
  }
  const KeyPart& part = change.part;
  if (const auto children = ChildrenThatDiffer(change.before, part.value, kNamesShown, kDigestShown);
      !children.empty()) {
    const std::string whole = Subject(part) + ": " + Join(children, ", ");
    if (whole.size() <= width) {
      out->push_back(whole);
      return;
    }
    out->push_back(Subject(part) + " changed:");
    for (const auto& child : children) out->push_back("  " + child);
    return;
  }
  const std::string subject = Subject(part) + How(change);
  if (change.before.is_null() || part.value.is_null()) {
    const bool gone = part.value.is_null();
    const std::string begin = subject + (gone ? ", was " : ": ");
    const std::string value = ShownJson(part.kind, gone ? change.before : part.value);
    out->push_back(begin + CutAround(value, 0, width > begin.size() + 20 ? width - begin.size() : 20));
    return;
  }
  if (HasLines(change.before) || HasLines(part.value)) {
    out->push_back(subject + ":");
    AppendTextDiff(change, width, out);
    return;
  }
  const std::string before = ShownJson(part.kind, change.before), after = ShownJson(part.kind, part.value);
  if (before == after) {
    out->push_back(subject + ": " + (HoldsDigests(part.kind) ? after : kOtherSecret));
    return;
  }
  const std::string whole = subject + ": " + before + " -> " + after;
  if (whole.size() <= width) {
    out->push_back(whole);
    return;
  }
  const size_t same = FirstDifference(before, after);
  const size_t room = width > 24 ? width - 4 : 20;
  out->push_back(subject + ":");
  out->push_back("  - " + CutAround(before, same, room));
  out->push_back("  + " + CutAround(after, same, room));
}

std::string Sentence(const KeyChange& change) {
  if (auto own = OwnSentence(change); !own.empty()) return own;
  const KeyPart& part = change.part;
  if (const auto children = ChildrenThatDiffer(change.before, part.value, kNamesShown, 0); !children.empty())
    return Subject(part) + ": " + Join(children, ", ");
  std::string out = Subject(part) + How(change);
  if (HoldsDigests(part.kind) || part.kind == KeyPartKind::kRun) return out;
  const std::string before = ShownJson(part.kind, change.before), after = ShownJson(part.kind, part.value);
  if (change.before.is_null()) return out + ": " + CutAround(after, 0, kSentenceValue);
  if (part.value.is_null()) return out + ", was " + CutAround(before, 0, kSentenceValue);
  if (before == after) return out + ": " + kOtherSecret;
  const size_t same = FirstDifference(before, after);
  return out + ": " + CutAround(before, same, kSentenceValue) + " -> " +
         CutAround(after, same, kSentenceValue);
}

}  // namespace

const char* KeyPartName(KeyPartKind kind) {
  switch (kind) {
    case KeyPartKind::kStage:
      return "stage";
    case KeyPartKind::kVersion:
      return "version";
    case KeyPartKind::kPlugin:
      return "plugin";
    case KeyPartKind::kParam:
      return "param";
    case KeyPartKind::kRun:
      return "run";
    case KeyPartKind::kEnv:
      return "env";
    case KeyPartKind::kOutput:
      return "output";
    case KeyPartKind::kInput:
      return "input";
    case KeyPartKind::kFile:
      return "file";
    case KeyPartKind::kContent:
      return "content";
  }
  return "unknown";
}

std::vector<KeyPart> KeyParts(std::string_view components) {
  const json parsed = json::parse(components, nullptr, false);
  std::vector<KeyPart> out;
  if (!parsed.is_object()) return out;
  const auto add_text = [&](KeyPartKind kind, const char* name) {
    if (auto text = Text(parsed, name); !text.empty()) out.push_back({kind, "", "", std::move(text)});
  };
  add_text(KeyPartKind::kStage, "stage");
  add_text(KeyPartKind::kVersion, "version");
  add_text(KeyPartKind::kPlugin, "plugin");
  if (!out.empty() && out.back().kind == KeyPartKind::kPlugin) out.back().name = Text(parsed, "stage");
  AddLeaves(KeyPartKind::kParam, "", Object(parsed, "params"), &out);
  add_text(KeyPartKind::kRun, "run");
  AddLeaves(KeyPartKind::kEnv, "", Object(parsed, "env"), &out);
  AddLeaves(KeyPartKind::kOutput, "", Object(parsed, "out"), &out);
  AddLeaves(KeyPartKind::kInput, "", Object(parsed, "inputs"), &out);
  std::vector<KeyPart> contents;
  const json all_files = Object(parsed, "files");
  for (const auto& [param, files] : all_files.items()) {
    for (const auto& [name, digest] : files.items()) {
      if (name.empty())
        contents.push_back({KeyPartKind::kContent, param, "", digest});
      else
        out.push_back({KeyPartKind::kFile, name, param, digest});
    }
  }
  out.insert(out.end(), contents.begin(), contents.end());
  return out;
}

bool IsUnknown(const KeyPart& part) {
  if (part.kind == KeyPartKind::kInput) {
    return part.value.is_array() && std::any_of(part.value.begin(), part.value.end(), [](const json& one) {
             return DigestOfInput(one) == kUnknownDigest;
           });
  }
  return part.value.dump(-1, ' ', false, json::error_handler_t::replace)
             .find("sha256:" + std::string(kUnknownDigest)) != std::string::npos;
}

std::vector<KeyChange> CompareKeys(std::string_view before_text, std::string_view after_text) {
  const auto before = KeyParts(before_text), after = KeyParts(after_text);
  std::vector<KeyChange> out;
  if (before.empty() || after.empty()) return out;
  std::map<std::tuple<KeyPartKind, std::string, std::string>, KeyChange> sides;
  for (const KeyPart& part : before) {
    KeyChange& change = sides[{part.kind, part.name, part.param}];
    change.part = part;
    change.before = std::exchange(change.part.value, json());
  }
  for (const KeyPart& part : after) sides[{part.kind, part.name, part.param}].part = part;
  for (auto& [id, change] : sides) {
    if (change.part.value == change.before || IsUnknown(change.part)) continue;
    out.push_back(std::move(change));
    if (out.front().part.kind == KeyPartKind::kStage) break;
  }
  const auto versions = std::count_if(out.begin(), out.end(),
                                      [](const auto& c) { return c.part.kind == KeyPartKind::kVersion; });
  if (versions > 0)
    std::erase_if(out, [](const auto& change) { return change.part.kind == KeyPartKind::kPlugin; });
  // A port without an artifact has an entry, too.
  for (KeyChange& change : out) {
    if (change.part.kind != KeyPartKind::kInput) continue;
    for (json* value : {&change.before, &change.part.value}) {
      if (value->empty() || *value == "") *value = nullptr;
    }
  }
  return out;
}

std::vector<std::string> DescribeChanges(const std::vector<KeyChange>& changes) {
  std::vector<std::string> out;
  ForFirst(
      changes, kNamesShown, [&](const KeyChange& change) { out.push_back(Sentence(change)); },
      [&](std::string more) { out.push_back(std::move(more)); });
  return out;
}

std::vector<std::string> DescribeKeyChange(std::string_view before, std::string_view after) {
  return DescribeChanges(CompareKeys(before, after));
}

std::vector<std::string> DescribeInFull(const std::vector<KeyChange>& changes, size_t width, size_t names) {
  std::vector<std::string> out;
  ForFirst(
      changes, names, [&](const KeyChange& change) { AppendInFull(change, width, &out); },
      [&](std::string more) { out.push_back(std::move(more)); });
  return out;
}

std::string ShownValue(const KeyPart& part) {
  if (part.value.is_null()) return "";
  if (part.kind == KeyPartKind::kStage || part.kind == KeyPartKind::kVersion)
    return part.value.is_string() ? part.value.get<std::string>() : part.value.dump();
  return ShownJson(part.kind, part.value);
}

}  // namespace genflow
