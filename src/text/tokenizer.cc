#include "text/tokenizer.h"

#include <unicode/edits.h>
#include <unicode/normalizer2.h>

#include <algorithm>
#include <cstddef>

#include "base/strings.h"
#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/pre_tokenizer.h"
#include "text/string_index.h"
#include "text/unicode.h"

namespace genflow::text {
namespace {

using nlohmann::json;

Error Corrupt(const std::string& what) { return MakeError(Code::kCorrupt, "tokenizer.json: " + what); }

// The normal forms that a "normalizer" declares, in order.
Status ReadNormalizers(const json& normalizer, std::vector<const icu::Normalizer2*>* out) {
  if (normalizer.is_null()) return Ok();
  const std::string type = normalizer.is_object() ? normalizer.value("type", "") : "";
  if (type == "Sequence") {
    for (const auto& step : normalizer.value("normalizers", json::array()))
      GF_CHECK_OK(ReadNormalizers(step, out));
    return Ok();
  }
  UErrorCode code = U_ZERO_ERROR;
  const icu::Normalizer2* found = type == "NFC"    ? icu::Normalizer2::getNFCInstance(code)
                                  : type == "NFD"  ? icu::Normalizer2::getNFDInstance(code)
                                  : type == "NFKC" ? icu::Normalizer2::getNFKCInstance(code)
                                  : type == "NFKD" ? icu::Normalizer2::getNFKDInstance(code)
                                                   : nullptr;
  if (found == nullptr || U_FAILURE(code)) {
    return MakeError(Code::kUnsupported,
                     "tokenizer.json: normalizer " + normalizer.dump() + " is not supported",
                     "NFC, NFD, NFKC and NFKD are");
  }
  out->push_back(found);
  return Ok();
}

// Ids that the post-processor puts before and after a single text; they are below `vocab_size`.
Status ReadPostProcessor(const json& post, size_t vocab_size, std::vector<int32_t>* before,
                         std::vector<int32_t>* after) {
  if (post.is_null()) return Ok();
  const std::string type = post.is_object() ? post.value("type", "") : "";
  if (type == "ByteLevel") return Ok();
  if (type == "Sequence") {
    for (const auto& step : post.value("processors", json::array()))
      GF_CHECK_OK(ReadPostProcessor(step, vocab_size, before, after));
    return Ok();
  }
  if (type != "TemplateProcessing") {
    return MakeError(Code::kUnsupported, "tokenizer.json: post-processor '" + type + "' is not supported",
                     "ByteLevel and TemplateProcessing are");
  }
  bool seen_text = false;
  for (const auto& item : post.at("single")) {
    if (item.contains("Sequence")) {
      seen_text = true;
      continue;
    }
    const std::string name = item.at("SpecialToken").at("id");
    for (const auto& id : post.at("special_tokens").at(name).at("ids")) {
      if (!id.is_number_integer() || id < 0 || id >= vocab_size)
        return Corrupt("the post-processor adds token " + id.dump() + ", which is not in the vocabulary");
      (seen_text ? after : before)->push_back(id.get<int32_t>());
    }
  }
  return Ok();
}

// Appends the ids of the parts of `text`: of an added token its own, of others those that `encode` appends to
// `out` and `ends`. Where they end is counted in `text` then, unless `ends` is null.
template <class Encode>
void EncodeParts(std::string_view text, const std::vector<AddedTokenMatcher::Part>& parts,
                 std::vector<int32_t>* out, std::vector<size_t>* ends, const Encode& encode) {
  for (const auto& part : parts) {
    const auto begin = static_cast<size_t>(part.text.data() - text.data());
    const size_t before = ends == nullptr ? 0 : ends->size();
    if (part.id >= 0) {
      out->push_back(part.id);
      if (ends != nullptr) ends->push_back(part.text.size());
    } else {
      encode(part.text);
    }
    for (size_t i = before; ends != nullptr && i < ends->size(); ++i) (*ends)[i] += begin;
  }
}

}  // namespace

struct Tokenizer::Impl {
  std::optional<BpeModel> bpe;
  PreTokenizer pre_tokenizer;
  std::vector<const icu::Normalizer2*> normalizers;
  AddedTokenMatcher raw_tokens, normalized_tokens;
  std::vector<int32_t> before, after;
  std::vector<std::string> tokens;  // by id, as written in tokenizer.json
  std::vector<std::string> bytes;   // by id, as decoded
  std::vector<bool> special;
  StringIndex ids;  // of `tokens`
  std::string bos_token, eos_token, chat_template;
  std::optional<int32_t> bos, eos, pad;

