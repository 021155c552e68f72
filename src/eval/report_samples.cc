#include "eval/report_samples.h"

#include <limits>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "data/parquet_rows.h"
#include "data/table_writer.h"

namespace genflow::eval {

Status WriteReportWithSamples(const Report& report, const std::filesystem::path& folder) {
  GF_CHECK_OK(MakeDirectories(folder));
  // First, so that a report.json that names the file stands beside it.
  if (!report.samples.rows.empty()) {
    GF_CHECK_OK(data::WriteTable(report.samples, folder / kSamplesFile));
  }
  return WriteReport(report, folder);
}

Result<std::optional<SampleRows>> ReadSampleRows(const std::filesystem::path& folder) {
  const auto file = folder / kSamplesFile;
  std::error_code ec;
  if (!std::filesystem::is_regular_file(file, ec)) return std::optional<SampleRows>();
  GF_TRY(auto rows, data::ParquetRows::Open(file));
  SampleRows out;
  std::string text;
  while (true) {
    GF_TRY(const bool more, rows->Next(&text));
    if (!more) break;
    const auto row = nlohmann::json::parse(text, nullptr, false);
    if (!row.is_object()) return MakeError(Code::kCorrupt, file.string() + ": a row is not an object");
    const auto id = row.contains("id") ? row.find("id") : row.find("probe");
    if (id == row.end()) return std::optional<SampleRows>();
    const size_t index = out.ids.size();
    out.ids.push_back(id->is_string() ? id->get<std::string>() : id->dump());
    for (const auto& [name, value] : row.items()) {
      if (!value.is_number() && !value.is_boolean()) continue;
      auto& column = out.columns[name];
      column.resize(index, std::numeric_limits<double>::quiet_NaN());
      column.push_back(value.is_boolean() ? (value.get<bool>() ? 1 : 0) : value.get<double>());
    }
    for (auto& [name, column] : out.columns)
      column.resize(index + 1, std::numeric_limits<double>::quiet_NaN());
  }
  return std::optional<SampleRows>(std::move(out));
}

}  // namespace genflow::eval
