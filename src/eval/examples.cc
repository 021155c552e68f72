#include "eval/examples.h"

#include <algorithm>

namespace genflow::eval {
namespace {

// Calls take(row) on the chosen rows.
template <class Row, class Take>
Status ForChosen(data::DatasetReader& reader, int64_t limit, const Take& take) {
  const auto rows = static_cast<int64_t>(reader.rows());
  if (rows == 0) return InvalidError("the dataset has no rows");
  Row row;
  for (int64_t i = 0; i < rows; ++i) {
    GF_TRY(const bool more, reader.Next(&row));
    if (!more) break;
    // Row i is chosen where i * limit / rows steps up.
    const bool chosen = limit <= 0 || limit >= rows || i == 0 || i * limit / rows != (i - 1) * limit / rows;
    if (chosen) take(row);
  }
  return Ok();
}

}  // namespace

Result<std::vector<ChatExample>> ReadChats(const std::filesystem::path& dataset, int64_t limit) {
  GF_TRY(auto reader, data::DatasetReader::Open(dataset, data::Kind::kMessages));
  std::vector<ChatExample> out;
  GF_CHECK_OK(ForChosen<data::MessagesRow>(reader, limit, [&](data::MessagesRow& row) {
    ChatExample& example = out.emplace_back();
    example.id = std::move(row.id);
    for (auto& message : row.messages) {
      example.messages.push_back({std::move(message.role), std::move(message.content)});
    }
  }));
  return out;
}

Result<std::vector<TextExample>> ReadTexts(const std::filesystem::path& dataset, int64_t limit) {
  GF_TRY(auto reader, data::DatasetReader::Open(dataset, data::Kind::kText));
  std::vector<TextExample> out;
  GF_CHECK_OK(ForChosen<data::TextRow>(reader, limit, [&](data::TextRow& row) {
    out.push_back({std::move(row.id), std::move(row.text)});
  }));
  return out;
}

const std::string& Question::Asked() const {
  static const std::string none;
  const auto last =
      std::find_if(prompt.rbegin(), prompt.rend(), [](const auto& m) { return m.role == "user"; });
  return last == prompt.rend() ? none : last->content;
}

Status ReportEncoded(const Progress& progress, size_t done, size_t total) {
  constexpr size_t kStep = 64;
  if ((done % kStep != 0 && done != total) || !progress || progress(done, total)) return Ok();
  return MakeError(Code::kInterrupted, "encoding was interrupted");
}

Error AllTooLong(size_t examples, int64_t context) {
  return InvalidError("all " + std::to_string(examples) +
                      " examples are longer than the model's context of " + std::to_string(context) +
                      " tokens");
}

Result<std::vector<Question>> ToQuestions(std::vector<ChatExample> examples) {
  std::vector<Question> out;
  for (auto& [id, messages] : examples) {
    auto last =
        std::find_if(messages.rbegin(), messages.rend(), [](const auto& m) { return m.role == "assistant"; });
    if (last == messages.rend()) {
      return InvalidError("example '" + id + "' has no assistant message to compare an answer with");
    }
    const size_t at = static_cast<size_t>(messages.rend() - last) - 1;
    if (at == 0)
      return InvalidError("example '" + id + "' begins with an assistant message: nothing is asked");
    out.push_back({std::move(id), {}, std::move(messages[at].content)});
    messages.resize(at);
    out.back().prompt = std::move(messages);
  }
  return out;
}

}  // namespace genflow::eval
