// The escapes of roff: what "\-", "\fB" or "\*(lq" in a line leave as plain text. Internal to src/data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace genflow::data {

inline constexpr size_t kMaxRoffText = 1 << 20;  // bytes of a line

// What escapes refer to.
struct RoffVariables {
  std::map<std::string, std::string, std::less<>> strings;
  std::map<std::string, int64_t, std::less<>> registers;
};

// Name that an escape takes, at `*i` in `raw`: "x", "(xx" or "[name]". Leaves *i after it.
std::string_view EscapeName(std::string_view raw, size_t* i);
// Argument between delimiters, such as 'text'. Leaves *i after it.
std::string_view Delimited(std::string_view raw, size_t* i);

// Plain text of raw roff text; stops at a comment. Sets *joins_next where it meets \c.
std::string RenderRoff(std::string_view raw, const RoffVariables& variables, bool* joins_next);

}  // namespace genflow::data
