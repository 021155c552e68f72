// report.json.
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "eval/report.h"

namespace genflow::eval {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kVersion = 1;
constexpr const char* kFormat = "genflow.report";
constexpr const char* kHowToWrite =
    R"(a report.json is {"format": "genflow.report", "version": 1, "metrics": {"acc": {"value": 0.9}}})";

Json NumberToJson(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  return value;
}

std::optional<double> NumberFromJson(const Json& json) {
  if (json.is_number()) return json.get<double>();
  if (json == "NaN") return std::numeric_limits<double>::quiet_NaN();
  if (json == "Infinity") return std::numeric_limits<double>::infinity();
  if (json == "-Infinity") return -std::numeric_limits<double>::infinity();
  return std::nullopt;
}

Json MetricToJson(const Metric& metric) {
  Json out = Json::object();
  out["value"] = NumberToJson(metric.value);
  if (metric.stderr_value) out["stderr"] = NumberToJson(*metric.stderr_value);
  out["n"] = metric.n;
  if (metric.higher_is_better) out["higher_is_better"] = *metric.higher_is_better;
  if (!metric.unit.empty()) out["unit"] = metric.unit;
  if (!metric.group.empty()) out["group"] = metric.group;
  if (metric.of_samples) {
    out["samples"] = Json{{"column", metric.of_samples->column}};
    if (!metric.of_samples->weight.empty()) out["samples"]["weight"] = metric.of_samples->weight;
    if (metric.of_samples->exp) out["samples"]["exp"] = true;
  }
  return out;
}

// Reads members of one JSON object and words what is wrong with them.
class Fields {
 public:
  Fields(const Json& object, std::string where) : object_(object), where_(std::move(where)) {}

  Error Wrong(const char* name, const char* expected) const {
    return MakeError(Code::kCorrupt, where_ + ": '" + name + "' is not " + expected);
  }
  const Json* Find(const char* name) const {
    const auto at = object_.find(name);
    return at == object_.end() || at->is_null() ? nullptr : &*at;
  }
  Status Text(const char* name, std::string* to) const {
    const Json* json = Find(name);
    if (json == nullptr) return Ok();
    if (!json->is_string()) return Wrong(name, "a string");
    *to = json->get<std::string>();
    return Ok();
  }

 private:
  const Json& object_;
  std::string where_;
};

Result<Metric> MetricFromJson(const std::string& name, const Json& json, const std::string& where) {
  const std::string here = where + ": metric '" + name + "'";
  if (!json.is_object()) return MakeError(Code::kCorrupt, here + " is not an object");
  const Fields fields(json, here);
  Metric out;
  out.name = name;
  const Json* value = fields.Find("value");
  if (value == nullptr) return MakeError(Code::kCorrupt, here + " has no value");
  const auto number = NumberFromJson(*value);
  if (!number) return fields.Wrong("value", "a number");
  out.value = *number;
  if (const Json* json_error = fields.Find("stderr")) {
    out.stderr_value = NumberFromJson(*json_error);
    if (!out.stderr_value) return fields.Wrong("stderr", "a number");
  }
  if (const Json* n = fields.Find("n")) {
    if (!n->is_number_integer()) return fields.Wrong("n", "an integer");
    out.n = n->get<int64_t>();
  }
  if (const Json* higher = fields.Find("higher_is_better")) {
    if (!higher->is_boolean()) return fields.Wrong("higher_is_better", "true or false");
    out.higher_is_better = higher->get<bool>();
  }
  GF_CHECK_OK(fields.Text("unit", &out.unit));
  GF_CHECK_OK(fields.Text("group", &out.group));
  if (const Json* samples = fields.Find("samples")) {
    if (!samples->is_object()) return fields.Wrong("samples", "an object");
    const Fields inner(*samples, here + ", samples");
    SampleEstimator& how = out.of_samples.emplace();
    GF_CHECK_OK(inner.Text("column", &how.column));
    GF_CHECK_OK(inner.Text("weight", &how.weight));
    if (const Json* exp = inner.Find("exp")) {
      if (!exp->is_boolean()) return inner.Wrong("exp", "true or false");
      how.exp = exp->get<bool>();
    }
  }
  return out;
}

Result<Table> TableFromJson(const Json& json, const std::string& where) {
  const Fields fields(json, where + ": table");
  Table out;
  if (!json.is_object()) return MakeError(Code::kCorrupt, where + ": a table is not an object");
  GF_CHECK_OK(fields.Text("title", &out.title));
  const Json* columns = fields.Find("columns");
  const Json* rows = fields.Find("rows");
  if (columns == nullptr || !columns->is_array()) return fields.Wrong("columns", "a list");
  if (rows == nullptr || !rows->is_array()) return fields.Wrong("rows", "a list");
  const auto strings = [&](const Json& list, std::vector<std::string>* to) {
    if (!list.is_array()) return false;
    for (const Json& item : list) {
      if (!item.is_string()) return false;
      to->push_back(item.get<std::string>());
    }
    return true;
  };
  if (!strings(*columns, &out.columns)) return fields.Wrong("columns", "a list of strings");
  for (const Json& row : *rows) {
    if (!strings(row, &out.rows.emplace_back()) || out.rows.back().size() != out.columns.size()) {
      return fields.Wrong("rows", "a list of rows with one string a column");
    }
  }
  return out;
}

}  // namespace

