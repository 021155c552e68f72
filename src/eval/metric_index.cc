#include <algorithm>
#include <set>

#include "base/strings.h"
#include "eval/gate.h"

namespace genflow::eval {

MetricIndex::MetricIndex(const std::vector<NamedReport>& reports) {
  for (const auto& named : reports) {
    for (const auto& metric : named.report.metrics) {
      entries_.push_back({named.baseline, named.stage, named.source, metric, &named});
    }
  }
}

std::string MetricIndex::FullName(const Entry& entry) const {
  if (entry.stage.empty()) return "";
  const auto same = std::count_if(entries_.begin(), entries_.end(), [&](const Entry& other) {
    return other.baseline == entry.baseline && other.stage == entry.stage &&
           other.metric.name == entry.metric.name;
  });
  const std::string before(entry.baseline ? kBaselinePrefix : "");
  if (same == 1) return before + entry.stage + "." + entry.metric.name;
  return entry.source.empty() ? "" : before + entry.source + "." + entry.metric.name;
}

Error MetricIndex::Ambiguous(const std::string& name, const std::vector<const Entry*>& found) const {
  std::vector<std::string> full;
  for (const Entry* entry : found) {
    if (const std::string candidate = FullName(*entry); !candidate.empty())
      full.push_back("'" + candidate + "'");
  }
  return InvalidError("metric '" + name + "' is in several reports",
                      full.empty() ? "connect only one of them" : "write " + Join(full, " or "));
}

std::vector<const MetricIndex::Entry*> MetricIndex::Matches(std::string_view name, bool baseline) const {
  std::vector<const Entry*> full, plain;
  for (const auto& entry : entries_) {
    if (entry.baseline != baseline) continue;
    const bool by_stage = !entry.stage.empty() && entry.stage + "." + entry.metric.name == name;
    const bool by_source = !entry.source.empty() && entry.source + "." + entry.metric.name == name;
    if (by_stage || by_source) full.push_back(&entry);
    if (entry.metric.name == name) plain.push_back(&entry);
  }
  return full.empty() ? plain : full;
}

Result<MetricIndex::Entry> MetricIndex::Find(const std::string& name) const {
  std::vector<const Entry*> found;
  if (name.starts_with(kBaselinePrefix)) {
    found = Matches(std::string_view(name).substr(kBaselinePrefix.size()), true);
  }
  if (found.empty()) found = Matches(name, false);
  if (found.size() == 1) return *found.front();
  if (found.size() > 1) return Ambiguous(name, found);
  for (const auto& entry : entries_) {
    // A stage that has a matrix, by its name alone.
    const std::string_view stage = std::string_view(entry.stage).substr(0, entry.stage.find('['));
    const std::string short_name =
        (entry.baseline ? std::string(kBaselinePrefix) : "") + std::string(stage) + "." + entry.metric.name;
    if (stage.size() == entry.stage.size() || short_name != name) continue;
    return InvalidError("unknown metric '" + name + "'",
                        "'" + std::string(stage) + "' has a matrix: write \"" + FullName(entry) + "\"");
  }
  std::vector<std::string> names;
  for (const auto& entry : entries_) {
    names.push_back((entry.baseline ? std::string(kBaselinePrefix) : "") + entry.metric.name);
  }
  std::vector<std::string> shown;
  for (const auto& one : names) {
    if (std::find(shown.begin(), shown.end(), one) == shown.end()) shown.push_back(one);
  }
  const std::vector<std::string> every = Names();
  names.insert(names.end(), every.begin(), every.end());
  std::string hint = "the reports hold no metric";
  if (const auto near = NearestName(name, names)) {
    hint = "did you mean '" + *near + "'?";
  } else if (!entries_.empty()) {
    const bool more = shown.size() > 8;
    if (more) shown.resize(8);
    hint = "the reports hold " + Join(shown, ", ") + (more ? ", ..." : "");
  }
  return InvalidError("unknown metric '" + name + "'", hint);
}

std::vector<std::string> MetricIndex::Names() const {
  std::set<std::string> out;
  for (const auto& entry : entries_) {
    const std::string name = (entry.baseline ? std::string(kBaselinePrefix) : "") + entry.metric.name;
    if (Matches(entry.metric.name, entry.baseline).size() == 1) out.insert(name);
    if (const std::string full = FullName(entry); !full.empty()) out.insert(full);
  }
  return {out.begin(), out.end()};
}

}  // namespace genflow::eval
