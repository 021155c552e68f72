// What `genflow plan` and `genflow explain` say.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/explain.h"

namespace genflow::cli {

// Columns to fill on standard output: the terminal's, or 80.
size_t AnswerWidth();

// A table of the stages, with what changed, and a line of totals.
std::string RenderPlan(const std::vector<PlannedStage>& stages, const Pipeline& pipeline, size_t width,
                       bool color);
nlohmann::json PlanToJson(const std::vector<PlannedStage>& stages, const Pipeline& pipeline);

std::string RenderExplanation(const StageExplanation& explanation, const Pipeline& pipeline, size_t width,
                              bool color);
nlohmann::json ExplanationToJson(const StageExplanation& explanation, const Pipeline& pipeline);

}  // namespace genflow::cli
