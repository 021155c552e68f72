// Records of other people's data sets (JSON objects) as rows: plain text, chats in OpenAI's or ShareGPT's
// form, prompt and completion, Alpaca instructions, preferences.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "data/dataset.h"

namespace genflow::data {

struct RecordOptions {
  std::optional<Kind> kind;         // nothing: decided by the first record
  std::string text_field = "text";  // text rows
  std::string id_field = "id";      // taken where it is there; else ids are made of file and line
  std::vector<std::string> meta_fields = {"*"};  // other fields kept in meta; "*" is all of them
};

// Turns one JSON object after the other into rows of one kind. Not thread-safe.
class RecordMapper {
 public:
  explicit RecordMapper(RecordOptions options);
  ~RecordMapper();

  // `record`: one JSON object, followed by LineReader::kPadding readable bytes. `source` is the row's file
  // and `position` its place there, as in "file.jsonl:12". An error's message says what is wrong with the
  // record without saying where.
  Status Map(std::string_view record, const std::string& source, const std::string& position, AnyRow* row);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace genflow::data
