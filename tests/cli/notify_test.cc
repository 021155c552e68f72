// `genflow run --notify`: what is told, when, and what is not told to anybody.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <regex>

#include "cli/hook_server.h"
#include "cli/sandbox.h"

namespace genflow {
namespace {

using nlohmann::json;

class Notify : public testing::Test {
 protected:
  void SetUp() override {
    box.Write("pipeline.yaml",
              "name: nightly\nparams: { what: write }\nstages:\n  a:\n    uses: test.act\n    with: { do: "
              "\"${{ params.what }}\" }\n  b:\n    uses: test.act\n    in: { in: a.out }\n");
  }
  // The payload, without what differs from run to run and from machine to machine.
  json Plain(const HttpRequest& request) {
    EXPECT_EQ(request.method, "POST");
    EXPECT_EQ(request.Header("content-type"), "application/json");
    EXPECT_TRUE(request.Header("user-agent").starts_with("genflow/")) << request.Header("user-agent");
    json body = json::parse(request.body);
    const std::string host = body["host"];
    EXPECT_GT(body["time"].get<double>(), 1.7e9);
    body["time"] = "TIME";
    if (body.contains("seconds")) body["seconds"] = "SECONDS";
    std::string text = box.Normal(body.dump());
    for (size_t at; (at = text.find(" on " + host)) != std::string::npos;)
      text.replace(at, host.size() + 4, " on HOST");
    body = json::parse(text);
    body["host"] = "HOST";
    return body;
  }
  Sandbox box;
};

TEST_F(Notify, AFailureThatAServerTakesAtTheThirdTime) {
  HookServer server({"503 Service Unavailable", "drop", "200 OK"});
  const auto run = box.Genflow({"run", "-p", "what=invalid", "--notify", server.Url() + "/hook/secret-word"});
  EXPECT_EQ(run.code, 1);
  EXPECT_EQ(run.err.find("warning"), std::string::npos) << run.err;
  const auto requests = server.Requests();
  ASSERT_EQ(requests.size(), 3u);
  EXPECT_EQ(requests[0].body, requests[2].body);
  EXPECT_EQ(requests[2].path, "/hook/secret-word");
  EXPECT_EQ(
      Plain(requests[2]),
      json({{"event", "failure"},
            {"message", "nightly failed on HOST: a: the data has no rows"},
            {"pipeline", "nightly"},
            {"file", "DIR/pipeline.yaml"},
            {"host", "HOST"},
            {"time", "TIME"},
            {"exit_code", 1},
            {"run", "RUN"},
            {"status", "failed"},
            {"seconds", "SECONDS"},
            {"stages",
             {{"ran", 0}, {"cached", 0}, {"failed", 1}, {"gated", 0}, {"interrupted", 0}, {"skipped", 1}}},
            {"problems", json::array({{{"stage", "a"},
                                       {"code", "invalid"},
                                       {"message", "the data has no rows"},
                                       {"hint", "look at the data"},
                                       {"log", "DIR/.genflow/logs/RUN/a.1.log"}}})}}));
  // The URL's secret is in no record of the run.
  EXPECT_EQ(box.Shell("grep -rl secret-word .genflow || echo none").out, "none\n");
  const json recorded = box.Json({"runs", "show", "--json"})["argv"];
  EXPECT_EQ(recorded[5], server.Url() + "/...");
}

TEST_F(Notify, WhatServersRefuseForGoodIsAWarning) {
  HookServer server({"404 Not Found"});
  const auto run = box.Genflow({"run", "--notify-on", "success", "--notify", server.Url() + "/secret-word"});
  EXPECT_EQ(run.code, 0) << "a run does not fail for its notification";
  EXPECT_EQ(server.Requests().size(), 1u) << "not tried again";
  const std::string end = run.err.substr(run.err.find("warning"));
  EXPECT_EQ(end, "warning: the notification to " + server.Url() +
                     "/... was not delivered: the server answers with status 404\n");
}

TEST_F(Notify, NobodyThere) {
  HookServer gone({});
  const std::string url = gone.Url();
  gone.Requests();
  const auto run =
      box.Genflow({"run", "--notify-on", "success", "--notify", "slack:" + url + "/secret-word"});
  EXPECT_EQ(run.code, 0);
  EXPECT_EQ(run.err.substr(run.err.find("warning")),
            "warning: the notification to " + url +
                "/... was not delivered: no connection to the server "
                "(tried 5 times)\n");
}

TEST_F(Notify, GateThenRecoveryThenNothing) {
  HookServer server({"200 OK", "204 No Content"});
  box.SetEnv("GENFLOW_NOTIFY", server.Url() + "/hook");
  EXPECT_EQ(box.Genflow({"run", "-p", "what=gate"}).code, 3);
  EXPECT_EQ(box.Genflow({"run"}).code, 0);
  const auto requests = server.Requests();
  const auto quiet = box.Genflow({"run"});
  EXPECT_EQ(quiet.code, 0);
  EXPECT_EQ(quiet.err, "") << "a success after a success is not told: it would have been refused";
  ASSERT_EQ(requests.size(), 2u);
  const json gate = Plain(requests[0]), recovery = Plain(requests[1]);
  EXPECT_EQ(gate["event"], "gate");
  EXPECT_EQ(gate["message"], "nightly was stopped by a gate on HOST: a: quality is too low: text");
  EXPECT_EQ(gate["status"], "gated");
  EXPECT_EQ(recovery["event"], "recovery");
  EXPECT_EQ(recovery["message"], "nightly works again on HOST");
  EXPECT_EQ(recovery["problems"], json::array());
}

TEST_F(Notify, AStartWithoutARun) {
  ASSERT_EQ(box.Genflow({"run"}).code, 0);
  box.Write("pipeline.yaml", "name: nightly\nstages:\n  a:\n    uses: test.axt\n");
  HookServer server({"200 OK", "200 OK"});
  EXPECT_EQ(box.Genflow({"run", "--notify", server.Url()}).code, 2);
  SetUp();
  // Everything is cached, and yet a run is recorded: the pipeline works again.
  const auto again = box.Genflow({"run", "--only-if-changed", "--notify", server.Url()});
  EXPECT_EQ(box.Normal(again.out), "nightly: nothing to do (2 stages cached, TIME)\n");
  const auto requests = server.Requests();
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_EQ(Plain(requests[0]),
            json({{"event", "failure"},
                  {"message", "nightly could not start on HOST: pipeline.yaml:4: unknown stage 'test.axt'"},
                  {"pipeline", "nightly"},
                  {"file", "DIR/pipeline.yaml"},
                  {"host", "HOST"},
                  {"time", "TIME"},
                  {"exit_code", 2},
                  {"run", nullptr}}));
  EXPECT_EQ(Plain(requests[1])["event"], "recovery");
}

TEST_F(Notify, SlacksFormatFromAFileOfUrls) {
  HookServer server({"200 OK"});
  box.Write("hooks", "# the team's channel\nslack:" + server.Url() + "/services/T0\n");
  const std::vector<std::string> args = {"run", "-p", "what=invalid", "--notify", "@hooks"};
  const auto open = box.Genflow(args);
  EXPECT_EQ(open.code, 2);
  EXPECT_EQ(open.err, "error: --notify @hooks: others can read this file\n  hint: chmod 600 hooks\n");
  ASSERT_EQ(box.Shell("chmod 600 hooks").code, 0);
  EXPECT_EQ(box.Genflow(args).code, 1);
  const auto requests = server.Requests();
  ASSERT_EQ(requests.size(), 1u);
  EXPECT_EQ(requests[0].path, "/services/T0");
  const json body = json::parse(requests[0].body);
  ASSERT_EQ(body.size(), 1u);
  const std::string text =
      std::regex_replace(box.Normal(body["text"]), std::regex(" on [^ :]+:"), " on HOST:");
  EXPECT_EQ(text,
            ":red_circle: nightly failed on HOST: a: the data has no rows\nrun RUN, TIME, DIR/pipeline.yaml");
}

TEST_F(Notify, MistakesHelpAndHideTheUrl) {
  EXPECT_EQ(box.Refusal({"run", "--notify", "ftp://example.com/secret-word"}),
            "error: --notify: this is no URL of a web hook\n"
            "  hint: write https://HOST/PATH, slack:https://HOST/PATH, or @FILE that holds one a line\n");
  EXPECT_EQ(box.Refusal({"run", "--notify", "@none"}), "error: --notify @none: No such file or directory\n");
  box.Write("nobody", "# later\n\n");
  ASSERT_EQ(box.Shell("chmod 600 nobody").code, 0);
  EXPECT_EQ(box.Refusal({"run", "--notify", "@nobody"}),
            "error: --notify @nobody: no URL in it\n  hint: write one a line: https://HOST/PATH\n");
  EXPECT_EQ(box.Refusal({"run", "--notify-on", "failure,gates"}),
            "error: --notify-on: 'gates' is no event\n  hint: did you mean 'gate'?\n");
  box.SetEnv("GENFLOW_NOTIFY", "https://example.com/a secret-word");
  EXPECT_EQ(box.Refusal({"run"}),
            "error: GENFLOW_NOTIFY: this is no URL of a web hook\n"
            "  hint: write https://HOST/PATH, slack:https://HOST/PATH, or @FILE that holds one a line\n");
}

TEST_F(Notify, StagesDoNotSeeTheUrls) {
  box.Write(
      "pipeline.yaml",
      "name: p\nstages:\n  a:\n    uses: exec\n    with: { run: 'env > \"$GENFLOW_OUT_ALL\"' }\n    out: { "
      "all: file }\n");
  box.SetEnv("GENFLOW_NOTIFY", "https://example.com/secret-word");
  ASSERT_EQ(box.Genflow({"run"}).code, 0);
  const std::string seen = box.Artifact("a.all");
  EXPECT_EQ(seen.find("secret-word"), std::string::npos) << seen;
}

}  // namespace
}  // namespace genflow
