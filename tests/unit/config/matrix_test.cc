// `matrix:`: which children there are, and how they are referred to.
#include <gmock/gmock.h>

#include "unit/config/loading.h"

namespace genflow {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;

std::vector<std::string> Ids(const Pipeline& pipeline) {
  std::vector<std::string> out;
  for (const auto& stage : pipeline.stages) out.push_back(stage.id);
  return out;
}

// The children of one exec stage with that matrix.
std::vector<std::string> Children(const std::string& matrix, const std::string& top = "") {
  return Ids(Load(top + "stages:\n  t:\n    uses: exec\n    with: { run: x }\n    matrix: " + matrix + "\n"));
}

std::vector<std::string> Sources(const StageSpec& stage) {
  std::vector<std::string> out;
  for (const auto& input : stage.inputs)
    out.push_back(input.port + "=" + input.source_stage + "." + input.source_port +
                  (input.collected ? " collected" : ""));
  return out;
}

TEST(Matrix, IsTheProductOfItsAxes) {
  EXPECT_THAT(Children("{ r: [8, 16], lr: [1e-4, 0.5] }"),
              ElementsAre("t[r=8,lr=1e-4]", "t[r=8,lr=0.5]", "t[r=16,lr=1e-4]", "t[r=16,lr=0.5]"));
  EXPECT_THAT(Children("{ on: [true, 'false'], v: [+1, -2, a_b.c] }"),
              ElementsAre("t[on=true,v=+1]", "t[on=true,v=-2]", "t[on=true,v=a_b.c]", "t[on=false,v=+1]",
                          "t[on=false,v=-2]", "t[on=false,v=a_b.c]"));
}

TEST(Matrix, AxesMayComeFromParameters) {
  EXPECT_THAT(
      Children("{ r: '${{ params.ranks }}', s: ['${{ params.two }}'], include: '${{ params.more }}' }",
               "params: { ranks: [4, 8], two: 2, more: [{ r: 64 }] }\n"),
      ElementsAre("t[r=4,s=2]", "t[r=8,s=2]", "t[r=64]"));
  EXPECT_THAT(Children("${{ fromJSON('{\"a\":[1],\"b\":[true]}') }}"), ElementsAre("t[a=1,b=true]"));
}

TEST(Matrix, EscapesWhatCannotStandInAnId) {
  EXPECT_THAT(Children("{ base: [models/a.gguf, 'a b', 'x=1,y=[2]', '50%', 'é'] }"),
              ElementsAre("t[base=models%2Fa.gguf]", "t[base=a%20b]", "t[base=x%3D1%2Cy%3D%5B2%5D]",
                          "t[base=50%25]", "t[base=%C3%A9]"));
}

// The examples of GitHub's documentation.
TEST(Matrix, IncludesAsGitHubDoes) {
  const Pipeline pipeline = Load(R"(stages:
  t:
    uses: exec
    with: { run: "${{ matrix.fruit }} ${{ matrix.animal }} ${{ matrix.color || '-' }} ${{ matrix.shape || '-' }}" }
    matrix:
      fruit: [apple, pear]
      animal: [cat, dog]
      include:
        - color: green
        - color: pink
          animal: cat
        - fruit: apple
          shape: circle
        - fruit: banana
          animal: '-'
        - { animal: cat, fruit: banana }
)");
  std::vector<std::string> said;
  for (const auto& stage : pipeline.stages) said.push_back(stage.id + ": " + stage.exec->run);
  EXPECT_THAT(
      said,
      ElementsAre("t[fruit=apple,animal=cat]: apple cat pink circle",
                  "t[fruit=apple,animal=dog]: apple dog green circle",
                  "t[fruit=pear,animal=cat]: pear cat pink -", "t[fruit=pear,animal=dog]: pear dog green -",
                  "t[fruit=banana,animal=-]: banana - - -", "t[fruit=banana,animal=cat]: banana cat - -"));
}

TEST(Matrix, IncludeAloneGivesTheChildren) {
  EXPECT_THAT(Children("{ include: [{ site: a, n: 1 }, { site: b }] }"),
              ElementsAre("t[site=a,n=1]", "t[site=b]"));
}

TEST(Matrix, ExcludesBeforeItIncludes) {
  EXPECT_THAT(
      Children("{ a: [1, 2], b: [x, y], exclude: [{ a: 2 }, { a: 1, b: y }], include: [{ a: 2, b: x }] }"),
      ElementsAre("t[a=1,b=x]", "t[a=2,b=x]"));
}

TEST(Matrix, ValuesReachAllSettings) {
  const Pipeline pipeline = Load(R"(stages:
  pages: { uses: data.read, with: { path: x } }
  base: { uses: model.import, with: { path: x } }
  tune:
    uses: train.lora
    matrix: { r: [8, 16], lr: [2e-4] }
    in: { dataset: pages.dataset, model: base.model }
    with: { lora: { r: "${{ matrix.r }}" }, lr: "${{ matrix.lr }}", note: "r=${{ matrix.r }}" }
    env: { RANK: "${{ matrix.r }}" }
    if: matrix.r < 10
    retries: ${{ matrix.r / 8 }}
    resources: { cpus: "${{ matrix.r }}" }
)");
  ASSERT_EQ(pipeline.stages.size(), 4u);
  const StageSpec& small = *pipeline.Find("tune[r=8,lr=2e-4]");
  const StageSpec& large = *pipeline.Find("tune[r=16,lr=2e-4]");
  EXPECT_EQ(small.parent, "tune");
  EXPECT_EQ(small.matrix, (std::vector<MatrixValue>{{"r", 8, "8", true}, {"lr", 2e-4, "2e-4", true}}));
  EXPECT_EQ(small.with["lora"]["r"], 8);
  EXPECT_EQ(large.with["lora"]["r"], 16);
  EXPECT_EQ(large.with["lr"], 2e-4);
  EXPECT_EQ(large.with["note"], "r=16");
  EXPECT_EQ(large.env.at("RANK"), "16");
  EXPECT_TRUE(small.enabled);
  EXPECT_FALSE(large.enabled);
  EXPECT_EQ(small.retries, 1);
  EXPECT_EQ(large.resources.cpus, (IntRange{16, 16}));
  EXPECT_EQ(pipeline.Find("base")->parent, "");
}

constexpr char kSweep[] = R"(stages:
  pages: { uses: data.read, with: { path: x } }
  base: { uses: model.import, with: { path: x } }
  tune:
    uses: train.lora
    matrix: { r: [8, 16], lr: [1e-4, 2e-4] }
    in: { dataset: pages.dataset, model: base.model }
  quality:
    uses: eval.perplexity
    matrix: { lr: [1e-4, 2e-4], r: [8, 16] }
    in: { model: base.model, adapter: "tune[r=${{ matrix.r }},lr=${{ matrix.lr }}].adapter", dataset: pages.dataset }
    needs: ["tune[r=${{ matrix.r }}]"]
  gate:
    uses: gate.metrics
    in: { report: quality.report }
    with: { require: x }
  some:
    uses: gate.metrics
    in: { report: ["quality[r=8].report", "quality[lr=2e-4,r=16].report"] }
    with: { require: x }
  page:
    uses: exec
    in: { all: quality.report, few: "quality[lr=0.0001].report", one: "quality[lr=1e-4,r=8].report" }
    needs: [tune]
    with: { run: "cat ${{ stages['tune[r=8,lr=1e-4]'].outputs.adapter }}" }
)";

