#include "text/bpe.h"

#include <algorithm>
#include <bit>
#include <queue>

#include "text/unicode.h"

namespace genflow::text {
namespace {

using nlohmann::json;

constexpr size_t kShortPiece = 48;  // symbols; above it a heap finds the next merge

uint64_t HashPair(uint64_t pair) {
  pair *= 0x9e3779b97f4a7c15ull;
  return pair ^ pair >> 29;
}

Error Corrupt(const std::string& what) { return MakeError(Code::kCorrupt, "tokenizer.json: " + what); }

bool IsEmptyText(const json& model, const char* key) {
  const auto it = model.find(key);
  return it == model.end() || it->is_null() || (it->is_string() && it->get_ref<const std::string&>().empty());
}

}  // namespace

Result<formats::BpePieces> PiecesOf(const json& model) {
  if (!model.is_object() || !model.contains("vocab") || !model["vocab"].is_object() ||
      !model.contains("merges") || !model["merges"].is_array()) {
    return Corrupt("'model' lacks the vocabulary or the merges of a BPE");
  }
  formats::BpePieces out;
  for (auto it = model["vocab"].begin(); it != model["vocab"].end(); ++it) {
    if (!it->is_number_integer()) return Corrupt("token '" + it.key() + "' has id " + it->dump());
    out.vocab.emplace_back(it.key(), it->get<int64_t>());
  }
  for (const json& merge : model["merges"]) {
    if (merge.is_string()) {  // "left right", the older spelling
      const std::string_view text = merge.get_ref<const std::string&>();
      const size_t space = text.find(' ');
      if (space == std::string_view::npos)
        return Corrupt("merge '" + std::string(text) + "' is not two pieces");
      out.merges.emplace_back(text.substr(0, space), text.substr(space + 1));
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      out.merges.emplace_back(merge[0].get_ref<const std::string&>(), merge[1].get_ref<const std::string&>());
    } else {
      return Corrupt("a merge is not two pieces");
    }
  }
  return out;
}

Result<BpeModel> BpeModel::Make(const json& model, const formats::BpePieces& pieces, size_t added) {
  if (const auto type = model.find("type"); type != model.end() && *type != "BPE") {
    return MakeError(Code::kUnsupported, "tokenizer.json: model type " + type->dump() + " is not supported",
                     "byte-level BPE tokenizers are");
  }
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!IsEmptyText(model, key)) {
      return MakeError(Code::kUnsupported, std::string("tokenizer.json: '") + key + "' is not supported");
    }
  }
  if (model.value("byte_fallback", false)) {
    return MakeError(Code::kUnsupported, "tokenizer.json: 'byte_fallback' is not supported",
                     "this is a SentencePiece-style vocabulary; byte-level BPE tokenizers are supported");
  }
  BpeModel out;
  const int64_t limit = IdLimit(pieces.vocab.size() + added);
  int64_t size = 0;
  for (const auto& [token, id] : pieces.vocab) {
    if (id < 0 || id >= limit)
      return Corrupt("token '" + std::string(token) + "' has id " + std::to_string(id));
    size = std::max(size, id + 1);
  }
  std::fill(std::begin(out.byte_ids_), std::end(out.byte_ids_), -1);
  out.bytes_.resize(static_cast<size_t>(size));
  out.whole_ = std::make_unique<std::atomic<uint8_t>[]>(static_cast<size_t>(size));
  out.pieces_ = StringIndex(pieces.vocab.size());
  StringIndex tokens(pieces.vocab.size());  // numbers in pieces.vocab
  const auto token_at = [&](int32_t i) { return pieces.vocab[static_cast<size_t>(i)].first; };
  const auto bytes_at = [&](int32_t id) { return std::string_view(out.bytes_[static_cast<size_t>(id)]); };
  std::string bytes;
  for (size_t i = 0; i < pieces.vocab.size(); ++i) {
    const auto& [token, wide_id] = pieces.vocab[i];
    const auto id = static_cast<int32_t>(wide_id);
    if (const int32_t earlier = tokens.Insert(static_cast<int32_t>(i), token_at); earlier >= 0) {
      return Corrupt("tokens " + std::to_string(pieces.vocab[static_cast<size_t>(earlier)].second) + " and " +
                     std::to_string(id) + " are both '" + std::string(token) + "'");
    }
    if (!BytesOfToken(token, &bytes) || bytes.empty()) continue;
    if (bytes.size() == 1) out.byte_ids_[static_cast<unsigned char>(bytes[0])] = id;
    out.bytes_[static_cast<size_t>(id)] = bytes;
    out.pieces_.Insert(id, bytes_at);
  }
  const auto find = [&](std::string_view token) -> int32_t {
    const int32_t i = tokens.Find(token, token_at);
    return i < 0 ? -1 : static_cast<int32_t>(pieces.vocab[static_cast<size_t>(i)].second);
  };
  if (!IsEmptyText(model, "unk_token")) {
    out.unknown_ = find(model["unk_token"].get<std::string>());
    if (*out.unknown_ < 0)
      return Corrupt("'unk_token' " + model["unk_token"].dump() + " is not in the vocabulary");
  }
  out.fuse_unknown_ = model.value("fuse_unk", false);
  out.ignore_merges_ = model.value("ignore_merges", false);
  GF_CHECK_OK(out.AddMerges(pieces, find));
  return out;
}

