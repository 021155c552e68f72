#include "data/clean.h"

#include <gmock/gmock.h>

#include "data/redact.h"
#include "test_folder.h"

namespace genflow::data {
namespace {

using testing::ElementsAre;
using testing::Pair;

std::vector<std::string> Ids(const std::vector<TextRow>& rows) {
  std::vector<std::string> ids;
  for (const auto& row : rows) ids.push_back(row.id);
  return ids;
}

class CleanTest : public FolderTest {
 protected:
  CleanStats Clean(const std::filesystem::path& from, const CleanOptions& options,
                   const std::string& to = "out") {
    EXPECT_TRUE(RemoveTree(root_ / to).ok());
    auto stats = CleanDataset(from, options, root_ / to);
    EXPECT_TRUE(stats.ok()) << stats.error().ToString();
    return stats.ok() ? *stats : CleanStats{};
  }
};

TEST(NormalizeTest, Whitespace) {
  NormalizeOptions options;
  EXPECT_EQ(Normalize(" a  b \t\r\n\n\n \n c\xC2\xA0\n", options), " a  b\n\n c");
  options.whitespace = Whitespace::kCollapse;
  EXPECT_EQ(Normalize(" a\xC2\xA0 b \t\r\n c\xE3\x80\x80", options), "a b c");
  options.whitespace = Whitespace::kKeep;
  EXPECT_EQ(Normalize(" a  \r\n", options), " a  \r\n");
}

TEST(NormalizeTest, UnicodeAndControlCharacters) {
  EXPECT_EQ(Normalize("e\xCC\x81", {}), "\xC3\xA9");
  EXPECT_EQ(Normalize("a\x01\x7F\xE2\x80\x8B"
                      "b\xEF\xBB\xBF\xC2\xAD"
                      "c",
                      {}),
            "abc");
  EXPECT_EQ(Normalize("e\x01\xCC\x81", {}), "\xC3\xA9");  // composes once nothing stands between
  EXPECT_EQ(Normalize("e\xCC\x81", {.nfc = false}), "e\xCC\x81");
}

TEST(NormalizeTest, IsIdempotent) {
  const char* const kPieces[] = {"a",
                                 "e\xCC\x81",
                                 " ",
                                 "\n",
                                 "\r\n",
                                 "\r",
                                 "\t",
                                 "\xC2\xA0",
                                 "\x01",
                                 "\xE2\x80\x8B",
                                 "\xCC\x88",
                                 "\xE1\x84\x80\xE1\x85\xA1",
                                 "\xF0\x9F\x98\x80",
                                 "\xE2\x80\xA8",
                                 "\v",
                                 "\xC2\x85"};
  uint64_t state = 7;
  for (int round = 0; round < 3000; ++round) {
    std::string text;
    for (int i = 0; i < 12; ++i) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      text += kPieces[(state >> 33) % std::size(kPieces)];
    }
    for (const auto space : {Whitespace::kKeep, Whitespace::kLines, Whitespace::kCollapse}) {
      const NormalizeOptions options{.whitespace = space};
      const std::string once = Normalize(text, options);
      ASSERT_EQ(Normalize(once, options), once) << testing::PrintToString(text);
    }
    const std::string key = DedupKey(text);
    ASSERT_EQ(DedupKey(key), key);
  }
}

TEST(NormalizeTest, Numbers) {
  const TextNumbers numbers = Measure("Ünï 12\tx.");
  EXPECT_EQ(numbers.characters, 9u);
  EXPECT_EQ(numbers.letters, 4u);
  EXPECT_EQ(numbers.not_spaces, 7u);
  EXPECT_EQ(numbers.words, 3u);
  EXPECT_FALSE(numbers.ascii);
  EXPECT_DOUBLE_EQ(RepeatedLineShare("abc\nabc\n\nd\nabc"), 0.6);
  EXPECT_DOUBLE_EQ(RepeatedWordShare("a b c a b c a"), 0.4);
  EXPECT_DOUBLE_EQ(RepeatedWordShare("a b"), 0);
  EXPECT_EQ(DedupKey("  Hello,  WÖRLD!! 42 "), "hello wörld 42");
  // Vowel signs and other marks belong to their words: without them these two would be the same.
  EXPECT_EQ(DedupKey("किताब, कितब"), "किताब कितब");
}

TEST_F(CleanTest, EveryFilterHasItsReason) {
  const auto from = PutDataset("in", std::vector<TextRow>{
                                         {"ok", "A good line of text.", "", R"({"k":"1"})"},
                                         {"short", "tiny", "", "{}"},
                                         {"long", std::string(200, 'x'), "", "{}"},
                                         {"words", "oneverylongword", "", "{}"},
                                         {"alpha", "12345 67890 abc", "", "{}"},
                                         {"umlaut", "Ein schöner Text hier", "", "{}"},
                                         {"spam", "please click here now", "", "{}"},
                                         {"bad-id", "this one has an id", "", "{}"},
                                         {"lines", "same line\nsame line\nsame line\nend", "", "{}"},
                                         {"runs", "go on go on go on go on go on", "", "{}"},
                                         {"question", "does it end with a stop?", "", "{}"},
                                         {"dup", "a GOOD line -- of text", "", "{}"},
                                         {"unique", "another text of this kind.", "", R"({"k":"1"})"},
                                     });
  CleanOptions options;
  options.min_chars = 5;
  options.max_chars = 100;
  options.min_words = 2;
  options.min_alpha = 0.5;
  options.ascii_only = true;
  options.drop_patterns = {"(?i)CLICK here"};
  options.require_patterns = {"[a-z.]$"};
  options.drop_ids = {"^bad"};
  options.max_repeated_lines = 0.5;
  options.max_repeated_words = 0.5;
  options.unique_by = "meta.k";
  const CleanStats stats = Clean(from, options);
  EXPECT_THAT(Ids(RowsOf<TextRow>(root_ / "out")), ElementsAre("ok"));
  EXPECT_THAT(stats.dropped,
              ElementsAre(Pair("duplicate", 1), Pair("few_letters", 1), Pair("id_pattern", 1),
                          Pair("lacks_pattern", 1), Pair("not_ascii", 1), Pair("not_unique", 1),
                          Pair("pattern", 1), Pair("repeated_lines", 1), Pair("repeated_words", 1),
                          Pair("too_few_words", 1), Pair("too_long", 1), Pair("too_short", 1)));
  EXPECT_EQ(stats.samples.at("pattern")[0].id, "spam");
  EXPECT_EQ(stats.samples.at("pattern")[0].detail, "(?i)CLICK here");
  EXPECT_EQ(stats.samples.at("not_unique")[0].detail, "meta.k 1");
  EXPECT_EQ(stats.rows_in, 13u);
  EXPECT_EQ(stats.rows_out, 1u);
}

TEST_F(CleanTest, MessagesAreCleanedOneByOne) {
  const auto from = PutDataset(
      "in", std::vector<MessagesRow>{{"a",
                                      {{"user", " mail me@x.org "},
                                       {"assistant",
                                        "a\x01"
                                        "b"}},
                                      "{}"},
                                     {"b", {{"user", "mail other@x.org"}, {"assistant", "ab"}}, "{}"}});
  CleanOptions options;
  options.redact = {"email"};
  options.normalize.whitespace = Whitespace::kCollapse;
  const CleanStats stats = Clean(from, options);
  EXPECT_THAT(RowsOf<MessagesRow>(root_ / "out"),
              ElementsAre(MessagesRow{"a", {{"user", "mail [EMAIL]"}, {"assistant", "ab"}}, "{}"}));
  EXPECT_THAT(stats.redacted, ElementsAre(Pair("email", 1)));
  EXPECT_THAT(stats.dropped, ElementsAre(Pair("duplicate", 1)));
}

std::vector<TextRow> Documents(int count) {
  static const char* const kWords[] = {"kernel", "module", "loads", "from",   "disk",    "when",
                                       "user",   "asks",   "for",   "driver", "list",    "of",
                                       "files",  "the",    "in",    "order",  "network", "packet"};
  std::vector<TextRow> rows;
  uint64_t state = 3;
  for (int i = 0; i < count; ++i) {
    std::string text;
    for (int w = 0; w < 60; ++w) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      text += std::string(w > 0 ? " " : "") + kWords[(state >> 33) % std::size(kWords)];
    }
    rows.push_back({"doc" + std::to_string(i), text, "", "{}"});
    if (i % 5 == 0) rows.push_back({"near" + std::to_string(i), text + " indeed", "", "{}"});
    if (i % 7 == 0) rows.push_back({"dup" + std::to_string(i), "  " + text + ".", "", "{}"});
  }
  return rows;
}

