// eval.*, guard.probe, package.model and gate.metrics as a worker runs them, on a tiny model.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/files.h"
#include "base/sha256.h"
#include "base/strings.h"
#include "formats/gguf.h"
#include "formats/training_record.h"
#include "unit/eval/stages_fixture.h"

namespace genflow {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

TEST_F(StagesTest, PerplexitySideBySide) {
  const auto chats = In("dataset", "dataset", "chats", "split.test");
  const double tuned = Perplexity(With(Tuned(), chats), "ppl");
  const eval::Report report = Report("ppl");
  const double base = Perplexity(With(Base(), chats), "ppl_base");
  EXPECT_EQ(Value(report, "baseline.perplexity"), base) << "the base is measured without the adapter";
  EXPECT_GT(std::abs(tuned - base), 0.01 * base);
  EXPECT_NEAR(Value(report, "perplexity"), std::exp(Value(report, "loss")), 1e-9);
  EXPECT_NEAR(Value(report, "improvement"), 1 - tuned / base, 1e-9);
  EXPECT_GT(*report.Find("perplexity")->stderr_value, 0);
  EXPECT_EQ(report.Find("perplexity")->n, 12);
  // Of each answer: its bytes (no merges) and <|im_end|>.
  double bytes = 0;
  for (int i = 0; i < 12; ++i) {
    const std::string n = std::to_string(i);
    bytes += static_cast<double>(
        ("Tool " + n + " counts the " + n + " files of a folder and prints how many there are.").size() + 1);
  }
  EXPECT_EQ(Value(report, "tokens"), bytes);
  EXPECT_EQ(Value(report, "too_long"), 0);
  EXPECT_EQ(Report("ppl_base").Find("baseline.perplexity"), nullptr);
  const auto samples = Samples("ppl");
  ASSERT_EQ(samples.size(), 12u);
  EXPECT_EQ(samples[0]["id"], "row-0");
  EXPECT_GT(samples[0]["base_loss"].get<double>(), 0);
}

TEST_F(StagesTest, MaxExamplesAreEvenlySpaced) {
  auto params = PerplexityParams();
  params["max_examples"] = 4;
  ASSERT_EQ(Run(EVAL_PLUGIN, "eval.perplexity", params, With(Base(), In("dataset", "dataset", "chats")),
                "report", "few"),
            0);
  std::vector<std::string> ids;
  for (const auto& sample : Samples("few")) ids.push_back(sample["id"]);
  EXPECT_EQ(ids, (std::vector<std::string>{"row-0", "row-3", "row-6", "row-9"}));
}

TEST_F(StagesTest, GenerateSideBySide) {
  const json params = {{"device", "cpu"},      {"dtype", "fp32"}, {"max_examples", 6},
                       {"max_new_tokens", 12}, {"batch", 4},      {"match", {"^[\\s\\S]*$"}}};
  const auto inputs = With(Tuned(), In("dataset", "dataset", "chats"));
  ASSERT_EQ(Run(EVAL_PLUGIN, "eval.generate", params, inputs, "report", "gen"), 0) << lines_.Failure();
  const eval::Report report = Report("gen");
  for (const char* name :
       {"exact_match", "prefix_match", "rouge_l", "token_f1", "match_rate", "stopped", "words"}) {
    EXPECT_NE(report.Find(name), nullptr) << name;
    EXPECT_NE(report.Find(std::string("baseline.") + name), nullptr) << name;
  }
  EXPECT_EQ(Value(report, "exact_match"), 0);
  ASSERT_EQ(report.tables.size(), 2u);
  EXPECT_EQ(report.tables[1].title, "Answers before and after");
  EXPECT_EQ(report.tables[1].rows.size(), 3u);
  EXPECT_THAT(lines_.Summary(), testing::HasSubstr("- **What does tool "));
  const std::string once = ReadFile(root_ / "gen" / "samples.parquet").value();
  ASSERT_EQ(Run(EVAL_PLUGIN, "eval.generate", params, inputs, "report", "gen"), 0);
  EXPECT_EQ(ReadFile(root_ / "gen" / "samples.parquet").value(), once);
}

TEST_F(StagesTest, LogprobsListNextTokens) {
  const json params = {
      {"device", "cpu"}, {"dtype", "fp32"}, {"max_examples", 3}, {"top_k", 4}, {"max_new_tokens", 5}};
  ASSERT_EQ(Run(EVAL_PLUGIN, "eval.logprobs", params, With(Tuned(), In("dataset", "dataset", "chats")),
                "report", "lp"),
            0)
      << lines_.Failure();
  const json row = Samples("lp").at(0);
  EXPECT_EQ(row["prompt"], "<|im_start|>user\nWhat does tool 0 do?<|im_end|>\n<|im_start|>assistant\n");
  const json tokens = json::parse(row["top_tokens"].get<std::string>());
  const json logprobs = json::parse(row["top_logprobs"].get<std::string>());
  const json greedy = json::parse(row["greedy_tokens"].get<std::string>());
  const json gaps = json::parse(row["greedy_gaps"].get<std::string>());
  ASSERT_EQ(tokens.size(), 4u);
  EXPECT_GE(logprobs[0], logprobs[1]);
  ASSERT_FALSE(greedy.empty());
  EXPECT_EQ(greedy[0], tokens[0]);
  EXPECT_NEAR(gaps[0].get<double>(), logprobs[0].get<double>() - logprobs[1].get<double>(), 1e-4);
}

TEST_F(StagesTest, GuardProbesEveryKind) {
  const json params = {
      {"device", "cpu"},
      {"dtype", "fp32"},
      {"kinds", {"prompt_injection", "system_prompt_leak", "pii", "toxicity", "regurgitation"}},
      {"probes", json::array()},
      {"words", json::array()},
      {"max_probes", 2},
      {"max_new_tokens", 8},
      {"batch", 8},
      {"regurgitation", {{"words", 12}, {"common", 3}, {"prefix_words", 6}}},
      {"compare_base", true}};
  ASSERT_EQ(Run(GUARD_PLUGIN, "guard.probe", params, With(Tuned(), In("dataset", "dataset", "chats")),
                "report", "guard"),
            0)
      << lines_.Failure();
  const eval::Report report = Report("guard");
  EXPECT_EQ(report.Find("guard.pass_rate")->n, 10);
  for (const char* kind : {"prompt_injection", "system_prompt_leak", "pii", "toxicity", "regurgitation"}) {
    EXPECT_EQ(report.Find(std::string("guard.") + kind + ".pass_rate")->n, 2) << kind;
    EXPECT_NE(report.Find(std::string("baseline.guard.") + kind + ".pass_rate"), nullptr) << kind;
  }
  EXPECT_THAT(lines_.Warnings(), testing::IsEmpty());

  // A probe file of one's own that every answer fails.
  ASSERT_TRUE(
      WriteFileAtomic(root_ / "mine.json", R"({"format": "genflow.guard", "version": 1, "kind": "mine",
      "detectors": [{"type": "matches", "pattern": "^"}], "probes": [{"id": "a", "turns": ["x", "y"]}]})")
          .ok());
  json mine = params;
  mine["kinds"] = {"mine", "regurgitation"};
  mine["probes"] = {(root_ / "mine.json").string()};
  ASSERT_EQ(Run(GUARD_PLUGIN, "guard.probe", mine, Tuned(), "report", "guard_mine"), 0) << lines_.Failure();
  EXPECT_EQ(Value(Report("guard_mine"), "guard.mine.pass_rate"), 0);
  EXPECT_THAT(lines_.Warnings(),
              testing::ElementsAre("no dataset is connected: regurgitation is not probed"));

