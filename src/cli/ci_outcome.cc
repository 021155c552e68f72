#include "cli/ci_outcome.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/strings.h"
#include "engine/report_lines.h"

namespace genflow::cli {

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr char kReplacement[] = "\xEF\xBF\xBD";  // U+FFFD
constexpr uint64_t kMaxReport = 64u << 20;
constexpr std::streamoff kMaxLogTail = 256 << 10;

// Length of the well-formed UTF-8 sequence at `at` whose character XML 1.0 may hold; 0 when there is none.
size_t CharacterAt(std::string_view text, size_t at) {
  const std::string_view rest = text.substr(at);
  const auto first = static_cast<unsigned char>(rest[0]);
  if (first < 0x20 && first != '\n' && first != '\t') return 0;
  if (rest.starts_with("\xEF\xBF\xBE") || rest.starts_with("\xEF\xBF\xBF")) return 0;  // U+FFFE, U+FFFF
  return Utf8CharLength(rest);
}

json TableCalled(const json& report, const std::string& title) {
  const auto tables = report.find("tables");
  if (tables == report.end() || !tables->is_array()) return json();
  for (const auto& table : *tables) {
    if (table.is_object() && table.value("title", json()) == title) return table;
  }
  return json();
}

std::vector<std::vector<std::string>> Rows(const json& table) {
  std::vector<std::vector<std::string>> out;
  if (!table.is_object() || !table.contains("rows") || !table["rows"].is_array()) return out;
  for (const auto& row : table["rows"]) {
    auto& cells = out.emplace_back();
    if (!row.is_array()) continue;
    for (const auto& cell : row) cells.push_back(cell.is_string() ? cell.get<std::string>() : cell.dump());
  }
  return out;
}

}  // namespace

std::string RunOutcome::Title() const {
  if (!pipeline.empty()) return pipeline;
  return file.empty() ? "genflow" : file.filename().string();
}

std::optional<GateReport> ReadGateReport(const StageResult& stage) {
  if (!stage.uses.starts_with("gate.")) return std::nullopt;
  for (const auto& output : stage.outputs) {
    if (output.artifact.type != "report") continue;
    const auto text = ReadFile(output.artifact.path() / "report.json", kMaxReport);
    if (!text.ok()) continue;
    const json report = json::parse(*text, nullptr, false);
    if (!report.is_object()) continue;
    GateReport out;
    for (auto& row : Rows(TableCalled(report, "Requirements"))) {
      row.resize(std::max<size_t>(4, row.size()));
      out.requirements.push_back({row[0], row[1], row[2], row[3]});
    }
    const json changes = TableCalled(report, "Against the baseline");
    out.changes = Rows(changes);
    if (!out.changes.empty()) out.change_columns = Rows({{"rows", {changes["columns"]}}}).front();
    return out;
  }
  return std::nullopt;
}

std::string CleanReportText(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    if (const size_t escape = EscapeLength(text.substr(at)); escape > 0) {
      at += escape;
    } else if (text[at] == '\r') {
      if (at + 1 == text.size() || text[at + 1] != '\n') out += '\n';
      ++at;
    } else if (const size_t length = CharacterAt(text, at); length > 0) {
      out += text.substr(at, length);
      at += length;
    } else {
      out += kReplacement;
      ++at;
    }
  }
  return out;
}

std::vector<std::string> LastLogLines(const StageResult& stage, size_t count) {
  std::vector<std::string> lines = stage.log_tail;
  if (!stage.log.empty()) {
    std::ifstream in(stage.log, std::ios::binary | std::ios::ate);
    const std::streamoff size = in ? static_cast<std::streamoff>(in.tellg()) : 0;
    if (size > 0) {
      in.seekg(std::max<std::streamoff>(0, size - kMaxLogTail));
      const std::string text{std::istreambuf_iterator<char>(in), {}};
      lines.clear();
      for (const auto line : Split(text, '\n')) lines.emplace_back(line);
      if (!lines.empty() && lines.back().empty()) lines.pop_back();
      if (size > kMaxLogTail && !lines.empty()) lines.erase(lines.begin());  // cut in its middle
    }
  }
  if (lines.size() > count) lines.erase(lines.begin(), lines.end() - static_cast<std::ptrdiff_t>(count));
  for (auto& line : lines) line = CleanReportText(line);
  return lines;
}

}  // namespace genflow::cli
