// Stages of a matrix and of used files: how commands name them, and what is said of them.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/sandbox.h"

namespace genflow {
namespace {

using nlohmann::json;

constexpr char kSweep[] = R"(name: sweep
params: { rates: [1e-4, 2e-4], salt: 1 }
stages:
  tune:
    uses: exec
    matrix:
      r: [8, 16]
      lr: "${{ params.rates }}"
      include: [{ r: 8, note: hé }]
    with: { run: 'printf "%s" "${{ matrix.r }} ${{ matrix.lr }} ${{ params.salt }}" > "$GENFLOW_OUT_O"' }
    out: { o: file }
  clean:
    uses: ./part.yaml
    matrix: { n: [1, 2] }
    with: { n: "${{ matrix.n }}" }
  all:
    uses: exec
    in: { all: tune.o }
    with: { run: 'ls "$GENFLOW_IN_ALL" > "$GENFLOW_OUT_O"' }
    out: { o: file }
)";

constexpr char kPart[] = R"(params: { n: 0 }
outputs: { o: split.o }
stages:
  split:
    uses: exec
    with: { run: 'printf "${{ params.n }}" > "$GENFLOW_OUT_O"' }
    out: { o: file }
)";

class StageNames : public testing::Test {
 protected:
  void SetUp() override {
    box.Write("pipeline.yaml", kSweep);
    box.Write("part.yaml", kPart);
  }
  void Run() {
    const auto run = box.Genflow({"run", "-q"});
    ASSERT_EQ(run.code, 0) << run.err;
  }
  std::string Error(const std::vector<std::string>& args) {
    const auto result = box.Genflow(args);
    EXPECT_EQ(result.code, 2) << result.out;
    return box.Normal(result.err);
  }
  // The stages of a list of objects.
  std::vector<std::string> Stages(const json& list) {
    std::vector<std::string> out;
    for (const auto& item : list) out.push_back(item["stage"]);
    return out;
  }
  Sandbox box;
};

void ExpectOrigins(const json& stages, const char* name = "stage") {
  std::map<std::string, json> by_id;
  for (const auto& stage : stages) by_id[stage[name]] = stage;
  ASSERT_TRUE(by_id.count("tune[r=8,lr=2e-04]") == 1 && by_id.count("clean[n=2]/split") == 1) << stages;
  EXPECT_EQ(by_id["tune[r=8,lr=2e-04]"]["matrix"], json::parse(R"({"r": 8, "lr": 0.0002, "note": "hé"})"));
  EXPECT_EQ(by_id["tune[r=8,lr=2e-04]"]["of"], "tune");
  EXPECT_EQ(by_id["clean[n=2]/split"]["matrix"], json::parse(R"({"n": 2})"));
  EXPECT_EQ(by_id["clean[n=2]/split"]["of"], "clean");
  EXPECT_FALSE(by_id["all"].contains("matrix"));
  EXPECT_FALSE(by_id["all"].contains("of"));
}

TEST_F(StageNames, JsonSaysWhereStagesComeFrom) {
  ExpectOrigins(box.Json({"plan", "--json"})["stages"]);
  ExpectOrigins(box.Json({"graph", "--json"})["nodes"], "id");
  const auto run = box.Genflow({"run", "--json"});
  ASSERT_EQ(run.code, 0) << run.err;
  std::map<std::string, json> events;
  json started = json::array(), finished = json::array();
  for (size_t at = 0, end = 0; at < run.out.size(); at = end + 1) {
    end = run.out.find('\n', at);
    const json event = json::parse(run.out.substr(at, end - at));
    const std::string kind = event["event"];
    events[kind] = event;
    if (kind == "stage-started") started.push_back(event);
    if (kind == "stage-finished") finished.push_back(event);
  }
  ExpectOrigins(started);
  ExpectOrigins(finished);
  ExpectOrigins(events["run-finished"]["stages"]);
  EXPECT_EQ(events["run-started"]["origins"]["tune[r=16,lr=1e-04]"],
            json::parse(R"({"matrix": {"r": 16, "lr": 0.0001}, "of": "tune"})"));
  EXPECT_FALSE(events["run-started"]["origins"].contains("all"));
}

TEST_F(StageNames, ExplainTakesAllChildrenOrSomeInAnyNotation) {
  Run();
  EXPECT_EQ(Stages(box.Json({"explain", "tune", "--json"})).size(), 4u);
  const json one = box.Json({"explain", "tune[lr=0.0002,r=16]", "--json"});
  EXPECT_EQ(one["stage"], "tune[r=16,lr=2e-04]");
  EXPECT_EQ(one["matrix"], json::parse(R"({"r": 16, "lr": 0.0002})"));
  EXPECT_TRUE(one["source_seconds"].is_number());
  EXPECT_EQ(Stages(box.Json({"explain", "clean", "--json"})),
            (std::vector<std::string>{"clean[n=1]/split", "clean[n=2]/split"}));
  const auto text = box.Genflow({"explain", "tune[r=8]"});
  EXPECT_EQ(text.code, 0);
  EXPECT_NE(text.out.find("matrix  r = 8, lr = 1e-04, note = hé\n"), std::string::npos) << text.out;
  EXPECT_NE(text.out.find("matrix  r = 8, lr = 2e-04, note = hé\n"), std::string::npos) << text.out;
}

