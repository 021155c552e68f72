// Inline macros of mdoc(7) as plain text.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace genflow::data {

// Text of one macro line, such as ".Fl v Ar file ." -> "-v file."; "" for a macro that makes none.
// `macro` "" renders the arguments as a line of words in which macros may be called. `name` is what .Nm
// without arguments stands for.
std::string MdocText(std::string_view macro, const std::vector<std::string>& args, const std::string& name);

}  // namespace genflow::data
