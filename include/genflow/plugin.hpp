// C++ face of plugin.h: a stage is one struct of parameters and one run(). Header-only, standard library
// alone, so that a plugin built with another compiler or standard library still meets only the C ABI.
//
//   struct Upper {
//     static constexpr const char* kName = "text.upper";
//     static constexpr const char* kVersion = "1.0.0";
//     static constexpr const char* kSummary = "Makes text upper case.";
//     std::string suffix;
//     void Declare(genflow::Spec& s) {
//       s.Param("suffix", &suffix, "", "Text added at the end.");
//       s.Input("text", "file", "Any text file.");
//       s.Output("text", "file", "The same text in upper case.");
//     }
//     genflow::Outcome Run(genflow::Context& context);
//   };
//   GENFLOW_PLUGIN("text", "1.0.0", Upper)
#pragma once

#include <cstdint>
#include <cstdio>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "genflow/json_value.hpp"
#include "genflow/plugin.h"

namespace genflow {

enum class Outcome : int32_t {
  kOk = GF_OK,
  kFailed = GF_FAILED,
  kGate = GF_GATE,
  kInterrupted = GF_INTERRUPTED,
};

// Thrown by a stage to fail with a message; Context::Fail() does the same without an exception.
struct StageError : std::runtime_error {
  StageError(gf_error code, const std::string& message, std::string hint = {})
      : std::runtime_error(message), code(code), hint(std::move(hint)) {}
  gf_error code;
  std::string hint;
};

struct Input {
  std::string port, type, path, digest, source;
};

// What a running stage may do. Thread-safe.
class Context {
 public:
  Context(const gf_host* host, gf_run* run) : host_(host), run_(run) {
    for (size_t i = 0; i < host_->input_count(run_); ++i) {
      const gf_input* in = host_->input(run_, i);
      inputs_.push_back({in->port, in->type, in->path, in->digest, in->source});
    }
  }

  // The only artifact on a port; nothing when an optional port is not connected.
  const Input* FindInput(std::string_view port) const {
    for (const auto& in : inputs_) {
      if (in.port == port) return &in;
    }
    return nullptr;
  }
  // The artifact on a required port.
  const Input& GetInput(std::string_view port) const {
    const Input* in = FindInput(port);
    if (in == nullptr)
      throw StageError(GF_ERROR_INTERNAL, "input '" + std::string(port) + "' is not connected");
    return *in;
  }
  // All artifacts on a MANY port, in the order of the pipeline file.
  std::vector<Input> GetInputs(std::string_view port) const {
    std::vector<Input> out;
    for (const auto& in : inputs_) {
      if (in.port == port) out.push_back(in);
    }
    return out;
  }

  std::string OutputPath(const std::string& port) const { return host_->output_path(run_, port.c_str()); }
  std::string StateDir() const { return host_->state_dir(run_); }
  std::string ScratchDir() const { return host_->scratch_dir(run_); }

  void Progress(uint64_t done, uint64_t total, const std::string& unit,
                const std::string& message = {}) const {
    host_->progress(run_, done, total, unit.c_str(), message.empty() ? nullptr : message.c_str());
  }
  void Metric(const std::string& name, double value, int64_t step = -1) const {
    host_->metric(run_, name.c_str(), value, step);
  }
  void Debug(const std::string& text) const { host_->log(run_, GF_DEBUG, text.c_str()); }
  void Info(const std::string& text) const { host_->log(run_, GF_INFO, text.c_str()); }
  void Warn(const std::string& text) const { host_->log(run_, GF_WARNING, text.c_str()); }
  void Error(const std::string& text) const { host_->log(run_, GF_ERROR, text.c_str()); }

  bool ShouldStop() const { return host_->should_stop(run_) != 0; }
  int Threads() const { return host_->threads(run_); }
  // Of a stage with kProcesses: how many processes run it, and which of them this is, from 0.
  int Processes() const { return host_->processes(run_); }
  int Process() const { return host_->process(run_); }
  void Summary(const std::string& markdown) const { host_->summary(run_, markdown.c_str()); }
  std::string ParamsJson() const { return host_->params_json(run_); }
  std::string InfoJson() const { return host_->info_json(run_); }

