// `genflow models chat` with a model of a few kilobytes.
#include <gtest/gtest.h>

#include <csignal>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "cli/sandbox.h"
#include "cli/terminal_session.h"
#include "unit/eval/tiny_model.h"

namespace genflow {
namespace {

using nlohmann::json;

class Chat : public testing::Test {
 protected:
  Chat() {
    testing_support::WriteTinyModel(box_.dir() / "model", 1);
    testing_support::WriteTinyAdapter(box_.dir() / "adapter", 2);
  }
  std::vector<std::string> Args(std::vector<std::string> args) const {
    args.insert(args.begin(), {"models", "chat", "model", "--dtype", "fp32", "--device", "cpu"});
    return args;
  }
  CommandResult Run(const std::vector<std::string>& args) { return box_.Genflow(Args(args)); }
  CommandResult Typed(const std::string& lines, const std::string& args) {
    box_.Write("lines", lines);
    return box_.Shell(std::string(GENFLOW_BINARY) + " models chat model --dtype fp32 --device cpu " + args +
                      " < lines");
  }
  Sandbox box_;
};

TEST_F(Chat, OneShot) {
  const auto result = Run({"--prompt", "hello", "--max-tokens", "12"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  EXPECT_GT(result.out.size(), 1u);
  EXPECT_EQ(Run({"--prompt", "hello", "--max-tokens", "12"}).out, result.out);
  const auto line = json::parse(Run({"--prompt", "hello", "--max-tokens", "12", "--json"}).out);
  EXPECT_EQ(line["prompt"], "hello");
  EXPECT_EQ(line["base"]["text"].get<std::string>() + "\n", result.out);
  EXPECT_LE(line["base"]["tokens"].get<int>(), 12);
  EXPECT_FALSE(line.contains("tuned"));
}

TEST_F(Chat, BaseAndTuned) {
  const std::vector<std::string> args = {"--adapter", "adapter", "--prompt", "hello", "--max-tokens", "16"};
  auto with_json = args;
  with_json.push_back("--json");
  const auto line = json::parse(Run(with_json).out);
  const std::string base = line["base"]["text"], tuned = line["tuned"]["text"];
  EXPECT_NE(base, tuned);
  const auto alone = json::parse(Run({"--prompt", "hello", "--max-tokens", "16", "--json"}).out);
  EXPECT_EQ(alone["base"]["text"], base);
  EXPECT_EQ(Run(args).out, "base:\n" + base + "\ntuned:\n" + tuned + "\n");
}

TEST_F(Chat, SamplingFollowsTheSeed) {
  const auto say = [&](const std::string& seed) {
    return Run({"--prompt", "hello", "--max-tokens", "24", "--temperature", "1.5", "--seed", seed}).out;
  };
  EXPECT_EQ(say("1"), say("1"));
  EXPECT_NE(say("1"), say("2"));
}

TEST_F(Chat, AConversationOfLines) {
  const auto result =
      Typed("hello\n/system Be brief.\n/system\nhello\n/reset\nhello\n/rest\n//x\n/quit\nnever\n",
            "--json --max-tokens 8");
  EXPECT_EQ(result.code, 0) << result.err;
  std::vector<json> lines;
  std::istringstream text(result.out);
  for (std::string line; std::getline(text, line);) lines.push_back(json::parse(line));
  ASSERT_EQ(lines.size(), 4u) << result.out;
  EXPECT_GT(lines[1]["base"]["prompt_tokens"], lines[0]["base"]["prompt_tokens"]);
  EXPECT_EQ(lines[2]["base"]["text"], lines[1]["base"]["text"]);  // after /reset with the same system message
  EXPECT_EQ(lines[3]["prompt"], "/x");
  EXPECT_GT(lines[3]["base"]["prompt_tokens"], lines[2]["base"]["prompt_tokens"]);
  EXPECT_EQ(
      result.err,
      "the conversation begins anew with that system message\n"
      "Be brief.\n"
      "the conversation begins anew\n"
      "unknown command '/rest': did you mean '/reset'?\n"
      "/reset begins anew, /system TEXT does so with a system message, /quit or Ctrl-D ends; Ctrl-C stops an "
      "answer; a line that begins with // is said with one /\n");
}

TEST_F(Chat, TwoColumnsInAWideTerminal) {
  const auto line =
      json::parse(Run({"--adapter", "adapter", "--prompt", "hello", "--max-tokens", "16", "--json"}).out);
  TerminalSession terminal(box_, Args({"--adapter", "adapter", "--max-tokens", "16"}), 100, 30);
  ASSERT_TRUE(terminal.WaitForText("\n>")) << terminal.Screen();
  terminal.Type("hello\r");
  EXPECT_TRUE(terminal.WaitUntil([](const Screen& screen) {
    const std::string text = screen.Text();
    const size_t first = text.find("/s, ");
    return first != std::string::npos && text.find("/s, ", first + 1) != std::string::npos &&
           text.rfind("\n>") > first;
  })) << terminal.Screen();
  const std::string screen = terminal.Screen();
  const size_t head = screen.find("\nbase ");
  ASSERT_NE(head, std::string::npos) << screen;
  EXPECT_NE(screen.substr(head, 100).find("tuned"), std::string::npos) << screen;
  terminal.Type("/quit\r");
  EXPECT_EQ(terminal.Wait(), 0);
  EXPECT_FALSE(line["base"]["text"].get<std::string>().empty());
}

TEST_F(Chat, CtrlCStopsTheAnswerAlone) {
  TerminalSession terminal(box_, Args({"--max-tokens", "100000"}), 60, 30);
  ASSERT_TRUE(terminal.WaitForText("\n>")) << terminal.Screen();
  terminal.Type("hello\r");
  // Long enough to be stopped in the middle, or it has ended by itself.
  ASSERT_TRUE(terminal.WaitUntil([](const Screen& screen) { return screen.row() > 2; })) << terminal.Screen();
  terminal.Type("\x03");
  EXPECT_TRUE(terminal.WaitUntil([](const Screen& screen) {
    return screen.Text().find("/s, ") != std::string::npos;
  })) << terminal.Screen();
  terminal.Type("/quit\r");
  EXPECT_EQ(terminal.Wait(), 0);
}

TEST_F(Chat, AProcessThatDiesIsAnError) {
  TerminalSession terminal(box_, Args({}), 80, 24);
  ASSERT_TRUE(terminal.WaitForText("\n>")) << terminal.Screen();
  const std::string pid = std::to_string(terminal.pid());
  EXPECT_EQ(box_.Shell("kill -KILL $(cat /proc/" + pid + "/task/" + pid + "/children)").code, 0);
  terminal.Type("hello\r");
  EXPECT_EQ(terminal.Wait(), 1);
  EXPECT_NE(terminal.Screen().find("error: the process that runs the model ended: killed by signal 9"),
            std::string::npos)
      << terminal.Screen();
}

TEST_F(Chat, Refusals) {
  box_.Write("model/config.json", "{}");
  const auto damaged = Run({"--prompt", "hello"});
  EXPECT_EQ(damaged.code, 2);
  EXPECT_NE(damaged.err.find("config.json: has no 'model_type'"), std::string::npos) << damaged.err;
  testing_support::WriteTinyModel(box_.dir() / "other", 1);
  const auto wrong = box_.Genflow({"models", "chat", "other", "--adapter", "other", "--prompt", "hello"});
  EXPECT_EQ(wrong.code, 2);
  EXPECT_NE(wrong.err.find("adapter_config.json"), std::string::npos) << wrong.err;
  const auto long_one = box_.Genflow({"models", "chat", "other", "--prompt", std::string(2000, 'a')});
  EXPECT_EQ(long_one.code, 2);
  EXPECT_NE(long_one.err.find("context"), std::string::npos) << long_one.err;
}

}  // namespace
}  // namespace genflow