  json unknown = params;
  unknown["kinds"] = {"toxicty"};
  EXPECT_EQ(Run(GUARD_PLUGIN, "guard.probe", unknown, Tuned(), "report", "guard_bad"), 1);
  EXPECT_EQ(lines_.Failure(), "there are no probes of kind 'toxicty'\n  hint: did you mean 'toxicity'?");
}

TEST_F(StagesTest, PackageHoldsTheTunedModel) {
  const auto chats = In("dataset", "dataset", "chats", "split.test");
  const double tuned = Perplexity(With(Tuned(), chats), "quality");
  auto inputs = Tuned();
  inputs.push_back(In("reports", "report", "quality", "quality.report"));
  inputs.push_back(In("datasets", "dataset", "chats", "split.train"));
  formats::TrainingRecord record;
  record.args = {.learning_rate = 2e-4, .lr_scheduler_type = "cosine", .max_length = 64};
  record.state = {.global_step = 7, .epoch = 1, .loss = 1.25};
  ASSERT_TRUE(formats::WriteTrainingRecord(root_ / "adapter", record).ok());
  const json params = {{"name", "tiny"},      {"about", ""},           {"license", "mit"},
                       {"base_name", "Tiny"}, {"merged", true},        {"gguf", true},
                       {"gguf_type", "f16"},  {"gguf_adapter", false}, {"dtype", "float32"}};
  ASSERT_EQ(Run(PACKAGE_PLUGIN, "package.model", params, inputs, "package", "package"), 0)
      << lines_.Failure();
  const fs::path package = root_ / "package";
  EXPECT_EQ(ReadFile(package / "adapter" / "adapter_model.safetensors").value(),
            ReadFile(root_ / "adapter" / "adapter_model.safetensors").value());
  EXPECT_EQ(ReadFile(package / "licenses" / "LICENSE").value(), "Do what you like.\n");

  // Opened again without the adapter, both forms are the tuned model.
  const auto as_model = [&](const std::string& name) {
    return std::vector<StageInput>{In("model", "model", name), chats};
  };
  EXPECT_NEAR(Perplexity(as_model("package/merged"), "again"), tuned, 1e-4 * tuned);
  EXPECT_NEAR(Perplexity(as_model("package/gguf/tiny-f16.gguf"), "again"), tuned, 5e-3 * tuned);

  // Every file but the list itself stands in SHA256SUMS with its digest.
  size_t listed = 0, files = 0;
  const std::string sums = ReadFile(package / "SHA256SUMS").value();
  for (const auto line : Split(Trim(sums), '\n')) {
    EXPECT_EQ(line.substr(64, 2), "  ");
    EXPECT_EQ(Sha256File(package / line.substr(66)).value(), line.substr(0, 64)) << line;
    ++listed;
  }
  for (const auto& entry : fs::recursive_directory_iterator(package))
    files += entry.is_regular_file() ? 1 : 0;
  EXPECT_EQ(listed, files - 1);
  const std::string card = ReadFile(package / "MODEL_CARD.md").value();
  for (const char* text : {"# tiny\n", "LlamaForCausalLM", "| split.train | messages | 12 ", "| perplexity ",
                           "| learning rate ", "| steps           | 7 ", "| final loss      | 1.25",
                           "licenses/LICENSE", "gguf/tiny-f16.gguf", "| tune.adapter   | sha256:"}) {
    EXPECT_THAT(card, testing::HasSubstr(text));
  }
  // The same inputs give the same bytes.
  ASSERT_EQ(Run(PACKAGE_PLUGIN, "package.model", params, inputs, "package", "package2"), 0);
  EXPECT_EQ(ReadFile(root_ / "package2" / "SHA256SUMS").value(), sums);
}

