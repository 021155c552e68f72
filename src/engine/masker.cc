#include "engine/masker.h"

#include <algorithm>
#include <cctype>

#include "base/percent.h"
#include "base/strings.h"

namespace genflow {

namespace {

bool IsUnreserved(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) ||
         std::string_view("-_.~").find(c) != std::string_view::npos;
}

std::string Base64(std::string_view text) {
  constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    bits = bits << 8 | static_cast<unsigned char>(c);
    for (count += 8; count >= 6; count -= 6) out += kDigits[bits >> (count - 6) & 63];
  }
  if (count > 0) out += kDigits[bits << (6 - count) & 63];
  return out;  // without padding: it stands before it as well
}

}  // namespace

Masker::Masker(const Pipeline& pipeline) {
  for (const auto& [name, secret] : pipeline.secrets) {
    const std::string& value = secret.Reveal();
    if (value.size() < kMinMasked) continue;
    const std::string json =
        nlohmann::json(value).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    needles_.push_back(value);
    needles_.push_back(json.substr(1, json.size() - 2));
    needles_.push_back(PercentEncode(value, IsUnreserved));
    needles_.push_back(Base64(value));
    if (value.find('\n') == std::string::npos) continue;
    for (const std::string_view line : Split(value, '\n')) {
      if (Trim(line).size() >= kMinMasked) needles_.emplace_back(Trim(line));
    }
  }
  std::sort(needles_.begin(), needles_.end(), [](const std::string& a, const std::string& b) {
    return a.size() != b.size() ? a.size() > b.size() : a < b;
  });
  needles_.erase(std::unique(needles_.begin(), needles_.end()), needles_.end());
}

std::string Masker::Mask(std::string text) const {
  for (const auto& needle : needles_) {
    for (size_t at = text.find(needle); at != std::string::npos; at = text.find(needle, at + kMask.size()))
      text.replace(at, needle.size(), kMask);
  }
  return text;
}

Error Masker::Mask(Error error) const {
  error.message = Mask(std::move(error.message));
  error.hint = Mask(std::move(error.hint));
  return error;
}

std::vector<std::string> Masker::Mask(std::vector<std::string> texts) const {
  for (auto& text : texts) text = Mask(std::move(text));
  return texts;
}

std::string OutputMasker::Add(std::string text, bool piece) {
  text = masker_->Mask(std::move(held_) + text);
  held_.clear();
  if (!piece || masker_->empty()) return text;
  const size_t kept = text.size() - std::min(text.size(), masker_->Overlap());
  held_ = text.substr(kept);
  text.resize(kept);
  return text;
}

std::string OutputMasker::Rest() { return masker_->Mask(std::exchange(held_, {})); }

}  // namespace genflow
