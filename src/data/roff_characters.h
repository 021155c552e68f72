// Special characters of groff_char(7).
#pragma once

#include <string>
#include <string_view>

namespace genflow::data {

// UTF-8 of \(xx or \[xx]: a named glyph, "uXXXX" or "charNN"; "" for one that is not known.
std::string RoffCharacter(std::string_view name);

}  // namespace genflow::data
