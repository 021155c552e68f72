// `genflow schedule`: crontab and systemd are stood in for by programs in the test's own PATH.
#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>
#include <nlohmann/json.hpp>
#include <regex>

#include "cli/sandbox.h"
#include "cli/terminal_session.h"

namespace genflow {
namespace {

using nlohmann::json;

constexpr char kCrontab[] = R"(#!/bin/bash
# The user's crontab is the file `crontab` in HOME.
if [[ $1 == -l ]]; then
  [[ -e $HOME/no-rights ]] && { echo "you are not allowed to use this program" >&2; exit 1; }
  [[ -e $HOME/crontab ]] || { echo "no crontab for user" >&2; exit 1; }
  cat "$HOME/crontab"
elif [[ $1 == - ]]; then
  cat > "$HOME/crontab"
else
  exit 2
fi
)";

constexpr char kSystemctl[] = R"(#!/bin/bash
[[ -e $HOME/no-bus ]] && { echo "Failed to connect to bus: No medium found" >&2; exit 1; }
echo "$*" >> "$HOME/systemctl.log"
)";

constexpr char kEndless[] =
    "name: p\nstages:\n  a:\n    uses: test.count\n    with: { steps: 100000, pause: 0.01 }\n";

class ScheduleTest : public testing::Test {
 protected:
  void SetUp() override {
    box.Write("pipeline.yaml",
              "name: p\nparams: { what: write }\nstages:\n  a:\n    uses: test.act\n    with: { do: \"${{ "
              "params.what }}\" }\n");
    box.Write("bin/crontab", kCrontab);
    box.Write("bin/systemctl", kSystemctl);
    ASSERT_EQ(box.Shell("chmod +x bin/*").code, 0);
    box.SetEnv("PATH", (box.dir() / "bin").string() + ":" + std::getenv("PATH"));
  }
  CommandResult Add(std::vector<std::string> more, const std::string& when = "0 3 * * *") {
    std::vector<std::string> args = {"schedule", "add", "pipeline.yaml", when};
    args.insert(args.end(), more.begin(), more.end());
    return box.Genflow(args);
  }
  // Paths and times of day.
  std::string Plain(std::string text) {
    for (size_t at; (at = text.find(GENFLOW_BINARY)) != std::string::npos;)
      text.replace(at, std::string(GENFLOW_BINARY).size(), "GENFLOW");
    text = std::regex_replace(box.Normal(text), std::regex("[0-9]{4}-[0-9]{2}-[0-9]{2}"), "DAY");
    return std::regex_replace(text, std::regex("DAYT[0-9:.]+Z"), "NOW");
  }
  // Succeeds while a process runs the pipeline.
  std::string ItsRun() const {
    return "grep -qsaP '[r]un\\x00" + (box.dir() / "pipeline.yaml").string() + "' /proc/[0-9]*/cmdline";
  }
  json Listed() { return box.Json({"schedule", "ls", "--json"}); }
  // As if the schedule had been added long ago.
  void Age(const std::string& name) {
    box.Write(".local/state/genflow/schedules/" + name + ".state.json", "{\"slot\": 1000}");
  }

  const std::string definition = "DIR/.config/genflow/schedules/pipeline.json";
  const std::string block =
      "# genflow schedule pipeline: begin\n"
      "# `genflow schedule rm pipeline` removes these lines. The second one catches up a start that was "
      "missed.\n"
      "0 3 * * * 'GENFLOW' schedule run '" +
      definition +
      "'\n"
      "MINUTE * * * * 'GENFLOW' schedule run '" +
      definition +
      "'\n"
      "# genflow schedule pipeline: end\n";
  std::string Crontab() {
    return std::regex_replace(Plain(box.Read("crontab")), std::regex("\n[0-9]+ \\* \\* \\* \\*"),
                              "\nMINUTE * * * *");
  }
  Sandbox box;
};

