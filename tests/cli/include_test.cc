// Pipeline files that others use: their stages, inputs, outputs and mistakes.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/sandbox.h"

namespace genflow {
namespace {

using nlohmann::json;

constexpr char kPart[] = R"(params: { word: none, times: 1 }
env: { WHERE: part }
inputs: { text: file }
outputs: { copy: copy.o, all: count.o }
stages:
  copy:
    uses: exec
    in: { text: inputs.text }
    with:
      run: '(cat "$GENFLOW_IN_TEXT" local.txt; printf "%s %s %s" "${{ params.word }}" "$WHERE" "$MODE") > "$GENFLOW_OUT_O"'
      files: [local.txt]
    out: { o: file }
  count:
    uses: exec
    matrix: { n: [1, 2] }
    in: { text: copy.o }
    with: { run: 'printf "%s" "${{ matrix.n }}${{ params.times }}" > "$GENFLOW_OUT_O"' }
    out: { o: file }
)";

constexpr char kMain[] = R"(name: p
params: { word: hello }
env: { MODE: main, WHERE: main }
stages:
  first:
    uses: exec
    with: { run: 'printf "first " > "$GENFLOW_OUT_O"' }
    out: { o: file }
  part:
    uses: ./parts/part.yaml
    with: { word: "${{ params.word }}" }
    in: { text: first.o }
  last:
    uses: exec
    in: { text: part.copy, all: part.all }
    needs: [part]
    with: { run: '(cat "$GENFLOW_IN_TEXT"; cd "$GENFLOW_IN_ALL"; find . -type l | sort) > "$GENFLOW_OUT_O"; cat ${{ stages.part.outputs.copy }}' }
    out: { o: file }
)";

class Include : public testing::Test {
 protected:
  void SetUp() override {
    box.Write("pipeline.yaml", kMain);
    box.Write("parts/part.yaml", kPart);
    box.Write("parts/local.txt", "local ");
  }
  std::string Refusal(const std::vector<std::string>& args = {"validate"}) {
    return "\n" + box.Normal(box.Refusal(args));
  }
  std::string Actions(std::vector<std::string> args) {
    args.insert(args.begin(), {"plan", "--json"});
    const json answer = box.Json(args);
    std::string out;
    for (const auto& stage : answer["stages"])
      out += stage["stage"].get<std::string>() + " " + stage["action"].get<std::string>() + "\n";
    return out;
  }
  Sandbox box;
};

TEST_F(Include, StagesOfTheFileBecomePartOfThePipeline) {
  const auto run = box.Genflow({"run", "--quiet"});
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(box.Artifact("part/copy.o"), "first local hello part main");
  EXPECT_EQ(box.Artifact("part/count[n=2].o"), "21");
  EXPECT_EQ(box.Artifact("last.o"), "first local hello part main./part/count[n=1]\n./part/count[n=2]\n");
  EXPECT_EQ(box.Genflow({"fsck"}).code, 0);
  const auto log = box.Genflow({"logs", "part/copy"});
  EXPECT_EQ(log.code, 0) << log.err;
  EXPECT_EQ(Actions({}),
            "first cached\npart/copy cached\npart/count[n=1] cached\npart/count[n=2] cached\nlast cached\n");
  EXPECT_EQ(Actions({"--force", "part"}),
            "first cached\npart/copy run\npart/count[n=1] run\npart/count[n=2] run\nlast maybe\n");
  EXPECT_EQ(Actions({"--until", "part/copy"}), "first cached\npart/copy cached\n");
  box.Write("parts/local.txt", "changed ");
  EXPECT_EQ(Actions({"--until", "part/copy"}), "first cached\npart/copy run\n");
}

TEST_F(Include, AFileMayBeUsedByAMatrixAndUnderACondition) {
  box.Write("pipeline.yaml", R"(name: p
stages:
  first:
    uses: exec
    with: { run: 'printf "first " > "$GENFLOW_OUT_O"' }
    out: { o: file }
  part:
    uses: parts/part.yaml
    matrix: { word: [a, b] }
    with: { word: "${{ matrix.word }}", times: 3 }
    in: { text: first.o }
    if: matrix.word != 'x'
    needs: first
    retries: 2
  off:
    uses: parts/part.yaml
    in: { text: "part[word=a].copy" }
    if: 1 > 2
  last:
    uses: exec
    in: { copies: part.copy }
    with: { run: 'cat "$GENFLOW_IN_COPIES"/index.json > "$GENFLOW_OUT_O"' }
    out: { o: file }
)");
  const auto run = box.Genflow({"run", "--quiet"});
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(box.Artifact("part[word=b]/count[n=1].o"), "13");
  const json index = json::parse(box.Artifact("last.o"));
  ASSERT_EQ(index.size(), 2u);
  EXPECT_EQ(index[0]["stage"], "part[word=a]/copy");
  EXPECT_EQ(index[1]["matrix"], json({{"word", "b"}}));
  EXPECT_EQ(Actions({"--until", "part[word=a]"}),
            "first cached\npart[word=a]/copy cached\npart[word=a]/count[n=1] cached\n"
            "part[word=a]/count[n=2] cached\n");
}

