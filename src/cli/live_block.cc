#include "cli/live_block.h"

#include <algorithm>
#include <cmath>

#include "base/strings.h"

namespace genflow::cli {

namespace {

constexpr double kFrame = 0.1;  // seconds of a picture of the spinner
constexpr size_t kMaxNameCells = 24;

// "tune" of "tune[r=16]", and of "tune[r=16]/train[seed=1]" out of a used file; "" where there are no
// brackets.
std::string BeforeBracket(const std::string& stage) {
  const size_t open = stage.find('[');
  return open == std::string::npos || open == 0 ? "" : stage.substr(0, open);
}

// "[8,1e-4]/train" of "[r=8,lr=1e-4]/train".
std::string ValuesAlone(std::string_view label) {
  std::string out;
  while (!label.empty()) {
    const size_t open = label.find('['), close = label.find(']', open);
    if (close == std::string_view::npos) break;
    std::vector<std::string> values;
    for (const auto pair : Split(label.substr(open + 1, close - open - 1), ',')) {
      const size_t equals = pair.find('=');
      values.emplace_back(equals == std::string_view::npos ? pair : pair.substr(equals + 1));
    }
    out += std::string(label.substr(0, open)) + "[" + Join(values, ",") + "]";
    label.remove_prefix(close + 1);
  }
  return out + std::string(label);
}

}  // namespace

void LiveBlock::Begin(const std::vector<std::string>& stages, double now) {
  total_ = stages.size();
  started_ = now;
  for (const auto& stage : stages) {
    if (const std::string group = BeforeBracket(stage); !group.empty()) ++groups_[group].total;
  }
  // One child alone is shown as the stage that it is.
  std::erase_if(groups_, [](const auto& entry) { return entry.second.total < 2; });
  Label(stages);
  for (const auto& stage : stages) {
    const std::string group = GroupOf(stage);
    name_cells_ = std::max(name_cells_, DisplayWidth(group.empty() ? stage : group));
    if (!group.empty()) name_cells_ = std::max(name_cells_, 2 + DisplayWidth(labels_.at(stage)));
  }
  name_cells_ = std::min(name_cells_, kMaxNameCells);
}

// The children of one matrix are labelled alike.
void LiveBlock::Label(const std::vector<std::string>& stages) {
  std::map<std::string, size_t> widest;
  for (const auto& stage : stages) {
    const std::string group = GroupOf(stage);
    if (!group.empty()) widest[group] = std::max(widest[group], 2 + DisplayWidth(stage.substr(group.size())));
  }
  for (const auto& stage : stages) {
    const std::string group = GroupOf(stage);
    if (group.empty()) continue;
    const std::string label = stage.substr(group.size());
    labels_[stage] = widest[group] > kMaxNameCells ? ValuesAlone(label) : label;
  }
}

void LiveBlock::Start(const std::string& stage, double now) {
  Pause(stage);
  running_.push_back({stage, ProgressFigures(now)});
}

void LiveBlock::Add(const StageProgress& progress, double now) {
  if (Running* running = Find(progress.stage)) running->figures.Add(progress, now);
}

void LiveBlock::Add(const StageMetric& metric) {
  if (Running* running = Find(metric.stage)) running->figures.Add(metric);
}

void LiveBlock::Wait(const std::string& stage, const std::string& for_what) {
  Pause(stage);
  waiting_.push_back({stage, for_what});
}

void LiveBlock::Pause(const std::string& stage) {
  std::erase_if(waiting_, [&](const Waiting& waiting) { return waiting.stage == stage; });
  std::erase_if(running_, [&](const Running& running) { return running.stage == stage; });
}

std::vector<std::string> LiveBlock::Finish(const StageResult& result) {
  Pause(result.stage);
  ++finished_;
  const std::string line = Mark(result.status) + " " + NameColumn(result.stage) + "  " + EndPhrase(result);
  const auto it = groups_.find(GroupOf(result.stage));
  // Cached stages are told in the table at the end; a line each would hide what is going on.
  if (it == groups_.end())
    return result.status == StageStatus::kCached ? std::vector<std::string>()
                                                 : std::vector<std::string>{line};
  Group& group = it->second;
  std::vector<std::string> out;
  if (result.status == StageStatus::kRan) {
    ++group.ran;
  } else if (result.status == StageStatus::kCached) {
    ++group.cached;
  } else if (result.status == StageStatus::kSkipped) {
    ++group.skipped;
  } else {
    ++group.failed;
    out.push_back(line);
  }
  if (result.status != StageStatus::kCached) group.seconds = std::max(group.seconds, result.seconds);
  if (group.finished() == group.total && group.cached < group.total)
    out.push_back(GroupEnd(it->first, group));
  return out;
}

std::vector<std::string> LiveBlock::Lines(double now, size_t columns, size_t rows) const {
  if (idle()) return {};
  // A line for each stage and each matrix, in the order of their starts; what waits comes last.
  std::vector<std::string> names;
  const auto add = [&](const std::string& stage) {
    const std::string group = GroupOf(stage);
    const std::string& name = group.empty() ? stage : group;
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  };
  for (const auto& running : running_) add(running.stage);
  for (const auto& waiting : waiting_) add(waiting.stage);
  const size_t room = rows > 1 ? rows - 1 : 0;  // without the status line
  const bool all = names.size() <= room;
  const size_t shown = all ? names.size() : room > 0 ? room - 1 : 0;
  size_t spare = room - std::min(room, names.size());
  std::vector<std::string> lines;
  for (size_t i = 0; i < shown; ++i) {
    if (groups_.count(names[i]) == 0) {
      const auto same = [&](const auto& entry) { return entry.stage == names[i]; };
      const auto it = std::find_if(running_.begin(), running_.end(), same);
      lines.push_back(it != running_.end()
                          ? StageLine(*it, names[i], now, columns)
                          : WaitLine(*std::find_if(waiting_.begin(), waiting_.end(), same), columns));
      continue;
    }
    lines.push_back(GroupLine(names[i], now, columns));
    for (const Running* child : RunningOf(names[i])) {
      if (spare == 0) break;
      --spare;
      lines.push_back(StageLine(*child, "  " + labels_.at(child->stage), now, columns));
    }
  }
  if (!all && room > 0) {
    const std::string more = "  and " + std::to_string(names.size() - shown) + " more";
    lines.push_back(Styled(Shorten(more, columns, traits_.unicode), Style::kDim, traits_.color));
  }
  lines.push_back(StatusLine(now, columns));
  return lines;
}

std::string LiveBlock::NameColumn(const std::string& stage) const {
  // The values of a matrix are what tells its children apart: they are kept whole.
  const bool child = !GroupOf(stage).empty();
  return PadRight(child ? stage : Shorten(stage, name_cells_, traits_.unicode), name_cells_);
}

LiveBlock::Running* LiveBlock::Find(const std::string& stage) {
  const auto it =
      std::find_if(running_.begin(), running_.end(), [&](const Running& r) { return r.stage == stage; });
  return it == running_.end() ? nullptr : &*it;
}

std::string LiveBlock::GroupOf(const std::string& stage) const {
  std::string name = BeforeBracket(stage);
  return groups_.count(name) != 0 ? name : std::string();
}

std::vector<const LiveBlock::Running*> LiveBlock::RunningOf(const std::string& group) const {
  std::vector<const Running*> out;
  for (const auto& running : running_) {
    if (GroupOf(running.stage) == group) out.push_back(&running);
  }
  return out;
}

size_t LiveBlock::WaitingOf(const std::string& group) const {
  return static_cast<size_t>(std::count_if(waiting_.begin(), waiting_.end(),
                                           [&](const Waiting& w) { return GroupOf(w.stage) == group; }));
}

std::string LiveBlock::Mark(StageStatus status) const {
  switch (status) {
    case StageStatus::kRan:
      return Styled(traits_.unicode ? "✓" : "+", Style::kGreen, traits_.color);
    case StageStatus::kFailed:
      return Styled(traits_.unicode ? "✗" : "x", Style::kRed, traits_.color);
    case StageStatus::kGated:
      return Styled("!", Style::kRed, traits_.color);
    case StageStatus::kSkipped:
      return Styled("-", Style::kDim, traits_.color);
    default:
      return Styled("!", Style::kYellow, traits_.color);
  }
}

std::string LiveBlock::Spinner(double now) const {
  static const char* const kUnicode[] = {"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"};
  static const char* const kAscii[] = {"|", "/", "-", "\\"};
  const auto frame = static_cast<size_t>(std::max(0.0, now - started_) / kFrame);
  return Styled(traits_.unicode ? kUnicode[frame % 10] : kAscii[frame % 4], Style::kCyan, traits_.color);
}

std::string LiveBlock::StageLine(const Running& running, const std::string& shown, double now,
                                 size_t columns) const {
  std::string out =
      Spinner(now) + " " + PadRight(ShortenMiddle(shown, name_cells_, traits_.unicode), name_cells_);
  const size_t used = DisplayWidth(out);
  if (used < columns) out += RenderFigures(running.figures, now, columns - used, traits_);
  return Cut(out, columns);
}

std::string LiveBlock::GroupLine(const std::string& name, double now, size_t columns) const {
  const Group& group = groups_.at(name);
  std::string out = Spinner(now) + " " + PadRight(Shorten(name, name_cells_, traits_.unicode), name_cells_) +
                    "  " + std::to_string(group.finished()) + "/" + std::to_string(group.total) + " done, " +
                    std::to_string(RunningOf(name).size()) + " running";
  if (const size_t waiting = WaitingOf(name); waiting > 0) out += ", " + std::to_string(waiting) + " waiting";
  if (group.failed > 0)
    out += ", " + Styled(std::to_string(group.failed) + " failed", Style::kRed, traits_.color);
  return Cut(out, columns);
}

std::string LiveBlock::WaitLine(const Waiting& waiting, size_t columns) const {
  const std::string text =
      "  " + NameColumn(waiting.stage) + "  waits for " + waiting.for_what + ", which is computing it";
  return Shorten(text, columns, traits_.unicode);
}

std::string LiveBlock::GroupEnd(const std::string& name, const Group& group) const {
  std::vector<std::string> parts;
  const auto add = [&](size_t count, const char* what) {
    if (count > 0) parts.push_back(std::to_string(count) + " " + what);
  };
  add(group.ran, "ran");
  add(group.cached, "cached");
  add(group.failed, "failed");
  add(group.skipped, "skipped");
  const StageStatus status = group.failed > 0 ? StageStatus::kFailed
                             : group.ran > 0  ? StageStatus::kRan
                                              : StageStatus::kSkipped;
  std::string out =
      Mark(status) + " " + NameColumn(name) + "  " + Join(parts, ", ") + " of " + std::to_string(group.total);
  if (group.seconds > 0) out += ", the longest in " + HumanDuration(group.seconds);
  return out;
}

std::string LiveBlock::StatusLine(double now, size_t columns) const {
  const std::string text = "  " + std::to_string(finished_) + "/" + std::to_string(total_) + " done, " +
                           std::to_string(running_.size()) + " running, " +
                           (waiting_.empty() ? "" : std::to_string(waiting_.size()) + " waiting, ") +
                           WholeSeconds(now - started_);
  return Styled(Shorten(text, columns, traits_.unicode), Style::kDim, traits_.color);
}

// Text that is wider than a narrow terminal; colours are given up for it.
std::string LiveBlock::Cut(const std::string& text, size_t columns) const {
  if (DisplayWidth(text) <= columns) return text;
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\x1b') {
      while (i < text.size() && text[i] != 'm') ++i;
    } else {
      plain += text[i];
    }
  }
  return Shorten(plain, columns, traits_.unicode);
}

}  // namespace genflow::cli
