// Rows of a dataset, chosen and made ready for a model.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "data/dataset.h"
#include "text/chat_template.h"

namespace genflow::eval {

// Examples done of all; false stops the work, whose result is then kInterrupted. May be empty.
using Progress = std::function<bool(size_t done, size_t total)>;

struct ChatExample {
  std::string id;
  std::vector<text::Message> messages;
};

struct TextExample {
  std::string id, text;
};

// At most `limit` rows (0: all), evenly spaced over the dataset, in its order.
Result<std::vector<ChatExample>> ReadChats(const std::filesystem::path& dataset, int64_t limit);
Result<std::vector<TextExample>> ReadTexts(const std::filesystem::path& dataset, int64_t limit);

// A conversation cut before its last assistant message: what a model is asked, and what it should say.
struct Question {
  std::string id;
  std::vector<text::Message> prompt;
  std::string reference;

  // The user's last words before the answer.
  const std::string& Asked() const;
};

// Says, every few examples, how many are encoded; kInterrupted where that is to stop.
Status ReportEncoded(const Progress& progress, size_t done, size_t total);

// All examples are too long for the model.
Error AllTooLong(size_t examples, int64_t context);

// Refuses a conversation without an assistant message, or whose only message it is, by id.
Result<std::vector<Question>> ToQuestions(std::vector<ChatExample> examples);

}  // namespace genflow::eval