TEST_F(CleanTest, NearDuplicatesAreFoundAndOnlyThose) {
  CleanOptions options;
  options.near = NearOptions{};
  const CleanStats stats = Clean(PutDataset("in", Documents(200)), options);
  EXPECT_EQ(stats.dropped.at("near_duplicate"), 40u);
  EXPECT_EQ(stats.dropped.at("duplicate"), 29u);
  EXPECT_EQ(stats.rows_out, 200u);
  EXPECT_EQ(stats.samples.at("near_duplicate")[0].detail, "of row 'doc0'");
}

TEST(NearTextsTest, BandsFollowTheThreshold) {
  const NearTexts loose({.threshold = 0.5}), tight({.threshold = 0.95});
  EXPECT_LT(loose.rows(), tight.rows());
  EXPECT_GT(loose.bands(), tight.bands());
}

TEST_F(CleanTest, CleaningTwiceChangesNothingAndIsDeterministic) {
  std::vector<TextRow> rows = Documents(60);
  rows.push_back(
      {"pii", "call +49 170 1234567 or 10.0.0.1, key AKIAABCDEFGHIJKLMNOP, x@y.io555-123-4567", "", "{}"});
  CleanOptions options;
  options.near = NearOptions{};
  options.redact = {"email", "phone", "ip", "key"};
  options.max_repeated_words = 0.9;
  const auto from = PutDataset("in", rows);
  Clean(from, options, "one");
  Clean(from, options, "again");
  const CleanStats second = Clean(root_ / "one", options, "two");
  EXPECT_TRUE(second.dropped.empty());
  EXPECT_EQ(second.changed, 0u);
  const auto bytes = *ReadFile(root_ / "one/part-00000.parquet");
  EXPECT_EQ(*ReadFile(root_ / "again/part-00000.parquet"), bytes);
  EXPECT_EQ(*ReadFile(root_ / "two/part-00000.parquet"), bytes);
}