TEST_F(ScheduleTest, AddLsAndRmWithCron) {
  box.Write("crontab", "MAILTO=me\n5 4 * * * other # no newline");
  const auto added = Add({"--jitter", "10m"});
  EXPECT_EQ(added.code, 0) << added.err;
  EXPECT_EQ(Plain(added.out),
            "pipeline: DIR/pipeline.yaml at \"0 3 * * *\", by cron\n"
            "  DAY 03:00:00, or up to TIME later\n"
            "  DAY 03:00:00, or up to TIME later\n"
            "  DAY 03:00:00, or up to TIME later\n"
            "log: DIR/.local/state/genflow/schedules/pipeline.log\n");
  EXPECT_EQ(added.err, "");
  EXPECT_EQ(Crontab(), "MAILTO=me\n5 4 * * * other # no newline\n" + block);
  EXPECT_FALSE(box.Exists(".genflow")) << "the rehearsal leaves no store";
  EXPECT_EQ(Plain(box.Genflow({"schedule", "ls"}).out),
            "name      when       by    next                 last  pipeline\n"
            "pipeline  0 3 * * *  cron  DAY 03:00:00 -     DIR/pipeline.yaml\n");
  const json listed = Listed();
  ASSERT_EQ(listed.size(), 1u);
  EXPECT_EQ(listed[0]["argv"], json({"run", (box.dir() / "pipeline.yaml").string(), "--if-locked", "skip"}));
  EXPECT_EQ(listed[0]["jitter"], 600.0);
  EXPECT_EQ(listed[0]["last"], nullptr);
  EXPECT_EQ(box.Shell("stat -c %a .config/genflow/schedules/pipeline.json").out, "600\n");

  const auto again = Add({});
  EXPECT_EQ(again.code, 2);
  EXPECT_EQ(Plain(again.err),
            "error: there is a schedule 'pipeline' already, of DIR/pipeline.yaml\n"
            "  hint: give another --name, or --replace it\n");
  ASSERT_EQ(Add({"--replace"}, "@daily").code, 0);
  EXPECT_EQ(Crontab().find("0 0 * * * 'GENFLOW'") != std::string::npos, true) << Crontab();
  EXPECT_EQ(Listed()[0]["cron"], "@daily");

  const auto removed = box.Genflow({"schedule", "rm", "pipeline"});
  EXPECT_EQ(Plain(removed.out),
            "removed pipeline; its log stays: DIR/.local/state/genflow/schedules/pipeline.log\n");
  EXPECT_EQ(box.Read("crontab"), "MAILTO=me\n5 4 * * * other # no newline\n");
  EXPECT_EQ(box.Genflow({"schedule", "ls"}).out, "no schedules\n");
  const auto none = box.Genflow({"schedule", "rm", "pipeline"});
  EXPECT_EQ(none.code, 2);
  EXPECT_EQ(none.err, "error: there is no schedule 'pipeline'\n  hint: `genflow schedule add` makes one\n");
}

TEST_F(ScheduleTest, ACrontabThatCannotBeReadIsLeftAlone) {
  box.Write("crontab", "5 4 * * * other\n");
  box.Write("no-rights", "");
  const auto added = Add({});
  EXPECT_EQ(added.code, 1);
  EXPECT_EQ(added.err, "error: `crontab -l` failed: you are not allowed to use this program\n");
  EXPECT_EQ(box.Read("crontab"), "5 4 * * * other\n");
  EXPECT_EQ(Listed(), json::array());
  ASSERT_EQ(box.Shell("rm no-rights; echo '# genflow schedule pipeline: begin' > crontab").code, 0);
  const auto broken = Add({});
  EXPECT_EQ(broken.code, 1);
  EXPECT_EQ(broken.err,
            "error: the crontab has the line '# genflow schedule pipeline: begin' and none '# genflow "
            "schedule pipeline: end' after it\n  hint: put it right with `crontab -e`\n");
}

