// Web hooks, crontab blocks and metrics, as far as no process is needed.
#include <gtest/gtest.h>

#include "cli/notification.h"
#include "cli/pipeline_status.h"
#include "cli/schedule_triggers.h"

namespace genflow::cli {
namespace {

TEST(Notification, UrlsShowTheirHostAlone) {
  EXPECT_EQ(HiddenUrl("https://hooks.slack.com/services/T0/B0/key"), "https://hooks.slack.com/...");
  EXPECT_EQ(HiddenUrl("http://user:pass@127.0.0.1:8080/x"), "http://127.0.0.1:8080/...");
  EXPECT_EQ(HiddenUrl("https://example.com?key=1"), "https://example.com/...");
  EXPECT_EQ(HiddenUrl("key"), "...");
  EXPECT_EQ(
      HideUrls({"genflow", "run", "--notify", "slack:https://a.example/key", "--notify=https://b.example/key",
                "--notify", "@hooks", "-p", "url=https://c.example/x"}),
      (std::vector<std::string>{"genflow", "run", "--notify", "slack:https://a.example/...",
                                "--notify=https://b.example/...", "--notify", "@hooks", "-p",
                                "url=https://c.example/x"}));
}

TEST(Notification, SlackIsRecognisedByItsHost) {
  const auto plan = ReadNotifyPlan({"https://Hooks.Slack.com/services/T0"},
                                   "slack:http://a.example/ https://b.example", "gate, success");
  ASSERT_TRUE(plan.ok()) << plan.error().ToString();
  ASSERT_EQ(plan->targets.size(), 3u);
  EXPECT_TRUE(plan->targets[0].slack);
  EXPECT_TRUE(plan->targets[1].slack);
  EXPECT_EQ(plan->targets[1].url, "http://a.example/");
  EXPECT_FALSE(plan->targets[2].slack);
  EXPECT_EQ(plan->events, (std::set<std::string>{"gate", "success"}));
}

TEST(Notification, EventsByExitCode) {
  EXPECT_EQ(EventOf(0, false), "success");
  EXPECT_EQ(EventOf(0, true), "recovery");
  for (const int code : {1, 2, 4}) EXPECT_EQ(EventOf(code, true), "failure");
  EXPECT_EQ(EventOf(3, false), "gate");
  for (const int code : {75, 129, 130, 143}) EXPECT_EQ(EventOf(code, false), "interrupted");
}

TEST(Notification, SlacksMessageIsEscaped) {
  Notification n{"failure", "a<b", "/p.yaml", "h&1", 2, 0, "x > y", std::nullopt};
  EXPECT_EQ(SlackPayload(n),
            nlohmann::json({{"text", ":red_circle: a&lt;b could not start on h&amp;1: x &gt; y"}}));
}

TEST(Crontab, BlocksAreReplacedInPlace) {
  const std::string one = "# genflow schedule a: begin\nold\n# genflow schedule a: end\n";
  EXPECT_EQ(*ReplaceBlock("x\n" + one + "y\n", "a", "NEW\n"), "x\nNEW\ny\n");
  EXPECT_EQ(*ReplaceBlock("x\n" + one + "y\n", "a", ""), "x\ny\n");
  EXPECT_EQ(*ReplaceBlock("x\n" + one + one, "a", "NEW\n"), "x\nNEW\n") << "a copy by hand goes";
  EXPECT_EQ(*ReplaceBlock("x", "b", "NEW\n"), "x\nNEW\n");
  EXPECT_EQ(*ReplaceBlock("", "b", "NEW\n"), "NEW\n");
  EXPECT_EQ(*ReplaceBlock("x\n" + one, "b", ""), "x\n" + one);
  EXPECT_EQ(
      ReplaceBlock("# genflow schedule a: begin\nx\n", "a", "").error().message,
      "the crontab has the line '# genflow schedule a: begin' and none '# genflow schedule a: end' after it");
}

TEST(Crontab, OddPathsAreQuoted) {
  Schedule s;
  s.name = "odd";
  s.cron = "@hourly";
  s.program = "/opt/it's 100%/genflow";
  const std::string block = CrontabBlock(s, "/home/u/odd.json");
  EXPECT_NE(block.find("\n0 * * * * '/opt/it'\\''s 100\\%/genflow' schedule run '/home/u/odd.json'\n"),
            std::string::npos)
      << block;
  EXPECT_NE(
      ServiceUnit(s, "/home/$u/\"odd\".json")
          .find("ExecStart=\"/opt/it's 100%%/genflow\" schedule run --now \"/home/$$u/\\\"odd\\\".json\"\n"),
      std::string::npos);
}

TEST(Prometheus, LabelsAreEscapedAndProgressIsARatio) {
  StoreStatus status;
  status.root = "/store";
  PipelineStatus p;
  p.pipeline = "a \"b\" \\c\nd";
  p.file = "/p.yaml";
  p.running = RunInfo();
  p.running->started = 1700000000.25;
  p.running->stages = {"one", "two", "three"};
  p.stages_done = 1;
  p.stages.push_back({"two", 1, 0, StageProgress{"two", 1, 4, "rows", ""}});
  p.next.push_back({"nightly", "cron", 1800000000});
  status.pipelines.push_back(p);
  const std::string text = RenderPrometheus(status);
  const std::string labels = R"({pipeline="a \"b\" \\c\nd",file="/p.yaml")";
  for (const std::string& line :
       {"genflow_running" + labels + "} 1\n", "genflow_running_stages_done" + labels + "} 1\n",
        "genflow_running_stages" + labels + "} 3\n",
        "genflow_running_stage_progress_ratio" + labels + ",stage=\"two\"} 0.250\n",
        "genflow_last_start_timestamp_seconds" + labels + "} 1700000000.250\n",
        "genflow_next_start_timestamp_seconds" + labels + ",schedule=\"nightly\"} 1800000000\n"})
    EXPECT_NE(text.find("\n" + line), std::string::npos) << line << text;
  EXPECT_EQ(text.find("genflow_last_run"), std::string::npos) << "it never ended a run";
}

}  // namespace
}  // namespace genflow::cli
