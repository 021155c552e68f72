#include "eval/text_metrics.h"

#include <algorithm>
#include <map>

#include "text/white_space.h"

namespace genflow::eval {
namespace {

double F1(double common, size_t answer, size_t reference) {
  if (answer == 0 && reference == 0) return 1;
  return 2 * common / static_cast<double>(answer + reference);
}

}  // namespace

std::vector<std::string> Words(std::string_view text) {
  std::vector<std::string> out;
  std::string word;
  for (const char raw : text) {
    const auto c = static_cast<unsigned char>(raw);
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c >= 128) {
      word += raw;
    } else if (c >= 'A' && c <= 'Z') {
      word += static_cast<char>(c - 'A' + 'a');
    } else if (!word.empty()) {
      out.push_back(std::move(word));
      word.clear();
    }
  }
  if (!word.empty()) out.push_back(std::move(word));
  return out;
}

bool ExactMatch(std::string_view answer, std::string_view reference) {
  return text::CollapseSpaces(answer) == text::CollapseSpaces(reference);
}

double PrefixMatch(std::string_view answer, std::string_view reference) {
  const auto a = Words(answer), r = Words(reference);
  if (r.empty()) return a.empty() ? 1 : 0;
  size_t same = 0;
  while (same < a.size() && same < r.size() && a[same] == r[same]) ++same;
  return static_cast<double>(same) / static_cast<double>(r.size());
}

double RougeL(std::string_view answer, std::string_view reference) {
  const auto a = Words(answer), r = Words(reference);
  if (a.empty() && r.empty()) return 0;  // as rouge_score has it
  // Length of the longest common subsequence, one row at a time.
  std::vector<size_t> row(r.size() + 1);
  for (const auto& word : a) {
    size_t diagonal = 0;
    for (size_t j = 1; j <= r.size(); ++j) {
      const size_t above = row[j];
      row[j] = word == r[j - 1] ? diagonal + 1 : std::max(row[j], row[j - 1]);
      diagonal = above;
    }
  }
  return F1(static_cast<double>(row.back()), a.size(), r.size());
}

double TokenF1(std::string_view answer, std::string_view reference) {
  const auto a = Words(answer), r = Words(reference);
  std::map<std::string_view, int> bag;
  for (const auto& word : r) ++bag[word];
  size_t common = 0;
  for (const auto& word : a) {
    if (const auto at = bag.find(word); at != bag.end() && at->second-- > 0) ++common;
  }
  return F1(static_cast<double>(common), a.size(), r.size());
}

}  // namespace genflow::eval
