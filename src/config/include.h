// `uses: ./clean.yaml`: a stage that is a pipeline file. Internal to src/config.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "config/load_state.h"

namespace genflow {

struct Include {
  LoadOptions options;               // those of the pipeline, without what it was given itself
  std::unique_ptr<LoadState> state;  // of the file
  const YamlNode* root = nullptr;    // null: a problem with it was reported
  StageInfo info;                    // inputs and outputs, as if it were a stage of a plugin
  std::map<std::string, std::vector<InputRef>> outputs;  // where each comes from
};

// Reads `inputs` of a file whose heads are read, into `sub->inputs` and `info`.
void ReadDeclaredInputs(LoadState* sub, const YamlNode& root, StageInfo* info);
// Reads `outputs` of a file: each port with what it names, in file order.
std::vector<std::pair<std::string, std::vector<InputRef>>> ReadDeclaredOutputs(LoadState* state,
                                                                               const YamlNode& root);
// Reports inputs that nothing in the file has named; once its stages are read.
void ReportUnusedInputs(LoadState* sub);
// Reports values in profiles that are not in force, as far as they are written out, that have not the type of
// the parameter.
void CheckProfileParams(LoadState* state, const YamlNode& root);
// Whether `uses` names a file.
bool IsPipelineFile(std::string_view uses);
// Reads the file of `head` as far as the heads of its stages, and makes it `head->include`. `head->info` is
// null where it cannot be used.
void OpenInclude(LoadState* state, StageHead* head);
// Reads the stages of the file. `defaults` hold for them unless they say otherwise.
std::vector<StageSpec> ReadInclude(LoadState* state, const StageHead& head, const StageDefaults& defaults);
// The ids of the stages that a head stands for.
std::vector<std::string> StagesOf(const StageHead& head);

}  // namespace genflow
