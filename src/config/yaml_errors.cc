#include "config/yaml_errors.h"

#include <algorithm>

namespace genflow {

namespace {

// The first line up to `line` with a tab in its indentation, or 0.
int LineWithTab(const SourceText& source, int line) {
  for (int i = std::max(1, line - 1); i <= std::min(source.line_count(), line + 1); ++i) {
    const std::string_view text = source.Line(i);
    const size_t indent = std::min(text.find_first_not_of(" \t"), text.size());
    if (text.substr(0, indent).find('\t') != std::string_view::npos) return i;
  }
  return 0;
}

struct Wording {
  std::string_view theirs, ours, hint;
};

// yaml-cpp's messages that a user of a pipeline file meets, in our words.
constexpr Wording kWordings[] = {
    {"end of map not found", "this line does not fit the mapping above it",
     "check the indentation, and that every key ends in ':'"},
    {"end of sequence not found", "this line does not fit the list above it",
     "check the indentation, and that every entry starts with '- '"},
    {"illegal map value", "a ':' that starts a value cannot stand here",
     "put text that holds ': ' in quotes, or end the key in the line above with ':'"},
    {"illegal block entry", "a list entry cannot stand here",
     "put '- ' on a line of its own, indented under the key"},
    {"illegal map key", "a key cannot stand here", "put it on a line of its own"},
    {"end of map flow not found", "'{' is not closed by '}'", ""},
    {"end of sequence flow not found", "'[' is not closed by ']'", ""},
    {"illegal flow end", "this closes nothing", ""},
    {"illegal EOF in scalar", "the quoted text is not closed", ""},
    {"illegal document indicator in scalar", "the quoted text is not closed", ""},
    {"unknown escape character: ", "unknown escape in double quotes",
     "use single quotes, or write a backslash as \\\\"},
    {"the referenced anchor is not defined", "this alias refers to no anchor", "define it above as &name"},
};

}  // namespace

void ReportSyntaxError(const SourceText& source, int line, size_t offset, std::string_view message,
                       std::vector<Diagnostic>* diagnostics) {
  if (const int tab = LineWithTab(source, std::max(1, line)); tab > 0) {
    const size_t start = static_cast<size_t>(source.Line(tab).data() - source.text().data());
    diagnostics->push_back(source.Report(source.At(start + source.Line(tab).find('\t')),
                                         "a tab cannot indent a line in YAML", "use spaces"));
    return;
  }
  const Position at = source.At(std::min(offset, source.text().size()));
  for (const auto& wording : kWordings) {
    if (message.starts_with(wording.theirs)) {
      diagnostics->push_back(
          source.Report(at, "not valid YAML: " + std::string(wording.ours), std::string(wording.hint)));
      return;
    }
  }
  diagnostics->push_back(source.Report(at, "not valid YAML: " + std::string(message)));
}

}  // namespace genflow
