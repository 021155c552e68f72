// Objects and a database that somebody damaged: what a run makes of it, what fsck says and repairs.
//   damage_test [--count N] [--seed S]    N damaged databases
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>

#include "faults/asked.h"
#include "faults/storm.h"

namespace genflow {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr char kPipeline[] = R"(name: small
stages:
  source:
    uses: exec
    with: { run: 'seq 30 > "$GENFLOW_OUT_TEXT"' }
    out: { text: file }
  tree:
    uses: exec
    in: { text: source.text }
    with: { run: 'mkdir "$GENFLOW_OUT_PARTS"; cp "$GENFLOW_IN_TEXT" "$GENFLOW_OUT_PARTS/a"; echo b > "$GENFLOW_OUT_PARTS/b"' }
    out: { parts: file }
  last:
    uses: test.act
    in: { in: [source.text] }
    needs: [tree]
)";

enum class Harm { kFlip, kTruncate, kDelete };

class DamageTest : public testing::Test {
 protected:
  void SetUp() override {
    box_.Write("pipeline.yaml", kPipeline);
    const auto run = box_.Genflow({"run"});
    ASSERT_EQ(run.code, 0) << run.err;
    const auto state = LatestRun(box_);
    ASSERT_TRUE(state.has_value());
    before_ = *state;
  }

  fs::path Object(const std::string& digest) const {
    return box_.dir() / ".genflow/objects" / digest.substr(0, 2) / digest;
  }

  static void Hurt(const fs::path& file, Harm harm) {
    fs::permissions(file.parent_path(), fs::perms::owner_all);
    fs::permissions(file, fs::perms::owner_all);
    if (harm == Harm::kDelete) {
      fs::remove(file);
    } else if (harm == Harm::kTruncate) {
      fs::resize_file(file, fs::file_size(file) - 1);
    } else {
      std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
      const int byte = stream.get();
      stream.seekp(0);
      stream.put(static_cast<char>(byte ^ 1));
    }
  }

  json Fsck(const std::vector<std::string>& more, int code) const {
    std::vector<std::string> args = {"fsck", "--json"};
    args.insert(args.end(), more.begin(), more.end());
    const auto result = box_.Genflow(args);
    EXPECT_EQ(result.code, code) << result.out << result.err;
    const json report = json::parse(result.out, nullptr, false);
    EXPECT_TRUE(report.is_object()) << result.out << result.err;
    return report;
  }

  // The next run ends as the first did, with exactly these stages run again.
  void ExpectRunsAgain(const std::set<std::string>& stages) const {
    const auto run = box_.Genflow({"run"});
    EXPECT_EQ(run.code, 0) << run.err;
    const auto state = LatestRun(box_);
    ASSERT_TRUE(state.has_value());
    EXPECT_EQ(state->ran, stages);
    EXPECT_EQ(state->digests, before_.digests);
    EXPECT_EQ(FsckProblems(box_), "");
  }

  Sandbox box_;
  RunState before_;
};

const struct {
  Harm harm;
  const char *kind, *said;
} kHarms[] = {{Harm::kFlip, "damaged-object", "its content has changed"},
              {Harm::kTruncate, "damaged-object", "its size has changed"},
              {Harm::kDelete, "missing-object", "is missing"}};

TEST_F(DamageTest, AHitIsRefusedAndTheStageRunsAgain) {
  for (const auto& harm : kHarms) {
    SCOPED_TRACE(harm.kind + std::string(": ") + harm.said);
    const std::string digest = before_.digests.at("source.text");
    Hurt(Object(digest) / "data", harm.harm);
    const auto plan = box_.Genflow({"plan"});
    EXPECT_EQ(plan.code, 0) << plan.err;
    ExpectRunsAgain({"source"});
  }
}

TEST_F(DamageTest, FsckNamesTheObjectAndWhatDependsOnItAndRepairs) {
  for (const auto& harm : kHarms) {
    SCOPED_TRACE(harm.kind + std::string(": ") + harm.said);
    const std::string digest = before_.digests.at("source.text");
    Hurt(Object(digest) / "data", harm.harm);
    const json found = Fsck({}, 1);
    ASSERT_EQ(found.at("problems").size(), 1u) << found.dump(1);
    const json& problem = found.at("problems")[0];
    EXPECT_EQ(problem.at("kind"), harm.kind);
    EXPECT_EQ(problem.at("subject"), digest);
    EXPECT_NE(problem.at("detail").get<std::string>().find("source.text"), std::string::npos)
        << problem.dump();
    const auto names = problem.at("dependents").get<std::vector<std::string>>();
    for (const char* use : {":last.in", ":source.text", ":tree.text"})
      EXPECT_NE(std::find(names.begin(), names.end(), before_.id + use), names.end()) << use;
    const auto told = box_.Genflow({"fsck"});
    EXPECT_NE(
        told.out.find("  hint: `genflow fsck --repair` sets damaged objects aside; their stages run again\n"),
        std::string::npos)
        << told.out;
    const json repaired = Fsck({"--repair"}, 0);
    EXPECT_EQ(repaired.at("problems")[0].at("repaired"), true);
    EXPECT_EQ(FsckProblems(box_), "");
    ExpectRunsAgain({"source"});
  }
}

