// Text templates over the fields of a row: "What does {meta.name} do?", "{text|sentence}".
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "data/fields.h"

namespace genflow::data {

// {path} is a field, {path|filter|filter:argument} goes through filters; {{ and }} are braces.
//   lower, upper    ASCII letters and others by Unicode
//   capitalize      first letter upper case
//   uncapitalize    first letter lower case, unless the first word has another upper-case letter ("GNU")
//   trim            without white space at the ends
//   oneline         white space as single spaces
//   period          a full stop at the end, unless it ends in . ! ? or :
//   no_period       without full stops at the end
//   sentence        oneline, capitalize and period
//   first_sentence  up to the first full stop, ! or ? that ends a word
//   truncate:N      at most N characters, cut between words where possible
//   default:TEXT    TEXT where the field is missing or empty
class Template {
 public:
  // kInvalid for an open brace, an empty or unknown filter (with a suggestion).
  static Result<Template> Compile(std::string_view text);

  // Fields used, in order; and those of them without a default.
  std::vector<std::string> Paths() const;
  std::vector<std::string> NeededPaths() const;
  bool empty() const { return pieces_.empty(); }

  // The text for the row that `fields` is set to; nothing when a field is missing or empty and has no
  // default. `missing` (may be null) gets that field's path.
  std::optional<std::string> Expand(FieldReader* fields, std::string* missing) const;

 private:
  enum class FilterKind {
    kLower,
    kUpper,
    kCapitalize,
    kUncapitalize,
    kTrim,
    kOneline,
    kPeriod,
    kNoPeriod,
    kSentence,
    kFirstSentence,
    kTruncate,
    kDefault,
  };
  struct Filter {
    FilterKind kind;
    std::string argument;
    size_t number = 0;
  };
  struct Piece {
    std::string literal;  // when `path` is empty
    std::string path;
    std::vector<Filter> filters;
  };

  static Result<Filter> ParseFilter(std::string_view text);
  static std::string Apply(const Filter& filter, std::string text);

  std::vector<Piece> pieces_;
};

}  // namespace genflow::data
