// What is wrong in a file, where, and what to do about it; rendered as
//
//   pipeline.yaml:7:11: error: unknown stage 'train.loar'
//      7 |     uses: train.loar
//        |           ^~~~~~~~~~
//     hint: did you mean 'train.lora'?
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace genflow {

// A range inside one line of a text. Lines and columns count from 1; columns and length count Unicode
// code points, as editors do. Line 0: no place (the whole file, or the command line).
struct Position {
  int line = 0;
  int column = 0;
  int length = 1;

  bool operator==(const Position&) const = default;
};

enum class Severity { kError, kWarning };

struct Diagnostic {
  std::string file;  // as given by the user; empty: the command line
  int line = 0, column = 0, length = 1;
  Severity severity = Severity::kError;
  std::string message;        // one sentence, no trailing period; may hold several lines
  std::string hint;           // "did you mean 'x'?"; may be empty
  std::string source_line;    // the part of the source line that is shown; empty: none
  int source_column = 1;      // the column of source_line's first character
  std::string included_from;  // "pipeline.yaml:7:11", where that file uses `file`; else empty
};

// A text file in memory that can say where its lines are. Shared by everything that reports about it.
class SourceText {
 public:
  SourceText(std::string name, std::string text);

  const std::string& name() const { return name_; }
  const std::string& text() const { return text_; }
  int line_count() const { return static_cast<int>(line_starts_.size()); }
  // A line counted from 1, without its line break; empty outside the text.
  std::string_view Line(int line) const;
  // The place of a byte range; it is cut at the end of its first line.
  Position At(size_t offset, size_t bytes = 1) const;

  Diagnostic Report(Position where, std::string message, std::string hint = {},
                    Severity severity = Severity::kError) const;

 private:
  size_t CountPoints(size_t offset) const;                 // code points before a byte offset
  size_t OffsetOfPoint(size_t point, size_t limit) const;  // the reverse, at most `limit`

  std::string name_, text_;
  std::vector<size_t> line_starts_;
  std::vector<size_t> point_counts_;  // code points before byte 256 * i; empty: the text is ASCII
};

struct RenderOptions {
  bool color = false;
};

// One diagnostic, ending in a newline. Control characters of the source are replaced, so that no file
// can steer the terminal.
std::string RenderDiagnostic(const Diagnostic& diagnostic, RenderOptions options = {});
// All of them, in the given order, with an empty line between, then "3 errors, 1 warning" on a line.
std::string RenderDiagnostics(const std::vector<Diagnostic>& diagnostics, RenderOptions options = {});

// {"file","line","column","length","severity","message"[,"hint"][,"included_from"]}; an array for a vector.
nlohmann::json DiagnosticToJson(const Diagnostic& diagnostic);
nlohmann::json DiagnosticsToJson(const std::vector<Diagnostic>& diagnostics);

// By place in the file, then errors before warnings; equal ones once.
void SortDiagnostics(std::vector<Diagnostic>* diagnostics);
bool HasErrors(const std::vector<Diagnostic>& diagnostics);

}  // namespace genflow
