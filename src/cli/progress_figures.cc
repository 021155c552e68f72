#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/strings.h"
#include "cli/renderer.h"

namespace genflow::cli {

namespace {

// What a rate is taken over, in seconds: what lies so far back counts 1/e of what is new.
constexpr double kRateSpan = 15;

std::string ShortNumber(double value) {
  char buffer[40];
  if (value >= 1e6)
    std::snprintf(buffer, sizeof buffer, "%.2fM", value / 1e6);
  else if (value >= 1e4)
    std::snprintf(buffer, sizeof buffer, "%.1fk", value / 1e3);
  else if (value >= 100)
    std::snprintf(buffer, sizeof buffer, "%.0f", value);
  else
    std::snprintf(buffer, sizeof buffer, "%.3g", value);
  return buffer;
}

// Cells of a bar.
constexpr size_t kLeastBar = 8, kMostBar = 24;

}  // namespace

std::string ProgressBar(double fraction, size_t cells, TerminalTraits traits) {
  const auto full = static_cast<size_t>(std::lround(fraction * static_cast<double>(cells)));
  std::string done, open;
  for (size_t i = 0; i < full; ++i) done += traits.unicode ? "━" : "#";
  for (size_t i = full; i < cells; ++i) open += traits.unicode ? "─" : ".";
  return Styled(done, Style::kGreen, traits.color) + Styled(open, Style::kDim, traits.color);
}

void ProgressFigures::Add(const StageProgress& progress, double now) {
  // A smaller count or another unit is a new phase: its rate is its own.
  const bool new_phase = known_ && (progress.done < last_.done || progress.unit != last_.unit);
  if (new_phase) recent_done_ = recent_time_ = 0;
  if (known_ && !new_phase && progress.done > last_.done) {
    // Counts and times fade alike: reports that come late and all at once, as after a pause, are one rate.
    const double passed = std::max(0.0, now - last_time_), fading = std::exp(-passed / kRateSpan);
    recent_done_ = recent_done_ * fading + static_cast<double>(progress.done - last_.done);
    recent_time_ = recent_time_ * fading + passed;
  }
  if (!known_ || new_phase || progress.done != last_.done) last_time_ = now;
  last_ = progress;
  known_ = true;
}

void ProgressFigures::Add(const StageMetric& metric) {
  if (!std::isfinite(metric.value)) return;
  char buffer[40];
  std::snprintf(buffer, sizeof buffer, "%.4g", metric.value);
  const std::string& name = metric.name;
  if (name == "loss" || name == "train_loss" || name == "train/loss")
    loss_ = "loss " + std::string(buffer);
  else if (name == "tokens_per_second" || name == "tokens/s")
    speed_ = ShortNumber(metric.value) + " tok/s";
  else
    other_ = name + " " + buffer;
}

double ProgressFigures::fraction() const {
  if (!known_ || last_.total == 0) return -1;
  return std::min(1.0, static_cast<double>(last_.done) / static_cast<double>(last_.total));
}

std::string ProgressFigures::Counts() const {
  if (!known_) return {};
  std::string out = WithCommas(static_cast<int64_t>(last_.done));
  if (last_.total > 0) out += "/" + WithCommas(static_cast<int64_t>(last_.total));
  return last_.unit.empty() ? out : out + " " + last_.unit;
}

double ProgressFigures::PerSecond() const { return recent_time_ > 0 ? recent_done_ / recent_time_ : 0; }

std::string ProgressFigures::Rate() const {
  if (PerSecond() <= 0) return {};
  return ShortNumber(PerSecond()) + " " + (last_.unit.empty() ? "" : last_.unit) + "/s";
}

std::string ProgressFigures::Eta(double now) const {
  if (PerSecond() <= 0 || last_.total <= last_.done) return {};
  const double left = static_cast<double>(last_.total - last_.done) / PerSecond() - (now - last_time_);
  return "ETA " + HumanDuration(std::max(1.0, std::round(left)));
}

std::string ProgressFigures::Metrics() const {
  const std::string speed = last_.unit == "tokens" ? std::string() : speed_;  // Rate() is that already
  if (!loss_.empty() && !speed.empty()) return loss_ + "  " + speed;
  if (!loss_.empty() || !speed.empty()) return loss_ + speed;
  return other_;
}

std::string RenderFigures(const ProgressFigures& f, double now, size_t cells, TerminalTraits traits) {
  enum Part { kBar, kShare, kCounts, kRate, kMetrics, kEta, kMessage, kParts };
  std::string parts[kParts];  // in their order on the screen
  size_t used = 0;
  const auto add = [&](Part part, const std::string& text) {
    if (text.empty() || used + 2 + DisplayWidth(text) > cells) return;
    parts[part] = text;
    used += 2 + DisplayWidth(text);
  };
  add(kShare, f.fraction() >= 0 ? PadLeft(std::to_string(static_cast<int>(100 * f.fraction())) + "%", 4)
                                : WholeSeconds(now - f.started()));
  add(kMetrics, f.Metrics());
  add(kRate, f.Rate());
  add(kEta, f.Eta(now));
  if (f.fraction() >= 0 && used + 2 + kLeastBar <= cells)
    add(kBar, ProgressBar(f.fraction(), std::min(kMostBar, cells - used - 2), traits));
  add(kCounts, f.Counts());
  if (!f.message().empty() && used + 12 < cells)
    add(kMessage, Shorten(f.message(), cells - used - 2, traits.unicode));
  std::string out;
  for (const auto& part : parts) {
    if (!part.empty()) out += "  " + part;
  }
  return out;
}

std::string WholeSeconds(double seconds) {
  const double whole = std::max(0.0, std::floor(seconds));
  return whole < 60 ? std::to_string(static_cast<int>(whole)) + " s" : HumanDuration(whole);
}

std::string StoppingPhrase(bool forced, double grace) {
  if (forced) return "killing the running stages";
  return "stopping: stages have " + HumanDuration(grace) + " to save their state; Ctrl-C again kills them";
}

std::string EndPhrase(const StageResult& result) {
  switch (result.status) {
    case StageStatus::kRan:
      return "ran in " + HumanDuration(result.seconds);
    case StageStatus::kCached:
      return "cached";
    case StageStatus::kFailed:
      return "failed" + (result.attempts > 0 ? " after " + HumanDuration(result.seconds) : std::string()) +
             ": " + (result.error ? result.error->message : std::string());
    case StageStatus::kGated:
      return "said no: " + (result.error ? result.error->message : std::string());
    case StageStatus::kInterrupted:
      return "interrupted after " + HumanDuration(result.seconds);
    case StageStatus::kSkipped:
      return "skipped: " + result.reason;
  }
  return {};
}

}  // namespace genflow::cli
