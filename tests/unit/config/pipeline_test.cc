#include "config/pipeline.h"

#include <gmock/gmock.h>

#include <fstream>

#include "testing/scratch.h"
#include "unit/config/loading.h"

namespace genflow {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// The parts of a training stage that the tests below vary.
std::string Tune(const std::string& with, const std::string& rest = "", const std::string& top = "") {
  return top +
         "stages:\n  pages: { uses: data.read, with: { path: x } }\n"
         "  base: { uses: model.import, with: { path: x } }\n"
         "  tune:\n    uses: train.lora\n    in: { dataset: pages.dataset, model: base.model }\n" +
         rest + "    with:\n      " + with + "\n";
}

json TuneValue(const std::string& with, const std::string& key, const std::string& top = "") {
  const Pipeline pipeline = Load(Tune(with, "", top));
  const StageSpec* stage = pipeline.Find("tune");
  return stage == nullptr ? json("no stage") : stage->with.value(key, json("no value"));
}

TEST(Pipeline, ProcessesAreForStagesThatCanRunInSeveral) {
  EXPECT_EQ(Load(Tune("epochs: 1", "    resources: { processes: 3 }\n")).Find("tune")->resources.processes,
            3);
  const Pipeline pipeline = Load(Tune("epochs: 1", "", "defaults: { resources: { processes: 2 } }\n"));
  EXPECT_EQ(pipeline.Find("tune")->resources.processes, 2);
  EXPECT_EQ(pipeline.Find("pages")->resources.processes, 1);
}

TEST(Pipeline, ReadsTheDesignsExample) {
  const Pipeline pipeline = Load(kDesign);
  EXPECT_EQ(pipeline.name, "linux-helper");
  EXPECT_TRUE(pipeline.dir.is_absolute());
  EXPECT_EQ(pipeline.dir.filename(), "flows");
  EXPECT_EQ(pipeline.params, json({{"base", "smollm2-135m"}, {"epochs", 2}}));
  ASSERT_EQ(pipeline.stages.size(), 6u);

  const StageSpec& tune = *pipeline.Find("tune");
  EXPECT_EQ(pipeline.IndexOf("tune"), 3u);
  EXPECT_EQ(tune.uses, "train.lora");
  EXPECT_EQ(tune.info, TheCatalog().Find("train.lora"));
  EXPECT_EQ(tune.with, json::parse(R"({"cache":1073741824,"epochs":2,"lora":{"dropout":0.0,"r":16,
    "target_modules":["all-linear"]},"lr":0.0001,"packing":true,"save_every":600,"schedule":"cosine","threads":0})"));
  ASSERT_EQ(tune.inputs.size(), 2u);
  EXPECT_EQ(tune.inputs[0].port, "dataset");
  EXPECT_EQ(tune.inputs[0].source_stage, "clean");
  EXPECT_EQ(tune.inputs[0].source_port, "train");
  EXPECT_EQ(tune.inputs[0].type, "dataset");
  EXPECT_EQ(tune.inputs[0].position, (Position{18, 20, 11}));
  EXPECT_EQ(tune.position, (Position{16, 3, 4}));
  EXPECT_EQ(tune.with_positions.at("lora.r"), (Position{19, 24, 2}));
  EXPECT_EQ(tune.with_positions.at("lora.target_modules[0]"), (Position{19, 44, 10}));
  EXPECT_EQ(tune.with_positions.count("lr"), 0u);
  EXPECT_EQ(tune.retries, 1);
  EXPECT_EQ(tune.timeout, 1800);
  EXPECT_EQ(tune.resources.gpus, (IntRange{0, 1}));
  EXPECT_EQ(tune.resources.cpus, std::nullopt);
  EXPECT_EQ(tune.resources.memory, 8ull << 30);
  EXPECT_TRUE(tune.enabled);
  EXPECT_FALSE(tune.exec);
}

TEST(Pipeline, IsNamedAfterItsFileByDefault) {
  EXPECT_EQ(Load("stages: { a: { uses: exec, with: { run: x } } }\n").name, "pipeline");
}

TEST(Pipeline, WithoutAFileItSaysSo) {
  const ScratchFolder scratch;
  const std::string missing = scratch / "quickstrat.yaml", near = scratch / "quickstart.yaml";
  std::ofstream(near) << kDesign;
  const LoadResult result = LoadPipeline(missing, Options());
  EXPECT_EQ(RenderDiagnostics(result.diagnostics),
            missing +
                ": error: cannot read the pipeline: No such file or directory\n"
                "  hint: did you mean '" +
                near + "'?\n\n1 error\n");
  EXPECT_FALSE(result.pipeline);
}

