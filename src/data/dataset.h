// The `dataset` artifact: a folder of Parquet shards (zstd, part-00000.parquet, ...) and manifest.json.
// Rows stream in bounded memory in both directions. The bytes written depend on the rows and the options
// alone, so equal rows give equal digests. Readers and writers are used by one thread at a time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"

namespace genflow::data {

enum class Kind { kText, kMessages, kPreference };

// "text", "messages", "preference".
const char* KindName(Kind kind);
std::optional<Kind> KindFromName(std::string_view name);

struct TextRow {
  std::string id;
  std::string text;
  std::string source;            // where the row was read: a file's name; may be empty
  std::string meta_json = "{}";  // one JSON object

  friend bool operator==(const TextRow&, const TextRow&) = default;
};

struct Message {
  std::string role;  // "system", "user", "assistant", "tool"
  std::string content;

  friend bool operator==(const Message&, const Message&) = default;
};

struct MessagesRow {
  std::string id;
  std::vector<Message> messages;
  std::string meta_json = "{}";

  friend bool operator==(const MessagesRow&, const MessagesRow&) = default;
};

struct PreferenceRow {
  std::string id;
  std::string prompt, chosen, rejected;
  std::string meta_json = "{}";

  friend bool operator==(const PreferenceRow&, const PreferenceRow&) = default;
};

// A row of any kind; the alternatives stand in the order of Kind.
using AnyRow = std::variant<TextRow, MessagesRow, PreferenceRow>;

inline Kind KindOf(const AnyRow& row) { return static_cast<Kind>(row.index()); }
const std::string& IdOf(const AnyRow& row);
const std::string& MetaOf(const AnyRow& row);

// What manifest.json says about a dataset.
struct DatasetInfo {
  struct Shard {
    std::string file;  // name inside the folder
    uint64_t rows = 0;
    uint64_t bytes = 0;  // size of the file
  };

  int format_version = 1;
  Kind kind = Kind::kText;
  uint64_t rows = 0;
  uint64_t bytes = 0;       // of all shards
  uint64_t characters = 0;  // Unicode code points in text, message contents, or prompt + chosen + rejected
  uint64_t messages = 0;    // messages rows only
  std::map<std::string, uint64_t> roles;  // messages a role; messages rows only
  std::vector<Shard> shards;
};

struct WriterOptions {
  uint64_t shard_bytes = 256ull << 20;    // a shard is closed once this much row data (uncompressed) is in it
  uint64_t row_group_bytes = 8ull << 20;  // row data held in memory before it is written
  int compression_level = 3;              // of zstd
};

class DatasetWriter {
 public:
  // Makes `folder`, which must not exist yet or be empty.
  static Result<DatasetWriter> Create(const std::filesystem::path& folder, Kind kind,
                                      WriterOptions options = {});
  DatasetWriter(DatasetWriter&&) noexcept;
  DatasetWriter& operator=(DatasetWriter&&) noexcept;
  // Without Finish() the folder stays without manifest.json, so that no reader opens it.
  ~DatasetWriter();

  // kInvalid for a row of another kind, text that is not UTF-8, or meta_json that is not a JSON object.
  Status Append(const TextRow& row);
  Status Append(const MessagesRow& row);
  Status Append(const PreferenceRow& row);
  Status Append(const AnyRow& row);

  // Rows appended so far.
  uint64_t rows() const;

  // Closes the last shard and writes manifest.json. A dataset without rows is valid: it has one empty shard.
  // No other call may follow.
  Result<DatasetInfo> Finish();

 private:
  struct Impl;
  explicit DatasetWriter(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

class DatasetReader {
 public:
  // Reads manifest.json and checks that every shard is there with the size it says. kNotFound without a
  // folder or manifest, kCorrupt for a manifest or shard that is not what it must be.
  static Result<DatasetReader> Open(const std::filesystem::path& folder);
  // The same, and kInvalid unless the dataset is of this kind.
  static Result<DatasetReader> Open(const std::filesystem::path& folder, Kind want);
  DatasetReader(DatasetReader&&) noexcept;
  DatasetReader& operator=(DatasetReader&&) noexcept;
  ~DatasetReader();

  Kind kind() const;
  uint64_t rows() const;
  const DatasetInfo& info() const;

  // Fills `row` and returns true, or returns false after the last row. Rows come in the order they were
  // appended. kInvalid for a row of another kind.
  Result<bool> Next(TextRow* row);
  Result<bool> Next(MessagesRow* row);
  Result<bool> Next(PreferenceRow* row);
  Result<bool> Next(AnyRow* row);

  // Back to the first row.
  Status Rewind();

 private:
  struct Impl;
  explicit DatasetReader(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace genflow::data
