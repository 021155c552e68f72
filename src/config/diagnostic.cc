#include "config/diagnostic.h"

#include <algorithm>
#include <cstdint>
#include <tuple>

#include "base/strings.h"

namespace genflow {

namespace {

constexpr size_t kCountStep = 256;
constexpr int kLongLine = 160;    // code points; longer lines are shown in part
constexpr int kBeforeCaret = 40;  // code points shown before the caret of such a line

bool IsLead(char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }

size_t CountLeads(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), IsLead));
}

// The next code point of valid UTF-8; bytes that are not make one code point each.
char32_t NextPoint(std::string_view text, size_t* at) {
  const auto lead = static_cast<unsigned char>(text[*at]);
  const size_t size = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  char32_t point = size == 1 ? lead : lead & (0xFF >> (size + 1));
  ++*at;
  for (size_t i = 1; i < size && *at < text.size() && !IsLead(text[*at]); ++i, ++*at) {
    point = (point << 6) | (static_cast<unsigned char>(text[*at]) & 0x3F);
  }
  return point;
}

// Columns that a terminal gives a code point: the wide blocks of East Asian Width, combining marks.
int Width(char32_t c) {
  if ((c >= 0x300 && c <= 0x36F) || c == 0x200D || (c >= 0xFE00 && c <= 0xFE0F)) return 0;
  if ((c >= 0x1100 && c <= 0x115F) || (c >= 0x2E80 && c <= 0xA4CF) || (c >= 0xAC00 && c <= 0xD7A3) ||
      (c >= 0xF900 && c <= 0xFAFF) || (c >= 0xFE30 && c <= 0xFE6F) || (c >= 0xFF00 && c <= 0xFF60) ||
      (c >= 0xFFE0 && c <= 0xFFE6) || (c >= 0x1F300 && c <= 0x1F64F) || (c >= 0x1F900 && c <= 0x1F9FF) ||
      (c >= 0x20000 && c <= 0x3FFFD)) {
    return 2;
  }
  return 1;
}

bool IsControl(char32_t c) {
  return c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0x2028 || c == 0x2029 || (c >= 0x202A && c <= 0x202E) ||
         (c >= 0x2066 && c <= 0x2069);
}

// `text` without anything that steers a terminal; a line break is kept where `keep_breaks`.
std::string Printable(std::string_view text, bool keep_breaks) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const size_t start = at;
    const char32_t point = NextPoint(text, &at);
    if (point == '\n' && keep_breaks)
      out += '\n';
    else if (point == '\t')
      out += ' ';
    else if (IsControl(point))
      out += '?';
    else
      out.append(text.substr(start, at - start));
  }
  return out;
}

struct Colors {
  const char *bold = "", *red = "", *yellow = "", *green = "", *cyan = "", *off = "";
};

Colors ColorsFor(const RenderOptions& options) {
  if (!options.color) return {};
  return {"\x1b[1m", "\x1b[1;31m", "\x1b[1;33m", "\x1b[1;32m", "\x1b[36m", "\x1b[0m"};
}

}  // namespace

SourceText::SourceText(std::string name, std::string text) : name_(std::move(name)), text_(std::move(text)) {
  line_starts_.push_back(0);
  bool ascii = true;
  for (size_t i = 0; i < text_.size(); ++i) {
    if (text_[i] == '\n' && i + 1 < text_.size()) line_starts_.push_back(i + 1);
    ascii = ascii && static_cast<unsigned char>(text_[i]) < 0x80;
  }
  if (ascii) return;
  size_t count = 0;
  for (size_t i = 0; i < text_.size(); ++i) {
    if (i % kCountStep == 0) point_counts_.push_back(count);
    if (IsLead(text_[i])) ++count;
  }
}

std::string_view SourceText::Line(int line) const {
  if (line < 1 || line > line_count()) return {};
  const size_t start = line_starts_[line - 1];
  size_t end = line < line_count() ? line_starts_[line] : text_.size();
  if (end > start && text_[end - 1] == '\n') --end;
  if (end > start && text_[end - 1] == '\r') --end;
  return std::string_view(text_).substr(start, end - start);
}

size_t SourceText::CountPoints(size_t offset) const {
  if (point_counts_.empty()) return offset;
  const size_t block = std::min(offset / kCountStep, point_counts_.size() - 1);
  const size_t start = block * kCountStep;
  return point_counts_[block] + CountLeads(std::string_view(text_).substr(start, offset - start));
}

size_t SourceText::OffsetOfPoint(size_t point, size_t limit) const {
  if (point_counts_.empty()) return std::min(point, limit);
  const auto block =
      std::upper_bound(point_counts_.begin(), point_counts_.end(), point) - point_counts_.begin() - 1;
  size_t at = static_cast<size_t>(block) * kCountStep, count = point_counts_[block];
  while (at < limit && !IsLead(text_[at])) ++at;
  while (at < limit && count < point) {
    ++at;
    while (at < limit && !IsLead(text_[at])) ++at;
    ++count;
  }
  return std::min(at, limit);
}

Position SourceText::At(size_t offset, size_t bytes) const {
  offset = std::min(offset, text_.size());
  const auto next = std::upper_bound(line_starts_.begin(), line_starts_.end(), offset);
  const auto line = static_cast<int>(next - line_starts_.begin());
  const size_t start = line_starts_[line - 1], end = start + Line(line).size();
  const size_t stop = std::min(offset + bytes, std::max(end, offset));
  Position out;
  out.line = line;
  out.column = static_cast<int>(CountPoints(offset) - CountPoints(start)) + 1;
  out.length = std::max(1, static_cast<int>(CountPoints(stop) - CountPoints(offset)));
  return out;
}

