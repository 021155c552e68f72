#include <gmock/gmock.h>

#include <algorithm>
#include <map>
#include <set>

#include "data/format.h"
#include "data/split.h"
#include "data/template.h"
#include "test_folder.h"

namespace genflow::data {
namespace {

using testing::ElementsAre;

class SplitTest : public FolderTest {
 protected:
  // `count` rows in groups of differing size.
  static std::vector<TextRow> Rows(int count) {
    std::vector<TextRow> rows;
    for (int i = 0; i < count; ++i) {
      const std::string group = "g" + std::to_string(i % 3 == 0 ? i / 9 : i);
      rows.push_back(
          {"r" + std::to_string(i), "text " + std::to_string(i), "", R"({"name":")" + group + "\"}"});
    }
    return rows;
  }
  Result<SplitStats> Split(const std::filesystem::path& from, double train, double test, double validation,
                           const SplitOptions& options, const std::string& to) {
    std::vector<SplitPart> parts = {{"train", root_ / to / "train", train},
                                    {"test", root_ / to / "test", test}};
    if (validation > 0) parts.push_back({"validation", root_ / to / "validation", validation});
    return SplitDataset(from, parts, options);
  }
  std::map<std::string, std::string> PartOfRow(const std::string& to, const std::vector<std::string>& parts) {
    std::map<std::string, std::string> out;
    for (const auto& part : parts) {
      for (const auto& row : RowsOf<TextRow>(root_ / to / part)) {
        EXPECT_TRUE(out.emplace(row.id, part).second) << row.id << " twice";
      }
    }
    return out;
  }
};

TEST_F(SplitTest, NoGroupIsInTwoParts) {
  const auto rows = Rows(500);
  const auto from = PutDataset("in", rows);
  for (uint64_t seed = 0; seed < 5; ++seed) {
    const std::string to = "s" + std::to_string(seed);
    const auto stats = Split(from, 0, 0.2, 50, {"meta.name", seed}, to);
    ASSERT_TRUE(stats.ok()) << stats.error().ToString();
    const auto part = PartOfRow(to, {"train", "test", "validation"});
    EXPECT_EQ(part.size(), 500u);
    std::map<std::string, std::string> of_group;
    for (const auto& row : rows) {
      const auto [it, fresh] = of_group.emplace(row.meta_json, part.at(row.id));
      EXPECT_EQ(it->second, part.at(row.id)) << row.meta_json;
    }
    EXPECT_EQ(stats->part_rows[1], 100u);
    EXPECT_EQ(stats->part_rows[2], 50u);
    EXPECT_EQ(stats->part_rows[0], 350u);
    EXPECT_EQ(stats->unused, 0u);
  }
}

TEST_F(SplitTest, OrderOfRowsDoesNotMatterAndSeedsDo) {
  auto rows = Rows(300);
  ASSERT_TRUE(Split(PutDataset("in", rows), 100, 30, 0, {"meta.name", 1}, "a").ok());
  std::reverse(rows.begin(), rows.end());
  const auto reversed = PutDataset("reversed", rows);
  ASSERT_TRUE(Split(reversed, 100, 30, 0, {"meta.name", 1}, "b").ok());
  ASSERT_TRUE(Split(reversed, 100, 30, 0, {"meta.name", 2}, "c").ok());
  const std::vector<std::string> parts = {"train", "test"};
  EXPECT_EQ(PartOfRow("a", parts), PartOfRow("b", parts));
  EXPECT_NE(PartOfRow("a", parts), PartOfRow("c", parts));
}

TEST_F(SplitTest, TestPartStaysWhenTheTrainingPartGrows) {
  const auto from = PutDataset("in", Rows(300));
  ASSERT_TRUE(Split(from, 100, 30, 0, {}, "a").ok());
  ASSERT_TRUE(Split(from, 200, 30, 0, {}, "b").ok());
  EXPECT_EQ(RowsOf<TextRow>(root_ / "a/test"), RowsOf<TextRow>(root_ / "b/test"));
  const auto stats = Split(from, 200, 30, 0, {}, "c");
  EXPECT_EQ(stats->part_rows, (std::vector<uint64_t>{200, 30}));
  EXPECT_EQ(stats->unused, 70u);
}

TEST_F(SplitTest, RoundedSharesUseEveryRow) {
  // 13.5 and 1.5 rows, which would be 14 and 2.
  const auto two = Split(PutDataset("fifteen", Rows(15)), 0.9, 0.1, 0, {}, "two");
  ASSERT_TRUE(two.ok()) << two.error().ToString();
  EXPECT_EQ(two->part_rows, (std::vector<uint64_t>{13, 2}));
  const auto three = Split(PutDataset("six", Rows(6)), 0.5, 0.25, 0.25, {}, "three");
  ASSERT_TRUE(three.ok()) << three.error().ToString();
  EXPECT_EQ(three->part_rows, (std::vector<uint64_t>{2, 2, 2}));
  const auto rows = Split(root_ / "fifteen", 0.9, 2, 0, {}, "rows");
  ASSERT_FALSE(rows.ok());
  EXPECT_EQ(rows.error().message, "the parts want 16 rows (train 14, test 2) where the dataset has 15");
}

TEST_F(SplitTest, GroupByContent) {
  const auto from = PutDataset(
      "in", std::vector<TextRow>{{"a", "x", "", "{}"}, {"b", "x", "", "{}"}, {"c", "y", "", "{}"}});
  const auto stats = Split(from, 0, 1, 0, {"content", 0}, "o");
  ASSERT_TRUE(stats.ok()) << stats.error().ToString();
  EXPECT_EQ(stats->groups, 2u);
  EXPECT_THAT(RowsOf<TextRow>(root_ / "o/test"), ElementsAre(TextRow{"c", "y", "", "{}"}));
}

TEST_F(SplitTest, Refusals) {
  const auto from =
      PutDataset("in", std::vector<TextRow>{{"a", "x", "", R"({"k":1})"}, {"b", "x", "", "{}"}});
  const auto error = [&](double train, double test, const std::string& group) {
    const auto stats = Split(from, train, test, 0, {group, 0}, "o");
    return stats.ok() ? "no error" : stats.error().ToString();
  };
  EXPECT_EQ(error(10, 1, "id"),
            "the parts want 11 rows (train 10, test 1) where the dataset has 2\n"
            "  hint: ask for fewer rows, or for shares such as 0.1");
  EXPECT_EQ(error(0, 1, "content"),
            "the part 'test' would be empty: the dataset has 2 rows in 1 group of content\n"
            "  hint: give it a larger size, more data, or group by another field");
  EXPECT_EQ(error(0, 1, "meta.k"),
            "row 'b' has no meta.k to group by\n  hint: group_by: id keeps each row a group of its own");
  EXPECT_EQ(error(0, 1, "idd"), "text rows have no field 'idd'\n  hint: did you mean 'id'?");
}

class FormatTest : public FolderTest {
 protected:
  std::string Expand(const std::string& source, const TextRow& row) {
    const auto compiled = Template::Compile(source);
    if (!compiled.ok()) return compiled.error().ToString();
    const AnyRow any = row;
    FieldReader fields;
    fields.Set(any);
    std::string missing;
    return compiled->Expand(&fields, &missing).value_or("missing " + missing);
  }
};

TEST_F(FormatTest, PlaceholdersAndFilters) {
  const TextRow row{"ls(1)", "list  directory\ncontents ", "ls.1.gz",
                    R"({"name":"LS","n":1,"a":{"b":"deep"},"x.y":"dotted","none":null})"};
  EXPECT_EQ(Expand("{id} {meta.name|lower} {meta.n} {meta.a.b} {meta.x.y}", row), "ls(1) ls 1 deep dotted");
  EXPECT_EQ(Expand("{{{id}}}", row), "{ls(1)}");
  EXPECT_EQ(Expand("{text|sentence}", row), "List directory contents.");
  EXPECT_EQ(Expand("{text|oneline|truncate:10}", row), "list");
  EXPECT_EQ(Expand("{meta.none|default:n/a}", row), "n/a");
  EXPECT_EQ(Expand("{meta.none}", row), "missing meta.none");
  const auto filtered = [&](const std::string& filter, const std::string& text) {
    return Expand("{text|" + filter + "}", TextRow{"a", text, "", "{}"});
  };
  EXPECT_EQ(filtered("capitalize", "éa"), "Éa");
  EXPECT_EQ(filtered("uncapitalize", "List files"), "list files");
  EXPECT_EQ(filtered("uncapitalize", "GNU make"), "GNU make");
  EXPECT_EQ(filtered("period", "is it?"), "is it?");
  EXPECT_EQ(filtered("no_period", "stop.."), "stop");
  EXPECT_EQ(filtered("first_sentence", "See e.g. this. Then that."), "See e.g. this.");
  EXPECT_EQ(filtered("upper", "straße"), "STRASSE");
  EXPECT_EQ(filtered("truncate:3", "äöüß"), "äöü");
}

TEST_F(FormatTest, TemplateErrors) {
  const TextRow row;
  EXPECT_EQ(Expand("a {text", row),
            "'{' is never closed in the template 'a {text'\n  hint: write {{ for a brace");
  EXPECT_EQ(Expand("a }", row), "'}' closes nothing in the template 'a }'\n  hint: write }} for a brace");
  EXPECT_EQ(Expand("{}", row), "'{}' names no field in the template '{}'");
  EXPECT_EQ(
      Expand("{text|sentense}", row),
      "there is no filter 'sentense' in the template '{text|sentense}'\n  hint: did you mean 'sentence'?");
  EXPECT_EQ(
      Expand("{text|truncate}", row),
      "filter 'truncate' wants a number of characters, as in truncate:80 in the template '{text|truncate}'");
  EXPECT_EQ(Expand("{text|lower:x}", row),
            "filter 'lower' takes no argument in the template '{text|lower:x}'");
}

TEST_F(FormatTest, MessagesWithVariants) {
  std::vector<TextRow> rows;
  for (int i = 0; i < 40; ++i)
    rows.push_back({"p" + std::to_string(i), "do it", "", R"({"name":"n)" + std::to_string(i) + "\"}"});
  rows.push_back({"empty", " ", "", R"({"name":"e"})"});
  rows.push_back({"nameless", "x", "", "{}"});
  FormatOptions options;
  options.system = "Be brief.";
  options.user = {"What does {meta.name} do?", "Explain {meta.name}."};
  options.assistant = "{meta.name}: {text|sentence}";
  const auto stats = FormatDataset(PutDataset("in", rows), options, root_ / "out");
  ASSERT_TRUE(stats.ok()) << stats.error().ToString();
  EXPECT_EQ(stats->rows_out, 40u);
  EXPECT_THAT(stats->dropped, ElementsAre(testing::Pair("meta.name", 1), testing::Pair("text", 1)));
  std::set<std::string> questions;
  const auto made = RowsOf<MessagesRow>(root_ / "out");
  for (const auto& row : made) {
    ASSERT_EQ(row.messages.size(), 3u);
    questions.insert(row.messages[1].content.substr(0, 4));
  }
  EXPECT_EQ(questions, (std::set<std::string>{"Expl", "What"}));
  EXPECT_EQ(made[3].messages[2], (Message{"assistant", "n3: Do it."}));
  EXPECT_EQ(made[3].meta_json, R"({"name":"n3"})");