  // `return context.Fail(...)` ends a stage with a reason.
  Outcome Fail(gf_error code, const std::string& message, const std::string& hint = {}) const {
    host_->fail(run_, code, message.c_str(), hint.empty() ? nullptr : hint.c_str());
    return Outcome::kFailed;
  }
  Outcome Gate(const std::string& message, const std::string& hint = {}) const {
    host_->fail(run_, GF_ERROR_INVALID, message.c_str(), hint.empty() ? nullptr : hint.c_str());
    return Outcome::kGate;
  }

 private:
  const gf_host* host_;
  gf_run* run_;
  std::vector<Input> inputs_;
};

// Options of a parameter beyond name, type, default and doc.
struct ParamOptions {
  bool required = false, secret = false, is_volatile = false;
  double min = 1, max = 0;  // min > max: no range
  std::vector<std::string> choices;
};

// Collects what a stage declares: descriptor entries, and setters that fill the stage's members.
class Spec {
 public:
  void Param(const char* name, bool* to, bool value, const char* doc, ParamOptions o = {}) {
    Add(name, GF_BOOL, value ? "true" : "false", doc, o);
    Set([to](const json::Value& v) { *to = v.AsBool(); });
  }
  void Param(const char* name, int64_t* to, int64_t value, const char* doc, ParamOptions o = {}) {
    Add(name, GF_INT, std::to_string(value), doc, o);
    Set([to](const json::Value& v) { *to = v.AsInt(); });
  }
  void Param(const char* name, double* to, double value, const char* doc, ParamOptions o = {}) {
    char text[40];
    std::snprintf(text, sizeof text, "%.17g", value);
    char brief[40];
    std::snprintf(brief, sizeof brief, "%g", value);
    Add(name, GF_FLOAT, std::stod(brief) == value ? brief : text, doc, o);
    Set([to](const json::Value& v) { *to = v.AsDouble(); });
  }
  void Param(const char* name, std::string* to, const char* value, const char* doc, ParamOptions o = {}) {
    Add(name, o.choices.empty() ? GF_STRING : GF_ENUM, json::Quote(value), doc, o);
    Set([to](const json::Value& v) { *to = v.AsString(); });
  }
  // A list of strings; `value` is JSON, such as "[]".
  void Param(const char* name, std::vector<std::string>* to, const char* value, const char* doc,
             ParamOptions o = {}) {
    Add(name, GF_STRING_LIST, value, doc, o);
    Set([to](const json::Value& v) { *to = v.AsStrings(); });
  }
  // An optional parameter without a default: absent stays std::nullopt.
  void Param(const char* name, std::optional<int64_t>* to, const char* doc, ParamOptions o = {}) {
    AddAbsent(name, GF_INT, doc, o);
    Set([to](const json::Value& v) { *to = v.AsInt(); });
  }
  void Param(const char* name, std::optional<double>* to, const char* doc, ParamOptions o = {}) {
    AddAbsent(name, GF_FLOAT, doc, o);
    Set([to](const json::Value& v) { *to = v.AsDouble(); });
  }
  void Param(const char* name, std::optional<std::string>* to, const char* doc, ParamOptions o = {}) {
    AddAbsent(name, o.choices.empty() ? GF_STRING : GF_ENUM, doc, o);
    Set([to](const json::Value& v) { *to = v.AsString(); });
  }
  // Required string.
  void Required(const char* name, std::string* to, const char* doc, ParamOptions o = {}) {
    o.required = true;
    AddAbsent(name, o.choices.empty() ? GF_STRING : GF_ENUM, doc, o);
    Set([to](const json::Value& v) { *to = v.AsString(); });
  }
  // A file or folder of the workspace whose content counts in the cache key.
  void Path(const char* name, std::string* to, const char* doc, ParamOptions o = {}) {
    AddAbsent(name, GF_PATH, doc, o);
    Set([to](const json::Value& v) { *to = v.AsString(); });
  }
  // Glob(s) of files whose names and contents count in the cache key.
  void Files(const char* name, std::vector<std::string>* to, const char* doc, ParamOptions o = {}) {
    AddAbsent(name, GF_FILES, doc, o);
    Set([to](const json::Value& v) { *to = v.AsStrings(); });
  }
  void Size(const char* name, int64_t* to, int64_t value, const char* doc, ParamOptions o = {}) {
    Add(name, GF_SIZE, std::to_string(value), doc, o);
    Set([to](const json::Value& v) { *to = v.AsInt(); });
  }
  void Duration(const char* name, double* seconds, double value, const char* doc, ParamOptions o = {}) {
    char text[40];
    std::snprintf(text, sizeof text, "%.17g", value);
    Add(name, GF_DURATION, text, doc, o);
    Set([seconds](const json::Value& v) { *seconds = v.AsDouble(); });
  }
  // Any JSON; `value` is the default's JSON text, or nullptr for none.
  void Json(const char* name, json::Value* to, const char* value, const char* doc, ParamOptions o = {}) {
    if (value != nullptr)
      Add(name, GF_JSON, value, doc, o);
    else
      AddAbsent(name, GF_JSON, doc, o);
    Set([to](const json::Value& v) { *to = v; });
  }

