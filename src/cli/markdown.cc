#include "cli/markdown.h"

#include <vector>

#include "base/strings.h"
#include "cli/table.h"
#include "cli/terminal.h"

namespace genflow::cli {

namespace {

// **bold**, *emphasis* and `code` without their marks; \| and \* as plain characters.
std::string RenderInline(std::string_view text, bool color) {
  std::string out;
  bool bold = false, code = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (code) {
      if (c == '`')
        code = false;
      else
        out += c;
    } else if (c == '\\' && i + 1 < text.size() &&
               std::string_view("|*_`\\#").find(text[i + 1]) != std::string_view::npos) {
      out += text[++i];
    } else if (c == '`' && text.find('`', i + 1) != std::string_view::npos) {
      code = true;
    } else if (text.substr(i).starts_with("**") &&
               (bold || text.find("**", i + 2) != std::string_view::npos)) {
      bold = !bold;
      if (color) out += bold ? "\x1b[1m" : "\x1b[0m";
      ++i;
    } else {
      out += c;
    }
  }
  return out;
}

// Cells of "| a | b |"; an escaped bar does not split.
std::vector<std::string> SplitRow(std::string_view line) {
  line = Trim(line);
  if (line.starts_with('|')) line.remove_prefix(1);
  if (line.ends_with('|') && !line.ends_with("\\|")) line.remove_suffix(1);
  std::vector<std::string> cells(1);
  for (size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '|' && (i == 0 || line[i - 1] != '\\'))
      cells.emplace_back();
    else
      cells.back() += line[i];
  }
  for (auto& cell : cells) cell = std::string(Trim(cell));
  return cells;
}

// "|---|:-:|--:|": the line below a table's headings.
bool IsRule(std::string_view line) {
  line = Trim(line);
  return line.find('-') != std::string_view::npos && line.find('|') != std::string_view::npos &&
         line.find_first_not_of("|-: ") == std::string_view::npos;
}

}  // namespace

std::string RenderMarkdown(std::string_view markdown, const std::string& indent, bool color) {
  std::string out;
  const auto emit = [&](const std::string& text) { out += text.empty() ? "\n" : indent + text + "\n"; };
  while (markdown.ends_with('\n')) markdown.remove_suffix(1);
  const std::vector<std::string_view> lines = Split(markdown, '\n');
  bool fenced = false;
  for (size_t i = 0; i < lines.size(); ++i) {
    std::string_view line = lines[i];
    if (line.ends_with('\r')) line.remove_suffix(1);
    const std::string_view trimmed = Trim(line);
    if (trimmed.starts_with("```")) {
      fenced = !fenced;
    } else if (fenced) {
      emit("    " + std::string(line));
    } else if (trimmed.starts_with('|') && i + 1 < lines.size() && IsRule(lines[i + 1])) {
      std::vector<Align> alignment;
      for (const auto& cell : SplitRow(lines[i + 1])) {
        alignment.push_back(cell.ends_with(':') && !cell.starts_with(':') ? Align::kRight : Align::kLeft);
      }
      std::vector<std::string> columns = SplitRow(line);
      for (auto& cell : columns) cell = RenderInline(cell, false);
      Table table(std::move(columns), std::move(alignment));
      for (i += 2; i < lines.size() && Trim(lines[i]).starts_with('|'); ++i) {
        std::vector<std::string> cells = SplitRow(lines[i]);
        for (auto& cell : cells) cell = RenderInline(cell, color);
        table.Add(std::move(cells));
      }
      --i;
      out += table.Render(indent, color);
    } else if (trimmed.starts_with('#')) {
      const std::string_view title = Trim(trimmed.substr(
          trimmed.find_first_not_of('#') == std::string_view::npos ? trimmed.size()
                                                                   : trimmed.find_first_not_of('#')));
      emit(Styled(RenderInline(title, false), Style::kBold, color));
    } else if (trimmed.starts_with("> ")) {
      emit("  " + Styled(RenderInline(trimmed.substr(2), false), Style::kDim, color));
    } else {
      emit(RenderInline(line, color));
    }
  }
  return out;
}

}  // namespace genflow::cli
