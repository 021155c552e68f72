// Pipelines that run: order, outputs, selection, resources.
#include <gtest/gtest.h>

#include "cli/sandbox.h"

namespace genflow {
namespace {

constexpr char kChain[] = R"(name: chain
params: { text: one }
stages:
  first:
    uses: test.act
    with: { text: "${{ params.text }} " }
  second:
    uses: test.act
    in: { in: first.out }
    with: { text: "two " }
  third:
    uses: exec
    in: { text: second.out }
    with: { run: 'cat "$GENFLOW_IN_TEXT" > "$GENFLOW_OUT_ALL"; printf three >> "$GENFLOW_OUT_ALL"' }
    out: { all: file }
)";

TEST(Run, StagesInOrderWithTheirOutputs) {
  Sandbox box;
  box.Write("pipeline.yaml", kChain);
  const auto run = box.Genflow({"run"});
  EXPECT_EQ(run.code, 0);
  EXPECT_EQ(box.Normal(run.out),
            "stage   status time  note\n"
            "first   ran TIME\n"
            "second  ran TIME\n"
            "third   ran TIME\n"
            "\n"
            "chain: done in TIME (run RUN)\n");
  EXPECT_EQ(box.Normal(run.err),
            "first: started (never ran before)\n"
            "first: ran in TIME\n"
            "second: started (never ran before)\n"
            "second: ran in TIME\n"
            "third: started (never ran before)\n"
            "third: ran in TIME\n");
  EXPECT_EQ(box.Artifact("third.all"), "two one three");
}

TEST(Run, SecondRunSaysInOneLineThatThereIsNothingToDo) {
  Sandbox box;
  box.Write("pipeline.yaml", kChain);
  ASSERT_EQ(box.Genflow({"run"}).code, 0);
  const auto again = box.Genflow({"run"});
  EXPECT_EQ(again.code, 0);
  EXPECT_EQ(box.Normal(again.out), "chain: nothing to do (3 stages cached, TIME)\n");
  EXPECT_EQ(again.err, "");
}

TEST(Run, UntilRunsAStageAndWhatItNeeds) {
  Sandbox box;
  box.Write("pipeline.yaml", kChain);
  const auto run = box.Genflow({"run", "--until", "second"});
  EXPECT_EQ(run.code, 0);
  EXPECT_EQ(box.Normal(run.out),
            "stage   status time  note\n"
            "first   ran TIME\n"
            "second  ran TIME\n"
            "\n"
            "chain: done in TIME (run RUN)\n");
}

TEST(Run, FromTakesWhatComesBeforeFromTheCache) {
  Sandbox box;
  box.Write("pipeline.yaml", kChain);
  const auto cold = box.Genflow({"run", "--from", "second"});
  EXPECT_EQ(cold.code, 1);
  EXPECT_EQ(box.Normal(cold.err),
            "first: failed: comes before --from and is not in the cache: never ran before\n"
            "second: skipped: needs 'first', which failed\n"
            "third: skipped: needs 'first', which failed\n"
            "error: first: comes before --from and is not in the cache: never ran before\n"
            "  hint: run with --from first, or without --from\n");
  ASSERT_EQ(box.Genflow({"run", "--until", "first"}).code, 0);
  const auto warm = box.Genflow({"run", "--from", "second"});
  EXPECT_EQ(warm.code, 0);
  EXPECT_EQ(box.Normal(warm.out).substr(0, 55),
            "stage   status time  note\n"
            "first   cached -  saved TIME\n");
}

TEST(Run, ForceRunsNamedStagesOrAll) {
  Sandbox box;
  box.Write("pipeline.yaml", kChain);
  ASSERT_EQ(box.Genflow({"run"}).code, 0);
  const auto one = box.Genflow({"run", "pipeline.yaml", "--force", "second"});
  EXPECT_EQ(one.code, 0);
  EXPECT_EQ(box.Normal(one.err),
            "second: started (forced)\n"
            "second: ran in TIME\n");
  const auto all = box.Genflow({"run", "--force", "pipeline.yaml"});
  EXPECT_EQ(all.code, 0);
  EXPECT_NE(all.err.find("first: started (forced)\n"), std::string::npos);
  EXPECT_NE(all.err.find("third: started (forced)\n"), std::string::npos);
}

TEST(Run, UnknownStageNamesAreRefusedWithTheNearest) {
  Sandbox box;
  box.Write("pipeline.yaml", kChain);
  const auto run = box.Genflow({"run", "--from", "secnd"});
  EXPECT_EQ(run.code, 2);
  EXPECT_EQ(run.err,
            "error: --from 'secnd': pipeline.yaml has no stage 'secnd'\n  hint: did you mean 'second'?\n");
}

TEST(Run, IndependentStagesRunTogether) {
  Sandbox box;
  box.Write("pipeline.yaml", R"(name: pair
stages:
  a:
    uses: exec
    with: { run: 'touch a; for i in $(seq 500); do test -e b && exit 0; sleep 0.02; done; exit 1' }
  b:
    uses: exec
    with: { run: 'touch b; for i in $(seq 500); do test -e a && exit 0; sleep 0.02; done; exit 1' }
)");
  EXPECT_EQ(box.Genflow({"run", "--cpus", "2"}).code, 0);
}

TEST(Run, JobsLimitsHowManyRunAtOnce) {
  Sandbox box;
  std::string text = "name: many\nstages:\n";
  for (const char* id : {"a", "b", "c"}) {
    text += std::string("  ") + id +
            ":\n    uses: exec\n    with: { run: 'mkdir lock; sleep 0.05; rmdir lock' }\n";
  }
  box.Write("pipeline.yaml", text);
  EXPECT_EQ(box.Genflow({"run", "-j", "1", "--cpus", "4"}).code, 0);
}

TEST(Run, MemoryPoolIsHeldToItsSize) {
  Sandbox box;
  box.Write("pipeline.yaml",
            "name: large\nstages:\n  huge:\n    uses: exec\n    with: { run: 'true' }\n"
            "    resources: { memory: 9000T }\n");
  const auto run = box.Genflow({"run"});
  EXPECT_EQ(run.code, 1);
  EXPECT_NE(run.err.find("huge: failed: needs "), std::string::npos) << run.err;
  EXPECT_NE(run.err.find("  hint: lower its `resources:`, or run on a larger machine\n"), std::string::npos);
}

TEST(Run, WorkerGetsThreadsAndEnvironment) {
  Sandbox box;
  box.Write("pipeline.yaml",
            "name: env\nstages:\n  show:\n    uses: test.act\n    with: { do: env, text: '' }\n"
            "    env: { COLOUR: blue }\n    resources: { cpus: 2 }\n");
  ASSERT_EQ(box.Genflow({"run", "--cpus", "3"}).code, 0);
  EXPECT_EQ(box.Artifact("show.out"), "GENFLOW_THREADS=2\nOMP_NUM_THREADS=2\nCOLOUR=blue\nthreads=2\n");
}

TEST(Run, SummariesAndPackagesComeAtTheEnd) {
  Sandbox box;
  box.Write("pipeline.yaml", R"(name: pack
stages:
  count:
    uses: test.count
    with: { steps: 2 }
  ship:
    uses: exec
    in: { steps: count.steps }
    with: { run: 'mkdir "$GENFLOW_OUT_PACKAGE"; cp "$GENFLOW_IN_STEPS" "$GENFLOW_OUT_PACKAGE/steps"' }
    out: { package: package }
)");
  const auto run = box.Genflow({"run"});
  EXPECT_EQ(run.code, 0) << run.err;
  const std::string out = box.Normal(run.out);
  EXPECT_NE(out.find("\ncount\n"
                     "  step      loss\n"
                     "  2     0.500000\n"),
            std::string::npos)
      << out;
  EXPECT_NE(out.find("\npackage ship.package: DIR/.genflow/objects/"), std::string::npos) << out;
  EXPECT_NE(out.find("  to take it out: genflow artifacts export RUN:ship.package DIR\n"), std::string::npos)
      << out;
}

TEST(Run, DisabledStagesAreSkippedAndSaySo) {
  Sandbox box;
  box.Write("pipeline.yaml", R"(name: maybe
params: { extra: false }
stages:
  always:
    uses: exec
    with: { run: 'true' }
  sometimes:
    uses: test.act
    if: ${{ params.extra }}
  after:
    uses: test.act
    in: { in: sometimes.out }
)");
  const auto run = box.Genflow({"run"});
  EXPECT_EQ(run.code, 0);
  EXPECT_EQ(box.Normal(run.out),
            "stage      status time  note\n"
            "always     ran TIME\n"
            "sometimes  skipped -  its `if` is false: params.extra\n"
            "after      skipped -  needs 'sometimes', which is disabled by its `if`\n"
            "\n"
            "maybe: done in TIME (run RUN)\n");
}

TEST(Run, SecretsReachTheStageAndNothingElse) {
  Sandbox box;
  box.Write("pipeline.yaml", R"(name: hush
stages:
  plugin:
    uses: test.act
    with: { do: token, token: "${{ secrets.TOKEN }}" }
  shell:
    uses: exec
    with: { run: 'printf "%s" "${#KEY}" > "$GENFLOW_OUT_LENGTH"' }
    env: { KEY: "${{ secrets.TOKEN }}" }
    out: { length: file }
)");
  box.SetEnv("GENFLOW_SECRET_TOKEN", "correct-horse-battery");
  const auto run = box.Genflow({"run"});
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(box.Artifact("plugin.out"), "21");
  EXPECT_EQ(box.Artifact("shell.length"), "21");
  const auto grep = box.Shell("! grep -r correct-horse .genflow");
  EXPECT_EQ(grep.code, 0) << grep.out;
  box.SetEnv("GENFLOW_SECRET_TOKEN", "another");
  const auto changed = box.Genflow({"run"});
  EXPECT_EQ(changed.out.find("nothing to do"), std::string::npos)
      << "a changed secret must run its stages again";
}

TEST(Run, NothingIsWrittenForAPipelineThatIsInvalid) {
  Sandbox box;
  box.Write("pipeline.yaml", "name: bad\nstages:\n  a:\n    uses: test.atc\n");
  const auto run = box.Genflow({"run"});
  EXPECT_EQ(run.code, 2);
  EXPECT_EQ(run.err,
            "pipeline.yaml:4:11: error: unknown stage 'test.atc'\n"
            "    4 |     uses: test.atc\n"
            "      |           ^~~~~~~~\n"
            "  hint: did you mean 'test.act'?\n"
            "\n"
            "1 error\n");
  EXPECT_FALSE(box.Exists(".genflow"));
}

}  // namespace
}  // namespace genflow
