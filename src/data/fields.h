// Fields of rows by dotted path: "id", "text", "meta.name", "meta.author.mail".
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "data/dataset.h"

namespace genflow::data {

// The fields that rows of a kind have besides meta.*: text rows id, text, source; messages rows id, system,
// user, assistant (the first message of that role); preference rows id, prompt, chosen, rejected. All have
// content, which is all their text.
const std::vector<std::string>& FieldNames(Kind kind);

// kInvalid, with a suggestion, unless `path` is one of FieldNames(kind) or below meta.
Status CheckFieldPath(std::string_view path, Kind kind);

// All text of a row: text, or the contents of messages, or prompt, chosen and rejected, one a line.
std::string ContentOf(const AnyRow& row);

// Reads fields; keeps the parsed meta of the row set last. Not thread-safe.
class FieldReader {
 public:
  FieldReader();
  ~FieldReader();

  // `row` must stay unchanged until the next Set().
  void Set(const AnyRow& row);
  // Text of a field: strings as they are, other values as JSON; nothing when missing or null.
  std::optional<std::string> Get(std::string_view path);
  // Paths of the scalars in the row's meta: "meta.name", "meta.author.mail".
  std::vector<std::string> MetaPaths();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace genflow::data