TEST_F(Include, MistakesAreShownInTheirFile) {
  box.Write("parts/part.yaml", R"(params: { word: none, unused: 1 }
inputs: { text: file, other: dataset, never: fiel }
outputs: { copy: copi.o }
stages:
  copy:
    uses: exec
    in: { text: inputs.txet }
    with: { run: "${{ params.wrod }}" }
  act:
    uses: test.act
    in: { in: inputs.other }
    with: { do: tlak }
)");
  EXPECT_EQ(Refusal(), R"x(
parts/part.yaml:1:23: error: the parameter 'unused' is never used
    1 | params: { word: none, unused: 1 }
      |                       ^~~~~~
  hint: use it as ${{ params.unused }}, or remove it
  used by pipeline.yaml:10:11

parts/part.yaml:2:39: error: the input 'never' is never used
    2 | inputs: { text: file, other: dataset, never: fiel }
      |                                       ^~~~~
  hint: use it as inputs.never, or remove it
  used by pipeline.yaml:10:11

parts/part.yaml:2:46: error: inputs.never: expected an artifact type, got 'fiel'
    2 | inputs: { text: file, other: dataset, never: fiel }
      |                                              ^~~~
  hint: did you mean 'file'?
  used by pipeline.yaml:10:11

parts/part.yaml:3:18: error: outputs.copy: there is no stage 'copi'
    3 | outputs: { copy: copi.o }
      |                  ^~~~
  hint: did you mean 'copy'?
  used by pipeline.yaml:10:11

parts/part.yaml:7:17: error: in.text: the file has no input 'txet'
    7 |     in: { text: inputs.txet }
      |                 ^~~~~~~~~~~
  hint: did you mean 'text'?
  used by pipeline.yaml:10:11

parts/part.yaml:8:30: error: unknown parameter 'wrod'
    8 |     with: { run: "${{ params.wrod }}" }
      |                              ^~~~
  hint: did you mean 'word'?
  used by pipeline.yaml:10:11

parts/part.yaml:12:17: error: with.do: expected one of write, sleep, hang, invalid, io, crash, kill, exit, garbage, close, nothing, gate, flaky, talk, daemon, nan, quiet-fail, env, token, leak, tell, preempt, got 'tlak'
   12 |     with: { do: tlak }
      |                 ^~~~
  hint: did you mean 'talk'?
  used by pipeline.yaml:10:11

pipeline.yaml:9:3: error: stage 'part' needs the input 'other' of ./parts/part.yaml, a dataset
    9 |   part:
      |   ^~~~

pipeline.yaml:9:3: error: stage 'part' needs the input 'never' of ./parts/part.yaml
    9 |   part:
      |   ^~~~

pipeline.yaml:15:38: error: in.all: stage 'part' has no output 'all'
   15 |     in: { text: part.copy, all: part.all }
      |                                      ^~~
  hint: its outputs: copy

10 errors
)x");
}

TEST_F(Include, MistakesOfTheUserAreShownThere) {
  box.Write("pipeline.yaml", R"(name: p
stages:
  part:
    uses: ./parts/part.yaml
    with: { wrod: x, times: many }
    in: { txet: part.copy }
    timeout: soon
    if: failure()
    out: { o: file }
  missing:
    uses: ./parts/prat.yaml
  last:
    uses: exec
    if: stages.part.metrics.x < 1
    in: { a: part.cpoy, b: part/copy.o }
    with: { run: x }
)");
  EXPECT_EQ(Refusal(), R"x(
pipeline.yaml:5:13: error: the pipeline has no parameter 'wrod'
    5 |     with: { wrod: x, times: many }
      |             ^~~~
  hint: did you mean 'word'?

pipeline.yaml:5:29: error: times: expected a number, like the default 1
    5 |     with: { wrod: x, times: many }
      |                             ^~~~

pipeline.yaml:6:11: error: './parts/part.yaml' has no input 'txet'
    6 |     in: { txet: part.copy }
      |           ^~~~
  hint: did you mean 'text'?

pipeline.yaml:7:14: error: timeout: expected a duration such as 90s or 1h30m, got 'soon'
    7 |     timeout: soon
      |              ^~~~

pipeline.yaml:8:9: error: the `if` of a pipeline file cannot ask how other stages went
    8 |     if: failure()
      |         ^~~~~~~~~
  hint: let the stages in ./parts/part.yaml ask

pipeline.yaml:9:5: error: only a stage with uses: exec declares out
    9 |     out: { o: file }
      |     ^~~
  hint: the file has outputs of its own

pipeline.yaml:11:11: error: cannot read the pipeline file ./parts/prat.yaml: No such file or directory
   11 |     uses: ./parts/prat.yaml
      |           ^~~~~~~~~~~~~~~~~
  hint: it is looked for at DIR/parts/prat.yaml

pipeline.yaml:14:16: error: 'part' is a pipeline file, which has an outcome, but no metrics or paths
   14 |     if: stages.part.metrics.x < 1
      |                ^~~~

pipeline.yaml:15:19: error: in.a: stage 'part' has no output 'cpoy'
   15 |     in: { a: part.cpoy, b: part/copy.o }
      |                   ^~~~
  hint: did you mean 'copy'?

pipeline.yaml:15:28: error: in.b: there is no stage 'part/copy'
   15 |     in: { a: part.cpoy, b: part/copy.o }
      |                            ^~~~~~~~~

10 errors
)x");
}

