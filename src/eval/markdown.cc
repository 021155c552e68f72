#include "eval/markdown.h"

#include <algorithm>
#include <vector>

namespace genflow::eval {
namespace {

size_t CodePoints(std::string_view text) {
  return static_cast<size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

}  // namespace

std::string MarkdownLine(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '|')
      out += "\\|";
    else if (c == '\n' || c == '\r' || c == '\t')
      out += out.empty() || out.back() == ' ' ? "" : " ";
    else
      out += c;
  }
  while (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

std::string Shorten(std::string_view text, size_t characters) {
  std::string line;
  for (const char c : text) line += c == '\n' || c == '\r' || c == '\t' ? ' ' : c;
  if (CodePoints(line) <= characters) return line;
  size_t seen = 0;
  for (size_t i = 0; i < line.size(); ++i) {
    if ((static_cast<unsigned char>(line[i]) & 0xC0) == 0x80) continue;
    if (seen++ == characters) return line.substr(0, i) + "…";
  }
  return line;
}

std::string MarkdownTable(const Table& table) {
  std::vector<std::vector<std::string>> rows{table.columns};
  rows.insert(rows.end(), table.rows.begin(), table.rows.end());
  std::vector<size_t> widths(table.columns.size(), 3);
  for (auto& row : rows) {
    row.resize(table.columns.size());
    for (size_t c = 0; c < row.size(); ++c) {
      row[c] = MarkdownLine(row[c]);
      widths[c] = std::max(widths[c], CodePoints(row[c]));
    }
  }
  std::string out;
  for (size_t r = 0; r < rows.size(); ++r) {
    out += "|";
    for (size_t c = 0; c < widths.size(); ++c) {
      out += " " + rows[r][c] + std::string(widths[c] - CodePoints(rows[r][c]), ' ') + " |";
    }
    out += "\n";
    if (r > 0) continue;
    out += "|";
    for (const size_t width : widths) out += std::string(width + 2, '-') + "|";
    out += "\n";
  }
  return out;
}

}  // namespace genflow::eval