template <class Find>
Status BpeModel::AddMerges(const formats::BpePieces& pieces, const Find& find) {
  merges_.assign(std::bit_ceil(pieces.merges.size() * 2 + 2), {});
  const size_t mask = merges_.size() - 1;
  uint32_t rank = 0;
  std::string whole;
  for (const auto& [left, right] : pieces.merges) {
    whole.assign(left).append(right);
    const int32_t a = find(left), b = find(right), both = find(whole);
    if (a < 0 || b < 0 || both < 0) {
      return Corrupt("merge '" + std::string(left) + " " + std::string(right) +
                     "' names a token that is not in the vocabulary");
    }
    const uint64_t pair = Pair(a, b);
    size_t at = HashPair(pair) & mask;
    while (merges_[at].pair != kNoPair && merges_[at].pair != pair) at = (at + 1) & mask;
    merges_[at] = {pair, rank++, both};
  }
  return Ok();
}

const BpeModel::Merge* BpeModel::FindMerge(int32_t left, int32_t right) const {
  const uint64_t pair = Pair(left, right);
  const size_t mask = merges_.size() - 1;
  for (size_t at = HashPair(pair) & mask;; at = (at + 1) & mask) {
    if (merges_[at].pair == pair) return &merges_[at];
    if (merges_[at].pair == kNoPair) return nullptr;
  }
}

int32_t BpeModel::FindPiece(std::string_view piece) const {
  return pieces_.Find(piece, [&](int32_t id) { return std::string_view(bytes_[static_cast<size_t>(id)]); });
}

void BpeModel::Spell(std::string_view piece, std::vector<int32_t>* ids) const {
  bool pending = false;  // an unknown run that is not written yet
  for (const char c : piece) {
    const int32_t id = byte_ids_[static_cast<unsigned char>(c)];
    if (id >= 0) {
      if (pending) ids->push_back(*unknown_);
      pending = false;
      ids->push_back(id);
    } else if (unknown_) {  // without an unknown token the byte is dropped
      if (pending && !fuse_unknown_) ids->push_back(*unknown_);
      pending = true;
    }
  }
  if (pending) ids->push_back(*unknown_);
}

