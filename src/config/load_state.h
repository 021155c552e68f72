// What the parts of the loader share while one pipeline file is read. Internal to src/config.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "config/expr.h"
#include "config/pipeline.h"
#include "config/yaml_tree.h"

namespace genflow {

inline const std::vector<std::string> kStageKeys = {"uses", "in",  "out",     "with",    "needs",
                                                    "if",   "env", "retries", "timeout", "resources"};

// The names below one level of a stage's parameters.
struct ParamIndex {
  std::unordered_map<std::string_view, const ParamInfo*> params;  // by dotted name
  std::map<std::string, std::vector<std::string>, std::less<>>
      groups;  // "" or "lora" -> names one level below
};

// What is known of a stage before its body is read: enough to check references to it.
struct StageHead {
  const YamlNode* key = nullptr;
  const YamlNode* body = nullptr;   // null: not a mapping
  const YamlNode* uses = nullptr;   // null: not given
  const StageInfo* info = nullptr;  // null: exec, or unknown
  bool exec = false;
  std::vector<ExecOutput> outputs;  // of exec
  bool known() const { return exec || info != nullptr; }
};

struct ParamValue {
  nlohmann::json value;
  const YamlNode* key = nullptr;
  bool bad = false;  // its problem was reported
  bool used = false;
};

struct LoadState {
  LoadState(const LoadOptions& options, std::shared_ptr<const SourceText> source)
      : options(options), source(std::move(source)) {}

  Position PositionOf(const YamlNode& node) const { return source->At(node.offset, node.bytes); }
  // The place of a part of a scalar's text, or of the whole scalar where it is not written as it reads.
  Position PartOf(const YamlNode& node, size_t start, size_t bytes) const;
  void Error(Position where, std::string message, std::string hint = {});
  void Error(const YamlNode& node, std::string message, std::string hint = {}) {
    Error(PositionOf(node), std::move(message), std::move(hint));
  }
  void Warn(Position where, std::string message, std::string hint = {});
  // A problem of the command line or of the environment.
  void ErrorOutside(std::string message, std::string hint = {});

  // The candidate that was probably meant. Gives up once suggestions cost too much in one file.
  std::optional<std::string> Nearest(std::string_view word, const std::vector<std::string>& candidates);
  // "did you mean 'x'?", or `otherwise`.
  std::string DidYouMean(std::string_view word, const std::vector<std::string>& candidates,
                         std::string otherwise = {});
  // True when `node` is a mapping; else reports "WHAT expects a mapping, got ...".
  bool ExpectMap(const YamlNode& node, std::string_view what);
  // Reports keys of a mapping that are not in `known`.
  void CheckKeys(const YamlNode& map, std::string_view what, const std::vector<std::string>& known);
  // True when a key that is not in `known` was probably meant to be `name`: then that key is reported, and
  // `name` not as missing as well.
  bool IsMisspelt(const YamlNode& map, std::string_view name, const std::vector<std::string>& known);

  const StageHead* FindHead(std::string_view id) const;
  const ParamIndex& IndexOf(const StageInfo& info);
  // Type of an output, or nothing where the stage has no such output.
  static std::optional<std::string> OutputType(const StageHead& head, std::string_view port);
  static std::vector<std::string> OutputNames(const StageHead& head);

  const LoadOptions& options;
  std::shared_ptr<const SourceText> source;
  YamlTree tree;
  std::vector<Diagnostic> diagnostics;
  std::map<std::string, ParamValue> params;
  std::vector<StageHead> heads;  // in file order
  std::unordered_map<std::string_view, size_t> head_index;
  std::vector<std::string> stage_ids;
  // type -> the first outputs of it, "stage.port", from two stages at most: examples for messages
  std::map<std::string, std::vector<std::string>> outputs_of_type;
  std::map<std::string, Secret> secrets;
  std::set<std::string> missing_secrets;  // reported already
  size_t result_bytes = 0;                // of all expressions so far
  size_t suggestions_cost = 0;

