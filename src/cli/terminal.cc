#include "cli/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <iterator>

#include "base/strings.h"

namespace genflow::cli {

namespace {

// The variable's value; empty where it is not set.
std::string ValueOf(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}
bool IsSet(const char* name) { return !ValueOf(name).empty(); }

bool Utf8Locale() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const std::string value = ToLowerAscii(ValueOf(name));
    if (value.empty()) continue;
    return value.find("utf-8") != std::string::npos || value.find("utf8") != std::string::npos;
  }
  return false;
}

// Takes one code point off the front; invalid bytes count as U+FFFD.
char32_t TakeCodePoint(std::string_view& text) {
  const auto first = static_cast<unsigned char>(text[0]);
  const size_t length = first < 0x80             ? 1
                        : (first & 0xE0) == 0xC0 ? 2
                        : (first & 0xF0) == 0xE0 ? 3
                        : (first & 0xF8) == 0xF0 ? 4
                                                 : 0;
  if (length == 0 || text.size() < length) {
    text.remove_prefix(1);
    return 0xFFFD;
  }
  char32_t point = length == 1 ? first : first & (0xFF >> (length + 1));
  for (size_t i = 1; i < length; ++i) point = (point << 6) | (static_cast<unsigned char>(text[i]) & 0x3F);
  text.remove_prefix(length);
  return point;
}

struct Range {
  char32_t first, last;
};

bool IsIn(char32_t point, const Range* begin, const Range* end) {
  return std::any_of(begin, end, [point](const Range& r) { return point >= r.first && point <= r.last; });
}

size_t CellsOf(char32_t point) {
  static constexpr Range kZero[] = {{0x0300, 0x036F}, {0x0483, 0x0489}, {0x0591, 0x05BD}, {0x0610, 0x061A},
                                    {0x064B, 0x065F}, {0x0E31, 0x0E31}, {0x0E34, 0x0E3A}, {0x1AB0, 0x1AFF},
                                    {0x1DC0, 0x1DFF}, {0x200B, 0x200F}, {0x20D0, 0x20FF}, {0xFE00, 0xFE0F},
                                    {0xFE20, 0xFE2F}};
  static constexpr Range kWide[] = {
      {0x1100, 0x115F}, {0x2E80, 0x303E},   {0x3041, 0x33FF},   {0x3400, 0x4DBF},   {0x4E00, 0x9FFF},
      {0xA000, 0xA4CF}, {0xAC00, 0xD7A3},   {0xF900, 0xFAFF},   {0xFE30, 0xFE6F},   {0xFF00, 0xFF60},
      {0xFFE0, 0xFFE6}, {0x1F300, 0x1F64F}, {0x1F680, 0x1F6FF}, {0x1F900, 0x1F9FF}, {0x20000, 0x3FFFD}};
  if (point < 0x300) return point < 0x20 ? 0 : 1;
  if (IsIn(point, std::begin(kZero), std::end(kZero))) return 0;
  return IsIn(point, std::begin(kWide), std::end(kWide)) ? 2 : 1;
}

}  // namespace

TerminalTraits DetectTerminal(int fd) {
  TerminalTraits traits;
  const char* term = std::getenv("TERM");
  const bool dumb = term == nullptr || *term == '\0' || std::string_view(term) == "dumb";
  traits.interactive = ::isatty(fd) == 1 && !dumb;
  traits.color = traits.interactive && !IsSet("NO_COLOR");
  traits.unicode = Utf8Locale();
  return traits;
}

TerminalSize SizeOfTerminal(int fd) {
  TerminalSize size;
  struct winsize window {};
  if (::ioctl(fd, TIOCGWINSZ, &window) == 0) {
    if (window.ws_col > 0) size.columns = window.ws_col;
    if (window.ws_row > 0) size.rows = window.ws_row;
  }
  return size;
}

size_t DisplayWidth(std::string_view text) {
  size_t cells = 0;
  while (!text.empty()) {
    if (text.starts_with("\x1b[")) {
      const size_t end = text.find('m');
      text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
      continue;
    }
    cells += CellsOf(TakeCodePoint(text));
  }
  return cells;
}

std::string Shorten(std::string_view text, size_t cells, bool unicode) {
  if (DisplayWidth(text) <= cells) return std::string(text);
  if (cells == 0) return {};
  std::string out;
  size_t used = 0;
  while (!text.empty()) {
    std::string_view rest = text;
    const size_t width = CellsOf(TakeCodePoint(rest));
    if (used + width > cells - 1) break;
    out += text.substr(0, text.size() - rest.size());
    used += width;
    text = rest;
  }
  return out + (unicode ? "…" : "~");
}

std::string ShortenMiddle(std::string_view text, size_t cells, bool unicode) {
  if (DisplayWidth(text) <= cells || cells < 3) return Shorten(text, cells, unicode);
  const std::string head = Shorten(text, (cells + 1) / 2, unicode);
  std::string_view tail = text;
  const auto inside = [&] { return !tail.empty() && (static_cast<unsigned char>(tail[0]) & 0xC0) == 0x80; };
  while (DisplayWidth(tail) > cells - DisplayWidth(head)) {
    do tail.remove_prefix(1);
    while (inside());
  }
  return head + std::string(tail);
}

std::string PadRight(std::string_view text, size_t cells) {
  const size_t width = DisplayWidth(text);
  return std::string(text) + std::string(width < cells ? cells - width : 0, ' ');
}

std::string PadLeft(std::string_view text, size_t cells) {
  const size_t width = DisplayWidth(text);
  return std::string(width < cells ? cells - width : 0, ' ') + std::string(text);
}

std::string Styled(std::string_view text, Style style, bool color) {
  if (!color || text.empty()) return std::string(text);
  const char* code = "1";
  switch (style) {
    case Style::kBold:
      code = "1";
      break;
    case Style::kDim:
      code = "2";
      break;
    case Style::kRed:
      code = "31";
      break;
    case Style::kGreen:
      code = "32";
      break;
    case Style::kYellow:
      code = "33";
      break;
    case Style::kCyan:
      code = "36";
      break;
  }
  return "\x1b[" + std::string(code) + "m" + std::string(text) + "\x1b[0m";
}

}  // namespace genflow::cli
