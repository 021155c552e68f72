// Pieces of Markdown that are also readable as plain text.
#pragma once

#include <string>
#include <string_view>

#include "eval/report.h"

namespace genflow::eval {

// One line that no Markdown reader takes for anything but text in a table cell: line ends become spaces,
// '|' is escaped, invalid UTF-8 is left alone.
std::string MarkdownLine(std::string_view text);

// `text` on one line, cut after `characters` code points, then "…".
std::string Shorten(std::string_view text, size_t characters);

// A pipe table with padded columns; without its title.
std::string MarkdownTable(const Table& table);

}  // namespace genflow::eval
