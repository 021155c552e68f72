#include "data/dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"
#include "test_folder.h"

namespace genflow::data {
namespace {

namespace fs = std::filesystem;

class DatasetTest : public FolderTest {
 protected:
  static TextRow Row(int i) {
    return {"row-" + std::to_string(i), "text of row " + std::to_string(i) + " é", "file.jsonl",
            R"({"n":)" + std::to_string(i) + "}"};
  }

  DatasetInfo WriteRows(const fs::path& folder, int count, WriterOptions options = {}) {
    auto writer = DatasetWriter::Create(folder, Kind::kText, options);
    EXPECT_TRUE(writer.ok()) << writer.error().ToString();
    for (int i = 0; i < count; ++i) {
      const auto status = writer->Append(Row(i));
      EXPECT_TRUE(status.ok()) << status.error().ToString();
    }
    auto info = writer->Finish();
    EXPECT_TRUE(info.ok()) << info.error().ToString();
    return *info;
  }

  static std::map<std::string, std::string> FilesOf(const fs::path& folder) {
    std::map<std::string, std::string> out;
    for (const auto& entry : fs::directory_iterator(folder)) {
      out[entry.path().filename()] = *ReadFile(entry.path());
    }
    return out;
  }
};

TEST_F(DatasetTest, TextRowsComeBackInOrder) {
  const DatasetInfo info = WriteRows(root_ / "d", 100);
  EXPECT_EQ(info.rows, 100u);
  EXPECT_EQ(info.characters, 10u * 15 + 90u * 16);
  auto reader = DatasetReader::Open(root_ / "d");
  ASSERT_TRUE(reader.ok()) << reader.error().ToString();
  EXPECT_EQ(reader->kind(), Kind::kText);
  EXPECT_EQ(reader->rows(), 100u);
  for (int pass = 0; pass < 2; ++pass) {
    TextRow row;
    for (int i = 0; i < 100; ++i) {
      ASSERT_TRUE(*reader->Next(&row));
      ASSERT_EQ(row, Row(i));
    }
    EXPECT_FALSE(*reader->Next(&row));
    ASSERT_TRUE(reader->Rewind().ok());
  }
}

TEST_F(DatasetTest, MessagesKeepTheirOrderAndAreCounted) {
  const std::vector<MessagesRow> rows = {
      {"a", {{"system", "s"}, {"user", "ünï"}, {"assistant", "x\ny"}}, "{}"},
      {"b", {}, R"({"k":[1,{"z":null}]})"},
      {"c", {{"user", ""}, {"assistant", "🙂"}}, "{}"},
  };
  auto writer = DatasetWriter::Create(root_ / "d", Kind::kMessages);
  ASSERT_TRUE(writer.ok());
  for (const auto& row : rows) ASSERT_TRUE(writer->Append(row).ok());
  const auto info = writer->Finish();
  ASSERT_TRUE(info.ok());
  EXPECT_EQ(info->messages, 5u);
  EXPECT_EQ(info->characters, 1u + 3 + 3 + 0 + 1);
  EXPECT_EQ(info->roles, (std::map<std::string, uint64_t>{{"assistant", 2}, {"system", 1}, {"user", 2}}));

  auto reader = DatasetReader::Open(root_ / "d", Kind::kMessages);
  ASSERT_TRUE(reader.ok());
  EXPECT_EQ(reader->info().roles, info->roles);
  MessagesRow row;
  for (const auto& want : rows) {
    ASSERT_TRUE(*reader->Next(&row));
    EXPECT_EQ(row, want);
  }
  EXPECT_FALSE(*reader->Next(&row));
}

TEST_F(DatasetTest, PreferenceRowsAsAnyRow) {
  const AnyRow want = PreferenceRow{"p", "prompt", "good", "bad", R"({"score":0.5})"};
  auto writer = DatasetWriter::Create(root_ / "d", Kind::kPreference);
  ASSERT_TRUE(writer.ok());
  ASSERT_TRUE(writer->Append(want).ok());
  ASSERT_TRUE(writer->Finish().ok());
  auto reader = DatasetReader::Open(root_ / "d");
  ASSERT_TRUE(reader.ok());
  AnyRow row;
  ASSERT_TRUE(*reader->Next(&row));
  EXPECT_EQ(row, want);
  EXPECT_EQ(IdOf(row), "p");
  EXPECT_EQ(MetaOf(row), R"({"score":0.5})");
  EXPECT_FALSE(*reader->Next(&row));
}

TEST_F(DatasetTest, ManifestDescribesTheFiles) {
  WriteRows(root_ / "d", 3);
  const auto manifest = nlohmann::json::parse(*ReadFile(root_ / "d/manifest.json"));
  const uint64_t size = fs::file_size(root_ / "d/part-00000.parquet");
  EXPECT_EQ(manifest, (nlohmann::json{
                          {"format", "genflow.dataset"},
                          {"format_version", 1},
                          {"kind", "text"},
                          {"rows", 3},
                          {"bytes", size},
                          {"schema", "id: string, text: string, source: string, meta: string"},
                          {"statistics", {{"characters", 45}}},
                          {"shards", {{{"file", "part-00000.parquet"}, {"rows", 3}, {"bytes", size}}}},
                      }));
}

TEST_F(DatasetTest, ShardsRollOver) {
  const DatasetInfo info = WriteRows(root_ / "d", 1000, {.shard_bytes = 10000, .row_group_bytes = 2000});
  EXPECT_GT(info.shards.size(), 3u);
  auto reader = DatasetReader::Open(root_ / "d");
  ASSERT_TRUE(reader.ok());
  TextRow row;
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(*reader->Next(&row));
    ASSERT_EQ(row, Row(i));
  }
  EXPECT_FALSE(*reader->Next(&row));
}

TEST_F(DatasetTest, EqualRowsGiveEqualBytes) {
  WriteRows(root_ / "a", 500, {.shard_bytes = 10000, .row_group_bytes = 2000});
  WriteRows(root_ / "b", 500, {.shard_bytes = 10000, .row_group_bytes = 2000});
  EXPECT_EQ(FilesOf(root_ / "a"), FilesOf(root_ / "b"));
}

TEST_F(DatasetTest, NoRowsIsValid) {
  WriteRows(root_ / "d", 0);
  auto reader = DatasetReader::Open(root_ / "d");
  ASSERT_TRUE(reader.ok()) << reader.error().ToString();
  TextRow row;
  EXPECT_FALSE(*reader->Next(&row));
  EXPECT_TRUE(fs::exists(root_ / "d/part-00000.parquet"));
}

TEST_F(DatasetTest, UnfinishedFolderIsNoDataset) {
  {
    auto writer = DatasetWriter::Create(root_ / "d", Kind::kText);
    ASSERT_TRUE(writer.ok());
    ASSERT_TRUE(writer->Append(Row(0)).ok());
  }
  const auto reader = DatasetReader::Open(root_ / "d");
  ASSERT_FALSE(reader.ok());
  EXPECT_EQ(reader.error().code, Code::kNotFound);
  EXPECT_EQ(reader.error().ToString(),
            "'" + (root_ / "d").string() +
                "' is not a dataset: it holds no manifest.json\n"
                "  hint: data.read makes a dataset of JSONL, CSV, Parquet and text files");
}

TEST_F(DatasetTest, MissingFolder) {
  const auto reader = DatasetReader::Open(root_ / "none");
  ASSERT_FALSE(reader.ok());
  EXPECT_EQ(reader.error().message,
            "dataset '" + (root_ / "none").string() + "' does not exist or is not a folder");
}

TEST_F(DatasetTest, FullFolderIsRefused) {
  ASSERT_TRUE(WriteFileAtomic(root_ / "d.txt", "x").ok());
  const auto writer = DatasetWriter::Create(root_, Kind::kText);
  ASSERT_FALSE(writer.ok());
  EXPECT_EQ(writer.error().message,
            "cannot make a dataset in '" + root_.string() + "': the folder is not empty");
}

TEST_F(DatasetTest, WrongKind) {
  WriteRows(root_ / "d", 1);
  const auto opened = DatasetReader::Open(root_ / "d", Kind::kMessages);
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().ToString(), "dataset '" + (root_ / "d").string() +
                                           "' holds text rows where messages rows are wanted\n"
                                           "  hint: data.format turns text rows into messages");
  auto reader = DatasetReader::Open(root_ / "d");
  ASSERT_TRUE(reader.ok());
  PreferenceRow row;
  const auto next = reader->Next(&row);
  ASSERT_FALSE(next.ok());
  EXPECT_EQ(next.error().message,
            "dataset '" + (root_ / "d").string() + "' holds text rows where preference rows are wanted");
  auto writer = DatasetWriter::Create(root_ / "w", Kind::kText);
  ASSERT_TRUE(writer.ok());
  const auto appended = writer->Append(MessagesRow{});
  ASSERT_FALSE(appended.ok());
  EXPECT_EQ(appended.error().message,
            "a messages row does not fit into dataset '" + (root_ / "w").string() + "' of text rows");
}

