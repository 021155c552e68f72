// `genflow doctor`: a line a check, and an exit code.
#include <gtest/gtest.h>
#include <unistd.h>

#include <map>
#include <nlohmann/json.hpp>
#include <regex>

#include "cli/sandbox.h"

namespace genflow {
namespace {

using nlohmann::json;

// The checks of `doctor --json` by name.
std::map<std::string, json> Checks(const Sandbox& box, int code, const std::vector<std::string>& more = {}) {
  std::vector<std::string> args = {"doctor", "--json"};
  args.insert(args.end(), more.begin(), more.end());
  const auto result = box.Genflow(args);
  EXPECT_EQ(result.code, code) << result.out << result.err;
  EXPECT_EQ(result.err, "");
  const json out = json::parse(result.out);
  EXPECT_EQ(out["ok"], code == 0);
  std::map<std::string, json> checks;
  for (const auto& check : out["checks"]) checks[check["check"]] = check;
  return checks;
}

TEST(Doctor, LooksAtTheMachineThePluginsAndThePlaceOfTheStore) {
  Sandbox box;
  auto checks = Checks(box, 0);
  for (const char* name : {"genflow", "libraries", "cpu", "memory", "gpu", "limits", "programs", "clock",
                           "terminal", "plugin test", "store", "disk", "file system"})
    EXPECT_EQ(checks.count(name), 1u) << name;
  for (const char* name : {"Arrow", "SQLite"})
    EXPECT_TRUE(std::regex_match(checks["libraries"]["facts"][name].get<std::string>(),
                                 std::regex("[0-9]+\\.[0-9]+\\.[0-9]+")))
        << checks["libraries"];
  EXPECT_EQ(checks["plugin test"]["text"], "1.0.0, 3 stages, loads");
  EXPECT_EQ(checks["plugin test"]["status"], "ok");
  EXPECT_EQ(box.Normal(checks["store"]["text"]), "none yet; a run makes DIR/.genflow");
  EXPECT_EQ(checks["file system"]["facts"]["locks"], true);
  EXPECT_GE(checks["cpu"]["facts"]["cores"], 1);
  EXPECT_EQ(checks["terminal"]["text"], "standard error is none: progress is plain lines, UTF-8");
  EXPECT_EQ(box.Shell("ls -A").out, "") << "it leaves nothing behind";
}

TEST(Doctor, SaysWhatTheStoreHolds) {
  Sandbox box;
  box.Write("pipeline.yaml",
            "name: p\nstages:\n  a:\n    uses: exec\n    with: { run: echo 1 > $GENFLOW_OUT_O }\n    out: { "
            "o: file }\n");
  ASSERT_EQ(box.Genflow({"run"}).code, 0);
  auto checks = Checks(box, 0);
  EXPECT_EQ(box.Normal(checks["store"]["text"]).find("DIR/.genflow, schema "), 0u);
  EXPECT_EQ(box.Normal(checks["runs"]["text"]), "the latest is RUN of p, ok");
  EXPECT_EQ(checks["store contents"]["text"], "1 object, 2 B");
  ASSERT_EQ(box.Shell("f=$(echo .genflow/objects/*/*/data); chmod u+w $f; echo 1234 > $f").code, 0);
  checks = Checks(box, 1);
  EXPECT_EQ(checks["store contents"]["status"], "fail");
  EXPECT_EQ(checks["store contents"]["text"], "1 object, 2 B; 1 is damaged");
  EXPECT_EQ(checks["store contents"]["hint"],
            "`genflow fsck` names them, `genflow fsck --repair` sets them aside");
}

TEST(Doctor, NamesAPluginThatDoesNotLoadAndWhy) {
  Sandbox box;
  ASSERT_EQ(box.Shell("mkdir plugins; echo no library > plugins/broken.so").code, 0);
  box.SetEnv("GENFLOW_PLUGIN_PATH", (box.dir() / "plugins").string() + ":" + TEST_PLUGIN_FOLDER);
  auto checks = Checks(box, 1);
  EXPECT_EQ(checks["plugin test"]["status"], "ok");
  EXPECT_EQ(checks["plugin broken"]["status"], "fail");
  EXPECT_EQ(box.Normal(checks["plugin broken"]["text"]),
            "cannot load plugin DIR/plugins/broken.so: DIR/plugins/broken.so: file too short");
  EXPECT_EQ(box.Normal(checks["plugin broken"]["hint"]),
            "`ldd DIR/plugins/broken.so` says which library is missing");
}

TEST(Doctor, NoticesAManifestOfAnotherFile) {
  Sandbox box;
  ASSERT_EQ(
      box.Shell(
             "mkdir plugins; cp \"$GENFLOW_PLUGIN_PATH\"/test.so \"$GENFLOW_PLUGIN_PATH\"/test.json plugins/;"
             " echo >> plugins/test.so")
          .code,
      0);
  box.SetEnv("GENFLOW_PLUGIN_PATH", (box.dir() / "plugins").string());
  auto checks = Checks(box, 1);
  EXPECT_EQ(checks["plugin test"]["text"], "1.0.0, 3 stages, loads, but its manifest describes another file");
  EXPECT_EQ(box.Normal(checks["plugin test"]["hint"]),
            "`genflow plugin describe DIR/plugins/test.so` writes it anew");
}

TEST(Doctor, ABrokenDatabaseAndAPlaceThatCannotBeWritten) {
  Sandbox box;
  box.Write("store/store.db", std::string(4096, 'x'));
  box.Write("store/objects/none", "");
  auto checks = Checks(box, 1, {"--store", "store"});
  EXPECT_EQ(checks["store"]["status"], "fail");
  EXPECT_EQ(checks["store"]["hint"], "`genflow fsck --rebuild` makes a new store.db from the objects");
  if (::geteuid() == 0) return;  // root writes everywhere
  ASSERT_EQ(box.Shell("mkdir closed; chmod 500 closed").code, 0);
  checks = Checks(box, 1, {"--store", "closed/.genflow"});
  EXPECT_EQ(checks["file system"]["status"], "fail");
  EXPECT_EQ(checks["file system"]["hint"], "give a folder of your own with --store");
}

TEST(Doctor, ALineACheckWithItsHintBelow) {
  Sandbox box;
  box.SetEnv("LANG", "C");
  const auto result = box.Genflow({"doctor"});
  EXPECT_EQ(result.code, 0);
  EXPECT_TRUE(std::regex_search(
      result.out, std::regex("^ok    genflow +[0-9.]+, .*\n(.*\n)*"
                             "warn  terminal +standard error is none: progress is plain lines, no UTF-8\n"
                             " +hint: `export LANG=C.UTF-8` shows names and marks as they are\n")))
      << result.out;
  EXPECT_NE(result.out.find(" warning"), std::string::npos);
}

}  // namespace
}  // namespace genflow
