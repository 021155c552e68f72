#include "data/dataset.h"

#include <simdjson.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "base/files.h"
#include "data/parquet_shard.h"

namespace genflow::data {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kManifestFile = "manifest.json";
constexpr const char* kFormatName = "genflow.dataset";
constexpr int kFormatVersion = 1;
constexpr uint64_t kMaxRowBytes = 1ull << 30;

uint64_t CountCharacters(std::string_view utf8) {
  return static_cast<uint64_t>(std::count_if(
      utf8.begin(), utf8.end(), [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; }));
}

std::string ShardName(size_t index) {
  char name[32];
  std::snprintf(name, sizeof name, "part-%05zu.parquet", index);
  return name;
}

std::string ManifestText(const DatasetInfo& info) {
  json shards = json::array();
  for (const auto& shard : info.shards) {
    shards.push_back({{"file", shard.file}, {"rows", shard.rows}, {"bytes", shard.bytes}});
  }
  json statistics = {{"characters", info.characters}};
  if (info.kind == Kind::kMessages) {
    statistics["messages"] = info.messages;
    statistics["roles"] = info.roles;
  }
  const json manifest = {{"format", kFormatName},       {"format_version", info.format_version},
                         {"kind", KindName(info.kind)}, {"rows", info.rows},
                         {"bytes", info.bytes},         {"schema", SchemaText(info.kind)},
                         {"statistics", statistics},    {"shards", shards}};
  return manifest.dump(2) + "\n";
}

// Throws json::exception where the text lacks what a manifest has.
DatasetInfo ParseManifest(const std::string& text) {
  const json manifest = json::parse(text);
  DatasetInfo info;
  if (manifest.at("format").get<std::string>() != kFormatName) {
    throw json::other_error::create(501, "'format' is not \"" + std::string(kFormatName) + "\"", nullptr);
  }
  info.format_version = manifest.at("format_version").get<int>();
  if (info.format_version > kFormatVersion) return info;
  const auto kind = KindFromName(manifest.at("kind").get<std::string>());
  if (!kind) throw json::other_error::create(501, "'kind' is none of text, messages, preference", nullptr);
  info.kind = *kind;
  info.rows = manifest.at("rows").get<uint64_t>();
  info.bytes = manifest.at("bytes").get<uint64_t>();
  const json& statistics = manifest.at("statistics");
  info.characters = statistics.at("characters").get<uint64_t>();
  if (info.kind == Kind::kMessages) {
    info.messages = statistics.at("messages").get<uint64_t>();
    info.roles = statistics.at("roles").get<std::map<std::string, uint64_t>>();
  }
  uint64_t rows = 0;
  for (const json& item : manifest.at("shards")) {
    DatasetInfo::Shard shard{item.at("file").get<std::string>(), item.at("rows").get<uint64_t>(),
                             item.at("bytes").get<uint64_t>()};
    if (shard.file != fs::path(shard.file).filename()) {
      throw json::other_error::create(501, "shard '" + shard.file + "' is not a file name", nullptr);
    }
    rows += shard.rows;
    info.shards.push_back(std::move(shard));
  }
  if (rows != info.rows)
    throw json::other_error::create(501, "its shards' rows do not add up to 'rows'", nullptr);
  return info;
}

std::string InFolder(const fs::path& folder) { return "dataset '" + folder.string() + "'"; }

Error WrongKind(const fs::path& folder, Kind have, Kind want) {
  std::string hint;
  if (have == Kind::kText && want == Kind::kMessages) hint = "data.format turns text rows into messages";
  return InvalidError(
      InFolder(folder) + " holds " + KindName(have) + " rows where " + KindName(want) + " rows are wanted",
      hint);
}

}  // namespace

const char* KindName(Kind kind) {
  switch (kind) {
    case Kind::kText:
      return "text";
    case Kind::kMessages:
      return "messages";
    case Kind::kPreference:
      return "preference";
  }
  return "";
}

