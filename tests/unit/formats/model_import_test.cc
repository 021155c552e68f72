#include <gtest/gtest.h>

#include <fstream>

#include "base/files.h"
#include "base/sha256.h"
#include "formats/model_source.h"
#include "host/stage_runner.h"
#include "testing/scratch.h"
#include "text/tokenizer.h"

namespace genflow {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

const std::string kFixtures = GENFLOW_SOURCE_DIR "/tests/parity/fixtures/formats/";

class Lines : public ReportSink {
 public:
  void Report(const json& line) override {
    if (line["t"] == "fail") failure += line["message"].get<std::string>();
    if (line["t"] == "summary") summary += line["text"].get<std::string>();
    if (line["t"] == "log" && line["level"] == "warning") warnings.push_back(line["text"]);
    if (line["t"] == "progress") done = line["done"], total = line["total"];
  }
  std::string failure, summary;
  std::vector<std::string> warnings;
  uint64_t done = 0, total = 0;
};

class ModelImport : public testing::Test {
 protected:
  int32_t Run(const std::string& path) {
    EXPECT_TRUE(RemoveTree(out_).ok());
    StageRequest request;
    request.plugin = MODEL_PLUGIN;
    request.stage = "model.import";
    request.params = {{"path", path}};
    request.outputs = {{"model", out_.string()}};
    request.state_dir = scratch_.path();
    request.scratch_dir = scratch_.path();
    request.threads = 1;
    lines_ = Lines();
    return RunStage(request, lines_);
  }
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(out_)) names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    return names;
  }
  const ScratchFolder scratch_;
  const fs::path out_ = scratch_ / "out";
  Lines lines_;
};

TEST_F(ModelImport, KeepsAGgufAsItCame) {
  ASSERT_EQ(Run(GENFLOW_SMOLLM2_GGUF), 0) << lines_.failure;
  const std::string name = fs::path(GENFLOW_SMOLLM2_GGUF).filename();
  EXPECT_EQ(Names(), std::vector<std::string>{name});
  EXPECT_EQ(Sha256File(out_ / name).value(), Sha256File(GENFLOW_SMOLLM2_GGUF).value());
  EXPECT_EQ(lines_.summary,
            "| | |\n|---|---|\n| architecture | LlamaForCausalLM |\n| parameters | 134.5 million |\n"
            "| weights | Q4_1, GGUF, 93.8 MiB |\n| context | 8,192 tokens |\n| tokenizer | 49,152 tokens, "
            "chat template |\n");
  EXPECT_EQ(lines_.done, fs::file_size(GENFLOW_SMOLLM2_GGUF));
  EXPECT_EQ(lines_.total, lines_.done);
  EXPECT_TRUE(formats::ModelSource::Open(out_).ok());
  EXPECT_TRUE(text::Tokenizer::FromModel(out_).ok());
}

TEST_F(ModelImport, TakesTheFilesOfAFolder) {
  ASSERT_EQ(Run(kFixtures + "tiny_qwen2"), 0) << lines_.failure;
  EXPECT_EQ(Names(),
            (std::vector<std::string>{"config.json", "generation_config.json",
                                      "model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors",
                                      "model-00003-of-00003.safetensors", "model.safetensors.index.json"}));
  ASSERT_EQ(lines_.warnings.size(), 1u);
  EXPECT_EQ(lines_.warnings[0], "the tokenizer cannot be used: " + out_.string() + ": has no tokenizer.json");
}

TEST_F(ModelImport, RefusesWhatDoesNotOpen) {
  const std::string path = scratch_ / "cut_model.gguf";
  fs::copy_file(kFixtures + "tiny_llama.gguf", path);
  fs::resize_file(path, 100000);
  EXPECT_EQ(Run(path), 1);
  EXPECT_TRUE(lines_.failure.starts_with(path + ": tensor '")) << lines_.failure;
  EXPECT_FALSE(fs::exists(out_));
  EXPECT_EQ(Run("/no/such/model"), 1);
  EXPECT_EQ(lines_.failure, "/no/such/model: no such file or folder");
}

}  // namespace
}  // namespace genflow
