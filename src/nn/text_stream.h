// The text of one answer as its bytes arrive, cut at stop strings and safe to show at any moment. Torch-free.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace genflow::nn {

class TextStream {
 public:
  // `stop_strings` outlive the stream; empty ones are ignored.
  explicit TextStream(const std::vector<std::string>* stop_strings) : stop_strings_(stop_strings) {}

  // Adds the bytes of one token, which may end inside a character. Invalid UTF-8 becomes U+FFFD.
  // True once a stop string is complete: the text then ends where the earliest began, for good.
  bool Append(std::string_view bytes);
  // No more bytes come: a character cut short becomes U+FFFD, and nothing is held back any more.
  void Finish();
  // The text since the last call that no later byte can take back.
  std::string_view Take();

  const std::string& text() const { return text_; }

 private:
  void Decode(bool final);

  const std::vector<std::string>* stop_strings_;
  std::string pending_;  // bytes of an unfinished character
  std::string text_;     // valid UTF-8
  size_t taken_ = 0;
  bool closed_ = false;
};

}  // namespace genflow::nn
