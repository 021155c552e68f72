// Training text that comes back out: the model is given the beginning of a training text, and its answer is
// searched for runs of words that stand in the training set. A run counts when it is at least `words` long,
// is not part of the prompt, and stands in at most `common` training texts: what many of them share is
// style, not memory. (Carlini et al. 2021, "Extracting Training Data from Large Language Models".)
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace genflow::guard {

struct RegurgitationOptions {
  int64_t words = 12;
  int64_t common = 3;
};

// Chooses `count` of the texts offered, whatever their order: those whose ids hash lowest.
class PrefixSampler {
 public:
  PrefixSampler(size_t count, int64_t prefix_words, uint64_t seed)
      : count_(count), prefix_words_(prefix_words), seed_(seed) {}

  // Texts of fewer than twice the prefix's words have nothing to give away, and are passed over.
  void Offer(std::string_view id, std::string_view text);

  struct Prefix {
    std::string id;
    std::string prompt;  // the first words of the text
  };
  // In an order that depends on the ids and the seed alone.
  std::vector<Prefix> Take() const;

 private:
  size_t count_;
  int64_t prefix_words_;
  uint64_t seed_;
  std::map<std::string, Prefix> best_;  // hash -> prefix, at most `count`
};

// Counts in how many training texts each window of words of the answers stands. Memory grows with the
// answers, not with the training set.
class RegurgitationIndex {
 public:
  explicit RegurgitationIndex(RegurgitationOptions options) : options_(options) {}

  // First every answer with its prompt ...
  void AddAnswer(std::string_view prompt, std::string_view answer);
  // ... then every training text ...
  void AddTrainingText(std::string_view text);
  // ... then: the longest run of words of answer `index` that counts, or nothing.
  std::optional<std::string> LongestRun(size_t index) const;

 private:
  struct Answer {
    std::vector<std::string> words;
    std::vector<uint64_t> windows;  // hash of the window that begins at a word; 0: stands in the prompt
  };
  RegurgitationOptions options_;
  std::vector<Answer> answers_;
  std::unordered_map<uint64_t, int64_t> texts_with_;  // window -> training texts
};

}  // namespace genflow::guard
