// Byte-pair encoding over bytes: vocabulary, merges, and the encoding of one piece of text.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "formats/model_source.h"
#include "text/string_index.h"

namespace genflow::text {

// The vocabulary and the merges in the "model" object of a tokenizer.json, into which they look.
Result<formats::BpePieces> PiecesOf(const nlohmann::json& model);

// Immutable after Make but for a cache of atomics: Encode is thread-safe.
class BpeModel {
 public:
  // `model`: the "model" object of a tokenizer.json, byte-level, beside which the file lists `added` tokens.
  // Its vocabulary and merges are not asked for, but those of `pieces` taken.
  static Result<BpeModel> Make(const nlohmann::json& model, const formats::BpePieces& pieces, size_t added);

  // Ids of a tokenizer with so many tokens are smaller: some have gaps, but tables are as long as the largest
  // id.
  static int64_t IdLimit(size_t tokens) { return static_cast<int64_t>(tokens) + 65536; }

  // Appends the ids of `piece`, a run of bytes that merges do not cross the ends of.
  void Encode(std::string_view piece, std::vector<int32_t>* ids) const;

 private:
  struct Merge {
    uint64_t pair = kNoPair;
    uint32_t rank = 0;
    int32_t id = 0;
  };
  struct Symbol {
    int32_t id;
    int32_t previous, next;  // indices; -1 at the ends
  };
  static constexpr uint64_t kNoPair = ~0ull;
  static uint64_t Pair(int32_t left, int32_t right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }

  // `find(token)`: its id, or -1.
  template <class Find>
  Status AddMerges(const formats::BpePieces& pieces, const Find& find);
  const Merge* FindMerge(int32_t left, int32_t right) const;
  int32_t FindPiece(std::string_view piece) const;  // -1 when it is no token
  // Bytes to ids, before any merge.
  void Spell(std::string_view piece, std::vector<int32_t>* ids) const;
  void MergeShort(std::vector<int32_t>* ids) const;
  void MergeLong(std::vector<int32_t>* ids) const;
  void EncodeByMerges(std::string_view piece, std::vector<int32_t>* ids) const;

  std::vector<std::string> bytes_;  // by id; "" where the id has no byte spelling
  int32_t byte_ids_[256];
  std::vector<Merge> merges_;  // open addressing
  StringIndex pieces_;         // ids of bytes_
  std::optional<int32_t> unknown_;
  bool fuse_unknown_ = false, ignore_merges_ = false;
  // By id: whether merging a token's own bytes gives just that token. 0 not yet known, 1 yes, 2 no.
  std::unique_ptr<std::atomic<uint8_t>[]> whole_;
};

}  // namespace genflow::text
