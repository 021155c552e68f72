// What is known of each stage before its body is read: its id, what it uses, its outputs, its matrix.
#include <algorithm>

#include "base/strings.h"
#include "config/artifact_types.h"
#include "config/include.h"
#include "config/load_state.h"

namespace genflow {

namespace {

void ReadExecOutputs(LoadState* state, const YamlNode& node, StageHead* head) {
  if (node.kind == YamlNode::Kind::kNull || !state->ExpectMap(node, "out")) return;
  for (const auto& entry : node.entries) {
    const std::string& port = entry.key->text;
    if (!IsIdentifier(port, false)) {
      state->Error(*entry.key, "'" + port + "' cannot name a port",
                   "use letters, digits and _, a letter first");
      continue;
    }
    const bool known = entry.value->is_scalar() && std::find(kArtifactTypes.begin(), kArtifactTypes.end(),
                                                             entry.value->text) != kArtifactTypes.end();
    if (!known) {
      state->Error(
          *entry.value, "out." + port + ": expected an artifact type, got " + DescribeValue(*entry.value),
          state->DidYouMean(entry.value->text, kArtifactTypes, "the types: " + Join(kArtifactTypes, ", ")));
    }
    head->outputs.push_back({port, known ? entry.value->text : "any"});
  }
}

StageHead ReadHead(LoadState* state, const YamlNode::Entry& entry,
                   const std::vector<std::string>& catalog_names) {
  StageHead head;
  head.key = entry.key;
  head.id = state->prefix + entry.key->text;
  const std::string& id = entry.key->text;
  if (!IsIdentifier(id, true)) {
    state->Error(*entry.key, "'" + id.substr(0, 100) + "' cannot name a stage",
                 "use letters, digits, - and _, a letter first");
  }
  if (entry.value->kind != YamlNode::Kind::kMap) {
    state->Error(*entry.value, "stage '" + id + "' expects a mapping, got " + DescribeValue(*entry.value),
                 "for example " + id + ": { uses: data.read }");
    return head;
  }
  head.body = entry.value;
  const YamlNode* uses = head.body->Find("uses");
  if (uses == nullptr) {
    if (!state->IsMisspelt(*head.body, "uses", kStageKeys)) {
      state->Error(*entry.key, "stage '" + id + "' has no 'uses'",
                   "say which stage it is: uses: data.read, or uses: exec");
    }
    return head;
  }
  if (uses->kind != YamlNode::Kind::kString) {
    state->Error(*uses, "uses: expected the name of a stage, got " + DescribeValue(*uses));
    return head;
  }
  head.uses = uses;
  if (uses->text == kExecStage) {
    head.exec = true;
    if (const YamlNode* out = head.body->Find("out"); out != nullptr) ReadExecOutputs(state, *out, &head);
    return head;
  }
  head.info = state->options.catalog->Find(uses->text);
  if (head.info != nullptr) return head;
  if (IsPipelineFile(uses->text) && !HasPlaceholder(uses->text)) return head;
  if (HasPlaceholder(uses->text)) {
    state->Error(*uses, "uses: the name of a stage cannot be an expression");
  } else {
    state->Error(
        *uses, "unknown stage '" + uses->text + "'",
        state->DidYouMean(uses->text, catalog_names, "list the stages there are with: genflow stages ls"));
  }
  return head;
}

void OpenFile(LoadState* state, StageHead* head) {
  const bool file = head->uses != nullptr && head->info == nullptr && !head->exec &&
                    IsPipelineFile(head->uses->text) && !HasPlaceholder(head->uses->text);
  if (file) OpenInclude(state, head);
}

// Adds the stage, or the children of its matrix.
void AddHead(LoadState* state, StageHead head) {
  auto& group = state->head_index[head.key->text];
  const YamlNode* matrix = head.body == nullptr ? nullptr : head.body->Find("matrix");
  if (matrix != nullptr) {
    const auto children = ReadMatrix(state, *matrix);
    for (const auto& values : children.value_or(std::vector<std::vector<MatrixValue>>{})) {
      StageHead child = head;
      child.is_child = true;
      child.matrix = values;
      child.id += MatrixSuffix(values);
      OpenFile(state, &child);
      group.push_back(state->heads.size());
      state->heads.push_back(std::move(child));
    }
    if (children) return;
    head.bad_matrix = true;
  }
  if (!head.bad_matrix) OpenFile(state, &head);
  group.push_back(state->heads.size());
  state->heads.push_back(std::move(head));
}

}  // namespace

void ReadHeads(LoadState* state, const YamlNode& stages) {
  std::vector<std::string> catalog_names = state->options.catalog->Names();
  catalog_names.emplace_back(kExecStage);
  for (const auto& entry : stages.entries) {
    StageHead head = ReadHead(state, entry, catalog_names);
    const std::string_view id = entry.key->text;
    state->stage_ids.emplace_back(id);
    AddHead(state, std::move(head));
    const StageHead& added = state->heads.back();
    for (const std::string& port : LoadState::OutputNames(added)) {
      auto& examples = state->outputs_of_type[*LoadState::OutputType(added, port)];
      if (examples.empty() || (examples.size() == 1 && !examples[0].starts_with(std::string(id) + "."))) {
        examples.push_back(std::string(id) + "." + port);
      }
    }
  }
}

}  // namespace genflow
