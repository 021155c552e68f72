#include "cli/graph_view.h"

#include <algorithm>
#include <map>

#include "base/strings.h"
#include "cli/stage_origins.h"
#include "cli/terminal.h"
#include "engine/cache_view.h"
#include "graph/lanes.h"

namespace genflow::cli {

namespace {

Style StyleOf(const std::string& status) {
  if (status == "run" || status == "cached") return Style::kGreen;
  if (status == "failed" || status == "gated") return Style::kRed;
  if (status == "running" || status == "interrupted") return Style::kYellow;
  return Style::kDim;
}

// "waiting" and "not started" and the like: one word for a class of Mermaid.
std::string ClassOf(const std::string& status) {
  std::string out = status;
  std::replace(out.begin(), out.end(), ' ', '_');
  return out;
}

const char* CellText(const LaneRow::Cell& cell, bool unicode) {
  if (!unicode) {
    if (cell.sides == 0) return " ";
    if (cell.crossing || cell.sides == (kLaneUp | kLaneDown)) return "|";
    return cell.sides == (kLaneLeft | kLaneRight) ? "-" : "+";
  }
  if (cell.crossing) return "│";
  switch (cell.sides) {
    case 0:
      return " ";
    case kLaneLeft | kLaneRight:
      return "─";
    case kLaneUp | kLaneRight:
      return "╰";
    case kLaneUp | kLaneLeft:
      return "╯";
    case kLaneDown | kLaneRight:
      return "╭";
    case kLaneDown | kLaneLeft:
      return "╮";
    case kLaneUp | kLaneDown | kLaneRight:
      return "├";
    case kLaneUp | kLaneDown | kLaneLeft:
      return "┤";
    case kLaneUp | kLaneLeft | kLaneRight:
      return "┴";
    case kLaneDown | kLaneLeft | kLaneRight:
      return "┬";
    case kLaneUp | kLaneDown | kLaneLeft | kLaneRight:
      return "┼";
    default:
      return "│";
  }
}

std::string LanesText(const LaneRow& row, bool unicode) {
  std::string out;
  for (size_t lane = 0; lane < row.cells.size(); ++lane) {
    const bool node = row.node && row.lane == lane;
    out += node ? (unicode ? "●" : "*") : CellText(row.cells[lane], unicode);
    out += (row.cells[lane].sides & kLaneRight) != 0 ? (unicode ? "─" : "-") : " ";
  }
  while (out.ends_with(' ')) out.pop_back();
  return out;
}

// Inside double quotes of DOT.
std::string DotText(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

// Inside double quotes of Mermaid, which knows HTML's entities by '#'.
std::string MermaidText(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '"')
      out += "#quot;";
    else if (c == '#')
      out += "#35;";
    else if (c == '<')
      out += "#lt;";
    else if (c == '>')
      out += "#gt;";
    else
      out += c;
  }
  return out;
}

struct Colors {
  const char *fill, *line;
};

Colors ColorsOf(const std::string& status) {
  switch (StyleOf(status)) {
    case Style::kGreen:
      return {"#dcfce7", "#15803d"};
    case Style::kRed:
      return {"#fee2e2", "#b91c1c"};
    case Style::kYellow:
      return {"#fef9c3", "#a16207"};
    default:
      return {"#f3f4f6", "#6b7280"};
  }
}

}  // namespace

PipelineDrawing DrawingOf(const Pipeline& pipeline) {
  PipelineDrawing out;
  out.name = pipeline.name;
  out.graph = BuildGraphs(pipeline).order;
  std::map<std::pair<size_t, size_t>, std::vector<std::string>> ports;
  for (size_t node = 0; node < pipeline.stages.size(); ++node) {
    const StageSpec& stage = pipeline.stages[node];
    out.nodes.push_back({stage.id, stage.uses, ""});
    AddOrigin(pipeline, stage.id, &out.nodes.back().origin);
    for (const auto* inputs : {&stage.inputs, &stage.expression_inputs}) {
      for (const auto& input : *inputs) {
        const auto source = pipeline.IndexOf(input.source_stage);
        if (!source) continue;
        auto& names = ports[{*source, node}];
        if (std::find(names.begin(), names.end(), input.source_port) == names.end())
          names.push_back(input.source_port);
      }
    }
  }
  for (size_t from = 0; from < out.graph.size(); ++from) {
    for (const size_t to : out.graph.Successors(from)) out.edges.push_back({from, to, ports[{from, to}]});
  }
  return out;
}

