// JSON strings. Internal to src/data.
#pragma once

#include <string>
#include <string_view>

namespace genflow::data {

// Appends UTF-8 text as a JSON string, in quotes.
void AppendQuoted(std::string_view text, std::string* out);

}  // namespace genflow::data