TEST_F(CleanTest, OnlyARowThatStaysClaimsItsValue) {
  const auto from = PutDataset("in", std::vector<TextRow>{{"a", "Same text", "", R"({"k":"1"})"},
                                                          {"b", "same TEXT!", "", R"({"k":"2"})"},
                                                          {"c", "other text", "", R"({"k":"2"})"},
                                                          {"d", "a third text", "", R"({"k":"2"})"}});
  CleanOptions options;
  options.unique_by = "meta.k";
  const CleanStats stats = Clean(from, options);
  EXPECT_THAT(Ids(RowsOf<TextRow>(root_ / "out")), ElementsAre("a", "c"));
  EXPECT_THAT(stats.dropped, ElementsAre(Pair("duplicate", 1), Pair("not_unique", 1)));
}

TEST_F(CleanTest, MetaIsRedactedToo) {
  const auto from = PutDataset(
      "in",
      std::vector<TextRow>{
          {"a", "text", "",
           R"({"author" : {"mail":"x@y.org", "n":1.50},"tags":["+49 170 1234567","\u00fc\"1.2.3.4"],"x@y.org":"k"})"},
          {"b", "other", "", R"({"mail":"none","\\":"\\"})"}});
  CleanOptions options;
  options.redact = {"email", "phone", "ip"};
  const CleanStats stats = Clean(from, options);
  const auto rows = RowsOf<TextRow>(root_ / "out");
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].meta_json,
            R"({"author" : {"mail":"[EMAIL]", "n":1.50},"tags":["[PHONE]","ü\"[IP]"],"x@y.org":"k"})");
  EXPECT_EQ(rows[1].meta_json, R"({"mail":"none","\\":"\\"})");
  EXPECT_THAT(stats.redacted, ElementsAre(Pair("email", 1), Pair("ip", 1), Pair("phone", 1)));
  EXPECT_EQ(stats.changed, 1u);
}