  // The variant hangs on the id, not on the place.
  std::reverse(rows.begin(), rows.end());
  ASSERT_TRUE(FormatDataset(PutDataset("reversed", rows), options, root_ / "out2").ok());
  auto other = RowsOf<MessagesRow>(root_ / "out2");
  std::reverse(other.begin(), other.end());
  EXPECT_EQ(other, made);

  options.fail_on_empty = true;
  const auto failed = FormatDataset(root_ / "in", options, root_ / "out3");
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().ToString(),
            "row 'empty' has a missing or empty field 'text'\n"
            "  hint: on_empty: drop leaves such rows out, {text|default:...} fills them in");
}

TEST_F(FormatTest, PreferencesBecomeMessagesAndBack) {
  const auto pairs = PutDataset("p", std::vector<PreferenceRow>{{"a", "q", "good", "bad", "{}"}});
  FormatOptions options;
  options.user = {"{prompt}"};
  options.assistant = "{chosen}";
  ASSERT_TRUE(FormatDataset(pairs, options, root_ / "m").ok());
  EXPECT_THAT(RowsOf<MessagesRow>(root_ / "m"),
              ElementsAre(MessagesRow{"a", {{"user", "q"}, {"assistant", "good"}}, "{}"}));
  FormatOptions back;
  back.to = Kind::kPreference;
  back.prompt = "{user}";
  back.chosen = "{assistant}";
  back.rejected = "no";
  ASSERT_TRUE(FormatDataset(root_ / "m", back, root_ / "b").ok());
  EXPECT_THAT(RowsOf<PreferenceRow>(root_ / "b"), ElementsAre(PreferenceRow{"a", "q", "good", "no", "{}"}));
  FormatOptions text;
  text.to = Kind::kText;
  text.text = "{content}";
  ASSERT_TRUE(FormatDataset(root_ / "m", text, root_ / "t").ok());
  EXPECT_THAT(RowsOf<TextRow>(root_ / "t"), ElementsAre(TextRow{"a", "q\ngood", "", "{}"}));
}

