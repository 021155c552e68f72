// A sweep from the outside: children are stages that can be named, run, read and collected.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/sandbox.h"

namespace genflow {
namespace {

using nlohmann::json;

constexpr char kSweep[] = R"(name: sweep
params: { ranks: [8, 16] }
stages:
  tune:
    uses: exec
    matrix:
      r: "${{ params.ranks }}"
      lr: [1e-4, 2e-4]
      exclude: [{ r: 16, lr: 1e-4 }]
      include: [{ r: 8, note: small }]
    with: { run: 'printf "r=${{ matrix.r }} lr=${{ matrix.lr }} ${{ matrix.note || ''-'' }}" > "$GENFLOW_OUT_MODEL"' }
    out: { model: file }
  measure:
    uses: exec
    matrix: { r: "${{ params.ranks }}", lr: [2e-4] }
    in: { model: "tune[r=${{ matrix.r }},lr=${{ matrix.lr }}].model" }
    with: { run: '(printf "measured "; cat "$GENFLOW_IN_MODEL") > "$GENFLOW_OUT_TEXT"' }
    out: { text: file }
  all:
    uses: exec
    in: { texts: measure.text }
    with:
      run: |
        (cd "$GENFLOW_IN_TEXTS"; for f in measure*; do printf '%s: ' "$f"; cat "$f"; echo; done) > "$GENFLOW_OUT_TABLE"
        cp "$GENFLOW_IN_TEXTS/index.json" "$GENFLOW_OUT_INDEX"
    out: { table: file, index: file }
)";

class Matrix : public testing::Test {
 protected:
  void SetUp() override { box.Write("pipeline.yaml", kSweep); }
  std::map<std::string, std::string> Actions(std::vector<std::string> args = {}) {
    args.insert(args.begin(), {"plan", "--json"});
    const json answer = box.Json(args);
    std::map<std::string, std::string> out;
    for (const auto& stage : answer["stages"]) out[stage["stage"]] = stage["action"];
    return out;
  }
  Sandbox box;
};

TEST_F(Matrix, ChildrenRunAndAreCollected) {
  const auto run = box.Genflow({"run", "--quiet"});
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(box.Artifact("tune[r=8,lr=1e-4].model"), "r=8 lr=1e-4 small");
  EXPECT_EQ(box.Artifact("tune[r=16,lr=2e-4].model"), "r=16 lr=2e-4 -");
  EXPECT_EQ(box.Artifact("all.table"),
            "measure[r=16,lr=2e-4]: measured r=16 lr=2e-4 -\n"
            "measure[r=8,lr=2e-4]: measured r=8 lr=2e-4 small\n");
  json index = json::parse(box.Artifact("all.index"));
  for (auto& entry : index) {
    EXPECT_TRUE(entry["digest"].get<std::string>().starts_with("sha256:"));
    entry.erase("digest");
  }
  EXPECT_EQ(index, json::parse(R"([
    {"stage": "measure[r=8,lr=2e-4]", "matrix": {"r": 8, "lr": 0.0002}, "type": "file",
     "path": "measure[r=8,lr=2e-4]"},
    {"stage": "measure[r=16,lr=2e-4]", "matrix": {"r": 16, "lr": 0.0002}, "type": "file",
     "path": "measure[r=16,lr=2e-4]"}])"));
  EXPECT_EQ(box.Genflow({"fsck"}).code, 0);
}

TEST_F(Matrix, ChildrenAreCachedEachForItself) {
  ASSERT_EQ(box.Genflow({"run", "--quiet"}).code, 0);
  for (const auto& [stage, action] : Actions()) EXPECT_EQ(action, "cached") << stage;
  const auto wider = Actions({"-p", "ranks=[8, 32]"});
  EXPECT_EQ(wider, (std::map<std::string, std::string>{{"tune[r=8,lr=1e-4]", "cached"},
                                                       {"tune[r=8,lr=2e-4]", "cached"},
                                                       {"tune[r=32,lr=1e-4]", "run"},
                                                       {"tune[r=32,lr=2e-4]", "run"},
                                                       {"measure[r=8,lr=2e-4]", "cached"},
                                                       {"measure[r=32,lr=2e-4]", "maybe"},
                                                       {"all", "maybe"}}));
}

// The bytes of a child stay the same under another name: who reads its name runs again.
TEST_F(Matrix, NamesOfCollectedChildrenCountInTheKey) {
  const std::string text = R"(stages:
  a:
    uses: exec
    matrix: { v: [VALUE] }
    with: { run: 'printf x > "$GENFLOW_OUT_O"' }
    out: { o: file }
  b:
    uses: exec
    in: { all: a.o }
    with: { run: 'ls "$GENFLOW_IN_ALL" > "$GENFLOW_OUT_NAMES"' }
    out: { names: file }
)";
  for (const char* value : {"one", "two"}) {
    std::string now = text;
    now.replace(now.find("VALUE"), 5, value);
    box.Write("pipeline.yaml", now);
    ASSERT_EQ(box.Genflow({"run", "--quiet"}).code, 0);
    EXPECT_EQ(box.Artifact("b.names"), "a[v=" + std::string(value) + "]\nindex.json\n");
  }
}

