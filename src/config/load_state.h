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

inline const std::vector<std::string> kStageKeys = {"uses", "in",      "out",     "with",      "needs", "if",
                                                    "env",  "retries", "timeout", "resources", "matrix"};

// What `defaults`, stages and profiles may set.
inline const std::vector<std::string> kSettingKeys = {"retries", "timeout", "resources", "env"};

// The names below one level of a stage's parameters.
struct ParamIndex {
  std::unordered_map<std::string_view, const ParamInfo*> params;  // by dotted name
  std::map<std::string, std::vector<std::string>, std::less<>>
      groups;  // "" or "lora" -> names one level below
};

struct Include;

// What is known of a stage before its body is read: enough to check references to it.
struct StageHead {
  std::string id;                   // "tune", or a child's: "tune[r=16]"
  std::vector<MatrixValue> matrix;  // of a child
  bool is_child = false;
  bool bad_matrix = false;  // a problem in its matrix was reported: it stands for all its children
  const YamlNode* key = nullptr;
  const YamlNode* body = nullptr;   // null: not a mapping
  const YamlNode* uses = nullptr;   // null: not given
  const StageInfo* info = nullptr;  // null: exec, or unknown
  bool exec = false;
  std::shared_ptr<Include> include;  // `uses` names a pipeline file; `info` is what it declares
  std::vector<ExecOutput> outputs;   // of exec
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

  // What a reference names: the stage, or children of its matrix. Empty where there is none: then `problem`
  // says why, as "there is no stage 'x'".
  struct NamedStages {
    std::vector<const StageHead*> heads;
    bool single = false;  // the reference means one stage, and not all of a matrix that happens to have one
    std::string problem, hint;
    size_t problem_bytes = 0;  // of the text, from its start, that are at fault
  };
  NamedStages FindStages(std::string_view ref);
  // Everything that children of the same matrix have, in order.
  std::vector<std::string> MatrixNames(const StageHead& child) const;
  const ParamIndex& IndexOf(const StageInfo& info);
  // Type of an output, or nothing where the stage has no such output.
  static std::optional<std::string> OutputType(const StageHead& head, std::string_view port);
  static std::vector<std::string> OutputNames(const StageHead& head);

  const LoadOptions& options;
  std::shared_ptr<const SourceText> source;
  YamlTree tree;
  std::vector<Diagnostic> diagnostics;
  std::map<std::string, ParamValue> params;
  std::vector<const YamlNode*> profiles;  // those in force, later ones win
  std::vector<StageHead> heads;           // in file order; the children of a matrix stand together
  std::map<std::string, std::vector<size_t>, std::less<>> head_index;  // by the name in the file
  std::vector<std::string> stage_ids;
  // type -> the first outputs of it, "stage.port", from two stages at most: examples for messages
  std::map<std::string, std::vector<std::string>> outputs_of_type;
  std::map<std::string, Secret> secrets;
  std::set<std::string> missing_secrets;  // reported already
  size_t result_bytes = 0;                // of all expressions so far
  size_t suggestions_cost = 0;
  // Of a file that another one uses: what stands before its stages' ids ("clean/"), the user, its inputs.
  struct Input {
    std::string type;
    const YamlNode* key = nullptr;
    std::vector<InputRef> from;
    bool used = false;
  };
  std::string prefix;
  LoadState* outer = nullptr;
  std::map<std::string, Input> inputs;
  std::filesystem::path file, dir;     // absolute
  const StageHead* current = nullptr;  // the stage that is being read: what `matrix` means

 private:
  std::unordered_map<const StageInfo*, ParamIndex> indexes_;
};

// "a dataset", "an adapter".
std::string WithArticle(std::string_view noun);
// "'abc'", "nothing", "a list", "a mapping", "a secret": what a message says it got.
std::string DescribeValue(const YamlNode& node);
bool IsIdentifier(std::string_view text, bool allow_dash);
// Offset of the first byte that is NUL or not part of UTF-8, or npos.
size_t FindBadUtf8(std::string_view text);
// What is wrong with a file that is not UTF-8.
std::optional<Diagnostic> NotUtf8(const SourceText& source);

// Evaluates the expressions of values at one kind of place.
class Scope : public ExprNames {
 public:
  enum Allow : unsigned { kParams = 1, kEnv = 2, kSecrets = 4, kOutputs = 8, kMatrix = 16, kRun = 32 };
  // `place` names it for refusals: "params", "if", "run". Sinks may be null where not allowed.
  Scope(LoadState* state, unsigned allow, std::string place, std::vector<InputRef>* outputs = nullptr,
        std::set<std::string>* secrets = nullptr)
      : state_(state), allow_(allow), place_(std::move(place)), outputs_(outputs), secrets_(secrets) {}
  // Of an `if`: what it asks of the run is put into `condition` and `needs`.
  Scope(LoadState* state, RunCondition* condition, std::vector<NeedRef>* needs)
      : Scope(state, kParams | kEnv | kMatrix | kRun, "if") {
    condition_ = condition;
    needs_ = needs;
  }

  // The node itself, or a new one that holds what its expressions give; null after a reported problem.
  const YamlNode* Resolve(const YamlNode& node);
  // The same for a reference to a stage: what expressions give is escaped as in ids.
  const YamlNode* ResolveReference(const YamlNode& node);
  // A whole tree as JSON. False after a reported problem.
  bool ToJson(const YamlNode& node, nlohmann::json* out);
  // A condition, with or without ${{ }}; nothing after a reported problem. `text` gets what is evaluated.
  // Then `unknown()` says whether only the run can tell.
  std::optional<bool> Condition(const YamlNode& node, std::string* text);
  bool unknown() const { return unknown_; }
  // A scalar as text; nothing after a reported problem. `what` names it: "env.HOME".
  std::optional<std::string> Text(const YamlNode& node, std::string_view what);

