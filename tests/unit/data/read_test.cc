#include "data/read.h"

#include <gmock/gmock.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>

#include "data/parquet_rows.h"
#include "data/table_writer.h"
#include "read_fixture.h"

namespace genflow::data {
namespace {

namespace fs = std::filesystem;

std::string Gzip(std::string_view text) {
  std::string out(compressBound(text.size()) + 64, '\0');
  z_stream z{};
  deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  z.avail_in = static_cast<uInt>(text.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  deflate(&z, Z_FINISH);
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

std::string Zstd(std::string_view text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
  return out;
}

TEST_F(ReadTest, JsonlTextKeepsOtherFieldsInMeta) {
  const auto file = Put("a/x.jsonl",
                        "{\"text\":\"one\",\"id\":7,\"lang\":\"en\",\"n\":[1,2.5,null]}\r\n\n"
                        "{\"text\":\"tw\\u00f6\",\"source\":\"web\",\"meta\":{\"k\":1}}\n"
                        "{\"text\":\"three\",\"meta\":\"{\\\"k\\\":2}\",\"z\\\"\":true}");
  const auto stats = Read({file});
  ASSERT_TRUE(stats.ok()) << stats.error().ToString();
  EXPECT_EQ(stats->rows, 3u);
  EXPECT_EQ(stats->bytes, fs::file_size(file));
  EXPECT_THAT(RowsOf<TextRow>(root_ / "out"),
              testing::ElementsAre(TextRow{"7", "one", "x.jsonl", R"({"lang":"en","n":[1,2.5,null]})"},
                                   TextRow{"x.jsonl:3", "twö", "web", R"({"k":1})"},
                                   TextRow{"x.jsonl:4", "three", "x.jsonl", R"({"k":2,"z\"":true})"}));
}

TEST_F(ReadTest, FieldNamesAreConfigurable) {
  const auto file = Put("x.jsonl", R"({"body":"b","key":"k1","a":1,"c":2})");
  ReadOptions options;
  options.records.text_field = "body";
  options.records.id_field = "key";
  options.records.meta_fields = {"c"};
  ASSERT_TRUE(Read({file}, options).ok());
  EXPECT_THAT(RowsOf<TextRow>(root_ / "out"),
              testing::ElementsAre(TextRow{"k1", "b", "x.jsonl", R"({"c":2})"}));
}

TEST_F(ReadTest, ChatsOfEveryForm) {
  const auto file =
      Put("c.jsonl", R"({"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}],"k":1}
{"conversations":[{"from":"human","value":"q"},{"from":"gpt","value":"a"}],"system":"s"}
{"prompt":"q","completion":"a"}
{"instruction":"q","input":"i","output":"a"}
{"instruction":"q","input":"","output":"a"}
{"messages":[{"role":"user","content":[{"type":"text","text":"q1"},{"type":"text","text":"q2"}]}]}
)");
  ASSERT_TRUE(Read({file}).ok());
  const Message q{"user", "q"}, a{"assistant", "a"};
  EXPECT_THAT(RowsOf<MessagesRow>(root_ / "out"),
              testing::ElementsAre(MessagesRow{"c.jsonl:1", {q, a}, R"({"k":1})"},
                                   MessagesRow{"c.jsonl:2", {{"system", "s"}, q, a}, "{}"},
                                   MessagesRow{"c.jsonl:3", {q, a}, "{}"},
                                   MessagesRow{"c.jsonl:4", {{"user", "q\n\ni"}, a}, "{}"},
                                   MessagesRow{"c.jsonl:5", {q, a}, "{}"},
                                   MessagesRow{"c.jsonl:6", {{"user", "q1q2"}}, "{}"}));
}

TEST_F(ReadTest, PreferencesAsTextAndAsConversations) {
  const auto file = Put("p.jsonl", R"({"prompt":"q","chosen":"good","rejected":"bad"}
{"chosen":[{"role":"user","content":"q2"},{"role":"assistant","content":"good2"}],"rejected":[{"role":"user","content":"q2"},{"role":"assistant","content":"bad2"}]}
)");
  ASSERT_TRUE(Read({file}).ok());
  EXPECT_THAT(RowsOf<PreferenceRow>(root_ / "out"),
              testing::ElementsAre(PreferenceRow{"p.jsonl:1", "q", "good", "bad", "{}"},
                                   PreferenceRow{"p.jsonl:2", "q2", "good2", "bad2", "{}"}));
}

TEST_F(ReadTest, PreferencesThatWouldLoseTurns) {
  const auto error = [&](const std::string& text) {
    const auto file = Put("p.jsonl", text);
    const std::string whole = ErrorOf({file});
    return whole.substr(std::min(whole.size(), file.string().size()));
  };
  const auto turn = [](const std::string& role, const std::string& content) {
    return R"({"role":")" + role + R"(","content":")" + content + "\"}";
  };
  const auto pair = [](const std::string& before, const std::string& other) {
    return R"({"chosen":[)" + before + R"({"role":"assistant","content":"good"}],"rejected":[)" + other +
           R"({"role":"assistant","content":"bad"}]})";
  };
  const std::string system = turn("system", "s") + ",", q = turn("user", "q") + ",",
                    other = turn("user", "r") + ",";
  const std::string hint = "\n  hint: write the whole conversation as one text into 'prompt'";
  EXPECT_EQ(error(pair(system + q, system + q)),
            ":1: field 'chosen' has 2 messages before the answer, of which a preference keeps one" + hint);
  EXPECT_EQ(error(pair(q, other)),
            ":1: 'chosen' and 'rejected' answer different conversations\n"
            "  hint: on_error: skip leaves such records out");
  EXPECT_EQ(error(R"({"chosen":"a","rejected":"b","prompt":[)" + system + turn("user", "q") + "]}"),
            ":1: field 'prompt' has 2 messages, of which a preference keeps the last" + hint);
  ASSERT_TRUE(
      Read({Put("p.jsonl", R"({"chosen":"a","rejected":"b","prompt":[)" + turn("user", "q") + "]}")}).ok());
  EXPECT_THAT(RowsOf<PreferenceRow>(root_ / "out"),
              testing::ElementsAre(PreferenceRow{"p.jsonl:1", "q", "a", "b", "{}"}));
}

TEST_F(ReadTest, CompressedFilesReadTheSame) {
  std::string text;
  for (int i = 0; i < 20000; ++i)
    text += "{\"id\":" + std::to_string(i) + ",\"text\":\"row " + std::to_string(i * i) + "\"}\n";
  ASSERT_TRUE(Read({Put("a/x.jsonl", text)}).ok());
  const auto plain = RowsOf<TextRow>(root_ / "out");
  ASSERT_EQ(plain.size(), 20000u);
  const std::string half = text.substr(0, text.size() / 2), rest = text.substr(text.size() / 2);
  for (const auto& [name, bytes] : {std::pair("b/x.jsonl.gz", Gzip(half) + Gzip(rest)),
                                    std::pair("c/x.jsonl.zst", Zstd(half) + Zstd(rest))}) {
    const auto stats = Read({Put(name, bytes)});
    ASSERT_TRUE(stats.ok()) << stats.error().ToString();
    auto rows = RowsOf<TextRow>(root_ / "out");
    for (auto& row : rows) row.source = "x.jsonl";
    EXPECT_EQ(rows, plain) << name;
  }
}

TEST_F(ReadTest, CutCompressedFilesAreCorrupt) {
  const std::string text(100000, 'x');
  for (const auto& [name, bytes] :
       {std::pair("x.jsonl.gz", Gzip(text)), std::pair("x.jsonl.zst", Zstd(text))}) {
    const auto file = Put(name, bytes.substr(0, bytes.size() - 5));
    EXPECT_EQ(ErrorOf({file}), "cannot decompress '" + file.string() +
                                   "': it ends in the middle of the compressed data\n"
                                   "  hint: the file is damaged or was cut short");
  }
}

TEST_F(ReadTest, MalformedLineNamesFileAndLine) {
  const auto file = Put("x.jsonl", "{\"text\":\"a\"}\n{\"text\":\n{\"text\":\"c\"}\n");
  const std::string where = file.string() + ":2: not valid JSON: ";
  const std::string error = ErrorOf({file});
  EXPECT_THAT(error, testing::StartsWith(where));
  EXPECT_THAT(error, testing::EndsWith("\n  hint: on_error: skip leaves such records out"));

  ReadOptions options;
  options.skip_bad = true;
  const auto stats = Read({file}, options);
  ASSERT_TRUE(stats.ok());
  EXPECT_EQ(stats->rows, 2u);
  EXPECT_EQ(stats->skipped, 1u);
  EXPECT_THAT(stats->problems, testing::ElementsAre(testing::StartsWith(where)));
}

TEST_F(ReadTest, RecordsThatDoNotFit) {
  const auto error = [&](const char* text) {
    const auto file = Put("x.jsonl", text);
    const std::string whole = ErrorOf({file});
    const std::string prefix = file.string() + ":";
    EXPECT_TRUE(whole.starts_with(prefix)) << whole;
    return whole.substr(prefix.size(), whole.find('\n') - prefix.size());
  };
  EXPECT_EQ(error(R"([1])"), "1: the record is a list, not an object");
  EXPECT_EQ(error(R"({"body":"b","n":1})"),
            "1: cannot tell what the record is: no 'text', 'messages', 'conversations', 'chosen' and "
            "'rejected', or "
            "'prompt' and 'completion' (the record has fields 'body', 'n')");
  EXPECT_EQ(error("{\"text\":\"a\"}\n{\"txt\":\"b\"}"), "2: no field 'text' (the record has fields 'txt')");
  EXPECT_EQ(error(R"({"text":5})"), "1: field 'text' is a number, not a string");
  EXPECT_EQ(error(R"({"text":"a","id":[1]})"), "1: field 'id' is a list, not a string or number");
  EXPECT_EQ(error(R"({"messages":[]})"), "1: field 'messages' is an empty list");
  EXPECT_EQ(error(R"({"messages":[{"role":"user"}]})"), "1: message 0 has no content");
  EXPECT_EQ(error(R"({"messages":[{"content":"x"}]})"), "1: message 0 has no role");
  EXPECT_EQ(error(R"({"messages":[{"role":"boss","content":"x"}]})"),
            "1: message 0 has the role 'boss', which is none of system, user, assistant, tool");
  EXPECT_EQ(error(R"({"messages":[{"role":"assistant","content":null,"tool_calls":[]}]})"),
            "1: message 0 is a tool call, which datasets do not carry");
  EXPECT_EQ(error(R"({"messages":[{"role":"assistant","content":"ok","tool_calls":[{"id":"c"}]}]})"),
            "1: message 0 is a tool call, which datasets do not carry");
  EXPECT_EQ(error(R"({"messages":[{"role":"assistant","tool_calls":[{"id":"c"}]}]})"),
            "1: message 0 is a tool call, which datasets do not carry");
  EXPECT_EQ(error(R"({"chosen":"a","rejected":"b"})"),
            "1: no field 'prompt' (the record has fields 'chosen', 'rejected')");
}

TEST_F(ReadTest, JsonArray) {
  const auto file = Put("x.json", R"([{"text":"a"},{"text":"b","k":"é"}])");
  ASSERT_TRUE(Read({file}).ok());
  EXPECT_THAT(RowsOf<TextRow>(root_ / "out"),
              testing::ElementsAre(TextRow{"x.json:1", "a", "x.json", "{}"},
                                   TextRow{"x.json:2", "b", "x.json", R"({"k":"é"})"}));
}

TEST_F(ReadTest, TextUnits) {
  const auto file = Put("x.txt", "one\ntwo\n\n  \nthree\n");
  ReadOptions options;
  ASSERT_TRUE(Read({file}, options).ok());
  EXPECT_THAT(RowsOf<TextRow>(root_ / "out"),
              testing::ElementsAre(TextRow{"x.txt", "one\ntwo\n\n  \nthree\n", "x.txt", "{}"}));
  options.text_unit = TextUnit::kParagraph;
  ASSERT_TRUE(Read({file}, options).ok());
  EXPECT_THAT(RowsOf<TextRow>(root_ / "out"),
              testing::ElementsAre(TextRow{"x.txt:1", "one\ntwo", "x.txt", "{}"},
                                   TextRow{"x.txt:5", "three", "x.txt", "{}"}));
  options.text_unit = TextUnit::kLine;
  ASSERT_TRUE(Read({file}, options).ok());
  EXPECT_EQ(RowsOf<TextRow>(root_ / "out").size(), 3u);
  const auto latin = Put("y.txt", "caf\xe9");
  EXPECT_EQ(ErrorOf({latin}),
            latin.string() + ": the text is not UTF-8\n  hint: on_error: skip leaves such records out");
}

TEST_F(ReadTest, DatasetsOfGenflowAreReadableAsParquet) {
  const std::vector<MessagesRow> rows = {{"a", {{"user", "ü"}, {"assistant", "\"x\"\n\t"}}, R"({"k":[1,2]})"},
                                         {"b", {{"user", "q"}}, "{}"}};
  PutDataset("chats", rows);
  ASSERT_TRUE(Read({root_ / "chats/part-00000.parquet"}).ok());
  EXPECT_EQ(RowsOf<MessagesRow>(root_ / "out"), rows);
}

// Written by pyarrow with what Hugging Face data sets have: large strings, dictionaries, dates, nested lists,
// nulls.
TEST_F(ReadTest, ParquetOfOtherTools) {
  const auto stats = Read({fs::path(GENFLOW_SOURCE_DIR) / "tests/parity/fixtures/data/foreign.parquet"});
  ASSERT_TRUE(stats.ok()) << stats.error().ToString();
  EXPECT_THAT(
      RowsOf<MessagesRow>(root_ / "out"),
      testing::ElementsAre(
          MessagesRow{"11",
                      {{"system", "Be brief."}, {"user", "Hi"}, {"assistant", "Hello \"you\""}},
                      R"({"lang":"en","score":0.5,"date":"2024-02-29","tags":["a","b"],"ok":true})"},
          MessagesRow{
              "12", {{"user", "Grüß"}, {"assistant", "Gott"}}, R"({"lang":"de","tags":[],"ok":false})"}));
}

TEST_F(ReadTest, ParquetNumbersKeepTheirValue) {
  TypedTable table;
  table.columns = {{"x", ColumnType::kDouble}};
  const std::pair<double, std::string> cases[] = {{5e-324, "5e-324"},  // the smallest there is
                                                  {2.2250738585072009e-308, "2.225073858507201e-308"},
                                                  {1.7976931348623157e308, "1.7976931348623157e+308"},
                                                  {0.1, "0.1"},
                                                  {-100, "-100"},
                                                  {1.0 / 3, "0.3333333333333333"}};
  for (const auto& [value, text] : cases) table.rows.push_back({value});
  ASSERT_TRUE(WriteTable(table, root_ / "x.parquet").ok());
  auto rows = ParquetRows::Open(root_ / "x.parquet");
  ASSERT_TRUE(rows.ok()) << rows.error().ToString();
  std::string row;
  for (const auto& [value, text] : cases) {
    ASSERT_TRUE((*rows)->Next(&row).value());
    EXPECT_EQ(row, "{\"x\":" + text + "}");
  }
}

TEST_F(ReadTest, TruncatedParquet) {
  PutDataset("d", std::vector<TextRow>{{"a", "b", "", "{}"}});
  const auto file = root_ / "d/part-00000.parquet";
  fs::resize_file(file, fs::file_size(file) - 3);
  const std::string error = ErrorOf({file});
  EXPECT_THAT(error, testing::StartsWith("cannot read Parquet file '" + file.string() + "': "));
  EXPECT_THAT(error, testing::EndsWith("\n  hint: the file is damaged; make it again"));
}

TEST_F(ReadTest, LimitTakesTheSameRowsWhateverTheOrderOfFiles) {
  std::vector<fs::path> files;
  for (int f = 0; f < 4; ++f) {
    std::string text;
    for (int i = 0; i < 50; ++i) text += "{\"id\":\"r" + std::to_string(f * 50 + i) + "\",\"text\":\"t\"}\n";
    files.push_back(Put("f" + std::to_string(f) + ".jsonl", text));
  }
  ReadOptions options;
  options.limit = 30;
  ASSERT_TRUE(Read(files, options).ok());
  const auto forward = RowsOf<TextRow>(root_ / "out");
  EXPECT_EQ(forward.size(), 30u);
  std::reverse(files.begin(), files.end());
  ASSERT_TRUE(Read(files, options).ok());
  EXPECT_EQ(RowsOf<TextRow>(root_ / "out"), forward);
  options.limit = 20;
  ASSERT_TRUE(Read(files, options).ok());
  EXPECT_EQ(RowsOf<TextRow>(root_ / "out"), std::vector<TextRow>(forward.begin(), forward.begin() + 20));
}

TEST_F(ReadTest, WhatCannotBeRead) {
  EXPECT_EQ(ErrorOf({}), "there are no files to read");
  const auto missing = root_ / "none.jsonl";
  EXPECT_EQ(ErrorOf({missing}), "cannot read '" + missing.string() + "': No such file or directory");
  const auto unknown = Put("x.bin", "x");
  EXPECT_EQ(ErrorOf({unknown}),
            "cannot tell the format of '" + unknown.string() +
                "' by its name\n  hint: set format to jsonl, json, csv, parquet, text or man");
  EXPECT_EQ(ErrorOf({Put("e.jsonl", "\n\n")}), "the files hold no rows");
  for (const auto& [name, packer] : {std::pair("ls.1.xz", "xz"), std::pair("x.jsonl.bz2", "bzip2")}) {
    const auto packed = Put(name, "x");
    ReadOptions options;
    options.skip_bad = true;
    for (const Format format : {Format::kAuto, Format::kMan}) {
      options.format = format;
      EXPECT_EQ(ErrorOf({packed}, options), "'" + packed.string() + "' is compressed with " + packer +
                                                ", which cannot be read\n"
                                                "  hint: unpack it, or pack it as .gz or .zst");
    }
  }
  ReadOptions options;
  options.exclude = {"x.*"};
  EXPECT_EQ(ErrorOf({unknown}, options), "there are no files to read");
}

TEST_F(ReadTest, ProgressMayStop) {
  std::string text;
  for (int i = 0; i < 2000; ++i) text += "{\"text\":\"t\"}\n";
  const auto stats = ReadFiles({Put("x.jsonl", text)}, {}, root_ / "out", [](uint64_t, uint64_t total) {
    EXPECT_EQ(total, 2000u * 13);
    return false;
  });
  ASSERT_FALSE(stats.ok());
  EXPECT_EQ(stats.error().code, Code::kInterrupted);
  EXPECT_FALSE(fs::exists(root_ / "out/manifest.json"));
}

TEST_F(ReadTest, ManualPages) {
  const fs::path pages = fs::path(GENFLOW_SOURCE_DIR) / "tests/unit/data/pages";
  ReadOptions options;
  options.format = Format::kMan;
  options.sections = {"1", "8"};
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(pages)) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  const auto stats = Read(files, options);
  ASSERT_TRUE(stats.ok()) << stats.error().ToString();
  std::vector<std::string> lines;
  for (const auto& row : RowsOf<TextRow>(root_ / "out")) lines.push_back(row.id + ": " + row.text);
  EXPECT_THAT(lines, testing::ElementsAre("knot(1ssl): tie \"keys\" together — safely",
                                          "pod(1): a page made by pod2man",
                                          "quench(8): OpenBSD-style daemon that cools [hosts]",
                                          "sift(1): pick lines that match"));
  EXPECT_EQ(stats->links, 2u);    // a .so page, and a second file of sift(1)
  EXPECT_EQ(stats->skipped, 1u);  // no NAME line
  EXPECT_THAT(stats->problems, testing::ElementsAre(testing::HasSubstr(
                                   "broken.1: the page has no NAME line of the form 'name - description'")));
}

}  // namespace
}  // namespace genflow::data
