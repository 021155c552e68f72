// What a run considers, and in which order. Pure: no I/O, no clock.
#pragma once

#include <cstddef>
#include <vector>

#include "graph/graph.h"

namespace genflow {

// What the user asked for; empty lists: no limit.
struct Selection {
  std::vector<size_t> from;   // --from: these and what depends on them
  std::vector<size_t> until;  // --until and targets: these and what they depend on
  std::vector<size_t> force;  // --force S: run again even when cached
  bool force_all = false;     // --force: everything selected is run again
};

enum class Role {
  kIgnored,   // plays no part in this run
  kReuse,     // outside the selection, but its artifacts are needed: comes from the cache, is never run
  kConsider,  // taken from the cache, or run
  kForce,     // run, whatever the cache has
  kDisabled,  // selected, but its `if` says no: it and its dependents are skipped
};

struct NodeEstimate {
  double seconds = 1;   // expected duration, from earlier runs
  bool enabled = true;  // what `if` says
};

struct Plan {
  std::vector<Role> roles;  // by node
  std::vector<double>
      priorities;             // by node: seconds from its start to the end of the longest chain behind it
  std::vector<size_t> order;  // nodes that are not ignored, in topological order
};

// `graph` has every edge and no cycle; `artifacts` has the same nodes, and those edges that carry
// artifacts (without edges of order alone). `estimates` has one entry a node. With both `from` and
// `until`, the nodes between them. What selected nodes need through `artifacts`, directly or not, is
// kReuse where it is not selected itself (so that keys can be computed along the chain). A node in
// `force` that is not selected is not forced.
Plan MakePlan(const Graph& graph, const Graph& artifacts, const Selection& selection,
              const std::vector<NodeEstimate>& estimates);

}  // namespace genflow
