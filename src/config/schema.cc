#include "config/schema.h"

#include <algorithm>
#include <string>
#include <string_view>

#include "config/artifact_types.h"

namespace genflow {

namespace {

using nlohmann::json;

json Expression() { return {{"type", "string"}, {"pattern", "\\$\\{\\{.*\\}\\}"}}; }

json Described(json schema, const std::string& text) {
  if (!text.empty()) schema["description"] = text;
  return schema;
}

void AddRange(const ParamInfo& param, json* schema) {
  if (!param.min || !param.max) return;
  constexpr double kHuge = 1e15;
  auto number = [&](double value) {
    return param.type == ParamType::kInt ? json(static_cast<int64_t>(value)) : json(value);
  };
  if (*param.min > -kHuge) (*schema)["minimum"] = number(*param.min);
  if (*param.max < kHuge) (*schema)["maximum"] = number(*param.max);
}

json ParamSchema(const ParamInfo& param) {
  const json text = {{"type", json::array({"string", "number", "boolean"})}};
  json plain;
  switch (param.type) {
    case ParamType::kBool:
      plain = {{"type", "boolean"}};
      break;
    case ParamType::kInt:
      plain = {{"type", "integer"}};
      AddRange(param, &plain);
      break;
    case ParamType::kFloat:
      plain = {{"type", "number"}};
      AddRange(param, &plain);
      break;
    case ParamType::kString:
      return Described(text, param.doc);
    case ParamType::kEnum:
      plain = {{"enum", param.choices}};
      break;
    case ParamType::kPath:
      return Described({{"type", "string"}, {"minLength", 1}}, param.doc);
    case ParamType::kFiles:
    case ParamType::kStringList:
      plain = {{"anyOf", json::array({text, {{"type", "array"}, {"items", text}}})}};
      break;
    case ParamType::kSize:
    case ParamType::kDuration:
      plain = {{"type", json::array({"string", "number"})}};
      break;
    case ParamType::kJson:
      plain = json::object();
      break;
  }
  const bool takes_text = plain.empty() || param.type == ParamType::kSize ||
                          param.type == ParamType::kDuration || param.type == ParamType::kFiles ||
                          param.type == ParamType::kStringList;
  json out = takes_text ? plain : json{{"anyOf", json::array({plain, Expression()})}};
  if (param.default_value) out["default"] = *param.default_value;
  return Described(std::move(out), param.doc);
}

json WithSchema(const StageInfo& stage) {
  json root = {{"type", "object"}, {"additionalProperties", false}, {"properties", json::object()}};
  for (const auto& param : stage.params) {
    json* level = &root;
    std::string_view rest = param.name;
    while (true) {
      const size_t dot = rest.find('.');
      const std::string name(rest.substr(0, dot));
      if (param.required) {
        json& required = (*level)["required"];
        if (required.is_null()) required = json::array();
        if (std::find(required.begin(), required.end(), name) == required.end()) required.push_back(name);
      }
      json& at = (*level)["properties"][name];
      if (dot == std::string_view::npos) {
        at = ParamSchema(param);
        break;
      }
      if (at.is_null())
        at = {{"type", "object"}, {"additionalProperties", false}, {"properties", json::object()}};
      level = &at;
      rest.remove_prefix(dot + 1);
    }
  }
  return root;
}

// An input from outside the pipeline.
json OutsideSchema() {
  const auto text = [](const char* doc) { return json{{"type", "string"}, {"description", doc}}; };
  json one_of = json::array();
  for (const char* key : {"run", "model", "file"}) one_of.push_back({{"required", {key}}});
  return {
      {"type", "object"},
      {"additionalProperties", false},
      {"oneOf", std::move(one_of)},
      {"properties",
       {{"run", text("latest-ok, latest, tag:NAME or the id of an earlier run.")},
        {"model", text("A registered model, NAME@ALIAS or NAME@VERSION.")},
        {"file", text("A file or folder of the workspace.")},
        {"output", text("Which output of that run, written stage.port.")},
        {"optional", {{"type", "boolean"}, {"description", "Go on without it where it is not found."}}}}}};
}

json InSchema(const StageInfo& stage) {
  json out = {{"type", "object"}, {"additionalProperties", false}, {"properties", json::object()}};
  json required = json::array();
  for (const auto& port : stage.inputs) {
    const json reference = {{"$ref", "#/$defs/reference"}};
    json schema =
        port.many
            ? json{{"anyOf",
                    json::array({reference, {{"type", "array"}, {"items", reference}, {"minItems", 1}}})}}
            : reference;
    out["properties"][port.name] =
        Described(std::move(schema), port.type + (port.doc.empty() ? "" : ": " + port.doc));
    if (!port.optional) required.push_back(port.name);
  }
  if (!required.empty()) out["required"] = std::move(required);
  return out;
}

json ExecBranch() {
  const json types = {{"enum", kArtifactTypes}};
  const json texts = {
      {"anyOf", json::array({{{"type", "string"}}, {{"type", "array"}, {"items", {{"type", "string"}}}}})}};
  return {
      {"required", {"with"}},
      {"properties",
       {{"with",
         {{"type", "object"},
          {"additionalProperties", false},
          {"required", {"run"}},
          {"properties",
           {{"run",
             {{"type", "string"},
              {"description",
               "Shell text, run by bash -eo pipefail. Inputs and outputs are paths in GENFLOW_IN_<PORT> and "
               "GENFLOW_OUT_<PORT>."}}},
            {"files", Described(texts, "Files of the workspace whose contents count in the cache key.")}}}}},
        {"in", {{"type", "object"}, {"additionalProperties", {{"$ref", "#/$defs/reference"}}}}},
        {"out",
         {{"type", "object"},
          {"additionalProperties", types},
          {"description", "Outputs, by name, with their types."}}}}}};
}

}  // namespace

json PipelineJsonSchema(const Catalog& catalog) {
  json uses = json::array();
  json branches = json::array();
  for (const auto& stage : catalog.stages()) {
    uses.push_back({{"const", stage.name}, {"description", stage.summary}});
    json then = {{"properties", {{"with", WithSchema(stage)}, {"in", InSchema(stage)}, {"out", false}}}};
    json required = json::array();
    if (then["properties"]["with"].contains("required")) required.push_back("with");
    if (then["properties"]["in"].contains("required")) required.push_back("in");
    if (!required.empty()) then["required"] = std::move(required);
    branches.push_back({{"if", {{"required", {"uses"}}, {"properties", {{"uses", {{"const", stage.name}}}}}}},
                        {"then", std::move(then)}});
  }
  uses.push_back({{"const", "exec"}, {"description", "Runs any program."}});
  uses.push_back({{"type", "string"},
                  {"pattern", "^\\.\\.?/|\\.ya?ml$"},
                  {"description", "A pipeline file, whose stages become part of this one."}});
  branches.push_back({{"if", {{"required", {"uses"}}, {"properties", {{"uses", {{"const", "exec"}}}}}}},
                      {"then", ExecBranch()}});

  json types = {{"enum", kArtifactTypes}};
  types["enum"].push_back("any");
  const json cause = {{"type", "string"}, {"pattern", "^(crash|timeout|memory|error|exit(:[0-9]+)?)$"}};
  const json causes = {
      {"description", "What is tried again; everything without it."},
      {"anyOf", json::array({cause, {{"type", "array"}, {"minItems", 1}, {"items", cause}}})}};
  const json scalar = {{"type", json::array({"string", "number", "boolean"})}};
  const json ref_duration = {{"$ref", "#/$defs/duration"}};
  const json defs = {
      {"reference",
       {{"anyOf", json::array({{{"type", "string"},
                                {"pattern", "^[A-Za-z_][A-Za-z0-9_-]*(\\[.*\\])?\\.[A-Za-z_][A-Za-z0-9_]*$"},
                                {"description",
                                 "An output, written stage.port, or stage[axis=value].port for a child of a "
                                 "matrix."}},
                               OutsideSchema()})}}},
      {"duration",
       {{"type", json::array({"string", "number"})},
        {"description", "90s, 30m, 1h30m; a number means seconds."}}},
      {"range",
       {{"type", json::array({"integer", "string"})}, {"description", "A number, or a range such as 0..1."}}},
      {"retries",
       {{"description", "Further attempts after a failure."},
        {"anyOf", json::array({{{"type", "integer"}, {"minimum", 0}, {"maximum", 100}},
                               Expression(),
                               {{"type", "object"},
                                {"additionalProperties", false},
                                {"required", {"max"}},
                                {"properties",
                                 {{"max", {{"type", json::array({"integer", "string"})}}},
                                  {"backoff", ref_duration},
                                  {"factor", {{"type", json::array({"number", "string"})}}},
                                  {"jitter", {{"type", json::array({"number", "string"})}}},
                                  {"on", causes}}}}})}}},
      {"matrix",
       {{"description",
         "Runs the stage once for each combination of its axes' values, which are ${{ matrix.AXIS }}."},
        {"anyOf",
         json::array(
             {Expression(),
              {{"type", "object"},
               {"minProperties", 1},
               {"properties",
                {{"include", {{"$ref", "#/$defs/combinations"}}},
                 {"exclude", {{"$ref", "#/$defs/combinations"}}}}},
               {"additionalProperties",
                {{"anyOf", json::array({Expression(),
                                        {{"type", "array"}, {"minItems", 1}, {"items", scalar}}})}}}}})}}},
      {"combinations",
       {{"description", "Values of some combinations."},
        {"anyOf",
         json::array(
             {Expression(),
              {{"type", "array"},
               {"items", {{"type", "object"}, {"minProperties", 1}, {"additionalProperties", scalar}}}}})}}},
      {"resources",
       {{"type", "object"},
        {"additionalProperties", false},
        {"properties",
         {{"cpus", {{"$ref", "#/$defs/range"}}},
          {"gpus", {{"$ref", "#/$defs/range"}}},
          {"memory", {{"type", json::array({"integer", "string"})}, {"description", "512M, 8G."}}},
          {"processes",
           {{"anyOf", json::array({Expression(), {{"type", "integer"}, {"minimum", 1}, {"maximum", 64}}})},
            {"description", "Processes that share the work of a stage that can run in several."}}}}}}},
      {"settings",
       {{"type", "object"},
        {"additionalProperties", false},
        {"properties",
         {{"retries", {{"$ref", "#/$defs/retries"}}},
          {"timeout", ref_duration},
          {"resources", {{"$ref", "#/$defs/resources"}}},
          {"env", {{"$ref", "#/$defs/env"}}}}}}},
      {"env",
       {{"type", "object"},
        {"additionalProperties", {{"type", json::array({"string", "number", "boolean"})}}}}},
      {"stage",
       {{"type", "object"},
        {"required", {"uses"}},
        {"additionalProperties", false},
        {"properties",
         {{"uses", {{"oneOf", std::move(uses)}, {"description", "What the stage does."}}},
          {"in", {{"type", "object"}, {"description", "Input artifacts, by port: stage.port."}}},
          {"out", {{"description", "Outputs of a stage with uses: exec."}}},
          {"with", {{"type", "object"}, {"description", "Parameters."}}},
          {"needs",
           {{"description", "Stages that come first, without an artifact."},
            {"anyOf",
             json::array({{{"type", "string"}}, {{"type", "array"}, {"items", {{"type", "string"}}}}})}}},
          {"if",
           {{"type", json::array({"string", "boolean"})},
            {"description", "The stage is skipped where this is false."}}},
          {"matrix", {{"$ref", "#/$defs/matrix"}}},
          {"env", {{"$ref", "#/$defs/env"}}},
          {"retries", {{"$ref", "#/$defs/retries"}}},
          {"timeout", ref_duration},
          {"resources", {{"$ref", "#/$defs/resources"}}}}},
        {"allOf", std::move(branches)}}}};
  return {
      {"$schema", "https://json-schema.org/draft/2020-12/schema"},
      {"title", "genflow pipeline"},
      {"type", "object"},
      {"required", {"stages"}},
      {"additionalProperties", false},
      {"properties",
       {{"name", {{"type", "string"}, {"minLength", 1}}},
        {"params",
         {{"type", "object"},
          {"description", "Values for ${{ params.NAME }}; overridable with -p NAME=VALUE."}}},
        {"env", {{"$ref", "#/$defs/env"}}},
        {"inputs",
         {{"type", "object"},
          {"description", "Of a file that others use: what they give, by name, with its type."},
          {"additionalProperties", types}}},
        {"outputs",
         {{"type", "object"},
          {"description", "Of a file that others use: what they can take, by name."},
          {"additionalProperties", {{"$ref", "#/$defs/reference"}}}}},
        {"defaults",
         {{"$ref", "#/$defs/settings"}, {"description", "What every stage has unless it says otherwise."}}},
        {"profiles",
         {{"type", "object"},
          {"description", "Changes that --profile NAME puts in force."},
          {"propertyNames", {{"pattern", "^[A-Za-z_][A-Za-z0-9_-]*$"}}},
          {"additionalProperties",
           {{"type", "object"},
            {"additionalProperties", false},
            {"properties",
             {{"params", {{"type", "object"}}},
              {"env", {{"$ref", "#/$defs/env"}}},
              {"defaults", {{"$ref", "#/$defs/settings"}}},
              {"stages",
               {{"type", "object"}, {"additionalProperties", {{"$ref", "#/$defs/settings"}}}}}}}}}}},
        {"stages",
         {{"type", "object"},
          {"minProperties", 1},
          {"propertyNames", {{"pattern", "^[A-Za-z_][A-Za-z0-9_-]*$"}}},
          {"additionalProperties", {{"$ref", "#/$defs/stage"}}}}}}},
      {"$defs", defs}};
}

}  // namespace genflow