  NameValue Param(const std::string& name) override;
  NameValue Env(const std::string& name) override;
  NameValue Secret(const std::string& name) override;
  NameValue Output(const std::string& stage, const std::string& port) override;
  NameValue Matrix(const std::string& name) override;
  NameValue StageOutcome(const std::string& stage) override;
  NameValue StageMetric(const std::string& stage, const std::string& name) override;
  NameValue Status(const std::string& function) override;

  LoadState& state() { return *state_; }

 private:
  NameValue Refuse(const std::string& what) const;
  // Remembers what a name stands for, where a condition is read.
  NameValue Captured(const std::string& name, NameValue value);
  // The stages of a condition, which wait for them; `reads`: their metrics or outputs. Empty: `problem`.
  std::vector<const StageHead*> ConditionStages(const std::string& stage, bool reads, NameValue* problem);
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
  RunCondition* condition_ = nullptr;
  std::vector<NeedRef>* needs_ = nullptr;
  bool escape_ = false, unknown_ = false;
  Position position_;  // of the expression that is evaluated
};

// Turns a node into the JSON that a parameter's type wants; false after a reported problem. `absent` is
// set where an expression gave null: the parameter counts as not given.
bool CoerceParam(Scope& scope, const YamlNode& node, const ParamInfo& param, const std::string& name,
                 StageSpec* stage, nlohmann::json* out, bool* absent);
// Reads `with` (null: not given) of a plugin stage; `where` is the place of what is missing.
void ReadWith(LoadState* state, const StageInfo& info, Position where, const YamlNode* with, Scope& scope,
              StageSpec* stage);

// The combinations of a matrix, in the order of the product and then of `include`; nothing after a reported
// problem.
std::optional<std::vector<std::vector<MatrixValue>>> ReadMatrix(LoadState* state, const YamlNode& node);

// Reads an input from outside the pipeline, a mapping; `info` is the port's, null for exec.
void ReadOutsideInput(LoadState* state, const YamlNode& node, const std::string& port, const PortInfo* info,
                      StageSpec* stage);
// Once all inputs of the stage are read: those from outside that name no output take the outputs of the
// stage's other inputs of their type.
void CompleteOutsideInputs(LoadState* state, StageSpec* stage);

struct StageDefaults {
  int retries = 0;
  double retry_backoff = 1, retry_factor = 2, retry_jitter = 0;
  std::vector<std::string> retry_on;
  std::optional<double> timeout;
  ResourceSpec resources;
  std::map<std::string, std::string> env;
  std::set<std::string> secrets;  // used in env
};

// Reads `if`.
void ReadCondition(LoadState* state, const YamlNode& node, StageSpec* stage);
// Refuses inputs of a stage that may run although what gives them did not succeed.
void CheckReaction(LoadState* state, const StageHead& head, const StageSpec& stage);
// `retries:`, a number or a mapping.
void ReadRetries(Scope& scope, const YamlNode& node, StageDefaults* out);
// "90s"; nothing after a reported problem. `what` names it.
std::optional<double> ReadDuration(Scope& scope, const YamlNode& node, std::string_view what,
                                   bool zero_is_fine);
// For what is no duration: "did you mean '1h30m'?" for 1h30; "" where no unit is missing at the end.
std::string DurationHint(const YamlNode& node);
// A whole number in decimal.
std::optional<int64_t> WholeNumber(std::string_view text);

// `params:` (null: not given), with what overrides them, into `state->params`.
void ReadParams(LoadState* state, const YamlNode* params);
// Fills `state->heads` and its indexes.
void ReadHeads(LoadState* state, const YamlNode& stages);
void ReadInputs(LoadState* state, const StageHead& head, const YamlNode* in, StageSpec* stage);
void ReadNeeds(LoadState* state, const YamlNode& node, StageSpec* stage);

// Checks `profiles:` and finds those in force.
void ReadProfiles(LoadState* state, const YamlNode& root);
// profile.KEY, or profile.KEY.INNER; null where it is not there.
const YamlNode* InProfile(const YamlNode& profile, std::string_view key, std::string_view inner = {});
// What profiles mention counts as used.
void MarkProfilesUsed(LoadState* state, const YamlNode& root);

// The keys of kSettingKeys in `map` (others are skipped) override what `out` has.
void ReadSettings(LoadState* state, const YamlNode& map, const std::string& place, StageDefaults* out);
// The pipeline's `env` and `defaults`, each with what profiles say.
StageDefaults ReadDefaults(LoadState* state, const YamlNode& root, StageDefaults base);
// A pipeline file up to the heads of its stages; false after a problem that leaves none.
bool ReadTop(LoadState* state, const YamlNode& root);
// The rest: appends the stages to `out`.
void ReadBodies(LoadState* state, const YamlNode& root, const StageDefaults& base, Pipeline* out);
// What "stage.port" names: one artifact, or one of each child where it names several children of a matrix.
// Empty after a problem. `type` is what the port wants, or "any"; `place` is the key it stands under.
std::vector<InputRef> ReadReference(LoadState* state, const YamlNode& written, const std::string& port,
                                    const std::string& type, const std::string& place);
StageSpec ReadStage(LoadState* state, const StageHead& head, const StageDefaults& defaults);

}  // namespace genflow