TEST(SeenTextsTest, GrowsWithoutForgetting) {
  SeenTexts seen;
  EXPECT_FALSE(seen.Contains("7"));
  for (int i = 0; i < 20000; ++i) ASSERT_TRUE(seen.Insert(std::to_string(i)));
  EXPECT_TRUE(seen.Contains("7"));
  EXPECT_FALSE(seen.Contains("20000"));
  for (int i = 0; i < 20000; ++i) ASSERT_FALSE(seen.Insert(std::to_string(i)));
  EXPECT_EQ(seen.size(), 20000u);
}

TEST(RedactorTest, FindsWhatItShouldAndLeavesTheRest) {
  const auto redactor = Redactor::Create({"phone", "email", "ip", "key"});
  ASSERT_TRUE(redactor.ok());
  const auto apply = [&](std::string text) {
    std::map<std::string, uint64_t> counts;
    EXPECT_TRUE(redactor->Apply(&text, &counts).ok());
    return text;
  };
  EXPECT_EQ(apply("Mail jo.doe+x@mail.example.com."), "Mail [EMAIL].");
  EXPECT_EQ(apply("call +1 (555) 123-4567 or 555-123-4567 or (555) 123-4567"),
            "call [PHONE] or [PHONE] or [PHONE]");
  EXPECT_EQ(apply("at 192.168.0.1:80, 2001:db8::1 and fe80:0:0:0:1:2:3:4"), "at [IP]:80, [IP] and [IP]");
  EXPECT_EQ(apply("AKIAABCDEFGHIJKLMNOP sk-proj-abcdefghij0123456789 ghp_" + std::string(36, 'a')),
            "[KEY] [KEY] [KEY]");
  EXPECT_EQ(apply("sk-proj-Ab3_dEf6hIj9-lMn2pQr5_tUv8x."), "[KEY].");
  EXPECT_EQ(apply("-----BEGIN RSA PRIVATE KEY-----\nab-c\n-----END RSA PRIVATE KEY-----"), "[KEY]");
  const std::string endless = "-----BEGIN PRIVATE KEY-----" + std::string(2'000'000, 'x') + "@";
  EXPECT_EQ(apply(endless), endless);
  const char* const kKept[] = {
      "version 1.2.3",     "a@b",   "std::vector", "2024-05-01 12:30:15",
      "1234567890",        "ls -l", "9.1.2.3.4",   "page 100-200",
      "task-force",        "10:20", "300.1.1.1",   "sk-loading-spinner-container-large",
      "gained +100 points"};
  for (const char* text : kKept) EXPECT_EQ(apply(text), text);
}

TEST_F(CleanTest, Errors) {
  CleanOptions options;
  options.redact = {"emial"};
  EXPECT_EQ(CheckClean(options).error().ToString(),
            "redact: 'emial' is nothing that can be redacted\n  hint: did you mean 'email'?");
  options = {};
  options.drop_patterns = {"x", "(x"};
  EXPECT_EQ(CheckClean(options).error().ToString(),
            "drop_patterns[1]: regular expression, column 3: missing closing parenthesis\n    (x\n      ^");
  options = {};
  options.min_chars = 100;
  const auto from = PutDataset("in", std::vector<TextRow>{{"a", "b", "", "{}"}, {"c", "d", "", "{}"}});
  const auto none = CleanDataset(from, options, root_ / "out");
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().ToString(),
            "no row is left (2 too_short)\n  hint: loosen the filter that took most of them");
  options = {};
  options.unique_by = "txt";
  const auto field = CleanDataset(from, options, root_ / "out2");
  ASSERT_FALSE(field.ok());
  EXPECT_EQ(field.error().ToString(), "text rows have no field 'txt'\n  hint: did you mean 'text'?");
}

}  // namespace
}  // namespace genflow::data
