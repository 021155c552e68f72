// Memory limits held by the kernel. Needs the root of a cgroup v2 hierarchy, as `tools/uml` gives.
#include <gtest/gtest.h>

#include <regex>

#include "cli/sandbox.h"

namespace genflow {
namespace {

constexpr char kLeaky[] =
    "name: p\nstages:\n  leaky:\n    uses: test.act\n    resources: { memory: 100M }\n"
    "    with: { do: leak, times: 300, seconds: 60 }\n"
    "  forks:\n    uses: exec\n    resources: { memory: 50M }\n"
    "    with: { run: '(head -c 200000000 /dev/zero; sleep 60) | (tail -c 200000000; true)' }\n"
    "  modest:\n    uses: test.act\n    resources: { memory: 400M }\n"
    "    with: { do: leak, times: 20, seconds: 0.6 }\n";

void ExpectHeld(const CommandResult& run) {
  EXPECT_EQ(run.code, 1);
  const std::string hint = "\n  hint: raise `memory` in its `resources:`, or have it hold less at a time\n";
  for (const std::string& said :
       {"error: leaky: was killed: its processes asked for more memory than its limit of 100 MiB" + hint,
        "error: forks: was killed: its processes asked for more memory than its limit of 50.0 MiB" + hint,
        std::string("modest: ran in ")}) {
    EXPECT_NE(run.err.find(said), std::string::npos) << run.err;
  }
}

// A group of its own, as a service of systemd with Delegate=memory has it.
std::string InOwnGroup(const std::string& command) {
  return "cd /sys/fs/cgroup && echo +memory > cgroup.subtree_control && mkdir -p unit && "
         "echo 0 > unit/cgroup.procs && cd \"$OLDPWD\" && exec " +
         command;
}

std::string Groups(const Sandbox& box) {
  return box.Shell("find /sys/fs/cgroup -name 'genflow-*' -type d; cat /sys/fs/cgroup/unit/cgroup.procs").out;
}

TEST(Cgroup, HoldsStagesToTheirMemoryAtTheRoot) {
  Sandbox box;
  box.Write("pipeline.yaml", kLeaky);
  ExpectHeld(box.Genflow({"run", "--keep-going"}));
  EXPECT_EQ(box.Shell("find /sys/fs/cgroup -name 'genflow-*' -type d").out, "");
}

TEST(Cgroup, HoldsStagesToTheirMemoryInAGroupOfItsOwn) {
  Sandbox box;
  box.Write("pipeline.yaml", kLeaky);
  ExpectHeld(box.Shell(InOwnGroup(GENFLOW_BINARY " run --keep-going")));
  EXPECT_EQ(Groups(box), "");
  EXPECT_EQ(box.Shell("cat /sys/fs/cgroup/unit/cgroup.subtree_control").out, "");
}

TEST(Cgroup, WatchesMemoryWhereOthersLiveInTheGroup) {
  Sandbox box;
  box.Write("pipeline.yaml", kLeaky);
  const auto run = box.Shell(InOwnGroup("bash -c '" GENFLOW_BINARY " run --keep-going; exit $?'"));
  EXPECT_EQ(run.code, 1);
  const std::regex said(
      "error: leaky: was killed: its processes held [0-9.]+ MiB of memory, more than its limit");
  EXPECT_TRUE(std::regex_search(run.err, said)) << run.err;
  EXPECT_EQ(Groups(box), "");
}

TEST(Cgroup, IsTidiedAfterAKill) {
  Sandbox box;
  box.Write("pipeline.yaml",
            "name: p\nstages:\n  a:\n    uses: exec\n    resources: { memory: 50M }\n"
            "    with: { run: 'kill -9 $PPID; sleep 60' }\n");
  EXPECT_EQ(box.Shell(InOwnGroup(GENFLOW_BINARY " run")).code, 137);
  ASSERT_TRUE(box.WaitFor("! grep -q . /sys/fs/cgroup/unit/genflow-*/cgroup.procs"));
  EXPECT_NE(Groups(box), "");
  box.Write("pipeline.yaml", kLeaky);
  ExpectHeld(box.Shell("echo -memory > /sys/fs/cgroup/unit/cgroup.subtree_control; " +
                       InOwnGroup(GENFLOW_BINARY " run --keep-going")));
  EXPECT_EQ(Groups(box), "");
}

}  // namespace
}  // namespace genflow
