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
    const auto plan = box.Genflow(args);
    EXPECT_EQ(plan.code, 0) << plan.err;
    std::map<std::string, std::string> out;
    const json answer = json::parse(plan.out);
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
