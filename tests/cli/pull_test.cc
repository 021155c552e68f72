// `genflow models pull` against a hub that breaks off, sends wrong bytes, ignores ranges and refuses.
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <nlohmann/json.hpp>

#include "cli/hub_server.h"
#include "cli/sandbox.h"
#include "cli/terminal_session.h"

namespace genflow {
namespace {

const std::string kModel = "/org/tiny/resolve/" + HubServer::Commit() + "/model.safetensors";
const std::string kConfig = "/org/tiny/resolve/" + HubServer::Commit() + "/config.json";
const std::string kList = "/api/models/org/tiny/revision/main?blobs=true";

class Pull : public testing::Test {
 protected:
  Pull() {
    for (int i = 0; i < 300'000; ++i) weights_ += static_cast<char>('a' + i % 23 + i / 7919 % 3);
    hub_.Add("config.json", "{\"model_type\": \"llama\"}\n", false);
    hub_.Add("model.safetensors", weights_, true);
    hub_.Add("onnx/model.onnx", "another format", true);
    box_.SetEnv("HF_ENDPOINT", hub_.Url());
  }
  CommandResult Run(std::vector<std::string> args) {
    args.insert(args.begin(), {"models", "pull", "org/tiny"});
    return box_.Genflow(args);
  }
  // Whether a file was asked for from there on.
  bool Continued(const std::string& range) {
    const auto requests = hub_.Requests();
    return std::any_of(requests.begin(), requests.end(),
                       [&](const auto& request) { return request.Header("range") == range; });
  }
  // All three files, and nothing beside them.
  void ExpectWhole(const std::string& folder = "tiny") {
    EXPECT_EQ(box_.Read(folder + "/config.json"), "{\"model_type\": \"llama\"}\n");
    EXPECT_TRUE(box_.Read(folder + "/model.safetensors") == weights_);
    EXPECT_EQ(box_.Read(folder + "/onnx/model.onnx"), "another format");
    EXPECT_EQ(box_.Shell("find " + folder + " -type f | wc -l").out, "3\n");
    EXPECT_FALSE(box_.Exists(folder + ".part"));
  }
  // The one error that is left for the user, without the notes before it.
  static std::string ErrorOf(const CommandResult& result) {
    const size_t at = result.err.find("error: ");
    return at == std::string::npos ? result.err : result.err.substr(at);
  }

  std::string weights_;
  HubServer hub_;
  Sandbox box_;
};

TEST_F(Pull, AWholeModel) {
  const auto result = Run({});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(box_.Normal(result.out), "DIR/tiny\n");
  ExpectWhole();
  EXPECT_TRUE(result.err.starts_with("3 files, 293 KiB\n")) << result.err;
  EXPECT_NE(result.err.find("fetched model.safetensors, 293 KiB\n"), std::string::npos) << result.err;
  const auto again = Run({});
  EXPECT_EQ(again.code, 2);
  EXPECT_EQ(box_.Normal(again.err),
            "error: DIR/tiny: exists already\n  hint: remove it, or give another folder with --to\n");
}

TEST_F(Pull, JsonAndPatterns) {
  const auto result = Run({"--include", "*.json", "--include", "*.safetensors", "--exclude", "onnx/*", "--to",
                           "models/one", "--json"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  const auto out = nlohmann::json::parse(result.out);
  EXPECT_EQ(out["commit"], HubServer::Commit());
  EXPECT_EQ(out["files"], 2);
  EXPECT_EQ(out["path"], (box_.dir() / "models/one").string());
  EXPECT_TRUE(box_.Exists("models/one/model.safetensors"));
  EXPECT_FALSE(box_.Exists("models/one/onnx"));
  const auto none = Run({"--include", "*.gguf", "--to", "none"});
  EXPECT_EQ(none.code, 2);
  EXPECT_EQ(ErrorOf(none),
            "error: no file of 'org/tiny' is to be fetched: the server lists 3 files\n"
            "  hint: --include and --exclude leave none of them over\n");
  EXPECT_FALSE(box_.Exists("none.part"));
}

TEST_F(Pull, GoesOnWhereItBrokeOff) {
  hub_.Do(kModel, {"break 100000", "break 50000"});
  const auto result = Run({});
  EXPECT_EQ(result.code, 0) << result.err;
  ExpectWhole();
  std::vector<std::string> ranges;
  for (const auto& request : hub_.Requests()) {
    if (request.path == kModel) ranges.push_back(request.Header("range"));
  }
  EXPECT_EQ(ranges, (std::vector<std::string>{"", "bytes=100000-", "bytes=150000-"}));
  EXPECT_NE(result.err.find("model.safetensors: the server broke off; again in 500 ms\n"), std::string::npos)
      << result.err;
}

TEST_F(Pull, AServerThatKnowsNoRanges) {
  hub_.Do(kModel, {"break 100000", "no range"});
  const auto result = Run({});
  EXPECT_EQ(result.code, 0) << result.err;
  ExpectWhole();
}

TEST_F(Pull, AnInterruptedOneGoesOn) {
  hub_.Do(kModel, {"break 100000", "hang", "hang"});
  auto running = box_.Start({"models", "pull", "org/tiny", "--jobs", "1"});
  ASSERT_TRUE(
      box_.WaitFor("test $(stat -c %s tiny.part/model.safetensors.part 2>/dev/null || echo 0) = 100000"));
  while (hub_.Count(kModel) < 2) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  running.Signal(SIGINT);
  const auto stopped = running.Wait();
  EXPECT_EQ(stopped.code, 75);
  EXPECT_EQ(
      box_.Normal(ErrorOf(stopped)),
      "error: stopped; what came so far is in DIR/tiny.part\n  hint: the same command goes on with it\n");
  EXPECT_FALSE(box_.Exists("tiny"));
  hub_.Do(kModel, {});
  const auto result = Run({});
  EXPECT_EQ(result.code, 0) << result.err;
  ExpectWhole();
  EXPECT_EQ(hub_.Requests().back().path.find("/api/"), std::string::npos);
  EXPECT_TRUE(Continued("bytes=100000-"));
}

TEST_F(Pull, AKilledOneGoesOn) {
  hub_.Do(kModel, {"break 100000", "hang"});
  auto running = box_.Start({"models", "pull", "org/tiny"});
  ASSERT_TRUE(
      box_.WaitFor("test $(stat -c %s tiny.part/model.safetensors.part 2>/dev/null || echo 0) = 100000"));
  running.Signal(SIGKILL);
  EXPECT_EQ(running.Wait().code, 128 + SIGKILL);
  hub_.Do(kModel, {});
  // What a crash may have made of it: bytes that never came.
  box_.Shell("truncate -s 120000 tiny.part/model.safetensors.part");
  CommandResult result;
  for (int i = 0; i < 50; ++i) {  // until the other process is gone
    result = Run({});
    if (result.code != 4) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  EXPECT_EQ(result.code, 0) << result.err;
  ExpectWhole();
  EXPECT_NE(result.err.find("model.safetensors: the checksum is wrong; once more from its beginning\n"),
            std::string::npos)
      << result.err;
}

TEST_F(Pull, WrongBytes) {
  hub_.Do(kModel, {"wrong"});
  EXPECT_EQ(Run({}).code, 0);
  ExpectWhole();
  hub_.Do(kConfig, {"wrong", "wrong"});
  const auto result = Run({"--to", "other"});
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(ErrorOf(result),
            "error: config.json: the server sends other bytes than it listed: the checksum is wrong\n"
            "  hint: try again later, or another revision or endpoint\n");
  EXPECT_FALSE(box_.Exists("other"));
  EXPECT_FALSE(box_.Exists("other.part/config.json"));
}

TEST_F(Pull, MoreBytesThanListed) {
  hub_.Do(kConfig, {"more"});
  const auto result = Run({});
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(ErrorOf(result), "error: config.json: the server sends more than the 24 bytes it listed\n");
}

TEST_F(Pull, ServersThatAreBusy) {
  hub_.Do(kList, {"503 Service Unavailable"});
  hub_.Do(kConfig, {"429 Too Many Requests\nRetry-After: 1"});
  const auto result = Run({});
  EXPECT_EQ(result.code, 0) << result.err;
  ExpectWhole();
  EXPECT_NE(result.err.find("the list of files: the server answers with status 503; again in 500 ms\n"),
            std::string::npos)
      << result.err;
  EXPECT_NE(result.err.find("config.json: the server answers with status 429; again in 1.0 s\n"),
            std::string::npos)
      << result.err;
}

TEST_F(Pull, AServerThatStaysBroken) {
  hub_.Do(kConfig, {"500 No", "500 No", "500 No", "500 No", "500 No", "500 No"});
  const auto result = Run({});
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(ErrorOf(result),
            "error: config.json: the server answers with status 500 (tried 5 times)\n"
            "  hint: what came so far is kept: the same command goes on with it\n");
}

TEST_F(Pull, Tokens) {
  hub_.WantToken("secret-word");
  const auto refused = Run({});
  EXPECT_EQ(refused.code, 2);
  EXPECT_EQ(
      refused.err,
      "error: the server wants to know who asks for 'org/tiny' at revision 'main' (status 401)\n"
      "  hint: set HF_TOKEN to a token that may read it; a name that does not exist is answered likewise\n");
  box_.SetEnv("HF_TOKEN", "another");
  EXPECT_EQ(Run({}).err,
            "error: the server wants to know who asks for 'org/tiny' at revision 'main' (status 401)\n"
            "  hint: it does not accept the token in HF_TOKEN\n");
  box_.SetEnv("HF_TOKEN", "secret-word");
  // Files stand elsewhere, as on most hubs: the token stays here.
  HubServer store;
  store.Add("model.safetensors", weights_, true);
  hub_.Do(kModel, {"to " + store.Url() + kModel});
  const auto result = Run({});
  EXPECT_EQ(result.code, 0) << result.err;
  ExpectWhole();
  ASSERT_EQ(store.Requests().size(), 1u);
  EXPECT_EQ(store.Requests()[0].Header("authorization"), "");
  EXPECT_EQ(result.err.find("secret-word"), std::string::npos);
}

TEST_F(Pull, Refusals) {
  hub_.Do(kList, {"403 Forbidden"});
  const auto gated = Run({});
  EXPECT_EQ(gated.code, 2);
  EXPECT_EQ(gated.err,
            "error: the server refuses 'org/tiny' at revision 'main' (status 403)\n"
            "  hint: set HF_TOKEN to a token that may read it\n");
  const auto absent = box_.Genflow({"models", "pull", "org/other@v2"});
  EXPECT_EQ(absent.code, 2);
  EXPECT_EQ(absent.err,
            "error: the server has no 'org/other' at revision 'v2' (status 404)\n"
            "  hint: check the name, its capital letters and the revision; a private model needs HF_TOKEN\n");
  EXPECT_EQ(box_.Genflow({"models", "pull", "../../etc"}).err,
            "error: '../../etc' names no model of a hub\n"
            "  hint: write ORGANISATION/MODEL or ORGANISATION/MODEL@REVISION\n");
  hub_.Do(kConfig, {"404 Not Found"});
  EXPECT_EQ(ErrorOf(Run({})), "error: config.json: the server lists it and does not have it (status 404)\n");
  box_.SetEnv("HF_ENDPOINT", "");
  const auto nowhere = Run({});
  EXPECT_EQ(nowhere.code, 2);
  EXPECT_EQ(nowhere.err,
            "error: no hub is configured to fetch 'org/tiny' from\n"
            "  hint: set HF_ENDPOINT to its address, such as https://HOST, or give --endpoint\n");
  EXPECT_EQ(Run({"--endpoint", "ftp://host"}).err,
            "error: the endpoint 'ftp://host' is no http:// or https:// address\n");
}

TEST_F(Pull, NamesThatReachOutside) {
  for (const std::string name :
       {"../../evil", "/etc/evil", "a/../../evil", "a//b", "./a", "a\\\\b", "a\\nb", ""}) {
    hub_.SetListing(R"({"sha": ")" + HubServer::Commit() + R"(", "siblings": [{"rfilename": ")" + name +
                    R"(", "size": 1}]})");
    const auto result = Run({});
    EXPECT_EQ(result.code, 1) << name;
    EXPECT_TRUE(result.err.starts_with("error: the server lists a file under \"" + name + "\", which "))
        << result.err;
    EXPECT_NE(result.err.find("  hint: nothing was written; do you trust this endpoint?\n"),
              std::string::npos);
    EXPECT_FALSE(box_.Exists("tiny.part")) << name;
  }
  hub_.SetListing("<html>");
  EXPECT_EQ(Run({}).err,
            "error: the list of files that the server sent cannot be used: it is no JSON object\n"
            "  hint: does the endpoint speak the hub's interface?\n");
  hub_.SetListing(R"({"siblings": [{"rfilename": "a"}, {"rfilename": "a/b"}]})");
  EXPECT_EQ(Run({}).err,
            "error: the list of files that the server sent cannot be used: 'a' is a file and a folder\n"
            "  hint: does the endpoint speak the hub's interface?\n");
}

TEST_F(Pull, ADiskThatIsTooSmall) {
  hub_.SetListing(R"({"sha": ")" + HubServer::Commit() +
                  R"(", "siblings": [{"rfilename": "config.json", "size": 4000000000000000}]})");
  const auto result = Run({});
  EXPECT_EQ(result.code, 1);
  EXPECT_NE(ErrorOf(result).find("/tiny.part: 3.6 PiB are to come, and the disk has "), std::string::npos)
      << result.err;
  EXPECT_NE(
      result.err.find("  hint: make room, leave files out with --exclude, or give another place with --to\n"),
      std::string::npos);
}

TEST_F(Pull, AWriteThatFailsLosesNothing) {
  // A file may be no larger than 100 KiB.
  const auto result = box_.Shell("trap '' XFSZ; ulimit -f 100; exec " + std::string(GENFLOW_BINARY) +
                                 " models pull org/tiny --jobs 1");
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(box_.Normal(ErrorOf(result)),
            "error: model.safetensors: DIR/tiny.part/model.safetensors.part: write: File too large\n");
  EXPECT_FALSE(box_.Exists("tiny"));
  EXPECT_EQ(Run({}).code, 0);
  ExpectWhole();
  EXPECT_TRUE(Continued("bytes=102400-"));
}

TEST_F(Pull, ABarInATerminal) {
  hub_.Do(kModel, {"break 150000", "hang"});
  TerminalSession terminal(box_, {"models", "pull", "org/tiny"}, 100, 24);
  EXPECT_TRUE(terminal.WaitForText(" 50%  ")) << terminal.Screen();
  terminal.Type("\x03");
  EXPECT_EQ(terminal.Wait(), 75);
}

}  // namespace
}  // namespace genflow
