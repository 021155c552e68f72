// Real processes: groups, descriptors, deaths. And the executor over them.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/subprocess.h"
#include "engine/process_executor.h"
#include "testing/no_threads.h"
#include "testing/processes.h"
#include "testing/sanitizers.h"

namespace genflow {
namespace {

namespace fs = std::filesystem;

// Runs to the end; what it wrote to its descriptor `number` comes back.
std::string Output(ProcessOptions options, int number = 1) {
  auto pipe = MakePipe();
  EXPECT_TRUE(pipe.ok());
  options.fds.emplace_back(pipe->second.get(), number);
  auto process = Process::Start(options);
  EXPECT_TRUE(process.ok()) << process.error().ToString();
  pipe->second.Reset();
  std::string text;
  char buffer[4096];
  for (ssize_t n; (n = ::read(pipe->first.get(), buffer, sizeof buffer)) > 0;)
    text.append(buffer, static_cast<size_t>(n));
  process->Wait();
  return text;
}

TEST(Process, ExitCodeSignalAndUsage) {
  auto exits = Process::Start(Bash("exit 7"));
  ASSERT_TRUE(exits.ok());
  EXPECT_EQ(exits->Wait().ToString(), "exit code 7");
  auto killed = Process::Start(Bash("kill -SEGV $$"));
  ASSERT_TRUE(killed.ok());
  EXPECT_EQ(killed->Wait().ToString(), "killed by signal 11 (Segmentation fault)");
  auto busy = Process::Start(Bash("for i in $(seq 20000); do :; done"));
  ASSERT_TRUE(busy.ok());
  const ExitStatus status = busy->Wait();
  EXPECT_TRUE(status.Succeeded());
  EXPECT_GT(status.cpu_seconds, 0);
  EXPECT_GT(status.peak_rss_bytes, 1u << 20);
}

TEST(Process, MissingProgramAndFolderAreErrors) {
  if (kThreadSanitizer) GTEST_SKIP() << "ThreadSanitizer makes a fork of vfork";
  ProcessOptions options;
  options.argv = {"/no/such/program"};
  EXPECT_EQ(Process::Start(options).error().message,
            "cannot run '/no/such/program': No such file or directory");
  options = Bash("true");
  options.cwd = "/no/such/folder";
  EXPECT_FALSE(Process::Start(options).ok());
}

TEST(Process, DescriptorsEnvironmentAndFolder) {
  auto options = Bash("echo \"$NAME $PWD\" >&5; ls /proc/self/fd | tr '\\n' ' ' >&5");
  options.env.push_back("NAME=value");
  options.cwd = "/usr";
  // 0, 1 and 2 are /dev/null; 3 is `ls` itself reading the folder.
  EXPECT_EQ(Output(options, 5), "value /usr\n0 1 2 3 5 ");
}

TEST(Process, OneDescriptorUnderSeveralNumbers) {
  auto pipe = MakePipe();
  auto options = Bash("echo out; echo err >&2");
  options.fds = {{pipe->second.get(), 2}, {pipe->second.get(), 1}};
  auto process = Process::Start(options);
  ASSERT_TRUE(process.ok());
  process->Wait();
  char buffer[64];
  const ssize_t n = ::read(pipe->first.get(), buffer, sizeof buffer);
  EXPECT_EQ(std::string(buffer, static_cast<size_t>(n)), "out\nerr\n");
}

TEST(Process, SignalsReachTheWholeGroupAndItsEndKillsTheRest) {
  if (kThreadSanitizer) GTEST_SKIP() << "ThreadSanitizer makes a fork of vfork";
  const std::string text = Output(Bash("sleep 60 >/dev/null & echo $!"));
  EXPECT_TRUE(DiesWithin(std::stoi(text), 5)) << "a child in the group outlives its leader";
  auto process = Process::Start(Bash("sleep 60"));
  ASSERT_TRUE(process.ok());
  EXPECT_EQ(process->TryWait(), std::nullopt);
  process->SignalGroup(SIGTERM);
  EXPECT_EQ(process->Wait().signal, SIGTERM);
}

TEST(Process, DestructionKills) {
  pid_t pid = 0;
  {
    auto process = Process::Start(Bash("sleep 60"));
    ASSERT_TRUE(process.ok());
    pid = process->pid();
  }
  EXPECT_FALSE(Alive(pid));
}

// Ctrl-Z and Ctrl-C go to the group the child is still in for a moment: stopped there, it would hold whoever
// starts it for good.
TEST(Process, TakesNoSignalOfTheGroupItComesFrom) {
  sigset_t all, before;
  ::sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, &before);
  const pid_t starter = ::fork();
  if (starter == 0) {
    ::setpgid(0, 0);
    for (int i = 0; i < 300; ++i) {
      auto process = Process::Start(Bash(":"));
      if (!process.ok() || !process->Wait().Succeeded()) ::_exit(1);
    }
    ::_exit(0);
  }
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
  ASSERT_GT(starter, 0);
  ::setpgid(starter, starter);
  int status = -1;
  EXPECT_TRUE(Within(60, [&] {
    for (int i = 0; i < 100; ++i) {
      ::kill(-starter, SIGTSTP);
      ::kill(-starter, SIGINT);
    }
    return ::waitpid(starter, &status, WNOHANG) == starter;
  }));
  EXPECT_EQ(status, 0);
  ::kill(-starter, SIGKILL);
}

TEST(Guardian, KillsTheListedGroupsWhenItsOwnerEnds) {
  auto listed = Process::Start(Bash("sleep 60")), unlisted = Process::Start(Bash("sleep 60"));
  ASSERT_TRUE(listed.ok() && unlisted.ok());
  {
    auto guardian = Guardian::Start();
    ASSERT_TRUE(guardian.ok());
    guardian->Add(listed->pid());
    guardian->Add(unlisted->pid());
    guardian->Remove(unlisted->pid());
  }
  EXPECT_TRUE(DiesWithin(listed->pid(), 5));
  EXPECT_TRUE(Alive(unlisted->pid()));
}

// Runs a job of bash to its end; its events come back as text.
class ExecutorTest : public testing::Test {
 protected:
  void SetUp() override {
    auto executor = ProcessExecutor::Create(clock_);
    ASSERT_TRUE(executor.ok()) << executor.error().ToString();
    executor_ = *std::move(executor);
  }
  Job Exec(const std::string& run) {
    Job job;
    job.id = 1;
    job.stage = "s";
    job.tag = "run/s/1";
    ExecRequest request;
    request.run = run;
    request.inputs["my-in"] = "/in/path";
    request.outputs["out"] = "/out/path";
    job.request = request;
    return job;
  }
  // Until the job writes that line.
  void WaitForLine(const std::string& line) {
    const double until = clock_.Now() + 20;
    while (true) {
      const Event event = executor_->Wait(until);
      ASSERT_FALSE(std::holds_alternative<event::Deadline>(event)) << "no line '" << line << "'";
      const auto* log = std::get_if<event::Log>(&event);
      if (log != nullptr && log->text == line) return;
    }
  }
  std::string Events(double patience = 20) {
    std::string text;
    const double until = clock_.Now() + patience;
    while (clock_.Now() < until) {
      const Event event = executor_->Wait(until);
      if (const auto* log = std::get_if<event::Log>(&event)) text += log->level + " " + log->text + "\n";
      if (const auto* broken = std::get_if<event::Broken>(&event)) text += "broken: " + broken->what + "\n";
      if (std::holds_alternative<event::Worked>(event)) text += "worked\n";
      if (const auto* signal = std::get_if<event::Signal>(&event))
        text += "signal " + std::to_string(signal->number) + "\n";
      if (const auto* exited = std::get_if<event::Exited>(&event)) return text + exited->status.ToString();
    }
    return text + "timed out";
  }
  SystemClock clock_;
  std::unique_ptr<ProcessExecutor> executor_;
};

TEST_F(ExecutorTest, OutputComesAsLinesAndPortsAsVariables) {
  ASSERT_TRUE(executor_->Start(Exec("echo $GENFLOW_IN_MY_IN; printf \"$GENFLOW_OUT_OUT\"; exit 3")).ok());
  EXPECT_EQ(Events(), "output /in/path\noutput /out/path\nexit code 3");
}

TEST_F(ExecutorTest, AFailingCommandInAPipeFails) {
  ASSERT_TRUE(executor_->Start(Exec("false | cat; echo not reached")).ok());
  EXPECT_EQ(Events(), "exit code 1");
}

TEST_F(ExecutorTest, StopAsksAndKills) {
  ASSERT_TRUE(
      executor_->Start(Exec("trap 'echo asked' TERM; echo up; while true; do sleep 0.02 || true; done"))
          .ok());
  while (true) {
    const Event event = executor_->Wait(clock_.Now() + 20);
    const auto* log = std::get_if<event::Log>(&event);
    ASSERT_NE(log, nullptr);
    if (log->text == "up") executor_->Stop(1, StopKind::kAsk);
    if (log->text == "asked") break;
  }
  executor_->Stop(1, StopKind::kKill);
  EXPECT_EQ(Events(), "killed by signal 9 (Killed)");
}

// Bash ends of SIGTERM at once; what it runs for it has time.
TEST_F(ExecutorTest, StopLetsTheWholeGroupFinish) {
  ASSERT_TRUE(executor_
                  ->Start(Exec("bash -c 'exec 2>/dev/null; trap \"sleep 0.3; echo saved; exit\" TERM; echo "
                               "up; while :; do sleep 0.02; "
                               "done'; echo not reached"))
                  .ok());
  WaitForLine("up");
  executor_->Stop(1, StopKind::kAsk);
  EXPECT_EQ(Events(), "output saved\nkilled by signal 15 (Terminated)");
}

TEST_F(ExecutorTest, AGroupThatDoesNotFinishIsKilled) {
  ASSERT_TRUE(executor_->Start(Exec("bash -c 'trap \"\" TERM; echo $$; echo up; sleep 60'; true")).ok());
  const Event first = executor_->Wait(clock_.Now() + 20);
  ASSERT_TRUE(std::holds_alternative<event::Log>(first));
  const pid_t member = std::stoi(std::get<event::Log>(first).text);
  WaitForLine("up");
  executor_->Stop(1, StopKind::kAsk);
  EXPECT_TRUE(std::holds_alternative<event::Deadline>(executor_->Wait(clock_.Now() + 0.5)));
  EXPECT_TRUE(Alive(member));
  executor_->Stop(1, StopKind::kKill);
  EXPECT_EQ(Events(), "killed by signal 15 (Terminated)");
  EXPECT_TRUE(DiesWithin(member, 20));
}

TEST_F(ExecutorTest, WhatIsStoppedIsAskedToo) {
  ASSERT_TRUE(
      executor_->Start(Exec("trap 'echo asked; exit 9' TERM; echo $$; kill -STOP $$; sleep 60")).ok());
  const Event first = executor_->Wait(clock_.Now() + 20);
  ASSERT_TRUE(std::holds_alternative<event::Log>(first));
  const pid_t pid = std::stoi(std::get<event::Log>(first).text);
  ASSERT_TRUE(Within(20, [pid] { return StateOf(pid) == 'T'; }));
  executor_->Stop(1, StopKind::kAsk);
  EXPECT_EQ(Events(), "output asked\nexit code 9");
}

TEST_F(ExecutorTest, NothingOfAJobIsLeftAtItsEnd) {
  ASSERT_TRUE(executor_
                  ->Start(Exec("setsid bash -c 'timeout 60 sleep 50 & echo $!; wait' &\n"
                               "sleep 0.3"))
                  .ok());
  const Event first = executor_->Wait(clock_.Now() + 20);
  ASSERT_TRUE(std::holds_alternative<event::Log>(first));
  const pid_t timeout = std::stoi(std::get<event::Log>(first).text);
  EXPECT_EQ(Events(), "exit code 0");
  EXPECT_EQ(StateOf(timeout), 0);
}

TEST_F(ExecutorTest, AnEndIsNotHeldUpByADaemonWithTheOutput) {
  ASSERT_TRUE(executor_->Start(Exec("setsid sleep 30 & echo started")).ok());
  const double before = clock_.Now();
  EXPECT_EQ(Events(), "output started\nexit code 0");
  EXPECT_LT(clock_.Now() - before, 15);
}

TEST_F(ExecutorTest, BackgroundWorkAndSignalsWakeTheLoop) {
  executor_->Background(4, [] { return Ok(); });
  Event event = executor_->Wait(clock_.Now() + 20);
  ASSERT_TRUE(std::holds_alternative<event::Worked>(event));
  EXPECT_EQ(std::get<event::Worked>(event).job, 4);
  ::kill(::getpid(), SIGTERM);
  event = executor_->Wait(clock_.Now() + 20);
  ASSERT_TRUE(std::holds_alternative<event::Signal>(event));
  EXPECT_EQ(std::get<event::Signal>(event).number, SIGTERM);
}

TEST_F(ExecutorTest, BackgroundWorkIsDoneWithoutAThreadWhereThereIsNone) {
  const NoThreads no_threads;
  bool done = false;
  executor_->Background(4, [&done] {
    done = true;
    return MakeError(Code::kIo, "so it went");
  });
  const Event event = executor_->Wait(clock_.Now() + 20);
  ASSERT_TRUE(std::holds_alternative<event::Worked>(event));
  EXPECT_TRUE(done);
  EXPECT_EQ(std::get<event::Worked>(event).status.error().message, "so it went");
}

TEST_F(ExecutorTest, DeadlineWithoutEvents) {
  const double before = clock_.Now();
  EXPECT_TRUE(std::holds_alternative<event::Deadline>(executor_->Wait(before + 0.05)));
  EXPECT_GE(clock_.Now(), before + 0.05);
}

}  // namespace
}  // namespace genflow