TEST_F(DatasetTest, BadRowsAreRefused) {
  auto writer = DatasetWriter::Create(root_ / "d", Kind::kText);
  ASSERT_TRUE(writer.ok());
  ASSERT_TRUE(writer->Append(Row(0)).ok());
  const std::string where = "row 1 ('a') of dataset '" + (root_ / "d").string() + "' ";
  auto status = writer->Append(TextRow{"a", "\xff", "", "{}"});
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().message, where + "has a text that is not UTF-8");
  for (const char* meta : {"", "[]", "{\"a\":}", "{} x"}) {
    status = writer->Append(TextRow{"a", "t", "", meta});
    ASSERT_FALSE(status.ok()) << meta;
    EXPECT_EQ(status.error().message, where + "has a meta that is not a JSON object");
  }
  EXPECT_EQ(writer->rows(), 1u);
}

TEST_F(DatasetTest, TruncatedShard) {
  WriteRows(root_ / "d", 50);
  const fs::path shard = root_ / "d/part-00000.parquet";
  const uint64_t size = fs::file_size(shard);
  fs::resize_file(shard, size - 7);
  const auto reader = DatasetReader::Open(root_ / "d");
  ASSERT_FALSE(reader.ok());
  EXPECT_EQ(reader.error().code, Code::kCorrupt);
  EXPECT_EQ(reader.error().ToString(),
            "dataset shard '" + shard.string() + "' has " + std::to_string(size - 7) +
                " bytes where manifest.json says " + std::to_string(size) +
                "\n  hint: it was cut short or changed; run the stage that made the "
                "dataset again");
  fs::remove(shard);
  const auto missing = DatasetReader::Open(root_ / "d");
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().message,
            "dataset '" + (root_ / "d").string() + "' lacks its shard 'part-00000.parquet'");
}