TEST(Pipeline, RefusesAFolderAndAHugeFile) {
  EXPECT_EQ(RenderDiagnostics(LoadPipeline("/", Options()).diagnostics),
            "/: error: cannot read the pipeline: Is a directory\n\n1 error\n");
  const ScratchFolder scratch;
  const std::string huge = scratch / "huge.yaml";
  std::ofstream(huge) << std::string(kMaxPipelineBytes + 1, '#');
  EXPECT_EQ(RenderDiagnostics(LoadPipeline(huge, Options()).diagnostics),
            huge + ": error: the pipeline file is larger than 4.0 MiB\n\n1 error\n");
}

TEST(Pipeline, ReadsAFile) {
  const ScratchFolder scratch;
  const std::string file = scratch / "design.yaml";
  std::ofstream(file) << "\xEF\xBB\xBF" << kDesign;
  const LoadResult result = LoadPipeline(file, Options());
  ASSERT_TRUE(result.pipeline);
  EXPECT_EQ(result.pipeline->stages.size(), 6u);
}

TEST(Pipeline, CoercesToTheTypesOfParameters) {
  EXPECT_EQ(TuneValue("epochs: '3'", "epochs"), 3);
  EXPECT_EQ(TuneValue("epochs: 1e2", "epochs"), 100);
  EXPECT_EQ(TuneValue("lr: 1", "lr"), 1.0);
  EXPECT_TRUE(TuneValue("lr: 1", "lr").is_number_float());
  EXPECT_EQ(TuneValue("note: 1.10", "note"), "1.10");
  EXPECT_EQ(TuneValue("note: yes", "note"), "yes");
  EXPECT_EQ(TuneValue("note: TRUE", "note"), "TRUE");
  EXPECT_EQ(TuneValue("packing: False", "packing"), false);
  EXPECT_EQ(TuneValue("cache: 1.5GiB", "cache"), 3ll << 29);
  EXPECT_EQ(TuneValue("save_every: 1h30m", "save_every"), 5400);
  EXPECT_EQ(TuneValue("lora.target_modules: [q_proj, 1]", "lora")["target_modules"], json({"q_proj", "1"}));
  EXPECT_EQ(TuneValue("extra: { a: [1, null, 2.5, yes], b: { c: true } }", "extra"),
            json::parse(R"({"a":[1,null,2.5,"yes"],"b":{"c":true}})"));
}

TEST(Pipeline, ExpressionsKeepTheirTypeAloneAndBecomeTextInside) {
  const std::string top = "params: { n: 2, big: { r: 4, dropout: 0.5 }, list: [a, b] }\n";
  const Pipeline pipeline =
      Load(Tune("epochs: ${{ params.n + 1 }}\n      note: n=${{ params.n }}, ${{ params.n * 0.25 }}\n"
                "      extra: ${{ params.list }}\n      lora: ${{ params.big }}",
                "", top));
  const json& with = pipeline.Find("tune")->with;
  EXPECT_EQ(with["epochs"], 3);
  EXPECT_EQ(with["note"], "n=2, 0.5");
  EXPECT_EQ(with["extra"], json({"a", "b"}));
  EXPECT_EQ(with["lora"], json::parse(R"({"r":4,"dropout":0.5,"target_modules":["all-linear"]})"));
}

TEST(Pipeline, ANullFromAnExpressionLeavesTheDefault) {
  EXPECT_EQ(TuneValue("epochs: ${{ env.NOPE || null }}", "epochs"), 1);
  EXPECT_EQ(TuneValue("note: ${{ null }}", "note"), "no value");
  EXPECT_EQ(TuneValue("epochs: ${{ env.ROWS || 5 }}", "epochs"), 12);
}

TEST(Pipeline, ParametersMayUseThoseAboveThem) {
  const Pipeline pipeline =
      Load(Tune("note: ${{ params.b }}", "", "params:\n  a: ${{ env.HOME }}\n  b: ${{ params.a }}/x\n"));
  EXPECT_EQ(pipeline.params["b"], "/home/u/x");
}

TEST(Pipeline, OverridesAreTypedAndTheLastOneWins) {
  LoadOptions options = Options();
  options.param_files = {ParseParamsFile("epochs: 7\nnote: file\n", "params.yaml")};
  options.overrides = {
      {"epochs", "3"}, {"epochs", "4"}, {"lr", "1"}, {"version", "1.10"}, {"tags", "[a, b]"}};
  const Pipeline pipeline =
      Load(Tune("epochs: ${{ params.epochs }}\n      lr: ${{ params.lr }}\n      note: ${{ params.note }} "
                "${{ params.version }}\n"
                "      extra: ${{ params.tags }}",
                "", "params: { epochs: 2, lr: 0.5, note: n, version: '1', tags: [] }\n"),
           options);
  const json& with = pipeline.Find("tune")->with;
  EXPECT_EQ(with["epochs"], 4);
  EXPECT_EQ(with["lr"], 1.0);
  EXPECT_EQ(with["note"], "file 1.10");
  EXPECT_EQ(with["extra"], json({"a", "b"}));
}