std::optional<Kind> KindFromName(std::string_view name) {
  for (const Kind kind : {Kind::kText, Kind::kMessages, Kind::kPreference}) {
    if (name == KindName(kind)) return kind;
  }
  return std::nullopt;
}

const std::string& IdOf(const AnyRow& row) {
  return std::visit([](const auto& r) -> const std::string& { return r.id; }, row);
}
const std::string& MetaOf(const AnyRow& row) {
  return std::visit([](const auto& r) -> const std::string& { return r.meta_json; }, row);
}

// ---------------------------------------------------------------------------------------------- writer

struct DatasetWriter::Impl {
  fs::path folder;
  WriterOptions options;
  DatasetInfo info;
  std::unique_ptr<ShardWriter> shard;
  uint64_t shard_rows = 0, shard_data = 0, group_data = 0;
  simdjson::dom::parser parser;

  Error BadRow(const std::string& id, const std::string& what) const {
    return InvalidError("row " + std::to_string(info.rows) + " ('" + id + "') of " + InFolder(folder) + " " +
                        what);
  }

  Status CheckUtf8(const std::string& id, const char* column, const std::string& text) const {
    if (simdjson::validate_utf8(text)) return Ok();
    return BadRow(simdjson::validate_utf8(id) ? id : "?",
                  std::string("has a ") + column + " that is not UTF-8");
  }

  Status CheckCommon(Kind kind, const std::string& id, const std::string& meta) {
    if (kind != info.kind) {
      return InvalidError("a " + std::string(KindName(kind)) + " row does not fit into " + InFolder(folder) +
                          " of " + KindName(info.kind) + " rows");
    }
    GF_CHECK_OK(CheckUtf8(id, "id", id));
    if (meta == "{}") return Ok();
    if (auto parsed = parser.parse(meta); parsed.error() != simdjson::SUCCESS || !parsed.is_object()) {
      return BadRow(id, "has a meta that is not a JSON object");
    }
    return Ok();
  }

  Status EnsureShard() {
    if (shard != nullptr) return Ok();
    GF_TRY(shard,
           ShardWriter::Create(folder / ShardName(info.shards.size()), info.kind, options.compression_level));
    return Ok();
  }

  Status CloseShard() {
    GF_TRY(const uint64_t bytes, shard->Close());
    info.shards.push_back({ShardName(info.shards.size()), shard_rows, bytes});
    info.bytes += bytes;
    shard.reset();
    shard_rows = shard_data = group_data = 0;
    return Ok();
  }

  // Writes a checked row of `data` bytes.
  template <class Row>
  Status Put(const Row& row, uint64_t data) {
    if (data > kMaxRowBytes) return BadRow(row.id, "is larger than 1 GiB");
    GF_CHECK_OK(EnsureShard());
    GF_CHECK_OK(shard->Append(row));
    ++shard_rows;
    ++info.rows;
    group_data += data;
    shard_data += data;
    if (shard_data >= options.shard_bytes) return CloseShard();
    if (group_data >= options.row_group_bytes) {
      group_data = 0;
      return shard->Flush();
    }
    return Ok();
  }
};

