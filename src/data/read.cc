#include "data/read.h"

#include <fnmatch.h>
#include <simdjson.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <system_error>
#include <utility>

#include "base/strings.h"
#include "data/byte_source.h"
#include "data/csv.h"
#include "data/man_page.h"
#include "data/parquet_rows.h"
#include "data/stable_hash.h"

namespace genflow::data {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxJsonFile = 1ull << 30;
constexpr uint64_t kMaxTextFile = 256ull << 20;
constexpr uint64_t kMaxManPage = 16ull << 20;
constexpr size_t kMaxProblems = 20;
constexpr uint64_t kProgressRows = 512;

Status CheckCompression(const fs::path& file) {
  const std::string ending = ToLowerAscii(file.extension().string());
  if (ending != ".xz" && ending != ".bz2") return Ok();
  return InvalidError("'" + file.string() + "' is compressed with " + (ending == ".xz" ? "xz" : "bzip2") +
                          ", which cannot be read",
                      "unpack it, or pack it as .gz or .zst");
}

Result<Format> FormatOf(const fs::path& file) {
  std::string name = ToLowerAscii(file.filename().string());
  for (const std::string_view packed : {".gz", ".zst"}) {
    if (name.ends_with(packed)) name.resize(name.size() - packed.size());
  }
  static const std::map<std::string_view, Format> kByEnding = {
      {".jsonl", Format::kJsonl}, {".ndjson", Format::kJsonl}, {".json", Format::kJson},
      {".csv", Format::kCsv},     {".tsv", Format::kCsv},      {".parquet", Format::kParquet},
      {".txt", Format::kText},    {".md", Format::kText},      {".rst", Format::kText},
      {".text", Format::kText}};
  const size_t dot = name.rfind('.');
  if (dot != std::string::npos) {
    if (const auto found = kByEnding.find(std::string_view(name).substr(dot)); found != kByEnding.end()) {
      return found->second;
    }
  }
  if (ParseManFileName(name)) return Format::kMan;
  return InvalidError("cannot tell the format of '" + file.string() + "' by its name",
                      "set format to jsonl, json, csv, parquet, text or man");
}

// The deepest folder that all files are in, so that row sources do not depend on where the workspace lies.
fs::path CommonFolder(const std::vector<fs::path>& files) {
  fs::path common = files.front().parent_path();
  for (const auto& file : files) {
    const fs::path folder = file.parent_path();
    const auto stop = std::mismatch(common.begin(), common.end(), folder.begin(), folder.end()).first;
    fs::path shared;
    for (auto part = common.begin(); part != stop; ++part) shared /= *part;
    common = shared;
  }
  return common;
}

bool SectionWanted(const std::vector<std::string>& sections, const std::string& section) {
  if (sections.empty()) return true;
  return std::any_of(sections.begin(), sections.end(), [&](const std::string& want) {
    return want == section || (want.size() == 1 && section.starts_with(want));
  });
}

class FilesReader {
 public:
  FilesReader(const ReadOptions& options, const fs::path& folder, const ReadProgress& progress)
      : options_(options), folder_(folder), progress_(progress), mapper_(options.records) {}

  Result<ReadStats> Read(const std::vector<fs::path>& given) {
    std::vector<fs::path> files;
    for (const auto& file : given) {
      const std::string name = file.filename().string();
      const bool excluded =
          std::any_of(options_.exclude.begin(), options_.exclude.end(),
                      [&](const std::string& p) { return fnmatch(p.c_str(), name.c_str(), 0) == 0; });
      if (!excluded) files.push_back(file);
    }
    if (files.empty()) return InvalidError("there are no files to read");
    std::vector<uint64_t> sizes;
    for (const auto& file : files) {
      std::error_code ec;
      sizes.push_back(fs::file_size(file, ec));
      if (ec) return ErrnoError("cannot read '" + file.string() + "'", ec.value());
      total_ += sizes.back();
    }
    const fs::path common = CommonFolder(files);
    for (size_t i = 0; i < files.size(); ++i) {
      file_ = files[i].string();
      source_ = files[i].lexically_relative(common).generic_string();
      GF_CHECK_OK(CheckCompression(files[i]));
      Format format = options_.format;
      if (format == Format::kAuto) {
        GF_TRY(format, FormatOf(files[i]));
      }
      GF_CHECK_OK(ReadFile(files[i], format));
      stats_.bytes += sizes[i];
      ++stats_.files;
      if (i % 64 == 0 || i + 1 == files.size()) GF_CHECK_OK(Report(0));
    }
    return Finish();
  }

 private:
  Status ReadFile(const fs::path& file, Format format) {
    switch (format) {
      case Format::kJsonl:
        return ReadJsonl(file);
      case Format::kJson:
        return ReadJson(file);
      case Format::kCsv:
        return ReadCsv(file);
      case Format::kParquet:
        return ReadParquet(file);
      case Format::kText:
        return ReadText(file);
      case Format::kMan:
        return ReadMan(file);
      case Format::kAuto:
        break;
    }
    return Ok();
  }