TEST_F(ScheduleTest, SystemdTimers) {
  const auto added = Add({"--backend", "systemd", "--jitter", "10m", "--name", "nightly"}, "30 3 1 * fri");
  EXPECT_EQ(added.code, 0) << added.err;
  EXPECT_EQ(added.err, "");
  EXPECT_EQ(box.Read(".config/systemd/user/genflow-nightly.timer"),
            "[Unit]\nDescription=genflow schedule nightly\n\n[Timer]\n"
            "OnCalendar=*-*-01 03:30:00\nOnCalendar=Fri *-*-* 03:30:00\n"
            "# A start that was missed while the machine was off is caught up once.\nPersistent=true\n"
            "RandomizedDelaySec=600\n\n[Install]\nWantedBy=timers.target\n");
  EXPECT_EQ(Plain(box.Read(".config/systemd/user/genflow-nightly.service")),
            "# `genflow schedule rm nightly` removes this file and the timer beside it.\n"
            "[Unit]\nDescription=genflow schedule nightly\n\n[Service]\nType=oneshot\n"
            "# The run is asked to stop and saves its state; its stages are not asked behind its back.\n"
            "KillMode=mixed\nTimeoutStopSec=90\n# Lets the kernel hold each stage to its "
            "`memory`.\nDelegate=memory\n"
            "ExecStart=\"GENFLOW\" schedule run --now \"DIR/.config/genflow/schedules/nightly.json\"\n");
  EXPECT_EQ(box.Read("systemctl.log"), "--user daemon-reload\n--user enable --now genflow-nightly.timer\n");
  box.Write("no-bus", "");
  const auto removed = box.Genflow({"schedule", "rm", "nightly"});
  EXPECT_EQ(removed.code, 0);
  EXPECT_EQ(
      removed.err,
      "notice: `systemctl --user disable --now genflow-nightly.timer` failed: Failed to connect to bus: No "
      "medium found; run `systemctl --user disable --now genflow-nightly.timer` where systemd runs\n"
      "notice: `systemctl --user daemon-reload` failed: Failed to connect to bus: No medium found; run "
      "`systemctl --user daemon-reload` where systemd runs\n");
  EXPECT_EQ(box.Shell("ls .config/systemd/user").out, "");
}

TEST_F(ScheduleTest, MistakesComeWhenItIsAdded) {
  const auto refusal = [&](const CommandResult& result) {
    EXPECT_EQ(result.code, 2);
    return Plain(result.err);
  };
  EXPECT_EQ(refusal(Add({}, "0 25 * * *")),
            "error: schedule \"0 25 * * *\": '25' in the hour field is not from 0 to 23\n"
            "  hint: write five fields: minute hour day-of-month month day-of-week, as in \"0 3 * * *\" for "
            "every day at 3:00\n");
  EXPECT_EQ(refusal(box.Genflow({"schedule", "add", "none.yaml", "@daily"})),
            "error: none.yaml: there is no such file\n"
            "  hint: write: genflow schedule add PIPELINE \"0 3 * * *\"\n");
  EXPECT_EQ(refusal(Add({"--", "--only-if-change"})),
            "error: unknown option '--only-if-change'\n  hint: did you mean '--only-if-changed'?\n"
            "error: nothing was scheduled: the run would not start\n");
  EXPECT_EQ(refusal(Add({"--", "--notify", "example"})),
            "error: --notify: this is no URL of a web hook\n"
            "  hint: write https://HOST/PATH, slack:https://HOST/PATH, or @FILE that holds one a line\n"
            "error: nothing was scheduled: the run would not start\n");
  EXPECT_EQ(refusal(Add({"--name", "a/b"})),
            "error: 'a/b' cannot be a schedule's name\n  hint: use letters, digits, -, _ and .\n");
  EXPECT_EQ(refusal(Add({"--jitter", "soon"})),
            "error: --jitter soon is not a duration\n  hint: write --jitter 10m\n");
  EXPECT_EQ(refusal(Add({"--env", "COLOUR"})),
            "error: --env COLOUR: it is not set here\n  hint: write --env COLOUR=VALUE\n");
  EXPECT_FALSE(box.Exists("crontab"));
}

