#include "engine/input_check.h"

#include "base/strings.h"
#include "engine/key_change.h"

namespace genflow {

namespace {

bool IsFile(const InputRef& input) {
  return input.outside && input.outside->kind == OutsideSource::Kind::kFile;
}

Status CheckArtifacts(const StageSpec& stage, const KnownOutputs& outputs, Store& store) {
  for (const auto* inputs : {&stage.inputs, &stage.expression_inputs}) {
    for (const auto& input : *inputs) {
      const auto found = outputs.find(input.Source());
      if (IsFile(input) || found == outputs.end()) continue;
      GF_TRY(const std::string problem, store.CheckArtifact(found->second.digest));
      if (problem.empty()) continue;
      const std::string source = input.outside ? input.outside->label : input.Source();
      return MakeError(Code::kCorrupt,
                       "was given " + source + " (" + found->second.digest.substr(0, 12) +
                           "), which is damaged: " + problem,
                       "it was set aside; the next run makes it anew. A stage must not write to its inputs");
    }
  }
  return Ok();
}

}  // namespace

Result<std::string> CheckInputs(const StageSpec& stage, const StageKey& key, const KnownOutputs& outputs,
                                Store& store) {
  GF_CHECK_OK(CheckArtifacts(stage, outputs, store));
  for (const auto& input : stage.inputs) {
    const auto found = outputs.find(input.Source());
    if (!IsFile(input) || found == outputs.end()) continue;
    const auto digest = store.DigestTree(found->second.path());
    if (!digest.ok() || *digest != found->second.digest) return "input '" + input.outside->ref + "' changed";
  }
  if (stage.files.empty()) return std::string();
  const auto now = ComputeKey(stage, outputs, store);
  if (!now.ok()) return now.error().message;
  if (now->key == key.key) return std::string();
  return Join(DescribeKeyChange(key.components, now->components), "; ");
}

}  // namespace genflow