TEST(Pipeline, AnOverrideGivesAParameterWithoutValue) {
  LoadOptions options = Options();
  options.overrides = {{"n", "3"}};
  EXPECT_EQ(
      Load(Tune("epochs: ${{ params.n }}", "", "params: { n: }\n"), options).Find("tune")->with["epochs"], 3);
}

TEST(Pipeline, SecretsAreMarkedAndNeverPrinted) {
  const std::string text =
      "stages:\n  base:\n    uses: model.import\n    with: { path: x, token: '${{ secrets.TOKEN }}' }\n"
      "    env: { AUTH: 'Bearer ${{ secrets.TOKEN }}' }\n";
  const Pipeline pipeline = Load(text);
  const StageSpec& stage = pipeline.stages[0];
  const Secret& secret = pipeline.secrets.at("TOKEN");
  EXPECT_EQ(secret.Reveal(), "hunter2");
  EXPECT_EQ(secret.digest().size(), 16u);
  EXPECT_EQ(stage.with["token"], "${{ secrets.TOKEN#" + secret.digest() + " }}");
  EXPECT_EQ(stage.env.at("AUTH"), "Bearer ${{ secrets.TOKEN#" + secret.digest() + " }}");
  EXPECT_THAT(stage.secrets, ElementsAre("TOKEN"));
  EXPECT_THAT(stage.with.dump(), Not(HasSubstr("hunter2")));

  LoadOptions salted = Options();
  salted.secret_salt = "other";
  EXPECT_NE(Load(text, salted).secrets.at("TOKEN").digest(), secret.digest());
}

TEST(Pipeline, ValidatesWithoutSecretsWhereAskedTo) {
  LoadOptions options = Options();
  options.require_secrets = false;
  const LoadResult result = ParsePipeline(
      "stages:\n  base:\n    uses: model.import\n    with: { path: x, token: '${{ secrets.HF }}' }\n",
      "p.yaml", options);
  ASSERT_TRUE(result.pipeline);
  EXPECT_EQ(result.pipeline->stages[0].with["token"], "${{ secrets.HF#unset }}");
  EXPECT_EQ("\n" + RenderDiagnostics(result.diagnostics), R"(
p.yaml:4:34: warning: the secret 'HF' is not set
    4 |     with: { path: x, token: '${{ secrets.HF }}' }
      |                                  ^~~~~~~~~~
  hint: a run needs the environment variable GENFLOW_SECRET_HF, or a file with --secrets-file

1 warning
)");
}

