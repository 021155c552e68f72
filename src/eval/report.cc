#include "eval/report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/files.h"
#include "base/strings.h"
#include "eval/statistics.h"

namespace genflow::eval {
namespace {

std::string Fixed(double value, int decimals) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", decimals, value);
  return text;
}

// Four significant digits, or whole units from 1000 on.
std::string FourDigits(double value) {
  if (value == std::round(value) && std::abs(value) < 1e15) return WithCommas(static_cast<int64_t>(value));
  if (std::abs(value) >= 1000 && std::abs(value) < 1e15) return WithCommas(std::llround(value));
  char text[64];
  std::snprintf(text, sizeof text, "%.4g", value);
  return text;
}

}  // namespace

Metric& Report::Set(Metric metric) {
  for (auto& have : metrics) {
    if (have.name == metric.name) return have = std::move(metric);
  }
  return metrics.emplace_back(std::move(metric));
}

const Metric* Report::Find(std::string_view name) const {
  const auto at =
      std::find_if(metrics.begin(), metrics.end(), [&](const Metric& m) { return m.name == name; });
  return at == metrics.end() ? nullptr : &*at;
}

std::vector<std::string> Report::MetricNames() const {
  std::vector<std::string> out;
  for (const auto& metric : metrics) out.push_back(metric.name);
  return out;
}

Status Report::Merge(const Report& other, std::string_view prefix) {
  const auto named = [&](const std::string& name, const char* separator) {
    return prefix.empty() ? name : std::string(prefix) + separator + name;
  };
  for (const auto& metric : other.metrics) {
    const std::string name = named(metric.name, ".");
    if (Find(name) != nullptr) {
      return InvalidError("metric '" + name + "' is in two of the reports",
                          "give the reports different prefixes");
    }
  }
  for (Metric metric : other.metrics) {
    metric.name = named(metric.name, ".");
    if (metric.group.empty()) metric.group = prefix;
    metrics.push_back(std::move(metric));
  }
  for (Table table : other.tables) {
    table.title = named(table.title, ": ");
    tables.push_back(std::move(table));
  }
  for (const auto& [key, value] : other.facts) facts.emplace_back(named(key, "."), value);
  return Ok();
}

std::string FormatMetric(const Metric& metric) {
  std::string out;
  if (!std::isfinite(metric.value)) {
    out = std::isnan(metric.value) ? "NaN" : metric.value > 0 ? "infinite" : "-infinite";
  } else if (metric.stderr_value && *metric.stderr_value > 0 && std::isfinite(*metric.stderr_value)) {
    // Two significant digits of the standard error.
    const int decimals = std::clamp(1 - static_cast<int>(std::floor(std::log10(*metric.stderr_value))), 0, 9);
    out = Fixed(metric.value, decimals) + " ± " + Fixed(*metric.stderr_value, decimals);
  } else {
    out = FourDigits(metric.value);
  }
  return metric.unit.empty() ? out : out + " " + metric.unit;
}

std::string ShowInterval(double value, double stderr_value, double level) {
  if (!(stderr_value > 0) || !std::isfinite(stderr_value) || !std::isfinite(value)) {
    return FormatMetric({.name = "", .value = value});
  }
  const int decimals = std::clamp(1 - static_cast<int>(std::floor(std::log10(stderr_value))), 0, 9);
  const double half = NormalQuantile((1 + level) / 2) * stderr_value;
  return Fixed(value, decimals) + " [" + Fixed(value - half, decimals) + ", " +
         Fixed(value + half, decimals) + "]";
}

Status WriteReport(const Report& report, const std::filesystem::path& folder) {
  GF_CHECK_OK(MakeDirectories(folder));
  GF_CHECK_OK(WriteFileAtomic(folder / "report.json", ReportToJson(report)));
  return WriteFileAtomic(folder / "report.md", ReportToMarkdown(report));
}

Result<Report> ReadReport(const std::filesystem::path& path, const std::string& name) {
  std::error_code ec;
  const auto file = std::filesystem::is_regular_file(path, ec) ? path : path / "report.json";
  GF_TRY(const std::string text, ReadFile(file, 256u << 20));
  return ReportFromJson(text, name.empty() ? file.string() : name);
}

}  // namespace genflow::eval
