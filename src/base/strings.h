// Small text helpers without a home in the standard library.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace genflow {

// Pieces between `separator`s; empty pieces are kept; "" gives one empty piece.
std::vector<std::string_view> Split(std::string_view text, char separator);
std::string Join(const std::vector<std::string>& parts, std::string_view separator);
// Without leading and trailing ASCII white space.
std::string_view Trim(std::string_view text);
std::string ToLowerAscii(std::string_view text);

// Bytes of the well-formed UTF-8 character that `text` begins with: 1 to 4, or 0 where there is none.
size_t Utf8CharLength(std::string_view text);
// Whether all of it is well-formed UTF-8: neither surrogates nor overlong forms. The empty text is.
bool IsUtf8(std::string_view text);

// Edits between two texts in bytes: insertions, deletions, changes, swaps of neighbours.
size_t EditDistance(std::string_view a, std::string_view b);
// The candidate that `word` most likely meant, or nothing where none is near: for "did you mean 'x'?".
std::optional<std::string> NearestName(std::string_view word, const std::vector<std::string>& candidates);

// "532 B", "1.5 KiB", "98.4 MB"-like text with binary units and at most one decimal.
std::string HumanBytes(uint64_t bytes);
// "12 ms", "3.4 s", "2m 05s", "1h 02m".
std::string HumanDuration(double seconds);
// "1,234,567".
std::string WithCommas(int64_t value);
// "1 object", "2,000 objects"
std::string Counted(uint64_t count, std::string_view noun);

// "8G", "512M", "1.5GiB", "1048576" -> bytes (binary multiples). Nothing when it is not a size.
std::optional<uint64_t> ParseBytes(std::string_view text);
// "90s", "30m", "1h30m", "500ms", "2d", "45" (seconds) -> seconds. Nothing when it is not a duration.
std::optional<double> ParseDuration(std::string_view text);

}  // namespace genflow
