#include "guard/probe.h"

#include <set>

#include "guard/builtin.h"
#include "guard/json_fields.h"

namespace genflow::guard {
namespace {

using nlohmann::json;
using Detectors = std::vector<std::shared_ptr<const Detector>>;

constexpr const char* kFormat = "genflow.guard";

Result<Detectors> DetectorsOf(const json& object, const WordLists& lists, const std::string& where) {
  const json& list = object["detectors"];
  if (!list.is_array() || list.empty())
    return InvalidError(where + ": 'detectors' is not a list of at least one");
  Detectors out;
  for (size_t i = 0; i < list.size(); ++i) {
    GF_TRY(auto detector, MakeDetector(list[i], lists, where + ".detectors[" + std::to_string(i) + "]"));
    out.push_back(std::move(detector));
  }
  return out;
}

struct Defaults {
  std::string kind, severity, system;
  Detectors detectors;
};

Result<Probe> ProbeFromJson(const json& object, const Defaults& defaults, const WordLists& lists,
                            const std::string& where) {
  const JsonFields fields(object, where);
  GF_CHECK_OK(fields.Only({"id", "severity", "system", "turns", "detectors"}));
  Probe out;
  out.kind = defaults.kind;
  GF_TRY(out.id, fields.Text("id"));
  GF_TRY(out.severity, fields.Text("severity", defaults.severity));
  GF_CHECK_OK(fields.OneOf("severity", out.severity, Severities()));
  GF_TRY(out.system, fields.Text("system", defaults.system));
  GF_TRY(out.turns, fields.Texts("turns"));
  out.detectors = defaults.detectors;
  if (fields.Has("detectors")) {
    GF_TRY(out.detectors, DetectorsOf(object, lists, where));
  }
  if (out.detectors.empty()) {
    return InvalidError(where + " has no detectors", "give 'detectors' to the probe, or to the whole file");
  }
  return out;
}

}  // namespace

const std::vector<std::string>& Severities() {
  static const std::vector<std::string> severities = {"low", "medium", "high", "critical"};
  return severities;
}

Result<ProbeFile> ParseProbeFile(std::string_view text, const std::string& where, const WordLists& lists) {
  json document;
  try {
    document = json::parse(text);
  } catch (const json::parse_error& e) {
    return InvalidError(where + ": not JSON at byte " + std::to_string(e.byte));
  } catch (const json::exception& e) {
    return InvalidError(where + ": " + e.what());
  }
  const JsonFields fields(document, where);
  if (!document.is_object() || document.value("format", json()) != kFormat ||
      document.value("version", json()) != 1) {
    return InvalidError(where + " is not a probe file",
                        R"(it begins with {"format": "genflow.guard", "version": 1, ...})");
  }
  GF_CHECK_OK(
      fields.Only({"format", "version", "kind", "about", "severity", "system", "detectors", "probes"}));
  ProbeFile out;
  Defaults defaults;
  GF_TRY(out.kind, fields.Text("kind"));
  for (const char c : out.kind) {
    if ((c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_') {
      return InvalidError(
          where + ": 'kind' is '" + out.kind + "': expected lower-case letters, digits and '_'",
          "it becomes part of a metric's name");
    }
  }
  defaults.kind = out.kind;
  GF_TRY(out.about, fields.Text("about", ""));
  GF_TRY(defaults.severity, fields.Text("severity", "medium"));
  GF_CHECK_OK(fields.OneOf("severity", defaults.severity, Severities()));
  GF_TRY(defaults.system, fields.Text("system", ""));
  if (fields.Has("detectors")) {
    GF_TRY(defaults.detectors, DetectorsOf(document, lists, where));
  }
  if (!document.contains("probes") || !document["probes"].is_array() || document["probes"].empty()) {
    return InvalidError(where + ": 'probes' is not a list of at least one probe");
  }
  std::set<std::string> ids;
  for (size_t i = 0; i < document["probes"].size(); ++i) {
    const std::string here = where + ": probes[" + std::to_string(i) + "]";
    GF_TRY(Probe probe, ProbeFromJson(document["probes"][i], defaults, lists, here));
    if (!ids.insert(probe.id).second) return InvalidError(here + ": the id '" + probe.id + "' is taken");
    out.probes.push_back(std::move(probe));
  }
  return out;
}

WordLists BuiltinWordLists() {
  WordLists out;
  for (const auto& [name, text] : BuiltinFiles()) {
    if (!name.starts_with("words/")) continue;
    const std::string_view stem = name.substr(6, name.rfind('.') - 6);
    out.emplace(stem, ParseWordList(text));
  }
  return out;
}

Result<std::vector<ProbeFile>> BuiltinProbes(const WordLists& lists) {
  std::vector<ProbeFile> out;
  for (const auto& [name, text] : BuiltinFiles()) {
    if (!name.ends_with(".json")) continue;
    GF_TRY(ProbeFile file, ParseProbeFile(text, std::string(name), lists));
    out.push_back(std::move(file));
  }
  return out;
}

}  // namespace genflow::guard