TEST(Matrix, ChildrenAreReferredTo) {
  const Pipeline pipeline = Load(kSweep);
  EXPECT_THAT(Sources(*pipeline.Find("quality[lr=2e-4,r=16]")),
              ElementsAre("model=base.model", "adapter=tune[r=16,lr=2e-4].adapter", "dataset=pages.dataset"));
  std::vector<std::string> needs;
  for (const auto& need : pipeline.Find("quality[lr=2e-4,r=16]")->needs) needs.push_back(need.stage);
  EXPECT_THAT(needs, ElementsAre("tune[r=16,lr=1e-4]", "tune[r=16,lr=2e-4]"));
  EXPECT_THAT(Sources(*pipeline.Find("gate")), ElementsAre("report=quality[lr=1e-4,r=8].report collected",
                                                           "report=quality[lr=1e-4,r=16].report collected",
                                                           "report=quality[lr=2e-4,r=8].report collected",
                                                           "report=quality[lr=2e-4,r=16].report collected"));
  EXPECT_THAT(Sources(*pipeline.Find("some")), ElementsAre("report=quality[lr=1e-4,r=8].report collected",
                                                           "report=quality[lr=2e-4,r=8].report collected",
                                                           "report=quality[lr=2e-4,r=16].report"));
  EXPECT_THAT(
      Sources(*pipeline.Find("page")),
      ElementsAre("all=quality[lr=1e-4,r=8].report collected", "all=quality[lr=1e-4,r=16].report collected",
                  "all=quality[lr=2e-4,r=8].report collected", "all=quality[lr=2e-4,r=16].report collected",
                  "few=quality[lr=1e-4,r=8].report collected", "few=quality[lr=1e-4,r=16].report collected",
                  "one=quality[lr=1e-4,r=8].report"));
  EXPECT_EQ(pipeline.Find("page")->needs.size(), 4u);
  EXPECT_EQ(pipeline.Find("page")->exec->run, "cat ${{ stages.tune[r=8,lr=1e-4].outputs.adapter }}");
  EXPECT_EQ(pipeline.Find("page")->expression_inputs[0].source_stage, "tune[r=8,lr=1e-4]");
  EXPECT_EQ(FindPlaceholders(pipeline.Find("page")->exec->run)[0].stage, "tune[r=8,lr=1e-4]");
}

