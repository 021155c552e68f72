// The job files of docs/ci: their genflow commands are understood, and the shell script is run.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <regex>

#include "base/files.h"
#include "base/strings.h"
#include "cli/judged.h"
#include "cli/sandbox.h"
#include "config/yaml_tree.h"
#include "testing/junit_check.h"

namespace genflow {
namespace {

namespace fs = std::filesystem;

const fs::path kFolder = fs::path(GENFLOW_SOURCE_DIR) / "docs/ci";

std::string Text(const std::string& name) {
  const auto text = ReadFile(kFolder / name);
  EXPECT_TRUE(text.ok()) << name;
  return text.ok() ? *text : "";
}

// Every text below a key `run`, `script`, `before_script` or `after_script`.
void CollectScripts(const YamlNode& node, bool inside, std::vector<std::string>* out) {
  if (node.is_scalar()) {
    if (inside) out->push_back(node.text);
    return;
  }
  for (const auto* item : node.items) CollectScripts(*item, inside, out);
  for (const auto& entry : node.entries) {
    const std::string& key = entry.key->text;
    const bool script = key == "run" || key.ends_with("script");
    CollectScripts(*entry.value, script && entry.value->kind != YamlNode::Kind::kMap, out);
  }
}

std::vector<std::string> YamlScripts(const std::string& name) {
  const SourceText source(name, Text(name));
  YamlTree tree;
  std::vector<Diagnostic> diagnostics;
  const YamlNode* root = ParseYaml(source, &tree, &diagnostics);
  EXPECT_EQ(RenderDiagnostics(diagnostics), "");
  std::vector<std::string> out;
  if (root != nullptr) CollectScripts(*root, false, &out);
  return out;
}

// Command lines that begin with genflow, in scripts of a shell; continued lines are joined.
std::vector<std::vector<std::string>> Commands(const std::vector<std::string>& scripts) {
  std::vector<std::vector<std::string>> out;
  for (const auto& script : scripts) {
    const std::string joined = std::regex_replace(script, std::regex("\\\\\n"), " ");
    for (const auto line : Split(joined, '\n')) {
      const std::string text(line);
      const std::regex call(
          "(^|[\\s;'(])genflow ((validate|run|gc|fsck|runs|models|artifacts|logs|plan)\\b[^;|'>]*)");
      std::smatch match;
      if (Trim(line).starts_with("#") || !std::regex_search(text, match, call)) continue;
      auto& words = out.emplace_back();
      const std::string arguments = match[2];
      for (const auto word : Split(arguments, ' ')) {
        if (!word.empty()) words.emplace_back(word);
      }
    }
  }
  return out;
}

// Every option of the command is one that its --help names.
void ExpectUnderstood(const std::vector<std::vector<std::string>>& commands, size_t at_least) {
  Sandbox box;
  EXPECT_GE(commands.size(), at_least);
  for (const auto& words : commands) {
    const auto help = box.Genflow({words[0], "--help"});
    EXPECT_EQ(help.code, 0) << words[0];
    for (const auto& word : words) {
      if (!word.starts_with("-")) continue;
      EXPECT_TRUE(std::regex_search(help.out, std::regex("(^|[\\s,])" + word + "($|[\\s,\\]])")))
          << "genflow " << Join(words, " ") << ": " << word << " is not in\n"
          << help.out;
    }
  }
}

TEST(CiFiles, GitHubActions) {
  const auto commands = Commands(YamlScripts("github-actions.yml"));
  ExpectUnderstood(commands, 4);
  EXPECT_NE(Text("github-actions.yml").find("path: .genflow"), std::string::npos);
}

TEST(CiFiles, GitLab) {
  const auto commands = Commands(YamlScripts("gitlab-ci.yml"));
  ExpectUnderstood(commands, 4);
  EXPECT_NE(Text("gitlab-ci.yml").find("paths: [.genflow]"), std::string::npos);
}

TEST(CiFiles, Jenkins) {
  const std::string text = Text("Jenkinsfile");
  ExpectUnderstood(Commands({text}), 3);
  EXPECT_EQ(std::count(text.begin(), text.end(), '{'), std::count(text.begin(), text.end(), '}'));
  EXPECT_EQ(std::count(text.begin(), text.end(), '('), std::count(text.begin(), text.end(), ')'));
}

TEST(CiFiles, TheCheckFindsAnUnknownOption) {
  const auto commands = Commands({"set -e\ngenflow run x \\\n  --junti a.xml", "# genflow run --no"});
  ASSERT_EQ(commands.size(), 1u);
  EXPECT_EQ(Join(commands[0], " "), "run x --junti a.xml");
}

class Script : public testing::Test {
 protected:
  void SetUp() override {
    box_.SetEnv("PATH", fs::path(GENFLOW_BINARY).parent_path().string() + ":" + std::getenv("PATH"));
    box_.Write("judged.yaml", Judged(kAgainstLatest, kNotWorse));
  }
  CommandResult Run(const std::string& arguments) {
    return box_.Shell((kFolder / "run-pipeline.sh").string() + " " + arguments);
  }
  Sandbox box_;
};

TEST_F(Script, Understood) {
  ExpectUnderstood(Commands({Text("run-pipeline.sh")}), 2);
  const auto usage = Run("");
  EXPECT_EQ(usage.code, 2);
  EXPECT_TRUE(usage.err.starts_with("usage: ")) << usage.err;
}

TEST_F(Script, GoodWorseAndBroken) {
  const auto good = Run("judged.yaml");
  EXPECT_EQ(good.code, 0) << good.err;
  EXPECT_TRUE(box_.Exists(".cache/genflow/judged/store.db")) << "the store outlives the checkout";
  EXPECT_FALSE(box_.Exists(".genflow"));
  XmlElement suite;
  EXPECT_EQ(CheckJunit(box_.Read("reports/junit.xml"), &suite), "");
  EXPECT_EQ(suite.Get("failures"), "0");
  EXPECT_EQ(box_.Read("reports/code-quality.json"), "[]\n");

  const auto worse = Run("judged.yaml -p score=0.6");
  EXPECT_EQ(worse.code, 3);
  EXPECT_TRUE(worse.err.ends_with("a gate said no: reports/summary.md has the numbers\n")) << worse.err;
  EXPECT_NE(box_.Read("reports/summary.md").find("**worse**"), std::string::npos);

  const auto broken = Run("judged.yaml -p broken=true");
  EXPECT_EQ(broken.code, 1);
  EXPECT_EQ(CheckJunit(box_.Read("reports/junit.xml"), &suite), "");
  EXPECT_EQ(FindCase(suite, "measure", "judged").children[0].name, "failure");

  EXPECT_EQ(Run("judged.yaml -p socre=1").code, 2);
}

TEST_F(Script, AfterAnInterruptionItGoesOn) {
  box_.Write("slow.yaml", "name: slow\nstages:\n  a:\n    uses: test.act\n    with: { do: preempt }\n");
  const auto run = Run("slow.yaml");
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_NE(run.err.find("interrupted: attempt 2 goes on from there\n"), std::string::npos) << run.err;
}

}  // namespace
}  // namespace genflow
