#include <algorithm>
#include <cstdlib>

#include "base/sha256.h"
#include "base/strings.h"
#include "config/include.h"

namespace genflow {

namespace {

using nlohmann::json;

constexpr size_t kMaxAllResultBytes = 64u << 20;
constexpr std::string_view kOpen = "${{";

size_t BytesOf(const json& value) {
  if (value.is_string()) return value.get_ref<const std::string&>().size();
  size_t bytes = 8;
  if (value.is_structured()) {
    for (const auto& item : value) bytes += BytesOf(item);
  }
  return bytes;
}

std::vector<std::string> KeysOf(const std::map<std::string, ParamValue>& map) {
  std::vector<std::string> out;
  for (const auto& [name, value] : map) out.push_back(name);
  return out;
}

// For "matrix.NAME" and nothing else: the value as the user has written it, which text takes over.
const std::string* WrittenValue(const LoadState& state, std::string_view expression) {
  constexpr std::string_view kMatrixDot = "matrix.";
  if (!expression.starts_with(kMatrixDot) || state.current == nullptr) return nullptr;
  for (const auto& value : state.current->matrix) {
    if (value.name == expression.substr(kMatrixDot.size())) return &value.text;
  }
  return nullptr;
}

}  // namespace

NameValue Scope::Refuse(const std::string& what) const {
  return NameValue::Refused(
      what + " cannot be used in " + place_,
      place_ == "run" && what == "secrets" ? "pass it through env: and use the variable" : "");
}

NameValue Scope::Param(const std::string& name) {
  if ((allow_ & kParams) == 0) return Refuse("parameters");
  const auto found = state_->params.find(name);
  if (found == state_->params.end()) {
    const size_t dash = name.find('-');
    if (const auto first = state_->params.find(name.substr(0, dash));
        dash != std::string::npos && first != state_->params.end()) {
      first->second.used = true;
      return NameValue::Refused("unknown parameter '" + name + "'", "a subtraction needs spaces around '-'");
    }
    const auto names = KeysOf(state_->params);
    // What was probably meant is not reported as unused as well.
    if (const auto near = state_->Nearest(name, names)) state_->params[*near].used = true;
    return NameValue::Refused("unknown parameter '" + name + "'",
                              state_->DidYouMean(name, names, "define it under params:"));
  }
  found->second.used = true;
  if (found->second.bad) return NameValue::Refused("");
  NameValue out;
  out.value = found->second.value;
  return Captured("params." + name, std::move(out));
}

NameValue Scope::Env(const std::string& name) {
  if ((allow_ & kEnv) == 0) return Refuse("environment variables");
  NameValue out;
  std::optional<std::string> value;
  if (state_->options.env) {
    value = state_->options.env(name);
  } else if (const char* text = std::getenv(name.c_str()); text != nullptr) {
    value = text;
  }
  if (!value) {
    out.state = NameValue::State::kUnset;
    out.message = "the environment variable '" + name + "' is not set";
  } else if (HasPlaceholder(*value)) {
    return NameValue::Refused("the environment variable '" + name + "' cannot hold '${{'");
  } else {
    out.value = *std::move(value);
  }
  return Captured("env." + name, std::move(out));
}

NameValue Scope::Secret(const std::string& name) {
  if ((allow_ & kSecrets) == 0) return Refuse("secrets");
  if (!IsIdentifier(name, false))
    return NameValue::Refused("'" + name + "' cannot name a secret", "use letters, digits and _");
  if (secrets_ != nullptr) secrets_->insert(name);
  auto known = state_->secrets.find(name);
  if (known == state_->secrets.end()) {
    const std::string variable = "GENFLOW_SECRET_" + name;
    std::optional<std::string> value;
    if (state_->options.secrets) {
      value = state_->options.secrets(name);
    } else if (const char* text = std::getenv(variable.c_str()); text != nullptr) {
      value = text;
    }
    // An empty one is what a CI system gives for a secret that it does not have.
    const bool lacks = !value || value->empty();
    const std::string problem = "the secret '" + name + (value ? "' is empty" : "' is not set");
    if (lacks && state_->options.require_secrets) {
      return NameValue::Refused(
          problem, "set the environment variable " + variable + ", or give a file with --secrets-file");
    }
    if (lacks) {
      state_->Warn(position_, problem,
                   "a run needs the environment variable " + variable + ", or a file with --secrets-file");
    }
    if (!lacks && value->size() < kMinMasked && state_->options.require_secrets) {
      state_->Warn(position_, "the secret '" + name + "' is too short to be masked in what stages say",
                   "take one of at least " + std::to_string(kMinMasked) + " characters");
    }
    std::string digest = "unset";
    if (value) {
      Sha256 hash;
      for (std::string_view part : {std::string_view(state_->options.secret_salt), std::string_view(name),
                                    std::string_view(*value)}) {
        hash.Update(std::to_string(part.size()) + ":");
        hash.Update(part);
      }
      digest = hash.Finish().substr(0, 16);
    }
    known = state_->secrets.emplace(name, genflow::Secret(name, value.value_or(""), digest)).first;
  }
  Placeholder placeholder;
  placeholder.kind = Placeholder::Kind::kSecret;
  placeholder.name = name;
  placeholder.digest = known->second.digest();
  NameValue out;
  out.value = placeholder.ToText();
  return out;
}

NameValue Scope::Matrix(const std::string& name) {
  if ((allow_ & kMatrix) == 0) return Refuse("values of a matrix");
  const StageHead* stage = state_->current;
  if (stage == nullptr || !(stage->is_child || stage->bad_matrix))
    return NameValue::Refused("the stage has no matrix", "give it one: matrix: { " + name + ": [1, 2] }");
  if (stage->bad_matrix) return NameValue::Refused("");
  NameValue out;
  for (const auto& value : stage->matrix) {
    if (value.name != name) continue;
    out.value = value.value;
    return Captured("matrix." + name, std::move(out));
  }
  std::vector<std::string> names;
  for (const auto& value : state_->MatrixNames(*stage)) names.push_back(value);
  if (std::find(names.begin(), names.end(), name) == names.end())
    return NameValue::Refused("the matrix has no '" + name + "'",
                              state_->DidYouMean(name, names, "it has " + Join(names, ", ")));
  out.state = NameValue::State::kUnset;
  out.message = "the combination " + MatrixSuffix(stage->matrix) + " has no '" + name + "'";
  return out;
}

NameValue Scope::Output(const std::string& stage, const std::string& port) {
  if ((allow_ & (kOutputs | kRun)) == 0) return Refuse("outputs of stages");
  const auto named = state_->FindStages(stage);
  if (named.heads.empty()) return NameValue::Refused(named.problem, named.hint);
  const StageHead* head = named.heads.front();
  if (named.heads.size() > 1) {
    return NameValue::Refused(
        "'" + stage + "' is " + std::to_string(named.heads.size()) + " stages of a matrix",
        "name one: stages['" + head->id + "'].outputs." + port + ", or take them all at an input port");
  }
  if (!head->known() || head->bad_matrix) return NameValue::Refused("");
  const auto type = LoadState::OutputType(*head, port);
  if (!type) {
    const auto names = LoadState::OutputNames(*head);
    NameValue out = NameValue::Refused(
        "stage '" + stage + "' has no output '" + port + "'",
        state_->DidYouMean(port, names,
                           names.empty() ? "it has no outputs" : "its outputs: " + Join(names, ", ")));
    out.at_port = true;
    return out;
  }
  InputRef source{"", head->id, port, *type, position_, false, {}};
  if (head->include != nullptr) {
    const auto& inner = head->include->outputs.at(port);
    if (inner.empty()) return NameValue::Refused("");
    if (inner.size() > 1)
      return NameValue::Refused(
          "'" + stage + "." + port + "' is " + std::to_string(inner.size()) + " artifacts",
          "take them all at an input port");
    source.source_stage = inner.front().source_stage;
    source.source_port = inner.front().source_port;
  }
  if ((allow_ & kRun) != 0) {
    NameValue out = NameValue::Unknown();
    ConditionStages(stage, true, &out);
    return out;
  }
  if (outputs_ != nullptr) outputs_->push_back(source);
  Placeholder placeholder;
  placeholder.stage = source.source_stage;
  placeholder.port = source.source_port;
  NameValue out;
  out.value = placeholder.ToText();
  return out;
}

std::optional<json> Scope::Evaluate(const YamlNode& node, size_t start, size_t end, size_t opener,
                                    bool null_is_fine) {
  const std::string_view text = std::string_view(node.text).substr(start, end - start);
  const std::string& source = state_->source->text();
  // Where the expression's text starts in the source.
  size_t raw = opener + kOpen.size();
  if (start == 0) raw = node.offset + (node.plain ? 0 : 1);
  auto place = [&](size_t offset, size_t length) {
    if (raw + offset + length <= source.size() &&
        source.compare(raw, offset + length, text, 0, offset + length) == 0) {
      return state_->source->At(raw + offset, length);
    }
    const bool shown = start > 0 && opener < node.offset + node.bytes;
    return shown ? state_->source->At(opener, kOpen.size()) : state_->PositionOf(node);
  };
  const std::string_view trimmed = Trim(text);
  const size_t lead = trimmed.empty() ? 0 : static_cast<size_t>(trimmed.data() - text.data());
  position_ = place(lead, std::max<size_t>(1, trimmed.size()));

  auto result = EvaluateExpression(text, *this);
  if (const auto* problem = std::get_if<ExprProblem>(&result)) {
    if (problem->message.empty()) return std::nullopt;
    const size_t offset = std::min(problem->offset, text.size());
    state_->Error(place(offset, std::min(problem->length, text.size() - offset)), problem->message,
                  problem->hint);
    return std::nullopt;
  }
  auto& value = std::get<ExprValue>(result);
  unknown_ = value.unknown;
  if (value.value.is_null() && !value.unset.empty() && !null_is_fine) {
    state_->Error(position_, value.unset, "give a default: ${{ " + std::string(trimmed) + " || 'value' }}");
    return std::nullopt;
  }
  state_->result_bytes += BytesOf(value.value);
  if (state_->result_bytes > kMaxAllResultBytes) {
    state_->Error(position_, "the expressions of this file give more than 64 MiB of values");
    return std::nullopt;
  }
  return std::move(value.value);
}

const YamlNode* Scope::FromJson(const json& value, const YamlNode& at) {
  YamlNode* node = state_->tree.New();
  node->from_source = false;
  node->plain = false;
  node->offset = at.offset;
  node->bytes = at.bytes;
  if (value.is_array()) {
    node->kind = YamlNode::Kind::kList;
    for (const auto& item : value) node->items.push_back(FromJson(item, at));
  } else if (value.is_object()) {
    node->kind = YamlNode::Kind::kMap;
    for (const auto& [name, item] : value.items())
      node->entries.push_back({FromJson(json(name), at), FromJson(item, at)});
  } else {
    ScalarToText(value, &node->text);
    if (value.is_null()) {
      node->kind = YamlNode::Kind::kNull;
    } else if (value.is_boolean()) {
      node->kind = YamlNode::Kind::kBool;
      node->boolean = value.get<bool>();
    } else if (value.is_number_integer()) {
      node->kind = YamlNode::Kind::kInt;
      node->integer = value.get<int64_t>();
      node->number = value.get<double>();
    } else if (value.is_number()) {
      node->kind = YamlNode::Kind::kFloat;
      node->number = value.get<double>();
    } else {
      node->kind = YamlNode::Kind::kString;
    }
  }
  return node;
}

const YamlNode* Scope::Resolve(const YamlNode& node) {
  if (node.kind != YamlNode::Kind::kString || !node.from_source) return &node;
  size_t open = node.text.find(kOpen);
  if (open == std::string::npos) return &node;
  const std::string_view text = node.text;
  std::string out;
  size_t at = 0, placeholders = 0;
  size_t written = node.offset;  // of the same "${{" in the source, where it is written as it reads
  bool failed = false;
  while (open != std::string::npos) {
    if (written < state_->source->text().size()) {
      written = std::min(state_->source->text().find(kOpen, written + (at > 0 ? 1 : 0)),
                         state_->source->text().size());
    }
    const size_t start = open + kOpen.size(), end = FindExpressionEnd(text, start);
    if (end == std::string::npos) {
      state_->Error(state_->PartOf(node, open, kOpen.size()), "'${{' is not closed by '}}'");
      return nullptr;
    }
    auto value = Evaluate(node, start, end, written, false);
    if (value && open == 0 && end + 2 == text.size() && !escape_) return FromJson(*value, node);
    std::string piece;
    if (!value) {
      failed = true;
    } else if (!ScalarToText(*value, &piece)) {
      state_->Error(position_,
                    std::string(value->is_array() ? "a list" : "a mapping") + " cannot be part of a text",
                    "use toJSON() or join()");
      failed = true;
    }
    if (const std::string* written = WrittenValue(*state_, Trim(text.substr(start, end - start))))
      piece = *written;
    if (escape_) piece = EscapeMatrixValue(piece);
    placeholders += CountPlaceholders(piece);
    out.append(text.substr(at, open - at)).append(piece);
    at = end + 2;
    open = text.find(kOpen, at);
  }
  if (failed) return nullptr;
  out.append(text.substr(at));
  if (CountPlaceholders(out) != placeholders) {
    state_->Error(node, "the text cannot hold '${{' once its expressions are filled in");
    return nullptr;
  }
  return FromJson(json(std::move(out)), node);
}

const YamlNode* Scope::ResolveReference(const YamlNode& node) {
  escape_ = true;
  const YamlNode* out = Resolve(node);
  escape_ = false;
  return out;
}

bool Scope::ToJson(const YamlNode& node, json* out) {
  if (node.kind == YamlNode::Kind::kList) {
    *out = json::array();
    bool fine = true;
    for (const YamlNode* item : node.items) fine = ToJson(*item, &out->emplace_back()) && fine;
    return fine;
  }
  if (node.kind == YamlNode::Kind::kMap) {
    *out = json::object();
    bool fine = true;
    for (const auto& entry : node.entries) fine = ToJson(*entry.value, &(*out)[entry.key->text]) && fine;
    return fine;
  }
  const YamlNode* value = Resolve(node);
  if (value == nullptr) return false;
  *out = YamlToJson(*value);
  return true;
}

std::optional<std::string> Scope::Text(const YamlNode& node, std::string_view what) {
  const YamlNode* value = Resolve(node);
  if (value == nullptr) return std::nullopt;
  if (!value->is_scalar() || (value->from_source && value->kind == YamlNode::Kind::kNull)) {
    state_->Error(node, std::string(what) + " expects text, got " + DescribeValue(*value));
    return std::nullopt;
  }
  return value->text;
}

}  // namespace genflow
