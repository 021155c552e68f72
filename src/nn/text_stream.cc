#include "nn/text_stream.h"

#include <algorithm>
#include <cstdint>

namespace genflow::nn {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

struct Character {
  size_t length = 0;  // bytes of the character, or of the longest valid beginning of one
  bool valid = false;
  bool cut = false;  // a valid beginning that the input ends in
};

// The character at the start of `bytes`, by table 3-7 of the Unicode standard.
Character First(std::string_view bytes) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(bytes[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return {1, true, false};
  size_t length = 0;
  uint8_t low = 0x80, high = 0xBF;  // bounds of the second byte
  if (lead >= 0xC2 && lead <= 0xDF) {
    length = 2;
  } else if (lead >= 0xE0 && lead <= 0xEF) {
    length = 3;
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    length = 4;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
  } else {
    return {1, false, false};
  }
  for (size_t i = 1; i < length; ++i) {
    if (i == bytes.size()) return {i, false, true};
    if (byte(i) < low || byte(i) > high) return {i, false, false};
    low = 0x80;
    high = 0xBF;
  }
  return {length, true, false};
}

// Length of the longest end of `text` that is the beginning of `word` but not all of it.
size_t Overlap(std::string_view text, std::string_view word) {
  for (size_t length = std::min(text.size(), word.size() - 1); length > 0; --length) {
    if (text.ends_with(word.substr(0, length))) return length;
  }
  return 0;
}

}  // namespace

void TextStream::Decode(bool final) {
  size_t at = 0;
  while (at < pending_.size()) {
    const Character next = First(std::string_view(pending_).substr(at));
    if (next.cut && !final) break;
    if (next.valid) {
      text_.append(pending_, at, next.length);
    } else {
      text_.append(kReplacement);
    }
    at += next.length;
  }
  pending_.erase(0, at);
}

bool TextStream::Append(std::string_view bytes) {
  if (closed_) return true;
  const size_t before = text_.size();
  pending_.append(bytes);
  Decode(/*final=*/false);
  size_t cut = std::string::npos;
  for (const std::string& stop : *stop_strings_) {
    if (stop.empty()) continue;
    const size_t from = before >= stop.size() ? before - stop.size() + 1 : 0;
    cut = std::min(cut, text_.find(stop, from));
  }
  if (cut == std::string::npos) return false;
  text_.resize(cut);
  pending_.clear();
  closed_ = true;
  return true;
}

void TextStream::Finish() {
  if (!closed_) Decode(/*final=*/true);
  closed_ = true;
}

std::string_view TextStream::Take() {
  size_t safe = text_.size();
  if (!closed_) {
    size_t held = 0;
    for (const std::string& stop : *stop_strings_) {
      if (!stop.empty()) held = std::max(held, Overlap(text_, stop));
    }
    safe -= held;
  }
  if (safe <= taken_) return {};
  const std::string_view piece = std::string_view(text_).substr(taken_, safe - taken_);
  taken_ = safe;
  return piece;
}

}  // namespace genflow::nn
