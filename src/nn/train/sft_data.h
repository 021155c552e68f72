// From conversations to micro-batches: encoding with refusals, packing, order.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/chat_encoding.h"

namespace genflow::nn::train {

// What happens to an example of more than max_length tokens.
enum class TooLong { kError, kDrop, kTruncate };

struct SftDataOptions {
  int64_t max_length = 1024;
  TooLong on_too_long = TooLong::kError;
  int threads = 1;
  // Rows encoded so far; false stops with kInterrupted. May be empty.
  std::function<bool(uint64_t done, uint64_t total)> progress;
};

// Encoded examples, one behind the other.
class SftExamples {
 public:
  // Reads a messages dataset and encodes it. Hard errors, each with a count and the id of the first
  // example: every label masked, no assistant tokens, an end-of-turn token that is never trained (also
  // because kTruncate cut it off everywhere), a template that fails, a too long example under kError, nothing
  // left to train on.
  static Result<SftExamples> Read(const std::filesystem::path& dataset, const text::ChatEncoder& encoder,
                                  const SftDataOptions& options);
  // Reads a text dataset: of each text every token is to be learned, and the end-of-sequence token behind it,
  // which a truncated one lacks. Hard errors: a text of less than two tokens, and those of options.
  static Result<SftExamples> ReadText(const std::filesystem::path& dataset, const text::Tokenizer& tokenizer,
                                      const SftDataOptions& options);
  // Whichever of them the dataset's kind asks for, with the tokenizer and template of the model at `model`.
  // kInvalid for another kind.
  static Result<SftExamples> FromDataset(const std::filesystem::path& dataset,
                                         const std::filesystem::path& model, const SftDataOptions& options);
  // For tests and benchmarks: `train` marks the tokens to learn, as text::EncodedChat does.
  void Append(std::span<const int32_t> ids, std::span<const uint8_t> train);

  size_t size() const { return ends_.size(); }
  std::span<const int32_t> ids(size_t i) const;
  std::span<const uint8_t> train(size_t i) const;
  int64_t tokens() const { return static_cast<int64_t>(ids_.size()); }
  // Tokens that are predicted: marked ones, but for a first token, which nothing predicts.
  int64_t labelled_tokens() const { return labelled_; }
  int64_t longest() const { return longest_; }
  int32_t largest_id() const { return largest_id_; }

  // What on_too_long did.
  int64_t dropped() const { return dropped_; }
  int64_t truncated() const { return truncated_; }

 private:
  friend struct SftReader;
  std::vector<int32_t> ids_;
  std::vector<uint8_t> train_;
  std::vector<size_t> ends_;
  int32_t largest_id_ = 0;
  int64_t labelled_ = 0, longest_ = 0, dropped_ = 0, truncated_ = 0;
};

// Rows of examples: each row is what one unit of the batch size holds.
using PackedRows = std::vector<std::vector<uint32_t>>;

// Best-fit decreasing in windows of `window` examples of a shuffled order: rows of at most `max_length`
// tokens (a longer example has a row of its own). Every example is in exactly one row. Depends on the
// lengths, the seed and the window alone.
PackedRows PackBestFit(std::span<const int64_t> lengths, int64_t max_length, uint64_t seed,
                       size_t window = 4096);
// One row an example, in order.
PackedRows OneRowEach(size_t examples);

// Order of the rows in one epoch: a permutation that depends on seed and epoch alone.
std::vector<uint32_t> EpochOrder(size_t rows, uint64_t seed, int64_t epoch);

// transformers' get_length_grouped_indices, with `order` in the place of its random permutation: in pieces of
// up to 50 windows of `window` rows each, the longest first; and the longest of all at the very beginning, so
// that what does not fit into memory fails at once.
std::vector<uint32_t> GroupByLength(std::span<const int64_t> lengths, size_t window,
                                    std::vector<uint32_t> order);

// One forward pass on the host: sequences one behind the other, or, with `width`, in rows that are padded on
// the right; positions from 0 in each.
struct MicroBatch {
  int64_t width = 0;                // of the padded rows; 0: there are none
  int64_t tokens = 0;               // without pads
  std::vector<int64_t> ids;         // [N]; of a pad it is 0
  std::vector<int64_t> positions;   // [N]
  std::vector<int64_t> cu_seqlens;  // 0 ... N; empty with `width`
  std::vector<int64_t> rows;        // [M] tokens of which the next token is a label
  std::vector<int64_t> targets;     // [M] those labels
};
// Sequences are put in order of length, so that equal ones stand together.
MicroBatch Collate(const SftExamples& examples, std::span<const uint32_t> members);
// Each in a row of the length of the longest, or of the next multiple of `multiple_of` (0: any length). No
// token sees a pad, and no pad is a label.
MicroBatch CollatePadded(const SftExamples& examples, std::span<const uint32_t> members, int64_t multiple_of);
int64_t PaddedWidth(int64_t longest, int64_t multiple_of);

}  // namespace genflow::nn::train
