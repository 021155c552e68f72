// The drawing of a pipeline as SVG.
#include <algorithm>
#include <cmath>

#include "base/strings.h"
#include "cli/graph_view.h"
#include "cli/markup.h"
#include "cli/terminal.h"
#include "graph/layout.h"

namespace genflow::cli {

namespace {

constexpr int kMargin = 16, kBoxHeight = 44, kLayerHeight = 92, kPadding = 14;
// Of a character of the font used: it is monospaced, so that boxes fit wherever the picture is shown.
constexpr double kNameWidth = 8.0, kUsesWidth = 6.7;

std::string XmlText(std::string text) {
  std::erase_if(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 && c != '\t'; });
  return EscapeMarkup(text, MarkupPlace::kAttribute);
}

std::string Number(double value) { return std::to_string(static_cast<long>(std::lround(value))); }

double Top(size_t layer) { return kMargin + static_cast<double>(layer) * kLayerHeight; }

// From the bottom of one box to the top of another, through the middles of the layers between.
std::string Path(const Layout& layout, const LayoutEdge& edge) {
  double x = layout.nodes[edge.from].x + kMargin, y = Top(layout.nodes[edge.from].layer) + kBoxHeight;
  std::string out = "M" + Number(x) + " " + Number(y);
  const auto curve_to = [&](double to_x, double to_y) {
    const double middle = (y + to_y) / 2;
    out += "C" + Number(x) + " " + Number(middle) + " " + Number(to_x) + " " + Number(middle) + " " +
           Number(to_x) + " " + Number(to_y);
    x = to_x;
    y = to_y;
  };
  for (const LayoutPoint& bend : edge.bends) {
    curve_to(bend.x + kMargin, Top(bend.layer));
    y = Top(bend.layer) + kBoxHeight;
    out += "V" + Number(y);
  }
  curve_to(layout.nodes[edge.to].x + kMargin, Top(layout.nodes[edge.to].layer) - 6);
  return out;
}

}  // namespace

std::string RenderSvg(const PipelineDrawing& drawing) {
  std::vector<double> widths;
  for (const auto& node : drawing.nodes) {
    const double name = kNameWidth * static_cast<double>(DisplayWidth(node.id));
    const double uses = kUsesWidth * static_cast<double>(DisplayWidth(node.uses));
    widths.push_back(std::ceil(std::max(name, uses)) + 2 * kPadding);
  }
  const Layout layout = LayOut(drawing.graph, widths);
  const double width = layout.width + 2 * kMargin;
  const double height = layout.layers == 0 ? 2 * kMargin : Top(layout.layers - 1) + kBoxHeight + kMargin;
  const std::string title =
      XmlText(drawing.name) + (drawing.run.empty() ? "" : ", run " + XmlText(drawing.run));
  std::string out = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" + Number(width) + "\" height=\"" +
                    Number(height) + "\" viewBox=\"0 0 " + Number(width) + " " + Number(height) +
                    "\" role=\"img\">\n<title>" + title + "</title>\n";
  out +=
      "<style>\n"
      "text { font-family: ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace; text-anchor: "
      "middle; "
      "fill: #111827 }\n"
      ".name { font-size: 13px; font-weight: 600 }\n.uses { font-size: 11px; fill: #4b5563 }\n"
      "rect { fill: #f3f4f6; stroke: #6b7280 }\n"
      ".run rect, .cached rect { fill: #dcfce7; stroke: #15803d }\n"
      ".failed rect, .gated rect { fill: #fee2e2; stroke: #b91c1c }\n"
      ".running rect, .interrupted rect { fill: #fef9c3; stroke: #a16207 }\n"
      ".cached rect, .skipped rect { stroke-dasharray: 4 3 }\n"
      "path { fill: none; stroke: #6b7280; stroke-width: 1.5 }\n.order { stroke-dasharray: 5 4 }\n"
      "marker path { fill: #6b7280; stroke: none }\n"
      "</style>\n"
      "<rect width=\"100%\" height=\"100%\" style=\"fill: #ffffff; stroke: none\"/>\n"
      "<defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"1\" refY=\"4\" markerWidth=\"5\" "
      "markerHeight=\"5\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\"/></marker></defs>\n";
  for (size_t i = 0; i < layout.edges.size(); ++i) {
    const LayoutEdge& edge = layout.edges[i];
    const auto& ports = drawing.edges[i].ports;
    out += std::string("<path") + (ports.empty() ? " class=\"order\"" : "") + " d=\"" + Path(layout, edge) +
           "\" marker-end=\"url(#arrow)\"><title>" + XmlText(drawing.nodes[edge.from].id) +
           (ports.empty() ? " before " : "." + XmlText(Join(ports, ", ")) + " to ") +
           XmlText(drawing.nodes[edge.to].id) + "</title></path>\n";
  }
  for (size_t i = 0; i < drawing.nodes.size(); ++i) {
    const auto& node = drawing.nodes[i];
    const double x = layout.nodes[i].x + kMargin, y = Top(layout.nodes[i].layer);
    out += "<g" + (node.status.empty() ? "" : " class=\"" + XmlText(node.status) + "\"") + "><title>" +
           XmlText(node.id) + (node.status.empty() ? "" : ": " + XmlText(node.status)) +
           "</title><rect x=\"" + Number(x - widths[i] / 2) + "\" y=\"" + Number(y) + "\" width=\"" +
           Number(widths[i]) + "\" height=\"" + Number(kBoxHeight) +
           "\" rx=\"8\"/><text class=\"name\" x=\"" + Number(x) + "\" y=\"" + Number(y + 19) + "\">" +
           XmlText(node.id) + "</text><text class=\"uses\" x=\"" + Number(x) + "\" y=\"" + Number(y + 35) +
           "\">" + XmlText(node.uses) + "</text></g>\n";
  }
  return out + "</svg>\n";
}

}  // namespace genflow::cli
