// Cuts text into the pieces that merges do not cross: the pre_tokenizer of a byte-level tokenizer.json.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace genflow::text {

// Immutable, thread-safe.
class PreTokenizer {
 public:
  // Sequence, Split, Digits and ByteLevel; the last step must be ByteLevel.
  static Result<PreTokenizer> FromJson(const nlohmann::json& pre_tokenizer);

  // Calls `emit(std::string_view piece)` for each piece of valid UTF-8 text, in order.
  template <class Emit>
  void ForEach(std::string_view text, Emit&& emit) const {
    Run(0, text, emit);
  }

 private:
  // The well-known expressions have scanners; others run on PCRE2.
  enum class Kind { kGpt2, kLlama3, kQwen2, kDigit, kDigitRuns, kRegex, kPrefixSpace };
  class Regex;
  struct Step {
    Kind kind;
    std::shared_ptr<const Regex> regex;  // kRegex
    bool drop_matches = false, drop_gaps = false;
  };

  Status AddStep(const nlohmann::json& step);
  Status AddSplit(const nlohmann::json& step);

  // End of the piece that starts at `begin`.
  static size_t NextPiece(Kind kind, std::string_view text, size_t begin);
  // Next match at or after `from`; false when there is none.
  static bool NextMatch(const Regex& regex, std::string_view text, size_t from, size_t* begin, size_t* end);

  template <class Emit>
  void Run(size_t index, std::string_view text, Emit& emit) const {
    if (text.empty()) return;
    if (index == steps_.size()) return emit(text);
    const Step& step = steps_[index];
    if (step.kind == Kind::kPrefixSpace) {
      if (text.starts_with(' ')) return Run(index + 1, text, emit);
      return Run(index + 1, " " + std::string(text), emit);
    }
    if (step.kind == Kind::kRegex) {
      size_t at = 0, begin = 0, end = 0;
      while (NextMatch(*step.regex, text, at, &begin, &end)) {
        if (!step.drop_gaps) Run(index + 1, text.substr(at, begin - at), emit);
        if (!step.drop_matches) Run(index + 1, text.substr(begin, end - begin), emit);
        at = end;
      }
      if (!step.drop_gaps) Run(index + 1, text.substr(at), emit);
      return;
    }
    for (size_t at = 0; at < text.size();) {
      const size_t end = NextPiece(step.kind, text, at);
      Run(index + 1, text.substr(at, end - at), emit);
      at = end;
    }
  }

  std::vector<Step> steps_;
};

}  // namespace genflow::text
