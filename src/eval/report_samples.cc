#include "eval/report_samples.h"

#include "base/files.h"
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

}  // namespace genflow::eval