  Status AddTokens(const json& added, const formats::BpePieces& pieces);
  std::string_view TokenAt(int32_t id) const { return tokens[static_cast<size_t>(id)]; }
  int32_t IdOf(std::string_view token) const {  // or -1
    return ids.Find(token, [this](int32_t id) { return TokenAt(id); });
  }
  // `edits`, where given, gets one entry a normalizer.
  std::string Normalize(std::string_view text, std::vector<icu::Edits>* edits = nullptr) const;
  // Valid UTF-8. `is_text(begin, end)`: special tokens there are ordinary text. `ends`: see EncodeRendered,
  // or null.
  template <class IsText>
  void EncodeAll(std::string_view text, IsText&& is_text, std::vector<int32_t>* out,
                 std::vector<size_t>* ends) const;
  // `ends` of these two count from the start of `text`.
  void EncodeSegment(std::string_view text, bool skip_special, std::vector<int32_t>* out,
                     std::vector<size_t>* ends) const;
  void EncodePlain(std::string_view text, std::vector<int32_t>* out, std::vector<size_t>* ends) const;
};

Status Tokenizer::Impl::AddTokens(const json& added, const formats::BpePieces& pieces) {
  const int64_t limit = BpeModel::IdLimit(pieces.vocab.size() + added.size());
  int64_t size = 0;
  for (const auto& [token, id] : pieces.vocab) size = std::max(size, id + 1);
  std::vector<AddedToken> raw, normalized;
  for (const auto& entry : added) {
    AddedToken token;
    token.content = entry.at("content").get<std::string>();
    const json& number = entry.at("id");
    if (!number.is_number_integer())
      return Corrupt("added token '" + token.content + "' has id " + number.dump());
    const auto id = number.get<int64_t>();
    if (id < 0 || id >= limit)
      return Corrupt("added token '" + token.content + "' has id " + std::to_string(id));
    token.id = static_cast<int32_t>(id);
    token.single_word = entry.value("single_word", false);
    token.lstrip = entry.value("lstrip", false);
    token.rstrip = entry.value("rstrip", false);
    token.special = entry.value("special", false);
    token.normalized = entry.value("normalized", !token.special);
    size = std::max(size, id + 1);
    (token.normalized ? normalized : raw).push_back(std::move(token));
  }
  tokens.resize(static_cast<size_t>(size));
  bytes.resize(tokens.size());
  special.resize(tokens.size());
  for (const auto& [token, id] : pieces.vocab) tokens[static_cast<size_t>(id)] = token;
  for (auto* list : {&raw, &normalized}) {
    for (auto& token : *list) {
      tokens[static_cast<size_t>(token.id)] = token.content;
      special[static_cast<size_t>(token.id)] = token.special;
      if (token.normalized) token.content = Normalize(token.content);
    }
  }
  ids = StringIndex(tokens.size());
  for (size_t id = 0; id < tokens.size(); ++id) {
    if (!BytesOfToken(tokens[id], &bytes[id])) bytes[id] = tokens[id];
    if (!tokens[id].empty()) ids.Insert(static_cast<int32_t>(id), [this](int32_t i) { return TokenAt(i); });
  }
  raw_tokens = AddedTokenMatcher(std::move(raw));
  normalized_tokens = AddedTokenMatcher(std::move(normalized));
  return Ok();
}

std::string Tokenizer::Impl::Normalize(std::string_view text, std::vector<icu::Edits>* edits) const {
  std::string current(text);
  if (current.size() > INT32_MAX) return current;  // more than ICU takes in one go
  for (const auto* normalizer : normalizers) {
    std::string next;
    icu::StringByteSink<std::string> sink(&next, static_cast<int32_t>(current.size()));
    UErrorCode code = U_ZERO_ERROR;
    icu::Edits changes;
    normalizer->normalizeUTF8(0, icu::StringPiece(current.data(), static_cast<int32_t>(current.size())), sink,
                              edits == nullptr ? nullptr : &changes, code);
    if (U_FAILURE(code)) continue;
    current = std::move(next);
    if (edits != nullptr) edits->push_back(std::move(changes));
  }
  return current;
}

void Tokenizer::Impl::EncodePlain(std::string_view text, std::vector<int32_t>* out,
                                  std::vector<size_t>* ends) const {
  pre_tokenizer.ForEach(text, [&](std::string_view piece, std::ptrdiff_t begin) {
    const size_t first = out->size();
    bpe->Encode(piece, out);
    if (ends == nullptr) return;
    const std::ptrdiff_t done = begin + static_cast<std::ptrdiff_t>(piece.size());
    std::ptrdiff_t end = begin;
    for (size_t i = first; i < out->size(); ++i) {
      end += static_cast<std::ptrdiff_t>(bytes[static_cast<size_t>((*out)[i])].size());
      // A token that is nothing but an inserted space ends where it begins.
      const std::ptrdiff_t at = i + 1 == out->size() ? done : std::min(end, done);
      ends->push_back(static_cast<size_t>(std::max<std::ptrdiff_t>(at, 0)));
    }
  });
}

// Text without raw added tokens.
void Tokenizer::Impl::EncodeSegment(std::string_view text, bool skip_special, std::vector<int32_t>* out,
                                    std::vector<size_t>* ends) const {
  std::string changed;
  std::vector<icu::Edits> edits;
  const size_t first = ends == nullptr ? 0 : ends->size();
  if (!normalizers.empty() && !IsAscii(text))
    text = changed = Normalize(text, ends == nullptr ? nullptr : &edits);
  std::vector<AddedTokenMatcher::Part> parts;
  normalized_tokens.Split(
      text, [&](size_t, size_t) { return skip_special; }, &parts);
  EncodeParts(text, parts, out, ends, [&](std::string_view part) { EncodePlain(part, out, ends); });
  for (auto edit = edits.rbegin(); edit != edits.rend(); ++edit) {  // back to the text before normalization
    if (!edit->hasChanges()) continue;
    UErrorCode code = U_ZERO_ERROR;
    auto at = edit->getFineIterator();
    for (size_t i = first; i < ends->size(); ++i) {
      (*ends)[i] =
          static_cast<size_t>(at.sourceIndexFromDestinationIndex(static_cast<int32_t>((*ends)[i]), code));
    }
  }
}

template <class IsText>
void Tokenizer::Impl::EncodeAll(std::string_view text, IsText&& is_text, std::vector<int32_t>* out,
                                std::vector<size_t>* ends) const {
  std::vector<AddedTokenMatcher::Part> parts;
  raw_tokens.Split(text, is_text, &parts);
  EncodeParts(text, parts, out, ends, [&](std::string_view part) {
    const auto begin = static_cast<size_t>(part.data() - text.data());
    EncodeSegment(part, is_text(begin, begin + part.size()), out, ends);
  });
}

Result<Tokenizer> Tokenizer::FromJson(const json& tokenizer) {
  return FromFiles(
      {.tokenizer = tokenizer, .pieces = {}, .tokenizer_config = json::object(), .chat_template = ""});
}

Result<Tokenizer> Tokenizer::FromFiles(const formats::TokenizerFiles& files) {
  const json& top = files.tokenizer;
  if (!top.is_object() || !top.contains("model")) return Corrupt("has no 'model'");
  auto impl = std::make_shared<Impl>();
  try {
    const json added = top.value("added_tokens", json::array());
    if (!added.is_array()) return Corrupt("'added_tokens' is not a list");
    formats::BpePieces own;
    if (!files.pieces) {
      GF_TRY(own, PiecesOf(top["model"]));
    }
    const formats::BpePieces& pieces = files.pieces ? *files.pieces : own;
    GF_TRY(impl->bpe, BpeModel::Make(top["model"], pieces, added.size()));
    GF_TRY(impl->pre_tokenizer, PreTokenizer::FromJson(top.value("pre_tokenizer", json(nullptr))));
    GF_CHECK_OK(ReadNormalizers(top.value("normalizer", json(nullptr)), &impl->normalizers));
    GF_CHECK_OK(impl->AddTokens(added, pieces));
    GF_CHECK_OK(ReadPostProcessor(top.value("post_processor", json(nullptr)), impl->tokens.size(),
                                  &impl->before, &impl->after));
  } catch (const json::exception& e) {
    return Corrupt(e.what());
  }
  const auto id_of = [&](const std::string& token) -> std::optional<int32_t> {
    const int32_t id = impl->IdOf(token);
    return id < 0 ? std::nullopt : std::optional(id);
  };
  impl->bos_token = formats::TokenText(files.tokenizer_config, "bos_token");
  impl->eos_token = formats::TokenText(files.tokenizer_config, "eos_token");
  impl->bos = id_of(impl->bos_token);
  impl->eos = id_of(impl->eos_token);
  impl->pad = id_of(formats::TokenText(files.tokenizer_config, "pad_token"));
  impl->chat_template = files.chat_template;
  return Tokenizer(std::move(impl));
}

Result<Tokenizer> Tokenizer::FromModel(const std::filesystem::path& path) {
  GF_TRY(const formats::TokenizerFiles files, formats::ReadTokenizerFiles(path));
  auto tokenizer = FromFiles(files);
  if (tokenizer.ok()) return tokenizer;
  Error error = tokenizer.error();
  error.message = path.string() + ": " + error.message;
  return error;
}

void Tokenizer::EncodeTo(std::string_view text, const EncodeOptions& options,
                         std::vector<int32_t>* ids) const {
  std::string repaired;
  if (!IsUtf8(text)) text = repaired = ReplaceInvalidUtf8(text);
  const bool skip_special = !options.parse_special;
  if (options.add_special) ids->insert(ids->end(), impl_->before.begin(), impl_->before.end());
  impl_->EncodeAll(
      text, [&](size_t, size_t) { return skip_special; }, ids, nullptr);
  if (options.add_special) ids->insert(ids->end(), impl_->after.begin(), impl_->after.end());
}

std::vector<int32_t> Tokenizer::Encode(std::string_view text, const EncodeOptions& options) const {
  std::vector<int32_t> ids;
  ids.reserve(text.size() / 3 + 8);
  EncodeTo(text, options, &ids);
  return ids;
}

std::vector<int32_t> Tokenizer::EncodeRendered(std::string_view text, const std::vector<TextRange>& literal,
                                               std::vector<size_t>* ends) const {
  std::vector<int32_t> ids;
  ids.reserve(text.size() / 3 + 8);
  if (!IsUtf8(text)) {  // offsets would shift: the parts are repaired one by one
    std::string repaired;
    std::vector<TextRange> ranges;
    size_t at = 0;
    for (const auto& range : literal) {
      repaired += ReplaceInvalidUtf8(text.substr(at, range.begin - at));
      const size_t begin = repaired.size();
      repaired += ReplaceInvalidUtf8(text.substr(range.begin, range.end - range.begin));
      ranges.push_back({begin, repaired.size()});
      at = range.end;
    }
    repaired += ReplaceInvalidUtf8(text.substr(at));
    return EncodeRendered(repaired, ranges, ends);
  }
  const auto touches_literal = [&](size_t begin, size_t end) {
    const auto next = std::partition_point(literal.begin(), literal.end(),
                                           [&](const TextRange& range) { return range.end <= begin; });
    return next != literal.end() && next->begin < end;
  };
  impl_->EncodeAll(text, touches_literal, &ids, ends);
  return ids;
}

std::optional<Tokenizer::SpecialMatch> Tokenizer::FindSpecial(std::string_view text, size_t from) const {
  if (from > text.size()) return std::nullopt;
  std::optional<SpecialMatch> best;
  for (const auto* matcher : {&impl_->raw_tokens, &impl_->normalized_tokens}) {
    const auto part = matcher->FirstSpecial(text.substr(from));
    if (!part) continue;
    const size_t begin = static_cast<size_t>(part->text.data() - text.data());
    if (!best || begin < best->range.begin) best = SpecialMatch{part->id, {begin, begin + part->text.size()}};
  }
  return best;
}

std::string Tokenizer::Decode(const std::vector<int32_t>& ids, const DecodeOptions& options) const {
  std::string out;
  for (const int32_t id : ids) {
    if (!(options.skip_special && IsSpecial(id))) out += TokenBytes(id);
  }
  return out;
}

std::string_view Tokenizer::TokenBytes(int32_t id) const {
  return id >= 0 && id < vocab_size() ? std::string_view(impl_->bytes[static_cast<size_t>(id)])
                                      : std::string_view();
}

std::optional<int32_t> Tokenizer::IdOf(std::string_view token) const {
  const int32_t id = impl_->IdOf(token);
  return id < 0 ? std::nullopt : std::optional(id);
}

std::string_view Tokenizer::TokenOf(int32_t id) const {
  return id >= 0 && id < vocab_size() ? std::string_view(impl_->tokens[static_cast<size_t>(id)])
                                      : std::string_view();
}

bool Tokenizer::IsSpecial(int32_t id) const {
  return id >= 0 && id < vocab_size() && impl_->special[static_cast<size_t>(id)];
}
int32_t Tokenizer::vocab_size() const { return static_cast<int32_t>(impl_->tokens.size()); }
std::optional<int32_t> Tokenizer::bos_id() const { return impl_->bos; }
std::optional<int32_t> Tokenizer::eos_id() const { return impl_->eos; }
std::optional<int32_t> Tokenizer::pad_id() const { return impl_->pad; }
const std::string& Tokenizer::chat_template() const { return impl_->chat_template; }
std::string_view Tokenizer::bos_token() const { return impl_->bos_token; }
std::string_view Tokenizer::eos_token() const { return impl_->eos_token; }

}  // namespace genflow::text
