#include "data/csv.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "data/byte_source.h"
#include "read_fixture.h"

namespace genflow::data {
namespace {

class CsvTest : public ReadTest {};

TEST_F(CsvTest, WithQuotesAndLineEnds) {
  const auto file = Put("x.csv", "\xEF\xBB\xBFid,text,note\r\n1,\"a, \"\"b\"\"\nc\",\r\n\r\n2,plain,n\n");
  ASSERT_TRUE(Read({file}).ok());
  EXPECT_THAT(RowsOf<TextRow>(root_ / "out"),
              testing::ElementsAre(TextRow{"1", "a, \"b\"\nc", "x.csv", R"({"note":""})"},
                                   TextRow{"2", "plain", "x.csv", R"({"note":"n"})"}));
  const auto tabs = Put("x.tsv", "text\tn\na,b\t1\n");
  ASSERT_TRUE(Read({tabs}).ok());
  EXPECT_THAT(RowsOf<TextRow>(root_ / "out"),
              testing::ElementsAre(TextRow{"x.tsv:2", "a,b", "x.tsv", R"({"n":"1"})"}));
}

TEST_F(CsvTest, Errors) {
  const auto first_line = [&](const char* text) {
    const auto file = Put("x.csv", text);
    const std::string whole = ErrorOf({file});
    return whole.substr(file.string().size(), whole.find('\n') - file.string().size());
  };
  EXPECT_EQ(first_line("id,text\n1,a\n2,b,c\n"), ":3: the record has 3 fields where the header names 2");
  EXPECT_EQ(first_line("id,text\n1,\"a\n"), ":2: a quoted field is never closed");
  EXPECT_EQ(first_line("id,text\n1,\"a\"b\n"), ":2: text stands after a closing quote");
}

TEST_F(CsvTest, ErrorsThatAreNotSkipped) {
  ReadOptions options;
  options.skip_bad = true;
  const auto error = [&](const std::string& text) {
    const auto file = Put("x.csv", text);
    const std::string whole = ErrorOf({file}, options);
    EXPECT_TRUE(whole.starts_with(file.string())) << whole;
    return whole.substr(std::min(whole.size(), file.string().size()));
  };
  const std::string hint = "\n  hint: a quote that belongs to a quoted field is written twice: \"\"";
  EXPECT_EQ(error("id,text\n1,a\n2,\"b\n3,c\n"), ":3: a quoted field is never closed" + hint);
  EXPECT_EQ(error("id,\"te\"xt\n1,a\n"), ":1: text stands after a closing quote");
  EXPECT_EQ(error("id,te\xe9xt\n1,a\n"), ":1: the header is not UTF-8");
  EXPECT_EQ(error("id,text\n1," + std::string(65 << 20, 'x')), ":2: the line is longer than 64.0 MiB");

  const auto file = Put("x.csv", "id,text\n1,\"a\"b\n2,c\n");
  const auto stats = Read({file}, options);
  ASSERT_TRUE(stats.ok()) << stats.error().ToString();
  EXPECT_EQ(stats->problems,
            std::vector<std::string>{file.string() + ":2: text stands after a closing quote"});
  EXPECT_THAT(RowsOf<TextRow>(root_ / "out"), testing::ElementsAre(TextRow{"2", "c", "x.csv", "{}"}));
}

TEST_F(CsvTest, RecordsHaveALimit) {
  const auto file = Put("x.csv", "a,b\n\n1,\"2\n3\"\n4,\"" + std::string(40, '\n'));
  auto source = ByteSource::Open(file);
  ASSERT_TRUE(source.ok());
  LineReader lines(source->get(), "x.csv");
  CsvReader csv(&lines, ',', 32);
  std::vector<std::string> fields;
  ASSERT_TRUE(csv.Next(&fields).value());
  ASSERT_TRUE(csv.Next(&fields).value());
  EXPECT_EQ(fields, (std::vector<std::string>{"1", "2\n3"}));
  EXPECT_EQ(csv.line(), 3u);
  const auto more = csv.Next(&fields);
  ASSERT_FALSE(more.ok());
  EXPECT_EQ(more.error().code, Code::kCorrupt);
  EXPECT_EQ(more.error().message, "x.csv:5: the record is longer than 32 B");
}

}  // namespace
}  // namespace genflow::data
