// What a worker writes on its report pipe, turned into events. Trusts nothing.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/executor.h"

namespace genflow {

// Cuts a byte stream into lines.
class LineBuffer {
 public:
  explicit LineBuffer(size_t limit) : limit_(limit) {}

  // Takes bytes in; complete lines come out, without their line breaks. A line of more than the limit
  // comes out in pieces.
  std::vector<std::string> Add(std::string_view bytes);
  // What stands behind the last line break, if anything.
  std::optional<std::string> Rest();
  // True once a line was longer than the limit.
  bool overflowed() const { return overflowed_; }

 private:
  size_t limit_;
  std::string pending_;
  bool overflowed_ = false;
};

// One report line of job `job`. A "done" line sets `*outcome` and gives no event. Lines that the protocol
// does not know give event::Broken.
std::optional<Event> ParseReportLine(int job, std::string_view line, std::optional<int>* outcome);

// Length of the terminal's command at the start of `text`, as ECMA-48 has them: "ESC [ 31 m", "ESC ] 8 ; ;
// URL ESC \\", "ESC c". 0: there is none. One that does not end is as long as what can belong to it.
size_t EscapeLength(std::string_view text);
// Text without control characters and a terminal's commands, with invalid UTF-8 replaced: safe for terminals,
// logs and JSON. Of a line that was written over with carriage returns the last piece stays.
std::string CleanText(std::string_view text);

}  // namespace genflow