DatasetWriter::DatasetWriter(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
DatasetWriter::DatasetWriter(DatasetWriter&&) noexcept = default;
DatasetWriter& DatasetWriter::operator=(DatasetWriter&&) noexcept = default;
DatasetWriter::~DatasetWriter() = default;

Result<DatasetWriter> DatasetWriter::Create(const fs::path& folder, Kind kind, WriterOptions options) {
  GF_CHECK_OK(MakeDirectories(folder));
  std::error_code ec;
  const bool empty = fs::is_empty(folder, ec);
  if (ec) return ErrnoError("cannot read '" + folder.string() + "'", ec.value());
  if (!empty) {
    return InvalidError("cannot make a dataset in '" + folder.string() + "': the folder is not empty");
  }
  auto impl = std::make_unique<Impl>();
  impl->folder = folder;
  impl->options = options;
  impl->info.kind = kind;
  GF_CHECK_OK(impl->EnsureShard());
  return DatasetWriter(std::move(impl));
}

Status DatasetWriter::Append(const TextRow& row) {
  GF_CHECK_OK(impl_->CheckCommon(Kind::kText, row.id, row.meta_json));
  GF_CHECK_OK(impl_->CheckUtf8(row.id, "text", row.text));
  GF_CHECK_OK(impl_->CheckUtf8(row.id, "source", row.source));
  impl_->info.characters += CountCharacters(row.text);
  return impl_->Put(row, row.id.size() + row.text.size() + row.source.size() + row.meta_json.size());
}

Status DatasetWriter::Append(const MessagesRow& row) {
  GF_CHECK_OK(impl_->CheckCommon(Kind::kMessages, row.id, row.meta_json));
  uint64_t data = row.id.size() + row.meta_json.size();
  for (const auto& message : row.messages) {
    GF_CHECK_OK(impl_->CheckUtf8(row.id, "role", message.role));
    GF_CHECK_OK(impl_->CheckUtf8(row.id, "content", message.content));
    data += message.role.size() + message.content.size();
  }
  for (const auto& message : row.messages) {
    impl_->info.characters += CountCharacters(message.content);
    ++impl_->info.roles[message.role];
  }
  impl_->info.messages += row.messages.size();
  return impl_->Put(row, data);
}

Status DatasetWriter::Append(const PreferenceRow& row) {
  GF_CHECK_OK(impl_->CheckCommon(Kind::kPreference, row.id, row.meta_json));
  GF_CHECK_OK(impl_->CheckUtf8(row.id, "prompt", row.prompt));
  GF_CHECK_OK(impl_->CheckUtf8(row.id, "chosen", row.chosen));
  GF_CHECK_OK(impl_->CheckUtf8(row.id, "rejected", row.rejected));
  for (const auto* text : {&row.prompt, &row.chosen, &row.rejected}) {
    impl_->info.characters += CountCharacters(*text);
  }
  return impl_->Put(row, row.id.size() + row.prompt.size() + row.chosen.size() + row.rejected.size() +
                             row.meta_json.size());
}

Status DatasetWriter::Append(const AnyRow& row) {
  return std::visit([this](const auto& r) { return Append(r); }, row);
}

uint64_t DatasetWriter::rows() const { return impl_->info.rows; }

Result<DatasetInfo> DatasetWriter::Finish() {
  if (impl_->shard != nullptr) GF_CHECK_OK(impl_->CloseShard());
  GF_CHECK_OK(WriteFileAtomic(impl_->folder / kManifestFile, ManifestText(impl_->info)));
  return std::move(impl_->info);
}

// ---------------------------------------------------------------------------------------------- reader

struct DatasetReader::Impl {
  fs::path folder;
  DatasetInfo info;
  std::unique_ptr<ShardReader> shard;
  size_t next_shard = 0;
  uint64_t shard_rows = 0;  // read of the open shard

  template <class Row>
  Result<bool> Next(Row* row, Kind want) {
    if (want != info.kind) return WrongKind(folder, info.kind, want);
    while (true) {
      if (shard != nullptr) {
        GF_TRY(const bool more, shard->Next(row));
        if (more) {
          ++shard_rows;
          return true;
        }
        GF_CHECK_OK(CheckRows(shard_rows));
        shard.reset();
      }
      if (next_shard == info.shards.size()) return false;
      const auto& entry = info.shards[next_shard++];
      GF_TRY(shard, ShardReader::Open(folder / entry.file, info.kind));
      shard_rows = 0;
      GF_CHECK_OK(CheckRows(shard->rows()));
    }
  }

  // `rows`: how many the shard opened last has.
  Status CheckRows(uint64_t rows) const {
    const auto& entry = info.shards[next_shard - 1];
    if (rows == entry.rows) return Ok();
    return MakeError(Code::kCorrupt,
                     "dataset shard '" + (folder / entry.file).string() + "' holds " + std::to_string(rows) +
                         " rows where manifest.json says " + std::to_string(entry.rows),
                     "it was changed; run the stage that made the dataset again");
  }
};

DatasetReader::DatasetReader(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
DatasetReader::DatasetReader(DatasetReader&&) noexcept = default;
DatasetReader& DatasetReader::operator=(DatasetReader&&) noexcept = default;
DatasetReader::~DatasetReader() = default;

Result<DatasetReader> DatasetReader::Open(const fs::path& folder) {
  std::error_code ec;
  if (!fs::is_directory(folder, ec)) {
    return MakeError(Code::kNotFound, InFolder(folder) + " does not exist or is not a folder");
  }
  const fs::path manifest = folder / kManifestFile;
  if (!fs::exists(manifest, ec)) {
    return MakeError(Code::kNotFound, "'" + folder.string() + "' is not a dataset: it holds no manifest.json",
                     "data.read makes a dataset of JSONL, CSV, Parquet and text files");
  }
  GF_TRY(const std::string text, ReadFile(manifest, 64ull << 20));
  auto impl = std::make_unique<Impl>();
  impl->folder = folder;
  try {
    impl->info = ParseManifest(text);
  } catch (const json::exception& e) {
    std::string reason = e.what();
    if (const size_t end = reason.find("] "); end != std::string::npos) reason.erase(0, end + 2);
    return MakeError(Code::kCorrupt, "'" + manifest.string() + "' is not a dataset manifest: " + reason,
                     "run the stage that made the dataset again");
  }
  if (impl->info.format_version > kFormatVersion) {
    return MakeError(Code::kUnsupported,
                     InFolder(folder) + " has format version " + std::to_string(impl->info.format_version) +
                         "; this genflow reads up to " + std::to_string(kFormatVersion),
                     "use a newer genflow");
  }
  for (const auto& shard : impl->info.shards) {
    const fs::path file = folder / shard.file;
    const uintmax_t size = fs::file_size(file, ec);
    if (ec) {
      return MakeError(Code::kCorrupt, InFolder(folder) + " lacks its shard '" + shard.file + "'",
                       "run the stage that made the dataset again");
    }
    if (size != shard.bytes) {
      return MakeError(Code::kCorrupt,
                       "dataset shard '" + file.string() + "' has " + std::to_string(size) +
                           " bytes where manifest.json says " + std::to_string(shard.bytes),
                       "it was cut short or changed; run the stage that made the dataset again");
    }
  }
  return DatasetReader(std::move(impl));
}

Result<DatasetReader> DatasetReader::Open(const fs::path& folder, Kind want) {
  GF_TRY(DatasetReader reader, Open(folder));
  if (reader.kind() != want) return WrongKind(folder, reader.kind(), want);
  return reader;
}

Kind DatasetReader::kind() const { return impl_->info.kind; }
uint64_t DatasetReader::rows() const { return impl_->info.rows; }
const DatasetInfo& DatasetReader::info() const { return impl_->info; }

Result<bool> DatasetReader::Next(TextRow* row) { return impl_->Next(row, Kind::kText); }
Result<bool> DatasetReader::Next(MessagesRow* row) { return impl_->Next(row, Kind::kMessages); }
Result<bool> DatasetReader::Next(PreferenceRow* row) { return impl_->Next(row, Kind::kPreference); }

Result<bool> DatasetReader::Next(AnyRow* row) {
  if (row->index() != static_cast<size_t>(kind())) {
    if (kind() == Kind::kText) *row = TextRow{};
    if (kind() == Kind::kMessages) *row = MessagesRow{};
    if (kind() == Kind::kPreference) *row = PreferenceRow{};
  }
  return std::visit([this](auto& r) { return Next(&r); }, *row);
}

Status DatasetReader::Rewind() {
  impl_->shard.reset();
  impl_->next_shard = 0;
  return Ok();
}

}  // namespace genflow::data