TEST_F(Include, FilesCannotUseEachOtherInACircle) {
  box.Write("pipeline.yaml", "stages:\n  a: { uses: ./b.yaml }\n");
  box.Write("b.yaml", "stages:\n  b: { uses: ./pipeline.yaml }\n");
  EXPECT_EQ(Refusal(), R"x(
b.yaml:2:14: error: the pipeline files use each other in a circle: pipeline.yaml -> b.yaml -> pipeline.yaml
    2 |   b: { uses: ./pipeline.yaml }
      |              ^~~~~~~~~~~~~~~
  used by pipeline.yaml:2:14

1 error
)x");
}

TEST_F(Include, AFileWithInputsDoesNotRunAlone) {
  EXPECT_EQ(Refusal({"run", "parts/part.yaml"}), R"x(
parts/part.yaml:3:9: error: a pipeline with inputs runs only where another one uses it
    3 | inputs: { text: file }
      |         ^
  hint: in that one: uses: ./part.yaml

1 error
)x");
}

TEST_F(Include, AFileWithInputsIsCheckedAlone) {
  EXPECT_EQ(box.Genflow({"validate", "parts/part.yaml"}).out, "parts/part.yaml: valid (3 stages)\n");
  std::string part = kPart;
  part.replace(part.find("inputs: { text: file }"), 22, "inputs: { text: file, more: file }");
  box.Write("parts/part.yaml", part);
  EXPECT_EQ(Refusal({"validate", "parts/part.yaml"}), R"x(
parts/part.yaml:3:23: error: the input 'more' is never used
    3 | inputs: { text: file, more: file }
      |                       ^~~~
  hint: use it as inputs.more, or remove it

1 error
)x");
  part = kPart;
  part.replace(part.find("outputs: {"), 10, "outputs: { a-b: copy.o,");
  box.Write("parts/part.yaml", part);
  EXPECT_EQ(box.Genflow({"validate", "parts/part.yaml"})
                .err.find("parts/part.yaml:4:12: error: 'a-b' cannot name a port\n"),
            0u)
      << box.Genflow({"validate", "parts/part.yaml"}).err;
}

TEST_F(Include, NoStageIsCalledInputsWhereTheFileHasSome) {
  std::string part = kPart;
  part.replace(part.find("  count:"), 8, "  inputs:");
  part.replace(part.find("count.o"), 7, "copy.o");
  box.Write("parts/part.yaml", part);
  const std::string expected = R"x(
parts/part.yaml:13:3: error: a stage cannot be called 'inputs' where the file has inputs
   13 |   inputs:
      |   ^~~~~~
)x";
  EXPECT_EQ(Refusal({"validate", "parts/part.yaml"}), expected + "\n1 error\n");
  EXPECT_TRUE(Refusal().starts_with(expected)) << "where another file uses it, too";
}

TEST_F(Include, ProfilesOfAUsedFileAreNotInForce) {
  box.Write("parts/part.yaml", std::string(kPart) + "profiles: { ci: { params: { times: 2 } } }\n");
  box.Write("pipeline.yaml", std::string(kMain) + "profiles: { ci: {} }\n");
  EXPECT_EQ(box.Genflow({"validate"}).err, "");
  const auto valid = box.Genflow({"validate", "--profile", "ci"});
  EXPECT_EQ(valid.code, 0);
  EXPECT_EQ(
      valid.err,
      "parts/part.yaml:19:13: warning: profiles of a file that another one uses are not in force, 'ci' here\n"
      "   19 | profiles: { ci: { params: { times: 2 } } }\n"
      "      |             ^~\n"
      "  hint: give the file parameters, and set them in a profile of pipeline.yaml\n"
      "  used by pipeline.yaml:10:11\n\n1 warning\n");
}

TEST_F(Include, ProblemsAsJsonSayWhereTheFileIsUsed) {
  box.Write("parts/part.yaml", "stages: {}\n");
  const auto result = box.Genflow({"validate", "--json"});
  const json problem = json::parse(result.out)["diagnostics"][0];
  EXPECT_EQ(problem["file"], "parts/part.yaml");
  EXPECT_EQ(problem["included_from"], "pipeline.yaml:10:11");
}

}  // namespace
}  // namespace genflow