std::string ReportToJson(const Report& report) {
  Json out = Json::object();
  out["format"] = kFormat;
  out["version"] = kVersion;
  out["title"] = report.title;
  out["facts"] = Json::object();
  for (const auto& [key, value] : report.facts) out["facts"][key] = value;
  out["metrics"] = Json::object();
  for (const auto& metric : report.metrics) out["metrics"][metric.name] = MetricToJson(metric);
  out["tables"] = Json::array();
  for (const auto& table : report.tables) {
    out["tables"].push_back(Json{{"title", table.title}, {"columns", table.columns}, {"rows", table.rows}});
  }
  if (!report.samples.rows.empty()) {
    Json columns = Json::array();
    for (const auto& column : report.samples.columns) columns.push_back(column.name);
    out["samples"] =
        Json{{"file", kSamplesFile}, {"rows", report.samples.rows.size()}, {"columns", std::move(columns)}};
  }
  return out.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Result<Report> ReportFromJson(std::string_view text, std::string_view where_view) {
  const std::string where(where_view);
  Json json;
  try {
    json = Json::parse(text);
  } catch (const Json::parse_error& e) {
    if (Trim(text).empty()) return MakeError(Code::kCorrupt, where + ": is empty", kHowToWrite);
    return MakeError(Code::kCorrupt, where + ": not JSON at byte " + std::to_string(e.byte));
  } catch (const Json::exception& e) {
    return MakeError(Code::kCorrupt, where + ": " + e.what());
  }
  if (!json.is_object() || json.value("format", Json()) != kFormat) {
    return MakeError(Code::kCorrupt,
                     where + ": not a report: its 'format' is not \"" + std::string(kFormat) + "\"",
                     kHowToWrite);
  }
  const Json version = json.value("version", Json());
  if (!version.is_number_integer())
    return MakeError(Code::kCorrupt, where + ": 'version' is not an integer", kHowToWrite);
  if (version.get<int64_t>() != kVersion) {
    return MakeError(Code::kUnsupported,
                     where + ": report version " + std::to_string(version.get<int64_t>()) +
                         " is not one that this genflow reads (" + std::to_string(kVersion) + ")",
                     "make the report again, or use the genflow that wrote it");
  }
  const Fields fields(json, where);
  Report out;
  GF_CHECK_OK(fields.Text("title", &out.title));
  if (const Json* facts = fields.Find("facts")) {
    if (!facts->is_object()) return fields.Wrong("facts", "an object");
    for (const auto& [key, value] : facts->items()) {
      if (!value.is_string()) return fields.Wrong("facts", "an object of strings");
      out.facts.emplace_back(key, value.get<std::string>());
    }
  }
  const Json* metrics = fields.Find("metrics");
  if (metrics == nullptr || !metrics->is_object()) return fields.Wrong("metrics", "an object");
  for (const auto& [name, value] : metrics->items()) {
    GF_TRY(Metric metric, MetricFromJson(name, value, where));
    out.metrics.push_back(std::move(metric));
  }
  if (const Json* tables = fields.Find("tables")) {
    if (!tables->is_array()) return fields.Wrong("tables", "a list");
    for (const Json& item : *tables) {
      GF_TRY(Table table, TableFromJson(item, where));
      out.tables.push_back(std::move(table));
    }
  }
  return out;
}

}  // namespace genflow::eval
