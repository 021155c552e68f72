#include "nn/train/sft_data.h"

#include <algorithm>
#include <atomic>
#include <functional>
#include <map>
#include <numeric>
#include <set>
#include <thread>

#include "base/strings.h"
#include "data/dataset.h"
#include "nn/train/random.h"

namespace genflow::nn::train {
namespace {

constexpr size_t kRowsAtOnce = 512;

// How often a refusal occurred, and the first time.
struct Refused {
  uint64_t count = 0;
  std::string first_id;
  Error first_error;
};

const char* What(text::ChatRefusal kind) {
  switch (kind) {
    case text::ChatRefusal::kNoAssistant:
      return "have no assistant tokens";
    case text::ChatRefusal::kAllMasked:
      return "have every label masked";
    case text::ChatRefusal::kEndOfTurnUntrained:
      return "never train the end-of-turn token";
    case text::ChatRefusal::kTemplate:
      return "cannot be rendered by the chat template";
    case text::ChatRefusal::kTooLong:
      return "are too long";
    case text::ChatRefusal::kNone:
      break;
  }
  return "are refused";
}

Error Refusal(const std::map<text::ChatRefusal, Refused>& refused, uint64_t rows) {
  std::vector<std::string> parts;
  std::string hint;
  for (const auto& [kind, r] : refused) {
    parts.push_back(WithCommas(static_cast<int64_t>(r.count)) + " of " +
                    WithCommas(static_cast<int64_t>(rows)) + " examples " + What(kind) + " (first: '" +
                    r.first_id + "': " + r.first_error.message + ")");
    if (hint.empty()) hint = r.first_error.hint;
  }
  return InvalidError(Join(parts, "; "), hint);
}

Error TooLongError(uint64_t count, uint64_t rows, const std::string& id, size_t tokens, int64_t limit) {
  return InvalidError(
      WithCommas(static_cast<int64_t>(count)) + " of " + WithCommas(static_cast<int64_t>(rows)) +
          " examples have more than max_length " + std::to_string(limit) + " tokens (first: '" + id +
          "' with " + WithCommas(static_cast<int64_t>(tokens)) + ")",
      "raise max_length, or set on_too_long to truncate or drop, which are counted in the metrics");
}

// Encodes rows[i] into outcomes[i] on `threads` threads.
template <class Row>
void EncodeAll(const std::function<text::ChatOutcome(const Row&)>& encode, const std::vector<Row>& rows,
               int threads, std::vector<text::ChatOutcome>* outcomes) {
  outcomes->assign(rows.size(), {});
  std::atomic<size_t> next{0};
  const auto work = [&] {
    for (size_t i = next++; i < rows.size(); i = next++) (*outcomes)[i] = encode(rows[i]);
  };
  std::vector<std::jthread> pool;
  for (int t = 1; t < threads && static_cast<size_t>(t) < rows.size(); ++t) pool.emplace_back(work);
  work();
}

// Whether a token that ends a turn is among the labels.
bool TrainsAnEnd(std::span<const int32_t> ids, std::span<const uint8_t> train,
                 const std::vector<int32_t>& stop_ids) {
  for (size_t i = 1; i < ids.size(); ++i) {
    if (train[i] != 0 && std::find(stop_ids.begin(), stop_ids.end(), ids[i]) != stop_ids.end()) return true;
  }
  return false;
}

}  // namespace

// Rows of one kind to examples. With `stop_ids`, at least one example must keep such a token among its
// labels.
struct SftReader {
  template <class Row>
  static Result<SftExamples> Read(data::DatasetReader reader, const SftDataOptions& options,
                                  const std::vector<int32_t>& stop_ids,
                                  const std::function<text::ChatOutcome(const Row&)>& encode);
};

template <class Row>
Result<SftExamples> SftReader::Read(data::DatasetReader reader, const SftDataOptions& options,
                                    const std::vector<int32_t>& stop_ids,
                                    const std::function<text::ChatOutcome(const Row&)>& encode) {
  const uint64_t total = reader.rows();
  if (total == 0) return InvalidError("the dataset has no examples");
  SftExamples examples;
  std::map<text::ChatRefusal, Refused> refused;
  uint64_t too_long = 0;
  std::string too_long_id;
  size_t too_long_tokens = 0;
  uint64_t done = 0, closed = 0;
  std::vector<Row> rows;
  std::vector<text::ChatOutcome> outcomes;
  while (done < total) {
    if (options.progress && !options.progress(done, total)) {
      return MakeError(Code::kInterrupted, "stopped while encoding the dataset");
    }
    rows.clear();
    while (rows.size() < kRowsAtOnce) {
      Row row;
      GF_TRY(const bool more, reader.Next(&row));
      if (!more) break;
      rows.push_back(std::move(row));
    }
    if (rows.empty()) break;
    EncodeAll<Row>(encode, rows, options.threads, &outcomes);
    for (size_t i = 0; i < rows.size(); ++i) {
      const text::ChatOutcome& outcome = outcomes[i];
      if (!outcome.ok()) {
        Refused& r = refused[outcome.refusal];
        if (r.count++ == 0) {
          r.first_id = rows[i].id;
          r.first_error = outcome.error;
        }
        continue;
      }
      size_t size = outcome.chat.ids.size();
      if (options.max_length > 0 && size > static_cast<size_t>(options.max_length)) {
        if (too_long++ == 0) {
          too_long_id = rows[i].id;
          too_long_tokens = size;
        }
        size = static_cast<size_t>(options.max_length);
        const auto& train = outcome.chat.train;
        const bool trains = std::find(train.begin() + 1, train.begin() + static_cast<ptrdiff_t>(size), 1) !=
                            train.begin() + static_cast<ptrdiff_t>(size);
        // What is left of a truncated example must still teach something.
        if (options.on_too_long != TooLong::kTruncate || !trains) {
          ++examples.dropped_;
          continue;
        }
        ++examples.truncated_;
      }
      const std::span ids = std::span(outcome.chat.ids).first(size);
      const std::span train = std::span(outcome.chat.train).first(size);
      closed += TrainsAnEnd(ids, train, stop_ids) ? 1 : 0;
      examples.Append(ids, train);
    }
    done += rows.size();
  }
  if (!refused.empty()) return Refusal(refused, total);
  if (too_long > 0 && options.on_too_long == TooLong::kError) {
    return TooLongError(too_long, total, too_long_id, too_long_tokens, options.max_length);
  }
  if (examples.size() == 0) {
    return InvalidError("all " + WithCommas(static_cast<int64_t>(total)) +
                            " examples were dropped, because they have more than max_length " +
                            std::to_string(options.max_length) + " tokens",
                        "raise max_length");
  }
  if (examples.truncated_ > 0 && closed == 0 && !stop_ids.empty()) {
    return InvalidError("no example keeps its end-of-turn token: each is cut at max_length " +
                            std::to_string(options.max_length) +
                            ", so a model trained on them would never learn to stop",
                        "raise max_length, or set on_too_long to drop");
  }
  return examples;
}

Result<SftExamples> SftExamples::Read(const std::filesystem::path& dataset, const text::ChatEncoder& encoder,
                                      const SftDataOptions& options) {
  GF_TRY(data::DatasetReader reader, data::DatasetReader::Open(dataset, data::Kind::kMessages));
  return SftReader::Read<data::MessagesRow>(std::move(reader), options, encoder.stop_ids(),
                                            [&](const data::MessagesRow& row) {
                                              std::vector<text::Message> messages;
                                              for (const auto& message : row.messages)
                                                messages.push_back({message.role, message.content});
                                              return encoder.EncodeChat(messages);
                                            });
}

Result<SftExamples> SftExamples::ReadText(const std::filesystem::path& dataset,
                                          const text::Tokenizer& tokenizer, const SftDataOptions& options) {
  GF_TRY(data::DatasetReader reader, data::DatasetReader::Open(dataset, data::Kind::kText));
  return SftReader::Read<data::TextRow>(std::move(reader), options, {}, [&](const data::TextRow& row) {
    text::ChatOutcome outcome;
    std::vector<int32_t>& ids = outcome.chat.ids;
    ids = tokenizer.Encode(row.text, {.add_special = true});
    if (const auto eos = tokenizer.eos_id(); eos && (ids.empty() || ids.back() != *eos)) ids.push_back(*eos);
    outcome.chat.train.assign(ids.size(), 1);
    outcome.chat.trained_tokens = static_cast<int64_t>(ids.size());
    if (ids.size() < 2) {
      outcome.refusal = text::ChatRefusal::kAllMasked;
      outcome.error = InvalidError("the text is empty, or a single token", "drop such rows with data.clean");
    }
    return outcome;
  });
}

Result<SftExamples> SftExamples::FromDataset(const std::filesystem::path& dataset,
                                             const std::filesystem::path& model,
                                             const SftDataOptions& options) {
  GF_TRY(const data::DatasetReader reader, data::DatasetReader::Open(dataset));
  if (reader.kind() == data::Kind::kText) {
    GF_TRY(const text::Tokenizer tokenizer, text::Tokenizer::FromModel(model));
    return ReadText(dataset, tokenizer, options);
  }
  GF_TRY(const text::ChatEncoder encoder, text::ChatEncoder::FromModel(model));
  return Read(dataset, encoder, options);
}

void SftExamples::Append(std::span<const int32_t> ids, std::span<const uint8_t> train) {
  ids_.insert(ids_.end(), ids.begin(), ids.end());
  train_.insert(train_.end(), train.begin(), train.end());
  ends_.push_back(ids_.size());
  for (const int32_t id : ids) largest_id_ = std::max(largest_id_, id);
  for (size_t i = 1; i < train.size(); ++i) labelled_ += train[i] != 0;
  longest_ = std::max(longest_, static_cast<int64_t>(ids.size()));
}

std::span<const int32_t> SftExamples::ids(size_t i) const {
  const size_t begin = i == 0 ? 0 : ends_[i - 1];
  return std::span(ids_).subspan(begin, ends_[i] - begin);
}

std::span<const uint8_t> SftExamples::train(size_t i) const {
  const size_t begin = i == 0 ? 0 : ends_[i - 1];
  return std::span(train_).subspan(begin, ends_[i] - begin);
}

PackedRows PackBestFit(std::span<const int64_t> lengths, int64_t max_length, uint64_t seed, size_t window) {
  std::vector<uint32_t> order(lengths.size());
  std::iota(order.begin(), order.end(), 0u);
  Random(seed, "packing").Shuffle(order);
  PackedRows rows;
  for (size_t begin = 0; begin < order.size(); begin += window) {
    const auto first = order.begin() + static_cast<ptrdiff_t>(begin);
    const auto last = order.begin() + static_cast<ptrdiff_t>(std::min(order.size(), begin + window));
    std::stable_sort(first, last, [&](uint32_t a, uint32_t b) { return lengths[a] > lengths[b]; });
    std::set<std::pair<int64_t, size_t>> open;  // tokens left in a row, the row
    for (auto it = first; it != last; ++it) {
      const int64_t length = lengths[*it];
      const auto fit = open.lower_bound({length, 0});
      size_t row = rows.size();
      int64_t left = max_length;
      if (fit != open.end()) {
        std::tie(left, row) = *fit;
        open.erase(fit);
      } else {
        rows.emplace_back();
      }
      rows[row].push_back(*it);
      if (left - length > 0) open.insert({left - length, row});
    }
  }
  return rows;
}

PackedRows OneRowEach(size_t examples) {
  PackedRows rows(examples);
  for (size_t i = 0; i < examples; ++i) rows[i] = {static_cast<uint32_t>(i)};
  return rows;
}

std::vector<uint32_t> EpochOrder(size_t rows, uint64_t seed, int64_t epoch) {
  std::vector<uint32_t> order(rows);
  std::iota(order.begin(), order.end(), 0u);
  Random(seed, "epoch", static_cast<uint64_t>(epoch)).Shuffle(order);
  return order;
}

std::vector<uint32_t> GroupByLength(std::span<const int64_t> lengths, size_t window,
                                    std::vector<uint32_t> order) {
  constexpr size_t kMostWindows = 50;
  const size_t piece = std::clamp<size_t>(order.size() / (4 * window), 1, kMostWindows) * window;
  size_t longest = 0;
  for (size_t begin = 0; begin < order.size(); begin += piece) {
    const auto first = order.begin() + static_cast<ptrdiff_t>(begin);
    const auto last = order.begin() + static_cast<ptrdiff_t>(std::min(order.size(), begin + piece));
    std::stable_sort(first, last, [&](uint32_t a, uint32_t b) { return lengths[a] > lengths[b]; });
    if (lengths[order[begin]] > lengths[order[longest]]) longest = begin;
  }
  if (!order.empty()) std::swap(order[0], order[longest]);
  return order;
}

namespace {

std::vector<uint32_t> LongestFirst(const SftExamples& examples, std::span<const uint32_t> members) {
  std::vector<uint32_t> sorted(members.begin(), members.end());
  std::stable_sort(sorted.begin(), sorted.end(),
                   [&](uint32_t a, uint32_t b) { return examples.ids(a).size() > examples.ids(b).size(); });
  return sorted;
}

// Appends a sequence and its labels.
void Append(const SftExamples& examples, uint32_t member, MicroBatch* batch) {
  const auto ids = examples.ids(member);
  const auto train = examples.train(member);
  const auto start = static_cast<int64_t>(batch->ids.size());
  for (size_t t = 0; t < ids.size(); ++t) {
    batch->ids.push_back(ids[t]);
    batch->positions.push_back(static_cast<int64_t>(t));
    if (t > 0 && train[t] != 0) {
      batch->rows.push_back(start + static_cast<int64_t>(t) - 1);
      batch->targets.push_back(ids[t]);
    }
  }
  batch->tokens += static_cast<int64_t>(ids.size());
}

}  // namespace

MicroBatch Collate(const SftExamples& examples, std::span<const uint32_t> members) {
  MicroBatch batch;
  batch.cu_seqlens.push_back(0);
  for (const uint32_t member : LongestFirst(examples, members)) {
    Append(examples, member, &batch);
    batch.cu_seqlens.push_back(static_cast<int64_t>(batch.ids.size()));
  }
  return batch;
}

MicroBatch CollatePadded(const SftExamples& examples, std::span<const uint32_t> members,
                         int64_t multiple_of) {
  MicroBatch batch;
  for (const uint32_t member : LongestFirst(examples, members)) {
    if (batch.width == 0)
      batch.width = PaddedWidth(static_cast<int64_t>(examples.ids(member).size()), multiple_of);
    const size_t end = batch.ids.size() + static_cast<size_t>(batch.width);
    Append(examples, member, &batch);
    while (batch.ids.size() < end) {
      batch.positions.push_back(batch.positions.back() + 1);
      batch.ids.push_back(0);
    }
  }
  return batch;
}

int64_t PaddedWidth(int64_t longest, int64_t multiple_of) {
  return multiple_of > 1 ? (longest + multiple_of - 1) / multiple_of * multiple_of : longest;
}

}  // namespace genflow::nn::train
