#include <gtest/gtest.h>

#include "base/files.h"
#include "base/manifest.h"
#include "base/sha256.h"
#include "host/catalog.h"
#include "host/plugin_file.h"
#include "host/stage_runner.h"
#include "testing/scratch.h"

namespace genflow {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

class Recorder : public ReportSink {
 public:
  void Report(const json& line) override { lines.push_back(line); }
  std::vector<json> Of(const std::string& type) const {
    std::vector<json> out;
    for (const auto& line : lines) {
      if (line.at("t") == type) out.push_back(line);
    }
    return out;
  }
  std::vector<json> lines;
};

StageRequest UpperRequest(const fs::path& folder, const std::string& mode) {
  EXPECT_TRUE(WriteFileAtomic(folder / "in.txt", "hello ").ok());
  StageRequest r;
  r.plugin = SAMPLE_PLUGIN;
  r.stage = "sample.upper";
  r.params = {{"suffix", "?"}, {"nested", {{"times", 3}}}, {"mode", mode}, {"mood", "fine"}};
  r.inputs = {{"text", "file", (folder / "in.txt").string(), "sha256:00", "a.text"}};
  r.outputs = {{"text", (folder / "out.txt").string()}};
  return r;
}

TEST(Plugin, DescriptionCarriesEverythingDeclared) {
  auto plugin = DescribePlugin(SAMPLE_PLUGIN);
  ASSERT_TRUE(plugin.ok()) << plugin.error().ToString();
  EXPECT_EQ(plugin->name, "sample");
  EXPECT_EQ(plugin->digest, *Sha256File(SAMPLE_PLUGIN));
  ASSERT_EQ(plugin->stages.size(), 1u);
  const StageInfo& stage = plugin->stages[0];
  EXPECT_EQ(stage.version, "1.2.0");
  EXPECT_EQ(stage.doc, "Long text.");
  ASSERT_EQ(stage.params.size(), 14u);
  const ParamInfo* times = stage.FindParam("nested.times");
  ASSERT_NE(times, nullptr);
  EXPECT_EQ(times->type, ParamType::kInt);
  EXPECT_EQ(*times->default_value, 1);
  EXPECT_EQ(*times->max, 10);
  EXPECT_EQ(stage.FindParam("nested.rate")->default_value->dump(), "0.1");
  EXPECT_EQ(stage.FindParam("mode")->choices.size(), 6u);
  EXPECT_TRUE(stage.FindParam("mood")->required);
  EXPECT_FALSE(stage.FindParam("seed")->default_value.has_value());
  EXPECT_TRUE(stage.FindParam("token")->secret);
  EXPECT_TRUE(stage.FindParam("patience")->is_volatile);
  EXPECT_TRUE(stage.FindInput("more")->many);
  EXPECT_EQ(stage.FindOutput("text")->type, "file");
}

TEST(Plugin, ManifestRoundTripsAndRefusesDamage) {
  auto plugin = DescribePlugin(SAMPLE_PLUGIN);
  ASSERT_TRUE(plugin.ok());
  const std::string text = ManifestToJson(*plugin);
  auto again = ManifestFromJson(text, plugin->file);
  ASSERT_TRUE(again.ok()) << again.error().ToString();
  EXPECT_EQ(ManifestToJson(*again), text);
  for (const size_t cut : {size_t{0}, text.size() / 3, text.size() - 3}) {
    auto damaged = ManifestFromJson(text.substr(0, cut), "/p/x.so");
    ASSERT_FALSE(damaged.ok());
    EXPECT_EQ(damaged.error().code, Code::kCorrupt);
    EXPECT_EQ(damaged.error().hint, "write it again with `genflow plugin describe /p/x.so`");
  }
}

TEST(Plugin, RefusesWhatIsNotAPluginOfThisAbi) {
  auto ordinary = DescribePlugin(NOT_A_PLUGIN);
  ASSERT_FALSE(ordinary.ok());
  EXPECT_EQ(ordinary.error().message,
            std::string(NOT_A_PLUGIN) + " is not a genflow plugin: it exports no genflow_plugin_init");
  const std::pair<const char*, const char*> odd[] = {
      {"major", "plugin FILE has ABI 2.1, this genflow has 1.1"},
      {"minor", "plugin FILE has ABI 1.2, this genflow has 1.1"},
      {"short", "plugin FILE: a gf_stage is smaller than ABI 1.0 has it"},
      {"nameless", "FILE: a stage has no name"},
      {"no_run", "FILE: stage odd.stage has no run()"},
      {"throws", "plugin FILE could not describe its stages"},
  };
  for (const auto& [what, message] : odd) {
    const std::string file = std::string(ODD_PLUGINS) + "/odd_" + what + ".so";
    const auto plugin = DescribePlugin(file);
    ASSERT_FALSE(plugin.ok()) << what;
    std::string expected = message;
    expected.replace(expected.find("FILE"), 4, file);
    EXPECT_EQ(plugin.error().message, expected);
  }
  EXPECT_FALSE(DescribePlugin("/no/such/plugin.so").ok());
}

TEST(Catalog, ReadsManifestsAndNamesPluginsWithoutOne) {
  const ScratchFolder scratch;
  const fs::path folder = scratch.path();
  fs::copy_file(SAMPLE_PLUGIN, folder / "sample.so");
  fs::copy_file(SAMPLE_PLUGIN, folder / "bare.so");
  ASSERT_TRUE(
      WriteFileAtomic(folder / "sample.json", ManifestToJson(*DescribePlugin(folder / "sample.so"))).ok());
  const auto loaded = LoadCatalog({folder, folder / "absent"});
  ASSERT_NE(loaded.catalog.Find("sample.upper"), nullptr);
  EXPECT_EQ(loaded.catalog.Find("sample.upper")->plugin_file, folder / "sample.so");
  EXPECT_EQ(loaded.catalog.Find("sample.lower"), nullptr);
  ASSERT_EQ(loaded.problems.size(), 1u);
  EXPECT_EQ(loaded.problems[0].message, "plugin " + (folder / "bare.so").string() + " has no manifest");
}

TEST(Stage, RunsAndReports) {
  const ScratchFolder scratch;
  const fs::path folder = scratch.path();
  Recorder recorder;
  EXPECT_EQ(RunStage(UpperRequest(folder, "copy"), recorder), GF_OK);
  EXPECT_EQ(*ReadFile(folder / "out.txt"), "HELLO ?3fine-1");
  EXPECT_EQ(recorder.Of("metric").size(), 4u);
  EXPECT_EQ(recorder.Of("progress").back()["unit"], "lines");
  EXPECT_EQ(recorder.Of("summary")[0]["text"], "# ok");
  EXPECT_EQ(recorder.lines.back(), json({{"t", "done"}, {"outcome", 0}}));
}

TEST(Stage, TakesTheDefaultOfWhatIsNotGiven) {
  const ScratchFolder scratch;
  Recorder recorder;
  StageRequest request = UpperRequest(scratch.path(), "copy");
  request.params = {{"mood", "fine"}};
  EXPECT_EQ(RunStage(request, recorder), GF_OK);
  EXPECT_EQ(*ReadFile(scratch / "out.txt"), "HELLO !1fine-1");
  request.params = {{"suffix", "?"}};
  EXPECT_EQ(RunStage(request, recorder), GF_FAILED);
  EXPECT_EQ(recorder.Of("fail").back()["message"], "parameter mood is missing");
}

TEST(Stage, OutcomesAndReasonsArrive) {
  const ScratchFolder scratch;
  const fs::path folder = scratch.path();
  const struct {
    const char* mode;
    int outcome;
    const char *code, *message, *hint;
  } kCases[] = {
      {"fail", GF_FAILED, "io", "the disk said no", "buy another"},
      {"throw", GF_FAILED, "invalid", "thrown", "catch it"},
      {"gate", GF_GATE, "invalid", "too small", ""},
      {"silent", GF_FAILED, "internal", "stage sample.upper failed without saying why", ""},
  };
  for (const auto& c : kCases) {
    Recorder recorder;
    EXPECT_EQ(RunStage(UpperRequest(folder, c.mode), recorder), c.outcome) << c.mode;
    ASSERT_EQ(recorder.Of("fail").size(), 1u) << c.mode;
    EXPECT_EQ(recorder.Of("fail")[0],
              json({{"t", "fail"}, {"code", c.code}, {"message", c.message}, {"hint", c.hint}}));
  }
  Recorder recorder;
  EXPECT_EQ(RunStage(UpperRequest(folder, "interrupt"), recorder), GF_INTERRUPTED);
}

TEST(Stage, IsCheckedBeforeItRuns) {
  const ScratchFolder scratch;
  StageRequest request = UpperRequest(scratch.path(), "copy");
  request.params["limit"] = 13;
  Recorder recorder;
  EXPECT_EQ(RunStage(request, recorder), GF_FAILED);
  EXPECT_EQ(recorder.Of("fail")[0],
            json({{"t", "fail"}, {"code", "invalid"}, {"message", "limit must not be 13"}, {"hint", ""}}));
  EXPECT_FALSE(fs::exists(scratch / "out.txt"));
}

TEST(Stage, RefusesAPluginOtherThanTheManifests) {
  const ScratchFolder scratch;
  const fs::path folder = scratch.path();
  StageRequest request = UpperRequest(folder, "copy");
  request.plugin_digest = std::string(64, '0');
  Recorder recorder;
  EXPECT_EQ(RunStage(request, recorder), GF_FAILED);
  EXPECT_EQ(recorder.Of("fail")[0]["message"],
            std::string("plugin ") + SAMPLE_PLUGIN + " is not the file its manifest describes");
}

TEST(Stage, RequestRoundTrips) {
  const ScratchFolder scratch;
  StageRequest request = UpperRequest(scratch.path(), "copy");
  request.threads = 3;
  request.info = {{"run_id", "r"}};
  auto again = RequestFromJson(RequestToJson(request).dump());
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(RequestToJson(*again), RequestToJson(request));
  EXPECT_FALSE(RequestFromJson("{\"plugin\":1}").ok());
}

}  // namespace
}  // namespace genflow
