#include "guard/regurgitation.h"

#include <algorithm>
#include <unordered_set>

#include "base/sha256.h"
#include "base/strings.h"
#include "eval/text_metrics.h"

namespace genflow::guard {
namespace {

// FNV-1a over the words with a separator; never 0.
uint64_t HashWindow(const std::vector<std::string>& words, size_t begin, size_t count) {
  uint64_t hash = 14695981039346656037ull;
  const auto add = [&](unsigned char c) { hash = (hash ^ c) * 1099511628211ull; };
  for (size_t i = begin; i < begin + count; ++i) {
    for (const char c : words[i]) add(static_cast<unsigned char>(c));
    add(0);
  }
  return hash == 0 ? 1 : hash;
}

// Hash of the window at each word that has `count` words from it on.
std::vector<uint64_t> Windows(const std::vector<std::string>& words, size_t count) {
  std::vector<uint64_t> out;
  for (size_t i = 0; i + count <= words.size(); ++i) out.push_back(HashWindow(words, i, count));
  return out;
}

}  // namespace

void PrefixSampler::Offer(std::string_view id, std::string_view text) {
  const std::string_view trimmed = Trim(text);
  size_t words = 0, cut = 0;
  bool inside = false;
  for (size_t i = 0; i < trimmed.size(); ++i) {
    const bool blank = trimmed[i] == ' ' || trimmed[i] == '\n' || trimmed[i] == '\t' || trimmed[i] == '\r';
    if (blank && inside && words == static_cast<size_t>(prefix_words_) && cut == 0) cut = i;
    if (!blank && !inside) ++words;
    inside = !blank;
  }
  if (words < 2 * static_cast<size_t>(prefix_words_)) return;
  const std::string key = Sha256Hex(std::to_string(seed_) + ":" + std::string(id));
  if (best_.size() == count_ && (count_ == 0 || key > best_.rbegin()->first)) return;
  best_[key] = {std::string(id), std::string(trimmed.substr(0, cut))};
  if (best_.size() > count_) best_.erase(std::prev(best_.end()));
}

std::vector<PrefixSampler::Prefix> PrefixSampler::Take() const {
  std::vector<Prefix> out;
  for (const auto& [key, prefix] : best_) out.push_back(prefix);
  return out;
}

void RegurgitationIndex::AddAnswer(std::string_view prompt, std::string_view answer) {
  const size_t count = static_cast<size_t>(options_.words);
  const auto given = Windows(eval::Words(prompt), count);
  const std::unordered_set<uint64_t> known(given.begin(), given.end());
  Answer entry;
  entry.words = eval::Words(answer);
  entry.windows = Windows(entry.words, count);
  for (uint64_t& window : entry.windows) {
    if (known.contains(window))
      window = 0;
    else
      texts_with_.emplace(window, 0);
  }
  answers_.push_back(std::move(entry));
}

void RegurgitationIndex::AddTrainingText(std::string_view text) {
  const auto windows = Windows(eval::Words(text), static_cast<size_t>(options_.words));
  std::unordered_set<uint64_t> seen;
  for (const uint64_t window : windows) {
    const auto at = texts_with_.find(window);
    if (at != texts_with_.end() && seen.insert(window).second) ++at->second;
  }
}

std::optional<std::string> RegurgitationIndex::LongestRun(size_t index) const {
  const Answer& answer = answers_[index];
  size_t best_begin = 0, best_size = 0, begin = 0, size = 0;
  for (size_t i = 0; i < answer.windows.size(); ++i) {
    const uint64_t window = answer.windows[i];
    const int64_t texts = window == 0 ? 0 : texts_with_.at(window);
    if (texts == 0 || texts > options_.common) {
      size = 0;
      continue;
    }
    if (size++ == 0) begin = i;
    if (size > best_size) {
      best_begin = begin;
      best_size = size;
    }
  }
  if (best_size == 0) return std::nullopt;
  const auto from = answer.words.begin() + static_cast<std::ptrdiff_t>(best_begin);
  const auto length = static_cast<std::ptrdiff_t>(best_size) + options_.words - 1;
  return Join({from, from + length}, " ");
}

}  // namespace genflow::guard
