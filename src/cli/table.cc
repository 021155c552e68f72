#include "cli/table.h"

#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <optional>

#include "cli/terminal.h"

namespace genflow::cli {

namespace {

constexpr size_t kLeastCells = 7;  // of a column that is shortened

}  // namespace

std::vector<size_t> Table::Widths() const {
  std::vector<size_t> widths;
  const auto measure = [&](const std::vector<std::string>& cells) {
    if (cells.size() > widths.size()) widths.resize(cells.size(), 0);
    for (size_t i = 0; i < cells.size(); ++i) widths[i] = std::max(widths[i], DisplayWidth(cells[i]));
  };
  measure(columns_);
  for (const auto& row : rows_) measure(row);
  return widths;
}

size_t Table::Width() const {
  size_t sum = 0;
  for (const size_t width : Widths()) sum += (sum > 0 ? 2 : 0) + width;
  return sum;
}

size_t Table::Fit(size_t cells, const std::vector<std::string>& least,
                  const std::vector<std::string>& shorten) {
  const size_t before = columns_.size();
  for (const auto& heading : least) {
    if (cells == 0 || Width() <= cells) return before - columns_.size();
    // The last of that name, and never the first column, which says what a row is.
    size_t at = columns_.size();
    while (at > 1 && columns_[at - 1] != heading) --at;
    if (at-- <= 1) continue;
    const auto drop = [at](auto& row) {
      if (at < row.size()) row.erase(row.begin() + static_cast<std::ptrdiff_t>(at));
    };
    drop(columns_);
    drop(alignment_);
    for (auto& row : rows_) drop(row);
  }
  const size_t left_out = before - columns_.size();
  const size_t width = Width();
  if (cells == 0 || width <= cells) return left_out;
  std::vector<size_t> places;  // of the columns to shorten
  for (const auto& heading : shorten) {
    const auto at = std::find(columns_.begin(), columns_.end(), heading);
    if (at != columns_.end()) places.push_back(static_cast<size_t>(at - columns_.begin()));
  }
  std::vector<size_t> widths = Widths();
  for (size_t excess = width - cells; excess > 0; --excess) {
    std::optional<size_t> widest;
    for (const size_t at : places) {
      if (widths[at] <= std::max(kLeastCells, DisplayWidth(columns_[at]))) continue;
      if (!widest || widths[at] > widths[*widest]) widest = at;
    }
    if (!widest) break;
    --widths[*widest];
  }
  const bool unicode = DetectTerminal(STDOUT_FILENO).unicode;
  for (auto& row : rows_) {
    for (const size_t at : places) {
      if (at < row.size()) row[at] = (at == 0 ? ShortenMiddle : Shorten)(row[at], widths[at], unicode);
    }
  }
  return left_out;
}

size_t RoomForTables() {
  return DetectTerminal(STDOUT_FILENO).interactive
             ? static_cast<size_t>(std::max(1, SizeOfTerminal(STDOUT_FILENO).columns))
             : 0;
}

std::string Table::Render(const std::string& indent, bool color) const {
  const std::vector<size_t> widths = Widths();
  std::string out;
  const auto print = [&](const std::vector<std::string>& cells, bool heading) {
    std::string line = indent;
    for (size_t i = 0; i < cells.size(); ++i) {
      const bool right = i < alignment_.size() && alignment_[i] == Align::kRight;
      const std::string text = heading ? Styled(cells[i], Style::kBold, color) : cells[i];
      if (i > 0) line += "  ";
      line += right ? PadLeft(text, widths[i]) : PadRight(text, widths[i]);
    }
    while (!line.empty() && line.back() == ' ') line.pop_back();
    out += line + "\n";
  };
  if (!columns_.empty()) print(columns_, true);
  for (const auto& row : rows_) print(row, false);
  return out;
}

void Table::Print(const std::string& otherwise) const {
  const std::string text =
      empty() && !otherwise.empty() ? otherwise + "\n" : Render("", DetectTerminal(STDOUT_FILENO).color);
  std::fputs(text.c_str(), stdout);
}

}  // namespace genflow::cli
