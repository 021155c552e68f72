// `genflow run` on a file system that fails: at any system call of the engine, read-only, without hard links,
// without inodes, and under a clock that jumps back.
//   injected_test [--count N] [--seed S]    N injected faults
#include <gtest/gtest.h>
#include <sys/mount.h>

#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <random>

#include "faults/asked.h"
#include "faults/storm.h"

namespace genflow {
namespace {

constexpr char kPipeline[] = R"(name: small
stages:
  source:
    uses: exec
    with: { run: 'seq 30 > "$GENFLOW_OUT_TEXT"' }
    out: { text: file }
  tree:
    uses: exec
    in: { text: source.text }
    with: { run: 'mkdir -p "$GENFLOW_OUT_PARTS/a"; cp "$GENFLOW_IN_TEXT" "$GENFLOW_OUT_PARTS/a/b"; ln "$GENFLOW_IN_TEXT" "$GENFLOW_OUT_PARTS/c" || cp "$GENFLOW_IN_TEXT" "$GENFLOW_OUT_PARTS/c"' }
    out: { parts: file }
  count:
    uses: test.count
    in: { after: source.text }
    with: { steps: 3 }
  last:
    uses: test.act
    in: { in: [count.steps] }
    needs: [tree]
)";

Digests CalmDigests() {
  Sandbox box;
  box.Write("pipeline.yaml", kPipeline);
  EXPECT_EQ(box.Genflow({"run"}).code, 0);
  const auto state = LatestRun(box);
  return state ? state->digests : Digests();
}

void ClearFaults(Sandbox* box) {
  for (const char* name : {"LD_PRELOAD", "FAULT_CALL", "FAULT_READONLY", "FAULT_CLOCK_AT", "FAULT_LASTING"})
    box->SetEnv(name, "");
}

void SetFaults(Sandbox* box, const std::map<std::string, std::string>& settings) {
  box->SetEnv("LD_PRELOAD", FAULT_SHIM);
  box->SetEnv("FAULT_PATH", (box->dir() / ".genflow").string());
  box->SetEnv("FAULT_PROGRAM", "run");
  for (const auto& [name, value] : settings) box->SetEnv(name, value);
}

// After the disturbance: a run without it ends in the right bytes, in a store that is whole.
void ExpectRecovers(Sandbox* box, const Digests& calm) {
  ClearFaults(box);
  const auto run = box->Genflow({"run"});
  EXPECT_EQ(run.code, 0) << run.err;
  const auto state = LatestRun(*box);
  ASSERT_TRUE(state.has_value());
  EXPECT_EQ(state->status, "ok");
  EXPECT_EQ(state->digests, calm);
  EXPECT_EQ(FsckProblems(*box), "");
}

// The calls of an undisturbed run that the shim would count.
int CallsOf(const std::string& call) {
  Sandbox box;
  box.Write("pipeline.yaml", kPipeline);
  SetFaults(&box, {{"FAULT_CALL", call}, {"FAULT_AT", "0"}, {"FAULT_COUNT", (box.dir() / "count").string()}});
  EXPECT_EQ(box.Genflow({"run"}).code, 0);
  return std::atoi(box.Read("count").c_str());
}

struct Kind {
  const char* call;
  std::vector<int> errors;
};

const Kind kKinds[] = {{"write", {ENOSPC, EIO, EDQUOT}},  {"sync", {EIO, ENOSPC, EDQUOT}},
                       {"rename", {EIO, ENOSPC, EDQUOT}}, {"open", {EMFILE, ENOSPC, EIO, EDQUOT}},
                       {"mkdir", {ENOSPC, EDQUOT, EIO}},  {"read", {EIO}}};

TEST(InjectedFaults, AreToldInOneLineAndRecoveredFrom) {
  const int times = WasAsked().count.value_or(60);
  const unsigned seed = WasAsked().seed;
  const Digests calm = CalmDigests();
  std::map<std::string, int> calls;
  for (const Kind& kind : kKinds) {
    calls[kind.call] = CallsOf(kind.call);
    EXPECT_GT(calls[kind.call], 1) << kind.call;
  }
  std::mt19937 random(seed);
  const auto pick = [&random](int low, int high) {
    return std::uniform_int_distribution<int>(low, high)(random);
  };
  std::map<std::string, int> ended;
  for (int i = 0; i < times; ++i) {
    const Kind& kind = kKinds[static_cast<size_t>(i) % std::size(kKinds)];
    const int error = kind.errors[static_cast<size_t>(pick(0, static_cast<int>(kind.errors.size()) - 1))];
    const int at = pick(1, calls[kind.call]);
    const bool lasting = pick(0, 1) == 1;
    SCOPED_TRACE(std::string(kind.call) + " " + std::to_string(at) + " of " +
                 std::to_string(calls[kind.call]) + (lasting ? " and later: " : ": ") + std::strerror(error));
    Sandbox box;
    box.Write("pipeline.yaml", kPipeline);
    SetFaults(&box, {{"FAULT_CALL", kind.call},
                     {"FAULT_AT", std::to_string(at)},
                     {"FAULT_ERRNO", std::to_string(error)},
                     {"FAULT_LASTING", lasting ? "1" : "0"}});
    const auto run = box.Genflow({"run"});
    // What is best effort (removing checkpoints, say) may fail without a word.
    EXPECT_TRUE(run.code == 0 || run.code == 1) << run.code << "\n" << run.err;
    ++ended[std::string(kind.call) + ": exit code " + std::to_string(run.code)];
    if (run.code != 0) {
      const std::string store = (box.dir() / ".genflow").string();
      bool told = false;
      std::istringstream lines(run.err);
      for (std::string line; std::getline(lines, line);) {
        told |= line.find("error: ") != std::string::npos && line.find(store) != std::string::npos &&
                line.find(std::strerror(error)) != std::string::npos;
      }
      EXPECT_TRUE(told) << run.err;
    }
    ExpectRecovers(&box, calm);
  }
  std::printf("injected faults, seed %u: %d\n", seed, times);
  for (const auto& [what, count] : ended) std::printf("  %s: %d\n", what.c_str(), count);
}

TEST(InjectedFaults, AReadOnlyStoreIsRead) {
  Sandbox box;
  box.Write("pipeline.yaml", kPipeline);
  ASSERT_EQ(box.Genflow({"run"}).code, 0);
  const auto before = LatestRun(box);
  ASSERT_TRUE(before.has_value());
  SetFaults(&box, {{"FAULT_READONLY", "1"}, {"FAULT_PROGRAM", ""}});
  const auto shown = LatestRun(box);
  ASSERT_TRUE(shown.has_value());
  EXPECT_EQ(shown->digests, before->digests);
  EXPECT_EQ(FsckProblems(box), "");
  const auto run = box.Genflow({"run"});
  EXPECT_EQ(run.code, 1);
  EXPECT_EQ(run.err, "error: " + (box.dir() / ".genflow").string() +
                         ": the store is read-only\n"
                         "  hint: make its folder writable, or use another with --store\n");
}

TEST(InjectedFaults, AStoreWithoutHardLinksOrCopiesInTheKernel) {
  for (const int error : {EPERM, EXDEV}) {
    SCOPED_TRACE(std::strerror(error));
    Sandbox box;
    box.Write("pipeline.yaml", kPipeline);
    SetFaults(&box, {{"FAULT_CALL", "link"},
                     {"FAULT_PROGRAM", ""},
                     {"FAULT_AT", "1"},
                     {"FAULT_LASTING", "1"},
                     {"FAULT_ERRNO", std::to_string(error)}});
    ASSERT_EQ(box.Genflow({"run"}).code, 0);
    const auto linked = box.Genflow({"artifacts", "export", "source.text", "linked", "--link"});
    EXPECT_EQ(linked.code, 2);
    EXPECT_EQ(linked.err,
              "error: " + (box.dir() / "linked").string() +
                  ": cannot be a hard link into the store (another file system, or one without hard "
                  "links)\n  hint: export a copy instead\n");
    box.SetEnv("FAULT_CALL", "copy");
    box.SetEnv("FAULT_ERRNO", std::to_string(EXDEV));
    EXPECT_EQ(box.Genflow({"artifacts", "export", "source.text", "copy"}).code, 0);
    EXPECT_EQ(box.Shell("seq 30 | cmp - copy").code, 0);
    ExpectRecovers(&box, CalmDigests());
  }
}

TEST(InjectedFaults, AClockThatJumpsBackByADay) {
  const Digests calm = CalmDigests();
  for (const int at : {1, 3, 7, 15, 30, 60}) {
    SCOPED_TRACE(at);
    Sandbox box;
    box.Write("pipeline.yaml", kPipeline);
    SetFaults(&box, {{"FAULT_CLOCK_AT", std::to_string(at)}});
    const auto run = box.Genflow({"run", "--json"});
    EXPECT_EQ(run.code, 0) << run.err;
    ClearFaults(&box);
    const auto shown = box.Genflow({"runs", "show", "--json"});
    ASSERT_EQ(shown.code, 0) << shown.err;
    const auto json = nlohmann::json::parse(shown.out);
    EXPECT_GE(json.at("finished").get<double>(), json.at("started").get<double>());
    for (const auto& attempt : json.at("attempts"))
      EXPECT_GE(attempt.at("finished").get<double>(), attempt.at("started").get<double>()) << attempt.dump();
    const auto again = box.Genflow({"run"});
    EXPECT_EQ(box.Normal(again.out), "small: nothing to do (4 stages cached, TIME)\n");
    EXPECT_EQ(box.Genflow({"gc"}).code, 0);
    ExpectRecovers(&box, calm);
  }
}

TEST(InjectedFaults, AFileSystemWithoutInodes) {
  Sandbox box;
  box.Write("pipeline.yaml", kPipeline);
  box.Write("disk/.keep", "");
  const std::string disk = (box.dir() / "disk").string();
  if (::mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=30m,nr_inodes=40") != 0)
    GTEST_SKIP() << "mounting a small file system is not permitted here";
  const auto run = box.Genflow({"run", "--store", "disk/store"});
  EXPECT_EQ(run.code, 1);
  EXPECT_NE(run.err.find("error: "), std::string::npos) << run.err;
  EXPECT_NE(run.err.find(disk), std::string::npos) << run.err;
  EXPECT_NE(run.err.find("No space left on device"), std::string::npos) << run.err;
  EXPECT_EQ(::mount("tmpfs", disk.c_str(), "tmpfs", MS_REMOUNT, "size=30m,nr_inodes=4000"), 0);
  const auto again = box.Genflow({"run", "--store", "disk/store"});
  EXPECT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(box.Genflow({"fsck", "--store", "disk/store"}).code, 0);
  EXPECT_EQ(::umount(disk.c_str()), 0);
}

}  // namespace
}  // namespace genflow
