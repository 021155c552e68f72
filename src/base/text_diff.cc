#include "base/text_diff.h"

#include <algorithm>
#include <cstdint>

#include "base/strings.h"

namespace genflow {

namespace {

using Kind = DiffLine::Kind;

// Above this many comparisons the changed parts are taken as blocks.
constexpr size_t kMaxCells = 4'000'000;

std::vector<std::string_view> LinesOf(std::string_view text) {
  if (text.ends_with('\n')) text.remove_suffix(1);
  return text.empty() ? std::vector<std::string_view>() : Split(text, '\n');
}

// By the lengths of the longest common subsequences of all tails.
void DiffMiddle(const std::vector<std::string_view>& before, const std::vector<std::string_view>& after,
                std::vector<DiffLine>* out) {
  const size_t rows = before.size(), columns = after.size();
  size_t i = 0, j = 0;
  if ((rows + 1) * (columns + 1) <= kMaxCells) {
    std::vector<uint32_t> lengths((rows + 1) * (columns + 1), 0);
    const auto at = [&](size_t row, size_t column) -> uint32_t& {
      return lengths[row * (columns + 1) + column];
    };
    for (size_t row = rows; row-- > 0;) {
      for (size_t column = columns; column-- > 0;) {
        at(row, column) = before[row] == after[column] ? at(row + 1, column + 1) + 1
                                                       : std::max(at(row + 1, column), at(row, column + 1));
      }
    }
    while (i < rows && j < columns) {
      if (before[i] == after[j]) {
        out->push_back({Kind::kSame, std::string(before[i])});
        ++i, ++j;
      } else if (at(i + 1, j) >= at(i, j + 1)) {
        out->push_back({Kind::kRemoved, std::string(before[i++])});
      } else {
        out->push_back({Kind::kAdded, std::string(after[j++])});
      }
    }
  }
  for (; i < rows; ++i) out->push_back({Kind::kRemoved, std::string(before[i])});
  for (; j < columns; ++j) out->push_back({Kind::kAdded, std::string(after[j])});
}

}  // namespace

std::vector<DiffLine> LineDiff(std::string_view before_text, std::string_view after_text, size_t context) {
  auto before = LinesOf(before_text), after = LinesOf(after_text);
  std::vector<DiffLine> all;
  const size_t shorter = std::min(before.size(), after.size());
  size_t head = 0, tail = 0;
  while (head < shorter && before[head] == after[head]) ++head;
  while (tail < shorter - head && before[before.size() - 1 - tail] == after[after.size() - 1 - tail]) ++tail;
  if (head == before.size() && head == after.size()) return {};
  const auto middle = [&](const std::vector<std::string_view>& lines) {
    return std::vector<std::string_view>(lines.begin() + static_cast<std::ptrdiff_t>(head),
                                         lines.end() - static_cast<std::ptrdiff_t>(tail));
  };
  for (size_t i = 0; i < head; ++i) all.push_back({Kind::kSame, std::string(before[i])});
  DiffMiddle(middle(before), middle(after), &all);
  for (size_t i = before.size() - tail; i < before.size(); ++i)
    all.push_back({Kind::kSame, std::string(before[i])});

  std::vector<bool> shown(all.size(), false);
  for (size_t i = 0; i < all.size(); ++i) {
    if (all[i].kind == Kind::kSame) continue;
    const size_t last = std::min(all.size() - 1, i + context);
    for (size_t near = i - std::min(i, context); near <= last; ++near) shown[near] = true;
  }
  std::vector<DiffLine> out;
  for (size_t i = 0; i < all.size();) {
    if (shown[i]) {
      out.push_back(std::move(all[i++]));
      continue;
    }
    size_t end = i;
    while (end < all.size() && !shown[end]) ++end;
    out.push_back({Kind::kSkipped, std::to_string(end - i)});
    i = end;
  }
  return out;
}

}  // namespace genflow