TEST_F(DamageTest, FilesOfAFolderCount) {
  const std::string digest = before_.digests.at("tree.parts");
  Hurt(Object(digest) / "data/b", Harm::kDelete);
  const json found = Fsck({}, 1);
  ASSERT_EQ(found.at("problems").size(), 1u);
  EXPECT_EQ(found.at("problems")[0].at("kind"), "damaged-object");
  EXPECT_EQ(found.at("problems")[0].at("subject"), digest);
  ExpectRunsAgain({"tree"});
}

TEST_F(DamageTest, RepairWritesSidecarsAnewRegistersObjectsAndRemovesLeftovers) {
  const std::string digest = before_.digests.at("source.text");
  Hurt(Object(digest) / "object.json", Harm::kFlip);
  fs::create_directories(box_.dir() / ".genflow/staging/key-1-abc/scratch");
  box_.Write(".genflow/objects/notes.txt", "of somebody");
  const json found = Fsck({"--fast"}, 1);
  std::set<std::string> kinds;
  for (const json& problem : found.at("problems")) kinds.insert(problem.at("kind").get<std::string>());
  EXPECT_TRUE(kinds.count("damaged-sidecar") == 1 && kinds.count("foreign-file") == 1) << found.dump(1);
  EXPECT_EQ(Fsck({"--repair"}, 1).at("clean"), false) << "what is not ours is left alone";
  fs::remove(box_.dir() / ".genflow/objects/notes.txt");
  EXPECT_TRUE(Fsck({}, 0).at("problems").empty());
  EXPECT_FALSE(box_.Exists(".genflow/staging/key-1-abc"));
}

// A database that somebody cut, overwrote or scrambled: it works, or says what to do, and that works.
TEST(DamagedDatabase, WorksOrSaysWhatToDo) {
  const int times = WasAsked().count.value_or(25);
  const unsigned seed = WasAsked().seed;
  std::mt19937 random(seed);
  const auto pick = [&random](size_t high) { return std::uniform_int_distribution<size_t>(0, high)(random); };
  std::map<std::string, int> ended;
  for (int round = 0; round < times; ++round) {
    SCOPED_TRACE("round " + std::to_string(round) + " of seed " + std::to_string(seed));
    Sandbox box;
    box.Write("pipeline.yaml", kPipeline);
    ASSERT_EQ(box.Genflow({"run"}).code, 0);
    const auto before = LatestRun(box);
    ASSERT_TRUE(before.has_value());
    const fs::path db = box.dir() / ".genflow/store.db";
    const size_t size = fs::file_size(db);
    ASSERT_GT(size, 8192u);
    if (round % 3 == 0) {
      fs::resize_file(db, pick(size - 1));
    } else {
      std::fstream stream(db, std::ios::in | std::ios::out | std::ios::binary);
      const size_t at = pick(size - 1), count = round % 3 == 1 ? 1 : std::min(size - at, pick(8192) + 1);
      stream.seekg(static_cast<std::streamoff>(at));
      std::string bytes(count, '\0');
      stream.read(bytes.data(), static_cast<std::streamsize>(count));
      for (char& byte : bytes) byte = static_cast<char>(byte ^ static_cast<char>(1 + pick(254)));
      stream.seekp(static_cast<std::streamoff>(at));
      stream.write(bytes.data(), static_cast<std::streamsize>(count));
    }
    const auto run = box.Genflow({"run"});
    EXPECT_TRUE(run.code == 0 || run.code == 1) << run.code << "\n" << run.err;
    if (run.code == 1) {
      const bool helps = run.err.find("`genflow fsck --rebuild`") != std::string::npos ||
                         run.err.find("`genflow fsck`") != std::string::npos;
      EXPECT_TRUE(helps) << run.err;
    }
    const bool sound = FsckProblems(box).empty();
    ++ended["run: exit code " + std::to_string(run.code) + ", then fsck: " + (sound ? "clean" : "damaged")];
    EXPECT_TRUE(run.code == 0 || !sound) << "fsck finds nothing, but the run failed: " << run.err;
    if (!sound) {
      const auto repaired = box.Genflow({"fsck", "--rebuild", "--repair"});
      EXPECT_EQ(repaired.code, 0) << repaired.out << repaired.err;
      EXPECT_EQ(FsckProblems(box), "");
    }
    const auto last = box.Genflow({"run"});
    EXPECT_EQ(last.code, 0) << last.err;
    const auto state = LatestRun(box);
    ASSERT_TRUE(state.has_value());
    EXPECT_EQ(state->digests, before->digests);
    EXPECT_EQ(FsckProblems(box), "");
  }
  std::printf("damaged databases, seed %u: %d\n", seed, times);
  for (const auto& [what, count] : ended) std::printf("  %s: %d\n", what.c_str(), count);
}

}  // namespace
}  // namespace genflow