TEST_F(Matrix, OptionsNameAllChildrenOrSome) {
  ASSERT_EQ(box.Genflow({"run", "--quiet"}).code, 0);
  const auto forced = [&](const std::string& ref) {
    std::string out;
    for (const auto& [stage, action] : Actions({"--force", ref})) {
      if (action == "run") out += stage + " ";
    }
    return out;
  };
  EXPECT_EQ(forced("tune"), "tune[r=16,lr=2e-4] tune[r=8,lr=1e-4] tune[r=8,lr=2e-4] ");
  EXPECT_EQ(forced("tune[lr=2e-4]"), "tune[r=16,lr=2e-4] tune[r=8,lr=2e-4] ");
  EXPECT_EQ(forced("tune[r=8,lr=1e-4],all"), "all tune[r=8,lr=1e-4] ");
  EXPECT_EQ(Actions({"--until", "tune[r=8,lr=1e-4]"}).size(), 1u);
  EXPECT_EQ(Actions({"--from", "measure", "--until", "measure"}).size(), 4u);

  const auto wrong = box.Genflow({"run", "--from", "tune[r=8,lr=3e-4]"});
  EXPECT_EQ(wrong.code, 2);
  EXPECT_EQ(box.Normal(wrong.err),
            "error: --from 'tune[r=8,lr=3e-4]': 'tune' has no child 'tune[r=8,lr=3e-4]'\n"
            "  hint: did you mean 'tune[r=8,lr=1e-4]'?\n");
  EXPECT_EQ(box.Normal(box.Genflow({"run", "--from", "tuna"}).err),
            "error: --from 'tuna': pipeline.yaml has no stage 'tuna'\n  hint: did you mean 'tune'?\n");
}