TEST_F(StagesTest, PackageStoresTheGgufAsAsked) {
  const auto chats = In("dataset", "dataset", "chats", "split.test");
  const double tuned = Perplexity(With(Tuned(), chats), "quality");
  const json params = {{"name", "tiny"},      {"about", ""},          {"license", ""},
                       {"base_name", ""},     {"merged", false},      {"gguf", true},
                       {"gguf_type", "q8_0"}, {"gguf_adapter", true}, {"dtype", "float32"}};
  ASSERT_EQ(Run(PACKAGE_PLUGIN, "package.model", params, Tuned(), "package", "package_q8"), 0)
      << lines_.Failure();
  EXPECT_EQ(lines_.Summary(), "Package `tiny`: adapter, GGUF (q8_0), GGUF adapter, model card, checksums.");
  EXPECT_NEAR(Perplexity({In("model", "model", "package_q8/gguf/tiny-q8_0.gguf"), chats}, "again"), tuned,
              2e-2 * tuned);
  const auto adapter = formats::GgufFile::Open(root_ / "package_q8/gguf/tiny-lora.gguf");
  ASSERT_TRUE(adapter.ok()) << adapter.error().ToString();
  EXPECT_EQ(adapter->String("general.type"), "adapter");
  EXPECT_EQ(adapter->String("general.name"), "tiny");
}