TEST_F(ScheduleTest, StartsAsCronDoes) {
  ASSERT_EQ(Add({"--", "-p", "what=invalid"}, "* * * * *").code, 0);
  Age("pipeline");
  // As cron does: a bare environment, another folder.
  const std::string start = "cd / && env -i HOME=$HOME TZ=UTC " GENFLOW_BINARY " schedule run " +
                            (box.dir() / ".config/genflow/schedules/pipeline.json").string();
  EXPECT_EQ(box.Shell(start).code, 1);
  EXPECT_EQ(Plain(box.Read(".local/state/genflow/schedules/pipeline.log")),
            "=== NOW pipeline: genflow run DIR/pipeline.yaml --if-locked skip -p what=invalid\n"
            "a: started (never ran before)\n"
            "a: failed after TIME: the data has no rows\n"
            "stage  status time  note\n"
            "a      failed TIME  the data has no rows\n"
            "\n"
            "p: failed in TIME (run RUN)\n"
            "error: a: the data has no rows\n"
            "  hint: look at the data\n"
            "  last lines of its log:\n"
            "  | about to fail\n"
            "  log: DIR/.genflow/logs/RUN/a.1.log\n"
            "=== NOW pipeline: exit code 1 after TIME\n");
  EXPECT_EQ(Listed()[0]["last"]["exit_code"], 1);
}

TEST_F(ScheduleTest, AMissedStartIsCaughtUpOnce) {
  ASSERT_EQ(Add({}, "0 0 1 1 *").code, 0);
  EXPECT_EQ(box.Genflow({"schedule", "run", "pipeline"}).code, 0);
  EXPECT_FALSE(box.Exists(".genflow")) << "what was due before it was added is not caught up";
  Age("pipeline");
  EXPECT_EQ(box.Genflow({"schedule", "run", "pipeline"}).code, 0);
  EXPECT_EQ(box.Genflow({"schedule", "run", "pipeline"}).code, 0);
  EXPECT_EQ(box.Json({"runs", "ls", "--json"}).size(), 1u);
  const json idle = box.Json({"schedule", "run", "pipeline", "--json"});
  EXPECT_EQ(idle["started"], false);
  EXPECT_EQ(idle["exit_code"], nullptr);
  const json now = box.Json({"schedule", "run", "--now", "pipeline", "--json"});
  EXPECT_EQ(now["schedule"], "pipeline");
  EXPECT_EQ(now["exit_code"], 0);
  EXPECT_EQ(box.Json({"runs", "ls", "--json"}).size(), 2u);
  const json status = box.Json({"status", "--json"})["pipelines"][0];
  ASSERT_EQ(status["next"].size(), 1u);
  EXPECT_EQ(status["next"][0]["schedule"], "pipeline");
  EXPECT_GT(status["next"][0]["time"].get<double>(), 1.7e9);
}

TEST_F(ScheduleTest, WhatIsKilledWhileItWaitsForItsChanceDelayHasAnsweredNothing) {
  ASSERT_EQ(Add({"--jitter", "1000h"}, "0 0 1 1 *").code, 0);
  Age("pipeline");
  const std::string lock = ".local/state/genflow/schedules/pipeline.state.json.starting";
  auto run = box.Start({"schedule", "run", "pipeline"});
  ASSERT_TRUE(box.WaitFor("test -e " + lock + " && ! flock -n " + lock + " true"));
  run.Signal(SIGKILL);
  run.Wait();
  ASSERT_EQ(Add({"--jitter", "1ms", "--replace"}, "0 0 1 1 *").code, 0);
  Age("pipeline");
  EXPECT_EQ(box.Genflow({"schedule", "run", "pipeline"}).code, 0);
  EXPECT_EQ(box.Json({"runs", "ls", "--json"}).size(), 1u);
  EXPECT_EQ(box.Genflow({"schedule", "run", "pipeline"}).code, 0);
  EXPECT_EQ(box.Json({"runs", "ls", "--json"}).size(), 1u);
}

