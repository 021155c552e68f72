#include "faults/storm.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#ifdef STORM_TRAINS
#include "cli/training_sandbox.h"
#endif

namespace genflow {

namespace {

using nlohmann::json;

constexpr char kStages[] = R"(  source:
    uses: exec
    with:
      run: 'for i in $(seq 1 40); do echo "line $i"; sleep 0.002; done > "$GENFLOW_OUT_TEXT"'
      files: [words.txt]
    out: { text: file }
  count-a:
    uses: test.count
    needs: [source]
    with: { steps: 20, pause: PAUSE }
  count-b:
    uses: test.count
    in: { after: source.text }
    with: { steps: 9, pause: PAUSE }
  twin-a:
    uses: exec
    in: { text: source.text }
    with: { run: 'sort "$GENFLOW_IN_TEXT" > "$GENFLOW_OUT_SORTED"; sleep 0.05' }
    out: { sorted: file }
  twin-b:
    uses: exec
    in: { text: source.text }
    with: { run: 'sleep 0.03; sort "$GENFLOW_IN_TEXT" > "$GENFLOW_OUT_SORTED"' }
    out: { sorted: file }
  tree:
    uses: exec
    in: { text: source.text }
    with:
      run: |
        mkdir -p "$GENFLOW_OUT_PARTS/deep"
        split -l 2 "$GENFLOW_IN_TEXT" "$GENFLOW_OUT_PARTS/deep/part-"
        head -c 300000 /dev/zero > "$GENFLOW_OUT_PARTS/zeros"
        ln -s deep/part-aa "$GENFLOW_OUT_PARTS/first"
        (cd "$GENFLOW_OUT_PARTS" && sha256sum deep/*) > "$GENFLOW_OUT_SUMS"
    out: { parts: file, sums: file }
  merge:
    uses: test.act
    in: { in: [count-a.steps, count-b.steps, twin-a.sorted, twin-b.sorted, tree.sums] }
    with: { text: "merged\n" }
  check:
    uses: exec
    in: { parts: tree.parts, merged: merge.out }
    with: { run: 'grep -q merged "$GENFLOW_IN_MERGED"; test -s "$GENFLOW_IN_PARTS/zeros"; sleep 0.02' }
  last:
    uses: exec
    needs: [check]
    in: { merged: merge.outTUNED }
    with: { run: 'wc -c < "$GENFLOW_IN_MERGED" > "$GENFLOW_OUT_SIZE"' }
    out: { size: file }
)";

std::string Replaced(std::string text, const std::string& what, const std::string& with) {
  const size_t at = text.find(what);
  if (at == std::string::npos) return text;
  return Replaced(text.substr(0, at) + with + text.substr(at + what.size()), what, with);
}

}  // namespace

bool HasTraining() {
#ifdef STORM_TRAINS
  return true;
#else
  return false;
#endif
}

size_t StormStages() { return HasTraining() ? 12 : 9; }

void WriteStorm(const Sandbox& box, double pause) {
  std::string text = "name: storm\nstages:\n" + Replaced(kStages, "PAUSE", std::to_string(pause));
  text = Replaced(text, "TUNED", HasTraining() ? ", adapter: tune.adapter" : "");
#ifdef STORM_TRAINS
  text += TrainingStages({.max_steps = 150, .max_length = 128, .checkpoint_ms = 50});
  PrepareTrainingInputs(box);
#endif
  box.Write("words.txt", "some words\n");
  box.Write("pipeline.yaml", text);
}

std::optional<RunState> LatestRun(const Sandbox& box) {
  if (!box.Exists(".genflow")) return std::nullopt;
  const auto shown = box.Genflow({"runs", "show", "--json"});
  if (shown.code != 0) return std::nullopt;
  const json run = json::parse(shown.out);
  RunState state;
  state.id = run.at("id");
  state.status = run.at("status");
  for (const json& attempt : run.at("attempts")) {
    const std::string stage = attempt.at("stage"), status = attempt.at("status");
    if (status != "run" && status != "cached") continue;
    state.done.insert(stage);
    if (status == "run") state.ran.insert(stage);
    for (const json& output : attempt.at("outputs"))
      state.digests[stage + "." + output.at("port").get<std::string>()] = output.at("digest");
  }
  return state;
}

std::string FsckProblems(const Sandbox& box) {
  const auto checked = box.Genflow({"fsck", "--json"});
  const json report = json::parse(checked.out, nullptr, false);
  if (checked.code == 0 && report.is_object() && report.at("clean") == true) return "";
  return checked.out + checked.err;
}

}  // namespace genflow
