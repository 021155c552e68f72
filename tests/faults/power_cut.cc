// The power fails at random instants while one run follows another: the machine is a kernel of its own
// (tools/uml) on a file system of its own (ext4, a journal, nothing in the disk's cache), killed from
// outside, so that everything is lost that was not written to the disk. After the next boot the store is
// whole, and every run that was reported as done still is.
//   power_cut [--count N] [--seed S]
// Without a count: 4 cuts. Skipped, saying so, where User Mode Linux does not start.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <map>
#include <random>

#include "base/files.h"
#include "base/strings.h"
#include "cli/sandbox.h"
#include "faults/asked.h"

namespace genflow {
namespace {

// Files, folders and an output that is as large as the journal's transactions; new bytes each round.
constexpr char kPipeline[] = R"(name: power
params: { round: 0 }
stages:
  words:
    uses: exec
    with: { run: 'seq ${{ params.round }} 20000 > "$GENFLOW_OUT_LIST"' }
    out: { list: file }
  large:
    uses: exec
    in: { list: words.list }
    with: { run: 'head -c 3000000 /dev/zero | tr "\0" "${{ params.round }}" | cat - "$GENFLOW_IN_LIST" > "$GENFLOW_OUT_BYTES"' }
    out: { bytes: file }
  parts:
    uses: exec
    in: { list: words.list }
    with: { run: 'mkdir "$GENFLOW_OUT_PARTS" && split -l 2000 "$GENFLOW_IN_LIST" "$GENFLOW_OUT_PARTS/part."' }
    out: { parts: file }
  sum:
    uses: exec
    in: { bytes: large.bytes, parts: parts.parts }
    with: { run: 'cat "$GENFLOW_IN_BYTES" "$GENFLOW_IN_PARTS"/* | cksum > "$GENFLOW_OUT_SUM"' }
    out: { sum: file }
)";

// In the guest: looks at what the last power cut left, says what is wrong in `problems`, then runs round
// after round and appends to `done` each that has ended well. The files of DIR are on the outer machine.
constexpr char kGuest[] = R"(
cd /mnt
[[ -e pipeline.yaml ]] || { cp "DIR/pipeline.yaml" . && sync; } || exit
check() { "GENFLOW" "$@" > /run/said 2>&1 || { echo "genflow $*:"; cat /run/said; } >> "DIR/problems"; }
rounds=$(wc -l < "DIR/done")
if [[ -e .genflow ]]; then
  check fsck
  for ((i = rounds; i > rounds - 3 && i > 0; --i)); do
    check run -p round="$i"
    grep -q ': nothing to do' /run/said || { echo "round $i was forgotten:"; cat /run/said; } >> "DIR/problems"
  done
fi
touch "DIR/ready"
for ((i = rounds + 1; ; ++i)); do
  "GENFLOW" run -p round="$i" > /run/said 2>&1 || { cat /run/said >> "DIR/problems"; exit; }
  echo "$i" >> "DIR/done"
done
)";

std::string Replaced(std::string text, const std::string& what, const std::string& by) {
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + by.size()))
    text.replace(at, what.size(), by);
  return text;
}

TEST(PowerCut, LosesNothingThatWasReportedAsDone) {
  const int times = WasAsked().count.value_or(4);
  const unsigned seed = WasAsked().seed;
  Sandbox box;
  box.Write("pipeline.yaml", kPipeline);
  box.Write("guest", Replaced(Replaced(kGuest, "DIR", box.dir().string()), "GENFLOW", GENFLOW_BINARY));
  box.Write("done", "");
  const auto made = box.Shell("truncate -s 600M disk && /sbin/mkfs.ext4 -q -F disk");
  ASSERT_EQ(made.code, 0) << made.err;
  std::mt19937 random(seed);
  for (int cut = 0; cut < times; ++cut) {
    SCOPED_TRACE("cut " + std::to_string(cut) + " of seed " + std::to_string(seed));
    box.Shell("rm -rf ready boot && mkdir boot");
    ProcessOptions options;
    options.argv = {GENFLOW_SOURCE_DIR "/tools/uml", "--disk", (box.dir() / "disk").string(), "bash",
                    (box.dir() / "guest").string()};
    const Fd said(::open((box.dir() / "boot/said").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    options.fds = {{said.get(), 1}, {said.get(), 2}};
    options.env = EnvironmentWith({{"TMPDIR", (box.dir() / "boot").string()}});
    auto machine = Process::Start(options);
    ASSERT_TRUE(machine.ok()) << machine.error().message;
    while (!box.Exists("ready")) {
      if (const auto ended = machine->TryWait()) {
        if (cut == 0 && ended->code == 77) GTEST_SKIP() << "User Mode Linux does not start here";
        FAIL() << "the machine ended: " << ended->ToString() << "\n"
               << box.Shell("cat problems boot/said").out;
      }
      ::usleep(20'000);
    }
    ::usleep(static_cast<useconds_t>(std::uniform_real_distribution<double>(0.0, 3.0)(random) * 1e6));
    // The kernel and what it runs are one session; tools/uml ends when they have.
    box.Shell("session=$(cat boot/*/kernel/pid); while pkill -KILL -s $session; do sleep 0.02; done");
    const auto ended = machine->Wait();
    ASSERT_FALSE(box.Exists("problems")) << box.Read("problems");
    ASSERT_EQ(ended.code, 137) << box.Read("boot/said");
  }
  const std::string done = box.Read("done");
  std::printf("%d power cuts (seed %u): %zu runs were reported as done, none was forgotten\n", times, seed,
              Split(Trim(done), '\n').size());
}

}  // namespace
}  // namespace genflow
