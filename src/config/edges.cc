// `in:` and `needs:`: what a stage reads and waits for.
#include "base/strings.h"
#include "config/include.h"

namespace genflow {

namespace {

// A text that names stages, its expressions (values of the stage's own matrix) filled in; null after a
// reported problem.
const YamlNode* ReferenceText(LoadState* state, const YamlNode& node, const std::string& what) {
  if (!HasPlaceholder(node.text)) return &node;
  if (state->current == nullptr || !(state->current->is_child || state->current->bad_matrix)) {
    if (state->current != nullptr && node.text.find("matrix.") != std::string::npos)
      state->Error(node, what + ": the stage has no matrix, so that matrix.A means nothing here");
    else
      state->Error(node, what + ": an edge cannot be an expression",
                   what == "needs" ? "write the name of a stage" : "write stage.port");
    return nullptr;
  }
  Scope scope(state, Scope::kMatrix, "an edge");
  return scope.ResolveReference(node);
}

// "inputs.NAME" in a file that another one uses: what the user gives there.
std::vector<InputRef> ReadOuterInput(LoadState* state, const YamlNode& node, const std::string& port,
                                     const std::string& type, const std::string& what) {
  const std::string name = node.text.substr(std::string_view("inputs.").size());
  const auto found = state->inputs.find(name);
  if (found == state->inputs.end()) {
    std::vector<std::string> names;
    for (const auto& [other, input] : state->inputs) names.push_back(other);
    // What was probably meant is not reported as unused as well.
    if (const auto near = state->Nearest(name, names)) state->inputs.at(*near).used = true;
    state->Error(node, what + ": the file has no input '" + name + "'",
                 state->DidYouMean(name, names, "its inputs: " + Join(names, ", ")));
    return {};
  }
  found->second.used = true;
  const std::string& given = found->second.type;
  if (type != "any" && given != "any" && type != given) {
    state->Error(node,
                 what + " expects " + WithArticle(type) + ", but " + node.text + " is " + WithArticle(given));
    return {};
  }
  std::vector<InputRef> out = found->second.from;
  for (auto& ref : out) {
    ref.port = port;
    ref.position = state->PositionOf(node);
  }
  return out;
}

}  // namespace

std::vector<InputRef> ReadReference(LoadState* state, const YamlNode& written, const std::string& port,
                                    const std::string& type, const std::string& place) {
  const std::string what = place + "." + port;
  if (written.kind != YamlNode::Kind::kString) {
    state->Error(written, what + ": expected an output such as stage.port, got " + DescribeValue(written));
    return {};
  }
  const YamlNode* resolved = ReferenceText(state, written, what);
  if (resolved == nullptr) return {};
  const YamlNode& node = *resolved;
  const std::string& text = node.text;
  if (!state->inputs.empty() && text.starts_with("inputs."))
    return ReadOuterInput(state, node, port, type, what);
  const size_t dot = FindPortDot(text);
  const std::string stage = text.substr(0, dot);
  const auto named = state->FindStages(stage);
  if (named.heads.empty()) {
    state->Error(state->PartOf(node, 0, named.problem_bytes), what + ": " + named.problem, named.hint);
    return {};
  }
  const StageHead* head = named.heads.front();
  const std::vector<std::string> outputs = LoadState::OutputNames(*head);
  if (dot == std::string::npos) {
    state->Error(node, what + ": expected an output such as stage.port, got '" + text + "'",
                 outputs.size() == 1 ? "did you mean '" + stage + "." + outputs[0] + "'?"
                 : outputs.empty()   ? ""
                                     : "the outputs of '" + stage + "': " + Join(outputs, ", "));
    return {};
  }
  const std::string source_port = text.substr(dot + 1);
  std::string source_type;
  if (head->known()) {
    const auto found = LoadState::OutputType(*head, source_port);
    if (!found) {
      state->Error(
          state->PartOf(node, dot + 1, source_port.size()),
          what + ": stage '" + stage + "' has no output '" + source_port + "'",
          state->DidYouMean(source_port, outputs,
                            outputs.empty() ? "it has no outputs" : "its outputs: " + Join(outputs, ", ")));
      return {};
    }
    source_type = *found;
    if (type != "any" && type != source_type) {
      state->Error(
          node, what + " expects " + WithArticle(type) + ", but " + text + " is " + WithArticle(source_type));
      return {};
    }
  }
  std::vector<InputRef> out;
  for (const StageHead* source : named.heads) {
    if (source->include != nullptr) {  // from a stage of its file
      const auto inner = source->include->outputs.find(source_port);
      if (inner == source->include->outputs.end()) continue;
      for (InputRef ref : inner->second) {
        ref.port = port;
        ref.position = state->PositionOf(node);
        ref.collected |= !named.single;
        if (!named.single)
          ref.matrix.insert(ref.matrix.begin(), source->matrix.begin(), source->matrix.end());
        out.push_back(std::move(ref));
      }
      continue;
    }
    out.push_back({port, source->id, source_port, source_type, state->PositionOf(node), !named.single, {}});
    if (!named.single) out.back().matrix = source->matrix;
  }
  return out;
}

void ReadInputs(LoadState* state, const StageHead& head, const YamlNode* in, StageSpec* stage) {
  std::set<std::string> given;
  if (in != nullptr && in->kind != YamlNode::Kind::kNull) {
    if (!state->ExpectMap(*in, "in")) return;
    for (const auto& entry : in->entries) {
      const std::string& port = entry.key->text;
      const PortInfo* info = head.info == nullptr ? nullptr : head.info->FindInput(port);
      if (head.info != nullptr && info == nullptr) {
        std::vector<std::string> names;
        for (const auto& p : head.info->inputs) names.push_back(p.name);
        state->Error(
            *entry.key, "'" + head.info->name + "' has no input '" + port + "'",
            state->DidYouMean(port, names,
                              names.empty() ? "it has no inputs" : "its inputs: " + Join(names, ", ")));
        // What was probably meant is not reported as missing as well.
        if (auto near = state->Nearest(port, names)) given.insert(*std::move(near));
        continue;
      }
      if (head.exec && !IsIdentifier(port, false)) {
        state->Error(*entry.key, "'" + port + "' cannot name a port",
                     "use letters, digits and _, a letter first");
        continue;
      }
      given.insert(port);
      const std::string type = info == nullptr ? "any" : info->type;
      const bool list = entry.value->kind == YamlNode::Kind::kList;
      if (list && head.known() && (info == nullptr || !info->many)) {
        state->Error(*entry.value, "in." + port + " takes one artifact, not a list",
                     head.exec ? "give each artifact a port of its own" : "");
        continue;
      }
      if (list && entry.value->items.empty()) {
        state->Error(*entry.value, "in." + port + ": the list is empty");
        continue;
      }
      for (const YamlNode* item : list ? entry.value->items : std::vector<const YamlNode*>{entry.value}) {
        if (item->kind == YamlNode::Kind::kMap) {
          ReadOutsideInput(state, *item, port, info, stage);
          continue;
        }
        std::vector<InputRef> refs = ReadReference(state, *item, port, type, "in");
        if (info != nullptr && !info->many) {
          if (refs.size() > 1) {
            const std::string& text = item->text;
            state->Error(*item,
                         "in." + port + " takes one artifact, but " + text + " is " +
                             std::to_string(refs.size()) + ", one of each child of the matrix",
                         "name one: " + refs[0].source_stage + "." + refs[0].source_port);
            continue;
          }
          for (auto& ref : refs) {
            ref.collected = false;
            ref.matrix.clear();
          }
        }
        stage->inputs.insert(stage->inputs.end(), refs.begin(), refs.end());
      }
    }
  }
  CompleteOutsideInputs(state, stage);
  if (head.info == nullptr) return;
  for (const auto& port : head.info->inputs) {
    if (port.optional || given.count(port.name) > 0) continue;
    std::string hint;
    for (const std::string& example : state->outputs_of_type[port.type]) {
      if (hint.empty() && !example.starts_with(head.key->text + "."))
        hint = "for example, in: { " + port.name + ": " + example + " }";
    }
    state->Error(*head.key,
                 "stage '" + head.key->text + "' needs the input '" + port.name + "' of " + head.info->name +
                     (port.type == "any" ? "" : ", " + WithArticle(port.type)),
                 std::move(hint));
  }
}

void ReadNeeds(LoadState* state, const YamlNode& node, StageSpec* stage) {
  const bool list = node.kind == YamlNode::Kind::kList;
  for (const YamlNode* item : list ? node.items : std::vector<const YamlNode*>{&node}) {
    if (item->kind != YamlNode::Kind::kString) {
      state->Error(*item, "needs: expected the name of a stage, got " + DescribeValue(*item));
      continue;
    }
    const YamlNode* resolved = ReferenceText(state, *item, "needs");
    if (resolved == nullptr) continue;
    const auto named = state->FindStages(resolved->text);
    if (named.heads.empty()) {
      state->Error(state->PartOf(*resolved, 0, named.problem_bytes), "needs: " + named.problem, named.hint);
    }
    for (const StageHead* head : named.heads) {
      for (const auto& id : StagesOf(*head)) stage->needs.push_back({id, state->PositionOf(*item)});
    }
  }
}

}  // namespace genflow
