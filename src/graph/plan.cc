#include "graph/plan.h"

#include <algorithm>

namespace genflow {

Plan MakePlan(const Graph& graph, const Graph& artifacts, const Selection& selection,
              const std::vector<NodeEstimate>& estimates) {
  const size_t n = graph.size();
  std::vector<bool> selected(n, true);
  if (!selection.until.empty()) selected = graph.Ancestors(selection.until);
  if (!selection.from.empty()) {
    const std::vector<bool> after = graph.Descendants(selection.from);
    for (size_t node = 0; node < n; ++node) selected[node] = selected[node] && after[node];
  }

  std::vector<size_t> enabled;
  for (size_t node = 0; node < n; ++node) {
    if (selected[node] && estimates[node].enabled) enabled.push_back(node);
  }
  const std::vector<bool> needed = artifacts.Ancestors(enabled);

  Plan plan;
  plan.roles.assign(n, Role::kIgnored);
  for (size_t node = 0; node < n; ++node) {
    if (!selected[node] && !needed[node]) continue;
    plan.roles[node] = !estimates[node].enabled ? Role::kDisabled
                       : !selected[node]        ? Role::kReuse
                       : selection.force_all    ? Role::kForce
                                                : Role::kConsider;
  }
  for (size_t node : selection.force) {
    if (plan.roles[node] == Role::kConsider) plan.roles[node] = Role::kForce;
  }

  const std::vector<size_t> order = graph.TopologicalOrder();
  plan.priorities.assign(n, 0);
  for (auto it = order.rbegin(); it != order.rend(); ++it) {
    const size_t node = *it;
    if (plan.roles[node] == Role::kIgnored) continue;
    double behind = 0;
    for (size_t after : graph.Successors(node)) {
      if (plan.roles[after] != Role::kIgnored) behind = std::max(behind, plan.priorities[after]);
    }
    plan.priorities[node] = behind + std::max(0.0, estimates[node].seconds);
  }
  for (size_t node : order) {
    if (plan.roles[node] != Role::kIgnored) plan.order.push_back(node);
  }
  return plan;
}

}  // namespace genflow
