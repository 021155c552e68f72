#include "config/placeholder.h"

#include "base/strings.h"

namespace genflow {

namespace {

constexpr std::string_view kOpen = "${{", kClose = "}}";

std::optional<Placeholder> ParsePlaceholder(std::string_view inner) {
  inner = Trim(inner);
  Placeholder out;
  if (inner.starts_with("secrets.")) {
    inner.remove_prefix(8);
    const size_t hash = inner.find('#');
    if (hash == std::string_view::npos) return std::nullopt;
    out.kind = Placeholder::Kind::kSecret;
    out.name = inner.substr(0, hash);
    out.digest = inner.substr(hash + 1);
    return out;
  }
  constexpr std::string_view kStages = "stages.", kOutputs = ".outputs.";
  const size_t outputs = inner.rfind(kOutputs);
  if (!inner.starts_with(kStages) || outputs == std::string_view::npos || outputs <= kStages.size())
    return std::nullopt;
  out.stage = inner.substr(kStages.size(), outputs - kStages.size());
  out.port = inner.substr(outputs + kOutputs.size());
  if (out.port.empty() || out.port.find('.') != std::string::npos) return std::nullopt;
  return out;
}

// Calls `literal` and `found` for the pieces of `text`, in order; stops when one returns false.
template <class Literal, class Found>
void Walk(std::string_view text, Literal literal, Found found) {
  while (!text.empty()) {
    const size_t open = text.find(kOpen);
    const size_t close = open == std::string_view::npos ? open : text.find(kClose, open);
    if (close == std::string_view::npos) {
      literal(text);
      return;
    }
    const auto placeholder = ParsePlaceholder(text.substr(open + kOpen.size(), close - open - kOpen.size()));
    const size_t end = close + kClose.size();
    literal(text.substr(0, placeholder ? open : end));
    if (placeholder && !found(*placeholder)) return;
    text.remove_prefix(end);
  }
}

}  // namespace

std::string Placeholder::ToText() const {
  if (kind == Kind::kSecret) return "${{ secrets." + name + "#" + digest + " }}";
  return "${{ stages." + stage + ".outputs." + port + " }}";
}

bool HasPlaceholder(std::string_view text) { return text.find(kOpen) != std::string_view::npos; }

size_t CountPlaceholders(std::string_view text) {
  size_t count = 0;
  for (size_t at = text.find(kOpen); at != std::string_view::npos; at = text.find(kOpen, at + kOpen.size()))
    ++count;
  return count;
}

std::vector<Placeholder> FindPlaceholders(const nlohmann::json& value) {
  std::vector<Placeholder> out;
  if (value.is_string()) {
    Walk(
        value.get_ref<const std::string&>(), [](std::string_view) {},
        [&](const Placeholder& p) {
          out.push_back(p);
          return true;
        });
  } else if (value.is_structured()) {
    for (const auto& item : value) {
      for (auto& p : FindPlaceholders(item)) out.push_back(std::move(p));
    }
  }
  return out;
}

Result<std::string> SubstitutePlaceholders(std::string_view text, const PlaceholderLookup& lookup) {
  std::string out;
  std::optional<Error> error;
  Walk(
      text, [&](std::string_view literal) { out += literal; },
      [&](const Placeholder& p) {
        Result<std::string> value = lookup(p);
        if (!value.ok()) {
          error = std::move(value).error();
          return false;
        }
        out += *value;
        return true;
      });
  if (error) return *std::move(error);
  return out;
}

Result<nlohmann::json> SubstitutePlaceholders(const nlohmann::json& value, const PlaceholderLookup& lookup) {
  if (value.is_string()) {
    GF_TRY(std::string text,
           SubstitutePlaceholders(std::string_view(value.get_ref<const std::string&>()), lookup));
    return nlohmann::json(std::move(text));
  }
  nlohmann::json out = value;
  if (value.is_structured()) {
    for (auto& item : out) {
      GF_TRY(item, SubstitutePlaceholders(nlohmann::json(item), lookup));
    }
  }
  return out;
}

}  // namespace genflow