// Whatever byte is changed, reading ends in an error or in the rows that were written; never in other rows.
TEST_F(DatasetTest, FlippedBytesAreNeverReadAsOtherRows) {
  WriteRows(root_ / "d", 60);
  const fs::path shard = root_ / "d/part-00000.parquet";
  const std::string good = *ReadFile(shard);
  int errors = 0;
  for (size_t at = 0; at < good.size(); at += 3) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x55);
    std::ofstream(shard, std::ios::binary) << bad;
    auto reader = DatasetReader::Open(root_ / "d");
    ASSERT_TRUE(reader.ok());
    TextRow row;
    int rows = 0;
    while (true) {
      const auto next = reader->Next(&row);
      if (!next.ok()) {
        ++errors;
        break;
      }
      if (!*next) {
        EXPECT_EQ(rows, 60) << "byte " << at;
        break;
      }
      ASSERT_EQ(row, Row(rows)) << "byte " << at;
      ++rows;
    }
  }
  EXPECT_GT(errors, static_cast<int>(good.size() / 3 / 2));
}

TEST_F(DatasetTest, BadManifests) {
  WriteRows(root_ / "d", 1);
  const fs::path manifest = root_ / "d/manifest.json";
  const auto good = nlohmann::json::parse(*ReadFile(manifest));
  const auto open = [&](const std::string& text) {
    EXPECT_TRUE(WriteFileAtomic(manifest, text).ok());
    const auto reader = DatasetReader::Open(root_ / "d");
    return reader.ok() ? std::string("opened") : reader.error().message;
  };
  const std::string prefix = "'" + manifest.string() + "' is not a dataset manifest: ";
  EXPECT_THAT(open("{"), testing::StartsWith(prefix + "parse error at line 1, column 2"));
  EXPECT_EQ(open("{}"), prefix + "key 'format' not found");
  auto changed = good;
  changed["kind"] = "rows";
  EXPECT_EQ(open(changed.dump()), prefix + "'kind' is none of text, messages, preference");
  changed = good;
  changed["rows"] = 2;
  EXPECT_EQ(open(changed.dump()), prefix + "its shards' rows do not add up to 'rows'");
  changed = good;
  changed["shards"][0]["file"] = "../part-00000.parquet";
  EXPECT_EQ(open(changed.dump()), prefix + "shard '../part-00000.parquet' is not a file name");
  changed = good;
  changed["format_version"] = 2;
  EXPECT_EQ(open(changed.dump()),
            "dataset '" + (root_ / "d").string() + "' has format version 2; this genflow reads up to 1");
}

TEST_F(DatasetTest, ShardOfAnotherKind) {
  WriteRows(root_ / "d", 1);
  const fs::path manifest = root_ / "d/manifest.json";
  auto changed = nlohmann::json::parse(*ReadFile(manifest));
  changed["kind"] = "preference";
  ASSERT_TRUE(WriteFileAtomic(manifest, changed.dump()).ok());
  auto reader = DatasetReader::Open(root_ / "d");
  ASSERT_TRUE(reader.ok());
  PreferenceRow row;
  const auto next = reader->Next(&row);
  ASSERT_FALSE(next.ok());
  EXPECT_EQ(next.error().message,
            "dataset shard '" + (root_ / "d/part-00000.parquet").string() +
                "' has columns {id: string, text: string, source: string, meta: string} where {id: string, "
                "prompt: string, chosen: string, rejected: string, meta: string} are expected");
}

TEST_F(DatasetTest, FullDiskIsSaid) {
  auto writer = DatasetWriter::Create(root_ / "d", Kind::kText, {.row_group_bytes = 1 << 16});
  ASSERT_TRUE(writer.ok());
  struct rlimit before {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  signal(SIGXFSZ, SIG_IGN);
  const struct rlimit small = {1 << 16, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  Status status = Ok();
  uint64_t noise = 1;
  for (int i = 0; i < 1000 && status.ok(); ++i) {
    std::string text(1000, ' ');
    for (char& c : text) {
      noise = noise * 6364136223846793005u + 1442695040888963407u;
      c = static_cast<char>('!' + (noise >> 33) % 90);
    }
    status = writer->Append(TextRow{std::to_string(i), text, "", "{}"});
  }
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().message,
            "cannot write '" + (root_ / "d/part-00000.parquet").string() + "': File too large");
}

}  // namespace
}  // namespace genflow::data
