// runs, artifacts, fsck, gc over a store that a run has filled.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <regex>

#include "cli/sandbox.h"
#include "cli/terminal_session.h"

namespace genflow {
namespace {

using nlohmann::json;

class StoreCommands : public testing::Test {
 protected:
  void SetUp() override {
    box.Write("pipeline.yaml",
              "name: p\nparams: { text: one }\nstages:\n  a:\n    uses: test.act\n    with: { text: \"${{ "
              "params.text }}\" }\n"
              "  b:\n    uses: test.act\n    in: { in: a.out }\n");
    ASSERT_EQ(box.Genflow({"run"}).code, 0);
    ASSERT_EQ(box.Genflow({"run", "-p", "text=two"}).code, 0);
  }
  Sandbox box;
};

TEST_F(StoreCommands, RunsLsAndShow) {
  const json runs = box.Json({"runs", "ls", "--json"});
  ASSERT_EQ(runs.size(), 2u);
  EXPECT_EQ(runs[0]["params"]["text"], "two");
  EXPECT_EQ(runs[0]["status"], "ok");
  EXPECT_EQ(runs[0]["stages"]["run"], 2);
  const json run = box.Json({"runs", "show", runs[1]["id"], "--json"});
  ASSERT_EQ(run["attempts"].size(), 2u);
  EXPECT_EQ(run["attempts"][1]["inputs"][0]["source"], "a.out");
  EXPECT_EQ(run["attempts"][0]["key_components"]["params"]["text"], "one");
  EXPECT_EQ(run["argv"][1], "run");
  const auto shown = box.Genflow({"runs", "show"});
  EXPECT_EQ(shown.code, 0);
  EXPECT_EQ(shown.out, box.Genflow({"runs", "show", "latest"}).out);
  EXPECT_NE(shown.out.find("params    {\"text\":\"two\"}\n"), std::string::npos) << shown.out;
  EXPECT_EQ(box.Genflow({"runs", "ls", "--status", "failed"}).out, "no runs\n");
  const auto bad = box.Genflow({"runs", "ls", "--status", "bad"});
  EXPECT_EQ(bad.code, 2);
  EXPECT_EQ(bad.err,
            "error: --status bad is no status of a run\n"
            "  hint: it is one of running, ok, failed, gated, interrupted, recovered\n");
}

TEST_F(StoreCommands, ArtifactsShowExport) {
  const json list = box.Json({"artifacts", "ls", "--stage", "b", "--json"});
  ASSERT_EQ(list.size(), 2u);
  const std::string digest = list[0]["artifact"]["digest"];
  const json shown = box.Json({"artifacts", "show", digest.substr(0, 12), "--json"});
  EXPECT_EQ(shown["digest"], digest);
  EXPECT_EQ(shown["producers"][0]["stage"], "b");
  const auto exported = box.Genflow({"artifacts", "export", "b.out", "copy.txt"});
  EXPECT_EQ(exported.code, 0) << exported.err;
  EXPECT_EQ(exported.out, "copy.txt: file, 7 B\n");
  EXPECT_EQ(box.Read("copy.txt"), "texttwo");
  EXPECT_EQ(box.Genflow({"artifacts", "export", "b.out", "copy.txt"}).code, 2) << "nothing is overwritten";
}

TEST_F(StoreCommands, ArtifactMistakesHelp) {
  const auto type = box.Genflow({"artifacts", "ls", "--type", "datset"});
  EXPECT_EQ(type.code, 2);
  EXPECT_EQ(type.err, "error: --type datset is no type of artifact\n  hint: did you mean 'dataset'?\n");
  const auto target = box.Genflow({"artifacts", "export", "b.out", "/proc/x"});
  EXPECT_EQ(target.code, 2);
  EXPECT_EQ(target.err, "error: /proc/x: No such file or directory\n");
}

TEST_F(StoreCommands, RemovedRunsFreeTheirArtifacts) {
  const json runs = box.Json({"runs", "ls", "--json"});
  const std::string old = runs[1]["id"];
  EXPECT_EQ(box.Genflow({"runs", "rm", old}).out,
            "removed " + old + "\n`genflow gc` frees the artifacts that no other run uses\n");
  const json plan = box.Json({"gc", "--dry-run", "--json"});
  EXPECT_EQ(plan["objects"].size(), 2u);
  EXPECT_EQ(plan["total_bytes"].get<int>() > 0, true);
  const auto gc = box.Genflow({"gc"});
  EXPECT_EQ(gc.code, 0);
  EXPECT_NE(gc.out.find("freed "), std::string::npos);
  EXPECT_EQ(box.Json({"artifacts", "ls", "--json"}).size(), 2u);
}

TEST_F(StoreCommands, ATerminalShowsHowFarTheyAre) {
  TerminalSession fsck(box, {"fsck"}, 80, 10);
  EXPECT_EQ(fsck.Wait(), 0);
  EXPECT_NE(fsck.raw().find("checking"), std::string::npos) << fsck.raw();
  EXPECT_TRUE(fsck.Screen().starts_with("clean: ")) << "the line is gone at the end: " << fsck.Screen();
  ASSERT_EQ(box.Genflow({"runs", "rm", box.Json({"runs", "ls", "--json"})[1]["id"]}).code, 0);
  TerminalSession gc(box, {"gc"}, 80, 10);
  EXPECT_EQ(gc.Wait(), 0);
  for (const char* doing : {"forgetting  0 of 2 objects", "setting aside  0 of 2 ", "deleting  0 of 2 "})
    EXPECT_NE(gc.raw().find(doing), std::string::npos) << gc.raw();
  EXPECT_EQ(gc.Screen().find("deleting"), std::string::npos) << gc.Screen();
}

// Digests by DIGEST, and what is set aside without its time.
std::string WithoutDigests(std::string text) {
  text = std::regex_replace(text, std::regex("[0-9a-f]{64}"), "DIGEST");
  return std::regex_replace(text, std::regex("damaged-[0-9]{8}-[0-9]{6}-[a-z0-9]{4}"), "damaged-TIME");
}

TEST_F(StoreCommands, FsckFindsDamageAndRepairs) {
  EXPECT_EQ(box.Genflow({"fsck"}).out, "clean: 4 objects, 4 files, 20 B checked\n");
  EXPECT_EQ(box.Json({"fsck", "--json"})["clean"], true);
  ASSERT_EQ(
      box.Shell("f=$(dirname $(grep -l '\"stage\": \"b\"' .genflow/objects/*/*/object.json | head -n 1))"
                "/data; chmod u+w $f; printf x >> $f")
          .code,
      0);
  const auto found = box.Genflow({"fsck"});
  EXPECT_EQ(found.code, 1);
  const std::string damage = "damaged-object DIGEST: file b.out: its content is 8 bytes instead of 7";
  EXPECT_EQ(WithoutDigests(box.Normal(found.out)),
            damage +
                "\n  used by RUN:b.out\ndamaged: 4 objects, 4 files, 20 B checked\n"
                "  hint: `genflow fsck --repair` sets damaged objects aside; their stages run again\n");
  const auto json_found = box.Genflow({"fsck", "--json"});
  EXPECT_EQ(json_found.code, 1);
  EXPECT_EQ(json::parse(json_found.out)["problems"][0]["kind"], "damaged-object");
  const auto repaired = box.Genflow({"fsck", "--repair"});
  EXPECT_EQ(repaired.code, 0);
  EXPECT_EQ(WithoutDigests(box.Normal(repaired.out)),
            damage + " (repaired)\n  used by RUN:b.out\nrepaired: 4 objects, 4 files, 20 B checked\n");
  EXPECT_EQ(box.Genflow({"fsck"}).out, "clean: 3 objects, 3 files, 13 B checked\n");
  EXPECT_EQ(box.Genflow({"run"}).code, 0);
}

TEST_F(StoreCommands, AnUnregisteredObjectIsHarmless) {
  ASSERT_EQ(box.Shell("cp -a .genflow/objects kept").code, 0);
  ASSERT_EQ(box.Genflow({"runs", "rm", "latest"}).code, 0);
  ASSERT_EQ(box.Genflow({"gc"}).code, 0);
  ASSERT_EQ(box.Shell("cp -an kept/. .genflow/objects/").code, 0);
  const auto found = box.Genflow({"fsck"});
  EXPECT_EQ(found.code, 0);
  EXPECT_EQ(WithoutDigests(found.out),
            "unregistered-object DIGEST: store.db does not know this object, which is whole\n"
            "unregistered-object DIGEST: store.db does not know this object, which is whole\n"
            "clean: 2 objects, 2 files, 10 B checked\n"
            "  hint: `genflow gc` frees what a stopped process left behind; it does no harm\n");
  EXPECT_EQ(WithoutDigests(box.Genflow({"fsck", "--repair"}).out),
            "unregistered-object DIGEST: store.db does not know this object, which is whole (repaired)\n"
            "unregistered-object DIGEST: store.db does not know this object, which is whole (repaired)\n"
            "repaired: 2 objects, 2 files, 10 B checked\n");
}

TEST_F(StoreCommands, AForeignFileIsNamedAndLeftAlone) {
  box.Write(".genflow/objects/note.txt", "mine");
  const auto found = box.Genflow({"fsck", "--repair"});
  EXPECT_EQ(found.code, 1);
  EXPECT_EQ(box.Normal(found.out),
            "foreign-file DIR/.genflow/objects/note.txt: does not belong in the store\n"
            "damaged: 4 objects, 4 files, 20 B checked\n"
            "  hint: move what does not belong in the store out of it\n");
  EXPECT_EQ(box.Read(".genflow/objects/note.txt"), "mine");
}

TEST_F(StoreCommands, FsckRebuildMakesTheDatabaseAnew) {
  const std::string run = box.Json({"runs", "show", "--json"})["id"];
  ASSERT_EQ(box.Shell("truncate -s 6000 .genflow/store.db; rm -f .genflow/store.db-*").code, 0);
  const std::string damaged =
      "DIR/.genflow/store.db: the store's database is damaged (database disk image is malformed)";
  for (const std::vector<std::string>& command :
       std::vector<std::vector<std::string>>{{"fsck"}, {"runs", "ls"}, {"run"}, {"logs"}, {"gc"}}) {
    const auto refused = box.Genflow(command);
    EXPECT_EQ(refused.code, 1);
    EXPECT_EQ(refused.out, "");
    EXPECT_EQ(
        box.Normal(refused.err),
        "error: " + damaged +
            "\n  hint: `genflow fsck --rebuild` sets it aside and rebuilds it from the objects, which are "
            "intact; run history and metrics are lost with it\n");
  }
  const auto report = box.Genflow({"fsck", "--json"});
  EXPECT_EQ(report.code, 1);
  EXPECT_EQ(box.Normal(json::parse(report.out)["problems"].dump()),
            R"([{"dependents":[],"detail":")" + damaged +
                R"(","kind":"database","repaired":false,"subject":"store.db"}])");
  const auto rebuilt = box.Genflow({"fsck", "--rebuild"});
  EXPECT_EQ(rebuilt.code, 0);
  EXPECT_EQ(
      WithoutDigests(box.Normal(rebuilt.err)),
      "notice: DIR/.genflow/store.db was set aside as store.db.damaged-TIME\n"
      "notice: DIR/.genflow/store.db was not there: a new one was made from 4 objects; logs are there, the "
      "history of runs and their metrics is not\n");
  EXPECT_EQ(rebuilt.out, "clean: 4 objects, 4 files, 20 B checked\n");
  EXPECT_EQ(box.Json({"runs", "show", run, "--json"})["status"], "recovered");
  EXPECT_NE(box.Genflow({"logs", run + "/a"}).out.find("genflow ended: exit code 0"), std::string::npos);
  const auto again = box.Genflow({"run", "-p", "text=two"});
  EXPECT_EQ(again.out.find("p: nothing to do (2 stages cached, "), 0u) << again.out;
}

