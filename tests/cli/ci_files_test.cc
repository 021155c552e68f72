// The job files of docs/ci: their genflow commands are understood, and what they run is run, as a runner
// would: the same shells, variables and order, on a checkout that holds a pipeline.
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

// The value of the variable `name` of a job file.
std::string Setting(const std::string& file, const std::string& name) {
  const std::string text = Text(file);
  std::smatch match;
  EXPECT_TRUE(std::regex_search(text, match, std::regex("\n *" + name + ": *(\\S+)"))) << file;
  return match[1];
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

// A checkout, and genflow on the PATH.
class Checkout : public testing::Test {
 protected:
  void SetUp() override {
    box_.SetEnv("PATH", fs::path(GENFLOW_BINARY).parent_path().string() + ":" + std::getenv("PATH"));
  }
  // The job's pipeline, by the name that the files give.
  void WriteJudged(const std::string& name) { box_.Write(name, Judged(kAgainstLatest, kNotWorse)); }
  // Later commits: the score gets worse; the stage breaks.
  void Change(const std::string& what) {
    const std::string text = box_.Read("pipeline.yaml");
    box_.Write("pipeline.yaml",
               std::regex_replace(text, std::regex("params: .*"), "params: { " + what + " }"));
  }
  // Each script by `shell`, up to the first that fails, as the steps of a job; then `always` all the same.
  CommandResult Job(const std::string& shell, const std::vector<std::string>& scripts,
                    const std::vector<std::string>& always) {
    CommandResult all;
    const auto step = [&](const std::string& script) {
      box_.Write("step", script);
      const auto result = box_.Shell(shell + " step");
      all.out += result.out;
      all.err += result.err;
      return result.code;
    };
    for (const auto& script : scripts) {
      if ((all.code = step(script)) != 0) break;
    }
    for (const auto& script : always) EXPECT_EQ(step(script), 0) << script << "\n" << all.err;
    return all;
  }
  // A good commit, a worse one, a broken one, by `job`.
  template <class RunJob>
  void ExpectThreeCommits(const RunJob& job) {
    WriteJudged("pipeline.yaml");
    const auto good = job();
    EXPECT_EQ(good.code, 0) << good.err;
    EXPECT_TRUE(box_.Exists(".genflow/store.db")) << "where the file says that it is kept";
    XmlElement suite;
    EXPECT_EQ(CheckJunit(box_.Read("reports/junit.xml"), &suite), "");
    EXPECT_EQ(suite.Get("failures"), "0");
    Change("score: 0.6, broken: false");
    EXPECT_EQ(job().code, 3);
    EXPECT_NE(box_.Read("reports/summary.md").find("**worse**"), std::string::npos);
    Change("score: 0.8, broken: true");
    const auto broken = job();
    EXPECT_EQ(broken.code, 1);
    broken_ = broken.out + broken.err;
    issues_ = box_.Exists("reports/code-quality.json") ? box_.Read("reports/code-quality.json") : "";
    Change("socre: 0.8, broken: false");
    EXPECT_EQ(job().code, 2) << "what does not validate is not run";
  }
  Sandbox box_;
  std::string broken_, issues_;  // what the broken commit's job said, and its code quality report
};

TEST_F(Checkout, OnGitHub) {
  box_.SetEnv("GITHUB_ACTIONS", "true");
  box_.SetEnv("GITHUB_WORKSPACE", box_.dir().string());
  box_.SetEnv("GITHUB_STEP_SUMMARY", (box_.dir() / "page.md").string());
  box_.SetEnv("GENFLOW_STORE", (box_.dir() / ".genflow").string());
  box_.SetEnv("PIPELINE", Setting("github-actions.yml", "PIPELINE"));
  const auto scripts = YamlScripts("github-actions.yml");
  ASSERT_EQ(scripts.size(), 3u);
  ExpectThreeCommits([&] {
    return Job("bash --noprofile --norc -eo pipefail", {scripts[0], scripts[1]}, {scripts[2]});
  });
  EXPECT_NE(broken_.find("::error file=pipeline.yaml,line=4,"), std::string::npos) << broken_;
  EXPECT_NE(box_.Read("page.md").find("**worse**"), std::string::npos);
}

TEST_F(Checkout, OnGitLab) {
  box_.SetEnv("GITLAB_CI", "true");
  box_.SetEnv("CI_PROJECT_DIR", box_.dir().string());
  box_.SetEnv("GENFLOW_STORE", (box_.dir() / ".genflow").string());
  box_.SetEnv("PIPELINE", Setting("gitlab-ci.yml", "PIPELINE"));
  const auto scripts = YamlScripts("gitlab-ci.yml");
  ASSERT_EQ(scripts.size(), 4u);
  ExpectThreeCommits([&] {
    return Job("bash -eo pipefail", {scripts[0], scripts[1]}, {scripts[2], scripts[3]});
  });
  EXPECT_NE(broken_.find("section_start:"), std::string::npos) << broken_;
  EXPECT_NE(issues_.find("measure failed"), std::string::npos) << issues_;
  EXPECT_NE(box_.Read("reports/code-quality.json").find("socre"), std::string::npos);
}

TEST_F(Checkout, OnJenkins) {
  box_.SetEnv("GENFLOW_STORE", (box_.dir() / ".genflow").string());
  const std::string text = Text("Jenkinsfile");
  std::smatch match;
  ASSERT_TRUE(std::regex_search(text, match, std::regex("PIPELINE = '([^']+)'")));
  box_.SetEnv("PIPELINE", match[1]);
  // The arguments of `sh`, short and long, in their order.
  std::vector<std::string> scripts;
  const std::regex step("sh (?:'([^'\n]+)')|script: '''([^']*)'''");
  for (std::sregex_iterator at(text.begin(), text.end(), step), end; at != end; ++at)
    scripts.push_back((*at)[1].matched ? (*at)[1] : (*at)[2]);
  ASSERT_EQ(scripts.size(), 3u);
  ExpectThreeCommits([&] { return Job("sh -xe", {scripts[0], scripts[1]}, {scripts[2]}); });
  EXPECT_NE(text.find("if (code == 3)"), std::string::npos);
}

class Script : public Checkout {
 protected:
  void SetUp() override {
    Checkout::SetUp();
    WriteJudged("judged.yaml");
  }
  CommandResult Run(const std::string& arguments) {
    return box_.Shell((kFolder / "run-pipeline.sh").string() + " " + arguments);
  }
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
