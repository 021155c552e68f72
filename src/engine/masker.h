// Keeps the values of secrets out of what a run shows and stores.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "config/pipeline.h"

namespace genflow {

inline constexpr std::string_view kMask = "***";

// Replaces a pipeline's secrets by ***: each value, each of its lines, and the value as JSON, percent-encoded
// and in base64. Parts of fewer than kMinMasked bytes are left: they would hide ordinary text.
class Masker {
 public:
  explicit Masker(const Pipeline& pipeline);

  bool empty() const { return needles_.empty(); }
  std::string Mask(std::string text) const;
  Error Mask(Error error) const;
  std::vector<std::string> Mask(std::vector<std::string> texts) const;
  // Bytes of a text's end that may be the beginning of a secret.
  size_t Overlap() const { return needles_.empty() ? 0 : needles_.front().size() - 1; }

 private:
  std::vector<std::string> needles_;  // longest first
};

// A stage's output, which arrives in lines and, where these are very long, in pieces of lines.
class OutputMasker {
 public:
  explicit OutputMasker(const Masker& masker) : masker_(&masker) {}
  // What can be shown now. The end of a piece is held back while a secret may go on in the next one.
  std::string Add(std::string text, bool piece);
  // What is held back, at the end.
  std::string Rest();

 private:
  const Masker* masker_;
  std::string held_;
};

}  // namespace genflow
