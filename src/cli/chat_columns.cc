#include "cli/chat_columns.h"

#include <algorithm>

#include "base/strings.h"
#include "cli/terminal.h"

namespace genflow::cli {

std::string Harmless(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const size_t length = std::max<size_t>(1, Utf8CharLength(text.substr(i)));
    const std::string_view one = text.substr(i, length);
    const auto byte = static_cast<unsigned char>(one[0]);
    // C1 controls are U+0080 to U+009F: two bytes, the first 0xC2.
    const bool c1 = length == 2 && byte == 0xc2 && static_cast<unsigned char>(one[1]) < 0xa0;
    if (one == "\t") {
      out += "    ";
    } else if (one != "\n" && (byte < 0x20 || byte == 0x7f || c1 || (length == 1 && byte >= 0x80))) {
      out += ' ';
    } else {
      out += one;
    }
    i += length;
  }
  return out;
}

namespace {

// Appends one line without breaks.
void WrapLine(std::string_view line, size_t cells, std::vector<std::string>* rows) {
  std::string row;
  size_t used = 0;
  const auto flush = [&] {
    while (row.ends_with(' ')) row.pop_back();
    rows->push_back(std::move(row));
    row.clear();
    used = 0;
  };
  for (size_t i = 0; i < line.size();) {
    size_t end = line.find(' ', i);
    end = end == std::string_view::npos ? line.size() : end + 1;  // a word with the blank behind it
    std::string_view word = line.substr(i, end - i);
    i = end;
    const size_t width = DisplayWidth(word);
    const size_t bare = width - (word.ends_with(' ') ? 1 : 0);
    if (used > 0 && used + bare > cells) flush();
    if (bare <= cells) {
      row += word;
      used += width;
      continue;
    }
    for (size_t at = 0; at < word.size();) {  // longer than a row
      const size_t length = std::max<size_t>(1, Utf8CharLength(word.substr(at)));
      const std::string_view one = word.substr(at, length);
      const size_t wide = DisplayWidth(one);
      if (used > 0 && used + wide > cells) flush();
      row += one;
      used += wide;
      at += length;
    }
  }
  flush();
}

}  // namespace

std::vector<std::string> Wrapped(std::string_view text, size_t cells) {
  std::vector<std::string> rows;
  for (const auto line : Split(text, '\n')) WrapLine(line, cells, &rows);
  return rows;
}

ChatColumns::ChatColumns(std::array<std::string, 2> heads, size_t columns, size_t rows, bool unicode)
    : cells_((columns - 4) / 2), most_rows_(rows > 3 ? rows - 2 : 1), between_(unicode ? " │ " : " | ") {
  for (size_t i = 0; i < 2; ++i) wrapped_[i] = {heads[i], ""};
}

void ChatColumns::Add(size_t column, std::string_view text) {
  texts_[column] += Harmless(text);
  auto& rows = wrapped_[column];
  rows.resize(1);
  for (auto& row : Wrapped(texts_[column], cells_)) rows.push_back(std::move(row));
}

void ChatColumns::End(size_t column) { ended_[column] = true; }

std::string ChatColumns::Row(size_t index) const {
  const auto cell = [&](size_t column) {
    return index < wrapped_[column].size() ? wrapped_[column][index] : std::string();
  };
  std::string row = PadRight(cell(0), cells_) + between_ + cell(1);
  while (row.ends_with(' ')) row.pop_back();
  return row;
}

std::string ChatColumns::Draw() {
  const size_t all = std::max(wrapped_[0].size(), wrapped_[1].size());
  // The last row of a column that still grows may change.
  size_t fixed = all;
  for (size_t i = 0; i < 2; ++i) {
    if (!ended_[i]) fixed = std::min(fixed, wrapped_[i].size() - 1);
  }
  fixed = std::max(fixed, fixed_);
  std::string out;
  if (tentative_ > 0) out += "\r\x1b[" + std::to_string(tentative_) + "A\x1b[J";
  for (; fixed_ < fixed; ++fixed_) out += Row(fixed_) + "\n";
  tentative_ = std::min(all - fixed_, most_rows_);
  for (size_t i = 0; i < tentative_; ++i) out += Row(fixed_ + i) + "\n";
  return out;
}

}  // namespace genflow::cli
