// The roff language as far as manual pages need it to be read as plain text: requests and their arguments,
// escapes, special characters, strings, number registers, conditionals, macro definitions. Not a formatter.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "data/roff_escapes.h"

namespace genflow::data {

// One line of a page after comments, definitions and conditionals are gone.
struct RoffLine {
  std::string request;            // "SH", "Nm", "br"; "" for a line of text
  std::vector<std::string> args;  // of a request, as plain text
  std::string text;               // of a line of text, as plain text
  bool joins_next = false;        // ended in \c: no space before the next text
};

class RoffReader {
 public:
  // `page` is UTF-8 and must outlive this.
  explicit RoffReader(std::string_view page);

  // False at the end.
  bool Next(RoffLine* line);

 private:
  // The next input line with continued lines joined; false at the end.
  bool NextInput(std::string* line);
  void Request(std::string_view rest, RoffLine* line);
  // Reads a condition off the front of `rest`.
  bool Condition(std::string_view* rest);
  bool Comparison(std::string_view expression);
  void Branch(bool taken, std::string_view rest);
  void SkipDefinition(std::string_view rest);
  void SkipTo(std::string_view request);
  std::vector<std::string> Arguments(std::string_view rest, bool* joins_next);

  std::string_view page_;
  size_t at_ = 0;
  std::vector<std::string> pushed_;  // lines to read before the rest of the page
  std::vector<bool> else_branches_;  // what .el does, for each open .ie
  RoffVariables variables_;
};

}  // namespace genflow::data
