// What a run adds to the log of a CI job so that its web page shows more: annotations at lines of the
// pipeline file, and the log of a failed stage folded away.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "cli/ci_outcome.h"

namespace genflow::cli {

enum class CiSystem { kNone, kGitHub, kGitLab };

// Where the process runs, by the variables that these systems set for a job.
struct CiEnvironment {
  CiSystem system = CiSystem::kNone;
  std::string workspace;     // folder of the repository; empty: unknown
  std::string step_summary;  // file to which Markdown for the job's page is added; empty: none
};
using EnvironmentLookup = std::function<std::optional<std::string>(const std::string&)>;
CiEnvironment DetectCi(const EnvironmentLookup& lookup);
CiEnvironment DetectCi();

// A path as the system's pages name it: relative to the repository where it lies in it.
std::string CiPath(const std::filesystem::path& file, const CiEnvironment& environment);

// Everything for the log after a run: annotations (GitHub) and folded logs of failed stages. `now` is the
// time in seconds since the Unix epoch, for section markers. Empty where there is no such system.
std::string RenderCiConsole(const RunOutcome& outcome, const CiEnvironment& environment, double now);

// Text for the log of a job that holds nothing the system would take for a command.
std::string WithoutCiCommands(const std::string& text, CiSystem system);

// GitLab's code quality report, which annotates a merge request at lines of the pipeline file: a JSON array
// with an issue for each diagnostic, each stage that failed and each gate that said no.
std::string RenderCodeQuality(const RunOutcome& outcome, const CiEnvironment& environment);

}  // namespace genflow::cli