  Status ReadJsonl(const fs::path& file) {
    GF_TRY(auto source, ByteSource::Open(file));
    LineReader lines(source.get(), file_);
    std::string_view line;
    while (true) {
      GF_TRY(const bool more, lines.Next(&line));
      if (!more) return Ok();
      if (lines.line() == 1 && line.starts_with("\xEF\xBB\xBF")) line.remove_prefix(3);
      if (Trim(line).empty()) continue;
      GF_CHECK_OK(PutRecord(line, lines.line()));
      GF_CHECK_OK(Tick(source->consumed()));
    }
  }

  // One array of records, one record, or records one after the other.
  Status ReadJson(const fs::path& file) {
    GF_TRY(std::string text, ReadAll(file, kMaxJsonFile));
    simdjson::dom::parser parser;
    simdjson::dom::element root;
    if (const auto error = parser.parse(text).get(root); error != simdjson::SUCCESS) {
      return InvalidError(file_ + ": not valid JSON: " + simdjson::error_message(error),
                          "if each line is a record of its own, set format to jsonl");
    }
    simdjson::dom::array items;
    if (root.get(items) != simdjson::SUCCESS) return PutRecordText(simdjson::minify(root), 1);
    uint64_t index = 0;
    for (const simdjson::dom::element item : items) {
      GF_CHECK_OK(PutRecordText(simdjson::minify(item), ++index));
      GF_CHECK_OK(Tick(0));
    }
    return Ok();
  }

  Status ReadCsv(const fs::path& file) {
    GF_TRY(auto source, ByteSource::Open(file));
    LineReader lines(source.get(), file_, CsvReader::kMaxRecord);
    CsvReader csv(&lines, options_.csv_delimiter);
    std::vector<std::string> header, fields;
    // Without the header no record can be read, so that it is never skipped.
    auto named = csv.Next(&header);
    if (!named.ok() && named.error().code == Code::kInvalid) return At(csv.line(), std::move(named).error());
    if (!named.ok()) return std::move(named).error();
    if (!*named) return Ok();
    for (const auto& name : header) {
      if (!simdjson::validate_utf8(name)) return At(csv.line(), InvalidError("the header is not UTF-8"));
    }
    while (true) {
      auto more = csv.Next(&fields);
      if (!more.ok()) {
        if (more.error().code != Code::kInvalid) return std::move(more).error();
        GF_CHECK_OK(Bad(csv.line(), std::move(more).error()));
        continue;
      }
      if (!*more) return Ok();
      auto record = CsvRecordJson(header, fields);
      if (!record.ok()) {
        GF_CHECK_OK(Bad(csv.line(), std::move(record).error()));
        continue;
      }
      GF_CHECK_OK(PutRecordText(*std::move(record), csv.line()));
      GF_CHECK_OK(Tick(source->consumed()));
    }
  }

  Status ReadParquet(const fs::path& file) {
    GF_TRY(auto rows, ParquetRows::Open(file));
    std::string record;
    for (uint64_t number = 1;; ++number) {
      GF_TRY(const bool more, rows->Next(&record));
      if (!more) return Ok();
      GF_CHECK_OK(PutRecordText(record, number));
      GF_CHECK_OK(Tick(0));
    }
  }

  Status ReadText(const fs::path& file) {
    if (options_.text_unit == TextUnit::kFile) {
      GF_TRY(std::string text, ReadAll(file, kMaxTextFile));
      return PutText(std::move(text), 0);
    }
    GF_TRY(auto source, ByteSource::Open(file));
    LineReader lines(source.get(), file_);
    std::string_view line;
    std::string paragraph;
    uint64_t first = 0;
    while (true) {
      GF_TRY(const bool more, lines.Next(&line));
      const bool blank = !more || Trim(line).empty();
      if (options_.text_unit == TextUnit::kLine) {
        if (!blank) GF_CHECK_OK(PutText(std::string(line), lines.line()));
      } else if (blank) {
        if (!paragraph.empty()) GF_CHECK_OK(PutText(std::move(paragraph), first));
        paragraph.clear();
      } else {
        if (paragraph.empty()) first = lines.line();
        if (!paragraph.empty()) paragraph += '\n';
        paragraph += line;
      }
      if (!more) return Ok();
      GF_CHECK_OK(Tick(source->consumed()));
    }
  }