TEST_F(ScheduleTest, AnInterruptedStartIsCaughtUpOnce) {
  box.Write("pipeline.yaml", kEndless);
  ASSERT_EQ(Add({"--", "--if-locked", "wait"}, "0 0 1 1 *").code, 0);
  Age("pipeline");
  for (int starts = 1; starts <= 2; ++starts) {
    auto run = box.Start({"schedule", "run", "pipeline"});
    ASSERT_TRUE(box.WaitFor(ItsRun()));
    EXPECT_EQ(Listed()[0]["last"]["running"], true);
    run.Signal(SIGKILL);
    run.Wait();
    ASSERT_TRUE(box.WaitFor("! " + ItsRun())) << "it ends with what started it";
    EXPECT_EQ(Listed()[0]["last"]["running"], false);
    EXPECT_NE(box.Genflow({"schedule", "ls"}).out.find(", interrupted"), std::string::npos);
  }
  const auto started = [&] { return box.Json({"schedule", "run", "pipeline", "--json"})["started"]; };
  EXPECT_EQ(started(), false);
  // Added anew, what was interrupted before is let pass.
  box.Write(".local/state/genflow/schedules/pipeline.state.json", "{\"slot\": 1000, \"started\": 1000}");
  ASSERT_EQ(Add({"--replace"}, "0 0 1 1 *").code, 0);
  EXPECT_EQ(started(), false);
}

TEST_F(ScheduleTest, OfTwoStartsTheLastToEndSaysHowItWent) {
  box.Write("pipeline.yaml", kEndless);
  ASSERT_EQ(Add({}).code, 0);
  auto first = box.Start({"schedule", "run", "--now", "pipeline"});
  ASSERT_TRUE(box.WaitFor("grep -qs . .genflow/state/*/steps"));
  EXPECT_EQ(box.Genflow({"schedule", "run", "--now", "pipeline"}).code, 0) << "the run is locked: skipped";
  EXPECT_EQ(Listed()[0]["last"]["running"], true);
  EXPECT_EQ(Listed()[0]["last"]["exit_code"], nullptr);
  first.Signal(SIGTERM);
  EXPECT_EQ(first.Wait().code, 75);
  EXPECT_EQ(Listed()[0]["last"]["running"], false);
  EXPECT_EQ(Listed()[0]["last"]["exit_code"], 75);
}

TEST_F(ScheduleTest, AStartThatFailsIsNotAnInterruptedOne) {
  ASSERT_EQ(Add({}, "0 0 1 1 *").code, 0);
  Age("pipeline");
  ASSERT_EQ(box.Shell("mkdir .local/state/genflow/schedules/pipeline.log").code, 0);
  EXPECT_EQ(box.Genflow({"schedule", "run", "pipeline"}).code, 1);
  EXPECT_EQ(Listed()[0]["last"]["exit_code"], 1);
}

TEST_F(ScheduleTest, AnAnswerInTheFutureIsNone) {
  ASSERT_EQ(Add({}, "* * * * *").code, 0);
  // The clock was a year ahead when it was written.
  box.Write(".local/state/genflow/schedules/pipeline.state.json",
            "{\"slot\": " + std::to_string(std::time(nullptr) + 365 * 86400) + "}");
  EXPECT_EQ(box.Genflow({"schedule", "run", "pipeline"}).code, 0);
  EXPECT_EQ(box.Json({"runs", "ls", "--json"}).size(), 1u);
  EXPECT_LE(json::parse(box.Read(".local/state/genflow/schedules/pipeline.state.json"))["slot"].get<double>(),
            static_cast<double>(std::time(nullptr)));
}

