#include "text/pre_tokenizer.h"

#include <array>
#include <new>

#include "formats/split_patterns.h"
#include "text/unicode.h"

namespace genflow::text {

using nlohmann::json;

namespace {

// A position in valid UTF-8 text with the class of the character there.
class Cursor {
 public:
  Cursor(std::string_view text, size_t at) : text_(text), classes_(CharClasses()), at_(at) { Load(); }

  bool done() const { return at_ >= text_.size(); }
  size_t at() const { return at_; }
  uint32_t code() const { return code_; }
  bool Is(uint8_t bits) const { return (class_ & bits) != 0; }
  // Neither letter, number nor white space.
  bool IsOther() const { return !done() && (class_ & (kLetter | kNumber | kSpace)) == 0; }
  bool IsNewline() const { return !done() && (code_ == '\n' || code_ == '\r'); }
  void Advance() {
    at_ += length_;
    Load();
  }
  void SkipWhile(uint8_t bits) {
    while (Is(bits)) Advance();
  }

 private:
  void Load() {
    if (done()) {
      code_ = length_ = 0;
      class_ = 0;
      return;
    }
    const auto [code, length] = DecodeChar(text_.data() + at_);
    code_ = code;
    length_ = length;
    class_ = classes_[code];
  }

  std::string_view text_;
  const uint8_t* classes_;
  size_t at_;
  uint32_t code_ = 0, length_ = 0;
  uint8_t class_ = 0;
};

// Length of "'s", "'t", "'re", "'ve", "'m", "'ll" or "'d" at `at`; 0 when there is none. Ignoring case takes
// the long s (U+017F) for an s, as Unicode folds it.
size_t Contraction(std::string_view text, size_t at, bool ignore_case) {
  if (text[at] != '\'') return 0;
  const auto letter = [&](size_t i) -> char {
    if (i >= text.size()) return 0;
    const char c = text[i];
    return ignore_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  };
  const char first = letter(at + 1), second = letter(at + 2);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
  if ((first == 'r' || first == 'v') && second == 'e') return 3;
  if (first == 'l' && second == 'l') return 3;
  if (ignore_case && text.substr(at + 1).starts_with("\xc5\xbf")) return 3;
  return 0;
}

// `\s+(?!\S)|\s+` at white space: the run, less its last character when text follows and more than one is
// there.
size_t SpaceRun(Cursor cursor) {
  size_t last = cursor.at(), count = 0;
  while (cursor.Is(kSpace)) {
    last = cursor.at();
    ++count;
    cursor.Advance();
  }
  return cursor.done() || count == 1 ? cursor.at() : last;
}

size_t NextGpt2(std::string_view text, size_t begin) {
  if (const size_t length = Contraction(text, begin, false)) return begin + length;
  Cursor cursor(text, begin);
  if (text[begin] == ' ') {
    Cursor next = cursor;
    next.Advance();
    if (next.done() || next.Is(kSpace)) return SpaceRun(cursor);
    cursor = next;
  }
  if (cursor.Is(kLetter)) {
    cursor.SkipWhile(kLetter);
  } else if (cursor.Is(kNumber)) {
    cursor.SkipWhile(kNumber);
  } else if (cursor.Is(kSpace)) {
    return SpaceRun(cursor);
  } else {
    while (cursor.IsOther()) cursor.Advance();
  }
  return cursor.at();
}

// Llama 3's and Qwen 2's expressions, which differ in how many digits stay together.
size_t NextLlama3(std::string_view text, size_t begin, int digits) {
  if (const size_t length = Contraction(text, begin, true)) return begin + length;
  const Cursor start(text, begin);
  Cursor cursor = start;
  if (cursor.Is(kNumber)) {
    for (int i = 0; i < digits && cursor.Is(kNumber); ++i) cursor.Advance();
    return cursor.at();
  }
  // [^\r\n\p{L}\p{N}]?\p{L}+
  if (!cursor.Is(kLetter) && !cursor.IsNewline()) cursor.Advance();
  if (cursor.Is(kLetter)) {
    cursor.SkipWhile(kLetter);
    return cursor.at();
  }
  //  ?[^\s\p{L}\p{N}]+[\r\n]*
  cursor = start;
  if (text[begin] == ' ') cursor.Advance();
  if (cursor.IsOther()) {
    while (cursor.IsOther()) cursor.Advance();
    while (cursor.IsNewline()) cursor.Advance();
    return cursor.at();
  }
  // \s*[\r\n]+
  size_t after_newline = 0;
  for (cursor = start; cursor.Is(kSpace);) {
    const bool newline = cursor.IsNewline();
    cursor.Advance();
    if (newline) after_newline = cursor.at();
  }
  return after_newline != 0 ? after_newline : SpaceRun(start);
}

Error Unsupported(const std::string& what) {
  return MakeError(Code::kUnsupported, "tokenizer.json: " + what,
                   "byte-level BPE tokenizers (GPT-2, SmolLM, Llama 3, Qwen 2 and their kin) are supported");
}

}  // namespace

std::optional<Match> PreTokenizer::NextMatch(const Pattern& pattern, std::string_view text, size_t from) {
  while (from <= text.size()) {
    const auto match = pattern.Find(text, from);
    if (!match.ok()) throw std::bad_alloc();  // an unbounded match fails in no other way
    if (!*match || (*match)->end > (*match)->begin) return *match;
    const size_t at = (*match)->end;
    from = at < text.size() ? at + DecodeChar(text.data() + at).length : text.size() + 1;
  }
  return std::nullopt;
}

size_t PreTokenizer::NextPiece(Kind kind, std::string_view text, size_t begin) {
  switch (kind) {
    case Kind::kGpt2:
      return NextGpt2(text, begin);
    case Kind::kLlama3:
      return NextLlama3(text, begin, 3);
    case Kind::kQwen2:
      return NextLlama3(text, begin, 1);
    default:
      break;
  }
  Cursor cursor(text, begin);
  const bool digit = cursor.Is(kDigit);
  cursor.Advance();
  if (digit && kind == Kind::kDigit) return cursor.at();
  while (!cursor.done() && cursor.Is(kDigit) == digit) cursor.Advance();
  return cursor.at();
}

Status PreTokenizer::AddSplit(const json& step) {
  const json pattern = step.value("pattern", json(nullptr));
  const std::string behavior = step.value("behavior", "");
  const bool invert = step.value("invert", false);
  const bool is_regex = pattern.is_object() && pattern.contains("Regex") && pattern["Regex"].is_string();
  const bool is_text = pattern.is_object() && pattern.contains("String") && pattern["String"].is_string();
  if ((!is_regex && !is_text) || (behavior != "Isolated" && behavior != "Removed")) {
    return Unsupported("the pre-tokenizer " + step.dump() + " is not supported");
  }
  const std::string text = is_regex ? pattern["Regex"] : pattern["String"];
  if (text.empty()) return Unsupported("the pre-tokenizer splits at an empty pattern");
  Step out{Kind::kRegex, std::nullopt, false, false};
  if (behavior == "Removed") (invert ? out.drop_gaps : out.drop_matches) = true;
  if (is_regex && behavior == "Isolated") {
    if (text == formats::kGpt2Split) out.kind = Kind::kGpt2;
    if (text == formats::kLlama3Split) out.kind = Kind::kLlama3;
    if (text == formats::kQwen2Split) out.kind = Kind::kQwen2;
  }
  if (out.kind == Kind::kRegex) {
    auto pattern = Pattern::Compile(text, {.literal = is_text, .valid_utf8 = true, .bounded = false});
    if (!pattern.ok()) return Unsupported("the pre-tokenizer's " + pattern.error().message);
    out.pattern = *std::move(pattern);
  }
  steps_.push_back(std::move(out));
  return Ok();
}

Status PreTokenizer::AddStep(const json& step) {
  const std::string type = step.is_object() ? step.value("type", "") : "";
  if (type == "Split") return AddSplit(step);
  if (type == "Digits") {
    steps_.push_back({step.value("individual_digits", false) ? Kind::kDigit : Kind::kDigitRuns, std::nullopt,
                      false, false});
    return Ok();
  }
  if (type == "ByteLevel") {
    if (step.value("add_prefix_space", true))
      steps_.push_back({Kind::kPrefixSpace, std::nullopt, false, false});
    if (step.value("use_regex", true)) steps_.push_back({Kind::kGpt2, std::nullopt, false, false});
    return Ok();
  }
  return Unsupported("the pre-tokenizer " + (type.empty() ? step.dump() : "'" + type + "'") +
                     " is not supported");
}

Result<PreTokenizer> PreTokenizer::FromJson(const json& pre_tokenizer) {
  if (!pre_tokenizer.is_object()) return Unsupported("there is no pre-tokenizer");
  json steps = json::array({pre_tokenizer});
  if (pre_tokenizer.value("type", "") == "Sequence")
    steps = pre_tokenizer.value("pretokenizers", json::array());
  const json last = steps.is_array() && !steps.empty() ? steps.back() : json(nullptr);
  if (!last.is_object() || last.value("type", "") != "ByteLevel")
    return Unsupported("the pre-tokenizer is not byte-level");
  PreTokenizer out;
  for (const auto& step : steps) GF_CHECK_OK(out.AddStep(step));
  return out;
}

}  // namespace genflow::text
