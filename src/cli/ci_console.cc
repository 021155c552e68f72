#include "cli/ci_console.h"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>

#include "base/sha256.h"
#include "base/strings.h"
#include "cli/json_output.h"

namespace genflow::cli {

namespace {

namespace fs = std::filesystem;

constexpr size_t kLogLines = 200;

// Of GitHub's workflow commands.
std::string EscapeData(std::string_view text) {
  std::string out;
  for (const char c : CleanReportText(text)) {
    if (c == '%')
      out += "%25";
    else if (c == '\r')
      out += "%0D";
    else if (c == '\n')
      out += "%0A";
    else
      out += c;
  }
  return out;
}

std::string EscapeProperty(std::string_view text) {
  std::string out;
  for (const char c : EscapeData(text)) {
    if (c == ':')
      out += "%3A";
    else if (c == ',')
      out += "%2C";
    else
      out += c;
  }
  return out;
}

std::string Annotation(const char* level, const std::string& file, const Position& at,
                       const std::string& title, const std::string& message) {
  std::string properties;
  const auto add = [&](const char* name, const std::string& value) {
    if (value.empty()) return;
    properties += (properties.empty() ? "" : ",") + std::string(name) + "=" + EscapeProperty(value);
  };
  add("file", file);
  if (!file.empty() && at.line > 0) {
    add("line", std::to_string(at.line));
    add("col", std::to_string(at.column));
    add("endColumn", std::to_string(at.column + std::max(1, at.length)));
  }
  add("title", title);
  return std::string("::") + level + " " + properties + "::" + EscapeData(message) + "\n";
}

std::string Full(const std::string& message, const std::string& hint) {
  return hint.empty() ? message : message + "\nhint: " + hint;
}

// "tune failed", "gate said no"
std::string WhatHappened(const StageResult& stage) {
  return stage.stage + (stage.status == StageStatus::kGated ? " said no" : " failed");
}

// Line 0 of the pipeline file where nothing more is known.
StagePlace PlaceOf(const RunOutcome& outcome, const StageResult& stage) {
  const auto at = outcome.stage_places.find(stage.stage);
  return at == outcome.stage_places.end() ? StagePlace{outcome.file.string(), {}} : at->second;
}

std::string ShownPath(const fs::path& file, const CiEnvironment& environment) {
  return file.empty() ? "" : CiPath(file, environment);
}

std::string GitHubAnnotations(const RunOutcome& outcome, const CiEnvironment& environment) {
  std::string out;
  for (const auto& d : outcome.diagnostics) {
    out += Annotation(d.severity == Severity::kError ? "error" : "warning", ShownPath(d.file, environment),
                      {d.line, d.column, d.length}, outcome.Title(), Full(d.message, d.hint));
  }
  const std::string file = ShownPath(outcome.file, environment);
  if (outcome.error) {
    out += Annotation("error", file, {}, outcome.Title(), Full(outcome.error->message, outcome.error->hint));
  }
  if (!outcome.report) return out;
  for (const auto& stage : outcome.report->stages) {
    if (!stage.error) continue;
    const StagePlace place = PlaceOf(outcome, stage);
    out += Annotation("error", ShownPath(place.file, environment), place.at, WhatHappened(stage),
                      Full(stage.error->message, stage.error->hint));
  }
  return out;
}

// The names that GitLab allows for a section.
std::string SectionName(const std::string& stage) {
  std::string out = "genflow_log_";
  for (const char c : ToLowerAscii(stage)) {
    out += (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' ? c : '_';
  }
  return out;
}

std::string FoldedLog(const StageResult& stage, CiSystem system, double now) {
  const auto lines = LastLogLines(stage, kLogLines);
  if (lines.empty()) return "";
  const std::string head = "log of " + stage.stage + " (the last " + Counted(lines.size(), "line") + ")";
  std::string body;
  for (const auto& line : lines) body += "| " + line + "\n";
  if (system == CiSystem::kGitHub) return "::group::" + EscapeData(head) + "\n" + body + "::endgroup::\n";
  const std::string time = std::to_string(static_cast<int64_t>(now)), name = SectionName(stage.stage);
  return "\x1b[0Ksection_start:" + time + ":" + name + "[collapsed=true]\r\x1b[0K" + head + "\n" + body +
         "\x1b[0Ksection_end:" + time + ":" + name + "\r\x1b[0K\n";
}

}  // namespace

CiEnvironment DetectCi(const EnvironmentLookup& lookup) {
  CiEnvironment out;
  if (lookup("GITHUB_ACTIONS") == "true") {
    out.system = CiSystem::kGitHub;
    out.workspace = lookup("GITHUB_WORKSPACE").value_or("");
    out.step_summary = lookup("GITHUB_STEP_SUMMARY").value_or("");
  } else if (lookup("GITLAB_CI") == "true") {
    out.system = CiSystem::kGitLab;
    out.workspace = lookup("CI_PROJECT_DIR").value_or("");
  }
  return out;
}

CiEnvironment DetectCi() {
  return DetectCi([](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  });
}

std::string CiPath(const fs::path& file, const CiEnvironment& environment) {
  std::error_code ec;
  const fs::path whole = fs::weakly_canonical(fs::absolute(file, ec), ec);
  const fs::path root = fs::weakly_canonical(
      environment.workspace.empty() ? fs::current_path(ec) : fs::path(environment.workspace), ec);
  const fs::path relative = whole.lexically_relative(root);
  const bool inside = !relative.empty() && *relative.begin() != ".." && relative != ".";
  return inside ? relative.string() : file.string();
}

std::string RenderCiConsole(const RunOutcome& outcome, const CiEnvironment& environment, double now) {
  if (environment.system == CiSystem::kNone) return "";
  std::string out;
  if (outcome.report) {
    for (const auto& stage : outcome.report->stages) {
      if (stage.status == StageStatus::kFailed) out += FoldedLog(stage, environment.system, now);
    }
  }
  if (environment.system == CiSystem::kGitHub) out += GitHubAnnotations(outcome, environment);
  return out;
}

std::string WithoutCiCommands(const std::string& text, CiSystem system) {
  if (system == CiSystem::kNone) return text;
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size() - 1) + 1;
    std::string_view line = std::string_view(text).substr(at, end - at);
    const std::string_view bare = Trim(line);
    if (bare.starts_with("::") || bare.starts_with("##[")) out += "| ";
    // GitLab's markers may begin anywhere in a line.
    while (system == CiSystem::kGitLab) {
      const size_t mark = line.find("section_");
      if (mark == std::string_view::npos) break;
      out += std::string(line.substr(0, mark)) + "section-";
      line.remove_prefix(mark + 8);
    }
    out += line;
    at = end;
  }
  return out;
}