TEST_F(StageNames, MistakesInReferencesAreNamed) {
  EXPECT_EQ(Error({"explain", "tune[colour=1]"}),
            "error: the matrix of 'tune' has no 'colour'\n  hint: it has r, lr, note\n");
  EXPECT_EQ(
      Error({"run", "--force", "tune[colour=1]"}),
      "error: --force 'tune[colour=1]': the matrix of 'tune' has no 'colour'\n  hint: it has r, lr, note\n");
  EXPECT_EQ(Error({"explain", "tune[r=16"}),
            "error: 'tune[r=16' is no reference to a stage\n"
            "  hint: a child of a matrix is written tune[r=8,lr=1e-04]\n");
  EXPECT_EQ(Error({"explain", "all[r=16]"}), "error: stage 'all' has no matrix\n  hint: write all\n");
  EXPECT_EQ(Error({"explain", "tune[r=99]"}).substr(0, 48),
            "error: 'tune' has no child 'tune[r=99]'\n  hint: ");
}

TEST_F(StageNames, LogsTakeOneChildInAnyNotation) {
  Run();
  const auto log = box.Genflow({"logs", "tune[lr=0.0002,r=16]"});
  EXPECT_EQ(log.code, 0) << log.err;
  EXPECT_EQ(log.out, box.Genflow({"logs", "tune[r=16,lr=2e-04]"}).out);
  EXPECT_EQ(box.Genflow({"logs", "latest/clean[n=2]"}).code, 0);
  EXPECT_EQ(Error({"logs", "tune[r=16]"}),
            "error: 'tune[r=16]' is 2 stages of run RUN\n"
            "  hint: name one of tune[r=16,lr=1e-04], tune[r=16,lr=2e-04]\n");
}

TEST_F(StageNames, ArtifactsTakeAllChildrenOrSome) {
  Run();
  const json shown = box.Json({"artifacts", "show", "tune.o", "--json"});
  ASSERT_EQ(shown.size(), 4u);
  const json one = box.Json({"artifacts", "show", "tune[lr=2e-04,r=16].o", "--json"});
  EXPECT_EQ(one["producers"][0]["stage"], "tune[r=16,lr=2e-04]");
  EXPECT_EQ(Stages(box.Json({"artifacts", "lineage", "clean.o", "--json"})),
            (std::vector<std::string>{"clean[n=1]/split", "clean[n=2]/split"}));
  EXPECT_EQ(box.Genflow({"artifacts", "lineage", "tune[r=8].o", "--down"}).code, 0);
  EXPECT_EQ(Error({"artifacts", "export", "clean.o", "there"}),
            "error: 'clean.o' is 2 artifacts\n"
            "  hint: name one of RUN:clean[n=1]/split.o, RUN:clean[n=2]/split.o\n");
  EXPECT_EQ(Error({"artifacts", "show", "tune.x"}).substr(0, 45),
            "error: no run has made an artifact 'tune.x'\n ");
}

TEST_F(StageNames, PlanNamesTheChildrenOfAFanInThatDiffer) {
  Run();
  const json unknown = box.Json({"plan", "-p", "salt=2", "--json"});
  EXPECT_EQ(unknown["stages"].back()["stage"], "all");
  EXPECT_EQ(unknown["stages"].back()["changes"], json::array()) << "what is not known is no change";
  EXPECT_EQ(unknown["totals"]["run"], 4);
  EXPECT_EQ(unknown["totals"]["cached"], 2);
  ASSERT_EQ(box.Genflow({"run", "-q", "--until", "tune", "-p", "rates=[1e-4, 3e-4]"}).code, 0);
  const auto plan = box.Genflow({"plan", "-p", "rates=[1e-4, 3e-4]"});
  EXPECT_NE(plan.out.find("tune[r=16,lr=3e-04] is new\n"), std::string::npos) << plan.out;
  EXPECT_NE(plan.out.find("and 1 more"), std::string::npos) << plan.out;
  EXPECT_EQ(plan.out.find("digest"), std::string::npos) << plan.out;
}

TEST_F(StageNames, PlanCountsWhatIsCachedAndWhatIsSkipped) {
  box.Write("pipeline.yaml",
            "name: c\nstages:\n  a: { uses: exec, with: { run: echo } }\n"
            "  b: { uses: exec, if: false, with: { run: echo } }\n");
  EXPECT_NE(box.Genflow({"plan"}).out.find("\nc: 1 of 2 stages would run\n"), std::string::npos);
  Run();
  EXPECT_NE(box.Genflow({"plan"}).out.find("\nc: nothing to do (1 stage cached, 1 skipped)\n"),
            std::string::npos)
      << box.Genflow({"plan"}).out;
  EXPECT_NE(box.Genflow({"plan", "--until", "a", "--force"}).out.find("\nc: 1 of 1 stage would run"),
            std::string::npos);
}

}  // namespace
}  // namespace genflow
