// The state of a run's nodes and pools: a state machine that the engine drives. No I/O, no threads.
//
//   while (!schedule.done()) {
//     for (size_t node : schedule.Ready()) {
//       if (cached(node)) schedule.Finish(node, Finished::kCached);
//       else if (auto grant = schedule.TryStart(node)) launch(node, *grant);
//     }
//     ... wait for one event ...
//     for (size_t skipped : schedule.Finish(node, outcome)) report(skipped, schedule.cause(skipped));
//   }
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "graph/graph.h"
#include "graph/plan.h"

namespace genflow {

// The machine's pools.
struct Pools {
  int64_t cpus = 1;
  std::vector<int> gpus;  // device numbers
  uint64_t memory = std::numeric_limits<uint64_t>::max();
};

// What a node asks for. It is started with between min and max of each; memory is a fixed amount.
struct Demand {
  int64_t cpus_min = 1, cpus_max = 1;
  int64_t gpus_min = 0, gpus_max = 0;
  uint64_t memory = 0;
  std::optional<size_t> gpu;  // this one, by its place in the pool, and no other
};

struct Grant {
  int64_t cpus = 0;
  std::vector<int> gpus;
  uint64_t memory = 0;
};

// Why `demand` can never be met by `pools`, as "needs 4 gpus, and this machine has 1"; nothing when it can.
std::optional<std::string> WhyUnfit(const Demand& demand, const Pools& pools);

enum class NodeState {
  kIgnored,  // not part of the run
  kWaiting,  // for its predecessors
  kReady,    // for the cache's answer or for resources
  kRunning,
  kSucceeded,
  kCached,
  kFailed,
  kGateFailed,
  kInterrupted,
  kSkipped,    // it is disabled, or something it depends on failed or is disabled; see cause()
  kCancelled,  // the run stopped before it could start; see cause()
};
bool IsFinal(NodeState state);

// How a node ended.
enum class Finished { kSucceeded, kCached, kFailed, kGateFailed, kInterrupted };

struct ScheduleOptions {
  bool keep_going = false;  // after a failure, go on with what does not depend on it
  // Nodes that become ready once all they depend on has ended, in whatever way, also after a stop. Empty:
  // none.
  std::vector<bool> tolerant;
  int64_t max_running = std::numeric_limits<int64_t>::max();  // -j
};

class Schedule {
 public:
  // `graph` must outlive the schedule. `demands` has one entry a node. Nodes of role kReuse take part
  // like others: the engine finishes them as kCached or kFailed.
  Schedule(const Graph& graph, const Plan& plan, std::vector<Demand> demands, Pools pools,
           ScheduleOptions options = {});

  // Nodes whose predecessors are done, most urgent first (longest chain behind, then file order). After
  // Stop(), and after a failure without keep_going, tolerant ones alone. A copy: it may be walked while nodes
  // change.
  std::vector<size_t> Ready() const;
  // The ready node after `node` in that order, or the first. `node` need not be ready any more.
  std::optional<size_t> NextReady(std::optional<size_t> node) const;
  // Nodes that have become ready since the last call, most urgent first. Some may be ready no longer.
  std::vector<size_t> TakeFresh();
  // False when nothing could start now, whatever it asks for.
  bool HasRoom() const;
  // Grows whenever a node becomes ready or resources become free.
  uint64_t changes() const { return changes_; }

  // Takes resources for a ready node and marks it running; nothing when it does not fit now. It takes as
  // many CPUs as are free, up to its maximum and to `cpus_share` (but never less than its minimum). A node
  // that can use a GPU (gpus_max > 0) on a machine that has some waits for at least one, also when gpus_min
  // is 0.
  std::optional<Grant> TryStart(size_t node, int64_t cpus_share = std::numeric_limits<int64_t>::max());

  // CPUs for a ready node: an equal part of what is free, and what the others that could start now leave
  // over.
  int64_t CpuShare(size_t node) const;

  // A running node needs its resources no longer, and goes on: they are free for others, and it does not
  // count as running for `max_running`.
  void Vacate(size_t node);
  // A running node, or a ready one (kCached, or a failure before its start), has ended. Returns what
  // became final because of it: dependents skipped, and nodes cancelled when the run stops; ascending.
  std::vector<size_t> Finish(size_t node, Finished how);
  // A ready node is not to run: it is skipped, and what depends on it. Returns the latter, ascending.
  std::vector<size_t> Skip(size_t node);
  // A running node will be tried again: its resources are free, and it waits (kWaiting, for a backoff)
  // until Release(node), which makes it ready. After a stop it is cancelled instead, by Retry().
  void Retry(size_t node);
  void Release(size_t node);

  // Starts nothing more (Ctrl-C) but tolerant nodes, and with `all` not even those. Returns the nodes
  // cancelled by it, ascending.
  std::vector<size_t> Stop(bool all = false);

  NodeState state(size_t node) const { return states_[node]; }
  // The node at the root of why this one was skipped or cancelled (the one that failed or is disabled).
  std::optional<size_t> cause(size_t node) const { return causes_[node]; }
  bool done() const { return open_ == 0; }  // every node has a final state
  bool stopped() const { return stopped_; }
  // Whether this node would not be started any more.
  bool stopped(size_t node) const { return stopped_all_ || (stopped_ && !IsTolerant(node)); }
  size_t running() const { return running_; }
  const Pools& free() const { return free_; }
  // Nodes skipped when the schedule was made: the disabled ones and their dependents; ascending.
  const std::vector<size_t>& initially_skipped() const { return initially_skipped_; }

 private:
  bool IsTolerant(size_t node) const { return node < options_.tolerant.size() && options_.tolerant[node]; }
  void MakeReady(size_t node);
  // One of the nodes that a waiting one depends on has ended.
  void Unblock(size_t node);
  void GiveBack(size_t node);
  void Leave(size_t node);
  void SkipDependents(size_t node, size_t cause, std::vector<size_t>* skipped);
  void CancelRest(std::optional<size_t> cause, std::vector<size_t>* cancelled);
  void SetFinal(size_t node, NodeState state);

  const Graph& graph_;
  std::vector<Demand> demands_;
  std::vector<double> priorities_;
  Pools total_, free_;
  ScheduleOptions options_;
  std::vector<NodeState> states_;
  std::vector<std::optional<size_t>> causes_;
  std::vector<size_t> blockers_;               // predecessors of the run that are not done
  std::vector<std::optional<Grant>> grants_;   // of running nodes that have not been vacated
  std::set<std::pair<double, size_t>> ready_;  // (-priority, node)
  std::vector<size_t> initially_skipped_;
  std::vector<size_t> fresh_;
  int64_t least_cpus_ = 0;  // that any node asks for
  uint64_t changes_ = 0;
  size_t open_ = 0, running_ = 0;
  bool stopped_ = false, stopped_all_ = false;
};

}  // namespace genflow
