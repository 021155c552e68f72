// What the terminal can do, and text measured in its cells.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace genflow::cli {

struct TerminalTraits {
  bool interactive = false;  // a terminal that can be redrawn
  bool color = false;        // NO_COLOR and TERM=dumb say no
  bool unicode = false;      // the locale is UTF-8
};
TerminalTraits DetectTerminal(int fd);

struct TerminalSize {
  int columns = 80, rows = 24;
};
// Asked anew each time, so that a resize is seen.
TerminalSize SizeOfTerminal(int fd);

// Cells that UTF-8 text takes: combining marks none, East Asian wide characters and emoji two. Escape
// sequences for colours take none.
size_t DisplayWidth(std::string_view text);
// At most `cells` wide; a cut is marked with "…" (or "~" without Unicode). The text holds no escapes.
std::string Shorten(std::string_view text, size_t cells, bool unicode);
// The same for names that differ at their ends: the middle is left out.
std::string ShortenMiddle(std::string_view text, size_t cells, bool unicode);
std::string PadRight(std::string_view text, size_t cells);
std::string PadLeft(std::string_view text, size_t cells);

// Wraps text in an escape sequence, if colours are on.
enum class Style { kBold, kDim, kRed, kGreen, kYellow, kCyan };
std::string Styled(std::string_view text, Style style, bool color);

}  // namespace genflow::cli
