// What `genflow plan` and `genflow explain` say.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/terminal.h"
#include "engine/engine.h"
#include "engine/explain.h"

namespace genflow::cli {

// A table of the stages, with what changed, and a line of totals. `room` columns; 0: names stand whole, texts
// are wrapped as for 80.
std::string RenderPlan(const std::vector<PlannedStage>& stages, const Pipeline& pipeline,
                       TerminalTraits traits, size_t room);
nlohmann::json PlanToJson(const std::vector<PlannedStage>& stages, const Pipeline& pipeline);

std::string RenderExplanation(const StageExplanation& explanation, const Pipeline& pipeline,
                              TerminalTraits traits, size_t room);
nlohmann::json ExplanationToJson(const StageExplanation& explanation, const Pipeline& pipeline);

}  // namespace genflow::cli
