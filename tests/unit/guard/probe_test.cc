#include "guard/probe.h"

#include <gtest/gtest.h>

namespace genflow::guard {
namespace {

std::string Parse(std::string_view text) {
  const WordLists lists = {{"toxicity", {"idiot"}}};
  const auto file = ParseProbeFile(text, "p.json", lists);
  return file.ok() ? "ok" : file.error().ToString();
}

std::string With(const std::string& rest) {
  return R"({"format": "genflow.guard", "version": 1, )" + rest + "}";
}

TEST(ProbeFile, FileDefaultsReachTheProbes) {
  const WordLists lists;
  const auto file = ParseProbeFile(With(R"("kind": "k", "severity": "high", "system": "Be good.",
      "detectors": [{"type": "pii"}],
      "probes": [{"id": "a", "turns": ["x"]},
                 {"id": "b", "turns": ["x", "y"], "severity": "low", "system": "S",
                  "detectors": [{"type": "contains", "any": ["z"]}, {"type": "pii"}]}])"),
                                   "p.json", lists);
  ASSERT_TRUE(file.ok()) << file.error().ToString();
  const Probe& a = file->probes[0];
  EXPECT_EQ(a.kind + "/" + a.id + "/" + a.severity + "/" + a.system, "k/a/high/Be good.");
  EXPECT_EQ(a.detectors.size(), 1u);
  const Probe& b = file->probes[1];
  EXPECT_EQ(b.severity + "/" + b.system, "low/S");
  EXPECT_EQ(b.turns, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(b.detectors.size(), 2u);
}

TEST(ProbeFile, Errors) {
  EXPECT_EQ(Parse(""), "p.json: not JSON at byte 1");
  EXPECT_EQ(Parse("{}"),
            "p.json is not a probe file\n"
            "  hint: it begins with {\"format\": \"genflow.guard\", \"version\": 1, ...}");
  EXPECT_EQ(Parse(With(R"("kind": "a b")")),
            "p.json: 'kind' is 'a b': expected lower-case letters, digits and '_'\n"
            "  hint: it becomes part of a metric's name");
  EXPECT_EQ(Parse(With(R"("kind": "k", "probs": [])")),
            "p.json: unknown member 'probs'\n  hint: did you mean 'probes'?");
  EXPECT_EQ(
      Parse(With(R"("kind": "k", "severity": "hgh")")),
      "p.json: 'severity' is 'hgh': expected low, medium, high, critical\n  hint: did you mean 'high'?");
  EXPECT_EQ(Parse(With(R"("kind": "k", "probes": [])")),
            "p.json: 'probes' is not a list of at least one probe");
  EXPECT_EQ(
      Parse(With(R"("kind": "k", "probes": [{"id": "a", "turns": ["x"]}])")),
      "p.json: probes[0] has no detectors\n  hint: give 'detectors' to the probe, or to the whole file");
  EXPECT_EQ(
      Parse(With(R"("kind": "k", "detectors": [{"type": "pii"}], "probes": [{"id": "a", "turns": []}])")),
      "p.json: probes[0]: 'turns' is []: expected a list of at least one string");
  EXPECT_EQ(Parse(With(R"("kind": "k", "detectors": [{"type": "pii"}],
                          "probes": [{"id": "a", "turns": ["x"]}, {"id": "a", "turns": ["x"]}])")),
            "p.json: probes[1]: the id 'a' is taken");
  EXPECT_EQ(
      Parse(With(R"("kind": "k", "probes": [{"id": "a", "turns": ["x"], "detectors": [{"type": "pi"}]}])")),
      "p.json: probes[0].detectors[0]: 'type' is 'pi': expected contains, matches, canary, pii, words, "
      "no_refusal\n  hint: did you mean 'pii'?");
}

TEST(BuiltinProbes, AreWholeAndSortedByKind) {
  const auto files = BuiltinProbes(BuiltinWordLists());
  ASSERT_TRUE(files.ok()) << files.error().ToString();
  std::vector<std::string> kinds;
  for (const auto& file : *files) {
    kinds.push_back(file.kind);
    EXPECT_EQ(file.probes.size(), 8u) << file.kind;
    EXPECT_FALSE(file.about.empty()) << file.kind;
  }
  EXPECT_EQ(kinds, (std::vector<std::string>{"encoding", "jailbreak", "pii", "prompt_injection",
                                             "system_prompt_leak", "toxicity"}));
  EXPECT_TRUE(BuiltinWordLists().contains("toxicity"));
}

// A probe that its own prompt fails would count a model that merely repeats the question; in these kinds an
// echo of the prompt is no fault.
TEST(BuiltinProbes, EchoingThePromptPasses) {
  const auto files = BuiltinProbes(BuiltinWordLists());
  ASSERT_TRUE(files.ok());
  for (const auto& file : *files) {
    if (file.kind == "jailbreak") continue;
    for (const auto& probe : file.probes) {
      for (const auto& turn : probe.turns) {
        for (const auto& detector : probe.detectors) {
          const auto finding = detector->Check({probe.system, turn, turn});
          ASSERT_TRUE(finding.ok());
          EXPECT_FALSE(finding->has_value()) << file.kind << " " << probe.id << ": " << (*finding)->evidence;
        }
      }
    }
  }
}

}  // namespace
}  // namespace genflow::guard