TEST_F(ScheduleTest, ABrokenOneIsNoTroubleToTheOthers) {
  ASSERT_EQ(Add({}).code, 0);
  ASSERT_EQ(Add({"--name", "q"}).code, 0);
  box.Write(".config/genflow/schedules/q.json", "x");
  const std::string warning =
      "DIR/.config/genflow/schedules/q.json: is not a schedule\n"
      "  hint: `genflow schedule rm q` removes it with what starts it; then add it again\n";
  const auto listed = box.Genflow({"schedule", "ls"});
  EXPECT_EQ(listed.code, 0);
  EXPECT_EQ(Plain(listed.err), "warning: " + warning);
  EXPECT_TRUE(std::regex_search(listed.out, std::regex("\\nq .* cannot be read\\n"))) << listed.out;
  const json all = Listed();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0]["name"], "pipeline");
  EXPECT_EQ(all[1]["name"], "q");
  EXPECT_EQ(all[1]["error"]["code"], "corrupt");
  EXPECT_EQ(box.Genflow({"schedule", "run", "--now", "pipeline"}).code, 0);
  const auto run = box.Genflow({"schedule", "run", "--now", "q"});
  EXPECT_EQ(run.code, 1);
  EXPECT_EQ(Plain(run.err), "error: " + warning);
  const auto again = Add({"--name", "q"});
  EXPECT_EQ(again.code, 2);
  EXPECT_EQ(again.err,
            "error: there is a schedule 'q' already, which cannot be read\n"
            "  hint: give another --name, or --replace it\n");
  EXPECT_EQ(Plain(box.Genflow({"schedule", "rm", "q"}).out),
            "removed q; its log stays: DIR/.local/state/genflow/schedules/q.log\n");
  EXPECT_EQ(Crontab(), block) << "its block has gone with it";
}

TEST_F(ScheduleTest, WhatStartsOneThatIsGoneCanBeRemoved) {
  ASSERT_EQ(Add({}).code, 0);
  ASSERT_EQ(box.Shell("rm .config/genflow/schedules/pipeline.json").code, 0);
  EXPECT_EQ(box.Genflow({"schedule", "rm", "pipeline"}).code, 0);
  EXPECT_EQ(box.Read("crontab"), "");
  EXPECT_EQ(box.Genflow({"schedule", "rm", "pipeline"}).code, 2);
}

TEST_F(ScheduleTest, FieldsWithoutQuotes) {
  const auto added = box.Genflow({"schedule", "add", "pipeline.yaml", "0", "3", "*", "*", "*"});
  EXPECT_EQ(added.code, 2);
  EXPECT_EQ(added.err,
            "error: schedule \"0\" has 1 field instead of 5\n  hint: put the five fields in quotes: \"0 3 * "
            "* *\"\n");
}

TEST_F(ScheduleTest, OnATerminalItSaysHowItWent) {
  ASSERT_EQ(Add({"--", "-p", "what=invalid"}, "0 0 1 1 *").code, 0);
  TerminalSession idle(box, {"schedule", "run", "pipeline"}, 100, 10);
  EXPECT_EQ(idle.Wait(), 0);
  EXPECT_TRUE(std::regex_match(
      idle.Screen(),
      std::regex("notice: nothing is due before [0-9-]+-01-01 00:00:00; --now starts it all the "
                 "same\n")))
      << idle.Screen();
  TerminalSession failing(box, {"schedule", "run", "pipeline", "--now"}, 200, 10);
  EXPECT_EQ(failing.Wait(), 1);
  EXPECT_EQ(Plain(failing.Screen()),
            "pipeline: exit code 1 after TIME; log: DIR/.local/state/genflow/schedules/pipeline.log\n");
}

TEST_F(ScheduleTest, SignalsReachTheRun) {
  box.Write("pipeline.yaml", kEndless);
  ASSERT_EQ(Add({}).code, 0);
  auto run = box.Start({"schedule", "run", "--now", "pipeline"});
  ASSERT_TRUE(box.WaitFor("grep -qs . .genflow/state/*/steps"));
  run.Signal(SIGTERM);
  EXPECT_EQ(run.Wait().code, 75);
  const std::string log = Plain(box.Read(".local/state/genflow/schedules/pipeline.log"));
  EXPECT_NE(log.find("a: interrupted"), std::string::npos) << log;
  EXPECT_NE(log.find("=== NOW pipeline: exit code 75 after TIME\n"), std::string::npos) << log;
}

}  // namespace
}  // namespace genflow
