// Sets of texts seen before: equal ones, and ones that share most of their word runs.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

namespace genflow::data {

// Exact: 16 bytes a text, by a 128-bit hash.
class SeenTexts {
 public:
  SeenTexts();
  // True when the text is new.
  bool Insert(std::string_view text);
  bool Contains(std::string_view text) const;
  uint64_t size() const { return size_; }

 private:
  struct Key {
    uint64_t low = 0, high = 0;
  };
  static Key KeyOf(std::string_view text);
  void Grow();
  // Where the key is, or the free slot that it belongs into.
  size_t Slot(Key key) const;

  std::vector<Key> slots_;  // open addressing; {0, 0} is free
  uint64_t size_ = 0;
};

struct NearOptions {
  double threshold = 0.8;  // Jaccard similarity of the sets of word runs from which a text is a copy
  int shingle_words = 5;   // words a run; a shorter text is one run
  int permutations = 64;   // of MinHash; more are more exact and slower
};

// MinHash signatures (Broder 1997) looked up by locality-sensitive hashing (Leskovec, Rajaraman, Ullman, ch.
// 3): bands and rows are chosen for the threshold. About 4 bytes a permutation and 4 a band for each text
// kept.
class NearTexts {
 public:
  explicit NearTexts(NearOptions options);
  ~NearTexts();

  // The number of an earlier new text that this one is a near copy of; or -1, and the text is kept as the
  // next number from 0. `key` is what DedupKey() makes. Texts without words are never copies and get no
  // number.
  int64_t FindOrInsert(std::string_view key);

  int bands() const;
  int rows() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace genflow::data
