#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "config/pipeline.h"
#include "testing/scratch.h"
#include "unit/config/catalog.h"

namespace genflow {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct FilesTest : ::testing::Test {
  void SetUp() override {
    for (const char* file : {"data/b.jsonl", "data/a.jsonl", "models/base.gguf", "tool.py"}) {
      fs::create_directories((root / file).parent_path());
      std::ofstream(root / file) << file;
    }
  }
  // The pipeline and, in `said`, what ResolveFiles() says.
  Pipeline Resolve(const std::string& text) {
    LoadOptions options;
    options.catalog = &catalog;
    LoadResult result = ParsePipeline(text, root / "pipeline.yaml", options);
    EXPECT_EQ(RenderDiagnostics(result.diagnostics), "");
    if (!result.pipeline) return {};
    const std::string checked = RenderDiagnostics(CheckFiles(*result.pipeline));
    said = RenderDiagnostics(ResolveFiles(&*result.pipeline));
    EXPECT_EQ(checked, said);
    for (size_t at = said.find(root.string()); at != std::string::npos; at = said.find(root.string())) {
      said.replace(at, root.string().size(), "ROOT");
    }
    return *std::move(result.pipeline);
  }
  std::vector<std::string> Names(const StageSpec& stage) {
    std::vector<std::string> out;
    for (const auto& file : stage.files)
      out.push_back(file.param + ":" + file.name + ":" + file.path.lexically_relative(root).string());
    return out;
  }
  const Catalog catalog = TestCatalog();
  const ScratchFolder scratch;
  const fs::path root = scratch.path();
  std::string said;
};

TEST_F(FilesTest, MakesPathsAbsoluteAndExpandsPatterns) {
  const Pipeline pipeline = Resolve(
      "stages:\n"
      "  base: { uses: model.import, with: { path: ./models/../models/base.gguf } }\n"
      "  pages: { uses: data.read, with: { path: [data/*.jsonl, data/a.jsonl, tool.py] } }\n"
      "  run: { uses: exec, with: { run: x, files: ['*.py', data] } }\n");
  EXPECT_EQ(said, "");
  EXPECT_EQ(pipeline.stages[0].with["path"], (root / "models/base.gguf").string());
  EXPECT_THAT(Names(pipeline.stages[0]), ElementsAre("path::models/base.gguf"));
  EXPECT_EQ(pipeline.stages[1].with["path"],
            json({(root / "data/a.jsonl").string(), (root / "data/b.jsonl").string(),
                  (root / "tool.py").string()}));
  EXPECT_THAT(Names(pipeline.stages[1]),
              ElementsAre("path:data/a.jsonl:data/a.jsonl", "path:data/b.jsonl:data/b.jsonl",
                          "path:tool.py:tool.py"));
  EXPECT_THAT(Names(pipeline.stages[2]),
              ElementsAre("files:data/a.jsonl:data/a.jsonl", "files:data/b.jsonl:data/b.jsonl",
                          "files:tool.py:tool.py"));
  EXPECT_EQ(KeyParams(pipeline.stages[0]), json::object());
  EXPECT_EQ(KeyParams(pipeline.stages[1]), json({{"format", "auto"}}));
}

TEST_F(FilesTest, ReportsWhatIsMissing) {
  Resolve(
      "stages:\n"
      "  base: { uses: model.import, with: { path: models/bsae.gguf } }\n"
      "  pages: { uses: data.read, with: { path: [data/*.jsonl, data/*.csv] } }\n"
      "  other: { uses: data.read, with: { path: 'x/{a' } }\n"
      "  run: { uses: exec, with: { run: x, files: '*.cc' } }\n"
      "  far: { uses: model.import, with: { path: /nowhere/at/all } }\n");
  EXPECT_EQ("\n" + said, R"(
ROOT/pipeline.yaml:2:45: error: with.path: no such file or folder: models/bsae.gguf
    2 |   base: { uses: model.import, with: { path: models/bsae.gguf } }
      |                                             ^~~~~~~~~~~~~~~~
  hint: did you mean 'base.gguf'?

ROOT/pipeline.yaml:3:58: error: with.path[1]: no file matches data/*.csv
    3 |   pages: { uses: data.read, with: { path: [data/*.jsonl, data/*.csv] } }
      |                                                          ^~~~~~~~~~
  hint: it is looked for in ROOT

ROOT/pipeline.yaml:4:43: error: with.path[0]: the pattern 'x/{a' has a '{' without '}', or more than 1000 alternatives
    4 |   other: { uses: data.read, with: { path: 'x/{a' } }
      |                                           ^~~~~~

ROOT/pipeline.yaml:5:45: error: with.files[0]: no file matches *.cc
    5 |   run: { uses: exec, with: { run: x, files: '*.cc' } }
      |                                             ^~~~~~
  hint: it is looked for in ROOT

ROOT/pipeline.yaml:6:44: error: with.path: no such file or folder: /nowhere/at/all
    6 |   far: { uses: model.import, with: { path: /nowhere/at/all } }
      |                                            ^~~~~~~~~~~~~~~
  hint: it is looked for at /nowhere/at/all

5 errors
)");
}

TEST_F(FilesTest, LeavesDisabledStagesAndRunTimePathsAlone) {
  const Pipeline pipeline = Resolve(
      "stages:\n"
      "  off: { uses: model.import, if: false, with: { path: nowhere } }\n"
      "  make: { uses: exec, out: { m: file }, with: { run: x } }\n"
      "  late: { uses: model.import, with: { path: '${{ stages.make.outputs.m }}' } }\n");
  EXPECT_EQ(said, "");
  EXPECT_EQ(pipeline.stages[2].with["path"], "${{ stages.make.outputs.m }}");
  EXPECT_THAT(pipeline.stages[2].files, IsEmpty());
  EXPECT_EQ(KeyParams(pipeline.stages[2]), json({{"path", "${{ stages.make.outputs.m }}"}}));
}

TEST_F(FilesTest, SecretsFile) {
  const fs::path file = root / "secrets";
  std::ofstream(file) << "# comment\n\nTOKEN=a=b \r\n OTHER = x\n";
  ::chmod(file.c_str(), 0600);
  auto secrets = ReadSecretsFile(file);
  ASSERT_TRUE(secrets.ok());
  EXPECT_EQ((*secrets)["TOKEN"], "a=b ");
  EXPECT_EQ((*secrets)["OTHER"], " x");

  std::ofstream(file) << "hunter2\nA=1\n=x\n";
  EXPECT_EQ(ReadSecretsFile(file).error().message,
            file.string() + ":1: expected NAME=value\n" + file.string() + ":3: expected NAME=value");
  ::chmod(file.c_str(), 0644);
  EXPECT_EQ(ReadSecretsFile(file).error().ToString(),
            file.string() + ": a file of secrets must be readable by its owner alone\n  hint: chmod 600 " +
                file.string());
  EXPECT_EQ(ReadSecretsFile(root / "none").error().code, Code::kNotFound);
}

}  // namespace
}  // namespace genflow
