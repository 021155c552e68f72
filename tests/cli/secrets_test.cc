// Secrets reach the stages that name them, and nothing that is shown or kept.
#include <gtest/gtest.h>

#include "cli/hook_server.h"
#include "cli/sandbox.h"

namespace genflow {
namespace {

constexpr char kCanary[] = "canary-4d1f7-\"S3cr3t\"+x";

class Secrets : public testing::Test {
 protected:
  // Nothing that starts like the canary stands anywhere in the store (the database included), nor in `text`.
  void ExpectNoCanary(const std::string& text) {
    EXPECT_EQ(text.find("canary-4d1f7"), std::string::npos) << text;
    EXPECT_EQ(text.find("Y2FuYXJ5"), std::string::npos) << text;  // in base64
    const auto grep = box.Shell("! grep -r -a -l -e canary-4d1f7 -e Y2FuYXJ5 .genflow");
    EXPECT_EQ(grep.code, 0) << grep.out;
  }
  Sandbox box;
};

constexpr char kTalkative[] = R"yaml(name: p
params: { note: plain }
stages:
  shell:
    uses: exec
    with:
      run: |
        : "note ${{ params.note }}"
        echo "out $TOKEN"; echo "err $TOKEN" >&2
        printf '%s' "$TOKEN" | base64 -w0; echo
        mkdir -p "$(dirname "$GENFLOW_OUT_O")"; echo x > "$GENFLOW_OUT_O"
        echo x > "$(dirname "$GENFLOW_OUT_O")/$(printf '%s' "$TOKEN")"
        exit "${CODE:-0}"
    env: { TOKEN: "${{ secrets.TOKEN }}" }
    out: { o: file }
  plugin:
    uses: test.act
    with: { do: tell, token: "${{ secrets.TOKEN }}", text: "${{ secrets.TOKEN }}" }
    retries: { max: 1, backoff: 0s }
)yaml";

TEST_F(Secrets, AreMaskedWhereverTheyAreSaid) {
  box.Write("pipeline.yaml", kTalkative);
  box.SetEnv("GENFLOW_SECRET_TOKEN", kCanary);
  const std::string note = std::string("note=") + kCanary;
  for (const std::vector<std::string>& args : {std::vector<std::string>{"run", "-k", "-p", note},
                                               {"run", "-k", "--json", "-p", note},
                                               {"plan"},
                                               {"plan", "--json"},
                                               {"validate", "--json"}}) {
    const auto run = box.Genflow(args);
    ExpectNoCanary(run.out + run.err);
  }
  const auto run = box.Genflow({"run", "-k"});
  EXPECT_EQ(run.code, 1);
  EXPECT_NE(run.err.find("error: plugin: message ***\n  hint: hint ***\n"), std::string::npos) << run.err;
  for (const std::vector<std::string>& args : {std::vector<std::string>{"logs", "shell"},
                                               {"logs", "plugin"},
                                               {"runs", "show"},
                                               {"runs", "show", "--json"},
                                               {"runs", "ls", "--json"}}) {
    const auto shown = box.Genflow(args);
    ExpectNoCanary(shown.out + shown.err);
  }
  const auto log = box.Genflow({"logs", "plugin"});
  EXPECT_NE(log.out.find("output ***"), std::string::npos) << log.out;
  EXPECT_NE(log.out.find("log ***"), std::string::npos) << log.out;
  EXPECT_NE(box.Genflow({"logs", "shell"}).out.find("err ***"), std::string::npos);
}

TEST_F(Secrets, AreInNoReportMessageOrExport) {
  box.Write("pipeline.yaml", kTalkative);
  box.SetEnv("GENFLOW_SECRET_TOKEN", kCanary);
  box.SetEnv("GITHUB_STEP_SUMMARY", (box.dir() / "page.md").string());
  HookServer server({"200 OK", "200 OK"});
  const std::vector<std::string> reports = {"run",
                                            "-k",
                                            "--junit",
                                            "out/junit.xml",
                                            "--summary",
                                            "out/s.md",
                                            "--code-quality",
                                            "out/q.json",
                                            "--notify",
                                            server.Url() + "/hook"};
  std::string said;
  for (const char* system : {"GITHUB_ACTIONS", "GITLAB_CI"}) {
    box.SetEnv(system, "true");
    const auto run = box.Genflow(reports);
    EXPECT_EQ(run.code, 1);
    said += run.out + run.err;
    box.SetEnv(system, "");
  }
  EXPECT_NE(said.find("::error"), std::string::npos) << said;
  EXPECT_NE(said.find("section_start:"), std::string::npos) << said;
  for (const auto& request : server.Requests()) said += request.body;
  EXPECT_NE(said.find("message ***"), std::string::npos) << said;
  ExpectNoCanary(said);
  const std::vector<std::vector<std::string>> commands = {
      {"report", "latest", "-o", "out/run.html"},
      {"status", "--json"},
      {"status", "--prometheus", "out/genflow.prom"},
      {"runs", "export", "latest", "-o", "out/run.tar"},
      {"runs", "diff", "latest", "latest", "--json"},
      {"runs", "compare", "--json"},
      {"runs", "metrics"},
      {"explain", "plugin", "--json"},
      {"graph", "--format", "svg"},
      {"artifacts", "ls", "--json"},
      {"schedule", "add", "pipeline.yaml", "0 3 * * *", "--backend", "systemd"},
      {"schedule", "ls", "--json"},
      {"schedule", "run", "--now", "pipeline"}};
  for (const auto& command : commands) {
    const auto shown = box.Genflow(command);
    EXPECT_EQ(shown.code, command[1] == "run" ? 1 : 0) << command[0] << " " << command[1] << shown.err;
    ExpectNoCanary(shown.out + shown.err);
  }
  for (const char* file : {"out/junit.xml", "out/s.md", "out/q.json", "page.md", "out/run.html",
                           "out/genflow.prom", "out/run.tar", ".local/state/genflow/schedules/pipeline.log",
                           ".config/genflow/schedules/pipeline.json"})
    EXPECT_TRUE(box.Exists(file)) << file;
  const auto grep =
      box.Shell("! grep -r -a -l -e canary-4d1f7 -e Y2FuYXJ5 . --exclude=stdout --exclude=stderr");
  EXPECT_EQ(grep.code, 0) << grep.out;
}

TEST_F(Secrets, StayOutOfTheEnvironmentOfOtherStages) {
  box.Write("pipeline.yaml",
            "name: p\nstages:\n  a:\n    uses: exec\n    with: { run: 'env > \"$GENFLOW_OUT_ENV\"' }\n"
            "    out: { env: file }\n  b:\n    uses: exec\n    env: { MINE: '${{ secrets.TOKEN }}' }\n"
            "    with: { run: 'test \"$MINE\" != \"\"; test \"$GENFLOW_SECRET_TOKEN\" = \"\"' }\n");
  box.SetEnv("GENFLOW_SECRET_TOKEN", kCanary);
  const auto run = box.Genflow({"run"});
  EXPECT_EQ(run.code, 0) << run.err;
  ExpectNoCanary(run.out + run.err);
}

constexpr char kLength[] =
    "name: p\nstages:\n  a:\n    uses: exec\n    env: { T: '${{ secrets.T }}' }\n"
    "    with: { run: 'printf \"%s\" \"$T\" | wc -c > \"$GENFLOW_OUT_N\"' }\n    out: { n: file }\n";

TEST_F(Secrets, ComeFromAFileTheEnvironmentOrAFolder) {
  box.Write("pipeline.yaml", kLength);
  box.Write("folder/T", "four\n");
  box.SetEnv("GENFLOW_SECRETS_DIR", (box.dir() / "folder").string());
  ASSERT_EQ(box.Genflow({"run"}).code, 0);
  EXPECT_EQ(box.Artifact("a.n"), "4\n");
  box.SetEnv("GENFLOW_SECRET_T", "fiver");
  ASSERT_EQ(box.Genflow({"run"}).code, 0);
  EXPECT_EQ(box.Artifact("a.n"), "5\n");
  box.Write("secrets", "T=sixsix\n");
  ASSERT_EQ(box.Shell("chmod 600 secrets").code, 0);
  ASSERT_EQ(box.Genflow({"run", "--secrets-file", "secrets"}).code, 0);
  EXPECT_EQ(box.Artifact("a.n"), "6\n");
}

TEST_F(Secrets, WhatCannotBeReadIsSaid) {
  box.Write("pipeline.yaml", kLength);
  box.SetEnv("GENFLOW_SECRETS_DIR", (box.dir() / "folder").string());
  const auto missing = box.Genflow({"run"});
  EXPECT_EQ(missing.code, 2);
  EXPECT_EQ(box.Normal(missing.err),
            "error: GENFLOW_SECRETS_DIR: DIR/folder is not a folder\n"
            "  hint: it holds a file for each secret, named like it\n");
  box.SetEnv("GENFLOW_SECRETS_DIR", "");
  box.SetEnv("GENFLOW_SECRET_T", "");
  const auto empty = box.Genflow({"run"});
  EXPECT_EQ(empty.code, 2);
  EXPECT_EQ(empty.err,
            "pipeline.yaml:5:28: error: the secret 'T' is empty\n"
            "    5 |     env: { T: '${{ secrets.T }}' }\n"
            "      |                            ^\n"
            "  hint: set the environment variable GENFLOW_SECRET_T, or give a file with --secrets-file\n"
            "\n1 error\n");
  box.SetEnv("GENFLOW_SECRET_T", "ab");
  EXPECT_EQ(box.Normal(box.Genflow({"run", "--quiet"}).err),
            "pipeline.yaml:5:20: warning: the secret 'T' is too short to be masked in what stages say\n"
            "    5 |     env: { T: '${{ secrets.T }}' }\n"
            "      |                    ^~~~~~~~~\n"
            "  hint: take one of at least 3 characters\n\n1 warning\n");
}

}  // namespace
}  // namespace genflow
