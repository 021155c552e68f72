#include "nn/text_stream.h"

#include <algorithm>

#include "base/utf8.h"

namespace genflow::nn {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

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
    const Utf8Char next = FirstUtf8Char(std::string_view(pending_).substr(at));
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
