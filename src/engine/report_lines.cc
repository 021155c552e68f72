#include "engine/report_lines.h"

#include <cmath>

#include "base/strings.h"

namespace genflow {

namespace {

using nlohmann::json;

std::string Member(const json& line, const char* name) {
  const auto it = line.find(name);
  return it != line.end() && it->is_string() ? it->get<std::string>() : std::string();
}

// A JSON number, or a null as JSON writes a NaN.
double Number(const json& line, const char* name) {
  const auto it = line.find(name);
  return it != line.end() && it->is_number() ? it->get<double>() : std::nan("");
}

uint64_t Count(const json& line, const char* name) {
  const auto it = line.find(name);
  return it != line.end() && it->is_number_unsigned() ? it->get<uint64_t>() : 0;
}

Code CodeFromWord(const std::string& word) {
  if (word == "invalid") return Code::kInvalid;
  if (word == "io") return Code::kIo;
  if (word == "exhausted") return Code::kExhausted;
  if (word == "unsupported") return Code::kUnsupported;
  return Code::kInternal;
}

}  // namespace

std::vector<std::string> LineBuffer::Add(std::string_view bytes) {
  std::vector<std::string> lines;
  while (!bytes.empty()) {
    const size_t end = bytes.find('\n');
    const bool complete = end != std::string_view::npos;
    pending_.append(bytes.substr(0, complete ? end : bytes.size()));
    bytes.remove_prefix(complete ? end + 1 : bytes.size());
    while (pending_.size() > limit_) {
      overflowed_ = true;
      lines.push_back(pending_.substr(0, limit_));
      pending_.erase(0, limit_);
    }
    if (complete) {
      lines.push_back(std::move(pending_));
      pending_.clear();
    }
  }
  return lines;
}

std::optional<std::string> LineBuffer::Rest() {
  if (pending_.empty()) return std::nullopt;
  return std::exchange(pending_, {});
}

std::optional<Event> ParseReportLine(int job, std::string_view text, std::optional<int>* outcome) {
  const json line = json::parse(text, nullptr, false);
  const auto broken = [&] {
    std::string shown = CleanText(text.substr(0, 80));
    if (text.size() > 80) shown += "...";
    return event::Broken{job, "wrote a report line that genflow does not understand: " + shown};
  };
  if (!line.is_object()) return broken();
  const std::string kind = Member(line, "t");
  if (kind == "progress") {
    return event::Progress{job, Count(line, "done"), Count(line, "total"), CleanText(Member(line, "unit")),
                           CleanText(Member(line, "msg"))};
  }
  if (kind == "metric") {
    const auto step = line.find("step");
    return event::Metric{job, CleanText(Member(line, "name")), Number(line, "value"),
                         step != line.end() && step->is_number_integer() ? step->get<int64_t>() : -1};
  }
  if (kind == "log") return event::Log{job, Member(line, "level"), Member(line, "text")};
  if (kind == "summary") return event::Summary{job, Member(line, "text")};
  if (kind == "fail") {
    return event::Fail{job, MakeError(CodeFromWord(Member(line, "code")), CleanText(Member(line, "message")),
                                      CleanText(Member(line, "hint")))};
  }
  if (kind == "done") {
    const auto value = line.find("outcome");
    if (value == line.end() || !value->is_number_integer()) return broken();
    *outcome = value->get<int>();
    return std::nullopt;
  }
  return broken();
}

size_t EscapeLength(std::string_view text) {
  const auto skip = [&](size_t at, unsigned char from, unsigned char to) {
    while (at < text.size() && static_cast<unsigned char>(text[at]) >= from &&
           static_cast<unsigned char>(text[at]) <= to)
      ++at;
    return at;
  };
  const auto final_byte = [&](size_t at, unsigned char from) {
    return at < text.size() && static_cast<unsigned char>(text[at]) >= from &&
                   static_cast<unsigned char>(text[at]) <= 0x7E
               ? at + 1
               : at;
  };
  const size_t introducer = text.starts_with("\x1b[") || text.starts_with("\xC2\x9B") ? 2 : 0;
  if (introducer > 0) return final_byte(skip(skip(introducer, 0x30, 0x3F), 0x20, 0x2F), 0x40);
  if (!text.starts_with('\x1b')) return 0;
  if (text.starts_with("\x1b]")) {
    const size_t bell = text.find_first_of("\x07\n", 2), st = text.substr(0, bell).find("\x1b\\", 2);
    if (st != std::string_view::npos) return st + 2;
    return bell != std::string_view::npos && text[bell] == '\x07' ? bell + 1 : 2;
  }
  return final_byte(skip(1, 0x20, 0x2F), 0x30);
}

std::string CleanText(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  size_t line = 0;  // where the line that is being written begins in `out`
  bool returned = false;
  while (!text.empty()) {
    if (const size_t length = EscapeLength(text); length > 0) {
      text.remove_prefix(length);
      continue;
    }
    if (text[0] == '\r') {
      returned = true;
      text.remove_prefix(1);
      continue;
    }
    const size_t length = Utf8CharLength(text);
    const auto first = static_cast<unsigned char>(text[0]);
    // C0 and C1 controls would steer the terminal.
    const bool control = (length == 1 && (first < 0x20 || first == 0x7F) && first != '\t' && first != '\n') ||
                         (length == 2 && first == 0xC2 && static_cast<unsigned char>(text[1]) < 0xA0);
    if (control) {
      text.remove_prefix(length);
      continue;
    }
    if (returned && first != '\n') out.resize(line);
    returned = false;
    if (first == '\n') line = out.size() + 1;
    if (length == 0) {
      out += "\xEF\xBF\xBD";
      text.remove_prefix(1);
      continue;
    }
    out.append(text.substr(0, length));
    text.remove_prefix(length);
  }
  return out;
}

}  // namespace genflow
