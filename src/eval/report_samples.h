// Reports with sample rows: apart from report.h, and in a library of its own, because Parquet is.
#pragma once

#include <filesystem>

#include "base/result.h"
#include "eval/report.h"

namespace genflow::eval {

// As WriteReport(), and the sample rows, where there are any, as `folder`/samples.parquet.
Status WriteReportWithSamples(const Report& report, const std::filesystem::path& folder);

}  // namespace genflow::eval
