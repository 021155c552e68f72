// runs, artifacts, fsck, gc over a store that a run has filled.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/sandbox.h"

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
  json Json(const std::vector<std::string>& args) {
    const auto result = box.Genflow(args);
    EXPECT_EQ(result.code, 0) << result.err;
    return json::parse(result.out);
  }
  Sandbox box;
};

TEST_F(StoreCommands, RunsLsAndShow) {
  const json runs = Json({"runs", "ls", "--json"});
  ASSERT_EQ(runs.size(), 2u);
  EXPECT_EQ(runs[0]["params"]["text"], "two");
  EXPECT_EQ(runs[0]["status"], "ok");
  EXPECT_EQ(runs[0]["stages"]["run"], 2);
  const json run = Json({"runs", "show", runs[1]["id"], "--json"});
  ASSERT_EQ(run["attempts"].size(), 2u);
  EXPECT_EQ(run["attempts"][1]["inputs"][0]["source"], "a.out");
  EXPECT_EQ(run["attempts"][0]["key_components"]["params"]["text"], "one");
  EXPECT_EQ(run["argv"][1], "run");
  const auto shown = box.Genflow({"runs", "show", "latest"});
  EXPECT_EQ(shown.code, 0);
  EXPECT_NE(shown.out.find("params    {\"text\":\"two\"}\n"), std::string::npos) << shown.out;
  EXPECT_EQ(box.Genflow({"runs", "ls", "--status", "failed"}).out, "no runs\n");
  const auto bad = box.Genflow({"runs", "ls", "--status", "bad"});
  EXPECT_EQ(bad.code, 2);
  EXPECT_EQ(bad.err,
            "error: --status bad is no status of a run\n"
            "  hint: it is one of running, ok, failed, gated, interrupted, recovered\n");
}

TEST_F(StoreCommands, ArtifactsShowExport) {
  const json list = Json({"artifacts", "ls", "--stage", "b", "--json"});
  ASSERT_EQ(list.size(), 2u);
  const std::string digest = list[0]["artifact"]["digest"];
  const json shown = Json({"artifacts", "show", digest.substr(0, 12), "--json"});
  EXPECT_EQ(shown["digest"], digest);
  EXPECT_EQ(shown["producers"][0]["stage"], "b");
  const auto exported = box.Genflow({"artifacts", "export", "b.out", "copy.txt"});
  EXPECT_EQ(exported.code, 0) << exported.err;
  EXPECT_EQ(exported.out, "copy.txt: file, 7 B\n");
  EXPECT_EQ(box.Read("copy.txt"), "texttwo");
  EXPECT_EQ(box.Genflow({"artifacts", "export", "b.out", "copy.txt"}).code, 2) << "nothing is overwritten";
}

TEST_F(StoreCommands, RemovedRunsFreeTheirArtifacts) {
  const json runs = Json({"runs", "ls", "--json"});
  const std::string old = runs[1]["id"];
  EXPECT_EQ(box.Genflow({"runs", "rm", old}).out,
            "removed " + old + "\n`genflow gc` frees the artifacts that no other run uses\n");
  const json plan = Json({"gc", "--dry-run", "--json"});
  EXPECT_EQ(plan["objects"].size(), 2u);
  EXPECT_EQ(plan["total_bytes"].get<int>() > 0, true);
  const auto gc = box.Genflow({"gc"});
  EXPECT_EQ(gc.code, 0);
  EXPECT_NE(gc.out.find("freed "), std::string::npos);
  EXPECT_EQ(Json({"artifacts", "ls", "--json"}).size(), 2u);
}

TEST_F(StoreCommands, FsckFindsDamageAndRepairs) {
  EXPECT_EQ(Json({"fsck", "--json"})["clean"], true);
  ASSERT_EQ(box.Shell("f=$(ls .genflow/objects/*/*/data | head -n 1); chmod u+w $f; printf x >> $f").code, 0);
  const auto found = box.Genflow({"fsck"});
  EXPECT_EQ(found.code, 1);
  EXPECT_NE(found.out.find("damaged-object "), std::string::npos) << found.out;
  EXPECT_NE(found.out.find("damaged: "), std::string::npos) << found.out;
  EXPECT_EQ(box.Genflow({"fsck", "--repair"}).code, 0);
  EXPECT_EQ(box.Genflow({"fsck"}).code, 0);
  EXPECT_EQ(box.Genflow({"run"}).code, 0);
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
