// `genflow run` without a person in front of it, and `genflow status`.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <regex>

#include "cli/sandbox.h"

namespace genflow {
namespace {

using nlohmann::json;

constexpr char kQuick[] = "name: quick\nstages:\n  a:\n    uses: test.act\n";

// A pipeline whose only stage goes on until the file `go` is there; `started` says that it runs.
std::string Waiting(const Sandbox& box) {
  const std::string dir = box.dir().string();
  return "name: slow\nstages:\n  wait:\n    uses: exec\n    with: { run: \"touch " + dir +
         "/started; until [[ -e " + dir + "/go ]]; do sleep 0.02; done\" }\n";
}

// Process ids, hosts and times of day in what a lock says, and ages.
std::string Plain(const Sandbox& box, const std::string& text) {
  std::string out = std::regex_replace(
      box.Normal(text), std::regex("process [0-9]+ on [^, ]+, since [0-9-]+ [0-9:]+"), "process PID");
  out = std::regex_replace(out, std::regex("process [0-9]+ on [^, ]+"), "process PID on HOST");
  return std::regex_replace(out, std::regex("kill [0-9]+"), "kill PID");
}

class Locked : public testing::Test {
 protected:
  void SetUp() override {
    box.Write("pipeline.yaml", Waiting(box));
    running.emplace(box.Start({"run"}));
    ASSERT_TRUE(box.WaitFor("[[ -e started ]]"));
  }
  void TearDown() override {
    box.Write("go", "");
    EXPECT_EQ(running->Wait().code, 0);
  }
  const std::string busy = "DIR/pipeline.yaml: is being run by run RUN (process PID)";
  Sandbox box;
  std::optional<RunningCommand> running;
};

TEST_F(Locked, FailsByDefault) {
  const auto second = box.Genflow({"run"});
  EXPECT_EQ(second.code, 4);
  EXPECT_EQ(second.out, "");
  EXPECT_EQ(Plain(box, second.err),
            "error: " + busy + "\n  hint: wait for it to finish, or stop it with `kill PID`\n");
}

TEST_F(Locked, SkipsInOneLine) {
  const auto second = box.Genflow({"run", "--if-locked", "skip"});
  EXPECT_EQ(second.code, 0);
  EXPECT_EQ(second.err, "");
  EXPECT_EQ(Plain(box, second.out), "skipped: " + busy + "\n");
  const auto machine = box.Genflow({"run", "--if-locked", "skip", "--json"});
  EXPECT_EQ(machine.code, 0);
  json event = json::parse(machine.out);
  event["message"] = Plain(box, event["message"]);
  EXPECT_EQ(event, json({{"event", "not-started"},
                         {"reason", "locked"},
                         {"pipeline", "slow"},
                         {"file", (box.dir() / "pipeline.yaml").string()},
                         {"message", busy}}));
  EXPECT_EQ(box.Genflow({"run", "--if-locked", "skip", "-q"}).out, "");
}

TEST_F(Locked, GivesUpWaitingAfterTheTimeout) {
  const auto second = box.Genflow({"run", "--if-locked", "wait", "--wait-timeout", "200ms"});
  EXPECT_EQ(second.code, 4);
  EXPECT_EQ(Plain(box, second.err), "waiting: " + busy + "\nerror: " + busy +
                                        "; gave up after TIME\n"
                                        "  hint: wait for it to finish, or stop it with `kill PID`\n");
}

TEST_F(Locked, WaitsForItsTurnAndReadsThePipelineAgain) {
  auto second = box.Start({"run", "--if-locked", "wait"});
  ASSERT_TRUE(second.WaitForError("waiting: "));
  box.Write("pipeline.yaml", kQuick);
  box.Write("go", "");
  const auto result = second.Wait();
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(Plain(box, result.err), "waiting: " + busy + "\na: started (never ran before)\na: ran in TIME\n");
}

TEST_F(Locked, StatusTellsWhatRuns) {
  ASSERT_TRUE(box.WaitFor("ls .genflow/logs/*/progress.json >/dev/null 2>&1"));
  const auto shown = box.Genflow({"status"});
  EXPECT_EQ(shown.code, 0) << shown.err;
  const std::string text = std::regex_replace(Plain(box, shown.out), std::regex("store .*"), "store");
  EXPECT_EQ(text,
            "pipeline  slow (DIR/pipeline.yaml)\n"
            "running   RUN, process PID on HOST, for TIME, 0 of 1 stages done\n"
            "          wait, for TIME\n"
            "last run  never\n"
            "\n"
            "store\n");
  const json status = box.Json({"status", "slow", "--json"})["pipelines"][0];
  EXPECT_EQ(status["running"]["pid"], running->pid());
  EXPECT_EQ(status["running"]["stages_total"], 1);
  EXPECT_EQ(status["running"]["stages"][0]["stage"], "wait");
  EXPECT_EQ(status["last_run"], nullptr);
}

TEST(Unattended, MistakesHelp) {
  Sandbox box;
  box.Write("pipeline.yaml", kQuick);
  EXPECT_EQ(box.Refusal({"run", "--if-locked", "sleep"}),
            "error: --if-locked: 'sleep' is not fail, skip or wait\n"
            "  hint: `genflow run --help` shows what it takes\n");
  EXPECT_EQ(box.Refusal({"run", "--wait-timeout", "5m"}),
            "error: --wait-timeout needs --if-locked wait\n  hint: add --if-locked wait\n");
  EXPECT_EQ(box.Refusal({"run", "--if-locked", "wait", "--wait-timeout", "soon"}),
            "error: --wait-timeout soon is not a duration\n  hint: write --wait-timeout 30m\n");
  EXPECT_EQ(box.Refusal({"run", "--prometheus", "genflow.txt"}),
            "error: --prometheus genflow.txt: node_exporter reads only files that end in .prom\n"
            "  hint: write --prometheus genflow.txt.prom\n");
  EXPECT_FALSE(box.Exists(".genflow"));
}

TEST(Unattended, OnlyIfChangedRecordsNoRunWhereNothingChanged) {
  Sandbox box;
  box.Write("pipeline.yaml", kQuick);
  const auto first = box.Genflow({"run", "--only-if-changed"});
  EXPECT_EQ(first.code, 0);
  EXPECT_EQ(box.Normal(first.err), "a: started (never ran before)\na: ran in TIME\n");
  const auto second = box.Genflow({"run", "--only-if-changed"});
  EXPECT_EQ(second.code, 0);
  EXPECT_EQ(second.out, "quick: nothing changed (1 stage cached); no run recorded\n");
  EXPECT_EQ(second.err, "");
  const auto machine = box.Genflow({"run", "--only-if-changed", "--json"});
  EXPECT_EQ(json::parse(machine.out), json({{"event", "not-started"},
                                            {"reason", "unchanged"},
                                            {"pipeline", "quick"},
                                            {"file", (box.dir() / "pipeline.yaml").string()},
                                            {"message", "nothing changed (1 stage cached)"}}));
  EXPECT_EQ(box.Json({"runs", "ls", "--json"}).size(), 1u);
  const auto forced = box.Genflow({"run", "--only-if-changed", "--force", "a"});
  EXPECT_EQ(box.Normal(forced.err), "a: started (forced)\na: ran in TIME\n");
  EXPECT_EQ(box.Json({"runs", "ls", "--json"}).size(), 2u);
}

TEST(Unattended, KeepRunsCollectsAfterTheRun) {
  Sandbox box;
  box.Write("pipeline.yaml", kQuick);
  for (int i = 0; i < 3; ++i) ASSERT_EQ(box.Genflow({"run"}).code, 0);
  const auto last = box.Genflow({"run", "--keep-runs", "2"});
  EXPECT_EQ(last.code, 0);
  const std::string freed = std::regex_replace(last.err, std::regex("freed [0-9.]+ [KMi]*B"), "freed BYTES");
  EXPECT_EQ(freed, "gc: removed 2 runs, freed BYTES\n");
  EXPECT_EQ(box.Json({"runs", "ls", "--json"}).size(), 2u);
  EXPECT_EQ(box.Genflow({"run", "--keep-days", "1"}).err, "");
  EXPECT_EQ(box.Json({"runs", "ls", "--json"}).size(), 3u);
}

class StatusOf : public testing::Test {
 protected:
  void SetUp() override {
    box.Write("pipeline.yaml",
              "name: p\nparams: { what: write }\nstages:\n  a:\n    uses: test.act\n    with: { do: \"${{ "
              "params.what }}\" }\n");
  }
  std::string Text() {
    const auto shown = box.Genflow({"status"});
    EXPECT_EQ(shown.code, 0) << shown.err;
    return std::regex_replace(box.Normal(shown.out), std::regex("B; .*"), "B; DISK");
  }
  json Pipeline() { return box.Json({"status", "pipeline.yaml", "--json"})["pipelines"][0]; }
  Sandbox box;
};

TEST_F(StatusOf, APipelineThatWorksAndOneThatDoesNot) {
  ASSERT_EQ(box.Genflow({"run"}).code, 0);
  EXPECT_EQ(Text(),
            "pipeline  p (DIR/pipeline.yaml)\n"
            "last run  ok TIME ago, took TIME (RUN)\n"
            "\n"
            "store DIR/.genflow: 1 object, 4 B; DISK\n");
  ASSERT_EQ(box.Genflow({"run", "-p", "what=invalid"}).code, 1);
  ASSERT_EQ(box.Genflow({"run", "-p", "what=gate"}).code, 3);
  EXPECT_EQ(Text(),
            "pipeline      p (DIR/pipeline.yaml)\n"
            "last run      gated TIME ago, took TIME (RUN)\n"
            "failure       a: quality is too low: text\n"
            "last success TIME ago (RUN)\n"
            "failures      2 in a row\n"
            "\n"
            "store DIR/.genflow: 1 object, 4 B; DISK\n");
  const json status = Pipeline();
  EXPECT_EQ(status["last_run"]["status"], "gated");
  EXPECT_EQ(status["last_run"]["failure"], "a: quality is too low: text");
  EXPECT_EQ(status["last_success"]["status"], "ok");
  EXPECT_EQ(status["consecutive_failures"], 2);
  EXPECT_EQ(status["running"], nullptr);
}

TEST_F(StatusOf, AStartThatRecordsNoRun) {
  ASSERT_EQ(box.Genflow({"run"}).code, 0);
  ASSERT_EQ(box.Genflow({"run", "--only-if-changed"}).code, 0);
  EXPECT_EQ(Text(),
            "pipeline    p (DIR/pipeline.yaml)\n"
            "last run    ok TIME ago, took TIME (RUN)\n"
            "last start  unchanged TIME ago: nothing changed (1 stage cached)\n"
            "\n"
            "store DIR/.genflow: 1 object, 4 B; DISK\n");
  EXPECT_EQ(Pipeline()["last_start"]["outcome"], "unchanged");
  EXPECT_EQ(Pipeline()["consecutive_failures"], 0);
  box.Write("pipeline.yaml", "name: p\nstages:\n  a:\n    uses: test.axt\n");
  ASSERT_EQ(box.Genflow({"run"}).code, 2);
  const json status = Pipeline();
  EXPECT_EQ(status["last_start"]["outcome"], "error");
  EXPECT_EQ(status["last_start"]["exit_code"], 2);
  EXPECT_EQ(status["last_start"]["message"], "pipeline.yaml:4: unknown stage 'test.axt'");
  EXPECT_EQ(status["consecutive_failures"], 1);
  SetUp();
  ASSERT_EQ(box.Genflow({"run"}).code, 0);
  EXPECT_EQ(Pipeline()["last_start"], nullptr);
}

TEST_F(StatusOf, PipelinesByFileAndByName) {
  box.Write("other.yaml", kQuick);
  const auto never = box.Genflow({"status", "other.yaml"});
  EXPECT_EQ(never.code, 0) << never.err;
  EXPECT_EQ(box.Normal(never.out).substr(0, 57),
            "pipeline  other (DIR/other.yaml)\nlast run  never\n\nstore D");
  ASSERT_EQ(box.Genflow({"run"}).code, 0);
  ASSERT_EQ(box.Genflow({"run", "other.yaml"}).code, 0);
  EXPECT_EQ(box.Json({"status", "--json"})["pipelines"].size(), 2u);
  const json quick = box.Json({"status", "quick", "--json"});
  ASSERT_EQ(quick["pipelines"].size(), 1u);
  EXPECT_EQ(quick["pipelines"][0]["file"], (box.dir() / "other.yaml").string());
  EXPECT_EQ(quick["store"]["objects"], 1);
  const auto wrong = box.Genflow({"status", "quik"});
  EXPECT_EQ(wrong.code, 2);
  EXPECT_EQ(wrong.err,
            "error: 'quik' is no pipeline file and no pipeline that has run here\n"
            "  hint: did you mean 'quick'?\n");
}

TEST_F(StatusOf, MetricsThatCannotBeWrittenAreAFailure) {
  const auto run = box.Genflow({"run", "--prometheus", "none/all.prom"});
  EXPECT_EQ(run.code, 1);
  EXPECT_NE(run.err.find("error: none/all.prom"), std::string::npos) << run.err;
  EXPECT_EQ(Pipeline()["last_run"]["status"], "ok") << "the run is not to blame";
}

TEST_F(StatusOf, MetricsForPrometheus) {
  ASSERT_EQ(box.Genflow({"run"}).code, 0);
  ASSERT_EQ(box.Genflow({"run", "-p", "what=invalid", "--prometheus", "all.prom"}).code, 1);
  const json status = Pipeline();
  const auto number = [](const json& value) {
    char text[64];
    std::snprintf(text, sizeof text, "%.3f", value.get<double>());
    return std::string(text);
  };
  const std::string labels = "{pipeline=\"p\",file=\"" + (box.dir() / "pipeline.yaml").string() + "\"";
  const auto family = [](const std::string& name, const std::string& help) {
    return "# HELP genflow_" + name + " " + help + "\n# TYPE genflow_" + name + " gauge\n";
  };
  std::string expected =
      family("running", "1 while a run of the pipeline goes on.") + "genflow_running" + labels + "} 0\n" +
      family("last_run_start_timestamp_seconds", "Start of the last run that is over.") +
      "genflow_last_run_start_timestamp_seconds" + labels + "} " + number(status["last_run"]["started"]) +
      "\n" + family("last_run_end_timestamp_seconds", "End of the last run that is over.") +
      "genflow_last_run_end_timestamp_seconds" + labels + "} " + number(status["last_run"]["finished"]) +
      "\n" + family("last_run_status", "1 for the status of the last run that is over, 0 for the others.");
  for (const char* word : {"ok\"} 0", "failed\"} 1", "gated\"} 0", "interrupted\"} 0"})
    expected += "genflow_last_run_status" + labels + ",status=\"" + word + "\n";
  expected += family("last_run_stages", "Stages of the last run that is over, by how they ended.");
  for (const char* word : {"run\"} 0", "cached\"} 0", "failed\"} 1", "skipped\"} 0"})
    expected += "genflow_last_run_stages" + labels + ",result=\"" + word + "\n";
  expected += family("last_success_timestamp_seconds", "End of the last run that succeeded.") +
              "genflow_last_success_timestamp_seconds" + labels + "} " +
              number(status["last_success"]["finished"]) + "\n" +
              family("consecutive_failures",
                     "Runs that failed, were gated or could not start since the last success.") +
              "genflow_consecutive_failures" + labels + "} 1\n" +
              family("last_start_timestamp_seconds",
                     "Last time that a run was asked for, also where nothing had changed.") +
              "genflow_last_start_timestamp_seconds" + labels + "} " + number(status["last_run"]["started"]) +
              "\n" + family("store_objects", "Artifacts in the store.") + "genflow_store_objects{store=\"" +
              (box.dir() / ".genflow").string() + "\"} 1\n";
  EXPECT_EQ(box.Read("all.prom").substr(0, expected.size()), expected);
  const auto asked = box.Genflow({"status", "--prometheus", "asked.prom"});
  EXPECT_EQ(asked.code, 0) << asked.err;
  EXPECT_EQ(asked.out, "");
  EXPECT_EQ(box.Read("asked.prom").substr(0, expected.size()), expected);
  EXPECT_EQ(box.Shell("ls -A | grep -c prom").out, "2\n") << "nothing is left beside the files";
}

}  // namespace
}  // namespace genflow