TEST_F(StoreCommands, FsckRebuildKeepsASoundDatabase) {
  const auto kept = box.Genflow({"fsck", "--rebuild", "--json"});
  EXPECT_EQ(kept.code, 0);
  EXPECT_EQ(box.Normal(kept.err),
            "notice: DIR/.genflow/store.db is sound and stays: a new one would lose the history of runs\n");
  EXPECT_EQ(json::parse(kept.out)["objects"], 4);
  EXPECT_EQ(box.Json({"runs", "ls", "--json"})[0]["status"], "ok");
}

TEST_F(StoreCommands, AMissingDatabaseIsRebuiltByAnyCommandWhichSaysSo) {
  ASSERT_EQ(box.Shell("rm .genflow/store.db*").code, 0);
  const auto listed = box.Genflow({"runs", "ls", "--json"});
  EXPECT_EQ(listed.code, 0);
  EXPECT_EQ(json::parse(listed.out).size(), 2u);
  EXPECT_EQ(
      box.Normal(listed.err),
      "notice: DIR/.genflow/store.db was not there: a new one was made from 4 objects; logs are there, the "
      "history of runs and their metrics is not\n");
  EXPECT_EQ(box.Genflow({"runs", "ls"}).err, "");
}

TEST_F(StoreCommands, TheStoreIsFoundFromBelowAndByOption) {
  ASSERT_EQ(
      box.Shell("mkdir -p deep/er; cd deep/er; " + std::string(GENFLOW_BINARY) + " runs show latest").code,
      0);
  EXPECT_EQ(box.Genflow({"runs", "ls", "--store", ".genflow"}).code, 0);
  const auto none = box.Genflow({"runs", "ls", "--store", "nowhere"});
  EXPECT_EQ(none.code, 2);
}

TEST_F(StoreCommands, UnknownNamesHelp) {
  const auto log = box.Genflow({"logs", "latest/bb"});
  EXPECT_EQ(log.code, 2);
  EXPECT_EQ(box.Normal(log.err), "error: run RUN has no stage 'bb'\n  hint: did you mean 'b'?\n");
  EXPECT_EQ(box.Genflow({"runs", "show", "1999"}).code, 2);
  EXPECT_EQ(box.Genflow({"artifacts", "show", "a.nothing"}).code, 2);
  ASSERT_EQ(box.Genflow({"run"}).code, 0);
  const auto cached = box.Genflow({"logs", "latest/b"});
  EXPECT_EQ(cached.code, 2);
  EXPECT_EQ(box.Normal(cached.err),
            "error: 'b' did not run in RUN, so it has no log\n"
            "  hint: its outputs are from run RUN: genflow logs RUN/b\n");
}

}  // namespace
}  // namespace genflow
