// Reports with sample rows: apart from report.h, and in a library of its own, because Parquet is.
#pragma once

#include <filesystem>

#include "base/result.h"
#include "eval/paired.h"
#include "eval/report.h"

namespace genflow::eval {

// As WriteReport(), and the sample rows, where there are any, as `folder`/samples.parquet.
Status WriteReportWithSamples(const Report& report, const std::filesystem::path& folder);

// The numbers and truth values of `folder`/samples.parquet, with its column `id` (or `probe`, as guard
// reports have it). Nothing where there is no such file or column.
Result<std::optional<SampleRows>> ReadSampleRows(const std::filesystem::path& folder);

}  // namespace genflow::eval