// Merges the lowest-ranked pair, the leftmost of equals, until none is left.
void BpeModel::MergeShort(std::vector<int32_t>* ids) const {
  const Merge* merges[kShortPiece];
  auto& symbols = *ids;
  size_t count = symbols.size();
  for (size_t i = 0; i + 1 < count; ++i) merges[i] = FindMerge(symbols[i], symbols[i + 1]);
  while (count > 1) {
    size_t best = count;
    uint32_t rank = ~0u;
    for (size_t i = 0; i + 1 < count; ++i) {
      if (merges[i] != nullptr && merges[i]->rank < rank) best = i, rank = merges[i]->rank;
    }
    if (best == count) break;
    symbols[best] = merges[best]->id;
    for (size_t i = best + 1; i + 1 < count; ++i) symbols[i] = symbols[i + 1];
    for (size_t i = best + 1; i + 2 < count; ++i) merges[i] = merges[i + 1];
    --count;
    if (best > 0) merges[best - 1] = FindMerge(symbols[best - 1], symbols[best]);
    if (best + 1 < count) merges[best] = FindMerge(symbols[best], symbols[best + 1]);
  }
  symbols.resize(count);
}

// The same, in O(n log n).
void BpeModel::MergeLong(std::vector<int32_t>* ids) const {
  struct Candidate {
    uint32_t rank;
    int32_t at;
    int32_t left, right, merged;
    bool operator>(const Candidate& other) const {
      return rank != other.rank ? rank > other.rank : at > other.at;
    }
  };
  std::vector<Symbol> symbols(ids->size());
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
  const auto consider = [&](int32_t at) {
    const int32_t next = at < 0 ? -1 : symbols[static_cast<size_t>(at)].next;
    if (next < 0) return;
    const int32_t left = symbols[static_cast<size_t>(at)].id, right = symbols[static_cast<size_t>(next)].id;
    if (const Merge* merge = FindMerge(left, right)) queue.push({merge->rank, at, left, right, merge->id});
  };
  for (size_t i = 0; i < symbols.size(); ++i) {
    symbols[i] = {(*ids)[i], static_cast<int32_t>(i) - 1,
                  i + 1 < symbols.size() ? static_cast<int32_t>(i) + 1 : -1};
  }
  for (size_t i = 0; i < symbols.size(); ++i) consider(static_cast<int32_t>(i));
  while (!queue.empty()) {
    const Candidate top = queue.top();
    queue.pop();
    Symbol& symbol = symbols[static_cast<size_t>(top.at)];
    if (symbol.id != top.left || symbol.next < 0 || symbols[static_cast<size_t>(symbol.next)].id != top.right)
      continue;
    Symbol& gone = symbols[static_cast<size_t>(symbol.next)];
    symbol.id = top.merged;
    symbol.next = gone.next;
    gone.id = -1;
    if (symbol.next >= 0) symbols[static_cast<size_t>(symbol.next)].previous = top.at;
    consider(symbol.previous);
    consider(top.at);
  }
  ids->clear();
  for (int32_t at = 0; at >= 0; at = symbols[static_cast<size_t>(at)].next)
    ids->push_back(symbols[static_cast<size_t>(at)].id);
}

void BpeModel::EncodeByMerges(std::string_view piece, std::vector<int32_t>* ids) const {
  static thread_local std::vector<int32_t> scratch;
  scratch.clear();
  Spell(piece, &scratch);
  if (scratch.size() > 1) scratch.size() <= kShortPiece ? MergeShort(&scratch) : MergeLong(&scratch);
  ids->insert(ids->end(), scratch.begin(), scratch.end());
}

void BpeModel::Encode(std::string_view piece, std::vector<int32_t>* ids) const {
  const int32_t id = FindPiece(piece);
  if (id < 0) return EncodeByMerges(piece, ids);
  if (ignore_merges_) return ids->push_back(id);
  auto& known = whole_[static_cast<size_t>(id)];
  uint8_t state = known.load(std::memory_order_relaxed);
  if (state == 0) {
    std::vector<int32_t> merged;
    EncodeByMerges(piece, &merged);
    state = merged.size() == 1 && merged[0] == id ? 1 : 2;
    known.store(state, std::memory_order_relaxed);
  }
  if (state == 1)
    ids->push_back(id);
  else
    EncodeByMerges(piece, ids);
}

}  // namespace genflow::text
