#include "cli/screen.h"

#include <algorithm>
#include <cstdlib>

#include "cli/terminal.h"

namespace genflow {

namespace {

// Bytes of the character that begins with `first`.
size_t LengthOf(unsigned char first) {
  return first < 0x80 ? 1 : (first & 0xE0) == 0xC0 ? 2 : (first & 0xF0) == 0xE0 ? 3 : 4;
}

}  // namespace

Screen::Screen(int columns, int rows) : columns_(columns), rows_(rows) {
  lines_.assign(static_cast<size_t>(rows), Blank());
}

void Screen::ScrollUp() {
  above_.push_back(TextOf(lines_.front()));
  lines_.erase(lines_.begin());
}

void Screen::Reflow(int columns) {
  std::vector<Row> old = std::move(lines_);
  lines_.clear();
  columns_ = columns;
  const auto width = static_cast<size_t>(columns);
  int cursor_row = 0, cursor_column = 0;
  for (size_t i = 0; i < old.size();) {
    // A line is the rows that go on, without the blanks at its end but those before the cursor.
    std::vector<std::string> line;
    size_t cursor = std::string::npos, used = 0;
    for (bool more = true; more && i < old.size(); ++i) {
      more = old[i].goes_on;
      if (static_cast<int>(i) == row_)
        cursor = line.size() + static_cast<size_t>(column_) + (wrap_pending_ ? 1 : 0);
      line.insert(line.end(), old[i].cells.begin(), old[i].cells.end());
    }
    for (size_t k = 0; k < line.size(); ++k) {
      if (line[k] != " ") used = k + 1;
    }
    const size_t rows = std::max<size_t>(1, (used + width - 1) / width);
    for (size_t k = 0; k < rows; ++k) {
      Row row = Blank();
      for (size_t c = 0; c < width && k * width + c < used; ++c) row.cells[c] = line[k * width + c];
      row.goes_on = k + 1 < rows;
      lines_.push_back(std::move(row));
    }
    if (cursor == std::string::npos) continue;
    const size_t at = std::min(cursor, rows * width - 1);
    cursor_row = static_cast<int>(lines_.size() - rows + at / width);
    cursor_column = static_cast<int>(at % width);
  }
  row_ = cursor_row;
  column_ = cursor_column;
  wrap_pending_ = false;
}

void Screen::Resize(int columns, int rows) {
  if (columns != columns_) Reflow(columns);
  rows_ = rows;
  const auto count = static_cast<size_t>(rows);
  while (lines_.size() > count && lines_.size() > static_cast<size_t>(row_) + 1) lines_.pop_back();
  while (lines_.size() > count) {
    ScrollUp();
    --row_;
  }
  lines_.resize(count, Blank());
}

std::string Screen::TextOf(const Row& row) {
  std::string out;
  for (const auto& cell : row.cells) out += cell;
  out.erase(out.find_last_not_of(' ') + 1);
  return out;
}

std::string Screen::Text() const {
  std::vector<std::string> rows;
  for (const auto& line : lines_) rows.push_back(TextOf(line));
  while (!rows.empty() && rows.back().empty()) rows.pop_back();
  std::string out;
  for (const auto& row : rows) out += row + "\n";
  return out;
}

std::string Screen::History() const {
  std::string out;
  for (const auto& row : above_) out += row + "\n";
  return out + Text();
}

void Screen::LineFeed() {
  wrap_pending_ = false;
  if (row_ + 1 < rows_) {
    ++row_;
    return;
  }
  ScrollUp();
  lines_.push_back(Blank());
}

void Screen::Put(const std::string& character, int cells) {
  if (cells == 0) {  // combines with the character before
    if (column_ > 0) lines_[static_cast<size_t>(row_)].cells[static_cast<size_t>(column_ - 1)] += character;
    return;
  }
  if (wrap_pending_ || column_ + cells > columns_) {
    if (wraps_) {
      lines_[static_cast<size_t>(row_)].goes_on = true;
      column_ = 0;
      LineFeed();
    } else {
      column_ = columns_ - cells;
    }
    wrap_pending_ = false;
  }
  auto& line = lines_[static_cast<size_t>(row_)].cells;
  line[static_cast<size_t>(column_)] = character;
  for (int i = 1; i < cells; ++i) line[static_cast<size_t>(column_ + i)].clear();
  column_ += cells;
  if (column_ >= columns_) {
    column_ = columns_ - 1;
    wrap_pending_ = wraps_;
  }
}

void Screen::EraseLine(int mode) {
  auto& line = lines_[static_cast<size_t>(row_)].cells;
  const int from = mode == 0 ? column_ : 0, to = mode == 1 ? column_ + 1 : columns_;
  for (int i = from; i < to; ++i) line[static_cast<size_t>(i)] = " ";
  if (to == columns_) lines_[static_cast<size_t>(row_)].goes_on = false;
}

void Screen::EraseScreen(int mode) {
  EraseLine(mode);
  for (int i = 0; i < rows_; ++i) {
    if (mode == 2 || (mode == 0 && i > row_) || (mode == 1 && i < row_))
      lines_[static_cast<size_t>(i)] = Blank();
  }
}

void Screen::Escape(std::string_view parameters, char final) {
  const std::string text(parameters);
  if (!text.empty() && text[0] == '?') {
    if (text == "?7") wraps_ = final == 'h';
    if (text == "?25") cursor_visible_ = final == 'h';
    return;
  }
  const int first = text.empty() ? 0 : std::atoi(text.c_str());
  const int count = std::max(1, first);
  wrap_pending_ = false;
  switch (final) {
    case 'A':
      row_ = std::max(0, row_ - count);
      break;
    case 'B':
      row_ = std::min(rows_ - 1, row_ + count);
      break;
    case 'C':
      column_ = std::min(columns_ - 1, column_ + count);
      break;
    case 'D':
      column_ = std::max(0, column_ - count);
      break;
    case 'G':
      column_ = std::clamp(count - 1, 0, columns_ - 1);
      break;
    case 'H': {
      const size_t semicolon = text.find(';');
      const int second =
          semicolon == std::string::npos ? 1 : std::max(1, std::atoi(text.c_str() + semicolon + 1));
      row_ = std::clamp(count - 1, 0, rows_ - 1);
      column_ = std::clamp(second - 1, 0, columns_ - 1);
      break;
    }
    case 'J':
      EraseScreen(first);
      break;
    case 'K':
      EraseLine(first);
      break;
    default:
      break;  // colours and what else does not move the cursor
  }
}

void Screen::Write(std::string_view bytes) {
  pending_ += bytes;
  size_t at = 0;
  while (at < pending_.size()) {
    const char c = pending_[at];
    if (c == '\x1b') {
      if (at + 1 >= pending_.size()) break;
      if (pending_[at + 1] != '[') {
        at += 2;  // a two-character sequence, such as keypad modes
        continue;
      }
      size_t end = at + 2;
      while (end < pending_.size() && (pending_[end] < '@' || pending_[end] > '~')) ++end;
      if (end >= pending_.size()) break;
      Escape(std::string_view(pending_).substr(at + 2, end - at - 2), pending_[end]);
      at = end + 1;
      continue;
    }
    if (c == '\r' || c == '\n' || c == '\b') {
      if (c == '\r') column_ = 0;
      if (c == '\n') LineFeed();
      if (c == '\b') column_ = std::max(0, column_ - 1);
      if (c != '\n') wrap_pending_ = false;
      ++at;
      continue;
    }
    const size_t length = LengthOf(static_cast<unsigned char>(c));
    if (at + length > pending_.size()) break;
    const std::string character = pending_.substr(at, length);
    if (static_cast<unsigned char>(c) >= 0x20 && c != '\x7f')
      Put(character, static_cast<int>(cli::DisplayWidth(character)));
    at += length;
  }
  pending_.erase(0, at);
}

}  // namespace genflow
