// Completion, asked as shells ask, and by the shells themselves where they are installed.
#include <gtest/gtest.h>

#include "cli/sandbox.h"
#include "cli/terminal_session.h"

namespace genflow {
namespace {

// A run with two stages and an artifact, tagged.
void MakeRun(Sandbox& box) {
  box.Write(
      "pipeline.yaml",
      "name: p\nparams:\n  epochs: 1\n  rate: 2\nstages:\n  # a comment\n  read:\n    uses: exec\n"
      "    with: { run: \"echo ${{ params.epochs }} ${{ params.rate }} > $GENFLOW_OUT_ROWS\" }\n"
      "    out: { rows: file }\n  tune:\n    uses: exec\n    needs: [read]\n    with: { run: \"true\" }\n");
  ASSERT_EQ(box.Genflow({"run", "--quiet"}).code, 0);
  ASSERT_EQ(box.Genflow({"runs", "tag", "latest", "released"}).code, 0);
}

// The candidates, without descriptions, joined by blanks.
std::string Names(const Sandbox& box, std::vector<std::string> words) {
  words.insert(words.begin(), {"__complete", "words", "--"});
  const auto result = box.Genflow(words);
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(result.err, "");
  std::string out;
  for (size_t at = 0; at < result.out.size();) {
    const size_t end = result.out.find('\n', at);
    const std::string line = result.out.substr(at, end - at);
    out += (out.empty() ? "" : " ") + line.substr(0, line.find('\t'));
    at = end + 1;
  }
  return out;
}

TEST(Completion, CommandsAndOptionsComeFromTheTree) {
  Sandbox box;
  EXPECT_EQ(Names(box, {"va"}), "validate");
  EXPECT_EQ(Names(box, {"runs", "s"}), "show");
  EXPECT_EQ(Names(box, {"gc", "--"}), "--help --dry-run --keep-last --keep-days --store --json");
  EXPECT_EQ(Names(box, {"gc", "--json", "--"}), "--help --dry-run --keep-last --keep-days --store")
      << "once is enough";
  EXPECT_EQ(Names(box, {"fsck", "--re"}), "--repair --rebuild");
  EXPECT_EQ(Names(box, {"work"}), "") << "hidden commands stay hidden";
  EXPECT_EQ(Names(box, {"none", "such", ""}), "");
  EXPECT_EQ(Names(box, {"completion", ""}), "bash zsh fish");
  EXPECT_EQ(Names(box, {"init", "--template", ""}), "finetune eval data exec");
  EXPECT_EQ(Names(box, {"init", "--template=ex"}), "--template=exec");
  EXPECT_NE(box.Genflow({"__complete", "words", "--", "val"})
                .out.find("validate\tCheck a pipeline file; reports every error at once\n"),
            std::string::npos);
}

TEST(Completion, PipelinesStagesAndParameters) {
  Sandbox box;
  MakeRun(box);
  box.Write("more/other.yaml", "name: o\nstages:\n    \"first\":\n        uses: exec\n    second: {}\n");
  box.Write("notes.txt", "");
  EXPECT_EQ(Names(box, {"run", ""}), "more/ pipeline.yaml");
  EXPECT_EQ(Names(box, {"run", "more/"}), "more/other.yaml");
  EXPECT_EQ(Names(box, {"run", "--from", ""}), "read tune");
  EXPECT_EQ(Names(box, {"run", "--from=t"}), "--from=tune");
  EXPECT_EQ(Names(box, {"run", "more/other.yaml", "--until", ""}), "first second");
  EXPECT_EQ(Names(box, {"run", "--force", ""}), "read tune");
  EXPECT_EQ(Names(box, {"run", "-p", ""}), "epochs= rate=");
  EXPECT_EQ(Names(box, {"run", "-p", "epochs=3", "pipe"}), "pipeline.yaml");
  EXPECT_EQ(Names(box, {"run", "--store", ""}), "more/");
  EXPECT_EQ(Names(box, {"stages", "show", "test."}), "test.act test.count test.picky");
  EXPECT_EQ(Names(box, {"stages", "show", "ex"}), "exec");
  box.Write("more/flow.yaml",
            "name: f\nparams: { ranks: [8, 16] }\nstages: { a: { uses: exec, with: { run: x } } }\n"
            "profiles: { ci: {}, big: {} }\n");
  EXPECT_EQ(Names(box, {"run", "more/flow.yaml", "-p", ""}), "ranks=");
  EXPECT_EQ(Names(box, {"run", "more/flow.yaml", "--from", ""}), "a");
  EXPECT_EQ(Names(box, {"run", "more/flow.yaml", "--profile", ""}), "ci big");
  EXPECT_EQ(Names(box, {"run", "more/flow.yaml", "--profile", "ci,"}), "ci,big");
  box.Write("more/flow.yaml", "name: f\nstages:\n  a: { uses: exec\n  b:\n    uses: [\n");
  EXPECT_EQ(Names(box, {"run", "more/flow.yaml", "--from", ""}), "a b") << "while it is being written";
}

TEST(Completion, ChoicesSchedulesAndModels) {
  Sandbox box;
  MakeRun(box);
  EXPECT_EQ(Names(box, {"graph", "--format", ""}), "text mermaid dot svg");
  EXPECT_EQ(Names(box, {"run", "--if-locked", ""}), "fail skip wait");
  EXPECT_EQ(Names(box, {"run", "--notify-on", "f"}), "failure");
  EXPECT_EQ(Names(box, {"run", "--notify-on", "failure,s"}), "failure,success");
  EXPECT_EQ(Names(box, {"schedule", "add", "--backend", ""}), "cron systemd");
  box.Write(".config/genflow/schedules/nightly.json", "broken");
  EXPECT_EQ(Names(box, {"schedule", "rm", ""}), "nightly");
  box.Write("pipeline.yaml",
            "name: p\nstages:\n  pack:\n    uses: exec\n    with: { run: 'echo > $GENFLOW_OUT_P' }\n"
            "    out: { p: package }\n");
  ASSERT_EQ(box.Genflow({"run", "--quiet"}).code, 0);
  ASSERT_EQ(box.Genflow({"models", "register", "helper", "pack.p", "--alias", "best"}).code, 0);
  EXPECT_EQ(Names(box, {"models", "ls", ""}), "helper");
  EXPECT_EQ(Names(box, {"models", "alias", ""}), "helper@1 helper@best");
  EXPECT_EQ(Names(box, {"models", "alias", "helper@1", ""}), "best");
}

TEST(Completion, RunsTagsArtifactsAndLogs) {
  Sandbox box;
  MakeRun(box);
  const auto normal = [&](std::vector<std::string> words) {
    return box.Normal(Names(box, std::move(words)));
  };
  EXPECT_EQ(normal({"runs", "show", ""}), "latest RUN");
  EXPECT_EQ(normal({"runs", "rm", "latest", ""}), "latest RUN") << "it takes several";
  EXPECT_EQ(Names(box, {"runs", "tag", "latest", ""}), "released");
  EXPECT_EQ(Names(box, {"runs", "ls", "--tag", "re"}), "released");
  EXPECT_EQ(Names(box, {"runs", "ls", "--pipeline", ""}), "p");
  EXPECT_EQ(Names(box, {"runs", "ls", "--status", "g"}), "gated");
  EXPECT_EQ(normal({"logs", ""}), "read tune RUN/");
  EXPECT_EQ(Names(box, {"logs", "latest/t"}), "latest/tune");
  EXPECT_EQ(Names(box, {"artifacts", "show", "r"}), "read.rows");
  EXPECT_EQ(Names(box, {"artifacts", "ls", "--type", "re"}), "report");
  EXPECT_EQ(Names(box, {"runs", "show", "--store", "none", ""}), "") << "no store, no names, no error";
}

// What bash puts in for a line that ends at the cursor, joined by blanks.
std::string InBash(const Sandbox& box, const std::string& line) {
  box.Write("line", line);
  const auto result = box.Shell(
      "export PATH=" + std::filesystem::path(GENFLOW_BINARY).parent_path().string() +
      ":$PATH; source <(genflow completion bash); complete -p genflow >/dev/null; compopt() { :; }\n"
      "COMP_LINE=$(cat line; echo x); COMP_LINE=${COMP_LINE%x}; COMP_POINT=${#COMP_LINE}\n"
      "_genflow genflow; echo \"${COMPREPLY[*]}\"");
  EXPECT_EQ(result.code, 0) << result.err;
  return result.out.substr(0, result.out.find('\n'));
}

TEST(Completion, BashGetsWhatComesAfterItsWordBreaks) {
  Sandbox box;
  MakeRun(box);
  EXPECT_EQ(InBash(box, "genflow fs"), "fsck");
  EXPECT_EQ(InBash(box, "genflow run --from "), "read tune");
  EXPECT_EQ(InBash(box, "genflow run --from=t"), "tune") << "'=' breaks words";
  EXPECT_EQ(InBash(box, "FOO=1 genflow"), "");
  const std::string run = Names(box, {"runs", "show", "2"});
  EXPECT_EQ(InBash(box, "genflow artifacts show " + run + ":re"), "read.rows") << "so does ':'";
  box.Write("with blank.yaml", "");
  EXPECT_EQ(InBash(box, "genflow run with"), "with\\ blank.yaml");
  EXPECT_EQ(InBash(box, "genflow run with\\ b"), "with\\ blank.yaml");
  EXPECT_EQ(InBash(box, "genflow run \"with b"), "with blank.yaml");
  box.Write("pipeline.yaml",
            "name: m\nstages:\n  tune:\n    uses: exec\n    matrix: { r: [16], lr: [2e-4] }\n"
            "    with: { run: 'true' }\n");
  ASSERT_EQ(box.Genflow({"run", "--quiet"}).code, 0);
  EXPECT_EQ(InBash(box, "genflow logs tune[r=16,lr=2"), "2e-4\\]");
  EXPECT_EQ(InBash(box, "genflow logs tune\\[r=16,lr=2"), "2e-4\\]");
}

TEST(Completion, BashCompletesAtTheTab) {
  Sandbox box;
  MakeRun(box);
  box.SetEnv("PS1", "$ ");
  box.SetEnv("PATH",
             std::filesystem::path(GENFLOW_BINARY).parent_path().string() + ":" + std::getenv("PATH"));
  box.Write("rc", "PS1='$ '; bind 'set enable-bracketed-paste off'; source <(genflow completion bash)\n");
  TerminalSession session(box, {"/bin/bash", "--noprofile", "--rcfile", "rc", "-i"}, 80, 24);
  ASSERT_TRUE(session.WaitForText("$")) << session.Screen();
  session.Type("genflow vali\t");
  ASSERT_TRUE(session.WaitForText("$ genflow validate")) << session.Screen();
  session.Type("pip\t\n");
  ASSERT_TRUE(session.WaitForText("pipeline.yaml: valid (2 stages)")) << session.Screen();
  session.Type("exit\n");
  EXPECT_EQ(session.Wait(), 0);
}

TEST(Completion, ZshOffersTheSame) {
  Sandbox box;
  if (box.Shell("command -v zsh").code != 0) GTEST_SKIP() << "zsh is not installed";
  MakeRun(box);
  box.Write("ask.zsh",
            "autoload -U compinit && compinit -D -u\n"
            "source <($1 completion zsh)\n"
            "[[ ${_comps[genflow]} == _genflow ]] || exit 3\n"
            "compadd() { local last=$@[-1]; print -l -- ${(P)last} }\n"
            "words=($1 runs show ''); CURRENT=4; _genflow\n"
            "words=($1 run --fro); CURRENT=3; _genflow\n"
            "words=($1 run --from ''); CURRENT=4; _genflow\n");
  const auto result = box.Shell("zsh -f ask.zsh " + std::string(GENFLOW_BINARY));
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(box.Normal(result.out), "latest\nRUN\n--from\nread\ntune\n");
}

TEST(Completion, FishOffersTheSame) {
  Sandbox box;
  if (box.Shell("command -v fish").code != 0) GTEST_SKIP() << "fish is not installed";
  MakeRun(box);
  box.SetEnv("PATH",
             std::filesystem::path(GENFLOW_BINARY).parent_path().string() + ":" + std::getenv("PATH"));
  const auto result = box.Shell(
      "fish --no-config -c 'genflow completion fish | source; complete -C \"genflow run --from \";"
      " complete -C \"genflow fsc\"'");
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, "read\ntune\nfsck\tCheck every byte of the store\n");
}

TEST(Completion, OfAShellThatIsNone) {
  Sandbox box;
  const auto result = box.Genflow({"completion", "bsh"});
  EXPECT_EQ(result.code, 2);
  EXPECT_EQ(result.err, "error: there is no completion for 'bsh'\n  hint: did you mean 'bash'?\n");
}

}  // namespace
}  // namespace genflow
