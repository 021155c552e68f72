// `genflow init`: what it writes is valid, and it writes over nothing.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/sandbox.h"
#include "cli/terminal_session.h"

namespace genflow {
namespace {

using nlohmann::json;

// Whether this build has a stage.
bool HasStage(const Sandbox& box, const std::string& name) {
  return box.Genflow({"stages", "show", name}).code == 0;
}

TEST(Init, TheExecTemplateIsValidAndRuns) {
  Sandbox box;
  const auto made = box.Genflow({"init", "--template", "exec", "--name", "first steps"});
  EXPECT_EQ(made.code, 0) << made.err;
  EXPECT_EQ(made.err, "");
  EXPECT_EQ(made.out,
            "wrote pipeline.yaml\n\npipeline.yaml is valid (3 stages). What next:\n  genflow plan\n  genflow "
            "run\n");
  EXPECT_EQ(box.Genflow({"validate"}).out, "pipeline.yaml: valid (3 stages)\n");
  const auto run = box.Genflow({"run"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(box.Artifact("sum.total"), "5050\n");
  EXPECT_EQ(box.Genflow({"logs", "check"}).out.find("the sum is 5050") == std::string::npos, false);
  const auto again = box.Genflow({"run"});
  EXPECT_EQ(again.out.find("first steps: nothing to do (3 stages cached"), 0u) << again.out;
}

TEST(Init, EveryTemplateIsValidAsItIs) {
  Sandbox box;
  box.Write("models/tiny.gguf", "GGUF");
  box.Write("words.jsonl", "{\"text\": \"a text\"}\n");
  int checked = 0;
  for (const auto& [name, stage] : std::vector<std::pair<std::string, std::string>>{
           {"exec", "exec"}, {"data", "data.split"}, {"eval", "guard.probe"}, {"finetune", "train.lora"}}) {
    if (!HasStage(box, stage)) continue;  // a build without the plugins' libraries
    for (const std::string& data : {std::string(), std::string("words.jsonl")}) {
      if (!data.empty() && name == "exec") continue;
      std::vector<std::string> args = {"init", name + data, "--template", name, "--json"};
      if (!data.empty()) args.insert(args.end(), {"--data", data});
      if (name == "eval" || name == "finetune") args.insert(args.end(), {"--base", "models/tiny.gguf"});
      const auto made = box.Genflow(args);
      EXPECT_EQ(made.code, 0) << name << made.out << made.err;
      const json out = json::parse(made.out);
      EXPECT_EQ(out["valid"], true);
      EXPECT_EQ(out["diagnostics"], json::array()) << "no warnings either";
      EXPECT_EQ(out["name"], name + data == "datawords.jsonl" ? "datawords-jsonl" : out["name"]);
      const auto valid = box.Genflow({"validate", name + data + "/pipeline.yaml"});
      EXPECT_EQ(valid.code, 0) << valid.err;
      EXPECT_EQ(valid.err, "");
      EXPECT_EQ(box.Exists(name + data + "/data/examples.jsonl"), data.empty() && name != "exec");
      ++checked;
    }
  }
  EXPECT_GE(checked, 1);
}

TEST(Init, LinesOfTheTemplatesFitATerminalAndSayWhatTheyAre) {
  Sandbox box;
  ASSERT_EQ(box.Genflow({"init", "--template", "exec", "--name", "yes"}).code, 0);
  const std::string text = box.Read("pipeline.yaml");
  EXPECT_EQ(
      text.find("# Made by `genflow init --template exec`: run programs of your own, with cache, logs and "
                "retries.\n#   genflow validate     checks this file\n"),
      0u)
      << text;
  EXPECT_NE(text.find("\nname: \"yes\"\n"), std::string::npos) << "a word that YAML reads as true is quoted";
}

TEST(Init, WritesOverNothingWithoutForce) {
  Sandbox box;
  box.Write("pipeline.yaml", "mine\n");
  const auto refused = box.Genflow({"init", "--template", "exec"});
  EXPECT_EQ(refused.code, 2);
  EXPECT_EQ(refused.out, "");
  EXPECT_EQ(refused.err, "error: pipeline.yaml exists already\n  hint: --force writes it anew\n");
  EXPECT_EQ(box.Read("pipeline.yaml"), "mine\n");
  EXPECT_EQ(box.Genflow({"init", "--template", "exec", "--force"}).code, 0);
  EXPECT_EQ(box.Genflow({"validate"}).code, 0);
}

TEST(Init, AsksNobodyWhereThereIsNobody) {
  Sandbox box;
  const auto alone = box.Genflow({"init"});
  EXPECT_EQ(alone.code, 2);
  EXPECT_EQ(alone.err,
            "error: which template? --template is needed where nobody can be asked\n"
            "  hint: it is one of finetune, eval, data, exec; --yes takes what fits the folder\n");
  EXPECT_FALSE(box.Exists("pipeline.yaml"));
  EXPECT_EQ(box.Genflow({"init", "sub", "--yes"}).out,
            "wrote sub/pipeline.yaml\n\nsub/pipeline.yaml is valid (3 stages). What next:\n"
            "  genflow plan sub/pipeline.yaml\n  genflow run sub/pipeline.yaml\n");
}

TEST(Init, MistakesAreToldBeforeAnythingIsWritten) {
  Sandbox box;
  box.Write("notes.txt", "text\n");
  const auto expect = [&](std::vector<std::string> args, const std::string& message) {
    args.insert(args.begin(), "init");
    const auto result = box.Genflow(args);
    EXPECT_EQ(result.code, 2);
    EXPECT_EQ(result.err, message);
  };
  expect({"--template", "exce"}, "error: no template is called 'exce'\n  hint: did you mean 'exec'?\n");
  expect({"--template", "rag"},
         "error: no template is called 'rag'\n  hint: it is one of finetune, eval, data, exec\n");
  expect({"--template", "finetune"},
         "error: no model is here, nor in models/\n  hint: name one: --base model.gguf, or a Hugging Face "
         "folder\n");
  expect({"--template", "eval", "--base", "none.gguf"},
         "error: --base none.gguf does not exist\n"
         "  hint: give a .gguf file, or a Hugging Face folder with its config.json\n");
  expect({"--template", "eval", "--base", "notes.txt"},
         "error: --base notes.txt is no model\n"
         "  hint: give a .gguf file, or a Hugging Face folder with its config.json\n");
  expect({"--template", "data", "--data", "none/*.jsonl"},
         "error: --data none/*.jsonl matches no file\n"
         "  hint: without --data, init writes a few examples to start with\n");
  expect({"--template", "exec", "--data", "notes.txt"}, "error: the template 'exec' takes no --data\n");
  expect({"--template", "exec", "--name", "a${{b"},
         "error: a pipeline's name is one line of text without '${{'\n");
  expect({"notes.txt", "--template", "exec"},
         "error: notes.txt is a file; init takes the folder of the new pipeline\n");
  EXPECT_FALSE(box.Exists("pipeline.yaml"));
}

TEST(Init, KeepsTheStoreOutOfGit) {
  Sandbox box;
  box.Write("repo/.git/HEAD", "ref: refs/heads/main\n");
  box.Write("repo/a/.gitignore", "*.o");
  ASSERT_EQ(box.Genflow({"init", "repo/a", "--template", "exec"}).code, 0);
  EXPECT_EQ(box.Read("repo/a/.gitignore"), "*.o\n.genflow/\n");
  box.Write("repo/.gitignore", "/.genflow\n");
  ASSERT_EQ(box.Genflow({"init", "repo/b", "--template", "exec"}).code, 0);
  EXPECT_FALSE(box.Exists("repo/b/.gitignore"));
  ASSERT_EQ(box.Genflow({"init", "elsewhere", "--template", "exec"}).code, 0);
  EXPECT_FALSE(box.Exists("elsewhere/.gitignore"));
}

TEST(Init, AsksOnATerminal) {
  Sandbox box;
  TerminalSession session(box, {"init"}, 80, 24);
  ASSERT_TRUE(session.WaitForText("Which of these [exec]:")) << session.Screen();
  session.Type("exex\n");
  ASSERT_TRUE(session.WaitForText("'exex' is none of finetune, eval, data, exec")) << session.Screen();
  session.Type("exec\n");
  ASSERT_TRUE(session.WaitForText("Name of the pipeline [")) << session.Screen();
  session.Type("asked\n");
  EXPECT_EQ(session.Wait(), 0) << session.Screen();
  EXPECT_NE(session.Screen().find("pipeline.yaml is valid (3 stages). What next:\n"), std::string::npos)
      << session.Screen();
  EXPECT_NE(box.Read("pipeline.yaml").find("\nname: asked\n"), std::string::npos);
}

TEST(Init, EndOfInputAtAQuestionWritesNothing) {
  Sandbox box;
  TerminalSession session(box, {"init"}, 80, 24);
  ASSERT_TRUE(session.WaitForText("Which of these [exec]:")) << session.Screen();
  session.Type("\x04");
  EXPECT_EQ(session.Wait(), 2);
  EXPECT_NE(session.Screen().find("error: the questions were not answered; nothing was written\n"),
            std::string::npos)
      << session.Screen();
  EXPECT_FALSE(box.Exists("pipeline.yaml"));
}

}  // namespace
}  // namespace genflow
