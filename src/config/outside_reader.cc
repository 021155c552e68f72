// Inputs from outside the pipeline: `in: { baseline: { run: latest-ok } }`.
#include <algorithm>

#include "base/strings.h"
#include "config/load_state.h"

namespace genflow {

namespace {

const std::vector<std::string> kKeys = {"run", "model", "file", "output", "optional"};

bool IsOutput(const std::string& text) {
  const size_t dot = text.rfind('.');
  return dot != std::string::npos && dot > 0 && dot + 1 < text.size() &&
         text.find_first_of(": \t\n@") == std::string::npos;
}

}  // namespace

std::string InputRef::Source() const {
  if (!outside) return source_stage + "." + source_port;
  if (outside->kind == OutsideSource::Kind::kFile) return "file:" + outside->ref;
  return outside->output.empty() ? outside->ref : outside->ref + ":" + outside->output;
}

void ReadOutsideInput(LoadState* state, const YamlNode& node, const std::string& port, const PortInfo* info,
                      StageSpec* stage) {
  const std::string what = "in." + port;
  state->CheckKeys(node, what, kKeys);
  Scope scope(state, Scope::kParams | Scope::kEnv, "in");
  OutsideSource source;
  const YamlNode* named = nullptr;
  using Kind = OutsideSource::Kind;
  const std::pair<const char*, Kind> kinds[] = {
      {"run", Kind::kRun}, {"model", Kind::kModel}, {"file", Kind::kFile}};
  for (const auto& [key, kind] : kinds) {
    const YamlNode* at = node.Find(key);
    if (at == nullptr) continue;
    if (named != nullptr) {
      state->Error(*at, what + ": give one of run, model and file");
      return;
    }
    named = at;
    source.kind = kind;
    auto text = scope.Text(*at, what + "." + key);
    if (!text) return;
    source.ref = *std::move(text);
    if (source.ref.empty()) {
      state->Error(*at, what + "." + std::string(key) + " is empty");
      return;
    }
  }
  if (named == nullptr) {
    for (const char* key : {"run", "model", "file"}) {
      if (state->IsMisspelt(node, key, kKeys)) return;
    }
    state->Error(node, what + ": expected an output such as stage.port, or one of run, model and file",
                 "for example " + port + ": { run: latest-ok, output: stage.port }");
    return;
  }
  if (source.kind == Kind::kModel && source.ref.find('@') == std::string::npos) {
    state->Error(*named, what + ".model: expected NAME@ALIAS or NAME@VERSION, got '" + source.ref + "'",
                 "`genflow models ls` lists them");
    return;
  }
  if (const YamlNode* at = node.Find("output"); at != nullptr) {
    auto text = scope.Text(*at, what + ".output");
    if (!text) return;
    source.output = *std::move(text);
    if (source.kind == Kind::kFile) {
      state->Error(*at, what + ": a file has no output");
      return;
    }
    if (!IsOutput(source.output)) {
      state->Error(*at, what + ".output: expected an output such as stage.port, got '" + source.output + "'");
      return;
    }
  }
  if (const YamlNode* at = node.Find("optional"); at != nullptr) {
    const YamlNode* value = scope.Resolve(*at);
    if (value == nullptr) return;
    if (value->kind != YamlNode::Kind::kBool) {
      state->Error(*at, what + ".optional: expected true or false, got " + DescribeValue(*value));
      return;
    }
    source.optional = value->boolean;
    if (source.optional && info != nullptr && !info->optional) {
      state->Error(*at, what + ": the port needs its artifact, so that it cannot be optional");
      return;
    }
  }
  InputRef input{port, "", "", info == nullptr ? "any" : info->type, state->PositionOf(*named)};
  input.outside = std::move(source);
  stage->inputs.push_back(std::move(input));
}

void CompleteOutsideInputs(LoadState* state, StageSpec* stage) {
  using Kind = OutsideSource::Kind;
  std::vector<InputRef> out;
  for (const InputRef& input : stage->inputs) {
    const bool itself =
        input.outside && input.outside->kind == Kind::kModel &&
        (input.type == "model" || input.type == "adapter" || input.type == "package" || input.type == "any");
    if (!input.outside || input.outside->kind == Kind::kFile || itself || !input.outside->output.empty()) {
      out.push_back(input);
      continue;
    }
    bool found = false;
    for (const InputRef& other : stage->inputs) {
      if (other.outside || other.type != input.type) continue;
      found = true;
      out.push_back(input);
      out.back().outside->output = other.Source();
    }
    if (!found) {
      state->Error(input.position, "in." + input.port + ": which output of that run is meant?",
                   "add output: stage.port");
    }
  }
  stage->inputs = std::move(out);
}

}  // namespace genflow
