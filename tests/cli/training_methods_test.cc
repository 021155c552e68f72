// Every method of training through the command line: stopped, then continued to the bytes of an uninterrupted
// one; and what it says where a method does not fit.
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <string>

#include "cli/training_sandbox.h"
#include "formats/model_source.h"
#include "formats/model_writer.h"

namespace genflow {
namespace {

struct Method {
  const char* name;
  const char* lora = "{ r: 4, dropout: 0.1 }";  // "" for train.full
  const char* quantization = "none";
};

std::string Pipeline(const Method& method) {
  std::string text = TrainingPipeline(LongTraining());
  const auto replace = [&](const std::string& from, const std::string& to) {
    const size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    text.replace(at, from.size(), to);
  };
  if (*method.lora == '\0') {
    replace("train.lora", "train.full");
    replace("      lora: { r: 4, dropout: 0.1 }\n", "");
  } else {
    replace("{ r: 4, dropout: 0.1 }", method.lora);
    text += std::string("      quantization: ") + method.quantization + "\n";
  }
  if (std::string(method.quantization) == "gguf") replace("path: model", "path: model.gguf");
  return text;
}

void Prepare(const Sandbox& box, const Method& method) {
  PrepareTraining(box, Pipeline(method));
  if (std::string(method.quantization) != "gguf") return;
  const auto base = formats::ModelSource::Open(box.dir() / "model");
  ASSERT_TRUE(base.ok()) << base.error().ToString();
  const Status written = formats::WriteGgufModel(box.dir() / "model.gguf", formats::CopyOf(*base), {});
  ASSERT_TRUE(written.ok()) << written.error().ToString();
}

std::string Port(const Method& method) { return *method.lora == '\0' ? "model" : "adapter"; }

class TrainingMethods : public testing::TestWithParam<Method> {};

TEST_P(TrainingMethods, StoppedAndTheSameCommandEndInTheSameBytes) {
  const Method& method = GetParam();
  Sandbox box;
  Prepare(box, method);
  auto run = box.Start({"run"});
  ASSERT_TRUE(WaitForCheckpoint(box)) << box.Genflow({"logs", "tune"}).out;
  run.Signal(SIGTERM);
  const auto stopped = run.Wait();
  ASSERT_EQ(stopped.code, 75) << stopped.err;
  const auto again = box.Genflow({"run"});
  ASSERT_EQ(again.code, 0) << again.err;
  const auto log = box.Genflow({"logs", "tune"});
  EXPECT_NE(log.out.find("continuing from the checkpoint of step "), std::string::npos) << log.out;
  const std::string digest = TrainedDigest(box, Port(method));
  EXPECT_EQ(digest.size(), 64u);

  Sandbox other;
  Prepare(other, method);
  const auto whole = other.Genflow({"run"});
  ASSERT_EQ(whole.code, 0) << whole.err;
  EXPECT_EQ(TrainedDigest(other, Port(method)), digest);
}

INSTANTIATE_TEST_SUITE_P(
    Methods, TrainingMethods,
    testing::Values(Method{.name = "dora", .lora = "{ r: 4, dropout: 0.1, use_dora: true }"},
                    Method{.name = "pissa", .lora = "{ r: 4, init_lora_weights: pissa }"},
                    Method{.name = "gaussian", .lora = "{ r: 4, init_lora_weights: gaussian }"},
                    Method{.name = "modules_to_save", .lora = "{ r: 4, modules_to_save: [lm_head] }"},
                    Method{.name = "int8", .quantization = "int8"},
                    Method{.name = "nf4", .quantization = "nf4"},
                    Method{.name = "gguf", .quantization = "gguf"}, Method{.name = "full", .lora = ""}),
    [](const auto& info) { return std::string(info.param.name); });

// What is trained whole is a model that the next stage takes.
TEST(Training, FullGivesAModelThatIsEvaluated) {
  Sandbox box;
  Method method{.name = "full", .lora = ""};
  std::string pipeline = Pipeline(method);
  pipeline.replace(pipeline.find("max_steps: 800"), 14, "max_steps: 20");
  pipeline +=
      "  perplexity:\n"
      "    uses: eval.perplexity\n"
      "    in: { model: tune.model, dataset: chats.dataset }\n"
      "    with: { dtype: fp32, device: cpu }\n";
  PrepareTraining(box, pipeline);
  const auto run = box.Genflow({"run"});
  ASSERT_EQ(run.code, 0) << run.err;
  ASSERT_EQ(box.Genflow({"artifacts", "export", "tune.model", "trained"}).code, 0);
  for (const char* file : {"config.json", "model.safetensors", "tokenizer.json", "training_args.json"}) {
    EXPECT_TRUE(box.Exists(std::string("trained/") + file)) << file;
  }
  const auto log = box.Genflow({"logs", "tune"});
  EXPECT_NE(log.out.find(" trainable parameters, computed in fp32 on cpu\n"), std::string::npos) << log.out;
}

TEST(Training, SaysWhatDoesNotGoTogether) {
  const struct {
    const char* lora;
    const char* quantization;
    const char* error;
  } cases[] = {
      {"{ init_lora_weights: pissa }", "nf4",
       "error: lora.init_lora_weights pissa needs quantization none\n"
       "   14 |       lora: { init_lora_weights: pissa }\n"
       "      |                                  ^~~~~\n"
       "  hint: PiSSA changes the base, which a quantised one cannot take\n"},
      {"{ init_lora_weights: pissa, use_dora: true }", "none",
       "error: lora.init_lora_weights pissa does not go with lora.use_dora\n"},
      {"{ init_lora_weights: olora }", "none",
       "error: lora.init_lora_weights must be true, gaussian or pissa\n"},
  };
  for (const auto& c : cases) {
    Sandbox box;
    Prepare(box, {.name = "", .lora = c.lora, .quantization = c.quantization});
    const auto run = box.Genflow({"run"});
    EXPECT_EQ(run.code, 2);
    EXPECT_NE(run.err.find(c.error), std::string::npos) << run.err;
    EXPECT_FALSE(box.Exists(".genflow"));
  }
  Sandbox box;
  Prepare(box, {.name = "", .quantization = "gguf"});
  std::string pipeline = box.Read("pipeline.yaml");
  pipeline.replace(pipeline.find("path: model.gguf"), 16, "path: model");
  box.Write("pipeline.yaml", pipeline);
  const auto run = box.Genflow({"run"});
  EXPECT_EQ(run.code, 1);
  EXPECT_NE(run.err.find(" is no GGUF, whose quantisation could be kept\n"
                         "  hint: quantization int8 or nf4 quantises any model\n"),
            std::string::npos)
      << run.err;
}

}  // namespace
}  // namespace genflow
