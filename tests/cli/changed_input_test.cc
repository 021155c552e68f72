// What a stage reads changes while it runs, or it ends with 0 half done: the cache must not answer with that.
#include <gtest/gtest.h>

#include "cli/sandbox.h"

namespace genflow {
namespace {

bool Says(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

constexpr char kCopy[] =
    "name: p\nstages:\n  a:\n    uses: exec\n    with: { files: [in.txt], run: 'touch started; while [ -e "
    "hold ]; do sleep 0.02; done; cat in.txt > \"$GENFLOW_OUT_X\"' }\n"
    "    out: { x: file }\n";

// Runs the pipeline, and replaces in.txt by `text` while its stage runs.
CommandResult RunAndChange(const Sandbox& box, const std::string& text) {
  box.Write("hold", "");
  box.Shell("rm -f started");
  auto run = box.Start({"run"});
  EXPECT_TRUE(box.WaitFor("test -e started"));
  box.Write("in.txt", text);
  box.Shell("rm hold");
  return run.Wait();
}

TEST(ChangedInput, AFileThatChangesWhileItIsReadLeavesNoCachedAnswer) {
  Sandbox box;
  box.Write("pipeline.yaml", kCopy);
  box.Write("in.txt", "old\n");
  const auto changed = RunAndChange(box, "new\n");
  EXPECT_EQ(changed.code, 0) << changed.err;
  EXPECT_TRUE(Says(changed.err, "a: file 'in.txt' changed while it ran: the next run repeats it\n"))
      << changed.err;
  EXPECT_EQ(box.Artifact("a.x"), "new\n");
  // Neither text has an answer, and a store made anew from its objects has none, either.
  box.Write("in.txt", "old\n");
  box.Shell("rm .genflow/store.db*");
  EXPECT_TRUE(Says(box.Genflow({"run"}).out, "a      ran ")) << "old";
  EXPECT_EQ(box.Artifact("a.x"), "old\n");
  EXPECT_TRUE(Says(box.Genflow({"run"}).out, "nothing to do"));
  box.Write("in.txt", "new\n");
  EXPECT_TRUE(Says(box.Genflow({"run"}).out, "a      ran ")) << "new";
  EXPECT_EQ(box.Genflow({"fsck"}).code, 0);
}

TEST(ChangedInput, AFileAtAnInputCountsTheSame) {
  Sandbox box;
  box.Write(
      "pipeline.yaml",
      "name: p\nstages:\n  a:\n    uses: exec\n    in: { i: { file: in.txt } }\n"
      "    with: { run: 'touch started; while [ -e hold ]; do sleep 0.02; done; cat \"$GENFLOW_IN_I\" > "
      "\"$GENFLOW_OUT_X\"' }\n    out: { x: file }\n");
  box.Write("in.txt", "old\n");
  const auto changed = RunAndChange(box, "new\n");
  EXPECT_EQ(changed.code, 0) << changed.err;
  EXPECT_TRUE(Says(changed.err, "a: input 'in.txt' changed while it ran: the next run repeats it\n"))
      << changed.err;
  box.Write("in.txt", "old\n");
  EXPECT_EQ(box.Genflow({"run"}).code, 0);
  EXPECT_EQ(box.Artifact("a.x"), "old\n");
}

TEST(ChangedInput, ARetryReadsWhatIsThereThen) {
  Sandbox box;
  box.Write("pipeline.yaml",
            "name: p\nstages:\n  a:\n    uses: exec\n    retries: { max: 1, backoff: 10ms }\n"
            "    with: { files: [in.txt], run: 'if [ ! -e tried ]; then touch tried; echo new > in.txt; exit "
            "1; fi; cat in.txt > "
            "\"$GENFLOW_OUT_X\"' }\n    out: { x: file }\n");
  box.Write("in.txt", "old\n");
  EXPECT_EQ(box.Genflow({"run"}).code, 0);
  EXPECT_EQ(box.Artifact("a.x"), "new\n");
  EXPECT_TRUE(Says(box.Genflow({"run"}).out, "nothing to do"));
  box.Write("in.txt", "old\n");
  EXPECT_EQ(box.Genflow({"run"}).code, 0);
  EXPECT_EQ(box.Artifact("a.x"), "old\n");
}

TEST(ChangedInput, AStageThatWritesToItsInputFails) {
  Sandbox box;
  box.Write("pipeline.yaml",
            "name: p\nstages:\n  a:\n    uses: exec\n    with: { run: 'echo data > \"$GENFLOW_OUT_X\"' }\n"
            "    out: { x: file }\n"
            "  b:\n    uses: exec\n    in: { x: a.x }\n"
            "    with: { files: [edit], run: 'if [ -s edit ]; then sed -i s/data/evil/ \"$GENFLOW_IN_X\"; "
            "fi; cat \"$GENFLOW_IN_X\" > "
            "\"$GENFLOW_OUT_Y\"' }\n    out: { y: file }\n");
  box.Write("edit", "yes");
  const auto run = box.Genflow({"run"});
  EXPECT_EQ(run.code, 1) << run.out;
  EXPECT_TRUE(Says(run.err, "error: b: was given a.x (")) << run.err;
  EXPECT_TRUE(Says(run.err, "), which is damaged: ")) << run.err;
  box.Write("edit", "");
  const auto again = box.Genflow({"run"});
  EXPECT_EQ(again.code, 0) << again.err;
  EXPECT_TRUE(Says(again.out, "a      ran ")) << again.out;
  EXPECT_EQ(box.Artifact("b.y"), "data\n");
}

TEST(ChangedInput, ACommandThatEndsWithZeroWhenAskedToStopHasNotSucceeded) {
  Sandbox box;
  box.Write("pipeline.yaml",
            "name: p\nstages:\n  a:\n    uses: exec\n    timeout: 300ms\n"
            "    with: { run: 'trap \"exit 0\" TERM; echo half > \"$GENFLOW_OUT_X\"; while true; do sleep "
            "0.02; done' }\n"
            "    out: { x: file }\n");
  const auto late = box.Genflow({"run"});
  EXPECT_EQ(late.code, 1) << late.out;
  EXPECT_TRUE(Says(late.err, "ran longer than its timeout of 300 ms")) << late.err;
  box.Shell("sed -i 's/300ms/1m/' pipeline.yaml");
  auto run = box.Start({"run"});
  ASSERT_TRUE(run.WaitForError("a: started"));
  ASSERT_TRUE(box.WaitFor("find .genflow/staging -name x | grep -q ."));
  run.Signal(SIGTERM);
  EXPECT_NE(run.Wait().code, 0);
  EXPECT_FALSE(Says(box.Genflow({"plan"}).out, "nothing to do"));
}

TEST(ChangedInput, BytesThatAreNoTextAreRefused) {
  Sandbox box;
  box.Write(
      "pipeline.yaml",
      "name: p\nparams: { x: a }\nstages:\n  a:\n    uses: exec\n    env: { FOO: '${{ env.FOO }}' }\n"
      "    with: { run: 'printenv FOO > \"$GENFLOW_OUT_X\"; echo ${{ params.x }}' }\n    out: { x: file }\n");
  box.SetEnv("FOO", "\xff");
  const auto env = box.Genflow({"run"});
  EXPECT_NE(env.code, 0) << env.out;
  EXPECT_TRUE(Says(env.err, "env FOO is not UTF-8 text")) << env.err;
  box.SetEnv("FOO", "f");
  const auto param = box.Genflow({"run", "-p", "x=\xff"});
  EXPECT_EQ(param.code, 2) << param.err;
  EXPECT_TRUE(Says(param.err, "error: -p x: its value is not UTF-8 text\n")) << param.err;
}

}  // namespace
}  // namespace genflow
