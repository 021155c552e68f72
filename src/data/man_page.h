// What a manual page says first: its NAME line and the first paragraph of its DESCRIPTION, as plain text.
// Reads man(7), mdoc(7) and what pod2man, help2man and DocBook make.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace genflow::data {

struct ManPage {
  std::string name;                // the first name of the NAME line
  std::vector<std::string> names;  // all of them
  std::string section;             // "1", "8", "1ssl"
  std::string description;         // right side of the NAME line
  std::string paragraph;           // first paragraph of DESCRIPTION; may be empty
};

// "ls.1.gz" -> {"ls", "1"}; nothing when the name has no section: a digit from 1 with at most a short suffix,
// or "n" or "l".
struct ManFileName {
  std::string stem, section;
};
std::optional<ManFileName> ParseManFileName(std::string_view file_name);

// Reads the roff source of the page in a file of this name. Nothing when it is only a link to another page
// (".so man1/other.1"). kInvalid when there is no NAME line with a description. `source` may be UTF-8 or
// Latin-1; the page is UTF-8 whatever bytes it holds.
Result<std::optional<ManPage>> ParseManPage(std::string_view source, const ManFileName& file);

}  // namespace genflow::data