Diagnostic SourceText::Report(Position where, std::string message, std::string hint,
                              Severity severity) const {
  Diagnostic out;
  out.file = name_;
  out.line = where.line;
  out.column = where.column;
  out.length = where.length;
  out.severity = severity;
  out.message = std::move(message);
  out.hint = std::move(hint);
  const std::string_view line = Line(where.line);
  if (line.empty()) return out;
  const size_t start = line_starts_[where.line - 1], end = start + line.size(), first = CountPoints(start);
  size_t from = start, to = end;
  if (CountPoints(end) - first > kLongLine) {
    out.source_column = std::max(1, where.column - kBeforeCaret);
    from = OffsetOfPoint(first + static_cast<size_t>(out.source_column) - 1, end);
    to = OffsetOfPoint(first + static_cast<size_t>(out.source_column) - 1 + kLongLine, end);
  }
  out.source_line = text_.substr(from, to - from);
  return out;
}

std::string RenderDiagnostic(const Diagnostic& d, RenderOptions options) {
  const Colors color = ColorsFor(options);
  std::string out = color.bold;
  if (!d.file.empty()) out += Printable(d.file, false) + ":";
  if (d.line > 0) out += std::to_string(d.line) + ":" + std::to_string(d.column) + ":";
  if (!d.file.empty() || d.line > 0) out += " ";
  const bool error = d.severity == Severity::kError;
  out += std::string(color.off) + (error ? color.red : color.yellow) + (error ? "error:" : "warning:") +
         color.off + " ";
  out += color.bold + Printable(d.message, true) + color.off + "\n";

  if (!d.source_line.empty()) {
    const std::string number = std::to_string(d.line);
    const size_t width = std::max<size_t>(5, number.size() + 1);
    std::string shown = d.source_column > 1 ? "..." : "", caret(shown.size(), ' ');
    const int first = d.source_column, last = d.column + std::max(1, d.length);
    int column = first, underlined = 0;
    for (size_t at = 0; at < d.source_line.size(); ++column) {
      const size_t start = at;
      const char32_t point = NextPoint(d.source_line, &at);
      const std::string text = Printable(std::string_view(d.source_line).substr(start, at - start), false);
      const int cells = IsControl(point) ? 1 : Width(point);
      shown += text;
      if (column < d.column) {
        caret.append(cells, ' ');
      } else if (column < last) {
        for (int i = 0; i < cells; ++i) caret += underlined++ == 0 ? '^' : '~';
      }
    }
    if (underlined == 0) caret += '^';
    out += std::string(width - number.size(), ' ') + number + " | " + shown + "\n";
    out += std::string(width, ' ') + " | " + color.green + caret + color.off + "\n";
  }
  if (!d.hint.empty())
    out += std::string("  ") + color.cyan + "hint:" + color.off + " " + Printable(d.hint, true) + "\n";
  if (!d.included_from.empty()) out += "  used by " + Printable(d.included_from, false) + "\n";
  return out;
}

std::string RenderDiagnostics(const std::vector<Diagnostic>& diagnostics, RenderOptions options) {
  std::string out;
  size_t errors = 0;
  for (const auto& d : diagnostics) {
    out += RenderDiagnostic(d, options) + "\n";
    if (d.severity == Severity::kError) ++errors;
  }
  if (diagnostics.empty()) return out;
  const size_t warnings = diagnostics.size() - errors;
  if (errors > 0) out += Counted(errors, "error");
  if (errors > 0 && warnings > 0) out += ", ";
  if (warnings > 0) out += Counted(warnings, "warning");
  return out + "\n";
}

nlohmann::json DiagnosticToJson(const Diagnostic& d) {
  nlohmann::json out = {{"file", d.file},
                        {"line", d.line},
                        {"column", d.column},
                        {"length", d.length},
                        {"severity", d.severity == Severity::kError ? "error" : "warning"},
                        {"message", d.message}};
  if (!d.hint.empty()) out["hint"] = d.hint;
  if (!d.included_from.empty()) out["included_from"] = d.included_from;
  return out;
}

nlohmann::json DiagnosticsToJson(const std::vector<Diagnostic>& diagnostics) {
  nlohmann::json out = nlohmann::json::array();
  for (const auto& d : diagnostics) out.push_back(DiagnosticToJson(d));
  return out;
}

void SortDiagnostics(std::vector<Diagnostic>* diagnostics) {
  const auto key = [](const Diagnostic& d) { return std::tie(d.file, d.line, d.column, d.severity); };
  std::stable_sort(diagnostics->begin(), diagnostics->end(),
                   [&](const Diagnostic& a, const Diagnostic& b) { return key(a) < key(b); });
  const auto same = [&](const Diagnostic& a, const Diagnostic& b) {
    return key(a) == key(b) && a.message == b.message;
  };
  diagnostics->erase(std::unique(diagnostics->begin(), diagnostics->end(), same), diagnostics->end());
}

bool HasErrors(const std::vector<Diagnostic>& diagnostics) {
  return std::any_of(diagnostics.begin(), diagnostics.end(),
                     [](const Diagnostic& d) { return d.severity == Severity::kError; });
}

}  // namespace genflow
