// A small terminal: what a screen shows after a program has written to it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace genflow {

// Understands what genflow and less write: text in UTF-8, \r \n \b, cursor moves (A B C D G H), erasing (J
// K), wrapping on and off (?7h, ?7l); colours and other modes are passed over. Lines that a resize makes too
// long for the screen take more rows, as in tmux and most terminals with windows.
class Screen {
 public:
  Screen(int columns, int rows);

  void Write(std::string_view bytes);
  void Resize(int columns, int rows);
  // The rows without trailing blanks, each with a newline, up to the last that holds text.
  std::string Text() const;
  // The same of what has scrolled out above, then the screen.
  std::string History() const;
  bool Holds(const std::string& text) const { return Text().find(text) != std::string::npos; }
  bool cursor_visible() const { return cursor_visible_; }
  bool wraps() const { return wraps_; }
  int row() const { return row_; }
  int column() const { return column_; }
  int scrolled() const { return static_cast<int>(above_.size()); }

 private:
  struct Row {
    std::vector<std::string> cells;  // a character with what combines with it; "" right of a wide one
    bool goes_on = false;            // the line continues in the next row
  };

  Row Blank() const { return {std::vector<std::string>(static_cast<size_t>(columns_), " "), false}; }
  void ScrollUp();
  void Reflow(int columns);
  static std::string TextOf(const Row& row);
  void Put(const std::string& character, int cells);
  void LineFeed();
  void Escape(std::string_view parameters, char final);
  void EraseLine(int mode);
  void EraseScreen(int mode);

  int columns_, rows_;
  int row_ = 0, column_ = 0;
  bool wraps_ = true, wrap_pending_ = false, cursor_visible_ = true;
  std::vector<Row> lines_;
  std::vector<std::string> above_;
  std::string pending_;  // the beginning of a sequence whose end has not come yet
};

}  // namespace genflow
