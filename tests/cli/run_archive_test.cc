// runs export and import: runs on their way to another store.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/sandbox.h"

namespace genflow {
namespace {

using nlohmann::json;

constexpr char kPipeline[] = R"(name: moved
params: { steps: 2 }
stages:
  count: { uses: test.count, with: { steps: "${{ params.steps }}" } }
  tree:
    uses: exec
    in: { steps: count.steps }
    with:
      run: |
        mkdir -p "$GENFLOW_OUT_TREE/sub/empty"
        cp "$GENFLOW_IN_STEPS" "$GENFLOW_OUT_TREE/sub/steps"
        printf 'true\n' > "$GENFLOW_OUT_TREE/run"; chmod +x "$GENFLOW_OUT_TREE/run"
        ln -s sub/steps "$GENFLOW_OUT_TREE/link"
        touch "$GENFLOW_OUT_TREE/a file with a long name $(printf 'x%.0s' {1..120})é"
    out: { tree: file }
)";

class RunArchives : public testing::Test {
 protected:
  void SetUp() override {
    box.Write("pipeline.yaml", kPipeline);
    Ok({"run", "-q"});
    run = box.Json({"runs", "show", "--json"})["id"];
  }
  std::string Ok(const std::vector<std::string>& args) {
    const auto result = box.Genflow(args);
    EXPECT_EQ(result.code, 0) << result.err;
    return result.out;
  }
  std::string Shell(const std::string& text) {
    const auto result = box.Shell(text);
    EXPECT_EQ(result.code, 0) << result.err;
    return result.out;
  }
  Sandbox box;
  std::string run;
};

TEST_F(RunArchives, AnImportedRunIsAllThere) {
  Ok({"runs", "tag", run, "kept"});
  EXPECT_EQ(Ok({"runs", "export", run, "-o", "run.tar"}), "run.tar: 1 run, 2 objects, 33 B\n");
  EXPECT_EQ(Ok({"runs", "import", "run.tar", "--store", "other"}),
            "imported " + run + "\n2 objects, 33 B; 0 were there already\n");
  EXPECT_EQ(Ok({"fsck", "--store", "other"}), "clean: 2 objects, 4 files, 33 B checked\n");
  const json here = box.Json({"runs", "show", run, "--json"});
  json there = box.Json({"runs", "show", run, "--json", "--store", "other"});
  EXPECT_EQ(there["tags"], json({"kept"}));
  EXPECT_EQ(there["metrics"], here["metrics"]);
  EXPECT_EQ(there["attempts"][0]["key_components"], here["attempts"][0]["key_components"]);
  ASSERT_EQ(there["attempts"].size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(there["attempts"][i]["outputs"][0]["digest"], here["attempts"][i]["outputs"][0]["digest"]);
    EXPECT_EQ(there["attempts"][i]["inputs"], here["attempts"][i]["inputs"]);
    EXPECT_EQ(there["attempts"][i]["summary"], here["attempts"][i]["summary"]);
  }
  EXPECT_EQ(Ok({"logs", "count", "--store", "other"}), Ok({"logs", "count"}));
  Ok({"artifacts", "export", "tree.tree", "here"});
  Ok({"artifacts", "export", "tree.tree", "there", "--store", "other"});
  Shell(
      "diff -r here there; test -x there/run; test ! -x there/sub/steps; test -d there/sub/empty; "
      "test \"$(readlink there/link)\" = sub/steps");
}

TEST_F(RunArchives, TheCacheOfAnotherMachineHits) {
  Ok({"runs", "export", "latest", "-o", "run.tar"});
  Ok({"runs", "import", "run.tar", "--store", "other"});
  // The same pipeline elsewhere, the other store beside it.
  Shell("mkdir elsewhere; cp pipeline.yaml elsewhere/; mv other elsewhere/.genflow");
  EXPECT_EQ(box.Normal(Ok({"run", "elsewhere/pipeline.yaml"})),
            "moved: nothing to do (2 stages cached, TIME)\n");
  Shell("rm -r elsewhere/.genflow/store.db*");
  const auto rebuilt = box.Genflow({"fsck", "--store", "elsewhere/.genflow"});
  EXPECT_EQ(rebuilt.code, 0) << rebuilt.err << rebuilt.out;
}

TEST_F(RunArchives, ACachedRunBringsItsMetricsAndComponents) {
  Ok({"run", "-q"});
  const json cached = box.Json({"runs", "show", "latest", "--json"});
  ASSERT_NE(cached["id"], run);
  Ok({"runs", "export", "latest", "-o", "run.tar"});
  Ok({"runs", "import", "run.tar", "--store", "other"});
  const json there = box.Json({"runs", "show", "latest", "--json", "--store", "other"});
  EXPECT_EQ(there["id"], cached["id"]);
  EXPECT_EQ(there["metrics"]["count"]["loss"], 0.5);
  EXPECT_EQ(there["attempts"][0]["key_components"]["params"]["steps"], 2);
  EXPECT_EQ(box.Json({"fsck", "--json", "--store", "other"})["problems"], json::array());
}

TEST_F(RunArchives, ASecondImportHasNothingToDo) {
  Ok({"runs", "export", "latest", "-o", "run.tar"});
  Ok({"runs", "import", "run.tar", "--store", "other"});
  EXPECT_EQ(Ok({"runs", "import", "run.tar", "--store", "other"}),
            "nothing to do: 1 run and 2 objects are there already\n");
  const json again = box.Json({"runs", "import", "run.tar", "--store", "other", "--json"});
  EXPECT_EQ(again["runs"], json::array());
  EXPECT_EQ(again["known_runs"], json({run}));
  EXPECT_EQ(again["known_objects"], 2);
}

TEST_F(RunArchives, ObjectsThatAreThereAreNotCopiedAgain) {
  Ok({"runs", "export", "latest", "-o", "one.tar"});
  Ok({"runs", "import", "one.tar", "--store", "other"});
  Ok({"run", "-q", "--force", "tree"});
  Ok({"runs", "export", run, "latest", "-o", "two.tar"});
  const std::string before = Shell("find other/objects -name data | xargs stat -c '%i %n' | sort");
  const json report = box.Json({"runs", "import", "two.tar", "--store", "other", "--json"});
  EXPECT_EQ(report["runs"].size(), 1u);
  EXPECT_EQ(report["known_runs"], json({run}));
  EXPECT_EQ(report["objects"], 0);
  EXPECT_EQ(report["known_objects"], 2);
  EXPECT_EQ(Shell("find other/objects -name data | xargs stat -c '%i %n' | sort"), before);
}

TEST_F(RunArchives, ThroughAPipe) {
  const std::string genflow = GENFLOW_BINARY;
  EXPECT_EQ(Shell(genflow + " runs export latest -o - 2> said | " + genflow + " runs import - --store other"),
            "imported " + run + "\n2 objects, 33 B; 0 were there already\n");
  EXPECT_EQ(box.Read("said"), "exported: 1 run, 2 objects, 33 B\n");
  // Other programs read it, and the same runs make the same bytes.
  Shell(genflow + " runs export latest -o - 2> said > a.tar; " + genflow +
        " runs export latest -o b.tar; cmp a.tar b.tar");
  EXPECT_EQ(Shell("tar -tf a.tar > list; head -n 2 list"), "genflow-export.json\ngenflow-export.sha256\n");
  Shell("mkdir x; tar -C x -xf a.tar; cd x; sha256sum --quiet -c genflow-export.sha256");
}

TEST_F(RunArchives, ADamagedArchiveIsRefusedAndChangesNothing) {
  Ok({"runs", "export", "latest", "-o", "run.tar"});
  const std::string whole = box.Read("run.tar");
  Ok({"run", "-q", "-p", "steps=1"});
  Ok({"runs", "export", "latest", "-o", "base.tar"});
  Ok({"runs", "import", "base.tar", "--store", "other"});
  const std::string before = Shell("find other -type f -not -name 'store.db*' | sort");
  const auto refused = [&](const std::string& bytes, const std::string& what) {
    box.Write("bad.tar", bytes);
    const auto result = box.Genflow({"runs", "import", "bad.tar", "--store", "other"});
    EXPECT_EQ(result.code, 1) << what;
    EXPECT_TRUE(result.err.starts_with("error: bad.tar: the archive is damaged: "))
        << what << ": " << result.err;
    EXPECT_EQ(Shell("find other -type f -not -name 'store.db*' | sort"), before) << what;
    EXPECT_EQ(box.Json({"runs", "ls", "--json", "--store", "other"}).size(), 1u) << what;
  };
  for (const size_t part : {size_t{1}, size_t{3}, size_t{7}, size_t{9}})
    refused(whole.substr(0, whole.size() * part / 10), "cut to " + std::to_string(part) + " tenths");
  refused(whole.substr(0, whole.size() - 512), "without its last block");
  const auto altered = [&](const std::string& from, const std::string& to) {
    std::string bytes = whole;
    const size_t at = bytes.rfind(from);
    EXPECT_NE(at, std::string::npos) << from;
    return bytes.replace(at, from.size(), to);
  };
  refused(altered("step 1", "step 7"), "another byte of an object");
  std::string manifest = whole;
  manifest.replace(manifest.find("\"test.count\""), 12, "\"test.c0unt\"");
  refused(manifest, "another byte of the manifest");
  EXPECT_EQ(box.Genflow({"fsck", "--store", "other"}).code, 0);
  // Where there was no store, none is left.
  box.Write("bad.tar", whole.substr(0, whole.size() / 2));
  EXPECT_EQ(box.Genflow({"runs", "import", "bad.tar", "--store", "none"}).code, 1);
  EXPECT_FALSE(box.Exists("none"));
  Shell("mkdir kept");
  for (const std::string store : {"new/deep/.genflow", "kept/new/.genflow"})
    EXPECT_EQ(box.Genflow({"runs", "import", "bad.tar", "--store", store}).code, 1);
  EXPECT_FALSE(box.Exists("new"));
  EXPECT_TRUE(box.Exists("kept"));
  EXPECT_FALSE(box.Exists("kept/new"));
}

TEST_F(RunArchives, EveryFlippedByteIsFoundOrHarmless) {
  Ok({"runs", "export", "latest", "-o", "run.tar"});
  const std::string whole = box.Read("run.tar");
  for (size_t at = 100; at < whole.size(); at += whole.size() / 40) {
    std::string bytes = whole;
    bytes[at] = static_cast<char>(bytes[at] ^ 0x11);
    box.Write("bad.tar", bytes);
    const std::string store = "store" + std::to_string(at);
    const auto result = box.Genflow({"runs", "import", "bad.tar", "--store", store});
    // Bytes that say nothing (owners, padding) may differ; what is let in is whole.
    if (result.code == 0)
      EXPECT_EQ(box.Genflow({"fsck", "--store", store}).code, 0) << at;
    else
      EXPECT_FALSE(box.Exists(store)) << at;
  }
}

TEST_F(RunArchives, ALostObjectComesBackByImport) {
  Ok({"runs", "export", "latest", "-o", "run.tar"});
  Shell(
      "chmod -R u+w .genflow/objects; for f in .genflow/objects/*/*/data; do test -d $f || printf x > $f; "
      "done");
  EXPECT_EQ(box.Genflow({"fsck", "--repair"}).code, 0);
  const json report = box.Json({"runs", "import", "run.tar", "--json"});
  EXPECT_EQ(report["runs"], json::array());
  EXPECT_EQ(report["objects"], 1);
  EXPECT_EQ(box.Genflow({"fsck"}).code, 0);
  EXPECT_EQ(box.Normal(Ok({"run"})), "moved: nothing to do (2 stages cached, TIME)\n");
}

TEST_F(RunArchives, MistakesHelp) {
  box.Write("there.tar", "x");
  const auto exists = box.Genflow({"runs", "export", "latest", "-o", "there.tar"});
  EXPECT_EQ(exists.code, 2);
  EXPECT_EQ(exists.err, "error: there.tar: exists already\n  hint: remove it, or write to another path\n");
  EXPECT_EQ(box.Read("there.tar"), "x");
  const auto foreign = box.Shell("tar -cf other.tar pipeline.yaml; exec " + std::string(GENFLOW_BINARY) +
                                 " runs import other.tar --store other");
  EXPECT_EQ(foreign.code, 2);
  EXPECT_EQ(
      foreign.err,
      "error: other.tar: this is no archive of genflow's runs: it does not begin with genflow-export.json\n"
      "  hint: `genflow runs export` makes one\n");
  const auto missing = box.Genflow({"runs", "import", "none.tar"});
  EXPECT_EQ(missing.code, 2);
  EXPECT_EQ(missing.err, "error: none.tar: No such file or directory\n");
  const auto both = box.Genflow({"runs", "export", "latest", "-o", "-", "--json"});
  EXPECT_EQ(both.code, 2);
  EXPECT_EQ(both.err,
            "error: -o - and --json both want standard output\n  hint: write the archive to a file\n");
  box.Write("running.yaml", "name: r\nstages:\n  a: { uses: test.act, with: { do: sleep, seconds: 60 } }\n");
  auto going = box.Start({"run", "running.yaml"});
  ASSERT_TRUE(going.WaitForError("a: started"));
  const auto running = box.Genflow({"runs", "export", "latest", "-o", "running.tar"});
  EXPECT_EQ(running.code, 2);
  EXPECT_EQ(box.Normal(running.err),
            "error: run RUN is still running\n  hint: wait for it to finish, or stop it\n");
  EXPECT_FALSE(box.Exists("running.tar"));
  going.Signal(SIGTERM);
  going.Wait();
}

}  // namespace
}  // namespace genflow
