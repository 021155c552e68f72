// What makes a stage run again, and that it is said.
#include <gtest/gtest.h>

#include <regex>

#include "cli/sandbox.h"

namespace genflow {
namespace {

constexpr char kFiles[] = R"(name: keyed
params: { text: one }
stages:
  read:
    uses: test.act
    with: { text: "${{ params.text }}", file: note.txt, files: data/*.txt }
  copy:
    uses: exec
    in: { text: read.out }
    with: { run: 'cat "$GENFLOW_IN_TEXT" tool.sh > "$GENFLOW_OUT_TEXT"', files: [tool.sh] }
    out: { text: file }
)";

class Cache : public testing::Test {
 protected:
  void SetUp() override {
    box.Write("pipeline.yaml", kFiles);
    box.Write("note.txt", "note");
    box.Write("data/a.txt", "a");
    box.Write("data/b.txt", "b");
    box.Write("tool.sh", "tool");
    ASSERT_EQ(box.Genflow({"run"}).code, 0);
    ASSERT_EQ(box.Artifact("copy.text"), "onenoteabtool");
  }
  // The lines of `genflow plan` for the two stages, with DIGEST for the beginnings of digests.
  std::string Plan(const std::vector<std::string>& more = {}) {
    std::vector<std::string> args = {"plan"};
    args.insert(args.end(), more.begin(), more.end());
    const auto plan = box.Genflow(args);
    EXPECT_EQ(plan.code, 0) << plan.err;
    return std::regex_replace(plan.out.substr(0, plan.out.find("\n\n") + 1), std::regex("\\b[0-9a-f]{12}\\b"),
                              "DIGEST");
  }
  Sandbox box;
};

TEST_F(Cache, NothingChanged) {
  EXPECT_EQ(box.Genflow({"plan"}).out,
            "stage  action  why\n"
            "read   cached\n"
            "copy   cached\n"
            "\n"
            "keyed: nothing to do (2 stages cached)\n");
}

TEST_F(Cache, Parameter) {
  EXPECT_EQ(Plan({"-p", "text=two"}),
            "stage  action  why\n"
            "read   run     param 'text' changed: \"one\" -> \"two\"\n"
            "copy   maybe   reads 'read', which will run\n");
  const auto run = box.Genflow({"run", "-p", "text=two"});
  EXPECT_EQ(run.code, 0);
  EXPECT_EQ(box.Artifact("copy.text"), "twonoteabtool");
  const auto back = box.Genflow({"run"});
  EXPECT_EQ(box.Normal(back.out), "keyed: nothing to do (2 stages cached, TIME)\n");
}

TEST_F(Cache, PathContent) {
  box.Write("note.txt", "news");
  EXPECT_EQ(Plan(),
            "stage  action  why\n"
            "read   run     content of 'file' changed: DIGEST -> DIGEST\n"
            "copy   maybe   reads 'read', which will run\n");
}

TEST_F(Cache, FilesChangedAddedAndRemoved) {
  box.Write("data/a.txt", "A");
  box.Write("data/c.txt", "c");
  ASSERT_EQ(box.Shell("rm data/b.txt").code, 0);
  EXPECT_EQ(Plan(),
            "stage  action  why\n"
            "read   run     file 'data/a.txt' changed: DIGEST -> DIGEST\n"
            "               file 'data/b.txt' is gone, was DIGEST\n"
            "               file 'data/c.txt' is new: DIGEST\n"
            "copy   maybe   reads 'read', which will run\n");
}

TEST_F(Cache, TouchedFileWithTheSameBytesIsNoChange) {
  ASSERT_EQ(box.Shell("touch -d '2 days ago' note.txt data/a.txt").code, 0);
  EXPECT_EQ(Plan(), "stage  action  why\nread   cached\ncopy   cached\n");
}

TEST_F(Cache, SameBytesFromAChangedStageStopTheChange) {
  std::string text = kFiles;
  text.replace(text.find("file: note.txt"), 14, "file: copy.txt");
  box.Write("copy.txt", "note");
  box.Write("pipeline.yaml", text);
  // The content is the same, so the key is: names of single files do not count.
  EXPECT_EQ(Plan(), "stage  action  why\nread   cached\ncopy   cached\n");
}

TEST_F(Cache, ExecTextAndFiles) {
  box.Write("tool.sh", "TOOL");
  EXPECT_EQ(Plan(),
            "stage  action  why\nread   cached\ncopy   run     file 'tool.sh' changed: DIGEST -> DIGEST\n");
  box.Write("tool.sh", "tool");
  std::string text = kFiles;
  text.replace(text.find("'cat "), 5, "'cat -u ");
  box.Write("pipeline.yaml", text);
  EXPECT_EQ(Plan(),
            "stage  action  why\n"
            "read   cached\n"
            "copy   run     run text changed:\n"
            "                 - cat \"$GENFLOW_IN_TEXT\" tool.sh > \"$GENFLOW_OUT_TEXT\"\n"
            "                 + cat -u \"$GENFLOW_IN_TEXT\" tool.sh > \"$GENFLOW_OUT_TEXT\"\n");
}

TEST_F(Cache, PluginOfAnotherVersion) {
  box.SetEnv("GENFLOW_PLUGIN_PATH", TEST_PLUGIN_NEXT_FOLDER);
  EXPECT_EQ(Plan(),
            "stage  action  why\n"
            "read   run     stage is version 1.1.0, was 1.0.0\n"
            "copy   maybe   reads 'read', which will run\n");
}

TEST_F(Cache, RebuiltPlugin) {
  ASSERT_EQ(
      box.Shell("mkdir plugins; cp \"$GENFLOW_PLUGIN_PATH\"/test.so plugins/; printf x >> plugins/test.so; " +
                std::string(GENFLOW_BINARY) + " plugin describe plugins/test.so")
          .code,
      0);
  box.SetEnv("GENFLOW_PLUGIN_PATH", (box.dir() / "plugins").string());
  EXPECT_EQ(Plan(),
            "stage  action  why\n"
            "read   run     plugin of 'test.act' changed: DIGEST -> DIGEST\n"
            "copy   maybe   reads 'read', which will run\n");
}

TEST_F(Cache, DamagedOutputIsFoundAndMadeAgain) {
  ASSERT_EQ(
      box.Shell("chmod -R u+w .genflow/objects; for f in .genflow/objects/*/*/data; do printf x > $f; done")
          .code,
      0);
  const auto run = box.Genflow({"run"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(box.Artifact("copy.text"), "onenoteabtool");
}

TEST_F(Cache, DryRunIsPlanAndLeavesNoRun) {
  const auto before = box.Genflow({"runs", "ls"});
  const auto dry = box.Genflow({"run", "--dry-run", "-p", "text=two"});
  EXPECT_EQ(dry.code, 0);
  EXPECT_EQ(dry.out, box.Genflow({"plan", "-p", "text=two"}).out);
  EXPECT_EQ(box.Genflow({"runs", "ls"}).out, before.out);
}

TEST_F(Cache, PlanOfAPipelineThatNeverRanLeavesNoStore) {
  ASSERT_EQ(box.Shell("chmod -R u+w .genflow; rm -r .genflow").code, 0);
  EXPECT_EQ(Plan(),
            "stage  action  why\n"
            "read   run     never ran before\n"
            "copy   maybe   reads 'read', which will run\n");
  EXPECT_FALSE(box.Exists(".genflow"));
}

TEST_F(Cache, ForcedStageInAPlan) {
  EXPECT_EQ(Plan({"--force", "copy"}), "stage  action  why\nread   cached\ncopy   run     forced\n");
}

TEST_F(Cache, OfManyReasonsTheFirstAreSaid) {
  box.Write("pipeline.yaml",
            "name: r\nparams: { text: one }\nstages:\n"
            "  a:\n    uses: test.act\n    with: { text: \"${{ params.text }}\" }\n"
            "  b:\n    uses: exec\n    in: { i: a.out, j: a.out, k: a.out, l: a.out, m: a.out }\n"
            "    with: { run: 'true' }\n");
  ASSERT_EQ(box.Genflow({"run"}).code, 0);
  const auto again = box.Genflow({"run", "-p", "text=two"});
  EXPECT_EQ(box.Normal(again.err),
            "a: started (param 'text' changed: \"one\" -> \"two\")\n"
            "a: ran in TIME\n"
            "b: started (input 'i' changed; input 'j' changed; input 'k' changed; and 1 more)\n"
            "b: ran in TIME\n");
}

}  // namespace
}  // namespace genflow