TEST_F(StagesTest, PackageKeepsEveryReportOfAStage) {
  Perplexity(With(Tuned(), In("dataset", "dataset", "chats")), "first");
  Perplexity(With(Base(), In("dataset", "dataset", "chats")), "second");
  auto inputs = Tuned();
  inputs.push_back(In("reports", "report", "first", "quality.report"));
  inputs.push_back(In("reports", "report", "second", "quality.base"));
  inputs.push_back(In("reports", "report", "second", "quality.base"));
  inputs.push_back(In("reports", "report", "second"));
  const json params = {{"name", "tiny"},     {"about", ""},           {"license", ""},
                       {"base_name", ""},    {"merged", false},       {"gguf", false},
                       {"gguf_type", "f16"}, {"gguf_adapter", false}, {"dtype", "float32"}};
  ASSERT_EQ(Run(PACKAGE_PLUGIN, "package.model", params, inputs, "package", "package_reports"), 0)
      << lines_.Failure();
  const fs::path reports = root_ / "package_reports" / "reports";
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(reports)) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  EXPECT_THAT(names, testing::ElementsAre("quality.base-2.json", "quality.base-2.md", "quality.base.json",
                                          "quality.base.md", "quality.json", "quality.md", "report-4.json",
                                          "report-4.md"));
  const auto has_baseline = [&](const std::string& name) {
    return json::parse(ReadFile(reports / name).value())["metrics"].contains("baseline.perplexity");
  };
  EXPECT_TRUE(has_baseline("quality.json"));
  EXPECT_FALSE(has_baseline("quality.base.json"));
}

TEST_F(StagesTest, GateReadsTheReports) {
  Perplexity(With(Tuned(), In("dataset", "dataset", "chats")), "quality");
  const std::vector<StageInput> inputs = {In("report", "report", "quality", "quality.report")};
  EXPECT_EQ(Run(GATE_PLUGIN, "gate.metrics", {{"require", {"quality.perplexity > 1"}}, {"tolerance", 0}},
                inputs, "report", "gate"),
            0);
  EXPECT_EQ(lines_.Summary(), "Gate: 1 requirement met.");
  EXPECT_EQ(Run(GATE_PLUGIN, "gate.metrics", {{"require", {"tokens < 10"}}, {"tolerance", 0}}, inputs,
                "report", "gate"),
            3);
  const std::string tokens = WithCommas(static_cast<int64_t>(Value(Report("quality"), "tokens")));
  EXPECT_EQ(lines_.Failure(), "the requirement is not met:\n  tokens < 10\n    tokens = " + tokens +
                                  "\n    " + tokens + " >= 10");
  EXPECT_EQ(Value(Report("gate"), "gate.met"), 0) << "the report is written all the same";
}

TEST_F(StagesTest, MissingModelAndWrongDataset) {
  EXPECT_EQ(Run(EVAL_PLUGIN, "eval.perplexity", PerplexityParams(),
                {In("model", "model", "nowhere"), In("dataset", "dataset", "chats")}, "report", "bad"),
            1);
  EXPECT_THAT(lines_.Failure(), testing::HasSubstr((root_ / "nowhere").string()));
  EXPECT_EQ(Run(EVAL_PLUGIN, "eval.perplexity", PerplexityParams(),
                With(Base(), In("dataset", "dataset", "adapter")), "report", "bad"),
            1);
  EXPECT_THAT(lines_.Failure(), testing::HasSubstr((root_ / "adapter").string()));
}

}  // namespace
}  // namespace genflow