std::string RenderTextGraph(const PipelineDrawing& drawing, bool unicode, bool color) {
  const auto rows = DrawLanes(drawing.graph, drawing.graph.TopologicalOrder());
  size_t lanes = 0, names = 0, uses = 0;
  for (const auto& row : rows) {
    lanes = std::max(lanes, DisplayWidth(LanesText(row, unicode)));
    if (!row.node) continue;
    names = std::max(names, DisplayWidth(drawing.nodes[*row.node].id));
    uses = std::max(uses, DisplayWidth(drawing.nodes[*row.node].uses));
  }
  std::string out;
  for (const auto& row : rows) {
    const std::string text = LanesText(row, unicode);
    if (!row.node) {
      out += text + "\n";
      continue;
    }
    const auto& node = drawing.nodes[*row.node];
    std::string line =
        PadRight(text, lanes) + "  " + PadRight(Styled(node.id, Style::kBold, color), names) + "  ";
    line += drawing.run.empty()
                ? node.uses
                : PadRight(node.uses, uses) + "  " + Styled(node.status, StyleOf(node.status), color);
    while (line.ends_with(' ')) line.pop_back();
    out += line + "\n";
  }
  if (!drawing.run.empty()) out += "\n" + drawing.name + ": statuses of run " + drawing.run + "\n";
  return out;
}

std::string RenderMermaid(const PipelineDrawing& drawing) {
  std::string out = "flowchart TD\n";
  std::map<std::string, std::vector<std::string>> classes;  // status -> nodes
  for (size_t i = 0; i < drawing.nodes.size(); ++i) {
    const auto& node = drawing.nodes[i];
    const std::string id = "n" + std::to_string(i);
    out +=
        "  " + id + "[\"" + MermaidText(node.id) + "<br/><small>" + MermaidText(node.uses) + "</small>\"]\n";
    if (!node.status.empty()) classes[node.status].push_back(id);
  }
  for (const auto& edge : drawing.edges) {
    out += "  n" + std::to_string(edge.from);
    out += edge.ports.empty() ? " -.-> " : " -->|\"" + MermaidText(Join(edge.ports, ", ")) + "\"| ";
    out += "n" + std::to_string(edge.to) + "\n";
  }
  for (const auto& [status, nodes] : classes) {
    const Colors colors = ColorsOf(status);
    out += "  classDef " + ClassOf(status) + " fill:" + colors.fill + ",stroke:" + colors.line + "\n";
    out += "  class " + Join(nodes, ",") + " " + ClassOf(status) + "\n";
  }
  return out;
}

std::string RenderDot(const PipelineDrawing& drawing) {
  std::string out =
      "digraph \"" + DotText(drawing.name) +
      "\" {\n  rankdir=TB\n  node [shape=box, style=\"rounded,filled\", fillcolor=\"#f3f4f6\", "
      "color=\"#6b7280\", fontname=\"sans-serif\"]\n  edge [fontname=\"sans-serif\", fontsize=10]\n";
  for (size_t i = 0; i < drawing.nodes.size(); ++i) {
    const auto& node = drawing.nodes[i];
    out += "  n" + std::to_string(i) + " [label=\"" + DotText(node.id) + "\\n" + DotText(node.uses) + "\"";
    if (!node.status.empty()) {
      const Colors colors = ColorsOf(node.status);
      out += std::string(", fillcolor=\"") + colors.fill + "\", color=\"" + colors.line + "\", tooltip=\"" +
             DotText(node.status) + "\"";
    }
    out += "]\n";
  }
  for (const auto& edge : drawing.edges) {
    out += "  n" + std::to_string(edge.from) + " -> n" + std::to_string(edge.to);
    out +=
        edge.ports.empty() ? " [style=dashed]\n" : " [label=\"" + DotText(Join(edge.ports, ", ")) + "\"]\n";
  }
  return out + "}\n";
}

nlohmann::json GraphToJson(const PipelineDrawing& drawing) {
  nlohmann::json nodes = nlohmann::json::array(), edges = nlohmann::json::array();
  for (const auto& node : drawing.nodes) {
    nodes.push_back({{"id", node.id}, {"uses", node.uses}});
    nodes.back().update(node.origin);
    if (!node.status.empty()) nodes.back()["status"] = node.status;
  }
  for (const auto& edge : drawing.edges) {
    edges.push_back({{"from", drawing.nodes[edge.from].id},
                     {"to", drawing.nodes[edge.to].id},
                     {"kind", edge.ports.empty() ? "order" : "artifact"},
                     {"ports", edge.ports}});
  }
  nlohmann::json out = {{"pipeline", drawing.name}, {"nodes", nodes}, {"edges", edges}};
  if (!drawing.run.empty()) out["run"] = drawing.run;
  return out;
}

}  // namespace genflow::cli