  void Input(const char* name, const char* type, const char* doc, uint32_t flags = 0) {
    inputs_.push_back(gf_port{sizeof(gf_port), flags, name, type, doc});
  }
  void Output(const char* name, const char* type, const char* doc, uint32_t flags = 0) {
    outputs_.push_back(gf_port{sizeof(gf_port), flags, name, type, doc});
  }
  void Doc(const char* markdown) { doc_ = markdown; }

  // Fills the declared members from the resolved parameters: one that is not among them with its default.
  // Throws std::invalid_argument where a required one is missing.
  void Fill(const json::Value& params) const {
    for (size_t i = 0; i < setters_.size(); ++i) {
      const gf_param& param = params_[i];
      const json::Value* at = &params;
      std::string_view rest = param.name;
      while (at != nullptr && !rest.empty()) {
        const size_t dot = rest.find('.');
        at = at->Find(rest.substr(0, dot));
        rest = dot == std::string_view::npos ? std::string_view{} : rest.substr(dot + 1);
      }
      if (at != nullptr) {
        if (!at->IsNull()) setters_[i](*at);
      } else if (param.default_json != nullptr) {
        setters_[i](json::Parse(param.default_json));
      } else if ((param.flags & GF_PARAM_REQUIRED) != 0) {
        throw std::invalid_argument(std::string("parameter ") + param.name + " is missing");
      }
    }
  }

 private:
  template <class S>
  friend class StageOf;

  void AddAbsent(const char* name, gf_type type, const char* doc, const ParamOptions& o) {
    AddParam(name, type, nullptr, doc, o);
  }
  void Add(const char* name, gf_type type, const std::string& default_json, const char* doc,
           const ParamOptions& o) {
    AddParam(name, type, o.required ? nullptr : texts_.emplace_back(default_json).c_str(), doc, o);
  }
  void AddParam(const char* name, gf_type type, const char* default_json, const char* doc,
                const ParamOptions& o) {
    gf_param p{};
    p.struct_size = sizeof(gf_param);
    p.type = type;
    p.flags = (o.required ? GF_PARAM_REQUIRED : 0) | (o.secret ? GF_PARAM_SECRET : 0) |
              (o.is_volatile ? GF_PARAM_VOLATILE : 0);
    p.name = name;
    p.default_json = default_json;
    p.min = o.min;
    p.max = o.max;
    p.doc = doc;
    if (!o.choices.empty()) {
      auto& list = choice_lists_.emplace_back();
      for (const auto& choice : o.choices) list.push_back(texts_.emplace_back(choice).c_str());
      list.push_back(nullptr);
      p.choices = list.data();
    }
    params_.push_back(p);
  }
  // Of the parameter that was added last.
  void Set(std::function<void(const json::Value&)> setter) { setters_.push_back(std::move(setter)); }

