// Charts of metrics.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "cli/html_report.h"
#include "cli/html_text.h"

namespace genflow::cli {

namespace {

constexpr double kWidth = 320, kHeight = 150, kLeft = 8, kRight = 8, kTop = 28, kBottom = 22;
constexpr size_t kColumns = 304;  // of pixels between the margins

struct Place {
  double x = 0, y = 0;
};

// At most two points a column: its least and its greatest value, in their order.
std::vector<Place> Thin(const std::vector<Place>& all) {
  if (all.size() <= 2 * kColumns) return all;
  std::vector<Place> out;
  const double first = all.front().x, span = std::max(1e-300, all.back().x - first);
  for (size_t begin = 0; begin < all.size();) {
    const auto column = [&](size_t i) {
      return static_cast<size_t>((all[i].x - first) / span * static_cast<double>(kColumns));
    };
    size_t end = begin, least = begin, greatest = begin;
    for (; end < all.size() && column(end) == column(begin); ++end) {
      if (all[end].y < all[least].y) least = end;
      if (all[end].y > all[greatest].y) greatest = end;
    }
    out.push_back(all[std::min(least, greatest)]);
    if (least != greatest) out.push_back(all[std::max(least, greatest)]);
    begin = end;
  }
  return out;
}

std::string Label(double x, double y, const char* anchor, const std::string& text, const char* style = "") {
  return "<text x=\"" + Fixed1(x) + "\" y=\"" + Fixed1(y) + "\" text-anchor=\"" + anchor + "\"" +
         (*style == '\0' ? "" : " class=\"" + std::string(style) + "\"") + ">" + HtmlText(text) + "</text>";
}

}  // namespace

std::string RenderChart(const std::string& title, const std::vector<MetricPoint>& points) {
  std::vector<Place> places;
  const bool steps = std::all_of(points.begin(), points.end(), [](const auto& p) { return p.step >= 0; });
  for (const auto& point : points) {
    if (!std::isfinite(point.value)) continue;
    places.push_back(
        {steps ? static_cast<double>(point.step) : static_cast<double>(places.size()), point.value});
  }
  std::stable_sort(places.begin(), places.end(), [](const Place& a, const Place& b) { return a.x < b.x; });
  if (places.empty()) return "";
  const auto [low, high] = std::minmax_element(places.begin(), places.end(),
                                               [](const Place& a, const Place& b) { return a.y < b.y; });
  const double least = low->y, greatest = high->y, first = places.front().x, last = places.back().x;
  const auto x_of = [&](double x) {
    return last > first ? kLeft + (x - first) / (last - first) * (kWidth - kLeft - kRight) : kWidth / 2;
  };
  const auto y_of = [&](double y) {
    return greatest > least
               ? kHeight - kBottom - (y - least) / (greatest - least) * (kHeight - kTop - kBottom)
               : (kHeight - kBottom + kTop) / 2;
  };
  std::string line;
  for (const Place& place : Thin(places)) {
    line += (line.empty() ? "" : " ") + Fixed1(x_of(place.x)) + "," + Fixed1(y_of(place.y));
  }
  std::string out =
      "<svg class=\"chart\" viewBox=\"0 0 320 150\" role=\"img\"><title>" + HtmlText(title) + "</title>";
  out += Label(kLeft, 14, "start", title, "name");
  out += Label(kWidth - kRight, 14, "end", HtmlNumber(places.back().y), "last");
  out += "<line class=\"axis\" x1=\"8\" y1=\"128\" x2=\"312\" y2=\"128\"/>";
  out += "<polyline points=\"" + line + "\"/>";
  out += "<circle cx=\"" + Fixed1(x_of(places.back().x)) + "\" cy=\"" + Fixed1(y_of(places.back().y)) +
         "\" r=\"2.5\"/>";
  out += Label(kLeft, kHeight - 6, "start", steps ? "step " + HtmlNumber(first) : "first");
  out += Label(kWidth / 2, kHeight - 6, "middle", HtmlNumber(least) + " to " + HtmlNumber(greatest));
  out += Label(kWidth - kRight, kHeight - 6, "end", steps ? HtmlNumber(last) : "last");
  return out + "</svg>\n";
}

}  // namespace genflow::cli
