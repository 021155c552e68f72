#include "data/clean.h"

#include <algorithm>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/strings.h"
#include "data/fields.h"
#include "data/json_quote.h"
#include "data/redact.h"
#include "text/numbers.h"
#include "text/pattern.h"

namespace genflow::data {
namespace {

using nlohmann::json;

constexpr size_t kSamples = 5;  // a reason
constexpr size_t kSampleBytes = 300;

template <class F>
Status ForEachText(AnyRow* row, F&& f) {
  if (auto* text = std::get_if<TextRow>(row)) return f(&text->text);
  if (auto* chat = std::get_if<MessagesRow>(row)) {
    for (auto& message : chat->messages) GF_CHECK_OK(f(&message.content));
    return Ok();
  }
  auto& pair = std::get<PreferenceRow>(*row);
  GF_CHECK_OK(f(&pair.prompt));
  GF_CHECK_OK(f(&pair.chosen));
  return f(&pair.rejected);
}

std::string CutSample(const std::string& text) {
  if (text.size() <= kSampleBytes) return text;
  size_t end = kSampleBytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end) + "…";
}

// The error of the option `name`.
Error In(const std::string& name, Error error) {
  error.message = name + ": " + error.message;
  return error;
}

Result<std::vector<text::Pattern>> CompileAll(const std::string& name,
                                              const std::vector<std::string>& patterns) {
  std::vector<text::Pattern> out;
  for (size_t i = 0; i < patterns.size(); ++i) {
    auto pattern = text::Pattern::Compile(patterns[i]);
    if (!pattern.ok()) return In(name + "[" + std::to_string(i) + "]", std::move(pattern).error());
    out.push_back(*std::move(pattern));
  }
  return out;
}

// Why a row goes; an empty reason keeps it.
struct Verdict {
  std::string reason, detail;
};

class Cleaner {
 public:
  static Result<Cleaner> Create(const CleanOptions& options) {
    auto redactor = Redactor::Create(options.redact);
    if (!redactor.ok()) return In("redact", std::move(redactor).error());
    Cleaner out(options, *std::move(redactor));
    GF_TRY(out.drop_, CompileAll("drop_patterns", options.drop_patterns));
    GF_TRY(out.require_, CompileAll("require_patterns", options.require_patterns));
    GF_TRY(out.drop_ids_, CompileAll("drop_ids", options.drop_ids));
    if (options.near) out.near_ = std::make_unique<NearTexts>(*options.near);
    return out;
  }

  // Changes the row in place and says whether it stays.
  Result<Verdict> Clean(AnyRow* row, CleanStats* stats) {
    bool changed = false;
    std::map<std::string, uint64_t> redacted;
    GF_CHECK_OK(ForEachText(row, [&](std::string* text) -> Status {
      std::string cleaned = Normalize(*text, options_.normalize);
      GF_CHECK_OK(redactor_.Apply(&cleaned, &redacted));
      changed = changed || cleaned != *text;
      *text = std::move(cleaned);
      return Ok();
    }));
    if (!options_.redact.empty()) {
      GF_TRY(const bool meta_changed, RedactMeta(row, &redacted));
      changed = changed || meta_changed;
    }
    content_ = ContentOf(*row);
    GF_TRY(Verdict verdict, Filter(*row));
    if (verdict.reason.empty()) verdict = Repeats(*row);
    if (!verdict.reason.empty()) return verdict;
    for (const auto& [kind, count] : redacted) stats->redacted[kind] += count;
    stats->changed += changed ? 1 : 0;
    return verdict;
  }

  // Text of the row cleaned last.
  const std::string& content() const { return content_; }

 private:
  Cleaner(const CleanOptions& options, Redactor redactor)
      : options_(options), redactor_(std::move(redactor)) {}

  // Redacts the strings of the row's meta, keys aside; every other byte stays. Whether anything changed.
  Result<bool> RedactMeta(AnyRow* row, std::map<std::string, uint64_t>* redacted) const {
    std::string& meta = std::visit([](auto& r) -> std::string& { return r.meta_json; }, *row);
    std::string out;
    size_t done = 0, end = 0;
    for (size_t at = meta.find('"'); at != std::string::npos; at = meta.find('"', end)) {
      end = at + 1;
      while (end < meta.size() && meta[end] != '"') end += meta[end] == '\\' ? 2 : 1;
      end = std::min(end + 1, meta.size());
      const size_t next = meta.find_first_not_of(" \t\r\n", end);
      if (next != std::string::npos && meta[next] == ':') continue;
      const json literal = json::parse(meta.begin() + static_cast<std::ptrdiff_t>(at),
                                       meta.begin() + static_cast<std::ptrdiff_t>(end), nullptr, false);
      if (!literal.is_string()) continue;
      std::string text = literal.get<std::string>();
      GF_CHECK_OK(redactor_.Apply(&text, redacted));
      if (text == literal.get_ref<const std::string&>()) continue;
      out.append(meta, done, at - done);
      AppendQuoted(text, &out);
      done = end;
    }
    if (done == 0) return false;
    out.append(meta, done);
    meta = std::move(out);
    return true;
  }

