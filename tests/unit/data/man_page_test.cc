#include "data/man_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/files.h"
#include "base/strings.h"
#include "data/mdoc.h"
#include "data/roff.h"
#include "text/unicode.h"

namespace genflow::data {
namespace {

ManPage Page(const std::string& file) {
  const auto source = ReadFile(std::filesystem::path(GENFLOW_SOURCE_DIR) / "tests/unit/data/pages" / file);
  EXPECT_TRUE(source.ok());
  auto page = ParseManPage(*source, *ParseManFileName(file));
  EXPECT_TRUE(page.ok() && page->has_value());
  return page.ok() && page->has_value() ? **page : ManPage{};
}

TEST(ManPageTest, ManMacros) {
  const ManPage page = Page("sift.1");
  EXPECT_EQ(page.name, "sift");
  EXPECT_THAT(page.names, testing::ElementsAre("sift", "siftall"));
  EXPECT_EQ(page.section, "1");
  EXPECT_EQ(page.description, "pick lines that match");
  EXPECT_EQ(page.paragraph,
            "sift prints each line that isn't refused by PATTERN, a “regular” expression; see regex(7) for "
            "what \\- "
            "means. It costs 3 €.");
}

TEST(ManPageTest, MdocMacros) {
  const ManPage page = Page("quench.8");
  EXPECT_THAT(page.names, testing::ElementsAre("quench", "quenchd"));
  EXPECT_EQ(page.section, "8");
  EXPECT_EQ(page.description, "OpenBSD-style daemon that cools [hosts]");
  EXPECT_EQ(page.paragraph, "quench reads file (see quench.conf(5)), then cools with -f file or 'now'.");
}

TEST(ManPageTest, PodPreambleLeavesNoTrace) {
  const ManPage page = Page("pod.1");
  EXPECT_EQ(page.description, "a page made by pod2man");
  EXPECT_EQ(page.paragraph, "pod(1) says 'hello' in C and C++.");
}

TEST(ManPageTest, NameSplitOverMacros) {
  const ManPage page = Page("knot.1ssl");
  EXPECT_EQ(page.name, "knot");
  EXPECT_EQ(page.description, "tie \"keys\" together — safely");
  EXPECT_EQ(page.paragraph, "");
}

TEST(ManPageTest, LinksAndLatin1) {
  auto link = ParseManPage(".so man1/x.1\n", {"y", "1"});
  ASSERT_TRUE(link.ok());
  EXPECT_FALSE(link->has_value());
  auto latin = ParseManPage(".SH NAME\nCAF\xc9 \\- brew caf\xe9\n", {"caf\xc3\x89", "1"});
  ASSERT_TRUE(latin.ok());
  EXPECT_EQ((*latin)->description, "brew café");
  auto shouting = ParseManPage(".SH NAME\nLS \\- list\n", {"ls", "1"});
  ASSERT_TRUE(shouting.ok());
  EXPECT_EQ((*shouting)->name, "ls");
}

TEST(ManPageTest, FileNames) {
  EXPECT_EQ(ParseManFileName("ls.1.gz")->stem, "ls");
  EXPECT_EQ(ParseManFileName("openssl-ca.1ssl")->section, "1ssl");
  EXPECT_EQ(ParseManFileName("systemd.unit.5.zst")->stem, "systemd.unit");
  EXPECT_EQ(ParseManFileName("master.8postfix.gz")->section, "8postfix");
  EXPECT_EQ(ParseManFileName("XOpenDisplay.3X11")->section, "3X11");
  EXPECT_EQ(ParseManFileName("lassign.n")->section, "n");
  for (const char* name :
       {"backup.20240101", "old.0", "server.log", "ls.1.xz", "notes.1-draft", "x.1verylongone"}) {
    EXPECT_FALSE(ParseManFileName(name)) << name;
  }
  EXPECT_FALSE(ParseManFileName("README"));
  EXPECT_FALSE(ParseManFileName("notes.txt"));
  EXPECT_FALSE(ParseManFileName(".1"));
}

std::string Text(const std::string& source) {
  RoffReader reader(source);
  RoffLine line;
  std::string out;
  while (reader.Next(&line)) {
    if (line.request.empty())
      out += line.text + "|";
    else
      out += "." + line.request + "(" + testing::PrintToString(line.args) + ")|";
  }
  return out;
}

TEST(RoffTest, Escapes) {
  EXPECT_EQ(Text("a\\-b \\fBc\\f(CWd\\f[]e\\fP \\s-1X\\s0 \\s+2Y\\s(12Z"), "a-b cde X YZ|");
  EXPECT_EQ(Text("\\(bu \\[u00E9] \\[u0065_0301] \\N'65' \\C'ti'"), "• é e\xcc\x81 A ~|");
  EXPECT_EQ(Text("x\\h'1m'y\\v'-.1v'\\w'abc'\\z_\\o'ab'\\|\\^\\&\\,\\/\\:\\%."), "xy0_a.|");
  EXPECT_EQ(Text("back\\eslash \\\\ tick\\(aq \\*(lqq\\*(rq"), "back\\slash \\ tick' “q”|");
  EXPECT_EQ(Text("kept \\\" gone"), "kept |");
  EXPECT_EQ(Text("trailing\\"), "trailing|");
  // Characters of several bytes stay whole: for themselves, as a name, as a delimiter.
  EXPECT_EQ(Text("a\\\u00e9 \\f\u00e9b \\s\u00e9c \\h\u00e91m\u00e9d \\o'\u00e9a' \\(\u00e9\u00e9e"),
            "a\u00e9 b c d \u00e9 e|");
}

TEST(RoffTest, ArgumentsKeepQuotedSpaces) {
  EXPECT_EQ(Text(".B \"a \"\"b\"\" c\" d\\ e f\\\"g"), ".B({ \"a \\\"b\\\" c\", \"d e\", \"f\" })|");
}

TEST(RoffTest, ConditionalsStringsAndDefinitions) {
  EXPECT_EQ(Text(".if n yes\n.if t no\n.ie n a\n.el b\n.ie t c\n.el d"), "yes|a|d|");
  EXPECT_EQ(Text(".if t \\{\\\nhidden\n.if n \\{\\\nalso\n.\\}\n.\\}\nshown"), "shown|");
  EXPECT_EQ(Text(".if n \\{\\\nin block\n.\\}\nafter"), "in block|after|");
  EXPECT_EQ(Text(".ds x one\n.as x \" two\n.nr r 7\n\\*x \\nr \\*(zz!"), "one two 7 !|");
  EXPECT_EQ(Text(".de M\nnever\n..\n.ig\nnever\n..\n.am Q END\nnever\n.END\nshown"), "shown|");
  EXPECT_EQ(Text(".TS\na b\n.TE\nshown"), "shown|");
  EXPECT_EQ(Text(".if '\\*(Aq'\\(aq' same\n.if !'a'b' differ"), "same|differ|");
}

// Whatever bytes a page has, reading ends, and what it gives is UTF-8.
TEST(RoffTest, AnyBytesAreRead) {
  const char* const kPieces[] = {".if ", "\\{",  "\\}",  ".de x",      "..",   "\n",   "\\",
                                 "\\*(", "\\n[", "\"",   ".ie n ",     ".el ", "'",    "\\h'",
                                 "x",    " ",    "\\c",  ".ds a \\*a", "\\[u", ".so ", "\\s",
                                 "\\(",  ".TS",  "\xff", "\\\xe9",     "\\f",  "\\o"};
  uint64_t state = 1;
  const auto pieces = [&](int count) {
    std::string out;
    for (int i = 0; i < count; ++i) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      out += kPieces[(state >> 33) % std::size(kPieces)];
    }
    return out;
  };
  int pages = 0;
  for (int round = 0; round < 3000; ++round) {
    const std::string source = ".SH NAME\nx - y" + pieces(20) + "\n.SH DESCRIPTION\nz" + pieces(20) + "\n";
    const auto page = ParseManPage(source, {"x", "1"});
    if (!page.ok() || !page->has_value()) continue;
    ++pages;
    for (const auto& text : {(*page)->name, (*page)->description, (*page)->paragraph}) {
      ASSERT_TRUE(IsUtf8(text)) << testing::PrintToString(source);
    }
  }
  EXPECT_GT(pages, 1000);
}

TEST(ManPageTest, ItsTextIsUtf8) {
  const auto escaped =
      ParseManPage(".SH NAME\nx \\- br\\\u00e9w\n.SH DESCRIPTION\nA \\\u00e9.\n", {"x", "1"});
  ASSERT_TRUE(escaped.ok());
  EXPECT_EQ((*escaped)->description, "br\u00e9w");
  EXPECT_EQ((*escaped)->paragraph, "A \u00e9.");
  // The name of a file is whatever bytes it has, and stands for .Nm here.
  const auto named = ParseManPage(".Sh NAME\n.Nd run Nm\n.Nm z\n", {"a\xff", "1"});
  ASSERT_TRUE(named.ok()) << named.error().ToString();
  EXPECT_EQ((*named)->description, "run a\ufffd");
}

TEST(MdocTest, Macros) {
  const std::string name = "prog";
  EXPECT_EQ(MdocText("Nm", {}, name), "prog");
  EXPECT_EQ(MdocText("Fl", {"v", "Ar", "file", "."}, name), "-v file.");
  EXPECT_EQ(MdocText("Op", {"Fl", "a", "|", "Fl", "b", "Ar", "x"}, name), "[-a | -b x]");
  EXPECT_EQ(MdocText("Oo", {"Ar", "user", "@", "Oc", "Ns", "Ar", "host"}, name), "[user @]host");
  EXPECT_EQ(MdocText("Xr", {"ls", "1", ",", "Xr", "cat", "1"}, name), "ls(1), cat(1)");
  EXPECT_EQ(MdocText("Fn", {"open", "path"}, name), "open()");
  EXPECT_EQ(MdocText("Dq", {"a", "b", "."}, name), "\"a b\".");
  EXPECT_EQ(MdocText("Dd", {"May"}, name), "");
}

TEST(MdocTest, EnclosuresDeeperThanThirtyTwoAreLeftOut) {
  std::vector<std::string> args(39, "Op");
  args.emplace_back("x");
  EXPECT_EQ(MdocText("Op", args, "prog"), std::string(32, '[') + "x" + std::string(32, ']'));
  const std::vector<std::string> many(300'000, "Op");
  EXPECT_EQ(MdocText("Op", many, "prog"), std::string(32, '[') + std::string(32, ']'));
}

}  // namespace
}  // namespace genflow::data