  Status ReadMan(const fs::path& file) {
    const auto name = ParseManFileName(file.filename().string());
    if (!name) return Bad(0, InvalidError("the file's name has no manual section"));
    if (!SectionWanted(options_.sections, name->section)) return Ok();
    auto source = ReadAll(file, kMaxManPage);
    if (!source.ok()) {
      if (!options_.skip_bad) return std::move(source).error();
      return Skip(source.error().message);
    }
    auto parsed = ParseManPage(*source, *name);
    // Pages without a NAME line are common enough that they are no reason to fail.
    if (!parsed.ok()) return Skip(file_ + ": " + parsed.error().message);
    if (!parsed->has_value()) {
      ++stats_.links;
      return Ok();
    }
    ManPage& page = **parsed;
    TextRow row;
    row.id = page.name + "(" + page.section + ")";
    if (!pages_seen_.insert(row.id).second) {
      ++stats_.links;
      return Ok();
    }
    row.text = std::move(page.description);
    row.source = source_;
    const nlohmann::ordered_json meta = {
        {"name", page.name}, {"section", page.section}, {"names", page.names}, {"paragraph", page.paragraph}};
    row.meta_json = meta.dump();
    return Put(std::move(row));
  }

  Status PutText(std::string text, uint64_t line) {
    if (!simdjson::validate_utf8(text)) return Bad(line, InvalidError("the text is not UTF-8"));
    return Put(TextRow{Position(line), std::move(text), source_, "{}"});
  }
  Status PutRecordText(std::string record, uint64_t line) {
    record.append(LineReader::kPadding, '\0');
    return PutRecord(std::string_view(record).substr(0, record.size() - LineReader::kPadding), line);
  }
  // A record that is followed by padding.
  Status PutRecord(std::string_view record, uint64_t line) {
    AnyRow row;
    auto status = mapper_.Map(record, source_, Position(line), &row);
    if (!status.ok()) return Bad(line, std::move(status).error());
    return Put(std::move(row));
  }

  std::string Position(uint64_t line) const {
    return line == 0 ? source_ : source_ + ":" + std::to_string(line);
  }

  // The error with the place in the file being read.
  Error At(uint64_t line, Error error) const {
    error.message = file_ + ":" + (line > 0 ? std::to_string(line) + ": " : " ") + error.message;
    return error;
  }
  // A malformed record: an error, or counted.
  Status Bad(uint64_t line, Error error) {
    error = At(line, std::move(error));
    if (options_.skip_bad) return Skip(error.message);
    if (error.hint.empty()) error.hint = "on_error: skip leaves such records out";
    return error;
  }
  Status Skip(const std::string& message) {
    ++stats_.skipped;
    if (stats_.problems.size() < kMaxProblems) stats_.problems.push_back(message);
    return Ok();
  }

  Status Put(AnyRow row) {
    if (!options_.limit) return Write(row);
    // The rows kept so far, by hash; the last one goes when there are too many.
    std::string id = IdOf(row);
    const uint64_t hash = StableHash(id);
    kept_.emplace(std::pair(hash, std::move(id)), std::move(row));
    if (kept_.size() > *options_.limit) kept_.erase(std::prev(kept_.end()));
    return Ok();
  }

  Status Write(const AnyRow& row) {
    if (!writer_) {
      GF_TRY(writer_, DatasetWriter::Create(folder_, KindOf(row)));
    }
    return writer_->Append(row);
  }

  Result<ReadStats> Finish() {
    for (const auto& [key, row] : kept_) GF_CHECK_OK(Write(row));
    if (!writer_) {
      if (!stats_.problems.empty()) {
        return InvalidError("no row could be read from " + std::to_string(stats_.files) +
                            " files; the first reason: " + stats_.problems.front());
      }
      return InvalidError("the files hold no rows");
    }
    stats_.rows = writer_->rows();
    GF_CHECK_OK(writer_->Finish());
    return std::move(stats_);
  }

  Status Tick(uint64_t consumed) {
    if (++ticks_ % kProgressRows != 0) return Ok();
    return Report(consumed);
  }
  Status Report(uint64_t consumed) const {
    if (!progress_ || progress_(stats_.bytes + consumed, total_)) return Ok();
    return MakeError(Code::kInterrupted, "reading was interrupted");
  }

  const ReadOptions& options_;
  const fs::path& folder_;
  const ReadProgress& progress_;
  RecordMapper mapper_;
  std::optional<DatasetWriter> writer_;
  ReadStats stats_;
  uint64_t total_ = 0, ticks_ = 0;
  std::string file_;    // the file being read, as messages name it
  std::string source_;  // the same below the common folder
  std::set<std::string> pages_seen_;
  std::multimap<std::pair<uint64_t, std::string>, AnyRow> kept_;
};

}  // namespace

std::optional<Format> FormatFromName(std::string_view name) {
  static const std::map<std::string_view, Format> kFormats = {
      {"auto", Format::kAuto}, {"jsonl", Format::kJsonl},     {"json", Format::kJson},
      {"csv", Format::kCsv},   {"parquet", Format::kParquet}, {"text", Format::kText},
      {"man", Format::kMan}};
  const auto found = kFormats.find(name);
  return found == kFormats.end() ? std::nullopt : std::optional(found->second);
}

Result<ReadStats> ReadFiles(const std::vector<fs::path>& files, const ReadOptions& options,
                            const fs::path& folder, const ReadProgress& progress) {
  return FilesReader(options, folder, progress).Read(files);
}

}  // namespace genflow::data
