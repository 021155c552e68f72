// Everything that can go wrong in a stage: one clear message, the log's last lines and its path.
#include <gtest/gtest.h>
#include <sys/mount.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <regex>

#include "base/files.h"
#include "cli/sandbox.h"
#include "testing/sanitizers.h"

namespace genflow {
namespace {

// A pipeline of one stage that does `action`, and one that needs it.
std::string Doing(const std::string& action, const std::string& more = "") {
  return "name: faulty\nstages:\n  bad:\n    uses: test.act\n    with: { do: " + action + " }\n" + more +
         "  next:\n    uses: test.act\n    in: { in: bad.out }\n";
}

// Runs it; returns the error block behind the progress lines.
std::string ErrorOf(const Sandbox& box, const std::string& pipeline, int code) {
  box.Write("pipeline.yaml", pipeline);
  const auto run = box.Genflow({"run", "--grace", "1s"});
  EXPECT_EQ(run.code, code) << run.err;
  const std::string err = box.Normal(run.err);
  const size_t at = err.find("error: ");
  return at == std::string::npos ? err : err.substr(at);
}

constexpr char kLog[] = "  log: DIR/.genflow/logs/RUN/bad.1.log\n";

TEST(Failure, StageSaysWhyWithItsLogAndDependentsAreSkipped) {
  Sandbox box;
  box.Write("pipeline.yaml", Doing("invalid"));
  const auto run = box.Genflow({"run"});
  EXPECT_EQ(run.code, 1);
  EXPECT_EQ(box.Normal(run.err),
            "bad: started (never ran before)\n"
            "bad: failed after TIME: the data has no rows\n"
            "next: skipped: needs 'bad', which failed\n"
            "error: bad: the data has no rows\n"
            "  hint: look at the data\n"
            "  last lines of its log:\n"
            "  | about to fail\n"
            "  log: DIR/.genflow/logs/RUN/bad.1.log\n");
  EXPECT_EQ(box.Normal(run.out),
            "stage  status time  note\n"
            "bad    failed TIME  the data has no rows\n"
            "next   skipped -  needs 'bad', which failed\n"
            "\n"
            "faulty: failed in TIME (run RUN)\n");
}

TEST(Failure, Crash) {
  Sandbox box;
  EXPECT_EQ(ErrorOf(box, Doing("crash"), 1),
            "error: bad: crashed: killed by signal 11 (Segmentation fault)\n"
            "  last lines of its log:\n"
            "  | about to crash\n" +
                std::string(kLog));
}

TEST(Failure, KilledBySomeoneElse) {
  Sandbox box;
  const std::string error = ErrorOf(box, Doing("kill"), 1);
  EXPECT_EQ(error.find("error: bad: was killed by signal 9 (Killed)\n"
                       "  hint: the system does that when memory runs out; its peak was "),
            0u)
      << error;
}

TEST(Failure, ExitWithoutAReport) {
  Sandbox box;
  EXPECT_EQ(ErrorOf(box, Doing("exit"), 1),
            "error: bad: ended with exit code 5 before it reported how it went\n"
            "  hint: a stage returns from run(); it must not call exit()\n" +
                std::string(kLog));
}

TEST(Failure, MalformedReportLine) {
  Sandbox box;
  EXPECT_EQ(ErrorOf(box, Doing("garbage"), 1),
            "error: bad: its worker wrote a report line that genflow does not understand: not a report\n"
            "  hint: a plugin must leave descriptor 3 alone; the log may say more\n" +
                std::string(kLog));
}

TEST(Failure, ReportPipeClosedEarly) {
  Sandbox box;
  EXPECT_EQ(ErrorOf(box, Doing("close"), 1),
            "error: bad: its worker closed its report pipe and went on running\n"
            "  hint: a plugin must leave descriptor 3 alone; the log may say more\n" +
                std::string(kLog));
}

TEST(Failure, OutputNotWritten) {
  Sandbox box;
  EXPECT_EQ(ErrorOf(box, Doing("nothing"), 1),
            "error: bad: did not write its output 'out'\n" + std::string(kLog));
}

TEST(Failure, ExecOutputNotWritten) {
  Sandbox box;
  EXPECT_EQ(ErrorOf(box,
                    "name: e\nstages:\n  bad:\n    uses: exec\n    with: { run: 'true' }\n    out: { "
                    "big_file: file }\n",
                    1),
            "error: bad: did not write its output 'big_file'\n"
            "  hint: make a file or a folder at $GENFLOW_OUT_BIG_FILE\n" +
                std::string(kLog));
}

TEST(Failure, ExecWritesWhatIsNotDeclared) {
  Sandbox box;
  EXPECT_EQ(ErrorOf(box,
                    "name: e\nstages:\n  bad:\n    uses: exec\n"
                    "    with: { run: 'touch \"$GENFLOW_OUT_A\" \"$(dirname \"$GENFLOW_OUT_A\")/b\"' }\n    "
                    "out: { a: file }\n",
                    1),
            "error: bad: wrote 'b' beside its outputs, which is none of them\n"
            "  hint: declare it under `out:`, or write it to $GENFLOW_SCRATCH_DIR\n" +
                std::string(kLog));
}

TEST(Failure, ExecCommandFailsAnywhereInAPipe) {
  Sandbox box;
  EXPECT_EQ(
      ErrorOf(box,
              "name: e\nstages:\n  bad:\n    uses: exec\n    with: { run: 'echo so >&2; exit 7 | cat' }\n",
              1),
      "error: bad: its command ended with exit code 7\n"
      "  last lines of its log:\n"
      "  | so\n" +
          std::string(kLog));
}

TEST(Failure, WithoutAReason) {
  Sandbox box;
  EXPECT_EQ(ErrorOf(box, Doing("quiet-fail"), 1),
            "error: bad: stage test.act failed without saying why\n" + std::string(kLog));
}

TEST(Failure, Timeout) {
  Sandbox box;
  EXPECT_EQ(ErrorOf(box, Doing("sleep, seconds: 60", "    timeout: 300ms\n"), 1),
            "error: bad: ran longer than its timeout of TIME\n"
            "  hint: raise its `timeout:`\n" +
                std::string(kLog));
}

TEST(Failure, TimeoutOfAStageThatIgnoresSigterm) {
  Sandbox box;
  EXPECT_EQ(ErrorOf(box, Doing("hang, seconds: 60", "    timeout: 3s\n"), 1),
            "error: bad: ran longer than its timeout of TIME\n"
            "  hint: raise its `timeout:`\n"
            "  last lines of its log:\n"
            "  | hanging\n" +
                std::string(kLog));
}

TEST(Failure, RetriesWhatMayHelpWithBackoff) {
  Sandbox box;
  box.Write("pipeline.yaml", Doing("flaky, times: 3", "    retries: { max: 3, backoff: 10ms }\n"));
  const auto run = box.Genflow({"run"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(box.Normal(run.err),
            "bad: started (never ran before)\n"
            "bad: attempt 1 failed: attempt 1 did not work; again in TIME\n"
            "bad: started (attempt 2)\n"
            "bad: attempt 2 failed: attempt 2 did not work; again in TIME\n"
            "bad: started (attempt 3)\n"
            "bad: ran in TIME\n"
            "next: started (never ran before)\n"
            "next: ran in TIME\n");
  EXPECT_NE(box.Normal(run.out).find("bad    ran TIME  attempt 3\n"), std::string::npos) << run.out;
}

TEST(Failure, RetriesEnd) {
  Sandbox box;
  box.Write("pipeline.yaml", Doing("io", "    retries: { max: 1, backoff: 10ms }\n"));
  const auto run = box.Genflow({"run"});
  EXPECT_EQ(run.code, 1);
  EXPECT_NE(run.err.find("bad: started (attempt 2)\n"), std::string::npos) << run.err;
  EXPECT_NE(
      box.Normal(run.err).find("error: bad: the network is gone\n  log: DIR/.genflow/logs/RUN/bad.2.log\n"),
      std::string::npos)
      << run.err;
}

TEST(Failure, InvalidDataIsNotTriedAgain) {
  Sandbox box;
  box.Write("pipeline.yaml", Doing("invalid", "    retries: 3\n"));
  const auto run = box.Genflow({"run"});
  EXPECT_EQ(run.code, 1);
  EXPECT_EQ(run.err.find("again in"), std::string::npos) << run.err;
}

TEST(Failure, OthersAreNotStartedUnlessKeptGoing) {
  Sandbox box;
  box.Write("pipeline.yaml", R"(name: wide
stages:
  bad:
    uses: test.act
    with: { do: invalid }
  slow:
    uses: exec
    with: { run: 'sleep 0.01' }
    resources: { cpus: 2 }
  after:
    uses: exec
    needs: [slow]
    with: { run: 'true' }
)");
  const auto stop = box.Genflow({"run", "--cpus", "2", "-j", "1"});
  EXPECT_EQ(stop.code, 1);
  const auto go = box.Genflow({"run", "--cpus", "2", "-j", "1", "--keep-going"});
  EXPECT_EQ(go.code, 1);
  EXPECT_NE(box.Normal(go.out).find("after  ran TIME\n"), std::string::npos) << go.out;
}

TEST(Failure, GateKeepsItsOutputsSkipsDependentsAndExitsWith3) {
  Sandbox box;
  box.Write("pipeline.yaml", Doing("gate, text: '0.5'"));
  const auto run = box.Genflow({"run"});
  EXPECT_EQ(run.code, 3);
  EXPECT_EQ(box.Normal(run.err),
            "bad: started (never ran before)\n"
            "bad: said no: quality is too low: 0.5\n"
            "next: skipped: needs 'bad', which said no\n"
            "error: bad said no: quality is too low: 0.5\n"
            "  hint: train longer\n"
            "  log: DIR/.genflow/logs/RUN/bad.1.log\n");
  EXPECT_EQ(box.Artifact("bad.out"), "0.5");
  EXPECT_NE(run.out.find("\nbad\n  quality was 0.5\n"), std::string::npos) << run.out;
  EXPECT_EQ(box.Genflow({"run"}).code, 3) << "a gate that said no is asked again";
}

TEST(Failure, NanMetricAndMissingFileDoNotStopTheEngine) {
  Sandbox box;
  box.Write("pipeline.yaml", "name: n\nstages:\n  a:\n    uses: test.act\n    with: { do: nan }\n");
  EXPECT_EQ(box.Genflow({"run"}).code, 0);
}

TEST(Failure, MoreMemoryThanItsLimit) {
  Sandbox box;
  box.Write("pipeline.yaml",
            "name: p\nstages:\n  leaky:\n    uses: test.act\n    resources: { memory: 100M }\n"
            "    with: { do: leak, times: 300, seconds: 60 }\n"
            "  modest:\n    uses: test.act\n    resources: { memory: 400M }\n"
            "    with: { do: leak, times: 20, seconds: 0.6 }\n");
  const auto run = box.Genflow({"run", "--keep-going"});
  EXPECT_EQ(run.code, 1);
  const std::regex said(
      "error: leaky: was killed: its processes (held [0-9.]+ MiB of memory, more|asked for more memory) than "
      "its "
      "limit of 100 MiB\n"
      "  hint: raise `memory` in its `resources:`, or have it hold less at a time\n");
  EXPECT_TRUE(std::regex_search(run.err, said)) << run.err;
  EXPECT_NE(run.err.find("modest: ran in "), std::string::npos) << run.err;
}

TEST(Failure, MemoryOfGrandchildrenCounts) {
  Sandbox box;
  box.Write("pipeline.yaml",
            "name: p\nstages:\n  leaky:\n    uses: exec\n    resources: { memory: 50M }\n"
            "    with: { run: '(head -c 200000000 /dev/zero; sleep 60) | (tail -c 200000000; true)' }\n");
  const auto run = box.Genflow({"run"});
  EXPECT_EQ(run.code, 1);
  const std::regex said("error: leaky: was killed: its processes (held|asked for) ");
  EXPECT_TRUE(std::regex_search(run.err, said)) << run.err;
}

TEST(Failure, DaemonsOfAStageEndWithIt) {
  Sandbox box;
  const std::string pid_file = (box.dir() / "daemon.pid").string();
  box.Write("pipeline.yaml",
            "name: d\nstages:\n  a:\n    uses: test.act\n    with: { do: daemon, text: " + pid_file + " }\n");
  ASSERT_EQ(box.Genflow({"run"}).code, 0);
  EXPECT_TRUE(box.WaitForEndOf("$(cat daemon.pid)"));
}

// What a program that has left the stage's process group has started ends, too.
TEST(Failure, NothingOfAStageIsLeftAtItsEnd) {
  Sandbox box;
  const std::string tree = "timeout 300 bash -c \"echo \\$$ > pid; sleep 277; true\"";
  const std::map<std::string, std::string> stages = {
      {"with: { run: 'setsid " + tree + " & until [ -s pid ]; do sleep 0.02; done' }", "an end in order"},
      {"with: { run: '" + tree + "; true' }\n    timeout: 2s", "a timeout"},
      {"with: { run: 'touch pid; " + tree + " | cat; true' }\n    retries: 0\n    timeout: 2s",
       "a timeout of a pipe"}};
  for (const auto& [stage, how] : stages) {
    box.Write("pipeline.yaml", "name: p\nstages:\n  s:\n    uses: exec\n    " + stage + "\n");
    box.Genflow({"run", "--grace", "5s"});
    EXPECT_EQ(box.Shell("p=$(cat pid); rm pid; [ -n \"$p\" ]; [ ! -d /proc/$p ]").code, 0) << how;
  }
}

// The run that a stage has started is killed with it; its guardian ends what that run has started.
TEST(Failure, DaemonsOfARunWithinAStageEndWithTheStage) {
  Sandbox box;
  box.Write("inner/pipeline.yaml",
            "name: i\nstages:\n  s:\n    uses: exec\n    with: { run: 'setsid sleep 277 & echo $! > pid; "
            "sleep 60' }\n");
  box.Write("pipeline.yaml",
            "name: o\nstages:\n  s:\n    uses: exec\n    with: { run: 'setsid " GENFLOW_BINARY
            " run inner/pipeline.yaml & until [ -s inner/pid ]; do sleep 0.02; done' }\n");
  const auto run = box.Genflow({"run"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_TRUE(box.WaitForEndOf("$(cat inner/pid)"));
}

TEST(Failure, ARunDoesWithoutThreadsWhereThereAreNone) {
  if (kThreadSanitizer) GTEST_SKIP() << "ThreadSanitizer does not start there";
  Sandbox box;
  if (box.Shell("ulimit -Hs").out != "unlimited\n")
    GTEST_SKIP() << "stacks cannot be larger than the address space";
  box.Write("pipeline.yaml",
            "name: p\nstages:\n  a:\n    uses: exec\n    out: { x: file }\n"
            "    with: { run: 'mkdir $GENFLOW_OUT_X; for i in $(seq 40); do echo $i > $GENFLOW_OUT_X/$i; "
            "done' }\n");
  const auto run = box.Shell("ulimit -s 190000000000; exec " GENFLOW_BINARY " run");
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(box.Genflow({"fsck"}).out, "clean: 1 object, 40 files, 111 B checked\n");
}

TEST(Failure, AFullDiskFailsTheStageAndIsFreed) {
  Sandbox box;
  const std::string disk = (box.dir() / "small").string();
  ASSERT_TRUE(MakeDirectories(disk).ok());
  if (::mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=1m") != 0)
    GTEST_SKIP() << "a small file system cannot be mounted here: " << std::strerror(errno);
  box.Write("small/pipeline.yaml",
            "name: full\nstages:\n  small:\n    uses: exec\n    with: { run: 'echo small > "
            "\"$GENFLOW_OUT_X\"' }\n    out: { x: file }\n"
            "  large:\n    uses: exec\n    in: { i: small.x }\n"
            "    with: { run: 'head -c 4000000 /dev/zero > \"$GENFLOW_OUT_Y\"' }\n    out: { y: file }\n");
  const auto run = box.Genflow({"run", "small/pipeline.yaml"});
  EXPECT_EQ(run.code, 1);
  EXPECT_NE(run.err.find("error: large: its command ended with exit code 1\n"
                         "  last lines of its log:\n"
                         "  | head: error writing 'standard output': No space left on device\n"),
            std::string::npos)
      << run.err;
  EXPECT_NE(run.out.find("small  ran "), std::string::npos) << run.out;
  EXPECT_EQ(box.Genflow({"fsck", "--store", "small/.genflow"}).out, "clean: 1 object, 1 file, 6 B checked\n");
  EXPECT_EQ(box.Shell("head -c 400000 /dev/zero > small/room").code, 0) << "the space was freed";
  EXPECT_EQ(::umount(disk.c_str()), 0);
}

TEST(Failure, AFullDiskCanBeLookedAtAndCleanedUp) {
  Sandbox box;
  const std::string disk = (box.dir() / "small").string();
  ASSERT_TRUE(MakeDirectories(disk).ok());
  if (::mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=24m") != 0)
    GTEST_SKIP() << "a small file system cannot be mounted here: " << std::strerror(errno);
  box.Write("small/pipeline.yaml",
            "name: full\nparams: { size: 1000000 }\nstages:\n  a:\n    uses: exec\n"
            "    with: { run: 'echo made; head -c ${{ params.size }} /dev/zero > \"$GENFLOW_OUT_X\"' }\n"
            "    out: { x: file }\n");
  ASSERT_EQ(box.Genflow({"run", "small/pipeline.yaml"}).code, 0);
  ASSERT_EQ(box.Genflow({"run", "small/pipeline.yaml", "-p", "size=2000000"}).code, 0);
  EXPECT_NE(box.Shell("cat /dev/zero > small/filler").code, 0);
  const std::vector<std::string> store = {"--store", "small/.genflow"};
  const auto look = [&](std::vector<std::string> command) {
    command.insert(command.end(), store.begin(), store.end());
    const auto result = box.Genflow(command);
    EXPECT_EQ(result.code, 0) << command[0] << ": " << result.err;
    return result.out;
  };
  EXPECT_NE(look({"runs", "ls"}).find("full"), std::string::npos);
  EXPECT_NE(look({"logs", "a"}).find("made"), std::string::npos);
  EXPECT_EQ(look({"fsck"}), "clean: 2 objects, 2 files, 2.9 MiB checked\n");
  const auto run = box.Genflow({"run", "small/pipeline.yaml", "-p", "size=3000000"});
  EXPECT_EQ(run.code, 1);
  EXPECT_NE(run.err.find("No space left on device"), std::string::npos) << run.err;
  EXPECT_NE(look({"gc", "--keep-last", "1"}).find("freed 977 KiB; 1 object stays, 1.9 MiB"),
            std::string::npos);
  EXPECT_EQ(box.Genflow({"run", "small/pipeline.yaml", "-p", "size=500000"}).code, 0)
      << "the space was freed";
  EXPECT_EQ(::umount(disk.c_str()), 0);
}

}  // namespace
}  // namespace genflow
