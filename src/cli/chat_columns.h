// Two answers side by side while they come: pure, rows from texts.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace genflow::cli {

// Text that cannot steer a terminal: control characters but line breaks become blanks, tabs four of them.
std::string Harmless(std::string_view text);

// The rows that a text takes in columns of `cells`: broken at blanks, longer words anywhere. Text that is
// added at the end changes none but the last row.
std::vector<std::string> Wrapped(std::string_view text, size_t cells);

class ChatColumns {
 public:
  // For a screen of `columns` cells and `rows`; a head stands above each answer.
  ChatColumns(std::array<std::string, 2> heads, size_t columns, size_t rows, bool unicode);

  // Whether that many cells are enough for two columns.
  static bool Fits(size_t columns) { return columns >= 72; }

  void Add(size_t column, std::string_view text);
  // Nothing more comes in that column.
  void End(size_t column);

  // What is to be written to bring the screen up to date. Rows that cannot change any more scroll away as the
  // terminal likes; the others are few enough to be drawn again, so a column that is far ahead waits.
  std::string Draw();

 private:
  std::string Row(size_t index) const;

  size_t cells_, most_rows_;
  std::string between_;
  std::array<std::string, 2> texts_;
  std::array<bool, 2> ended_{};
  std::array<std::vector<std::string>, 2> wrapped_;
  size_t fixed_ = 0;      // rows that are drawn for good
  size_t tentative_ = 0;  // rows below them that are drawn
};

}  // namespace genflow::cli