std::string RenderCodeQuality(const RunOutcome& outcome, const CiEnvironment& environment) {
  nlohmann::json out = nlohmann::json::array();
  std::map<std::string, int> seen;
  // The same `issue` keeps its fingerprint when lines move.
  const auto add = [&](const std::string& file, int line, const char* check, const char* severity,
                       const std::string& issue, const std::string& description) {
    const std::string path = file.empty() ? "." : CiPath(file, environment);
    const std::string what = path + "\n" + issue;
    const std::string fingerprint = Sha256Hex(what + "\n" + std::to_string(seen[what]++));
    out.push_back({{"description", CleanReportText(description)},
                   {"check_name", check},
                   {"fingerprint", fingerprint.substr(0, 32)},
                   {"severity", severity},
                   {"location", {{"path", path}, {"lines", {{"begin", std::max(1, line)}}}}}});
  };
  for (const auto& d : outcome.diagnostics) {
    add(d.file, d.line, "genflow-pipeline", d.severity == Severity::kError ? "major" : "minor", d.message,
        Full(d.message, d.hint));
  }
  if (!outcome.report) return DumpPretty(out);
  for (const auto& stage : outcome.report->stages) {
    if (!stage.error) continue;
    const StagePlace place = PlaceOf(outcome, stage);
    const std::string what = WhatHappened(stage);
    add(place.file, place.at.line, "genflow-stage", "critical", what,
        what + ": " + Full(stage.error->message, stage.error->hint));
  }
  return DumpPretty(out);
}

}  // namespace genflow::cli
