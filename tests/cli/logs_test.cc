// `genflow logs`: of a stage, of a run, and while it runs.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/sandbox.h"

namespace genflow {
namespace {

using nlohmann::json;

constexpr char kTalk[] =
    "name: t\nstages:\n  talk:\n    uses: test.act\n    with: { do: talk }\n"
    "  next:\n    uses: test.act\n    in: { in: talk.out }\n";

TEST(Logs, HaveTimesAndEverythingTheStageSaid) {
  Sandbox box;
  box.Write("pipeline.yaml", kTalk);
  ASSERT_EQ(box.Genflow({"run"}).code, 0);
  const std::string run = box.Json({"runs", "show", "--json"})["id"];
  const auto log = box.Genflow({"logs", "talk"});
  EXPECT_EQ(log.code, 0);
  for (const char* line : {"Z output to stdout\n", "Z output to stderr\n", "Z warning to the log\n",
                           "Z genflow ended: exit code 0"}) {
    EXPECT_NE(log.out.find(line), std::string::npos) << log.out;
  }
  EXPECT_EQ(box.Genflow({"logs", "latest/talk"}).out, log.out);
  EXPECT_EQ(box.Genflow({"logs", run + "/talk"}).out, log.out);
  EXPECT_EQ(box.Genflow({"logs", run.substr(run.size() - 4) + "/talk"}).out, log.out);
  EXPECT_EQ(box.Genflow({"logs", "-f", "talk"}).out, log.out) << "a stage that has ended is not waited for";
}

TEST(Logs, WithoutAStageListsWhatThereIs) {
  Sandbox box;
  box.Write("pipeline.yaml", kTalk);
  ASSERT_EQ(box.Genflow({"run"}).code, 0);
  const std::string run = box.Json({"runs", "show", "--json"})["id"];
  const std::string list =
      "run RUN of t\n\n"
      "stage  attempt  status  log\n"
      "talk         1  run     DIR/.genflow/logs/RUN/talk.1.log\n"
      "next         1  run     DIR/.genflow/logs/RUN/next.1.log\n";
  for (const std::string& ref : {std::string(), std::string("latest"), run, run + "/"}) {
    const auto listed = ref.empty() ? box.Genflow({"logs"}) : box.Genflow({"logs", ref});
    EXPECT_EQ(listed.code, 0) << listed.err;
    EXPECT_EQ(box.Normal(listed.out), list);
  }
  const json as_json = box.Json({"logs", "--json"});
  ASSERT_EQ(as_json.size(), 2u);
  EXPECT_EQ(as_json[0]["stage"], "talk");
  ASSERT_EQ(box.Genflow({"run"}).code, 0);
  EXPECT_EQ(box.Normal(box.Genflow({"logs"}).out),
            "run RUN of t\n\n"
            "stage  attempt  status  log\n"
            "talk -  cached  genflow logs RUN/talk\n"
            "next -  cached  genflow logs RUN/next\n");
}

TEST(Logs, MistakesHelp) {
  Sandbox box;
  box.Write("pipeline.yaml",
            "name: m\nstages:\n  bad:\n    uses: test.act\n    with: { do: io }\n"
            "  next:\n    uses: test.act\n    in: { in: bad.out }\n");
  ASSERT_EQ(box.Genflow({"run"}).code, 1);
  const auto expect = [&](const std::vector<std::string>& args, const std::string& message) {
    const auto result = box.Genflow(args);
    EXPECT_EQ(result.code, 2);
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(box.Normal(result.err), message);
  };
  expect({"logs", "nxt"}, "error: run RUN has no stage 'nxt'\n  hint: did you mean 'next'?\n");
  expect({"logs", "something-else"},
         "error: run RUN has no stage 'something-else'\n"
         "  hint: `genflow logs RUN` lists the logs that there are\n");
  expect({"logs", "1999/bad"}, "error: there is no run '1999'\n  hint: `genflow runs ls` shows them\n");
  expect({"logs", "next"},
         "error: 'next' did not run in RUN, so it has no log\n  hint: needs 'bad', which failed\n");
  expect({"logs", "-f", "next"},
         "error: 'next' did not run in RUN, so it has no log\n  hint: needs 'bad', which failed\n");
  expect({"logs", "bad", "--attempt", "2"},
         "error: 'bad' has no attempt 2 in run RUN\n  hint: its last attempt is 1\n");
  expect({"logs", "-f"}, "error: which stage? --follow needs one\n  hint: one of bad, next\n");
}

TEST(Logs, OfAStageThatAnEarlierRunHas) {
  Sandbox box;
  box.Write("pipeline.yaml", kTalk);
  ASSERT_EQ(box.Genflow({"run"}).code, 0);
  ASSERT_EQ(box.Genflow({"run", "--until", "talk", "--force"}).code, 0);
  const auto log = box.Genflow({"logs", "next"});
  EXPECT_EQ(log.code, 2);
  EXPECT_EQ(box.Normal(log.err),
            "error: run RUN has no stage 'next'\n  hint: run RUN of t has: genflow logs RUN/next\n");
}

TEST(Logs, FollowARunningStage) {
  Sandbox box;
  box.Write(
      "pipeline.yaml",
      "name: f\nstages:\n  s:\n    uses: exec\n    with: { run: 'echo first; sleep 0.7; echo last' }\n");
  auto run = box.Start({"run"});
  ASSERT_TRUE(run.WaitForError("s: started"));
  const auto log = box.Genflow({"logs", "-f", "s"});
  EXPECT_EQ(run.Wait().code, 0);
  EXPECT_EQ(log.code, 0);
  EXPECT_NE(log.out.find("output last\n"), std::string::npos) << log.out;
  EXPECT_NE(log.out.find("genflow ended: exit code 0"), std::string::npos) << log.out;
}

TEST(Logs, FollowGoesOnWithTheNextAttemptAndEndsWithTheLast) {
  Sandbox box;
  // `long` keeps the run going after `s` has failed for good.
  box.Write("pipeline.yaml",
            "name: f\nstages:\n"
            "  s:\n    uses: exec\n    retries: { max: 1, backoff: 300ms }\n"
            "    with: { run: 'echo trying; until [[ -e go ]]; do sleep 0.02; done; exit 3' }\n"
            "  long:\n    uses: test.act\n    with: { do: sleep, seconds: 60 }\n");
  auto run = box.Start({"run"});
  ASSERT_TRUE(run.WaitForError("s: started"));
  auto follower = box.Start({"logs", "-f", "s"});
  ASSERT_TRUE(box.WaitFor("ls -l /proc/" + std::to_string(follower.pid()) + "/fd | grep -q s.1.log"));
  box.Write("go", "");
  const auto log = follower.Wait();
  EXPECT_EQ(log.code, 0) << log.err;
  const std::string state = box.Genflow({"runs", "show"}).out;
  EXPECT_NE(state.find("long   test.act  running"), std::string::npos) << state;
  run.Signal(SIGINT);
  EXPECT_EQ(run.Wait().code, 130);
  for (const char* line : {"exec, attempt 1, key ", "genflow again in 300 ms\n", "exec, attempt 2, key ",
                           "ended: exit code 3"}) {
    EXPECT_NE(log.out.find(line), std::string::npos) << log.out;
  }
  const auto first = box.Genflow({"logs", "-f", "s", "--attempt", "1"});
  EXPECT_NE(first.out.find("attempt 1, key "), std::string::npos) << first.out;
  EXPECT_EQ(first.out.find("attempt 2, key "), std::string::npos) << first.out;
}

TEST(Logs, FollowWaitsForAStageThatHasNotStarted) {
  Sandbox box;
  box.Write("pipeline.yaml",
            "name: w\nstages:\n"
            "  first:\n    uses: exec\n    with: { run: 'while ! test -e go; do sleep 0.02; done' }\n"
            "  second:\n    uses: exec\n    needs: [first]\n    with: { run: 'echo at last' }\n");
  auto run = box.Start({"run"});
  ASSERT_TRUE(run.WaitForError("first: started"));
  const auto early = box.Genflow({"logs", "second"});
  EXPECT_EQ(early.code, 2);
  EXPECT_EQ(box.Normal(early.err),
            "error: 'second' has not started in run RUN\n"
            "  hint: `genflow logs -f RUN/second` waits for it\n");
  EXPECT_EQ(box.Genflow({"logs", "-f", "third"}).code, 2) << "a stage that the run does not have";
  const std::string shown = box.Genflow({"runs", "show"}).out;
  EXPECT_NE(shown.find("\nsecond        waiting "), std::string::npos) << shown;
  auto follow = box.Start({"logs", "-f", "second"});
  ASSERT_TRUE(follow.WaitForError("'second' has not started yet; waiting for it\n"));
  box.Write("go", "");
  const auto log = follow.Wait();
  EXPECT_EQ(log.code, 0) << log.err;
  EXPECT_NE(log.out.find("output at last\n"), std::string::npos) << log.out;
  EXPECT_EQ(run.Wait().code, 0);
}

TEST(Logs, FollowEndsWhenTheRunIsKilled) {
  Sandbox box;
  box.Write("pipeline.yaml",
            "name: k\nstages:\n  s:\n    uses: exec\n    with: { run: 'echo here; sleep 60' }\n");
  auto run = box.Start({"run"});
  ASSERT_TRUE(box.WaitFor("grep -qs here .genflow/logs/*/s.1.log"));
  auto follow = box.Start({"logs", "-f", "s"});
  run.Signal(SIGKILL);
  EXPECT_EQ(run.Wait().code, 137);
  const auto log = follow.Wait();
  EXPECT_EQ(log.code, 0) << log.err;
  EXPECT_NE(log.out.find("output here\n"), std::string::npos) << log.out;
}

}  // namespace
}  // namespace genflow