TEST(Matrix, ReferencesSelectStages) {
  const Pipeline pipeline = Load(kSweep);
  const auto select = [&](const std::string& ref) {
    std::vector<std::string> out;
    for (const size_t i : pipeline.Select(ref)) out.push_back(pipeline.stages[i].id);
    return out;
  };
  EXPECT_THAT(select("base"), ElementsAre("base"));
  EXPECT_EQ(select("tune").size(), 4u);
  EXPECT_THAT(select("tune[lr=0.0002]"), ElementsAre("tune[r=8,lr=2e-4]", "tune[r=16,lr=2e-4]"));
  EXPECT_THAT(select("tune[ lr=2e-4, r=16 ]"), ElementsAre("tune[r=16,lr=2e-4]"));
  for (const char* none : {"tune[r=9]", "tune[x=8]", "tune[r=8", "tune[]", "tune[r]", "base[r=8]", "tun", ""})
    EXPECT_TRUE(select(none).empty()) << none;
}

TEST(Matrix, AnIdTellsWhereAStageComesFrom) {
  EXPECT_EQ(OriginOf("base"), json::object());
  EXPECT_EQ(OriginOf("tune[r=16,lr=2e-4,text=a%2Fb,on=true]"),
            json({{"matrix", {{"r", 16}, {"lr", 2e-4}, {"text", "a/b"}, {"on", true}}}, {"of", "tune"}}));
  EXPECT_EQ(OriginOf("clean/split"), json({{"of", "clean"}}));
  EXPECT_EQ(OriginOf("clean[x=1.5]/split"), json({{"matrix", {{"x", 1.5}}}, {"of", "clean"}}));
  EXPECT_EQ(OriginOf("clean[x=1.5]/tune[r=2]"),
            json({{"matrix", {{"x", 1.5}, {"r", 2}}}, {"of", "clean[x=1.5]/tune"}}));
  EXPECT_EQ(OriginOf("tune[r=16]", {{"r", "16", "16"}, {"note", "low", "low", false}}),
            json({{"matrix", {{"r", "16"}, {"note", "low"}}}, {"of", "tune"}}));
}

TEST(Matrix, ListsOfReferencesAreCutOutsideBrackets) {
  EXPECT_THAT(SplitStageRefs("a,t[r=1,s=2],b"), ElementsAre("a", "t[r=1,s=2]", "b"));
  EXPECT_THAT(SplitStageRefs(""), ElementsAre(""));
}

TEST(Matrix, ValuesWithCommasAndBracketsAreReferredToByExpressions) {
  const Pipeline pipeline = Load(R"(stages:
  a:
    uses: exec
    matrix: { text: ["x,y=[1]", "50%"] }
    with: { run: "true" }
    out: { o: file }
  b:
    uses: exec
    matrix: { text: ["x,y=[1]", "50%"] }
    in: { i: "a[text=${{ matrix.text }}].o" }
    with: { run: "true" }
)");
  EXPECT_THAT(Sources(pipeline.stages[2]), ElementsAre("i=a[text=x%2Cy%3D%5B1%5D].o"));
  EXPECT_THAT(Sources(pipeline.stages[3]), ElementsAre("i=a[text=50%25].o"));
}

TEST(Matrix, MayHaveAThousandChildren) {
  std::string values = "0";
  for (int i = 1; i < 1000; ++i) values += ", " + std::to_string(i);
  EXPECT_EQ(Children("{ n: [" + values + "] }").size(), 1000u);
}

}  // namespace
}  // namespace genflow
