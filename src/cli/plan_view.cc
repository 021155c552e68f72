#include "cli/plan_view.h"

#include <unistd.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/strings.h"
#include "cli/facts.h"
#include "cli/json_output.h"
#include "cli/stage_origins.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "cli/times.h"

namespace genflow::cli {

namespace {

using nlohmann::json;
using Action = PlannedStage::Action;

constexpr size_t kFilesShown = 20;  // of a stage's key, in `explain`
constexpr size_t kDigestShown = 12;

bool WouldRun(const PlannedStage& stage) {
  return stage.action == Action::kRun || stage.action == Action::kMaybe;
}

Style StyleOf(const PlannedStage& stage) {
  if (WouldRun(stage)) return Style::kYellow;
  return stage.action == Action::kMissing ? Style::kRed : Style::kDim;
}

// The sentences that do not tell of `changes`: these come last.
std::vector<std::string> OtherReasons(const PlannedStage& stage) {
  const size_t of_changes = DescribeChanges(stage.changes).size();
  return {stage.reasons.begin(), stage.reasons.end() - static_cast<std::ptrdiff_t>(of_changes)};
}

json ChangesToJson(const std::vector<KeyChange>& changes) {
  json out = json::array();
  for (const auto& change : changes) {
    json item = {{"part", KeyPartName(change.part.kind)},
                 {"name", change.part.name},
                 {"before", change.before},
                 {"after", change.part.value},
                 {"change", change.before.is_null()       ? "new"
                            : change.part.value.is_null() ? "gone"
                                                          : "changed"}};
    if (!change.part.param.empty()) item["param"] = change.part.param;
    out.push_back(std::move(item));
  }
  return out;
}

json StageToJson(const PlannedStage& stage, const Pipeline& pipeline) {
  json out = {{"stage", stage.stage},
              {"uses", stage.uses},
              {"action", PlannedActionName(stage.action)},
              {"reasons", stage.reasons},
              {"changes", ChangesToJson(stage.changes)},
              {"key", stage.key},
              {"estimated_seconds", stage.estimated_seconds}};
  AddOrigin(pipeline, stage.stage, &out);
  if (!stage.compared_run.empty()) out["compared_run"] = stage.compared_run;
  if (stage.hit) {
    out["source_run"] = stage.hit->run;
    out["source_seconds"] = stage.hit->seconds;
  }
  return out;
}

using PartId = std::tuple<KeyPartKind, std::string, std::string>;
PartId IdOf(const KeyPart& part) { return {part.kind, part.name, part.param}; }

std::string NameOf(const KeyPart& part) {
  const bool alone = part.kind == KeyPartKind::kPlugin || part.name.empty();
  return alone ? KeyPartName(part.kind) : std::string(KeyPartName(part.kind)) + " " + part.name;
}

struct PartRow {
  std::string name, now, then;
  bool differs = false;
  bool is_file = false;
};

// The parts of both keys side by side; "same" where they are.
std::vector<PartRow> PartRows(const StageExplanation& e) {
  std::map<PartId, std::pair<const KeyPart*, const KeyPart*>> sides;
  for (const auto& part : e.earlier_parts) sides[IdOf(part)].second = &part;
  for (const auto& part : e.parts) sides[IdOf(part)].first = &part;
  std::vector<PartRow> rows;
  for (const auto& [id, side] : sides) {
    const KeyPart& part = side.first != nullptr ? *side.first : *side.second;
    PartRow row;
    row.name = NameOf(part);
    row.now = side.first != nullptr ? ShownValue(*side.first) : "-";
    row.is_file = part.kind == KeyPartKind::kFile;
    if (!e.earlier_parts.empty()) {
      row.differs = side.first == nullptr || side.second == nullptr ||
                    (side.first->value != side.second->value && !IsUnknown(*side.first));
      row.then = side.second == nullptr ? "-" : ShownValue(*side.second);
      if (side.first != nullptr && side.second != nullptr && side.first->value == side.second->value)
        row.then = "same";
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

std::string RenderParts(const StageExplanation& e, size_t width, bool color) {
  const auto rows = PartRows(e);
  size_t names = 4;
  for (const auto& row : rows) names = std::max(names, DisplayWidth(row.name));
  names = std::min<size_t>(names, 32);
  const size_t cell = width > names + 44 ? (width - names - 4) / 2 : 20;
  const bool compared = !e.earlier_parts.empty();
  Table table(compared ? std::vector<std::string>{"part", "now", "run " + e.earlier_run}
                       : std::vector<std::string>{"part", "now"});
  size_t files = 0;
  for (const auto& row : rows) {
    if (row.is_file && ++files > kFilesShown && !row.differs) continue;
    const std::string now = Shorten(row.now, compared ? cell : width - names - 2, false);
    table.Add({Shorten(row.name, names, false), row.differs ? Styled(now, Style::kYellow, color) : now,
               row.then == "same" ? Styled("same", Style::kDim, color) : Shorten(row.then, cell, false)});
  }
  std::string out = table.Render("", color);
  if (files > kFilesShown)
    out += "(" + WithCommas(static_cast<int64_t>(files)) + " files; of those that are the same the first " +
           std::to_string(kFilesShown) + " are shown)\n";
  return out;
}

// Text at most `width` wide, broken between words; lines after the first start with `indent` blanks.
std::string Wrapped(const std::string& text, size_t indent, size_t width) {
  std::string out;
  size_t column = indent;
  for (const auto word : Split(text, ' ')) {
    const size_t cells = DisplayWidth(word);
    if (column > indent && column + 1 + cells > width) {
      out += "\n" + std::string(indent, ' ');
      column = indent;
    } else if (column > indent) {
      out += ' ';
      ++column;
    }
    out += word;
    column += cells;
  }
  return out;
}

std::string RenderList(const std::string& title, const std::vector<std::string>& items, size_t width,
                       bool color) {
  if (items.empty()) return "";
  std::string out = "\n" + Styled(title, Style::kBold, color) + "\n";
  for (const auto& item : items) out += "  - " + Wrapped(item, 4, width) + "\n";
  return out;
}

size_t CountOf(const std::vector<PlannedStage>& stages, Action action) {
  return static_cast<size_t>(
      std::count_if(stages.begin(), stages.end(), [&](const auto& stage) { return stage.action == action; }));
}

// "3 stages cached, 1 skipped" of a plan in which none runs.
std::string CountsWithoutRuns(const std::vector<PlannedStage>& stages) {
  const std::pair<Action, const char*> words[] = {
      {Action::kCached, "cached"}, {Action::kSkip, "skipped"}, {Action::kMissing, "missing"}};
  std::string out;
  for (const auto& [action, word] : words) {
    const size_t count = CountOf(stages, action);
    if (count == 0) continue;
    out += out.empty() ? Counted(count, "stage") : ", " + WithCommas(static_cast<int64_t>(count));
    out += std::string(" ") + word;
  }
  return out;
}

std::string ActionText(const PlannedStage& stage) {
  switch (stage.action) {
    case Action::kRun:
      return "would run";
    case Action::kMaybe:
      return "may run";
    case Action::kCached:
      return "is cached";
    case Action::kSkip:
      return "is skipped";
    case Action::kMissing:
      return "is missing";
  }
  return "";
}

size_t WidthIn(size_t room) { return room == 0 ? 80 : std::max<size_t>(40, room); }

}  // namespace

std::string RenderPlan(const std::vector<PlannedStage>& stages, const Pipeline& pipeline,
                       TerminalTraits traits, size_t room) {
  const bool color = traits.color;
  const size_t width = WidthIn(room);
  Table table({"stage", "action", "why"});
  size_t runs = 0, names = 5;
  double seconds = 0;
  std::set<std::string> compared;
  for (const auto& stage : stages) {
    names = std::max(names, DisplayWidth(stage.stage));
    if (!stage.compared_run.empty()) compared.insert(stage.compared_run);
  }
  // The rest of a terminal is for what is said of them.
  if (room > 0) names = std::min(names, std::max<size_t>(room, 57) - 45);
  const size_t indent = names + 2 + std::string_view("missing").size() + 2;
  for (const auto& stage : stages) {
    runs += WouldRun(stage) ? 1 : 0;
    if (WouldRun(stage)) seconds += stage.estimated_seconds;
    auto lines = OtherReasons(stage);
    for (auto& line : DescribeInFull(stage.changes, width > indent + 30 ? width - indent : 30))
      lines.push_back(std::move(line));
    if (compared.size() > 1 && !stage.compared_run.empty())
      lines.push_back(Styled("since run " + stage.compared_run, Style::kDim, color));
    table.Add({ShortenMiddle(stage.stage, names, traits.unicode),
               Styled(PlannedActionName(stage.action), StyleOf(stage), color),
               lines.empty() ? "" : lines.front()});
    for (size_t i = 1; i < lines.size(); ++i) table.Add({"", "", lines[i]});
  }
  std::string out = table.Render("", color) + "\n" + pipeline.name + ": ";
  if (runs == 0) return out + "nothing to do (" + CountsWithoutRuns(stages) + ")\n";
  out += std::to_string(runs) + " of " + Counted(stages.size(), "stage") + " would run";
  out += seconds > 0 ? ", about " + HumanDuration(seconds) + " of work\n" : "\n";
  if (compared.size() == 1) out += "changes are since run " + *compared.begin() + "\n";
  return out;
}

json PlanToJson(const std::vector<PlannedStage>& stages, const Pipeline& pipeline) {
  json out = json::array();
  for (const auto& stage : stages) out.push_back(StageToJson(stage, pipeline));
  json totals = json::object();
  for (const Action action : {Action::kRun, Action::kMaybe, Action::kCached, Action::kSkip, Action::kMissing})
    totals[PlannedActionName(action)] = CountOf(stages, action);
  double seconds = 0;
  for (const auto& stage : stages) seconds += WouldRun(stage) ? stage.estimated_seconds : 0;
  totals["estimated_seconds"] = seconds;
  return {{"pipeline", pipeline.name}, {"stages", std::move(out)}, {"totals", std::move(totals)}};
}

std::string RenderExplanation(const StageExplanation& e, const Pipeline& pipeline, TerminalTraits traits,
                              size_t room) {
  const bool color = traits.color;
  const size_t width = WidthIn(room);
  const PlannedStage& stage = e.planned;
  const StageSpec& spec = *pipeline.Find(stage.stage);
  Facts facts;
  facts.Add("stage", stage.stage + " (" + stage.uses + "), " + pipeline.file.string() + ":" +
                         std::to_string(spec.position.line));
  if (!spec.matrix.empty()) {
    std::vector<std::string> values;
    for (const auto& value : spec.matrix) values.push_back(value.name + " = " + value.text);
    facts.Add("matrix", Join(values, ", "));
  }
  std::string why = Join(OtherReasons(stage), "; ");
  if (stage.hit) why = "run " + stage.hit->run + " made it in " + HumanDuration(stage.hit->seconds);
  if (why.empty() && !stage.changes.empty()) why = "its key changed";
  facts.Add("now", Styled(ActionText(stage), StyleOf(stage), color) + (why.empty() ? "" : ": " + why));
  facts.Add("key", stage.key.empty() ? "not known before what it reads is there" : stage.key);
  if (e.last) {
    const AttemptInfo& last = *e.last;
    const bool ran = last.status == AttemptStatus::kRun;
    facts.Add("last", std::string(ran ? "ran" : AttemptStatusName(last.status)) + " in run " + last.run +
                          ", " + LocalTime(last.started));
    if (!last.end.error_message.empty()) facts.Add("error", last.end.error_message);
    if (!last.end.error_message.empty()) facts.Add("log", last.log);
  } else {
    facts.Add("last", "never ran before");
  }
  std::string out = facts.Render();
  if (!stage.changes.empty()) {
    out += "\n" + Styled("changed since run " + stage.compared_run, Style::kBold, color) + "\n";
    for (const auto& line : DescribeInFull(stage.changes, width - 4, kFilesShown)) out += "  " + line + "\n";
  }
  if (!e.parts.empty()) out += "\n" + RenderParts(e, width, color);
  if (!e.outputs.empty()) {
    out += "\n" + Styled("outputs of run " + e.outputs_run, Style::kBold, color) + "\n";
    for (const auto& output : e.outputs) {
      const Artifact& artifact = output.artifact;
      out += "  " + output.port + ": " + artifact.type + ", " + HumanBytes(artifact.bytes) + ", " +
             artifact.digest.substr(0, kDigestShown) + "\n    " +
             (artifact.lost ? "lost: its object was damaged" : artifact.path().string()) + "\n";
    }
  }
  out += RenderList("held up", e.blocked, width, color);
  out += RenderList("would run again with", e.invalidated_by, width, color);
  out += RenderList("does not count", e.ignored, width, color);
  return out;
}

json ExplanationToJson(const StageExplanation& e, const Pipeline& pipeline) {
  json out = StageToJson(e.planned, pipeline);
  out["pipeline"] = pipeline.name;
  out["file"] = pipeline.file.string();
  out["line"] = pipeline.Find(e.planned.stage)->position.line;
  std::map<PartId, const KeyPart*> earlier;
  for (const auto& part : e.earlier_parts) earlier[IdOf(part)] = &part;
  out["parts"] = json::array();
  for (const auto& part : e.parts) {
    json item = {{"part", KeyPartName(part.kind)}, {"name", part.name}, {"value", part.value}};
    if (!part.param.empty()) item["param"] = part.param;
    if (IsUnknown(part)) item["known"] = false;
    if (!e.earlier_parts.empty()) {
      const auto found = earlier.find(IdOf(part));
      item["before"] = found == earlier.end() ? json() : found->second->value;
    }
    out["parts"].push_back(std::move(item));
  }
  if (!e.earlier_parts.empty()) out["compared_run"] = e.earlier_run;
  out["outputs"] = json::array();
  for (const auto& output : e.outputs) out["outputs"].push_back(ToJson(output));
  if (!e.outputs.empty()) out["outputs_run"] = e.outputs_run;
  out["last"] = e.last ? json{{"run", e.last->run},
                              {"status", AttemptStatusName(e.last->status)},
                              {"started", e.last->started},
                              {"key", e.last->key},
                              {"error", e.last->end.error_message},
                              {"log", e.last->log}}
                       : json();
  out["held_up"] = e.blocked;
  out["would_run_again_with"] = e.invalidated_by;
  out["does_not_count"] = e.ignored;
  return out;
}

}  // namespace genflow::cli
