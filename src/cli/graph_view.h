// The stages of a pipeline and what leads from one to another, drawn.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "config/pipeline.h"
#include "graph/graph.h"

namespace genflow::cli {

struct PipelineDrawing {
  struct Node {
    std::string id, uses;
    std::string status;  // of its last attempt in the run that was asked for; empty: none was asked for
    nlohmann::json origin = nlohmann::json::object();  // its matrix and what it is of, as AddOrigin() says it
  };
  struct Edge {
    size_t from = 0, to = 0;
    std::vector<std::string> ports;  // of `from`, as they are read; empty: `needs` alone
  };
  std::string name;
  std::string run;  // that the statuses are of; empty: none
  std::vector<Node> nodes;
  std::vector<Edge> edges;  // by (from, to)
  Graph graph;
};

PipelineDrawing DrawingOf(const Pipeline& pipeline);

// One stage a line in topological order, edges as lanes on the left. `unicode`: box drawing characters.
std::string RenderTextGraph(const PipelineDrawing& drawing, bool unicode, bool color);
std::string RenderMermaid(const PipelineDrawing& drawing);
std::string RenderDot(const PipelineDrawing& drawing);
// A whole SVG document; the same bytes for the same drawing.
std::string RenderSvg(const PipelineDrawing& drawing);
nlohmann::json GraphToJson(const PipelineDrawing& drawing);

}  // namespace genflow::cli
