// Tokens that are found in text before everything else: "<|im_end|>" and the like.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace genflow::text {

struct AddedToken {
  int32_t id = 0;
  std::string content;
  bool single_word = false, lstrip = false, rstrip = false, normalized = false, special = false;
};

// Finds a set of added tokens, leftmost first, the longest of those that start together.
class AddedTokenMatcher {
 public:
  // A stretch of text, or a token in it.
  struct Part {
    std::string_view text;
    int32_t id;  // -1: text
  };

  AddedTokenMatcher() = default;
  explicit AddedTokenMatcher(std::vector<AddedToken> tokens);

  // Appends the parts of `text`. A special token for which `is_text(begin, end)` holds stays text.
  template <class IsText>
  void Split(std::string_view text, IsText&& is_text, std::vector<Part>* parts) const {
    size_t done = 0, at = 0;
    Found found;
    while (FindNext(text, &at, done, is_text, &found)) {
      if (found.begin > done) parts->push_back({text.substr(done, found.begin - done), -1});
      parts->push_back({text.substr(found.begin, found.end - found.begin), found.token->id});
      done = found.end;
    }
    if (done < text.size()) parts->push_back({text.substr(done), -1});
  }

  // The first special token in `text`.
  std::optional<Part> FirstSpecial(std::string_view text) const;

 private:
  struct Found {
    const AddedToken* token = nullptr;
    size_t begin = 0, end = 0;  // with the white space that the token takes in
  };

  // The next token at or after `*at`, which moves on; text before `done` belongs to tokens already found.
  bool FindNext(std::string_view text, size_t* at, size_t done,
                const std::function<bool(size_t, size_t)>& is_text, Found* found) const;
  // The longest token at the start of `text`, or nullptr.
  const AddedToken* Match(std::string_view text) const;

  std::vector<AddedToken> tokens_;  // sorted by content
  bool starts_[256] = {};
};

}  // namespace genflow::text
