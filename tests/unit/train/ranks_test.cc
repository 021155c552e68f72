// Several processes train together.
#include <gtest/gtest.h>

#include <cmath>
#include <csignal>

#include "testing/scratch.h"
#include "unit/train/trainees.h"

namespace genflow {
namespace {

using nlohmann::json;
using testing_support::RunTrainees;
using testing_support::Trainee;

// All of them came to an end, with one adapter; what process 0 wrote.
json Trained(const std::vector<Trainee>& trainees) {
  for (const auto& trainee : trainees) {
    EXPECT_TRUE(trainee.status.Succeeded()) << trainee.status.ToString();
    EXPECT_TRUE(trainee.out.is_object());
    if (!trainee.out.is_object()) return {};
    EXPECT_FALSE(trainee.out.at("interrupted").get<bool>());
    EXPECT_EQ(trainee.out.at("digest"), trainees[0].out.at("digest"));
  }
  return trainees[0].out;
}

struct Difference {
  double max = 0, mean = 0;
};
Difference Between(const json& a, const json& b, const char* name) {
  const auto x = a.at(name).get<std::vector<double>>(), y = b.at(name).get<std::vector<double>>();
  EXPECT_EQ(x.size(), y.size());
  EXPECT_GT(x.size(), 0u);
  Difference out;
  for (size_t i = 0; i < x.size() && i < y.size(); ++i) {
    out.max = std::max(out.max, std::abs(x[i] - y[i]));
    out.mean += std::abs(x[i] - y[i]) / static_cast<double>(x.size());
  }
  return out;
}

// 19 examples of unequal length in windows of 6: the last of an epoch has one, so that some processes have
// nothing to do in it.
TEST(Ranks, AnyNumberOfThemGivesOneTrajectory) {
  const ScratchFolder scratch;
  for (const bool checkpointing : {false, true}) {
    for (const bool packing : {false, true}) {
      json settings = {{"checkpointing", checkpointing}, {"packing", packing}, {"eval_steps", 10}};
      const json alone = Trained(RunTrainees(scratch.path(), settings));
      ASSERT_TRUE(alone.is_object());
      EXPECT_EQ(alone.at("loss").size(), 50u);
      EXPECT_LT(alone.at("loss").back(), alone.at("loss").front());
      for (const int processes : {2, 3}) {
        SCOPED_TRACE(std::to_string(processes) + (packing ? " packed" : "") +
                     (checkpointing ? " checkpointing" : ""));
        settings["processes"] = processes;
        const json shared = Trained(RunTrainees(scratch.path(), settings));
        ASSERT_TRUE(shared.is_object());
        EXPECT_LE(Between(alone, shared, "loss").max, 1e-4);
        EXPECT_LE(Between(alone, shared, "loss").mean, 1e-5);
        EXPECT_LE(Between(alone, shared, "grad_norm").max, 1e-3);
        EXPECT_LE(Between(alone, shared, "grad_norm").mean, 1e-4);
        EXPECT_LE(Between(alone, shared, "eval_loss").max, 1e-4);
        EXPECT_EQ(shared.at("tokens"), alone.at("tokens"));
      }
    }
  }
}

TEST(Ranks, ARunRepeatsItselfHoweverItsGradientsAreCut) {
  const ScratchFolder scratch;
  for (const int processes : {2, 3}) {
    json settings = {{"processes", processes}, {"dropout", 0.1}};
    const json first = Trained(RunTrainees(scratch.path(), settings));
    EXPECT_EQ(Trained(RunTrainees(scratch.path(), settings)).at("digest"), first.at("digest"));
    settings["layers"] = {1};  // nothing to wait for in the layers below
    EXPECT_EQ(Trained(RunTrainees(scratch.path(), settings)).at("digest"),
              Trained(RunTrainees(scratch.path(), settings)).at("digest"));
  }
  // Of two numbers there is one sum.
  json settings = {{"processes", 2}, {"dropout", 0.1}};
  const json layer_by_layer = Trained(RunTrainees(scratch.path(), settings));
  settings["bucket_bytes"] = 1 << 30;
  EXPECT_EQ(Trained(RunTrainees(scratch.path(), settings)).at("digest"), layer_by_layer.at("digest"));
}

TEST(Ranks, OneThatIsToStopStopsAllAndTheyContinueToTheSameBytes) {
  const ScratchFolder scratch;
  json settings = {{"processes", 2}, {"dropout", 0.1}, {"eval_steps", 7}};
  const json whole = Trained(RunTrainees(scratch.path(), settings));
  int number = 0;
  for (const int stop : {0, 1, 5, 30, 31, 32}) {
    SCOPED_TRACE("stopped at poll " + std::to_string(stop));
    settings["state"] = (scratch.path() / ("state" + std::to_string(number++))).string();
    const auto stopped = RunTrainees(scratch.path(), settings, {{stop % 2, {{"stop_at_poll", stop}}}});
    for (const auto& trainee : stopped) {
      ASSERT_TRUE(trainee.out.is_object()) << trainee.status.ToString();
      EXPECT_TRUE(trainee.out.at("interrupted").get<bool>());
      EXPECT_EQ(trainee.out.at("steps"), stopped[0].out.at("steps"));
    }
    const json continued = Trained(RunTrainees(scratch.path(), settings));
    EXPECT_EQ(continued.at("resumed_from"), stopped[0].out.at("steps"));
    EXPECT_EQ(continued.at("digest"), whole.at("digest"));
  }
}

TEST(Ranks, OneThatIsKilledEndsTheOthersWhichLoseNothing) {
  const ScratchFolder scratch;
  for (const int processes : {2, 3}) {
    json settings = {{"processes", processes}};
    const json whole = Trained(RunTrainees(scratch.path(), settings));
    settings["state"] = (scratch.path() / ("state" + std::to_string(processes))).string();
    const auto left = RunTrainees(scratch.path(), settings, {{1, {{"kill_at_poll", 20}}}});
    EXPECT_EQ(left[1].status.signal, SIGKILL);
    ASSERT_TRUE(left[0].out.is_object()) << left[0].status.ToString();
    EXPECT_TRUE(left[0].out.at("interrupted").get<bool>());
    EXPECT_GT(left[0].out.at("steps"), 5);
    const std::string warning = left[0].out.at("warnings").at(0);
    EXPECT_TRUE(warning.starts_with("another process has ended, or does not answer: ")) << warning;
    const json continued = Trained(RunTrainees(scratch.path(), settings));
    EXPECT_EQ(continued.at("resumed_from"), left[0].out.at("steps")) << "no update is done twice";
    EXPECT_EQ(continued.at("digest"), whole.at("digest"));
  }
}

TEST(Ranks, OneThatHangsIsLostAfterTheTimeout) {
  const ScratchFolder scratch;
  json settings = {{"processes", 2}, {"timeout_ms", 1500}, {"state", (scratch.path() / "state").string()}};
  settings["kill_rest"] = true;
  const auto left = RunTrainees(scratch.path(), settings, {{1, {{"kill_at_poll", 9}, {"signal", SIGSTOP}}}});
  ASSERT_TRUE(left[0].out.is_object()) << left[0].status.ToString();
  EXPECT_TRUE(left[0].out.at("interrupted").get<bool>());
  EXPECT_GT(left[0].out.at("steps"), 2);
}

}  // namespace
}  // namespace genflow
