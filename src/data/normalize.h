// Text normalisation and the numbers that filters look at. All functions are idempotent where they return
// text, and take UTF-8.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace genflow::data {

enum class Whitespace {
  kKeep,      // as it is
  kLines,     // "\n" line ends, no spaces at line ends, at most one empty line in a row, none at the ends
  kCollapse,  // one space between words
};

struct NormalizeOptions {
  bool nfc = true;  // Unicode normalisation form C
  bool strip_control =
      true;  // control characters but line end and tab, zero-width and direction marks, soft hyphens
  Whitespace whitespace = Whitespace::kLines;
};

std::string Normalize(std::string_view text, const NormalizeOptions& options);

// What a filter needs to know about a text, found in one pass.
struct TextNumbers {
  uint64_t characters = 0;
  uint64_t letters = 0;  // Unicode letters
  uint64_t not_spaces = 0;
  uint64_t words = 0;  // runs without white space
  bool ascii = true;
};
TextNumbers Measure(std::string_view text);

// Share of the characters (bytes) of non-empty lines that stand in a line seen before in the same text.
double RepeatedLineShare(std::string_view text);

// Share of the runs of three words that were seen before in the same text.
double RepeatedWordShare(std::string_view text);

// Lower case, letters and digits only, one space between words: what exact deduplication compares.
std::string DedupKey(std::string_view text);

}  // namespace genflow::data
