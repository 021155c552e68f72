// A training through the command line: stopped and killed, then continued to the bytes of an uninterrupted
// one.
#include <gtest/gtest.h>

#include <csignal>
#include <nlohmann/json.hpp>
#include <string>

#include "cli/training_sandbox.h"
#include "formats/training_record.h"

namespace genflow {
namespace {

std::string UninterruptedDigest() {
  Sandbox box;
  PrepareTraining(box, TrainingPipeline(LongTraining()));
  const auto run = box.Genflow({"run"});
  EXPECT_EQ(run.code, 0) << run.err;
  return TrainedDigest(box);
}

void ExpectContinuesToTheSameBytes(const Sandbox& box) {
  const auto again = box.Genflow({"run"});
  ASSERT_EQ(again.code, 0) << again.err;
  const auto log = box.Genflow({"logs", "tune"});
  EXPECT_NE(log.out.find("continuing from the checkpoint of step "), std::string::npos) << log.out;
  const std::string digest = TrainedDigest(box);
  EXPECT_EQ(digest.size(), 64u);
  EXPECT_EQ(digest, UninterruptedDigest());
}

// Ctrl-C, and what a scheduler sends before it takes the machine away.
TEST(Training, AskedToStopAndTheSameCommandEndInTheSameBytes) {
  for (const int signal : {SIGINT, SIGTERM}) {
    SCOPED_TRACE(signal);
    Sandbox box;
    PrepareTraining(box, TrainingPipeline(LongTraining()));
    auto run = box.Start({"run"});
    ASSERT_TRUE(WaitForCheckpoint(box));
    run.Signal(signal);
    const auto stopped = run.Wait();
    ASSERT_EQ(stopped.code, 75) << stopped.err;
    EXPECT_NE(stopped.err.find("interrupted: the same command continues from here\n"), std::string::npos)
        << stopped.err;
    const auto log = box.Genflow({"logs", "tune"});
    EXPECT_NE(log.out.find("stopped after step "), std::string::npos) << log.out;
    ExpectContinuesToTheSameBytes(box);
  }
}

TEST(Training, KillAndTheSameCommandEndInTheSameBytes) {
  Sandbox box;
  PrepareTraining(box, TrainingPipeline(LongTraining()));
  auto run = box.Start({"run"});
  ASSERT_TRUE(WaitForCheckpoint(box));
  run.Signal(SIGKILL);
  EXPECT_EQ(run.Wait().code, 137);
  ExpectContinuesToTheSameBytes(box);
}

// A line of chats.jsonl.
std::string Chat(const std::string& user, const std::string& answer) {
  return nlohmann::json{
             {"messages",
              {{{"role", "user"}, {"content", user}}, {{"role", "assistant"}, {"content", answer}}}}}
             .dump() +
         "\n";
}

TEST(Training, RefusesWhatCannotTeach) {
  const std::string good = Chat("What is one?", "It is one.");
  const struct {
    const char* what;
    std::string chats, template_end, error;
  } cases[] = {
      {"every label masked", good + Chat("And two?", ""), "<|im_end|>",
       "error: tune: 1 of 2 examples have every label masked (first: 'chats.jsonl:2': every label is "
       "masked: "
       "the conversation's answers hold no text to learn)\n"
       "  hint: remove examples with empty answers\n"},
      {"no assistant tokens", good + R"({"messages": [{"role": "user", "content": "Anyone?"}]})" + "\n",
       "<|im_end|>",
       "error: tune: 1 of 2 examples have no assistant tokens (first: 'chats.jsonl:2': the "
       "conversation has no "
       "message of role 'assistant', so there is nothing to learn)\n"
       "  hint: training examples need at least one answer\n"},
      {"an end of turn that is never trained", good, "",
       "error: tune: 1 of 1 examples never train the end-of-turn token (first: 'chats.jsonl:1': no "
       "end-of-turn "
       "token closes message 2, so a model trained on it would never learn to stop)\n"
       "  hint: the chat template must end an answer with one of the tokenizer's special tokens, inside the "
       "{% generation %} block where it has one\n"},
      {"too long", good + Chat("And two?", std::string(300, 'x')), "<|im_end|>",
       "error: tune: 1 of 2 examples have more than max_length 256 tokens (first: 'chats.jsonl:2' "
       "with 329)\n"
       "  hint: raise max_length, or set on_too_long to truncate or drop, which are counted in the "
       "metrics\n"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.what);
    Sandbox box;
    PrepareTraining(box);
    box.Write("chats.jsonl", c.chats);
    std::string config = box.Read("model/tokenizer_config.json");
    const std::string end = "message['content'] + '<|im_end|>'";
    ASSERT_NE(config.find(end), std::string::npos) << config;
    config.replace(config.find(end), end.size(),
                   std::string("message['content'] + '") + c.template_end + "'");
    box.Write("model/tokenizer_config.json", config);
    const auto run = box.Genflow({"run"});
    EXPECT_EQ(run.code, 1);
    EXPECT_NE(run.err.find(c.error), std::string::npos) << run.err;
  }
}

TEST(Training, CountsWhatIsTooLong) {
  Sandbox box;
  PrepareTraining(box);
  std::string chats;
  for (int i = 0; i < 20; ++i) chats += Chat("What is one?", "It is one.");
  box.Write("chats.jsonl", chats + Chat("And two?", std::string(300, 'x')));
  std::string pipeline = box.Read("pipeline.yaml");
  pipeline.replace(pipeline.find("max_steps: 60"), 13, "max_steps: 1\n      on_too_long: drop");
  box.Write("pipeline.yaml", pipeline);
  const auto run = box.Genflow({"run"});
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_NE(run.err.find("tune: warning: 1 example dropped: more than max_length tokens\n"),
            std::string::npos)
      << run.err;
  const auto shown = box.Json({"runs", "show", "--json"});
  EXPECT_EQ(shown.at("metrics").at("tune").at("dropped"), 1) << shown.dump(1);
}

TEST(Training, SaysWhatIsWrongWithItsParametersBeforeAnythingRuns) {
  Sandbox box;
  PrepareTraining(box);
  std::string pipeline = box.Read("pipeline.yaml");
  pipeline.replace(pipeline.find("r: 4"), 4, "target_modules: [], r: 4");
  pipeline += "      lr_scheduler_type: constant\n      warmup_steps: 3\n";
  box.Write("pipeline.yaml", pipeline);
  const auto run = box.Genflow({"run"});
  EXPECT_EQ(run.code, 2);
  EXPECT_EQ(run.err,
            "pipeline.yaml:14:31: error: lora.target_modules is empty\n"
            "   14 |       lora: { target_modules: [], r: 4, dropout: 0.1 }\n"
            "      |                               ^\n"
            "  hint: use all-linear, or a list such as [q_proj, v_proj]\n"
            "\n"
            "pipeline.yaml:21:26: error: lr_scheduler_type constant has no warm-up\n"
            "   21 |       lr_scheduler_type: constant\n"
            "      |                          ^~~~~~~~\n"
            "  hint: use constant_with_warmup, or leave out warmup_steps and warmup_ratio\n"
            "\n"
            "2 errors\n");
  EXPECT_FALSE(box.Exists(".genflow"));
}

TEST(Training, TheAdapterSaysHowItWasTrained) {
  Sandbox box;
  PrepareTraining(box);
  const auto run = box.Genflow({"run"});
  ASSERT_EQ(run.code, 0) << run.err;
  ASSERT_EQ(box.Genflow({"artifacts", "export", "tune.adapter", "adapter"}).code, 0);
  EXPECT_EQ(box.Read("adapter/training_args.json"), R"({
  "assistant_only_loss": true,
  "bf16": false,
  "gradient_accumulation_steps": 1,
  "gradient_checkpointing": false,
  "learning_rate": 0.0002,
  "lr_scheduler_type": "cosine",
  "max_grad_norm": 1.0,
  "max_length": 256,
  "max_steps": 60,
  "num_train_epochs": 1.0,
  "optim": "adamw_torch_fused",
  "packing": true,
  "per_device_train_batch_size": 1,
  "seed": 42,
  "warmup_ratio": 0.0,
  "warmup_steps": 0,
  "weight_decay": 0.0
}
)");
  const auto record = formats::ReadTrainingRecord(box.dir() / "adapter");
  ASSERT_TRUE(record.ok()) << record.error().ToString();
  ASSERT_TRUE(record->state.has_value());
  EXPECT_EQ(record->state->global_step, 60);
  EXPECT_GT(record->state->epoch, 0);
  EXPECT_GT(record->state->num_labelled_tokens_seen, 0);
  EXPECT_GT(record->state->num_input_tokens_seen, record->state->num_labelled_tokens_seen);
  EXPECT_TRUE(record->state->loss && record->state->train_loss);
  EXPECT_LT(*record->state->loss, *record->state->train_loss);
  EXPECT_FALSE(record->state->eval_loss);
}

}  // namespace
}  // namespace genflow
