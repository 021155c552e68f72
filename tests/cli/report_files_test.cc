// The files that --junit, --summary and --code-quality write, and those they must not.
#include <gtest/gtest.h>

#include "cli/sandbox.h"

namespace genflow {
namespace {

constexpr char kOne[] = "name: one\nstages:\n  a: { uses: exec, with: { run: echo hi } }\n";

class ReportFiles : public testing::Test {
 protected:
  void SetUp() override { box.Write("p.yaml", kOne); }
  void ExpectRefused(const std::vector<std::string>& args, const std::string& error) {
    EXPECT_EQ(box.Refusal(args), error);
    EXPECT_FALSE(box.Exists(".genflow"));
  }
  Sandbox box;
};

TEST_F(ReportFiles, AreNotWrittenOverWhatIsNoReport) {
  ExpectRefused({"run", "--junit", "p.yaml"},
                "error: --junit p.yaml: the file exists and is no report\n"
                "  hint: --junit takes the FILE to write\n");
  ExpectRefused({"run", "p.yaml", "--summary", "./p.yaml"},
                "error: --summary ./p.yaml: that file is the pipeline\n"
                "  hint: --summary takes the FILE to write\n");
  box.Write("values.json", "{}");
  ExpectRefused({"run", "p.yaml", "-f", "values.json", "--junit", "values.json"},
                "error: --junit values.json: that file is a file of parameters\n"
                "  hint: --junit takes the FILE to write\n");
  box.Write("used.yaml", std::string("## used by others\n") + kOne);
  ExpectRefused({"run", "p.yaml", "--summary", "used.yaml"},
                "error: --summary used.yaml: the file exists and is no report\n"
                "  hint: --summary takes the FILE to write\n");
  ExpectRefused({"validate", "p.yaml", "--code-quality", "p.yaml"},
                "error: --code-quality p.yaml: that file is the pipeline\n"
                "  hint: --code-quality takes the FILE to write\n");
  EXPECT_EQ(box.Read("p.yaml"), kOne);
  EXPECT_EQ(box.Read("values.json"), "{}");
}

TEST_F(ReportFiles, NeedAName) {
  ExpectRefused({"run", "p.yaml", "--junit", ""},
                "error: --junit: no file is named\n  hint: `genflow run --help` shows what it takes\n");
}

TEST_F(ReportFiles, ReplaceEarlierReportsAndEmptyFiles) {
  box.Write("quality.json", "");
  for (int i = 0; i < 2; ++i) {
    const auto run = box.Genflow(
        {"run", "p.yaml", "--junit", "j.xml", "--summary", "s.md", "--code-quality", "quality.json"});
    EXPECT_EQ(run.code, 0) << run.err;
  }
  EXPECT_EQ(box.Read("j.xml").substr(0, 5), "<?xml");
  EXPECT_EQ(box.Read("s.md").substr(0, 7), "## one:");
  EXPECT_EQ(box.Read("quality.json"), "[]\n");
}

TEST_F(ReportFiles, GoIntoDevicesAndPipes) {
  const auto run = box.Shell("mkfifo pipe; cat pipe > got & " + std::string(GENFLOW_BINARY) +
                             " run -q p.yaml --junit pipe --summary /dev/null; code=$?; wait; exit $code");
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(box.Read("got").substr(0, 5), "<?xml");
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/null"));
  const auto full = box.Genflow({"run", "p.yaml", "--summary", "/dev/full"});
  EXPECT_EQ(full.code, 1);
  EXPECT_NE(full.err.find("error: --summary /dev/full: /dev/full: "), std::string::npos) << full.err;
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/full"));
}

}  // namespace
}  // namespace genflow
