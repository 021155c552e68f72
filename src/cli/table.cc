#include "cli/table.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "cli/terminal.h"

namespace genflow::cli {

std::string Table::Render(const std::string& indent, bool color) const {
  std::vector<size_t> widths;
  const auto measure = [&](const std::vector<std::string>& cells) {
    if (cells.size() > widths.size()) widths.resize(cells.size(), 0);
    for (size_t i = 0; i < cells.size(); ++i) widths[i] = std::max(widths[i], DisplayWidth(cells[i]));
  };
  measure(columns_);
  for (const auto& row : rows_) measure(row);

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
