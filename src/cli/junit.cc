#include "cli/junit.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <ctime>

#include "cli/markup.h"

namespace genflow::cli {

namespace {

constexpr size_t kLogLines = 100;  // of a failed stage

// For text and attributes alike: line breaks are kept as references where a parser would lose them.
std::string Escape(std::string_view text, MarkupPlace place) {
  const std::string escaped = EscapeMarkup(CleanReportText(text), place);
  if (place == MarkupPlace::kElement) return escaped;
  std::string out;
  for (const char c : escaped) {
    if (c == '\n')
      out += "&#10;";
    else if (c == '\t')
      out += "&#9;";
    else
      out += c;
  }
  return out;
}

std::string Attribute(const char* name, std::string_view value) {
  return std::string(" ") + name + "=\"" + Escape(value, MarkupPlace::kAttribute) + "\"";
}

std::string Seconds(double seconds) {
  char text[40];
  std::snprintf(text, sizeof text, "%.3f", std::max(0.0, seconds));
  return text;
}

std::string Timestamp(double seconds) {
  const auto whole = static_cast<time_t>(seconds);
  struct tm utc {};
  ::gmtime_r(&whole, &utc);
  char text[40];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
  return text;
}

// Without the colon that leads to the next one.
std::string FirstLine(const std::string& text) {
  std::string line = text.substr(0, text.find('\n'));
  if (line.size() < text.size() && line.ends_with(':')) line.pop_back();
  return line;
}

class Suite {
 public:
  explicit Suite(const RunOutcome& outcome) : outcome_(outcome), name_(outcome.Title()) {
    for (const auto& diagnostic : outcome.diagnostics) {
      if (diagnostic.severity == Severity::kError) AddDiagnostic(diagnostic);
    }
    if (outcome.report) {
      for (const auto& stage : outcome.report->stages) AddStage(stage);
    }
    if (outcome.error) {
      Case("run", name_, 0);
      Problem("error", CodeName(outcome.error->code), outcome.error->message, outcome.error->ToString());
      Close();
    }
  }

  std::string Render() const {
    const std::string counts = Attribute("tests", std::to_string(tests_)) +
                               Attribute("failures", std::to_string(failures_)) +
                               Attribute("errors", std::to_string(errors_));
    const std::string time = Attribute("time", Seconds(outcome_.seconds));
    char host[256] = "";
    if (::gethostname(host, sizeof host - 1) != 0) host[0] = 0;
    return "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites" + Attribute("name", "genflow") + counts +
           time + ">\n  <testsuite" + Attribute("name", name_) + counts +
           Attribute("skipped", std::to_string(skipped_)) + time +
           Attribute("timestamp", Timestamp(outcome_.started)) + Attribute("hostname", host) + ">\n" +
           Properties() + cases_ + "  </testsuite>\n</testsuites>\n";
  }

 private:
  std::string Properties() const {
    std::string out = "    <properties>\n";
    const auto add = [&](const char* name, const std::string& value) {
      if (value.empty()) return;
      out += "      <property" + Attribute("name", name) + Attribute("value", value) + "/>\n";
    };
    add("genflow.pipeline", outcome_.file.string());
    if (outcome_.report) {
      add("genflow.run", outcome_.report->run);
      add("genflow.status", outcome_.error ? "failed" : RunStatusName(outcome_.report->status));
    }
    return out + "    </properties>\n";
  }

  void Case(const std::string& name, const std::string& class_name, double seconds) {
    ++tests_;
    cases_ += "    <testcase" + Attribute("name", name) + Attribute("classname", class_name) +
              Attribute("time", Seconds(seconds)) + ">\n";
  }
  void Close() { cases_ += "    </testcase>\n"; }
  // `element`: failure or error.
  void Problem(const std::string& element, const std::string& type, const std::string& message,
               const std::string& text) {
    ++(element == "error" ? errors_ : failures_);
    cases_ += "      <" + element + Attribute("type", type) + Attribute("message", FirstLine(message)) + ">" +
              Escape(text, MarkupPlace::kElement) + "</" + element + ">\n";
  }
  void Skipped(const std::string& why) {
    ++skipped_;
    cases_ += "      <skipped" + Attribute("message", why) + "/>\n";
  }
  void Out(const std::string& text) {
    if (!text.empty())
      cases_ += "      <system-out>" + Escape(text, MarkupPlace::kElement) + "</system-out>\n";
  }

  void AddDiagnostic(const Diagnostic& diagnostic) {
    const std::string place =
        diagnostic.line > 0 ? ":" + std::to_string(diagnostic.line) + ":" + std::to_string(diagnostic.column)
                            : "";
    Case((diagnostic.file.empty() ? "command line" : diagnostic.file + place), name_ + ".file", 0);
    Problem("failure", "invalid", diagnostic.message, RenderDiagnostic(diagnostic));
    Close();
  }

  void AddStage(const StageResult& stage) {
    Case(stage.stage, name_, stage.attempts > 0 ? stage.seconds : 0);
    std::string said = stage.summary;
    switch (stage.status) {
      case StageStatus::kFailed: {
        const Error error = stage.error.value_or(MakeError(Code::kInternal, "failed"));
        std::string text = error.ToString();
        const auto lines = LastLogLines(stage, kLogLines);
        if (!lines.empty()) text += "\nlast lines of its log:";
        for (const auto& line : lines) text += "\n" + line;
        Problem("failure", CodeName(error.code), error.message, text);
        break;
      }
      case StageStatus::kGated: {
        const Error error = stage.error.value_or(MakeError(Code::kGate, "said no"));
        Problem("failure", "gate", error.message, error.ToString());
        break;
      }
      case StageStatus::kInterrupted:
        Problem("error", "interrupted", "the stage was interrupted", "the same command continues it");
        break;
      case StageStatus::kSkipped:
        Skipped(stage.reason);
        break;
      case StageStatus::kCached:
        said = "cached: computed in run " + stage.reason + (said.empty() ? "" : "\n\n" + said);
        break;
      case StageStatus::kRan:
        break;
    }
    Out(said);
    Close();
    if (const auto gate = ReadGateReport(stage)) {
      for (const auto& requirement : gate->requirements) AddRequirement(stage, requirement);
    }
  }

  void AddRequirement(const StageResult& stage, const GateRequirement& requirement) {
    Case(requirement.text, name_ + "." + stage.stage, 0);
    const std::string text =
        requirement.numbers +
        (requirement.difference.empty() ? "" : "\ndifference: " + requirement.difference);
    if (requirement.failed())
      Problem("failure", "requirement", "not met: " + requirement.text, text);
    else if (requirement.verdict != "yes")
      Skipped(requirement.numbers);
    else
      Out(text);
    Close();
  }

  const RunOutcome& outcome_;
  const std::string name_;
  std::string cases_;
  int tests_ = 0, failures_ = 0, errors_ = 0, skipped_ = 0;
};

}  // namespace

std::string RenderJunit(const RunOutcome& outcome) { return Suite(outcome).Render(); }

}  // namespace genflow::cli