// What plan and the events of a run say of a child, the commands say that tell of runs that were.
TEST_F(Matrix, HistoryTellsTheValues) {
  box.Write("pipeline.yaml", R"(name: sweep
params: { sizes: ["2", 3] }
stages:
  count:
    uses: test.count
    matrix: { steps: "${{ params.sizes }}", include: [{ steps: 3, note: "007" }] }
    with: { steps: "${{ matrix.steps }}" }
  join: { uses: test.act, in: { in: count.steps } }
)");
  ASSERT_EQ(box.Genflow({"run", "--quiet"}).code, 0);
  ASSERT_EQ(box.Genflow({"run", "--quiet", "-p", "sizes=[3, 5]"}).code, 0);
  const auto answer = [&](std::vector<std::string> args, const std::string& store = ".genflow") {
    args.insert(args.end(), {"--json", "--store", store});
    return box.Json(args);
  };
  const auto origin = [](const json& item) {
    json out = json::object();
    for (const char* name : {"matrix", "of"}) {
      if (item.contains(name)) out[name] = item[name];
    }
    return out;
  };
  // A text stays a text.
  const json two = {{"matrix", {{"steps", "2"}}}, {"of", "count"}};
  const json three = {{"matrix", {{"steps", 3}, {"note", "007"}}}, {"of", "count"}};
  const json five = {{"matrix", {{"steps", 5}}}, {"of", "count"}};
  const json first = {{"count[steps=2]", two}, {"count[steps=3]", three}};
  const json second = {{"count[steps=3]", three}, {"count[steps=5]", five}};

  const json runs = answer({"runs", "ls"});
  EXPECT_EQ(runs[0]["origins"], second);
  EXPECT_EQ(runs[1]["origins"], first);
  const std::string a = runs[1]["id"], b = runs[0]["id"];
  EXPECT_EQ(answer({"runs", "metrics", a})["origins"], first);
  const json compared = answer({"runs", "compare", a, b});
  EXPECT_EQ(compared["runs"][0]["origins"], first);
  EXPECT_EQ(compared["runs"][1]["origins"], second);

  const json shown = answer({"runs", "show", a});
  EXPECT_EQ(shown["origins"], first);
  for (const auto& attempt : shown["attempts"])
    EXPECT_EQ(origin(attempt), first.value(attempt["stage"].get<std::string>(), json::object()));
  for (const auto& attempt : answer({"logs", a}))
    EXPECT_EQ(origin(attempt), first.value(attempt["stage"].get<std::string>(), json::object()));

  const json diff = answer({"runs", "diff", a, b});
  const auto told = [&](const char* what, const char* name) {
    json out = json::object();
    for (const auto& item : diff[what]) out[item[name].get<std::string>()] = origin(item);
    return out;
  };
  const json none = json::object();
  EXPECT_EQ(
      told("stages", "stage"),
      json({{"count[steps=2]", two}, {"count[steps=3]", three}, {"count[steps=5]", five}, {"join", none}}));
  EXPECT_EQ(told("artifacts", "name"),
            json({{"count[steps=2].steps", two}, {"count[steps=5].steps", five}, {"join.out", none}}));
  EXPECT_EQ(told("metrics", "name")["count[steps=5].loss"], five);

  for (const auto& use : answer({"artifacts", "ls", "--run", a}))
    EXPECT_EQ(origin(use), first.value(use["stage"].get<std::string>(), json::object()));
  const json artifact = answer({"artifacts", "show", "count[steps=3].steps"});
  EXPECT_EQ(origin(artifact), three);
  EXPECT_EQ(origin(artifact["producers"][0]), three);
  EXPECT_EQ(origin(artifact["consumers"][0]), none);
  const json lineage = answer({"artifacts", "lineage", a + ":join.out"});
  EXPECT_EQ(origin(lineage), none);
  ASSERT_EQ(lineage["made_from"].size(), 2u);
  EXPECT_EQ(origin(lineage["made_from"][0]), two);
  EXPECT_EQ(origin(lineage["made_from"][1]), three);
  EXPECT_EQ(origin(answer({"artifacts", "lineage", "count[steps=3].steps", "--down"})), three);

  ASSERT_EQ(box.Genflow({"runs", "export", a, "-o", "run.tar"}).code, 0);
  ASSERT_EQ(box.Genflow({"runs", "import", "run.tar", "--store", "other"}).code, 0);
  EXPECT_EQ(answer({"runs", "ls"}, "other")[0]["origins"], first);
  // Objects alone know the ids of stages: of what they tell only the types are guessed.
  ASSERT_EQ(box.Shell("rm other/store.db*").code, 0);
  for (const auto& attempt : answer({"runs", "show", a}, "other")["attempts"]) {
    if (attempt["stage"] == "count[steps=2]")
      EXPECT_EQ(origin(attempt), json({{"matrix", {{"steps", 2}}}, {"of", "count"}}));
  }
}

TEST_F(Matrix, LogsAreThoseOfAChild) {
  ASSERT_EQ(box.Genflow({"run", "--quiet"}).code, 0);
  const auto log = box.Genflow({"logs", "measure[r=8,lr=2e-4]"});
  EXPECT_EQ(log.code, 0) << log.err;
  EXPECT_NE(log.out.find("exec, attempt 1, key "), std::string::npos) << log.out;
  const auto all = box.Genflow({"logs", "measure"});
  EXPECT_EQ(all.code, 2);
  EXPECT_EQ(box.Normal(all.err),
            "error: 'measure' is 2 stages of run RUN\n"
            "  hint: name one of measure[r=8,lr=2e-4], measure[r=16,lr=2e-4]\n");
}

}  // namespace
}  // namespace genflow
