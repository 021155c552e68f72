#include "config/stage_ref.h"

#include <algorithm>

#include "base/percent.h"
#include "base/strings.h"
#include "config/yaml_tree.h"

namespace genflow {

namespace {

bool IsPlain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
         c == '+' || c == '-';
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

std::string Unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool escape =
        text[i] == '%' && i + 2 < text.size() && HexDigit(text[i + 1]) >= 0 && HexDigit(text[i + 2]) >= 0;
    if (!escape) {
      out += text[i];
      continue;
    }
    out += static_cast<char>(HexDigit(text[i + 1]) * 16 + HexDigit(text[i + 2]));
    i += 2;
  }
  return out;
}

nlohmann::json Typed(std::string_view text) {
  YamlNode node;
  ResolvePlainScalar(text, &node);
  return YamlToJson(node);
}

const MatrixValue* Find(const std::vector<MatrixValue>& values, std::string_view name) {
  const auto found =
      std::find_if(values.begin(), values.end(), [&](const auto& v) { return v.name == name; });
  return found == values.end() ? nullptr : &*found;
}

}  // namespace

std::optional<StageRef> ParseStageRef(std::string_view text) {
  StageRef out;
  const size_t open = text.find('[');
  out.name = text.substr(0, open);
  if (open == std::string_view::npos) {
    if (text.find(']') != std::string_view::npos) return std::nullopt;
    return out;
  }
  if (!text.ends_with(']')) return std::nullopt;
  out.bracket = true;
  const std::string_view inner = text.substr(open + 1, text.size() - open - 2);
  if (inner.find_first_of("[]") != std::string_view::npos) return std::nullopt;
  for (const std::string_view piece : Split(inner, ',')) {
    const size_t equals = piece.find('=');
    if (equals == std::string_view::npos || equals == 0) return std::nullopt;
    out.values.emplace_back(Trim(piece.substr(0, equals)), Unescape(Trim(piece.substr(equals + 1))));
  }
  return out;
}

size_t FindPortDot(std::string_view text) {
  const size_t close = text.find(']');
  return text.find('.', close == std::string_view::npos || text.find('[') > close ? 0 : close);
}

std::string EscapeMatrixValue(std::string_view text) { return PercentEncode(text, IsPlain); }

std::string MatrixSuffix(const std::vector<MatrixValue>& values) {
  std::string out;
  for (const auto& value : values) {
    if (!value.in_id) continue;
    out += (out.empty() ? "[" : ",") + value.name + "=" + EscapeMatrixValue(value.text);
  }
  return out + "]";
}

nlohmann::json MatrixJson(const std::vector<MatrixValue>& values) {
  nlohmann::json out = nlohmann::json::object();
  for (const auto& value : values) out[value.name] = value.value;
  return out;
}

nlohmann::json OriginOf(std::string_view id, const std::vector<MatrixValue>& values) {
  nlohmann::json out = nlohmann::json::object();
  if (!values.empty()) out["matrix"] = MatrixJson(values);
  const size_t end = FileEnd(id), open = id.find('[', end);
  if (open != std::string_view::npos) {
    out["of"] = id.substr(0, open);
  } else if (end > 0) {
    const std::string_view file = id.substr(0, end - 1);
    out["of"] = file.substr(0, file.find('[', FileEnd(file)));
  }
  return out;
}

nlohmann::json OriginOf(std::string_view id) {
  std::vector<MatrixValue> values;
  for (const std::string_view part : Split(id, '/')) {
    const auto parsed = ParseStageRef(part);
    if (!parsed) continue;
    for (auto& value : TypedValues(*parsed)) values.push_back(std::move(value));
  }
  return OriginOf(id, values);
}

std::vector<MatrixValue> TypedValues(const StageRef& ref) {
  std::vector<MatrixValue> out;
  for (const auto& [name, text] : ref.values) out.push_back({name, Typed(text), text});
  return out;
}

size_t FileEnd(std::string_view id) {
  const size_t slash = id.rfind('/');  // those in values are escaped
  return slash == std::string_view::npos ? 0 : slash + 1;
}

bool MatchesRef(const StageRef& ref, const std::vector<MatrixValue>& values) {
  return std::all_of(ref.values.begin(), ref.values.end(), [&](const auto& wanted) {
    const MatrixValue* value = Find(values, wanted.first);
    return value != nullptr && (value->text == wanted.second || value->value == Typed(wanted.second));
  });
}

bool NamesWholeId(const StageRef& ref, const std::vector<MatrixValue>& values) {
  return ref.bracket && std::all_of(values.begin(), values.end(), [&](const MatrixValue& value) {
           return !value.in_id || std::any_of(ref.values.begin(), ref.values.end(),
                                              [&](const auto& wanted) { return wanted.first == value.name; });
         });
}

bool SameMatrixValue(const MatrixValue& a, const MatrixValue& b) {
  return a.value == b.value || a.text == b.text;
}

std::vector<std::string> SplitStageRefs(std::string_view text) {
  std::vector<std::string> out(1);
  int depth = 0;
  for (const char c : text) {
    if (c == '[') ++depth;
    if (c == ']' && depth > 0) --depth;
    if (c == ',' && depth == 0)
      out.emplace_back();
    else
      out.back() += c;
  }
  return out;
}

}  // namespace genflow