TEST_F(FormatTest, UnknownFieldsAreRefusedUpFront) {
  const auto from = PutDataset("in", std::vector<TextRow>{{"a", "x", "", R"({"name":"n","section":"1"})"}});
  const auto error = [&](const std::string& user) {
    FormatOptions options;
    options.user = {user};
    const auto stats = FormatDataset(from, options, root_ / "out");
    return stats.ok() ? "no error" : stats.error().ToString();
  };
  EXPECT_EQ(error("{meta.nmae}"), "no row has the field 'meta.nmae'\n  hint: did you mean 'meta.name'?");
  EXPECT_EQ(error("{txt}"), "text rows have no field 'txt'\n  hint: did you mean 'text'?");
  EXPECT_EQ(error("{prompt}"),
            "text rows have no field 'prompt'\n"
            "  hint: they have id, text, source, content and what is below meta, such as meta.name");
  EXPECT_FALSE(std::filesystem::exists(root_ / "out"));
  FormatOptions none;
  EXPECT_EQ(CheckFormat(none).error().message, "user is needed to make messages rows");
  none.user = {"{x"};
  EXPECT_EQ(CheckFormat(none).error().message, "user: '{' is never closed in the template '{x'");
  none.user = {"x", "{x\ny"};
  EXPECT_EQ(CheckFormat(none).error().message, "user[1]: '{' is never closed in the template '{x…'");
}

