// kill -9 of a training at random updates and at every system call with which it writes a checkpoint: the run
// that follows ends in the bytes of one that nobody disturbs.
//   training_kills_test [--count N] [--seed S]    N kills at random updates
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <random>

#include "faults/asked.h"
#include "formats/safetensors.h"
#include "testing/scratch.h"
#include "unit/train/trainees.h"

namespace genflow {
namespace {

using nlohmann::json;
using testing_support::RunTrainees;
using testing_support::Trainee;

json Settings(const ScratchFolder& scratch, int steps) {
  return {{"steps", steps},
          {"dropout", 0.1},
          {"packing", true},
          {"checkpoint_steps", 3},
          {"state", (scratch.path() / "state").string()}};
}

std::string UndisturbedDigest(const ScratchFolder& scratch, json settings) {
  settings.erase("state");
  const auto whole = RunTrainees(scratch.path(), settings);
  EXPECT_TRUE(whole[0].status.Succeeded()) << whole[0].status.ToString();
  return whole[0].out.is_object() ? whole[0].out.at("digest").get<std::string>() : "";
}

// A checkpoint under its name is whole; the newest and the one before are kept, and one more until then.
void ExpectWholeCheckpoints(const ScratchFolder& scratch) {
  int count = 0;
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(scratch.path() / "state", none)) {
    if (entry.path().extension() != ".safetensors") continue;
    ++count;
    const auto file = formats::SafetensorsFile::Open(entry.path());
    EXPECT_TRUE(file.ok()) << file.error().ToString();
  }
  EXPECT_LE(count, 3);
}

// It ended by itself, found whole checkpoints alone, and made the same adapter.
void ExpectEndsIn(const std::string& digest, const Trainee& trainee) {
  ASSERT_TRUE(trainee.status.Succeeded()) << trainee.status.ToString();
  EXPECT_EQ(trainee.out.at("digest"), digest);
  EXPECT_FALSE(trainee.out.contains("warnings")) << trainee.out.at("warnings");
}

TEST(TrainingKills, AtRandomUpdates) {
  const ScratchFolder scratch;
  const int times = WasAsked().count.value_or(50);
  const unsigned seed = WasAsked().seed;
  const int steps = 7 * times + 10;
  const json settings = Settings(scratch, steps);
  const std::string digest = UndisturbedDigest(scratch, settings);
  std::mt19937 random(seed);
  int kills = 0, at = -1;
  for (; kills < times; ++kills) {
    // Checkpoints are three updates apart, so that an attempt begins at one of those before its last.
    at += std::uniform_int_distribution<int>(1, 7)(random);
    SCOPED_TRACE("killed after update " + std::to_string(at) + ", seed " + std::to_string(seed));
    const auto killed = RunTrainees(scratch.path(), settings, {{0, {{"kill_after_step", at}}}});
    ASSERT_EQ(killed[0].status.signal, SIGKILL) << killed[0].status.ToString();
    ExpectWholeCheckpoints(scratch);
    if (testing::Test::HasFailure()) return;
  }
  const auto last = RunTrainees(scratch.path(), settings);
  ExpectEndsIn(digest, last[0]);
  EXPECT_EQ(kills, times);
  EXPECT_GT(last[0].out.at("resumed_from"), times);
  std::printf("seed %u: %d kills in %d updates\n", seed, kills, steps);
}

std::map<std::string, std::string> Fault(const ScratchFolder& scratch, const std::string& call, int at) {
  return {{"LD_PRELOAD", FAULT_SHIM},
          {"FAULT_PATH", (scratch.path() / "state").string()},
          {"FAULT_CALL", call},
          {"FAULT_AT", std::to_string(at)}};
}

TEST(TrainingKills, AtEverySystemCallThatWritesACheckpoint) {
  int tried = 0;
  for (const std::string call : {"open", "write", "sync", "rename", "unlink"}) {
    // How many there are in a run with four checkpoints.
    const ScratchFolder counting;
    auto counted = Fault(counting, call, 0);
    counted["FAULT_COUNT"] = (counting.path() / "count").string();
    const json settings = Settings(counting, 13);
    const auto whole = RunTrainees(counting.path(), settings, {}, counted);
    ASSERT_TRUE(whole[0].status.Succeeded());
    const std::string digest = whole[0].out.at("digest");
    const int calls = std::atoi(ReadFile(counting.path() / "count")->c_str());
    ASSERT_GT(calls, 1) << call;
    for (int at = 1; at <= calls; at += std::max(1, calls / 4)) {
      SCOPED_TRACE(call + " " + std::to_string(at) + " of " + std::to_string(calls));
      const ScratchFolder scratch;
      auto fault = Fault(scratch, call, at);
      fault["FAULT_KILL"] = "1";
      const auto killed = RunTrainees(scratch.path(), Settings(scratch, 13), {}, fault);
      EXPECT_EQ(killed[0].status.signal, SIGKILL) << killed[0].status.ToString();
      ExpectWholeCheckpoints(scratch);
      ExpectEndsIn(digest, RunTrainees(scratch.path(), Settings(scratch, 13))[0]);
      ++tried;
    }
  }
  EXPECT_GE(tried, 15);
}

TEST(TrainingKills, AFullDiskEndsTheTrainingAndTheNextOneGoesOn) {
  const ScratchFolder scratch;
  const json settings = Settings(scratch, 13);
  const std::string digest = UndisturbedDigest(scratch, settings);
  for (const char* call : {"write", "sync", "rename"}) {
    auto fault = Fault(scratch, call, 3);
    fault["FAULT_ERRNO"] = std::to_string(ENOSPC);
    const auto full = RunTrainees(scratch.path(), settings, {}, fault);
    EXPECT_EQ(full[0].status.code, 1) << full[0].status.ToString();
    ExpectWholeCheckpoints(scratch);
  }
  ExpectEndsIn(digest, RunTrainees(scratch.path(), settings)[0]);
}

}  // namespace
}  // namespace genflow
