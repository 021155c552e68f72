// Markdown as stages write it for people, for a terminal: headings, aligned tables, lists, quotes, code.
#pragma once

#include <string>
#include <string_view>

namespace genflow::cli {

// Every line starts with `indent`. Text that is no Markdown comes out as it is.
std::string RenderMarkdown(std::string_view markdown, const std::string& indent, bool color);

}  // namespace genflow::cli
