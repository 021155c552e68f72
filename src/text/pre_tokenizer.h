// Cuts text into the pieces that merges do not cross: the pre_tokenizer of a byte-level tokenizer.json.
#pragma once

#include <cstddef>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/pattern.h"

namespace genflow::text {

// Immutable, thread-safe.
class PreTokenizer {
 public:
  // Sequence, Split, Digits and ByteLevel; the last step must be ByteLevel.
  static Result<PreTokenizer> FromJson(const nlohmann::json& pre_tokenizer);

  // Calls `emit(std::string_view piece, std::ptrdiff_t begin)` for each piece of valid UTF-8 text, in order.
  // The piece stands at byte `begin` of `text`: one before what follows its inserted space, where it has one.
  template <class Emit>
  void ForEach(std::string_view text, Emit&& emit) const {
    Run(0, text, 0, emit);
  }

 private:
  // The well-known expressions have scanners; others are patterns.
  enum class Kind { kGpt2, kLlama3, kQwen2, kDigit, kDigitRuns, kRegex, kPrefixSpace };
  struct Step {
    Kind kind;
    std::optional<Pattern> pattern;  // kRegex
    bool drop_matches = false, drop_gaps = false;
  };

  Status AddStep(const nlohmann::json& step);
  Status AddSplit(const nlohmann::json& step);

  // End of the piece that starts at `begin`.
  static size_t NextPiece(Kind kind, std::string_view text, size_t begin);
  // The next match of at least one character at or after `from`.
  static std::optional<Match> NextMatch(const Pattern& pattern, std::string_view text, size_t from);

  // Steps from `index` on, for the stretch `text` that begins at byte `origin` of the whole.
  template <class Emit>
  void Run(size_t index, std::string_view text, std::ptrdiff_t origin, Emit& emit) const {
    if (text.empty()) return;
    if (index == steps_.size()) return emit(text, origin);
    const Step& step = steps_[index];
    if (step.kind == Kind::kPrefixSpace) {
      if (text.starts_with(' ')) return Run(index + 1, text, origin, emit);
      return Run(index + 1, " " + std::string(text), origin - 1, emit);
    }
    const auto next = [&](size_t begin, size_t end) {
      Run(index + 1, text.substr(begin, end - begin), origin + static_cast<std::ptrdiff_t>(begin), emit);
    };
    if (step.kind == Kind::kRegex) {
      size_t at = 0;
      while (const auto match = NextMatch(*step.pattern, text, at)) {
        if (!step.drop_gaps) next(at, match->begin);
        if (!step.drop_matches) next(match->begin, match->end);
        at = match->end;
      }
      if (!step.drop_gaps) next(at, text.size());
      return;
    }
    for (size_t at = 0; at < text.size();) {
      const size_t end = NextPiece(step.kind, text, at);
      next(at, end);
      at = end;
    }
  }

  std::vector<Step> steps_;
};

}  // namespace genflow::text