 private:
  std::unordered_map<const StageInfo*, ParamIndex> indexes_;
};

// "a dataset", "an adapter".
std::string WithArticle(std::string_view noun);
// "'abc'", "nothing", "a list", "a mapping", "a secret": what a message says it got.
std::string DescribeValue(const YamlNode& node);
bool IsIdentifier(std::string_view text, bool allow_dash);
// Offset of the first byte that is not part of UTF-8, or npos.
size_t FindBadUtf8(std::string_view text);

// Evaluates the expressions of values at one kind of place.
class Scope : public ExprNames {
 public:
  enum Allow : unsigned { kParams = 1, kEnv = 2, kSecrets = 4, kOutputs = 8 };
  // `place` names it for refusals: "params", "if", "run". Sinks may be null where not allowed.
  Scope(LoadState* state, unsigned allow, std::string place, std::vector<InputRef>* outputs = nullptr,
        std::set<std::string>* secrets = nullptr)
      : state_(state), allow_(allow), place_(std::move(place)), outputs_(outputs), secrets_(secrets) {}

  // The node itself, or a new one that holds what its expressions give; null after a reported problem.
  const YamlNode* Resolve(const YamlNode& node);
  // A whole tree as JSON. False after a reported problem.
  bool ToJson(const YamlNode& node, nlohmann::json* out);
  // A condition, with or without ${{ }}; nothing after a reported problem. `text` gets what is evaluated.
  std::optional<bool> Condition(const YamlNode& node, std::string* text);
  // A scalar as text; nothing after a reported problem. `what` names it: "env.HOME".
  std::optional<std::string> Text(const YamlNode& node, std::string_view what);

  NameValue Param(const std::string& name) override;
  NameValue Env(const std::string& name) override;
  NameValue Secret(const std::string& name) override;
  NameValue Output(const std::string& stage, const std::string& port) override;

  LoadState& state() { return *state_; }

 private:
  NameValue Refuse(const char* what) const;
  // Evaluates text[start, end) of a node; nothing after a problem. `opener` is where its "${{" probably
  // stands in the source; an expression without one has `start` 0.
  std::optional<nlohmann::json> Evaluate(const YamlNode& node, size_t start, size_t end, size_t opener,
                                         bool null_is_fine);
  const YamlNode* FromJson(const nlohmann::json& value, const YamlNode& at);

  LoadState* state_;
  unsigned allow_;
  std::string place_;
  std::vector<InputRef>* outputs_;
  std::set<std::string>* secrets_;
  Position position_;  // of the expression that is evaluated
};

// Turns a node into the JSON that a parameter's type wants; false after a reported problem. `absent` is
// set where an expression gave null: the parameter counts as not given.
bool CoerceParam(Scope& scope, const YamlNode& node, const ParamInfo& param, const std::string& name,
                 StageSpec* stage, nlohmann::json* out, bool* absent);
// Reads `with` (null: not given) of a plugin stage; `where` is the place of what is missing.
void ReadWith(LoadState* state, const StageInfo& info, Position where, const YamlNode* with, Scope& scope,
              StageSpec* stage);

// Reads an input from outside the pipeline, a mapping; `info` is the port's, null for exec.
void ReadOutsideInput(LoadState* state, const YamlNode& node, const std::string& port, const PortInfo* info,
                      StageSpec* stage);
// Once all inputs of the stage are read: those from outside that name no output take the outputs of the
// stage's other inputs of their type.
void CompleteOutsideInputs(LoadState* state, StageSpec* stage);

struct StageDefaults {
  int retries = 0;
  double retry_backoff = 1;
  std::optional<double> timeout;
  ResourceSpec resources;
  std::map<std::string, std::string> env;
  std::set<std::string> secrets;  // used in env
};
StageDefaults ReadDefaults(LoadState* state, const YamlNode* defaults);
StageSpec ReadStage(LoadState* state, const StageHead& head, const StageDefaults& defaults);

}  // namespace genflow