TEST_F(FormatTest, FieldsMayComeLateOrHaveADefault) {
  std::vector<TextRow> rows;
  for (int i = 0; i < 1500; ++i)
    rows.push_back({"r" + std::to_string(i), "x", "", i == 1400 ? R"({"late":"l"})" : R"({"name":"n"})"});
  const auto from = PutDataset("in", rows);
  FormatOptions options;
  options.user = {"{meta.late}"};
  const auto late = FormatDataset(from, options, root_ / "late");
  ASSERT_TRUE(late.ok()) << late.error().ToString();
  EXPECT_THAT(RowsOf<MessagesRow>(root_ / "late"),
              ElementsAre(MessagesRow{"r1400", {{"user", "l"}}, R"({"late":"l"})"}));
  options.user = {"{meta.none|default:nothing|upper}"};
  const auto none = FormatDataset(from, options, root_ / "none");
  ASSERT_TRUE(none.ok()) << none.error().ToString();
  EXPECT_EQ(none->rows_out, 1500u);
  // A default that is blank is none.
  options.user = {"{meta.nmae|default: }"};
  const auto blank = FormatDataset(from, options, root_ / "blank");
  ASSERT_FALSE(blank.ok());
  EXPECT_EQ(blank.error().ToString(), "no row has the field 'meta.nmae'\n  hint: did you mean 'meta.name'?");
}

}  // namespace
}  // namespace genflow::data
