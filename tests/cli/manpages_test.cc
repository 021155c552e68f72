// Manual pages: one for each command, and right troff.
#include <gtest/gtest.h>

#include <filesystem>
#include <regex>
#include <set>
#include <sstream>

#include "cli/sandbox.h"

namespace genflow {
namespace {

// The commands that help lists.
std::set<std::string> Commands(const Sandbox& box) {
  std::set<std::string> out;
  std::istringstream lines(box.Genflow({"--help"}).out);
  bool inside = false;
  for (std::string line; std::getline(lines, line);) {
    if (line == "Subcommands:") {
      inside = true;
    } else if (inside && line.starts_with("  ") && line[2] != ' ') {
      out.insert(line.substr(2, line.find(' ', 2) - 2));
    } else if (line.empty()) {
      inside = false;
    }
  }
  return out;
}

TEST(Manpages, EveryCommandHasItsPage) {
  Sandbox box;
  ASSERT_EQ(box.Genflow({"manpages", "man1"}).code, 0);
  const auto commands = Commands(box);
  EXPECT_GT(commands.size(), 10u);
  std::set<std::string> expected = {"genflow.1"}, found;
  for (const auto& command : commands) expected.insert("genflow-" + command + ".1");
  for (const auto& entry : std::filesystem::directory_iterator(box.dir() / "man1"))
    found.insert(entry.path().filename().string());
  EXPECT_EQ(found, expected);
  const std::string main = box.Read("man1/genflow.1");
  for (const auto& command : commands)
    EXPECT_NE(main.find("\\fBgenflow\\-" + command + "\\fR(1)"), std::string::npos) << command;
}

TEST(Manpages, APageSaysWhatHelpSays) {
  Sandbox box;
  ASSERT_EQ(box.Genflow({"manpages", "man1"}).code, 0);
  const std::string gc = box.Read("man1/genflow-gc.1");
  EXPECT_NE(gc.find(".SH NAME\ngenflow\\-gc \\- Free what no kept run reaches\n"
                    ".SH SYNOPSIS\n\\fBgenflow gc\\fR [\\fIOPTIONS\\fR]\n"),
            std::string::npos)
      << gc;
  EXPECT_NE(gc.find(".TP\n\\fB\\-n\\fR, \\fB\\-\\-dry\\-run\\fR\nSay what would go, and remove nothing.\n"),
            std::string::npos)
      << gc;
  EXPECT_NE(gc.find(".SH EXAMPLES\n.EX\n  genflow gc \\-\\-keep\\-last 10 \\-\\-dry\\-run\n  genflow gc "
                    "\\-\\-keep\\-days 30\n.EE\n"),
            std::string::npos)
      << gc;
  const std::string runs = box.Read("man1/genflow-runs.1");
  EXPECT_NE(
      runs.find(".SS runs tag\n\\fBgenflow runs tag\\fR [\\fIOPTIONS\\fR] \\fIRUN\\fR \\fITAG\\fR ...\n"),
      std::string::npos)
      << runs;
}

// What can be checked without troff: known requests, fonts that end where they begin, blocks that are closed.
TEST(Manpages, RequestsAndEscapesAreKnown) {
  Sandbox box;
  ASSERT_EQ(box.Genflow({"manpages", "man1"}).code, 0);
  static const std::set<std::string> requests = {".TH", ".SH", ".SS", ".TP", ".PP", ".EX", ".EE", ".I"};
  static const std::regex escape("\\\\(f[BIR]|e|-|&|\\((aq|ga|ha|ti))");
  for (const auto& entry : std::filesystem::directory_iterator(box.dir() / "man1")) {
    const std::string name = entry.path().filename().string();
    std::istringstream lines(box.Read("man1/" + name));
    bool block = false;
    for (std::string line; std::getline(lines, line);) {
      ASSERT_FALSE(line.empty()) << name << " has an empty line";
      if (line[0] == '.') {
        const std::string request = line.substr(0, line.find(' '));
        EXPECT_EQ(requests.count(request), 1u) << name << ": " << line;
        if (request == ".EX") block = true;
        if (request == ".EE") block = false;
      }
      std::string last_font = "R", left;
      for (std::sregex_iterator it(line.begin(), line.end(), escape), end; it != end; ++it) {
        if (it->str()[1] == 'f') last_font = it->str().substr(2);
      }
      EXPECT_EQ(last_font, "R") << name << ": " << line;
      left = std::regex_replace(line, escape, "");
      EXPECT_EQ(left.find('\\'), std::string::npos) << name << ": " << line;
    }
    EXPECT_FALSE(block) << name;
  }
}

TEST(Manpages, GroffHasNothingToSay) {
  Sandbox box;
  if (box.Shell("command -v groff").code != 0) GTEST_SKIP() << "groff is not installed";
  ASSERT_EQ(box.Genflow({"manpages", "man1"}).code, 0);
  const auto result = box.Shell("for page in man1/*; do groff -man -ww -Tutf8 -z \"$page\"; done");
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(result.out + result.err, "");
  const auto text = box.Shell("groff -man -ww -Tutf8 -P-cbou -rLL=78n man1/genflow-run.1");
  EXPECT_NE(text.out.find("genflow run [OPTIONS] [PIPELINE]"), std::string::npos) << text.out;
}

}  // namespace
}  // namespace genflow
