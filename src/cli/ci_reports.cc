#include "cli/ci_reports.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <ctime>
#include <filesystem>
#include <string_view>
#include <utility>
#include <vector>

#include "base/files.h"
#include "cli/ci_summary.h"
#include "cli/errors.h"
#include "cli/junit.h"

namespace genflow::cli {

namespace {

namespace fs = std::filesystem;

Status WriteReport(const std::string& file, const std::string& text) {
  const fs::path folder = fs::path(file).parent_path();
  if (!folder.empty()) GF_CHECK_OK(MakeDirectories(folder));
  return WriteFileAtomic(file, text);
}

// A file of --junit, --summary or --code-quality, and how every report of that kind begins.
struct Target {
  const char* option;
  const std::string& file;
  std::string_view begins;
};

bool IsReport(const Target& target) {
  const fs::path path = target.file;
  if (path.extension() == ".yaml" || path.extension() == ".yml") return false;
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string head(target.begins.size(), '\0');
  const ssize_t size = fd.valid() ? ::read(fd.get(), head.data(), head.size()) : -1;
  return size == 0 || (size > 0 && head == target.begins);
}

Status Append(const std::string& file, const std::string& text) {
  std::FILE* out = std::fopen(file.c_str(), "ab");
  if (out == nullptr) return ErrnoError(file, errno);
  const bool written = std::fwrite(text.data(), 1, text.size(), out) == text.size();
  if (std::fclose(out) != 0 || !written) return ErrnoError(file, errno);
  return Ok();
}

// "error: --junit out.xml: ..." when `done` is not Ok; whether it is.
bool Check(const std::string& what, const Status& done) {
  if (done.ok()) return true;
  std::fprintf(stderr, "error: %s: %s\n", what.c_str(), done.error().ToString().c_str());
  return false;
}

int WithProblems(int code, bool fine) { return fine || code != kExitOk ? code : kExitFailed; }

}  // namespace

void AddCiOptions(CLI::App& command, CiOptions& options) {
  command.add_option("--junit", options.junit, "Write a JUnit XML report, however the run ends")
      ->type_name("FILE")
      ->check(NamesFile());
  command.add_option("--summary", options.summary, "Write a Markdown summary for the page of a CI job")
      ->type_name("FILE")
      ->check(NamesFile());
  command
      .add_option("--code-quality", options.code_quality,
                  "Write a GitLab code quality report: what is wrong, at its lines")
      ->type_name("FILE")
      ->check(NamesFile());
}

Status CheckReportFiles(const CiOptions& options, const PipelineOptions& pipeline) {
  std::vector<std::pair<std::string, std::string>> read = {{pipeline.file, "the pipeline"},
                                                           {pipeline.secrets_file, "the file of secrets"}};
  for (const auto& file : pipeline.params_files) read.emplace_back(file, "a file of parameters");
  for (const Target& target :
       {Target{"--junit", options.junit, "<?xml"}, Target{"--summary", options.summary, "## "},
        Target{"--code-quality", options.code_quality, "["}}) {
    std::error_code ec;
    if (target.file.empty() || !fs::is_regular_file(target.file, ec)) continue;
    const std::string what = std::string(target.option) + " " + target.file;
    const std::string hint = std::string(target.option) + " takes the FILE to write";
    for (const auto& [file, role] : read) {
      if (!file.empty() && fs::equivalent(file, target.file, ec))
        return InvalidError(what + ": that file is " + role, hint);
    }
    if (!IsReport(target)) return InvalidError(what + ": the file exists and is no report", hint);
  }
  return Ok();
}

void CiObserver::RunStarted(const RunHeader& header, double now) {
  outcome_.report.emplace();
  outcome_.report->run = header.run;
  outcome_.report->pipeline = header.pipeline;
  outcome_.report->status = RunStatus::kFailed;
  ForwardingObserver::RunStarted(header, now);
}

void CiObserver::StageFinished(const StageResult& result, double now) {
  if (outcome_.report) outcome_.report->stages.push_back(result);
  ForwardingObserver::StageFinished(result, now);
}

void CiObserver::RunFinished(const RunReport& report, double now) {
  outcome_.report = report;
  ForwardingObserver::RunFinished(report, now);
}

int WriteCiReports(const CiOptions& options, const CiEnvironment& environment, const RunOutcome& outcome,
                   int code) {
  bool fine = true;
  if (!options.junit.empty())
    fine &= Check("--junit " + options.junit, WriteReport(options.junit, RenderJunit(outcome)));
  if (!options.summary.empty() || !environment.step_summary.empty()) {
    const std::string summary = RenderCiSummary(outcome);
    if (!options.summary.empty())
      fine &= Check("--summary " + options.summary, WriteReport(options.summary, summary));
    if (!environment.step_summary.empty())
      fine &= Check("GITHUB_STEP_SUMMARY", Append(environment.step_summary, summary + "\n"));
  }
  if (!options.code_quality.empty()) {
    fine &= Check("--code-quality " + options.code_quality,
                  WriteReport(options.code_quality, RenderCodeQuality(outcome, environment)));
  }
  std::fputs(RenderCiConsole(outcome, environment, static_cast<double>(std::time(nullptr))).c_str(), stderr);
  return WithProblems(code, fine);
}

int WriteCiDiagnostics(const std::string& code_quality, const RunOutcome& outcome, int code) {
  CiOptions options;
  options.code_quality = code_quality;
  CiEnvironment environment = DetectCi();
  environment.step_summary.clear();
  return WriteCiReports(options, environment, outcome, code);
}

}  // namespace genflow::cli