TEST(Pipeline, ReadsAnExecStage) {
  const Pipeline pipeline = Load(R"(
params: { n: 3 }
defaults:
  env: { LANG: C, T: "${{ secrets.TOKEN }}" }
stages:
  pages: { uses: data.read, with: { path: x } }
  count:
    uses: exec
    in: { data: pages.dataset }
    out: { lines: file, rows: dataset }
    needs: other
    retries: { max: 2, backoff: 10s }
    env: { LANG: de }
    with:
      files: [src/*.py, "${{ params.n }}.txt"]
      run: |
        head -n ${{ params.n }} "$GENFLOW_IN_DATA" > "$GENFLOW_OUT_LINES"
        cp ${{ stages.pages.outputs.dataset }} .
  other: { uses: exec, with: { run: "true", files: one.txt }, in: { x: count2.lines } }
  count2: { uses: exec, with: { run: "true" }, out: { lines: file } }
)");
  const StageSpec& count = *pipeline.Find("count");
  EXPECT_EQ(count.info, nullptr);
  EXPECT_EQ(count.with, json::object());
  ASSERT_TRUE(count.exec);
  EXPECT_EQ(
      count.exec->run,
      "head -n 3 \"$GENFLOW_IN_DATA\" > \"$GENFLOW_OUT_LINES\"\ncp ${{ stages.pages.outputs.dataset }} .\n");
  EXPECT_THAT(count.exec->files, ElementsAre("src/*.py", "3.txt"));
  ASSERT_EQ(count.exec->outputs.size(), 2u);
  EXPECT_EQ(count.exec->outputs[1].port, "rows");
  EXPECT_EQ(count.exec->outputs[1].type, "dataset");
  ASSERT_EQ(count.expression_inputs.size(), 1u);
  EXPECT_EQ(count.expression_inputs[0].port, "");
  EXPECT_EQ(count.expression_inputs[0].source_stage, "pages");
  EXPECT_EQ(count.expression_inputs[0].source_port, "dataset");
  EXPECT_EQ(count.expression_inputs[0].position.line, 18);
  ASSERT_EQ(count.needs.size(), 1u);
  EXPECT_EQ(count.needs[0].stage, "other");
  EXPECT_EQ(count.retries, 2);
  EXPECT_EQ(count.retry_backoff, 10);
  EXPECT_EQ(count.env.at("LANG"), "de");
  EXPECT_THAT(count.secrets, ElementsAre("TOKEN"));
  EXPECT_EQ(pipeline.Find("other")->inputs[0].type, "file");
}

TEST(Pipeline, AManyPortTakesOneOrSeveral) {
  const std::string head = "stages:\n  a: { uses: exec, with: { run: x }, out: { r: report, s: report } }\n";
  EXPECT_EQ(Load(head + "  g: { uses: gate.metrics, in: { report: a.r }, with: { require: x } }\n")
                .stages[1]
                .inputs.size(),
            1u);
  const Pipeline several =
      Load(head + "  g: { uses: gate.metrics, in: { report: [a.s, a.r] }, with: { require: x } }\n");
  ASSERT_EQ(several.stages[1].inputs.size(), 2u);
  EXPECT_EQ(several.stages[1].inputs[0].source_port, "s");
}

TEST(Pipeline, EvaluatesConditions) {
  const auto enabled = [](const std::string& condition) {
    const Pipeline pipeline = Load(
        "params: { full: false, n: 3 }\nstages:\n  a: { uses: exec, with: { run: \"${{ params.full }}${{ "
        "params.n }}\" }, if: " +
        condition + " }\n");
    return pipeline.stages.empty()
               ? std::string("?")
               : pipeline.stages[0].condition + (pipeline.stages[0].enabled ? ": yes" : ": no");
  };
  EXPECT_EQ(enabled("\"${{ params.full }}\""), "params.full: no");
  EXPECT_EQ(enabled("params.n > 2 && !params.full"), "params.n > 2 && !params.full: yes");
  EXPECT_EQ(enabled("false"), "false: no");
  EXPECT_EQ(enabled("env.NOPE"), "env.NOPE: no");
}

TEST(Pipeline, AliasesAndMergeKeysWork) {
  const Pipeline pipeline = Load(
      "stages:\n"
      "  a: &a { uses: exec, with: { run: x }, timeout: 5m, retries: 1 }\n"
      "  b: { <<: *a, timeout: 1m }\n"
      "  c: *a\n");
  EXPECT_EQ(pipeline.Find("b")->timeout, 60);
  EXPECT_EQ(pipeline.Find("b")->retries, 1);
  EXPECT_EQ(pipeline.Find("c")->timeout, 300);
}

TEST(Pipeline, KeyParamsLeaveVolatileOnesOut) {
  const Pipeline pipeline = Load(Tune("threads: 8"));
  const json key = KeyParams(*pipeline.Find("tune"));
  EXPECT_FALSE(key.contains("threads"));
  EXPECT_TRUE(key.contains("epochs"));
}

TEST(ParamsFile, ReadsAMappingAndRefusesOthers) {
  const ScratchFolder scratch;
  const std::string file = scratch / "params.yaml";
  std::ofstream(file) << "epochs: 3\ntags: [a]\n";
  const ParamsFile read = LoadParamsFile(file);
  EXPECT_EQ(RenderDiagnostics(read.problems), "");
  EXPECT_EQ(read.values, (std::map<std::string, json>{{"epochs", 3}, {"tags", {"a"}}}));
  std::ofstream(file) << "- a\n";
  EXPECT_EQ(RenderDiagnostics(LoadParamsFile(file).problems),
            file +
                ":1:1: error: expected a mapping of parameters, got a list\n    1 | - a\n      | ^\n\n"
                "1 error\n");
  std::ofstream(file) << "a: 1\na: 2\na: 3\n";
  EXPECT_EQ(RenderDiagnostics(LoadParamsFile(file).problems),
            file +
                ":2:1: error: the key 'a' is repeated\n    2 | a: 2\n      | ^\n"
                "  hint: it is first given in line 1\n\n" +
                file +
                ":3:1: error: the key 'a' is repeated\n    3 | a: 3\n      | ^\n"
                "  hint: it is first given in line 1\n\n2 errors\n");
  std::ofstream(file) << "a: [\n";
  EXPECT_EQ(RenderDiagnostics(LoadParamsFile(file).problems),
            file +
                ":1:6: error: not valid YAML: '[' is not closed by ']'\n    1 | a: [\n      |     ^\n\n"
                "1 error\n");
  std::ofstream(file) << "a: \xff\n";
  EXPECT_EQ(RenderDiagnostics(LoadParamsFile(file).problems),
            file +
                ":1:4: error: the file is not UTF-8 text\n  hint: save it with the encoding UTF-8\n\n"
                "1 error\n");
  EXPECT_EQ(RenderDiagnostics(LoadParamsFile(scratch / "none.yaml").problems),
            "error: -f " + (scratch / "none.yaml").string() + ": No such file or directory\n\n1 error\n");
}

}  // namespace
}  // namespace genflow