  std::deque<gf_param> params_;
  std::deque<gf_port> inputs_, outputs_;
  std::deque<std::string> texts_;
  std::deque<std::vector<const char*>> choice_lists_;
  std::vector<std::function<void(const json::Value&)>> setters_;  // one a parameter
  const char* doc_ = nullptr;
};

// Descriptor of stage S; one static object a stage.
template <class S>
class StageOf {
 public:
  static const gf_stage* Descriptor() {
    static StageOf self;
    return &self.stage_;
  }

 private:
  StageOf() {
    stage_object_.Declare(spec_);
    for (const auto& p : spec_.params_) params_.push_back(&p);
    for (const auto& p : spec_.inputs_) inputs_.push_back(&p);
    for (const auto& p : spec_.outputs_) outputs_.push_back(&p);
    params_.push_back(nullptr);
    inputs_.push_back(nullptr);
    outputs_.push_back(nullptr);
    stage_.struct_size = sizeof(gf_stage);
    stage_.name = S::kName;
    stage_.version = S::kVersion;
    stage_.summary = S::kSummary;
    stage_.doc = spec_.doc_;
    stage_.params = params_.data();
    stage_.inputs = inputs_.data();
    stage_.outputs = outputs_.data();
    stage_.run = &Run;
    if constexpr (requires(const S& s) { s.Check(); }) stage_.check = &CheckParams;
    // Optional member of S: static constexpr bool kProcesses, whether it can run in several processes.
    if constexpr (requires { S::kProcesses; }) stage_.flags = S::kProcesses ? GF_STAGE_PROCESSES : 0;
  }

  // Optional member of S: std::string Check() const, "" when the filled parameters make sense together; else
  // what gf_stage::check returns.
  static const char* CheckParams(const char* params_json) {
    static thread_local std::string message;
    try {
      S stage;
      Spec spec;
      stage.Declare(spec);
      spec.Fill(json::Parse(params_json));
      message = stage.Check();
    } catch (const std::exception& e) {
      message = e.what();
    }
    return message.empty() ? nullptr : message.c_str();
  }

  static int32_t Run(const gf_host* host, gf_run* run) {
    try {
      S stage;
      Spec spec;
      stage.Declare(spec);
      spec.Fill(json::Parse(host->params_json(run)));
      Context context(host, run);
      return static_cast<int32_t>(stage.Run(context));
    } catch (const StageError& e) {
      host->fail(run, e.code, e.what(), e.hint.empty() ? nullptr : e.hint.c_str());
    } catch (const std::bad_alloc&) {
      host->fail(run, GF_ERROR_EXHAUSTED, "out of memory", nullptr);
    } catch (const std::exception& e) {
      host->fail(run, GF_ERROR_INTERNAL, e.what(), nullptr);
    } catch (...) {
      host->fail(run, GF_ERROR_INTERNAL, "unknown exception", nullptr);
    }
    return GF_FAILED;
  }

  S stage_object_;
  Spec spec_;
  std::vector<const gf_param*> params_;
  std::vector<const gf_port*> inputs_, outputs_;
  gf_stage stage_{};
};

template <class... Stages>
const gf_plugin* PluginOf(const char* name, const char* version) {
  static const gf_stage* const stages[] = {StageOf<Stages>::Descriptor()..., nullptr};
  static const gf_plugin plugin{
      sizeof(gf_plugin), GENFLOW_ABI_MAJOR, GENFLOW_ABI_MINOR, name, version, stages};
  return &plugin;
}

}  // namespace genflow

// Once in a plugin: its name, its version and its stages.
#define GENFLOW_PLUGIN(name, version, ...)                                                            \
  extern "C" GENFLOW_EXPORT int32_t genflow_plugin_init(const gf_host* host, const gf_plugin** out) { \
    if (host == nullptr || host->abi_major != GENFLOW_ABI_MAJOR) return GF_INIT_OTHER_ABI;            \
    try {                                                                                             \
      *out = ::genflow::PluginOf<__VA_ARGS__>(name, version);                                         \
      return 0;                                                                                       \
    } catch (const std::exception& e) {                                                               \
      std::fprintf(stderr, "%s: %s\n", name, e.what());                                               \
    } catch (...) {                                                                                   \
    }                                                                                                 \
    return GF_INIT_FAILED;                                                                            \
  }