  Result<Verdict> Filter(const AnyRow& row) const {
    const TextNumbers numbers = Measure(content_);
    if (numbers.characters < options_.min_chars) {
      return Verdict{"too_short", std::to_string(numbers.characters) + " characters"};
    }
    if (options_.max_chars > 0 && numbers.characters > options_.max_chars) {
      return Verdict{"too_long", std::to_string(numbers.characters) + " characters"};
    }
    if (numbers.words < options_.min_words)
      return Verdict{"too_few_words", std::to_string(numbers.words) + " words"};
    if (options_.ascii_only && !numbers.ascii) return Verdict{"not_ascii", ""};
    if (options_.min_alpha > 0) {
      const double share = numbers.not_spaces == 0 ? 0
                                                   : static_cast<double>(numbers.letters) /
                                                         static_cast<double>(numbers.not_spaces);
      if (share < options_.min_alpha) return Verdict{"few_letters", text::Percent(share) + " letters"};
    }
    for (const auto& pattern : drop_ids_) {
      GF_TRY(const auto match, pattern.Find(IdOf(row)));
      if (match) return Verdict{"id_pattern", pattern.text()};
    }
    for (const auto& pattern : drop_) {
      GF_TRY(const auto match, pattern.Find(content_));
      if (match) return Verdict{"pattern", pattern.text()};
    }
    for (const auto& pattern : require_) {
      GF_TRY(const auto match, pattern.Find(content_));
      if (!match) return Verdict{"lacks_pattern", pattern.text()};
    }
    if (options_.max_repeated_lines < 1) {
      const double share = RepeatedLineShare(content_);
      if (share > options_.max_repeated_lines)
        return Verdict{"repeated_lines", text::Percent(share) + " of the text"};
    }
    if (options_.max_repeated_words < 1) {
      const double share = RepeatedWordShare(content_);
      if (share > options_.max_repeated_words)
        return Verdict{"repeated_words", text::Percent(share) + " of the text"};
    }
    return Verdict{};
  }

  Verdict Repeats(const AnyRow& row) {
    std::optional<std::string> value;
    if (!options_.unique_by.empty()) {
      fields_->Set(row);
      value = fields_->Get(options_.unique_by);
      if (value && values_.Contains(*value)) return {"not_unique", options_.unique_by + " " + *value};
    }
    Verdict verdict = Copies(row);
    // Only a row that stays has its value for itself.
    if (value && verdict.reason.empty()) values_.Insert(*value);
    return verdict;
  }

  Verdict Copies(const AnyRow& row) {
    if (!options_.dedup && !near_) return {};
    const std::string key = DedupKey(content_);
    // Text without any letter or digit is compared as it is.
    if (options_.dedup && !texts_.Insert(key.empty() ? content_ : key)) return {"duplicate", ""};
    if (near_) {
      if (const int64_t of = near_->FindOrInsert(key); of >= 0) {
        return {"near_duplicate", "of row '" + near_ids_[static_cast<size_t>(of)] + "'"};
      }
      if (!key.empty()) near_ids_.push_back(IdOf(row));
    }
    return {};
  }

  const CleanOptions& options_;
  Redactor redactor_;
  std::vector<text::Pattern> drop_, require_, drop_ids_;
  std::unique_ptr<FieldReader> fields_ = std::make_unique<FieldReader>();
  SeenTexts values_, texts_;
  std::unique_ptr<NearTexts> near_;
  std::vector<std::string> near_ids_;
  std::string content_;
};

}  // namespace

Status CheckClean(const CleanOptions& options) {
  GF_CHECK_OK(Cleaner::Create(options));
  return Ok();
}

Result<CleanStats> CleanDataset(const std::filesystem::path& from, const CleanOptions& options,
                                const std::filesystem::path& folder,
                                const std::function<bool(uint64_t done, uint64_t total)>& progress) {
  GF_TRY(Cleaner cleaner, Cleaner::Create(options));
  GF_TRY(DatasetReader reader, DatasetReader::Open(from));
  if (!options.unique_by.empty()) GF_CHECK_OK(CheckFieldPath(options.unique_by, reader.kind()));
  GF_TRY(DatasetWriter writer, DatasetWriter::Create(folder, reader.kind()));
  CleanStats stats;
  stats.characters_in = reader.info().characters;
  AnyRow row;
  while (true) {
    GF_TRY(const bool more, reader.Next(&row));
    if (!more) break;
    if (++stats.rows_in % 512 == 0 && progress && !progress(stats.rows_in, reader.rows())) {
      return MakeError(Code::kInterrupted, "cleaning was interrupted");
    }
    GF_TRY(Verdict verdict, cleaner.Clean(&row, &stats));
    if (verdict.reason.empty()) {
      GF_CHECK_OK(writer.Append(row));
      continue;
    }
    ++stats.dropped[verdict.reason];
    if (auto& samples = stats.samples[verdict.reason]; samples.size() < kSamples) {
      samples.push_back({IdOf(row), CutSample(cleaner.content()), std::move(verdict.detail)});
    }
  }
  stats.rows_out = writer.rows();
  if (stats.rows_out == 0) {
    std::vector<std::string> reasons;
    for (const auto& [reason, count] : stats.dropped) {
      reasons.push_back(WithCommas(static_cast<int64_t>(count)) + " " + reason);
    }
    if (reasons.empty()) return InvalidError("the dataset has no rows");
    return InvalidError("no row is left (" + Join(reasons, ", ") + ")",
                        "loosen the filter that took most of them");
  }
  GF_TRY(const DatasetInfo info, writer.Finish());
  stats.characters_out = info.characters;
  return stats;
}

}  // namespace genflow::data
