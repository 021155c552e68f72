#include "graph/schedule.h"

#include <algorithm>

#include "base/strings.h"

namespace genflow {

std::optional<std::string> WhyUnfit(const Demand& demand, const Pools& pools) {
  const auto gpus = static_cast<int64_t>(pools.gpus.size());
  if (demand.cpus_min > pools.cpus) {
    return "needs " + Counted(demand.cpus_min, "CPU") + ", but the pool has " + std::to_string(pools.cpus);
  }
  if (demand.gpus_min > gpus) {
    return "needs " + Counted(demand.gpus_min, "GPU") + ", but the pool has " + std::to_string(gpus);
  }
  if (demand.gpu && *demand.gpu >= pools.gpus.size()) {
    return "needs GPU " + std::to_string(*demand.gpu) + ", but the pool has " + Counted(gpus, "GPU") +
           (gpus > 0 ? ", from 0 up" : "");
  }
  if (demand.memory > pools.memory) {
    return "needs " + HumanBytes(demand.memory) + " of memory, but the pool has " + HumanBytes(pools.memory);
  }
  return std::nullopt;
}

bool IsFinal(NodeState state) {
  return state != NodeState::kWaiting && state != NodeState::kReady && state != NodeState::kRunning;
}

Schedule::Schedule(const Graph& graph, const Plan& plan, std::vector<Demand> demands, Pools pools,
                   ScheduleOptions options)
    : graph_(graph),
      demands_(std::move(demands)),
      priorities_(plan.priorities),
      total_(pools),
      free_(std::move(pools)),
      options_(options),
      states_(graph.size(), NodeState::kIgnored),
      causes_(graph.size()),
      blockers_(graph.size(), 0),
      grants_(graph.size()) {
  if (!plan.order.empty()) least_cpus_ = std::numeric_limits<int64_t>::max();
  for (size_t node : plan.order) {
    states_[node] = NodeState::kWaiting;
    ++open_;
    least_cpus_ = std::min(least_cpus_, demands_[node].cpus_min);
  }
  for (size_t node : plan.order) {
    for (size_t before : graph_.Predecessors(node)) {
      if (states_[before] != NodeState::kIgnored) ++blockers_[node];
    }
  }
  for (size_t node : plan.order) {
    if (plan.roles[node] == Role::kDisabled && states_[node] == NodeState::kWaiting) {
      SetFinal(node, NodeState::kSkipped);
      causes_[node] = node;
      initially_skipped_.push_back(node);
      SkipDependents(node, node, &initially_skipped_);
    }
  }
  std::sort(initially_skipped_.begin(), initially_skipped_.end());
  for (size_t node : plan.order) {
    if (states_[node] == NodeState::kWaiting && blockers_[node] == 0) MakeReady(node);
  }
}

std::vector<size_t> Schedule::Ready() const {
  std::vector<size_t> out;
  out.reserve(ready_.size());
  for (const auto& [priority, node] : ready_) out.push_back(node);
  return out;
}

std::vector<size_t> Schedule::TakeFresh() {
  std::vector<size_t> fresh = std::exchange(fresh_, {});
  std::sort(fresh.begin(), fresh.end(), [this](size_t a, size_t b) {
    return std::pair(-priorities_[a], a) < std::pair(-priorities_[b], b);
  });
  return fresh;
}

std::optional<size_t> Schedule::NextReady(std::optional<size_t> node) const {
  const auto next = node ? ready_.upper_bound({-priorities_[*node], *node}) : ready_.begin();
  return next == ready_.end() ? std::nullopt : std::optional<size_t>(next->second);
}

bool Schedule::HasRoom() const {
  return static_cast<int64_t>(running_) < options_.max_running && least_cpus_ <= free_.cpus;
}

int64_t Schedule::CpuShare(size_t node) const {
  // Nodes to share with, this one included.
  const int64_t most = std::min(free_.cpus, options_.max_running - static_cast<int64_t>(running_));
  std::vector<size_t> others;
  for (auto next = NextReady(node); next && static_cast<int64_t>(others.size()) + 1 < most;
       next = NextReady(next))
    others.push_back(*next);
  const int64_t part = std::max<int64_t>(1, free_.cpus / (static_cast<int64_t>(others.size()) + 1));
  int64_t taken = 0;
  for (const size_t other : others) taken += std::min(part, demands_[other].cpus_max);
  return std::max(part, free_.cpus - taken);
}

std::optional<Grant> Schedule::TryStart(size_t node, int64_t cpus_share) {
  if (stopped(node) || states_[node] != NodeState::kReady) return std::nullopt;
  if (static_cast<int64_t>(running_) >= options_.max_running) return std::nullopt;
  const Demand& demand = demands_[node];
  const auto gpus_total = static_cast<int64_t>(total_.gpus.size());
  const auto gpus_free = static_cast<int64_t>(free_.gpus.size());
  const int64_t gpus_min = std::max(demand.gpus_min, std::min<int64_t>({1, demand.gpus_max, gpus_total}));
  if (demand.cpus_min > free_.cpus || gpus_min > gpus_free || demand.memory > free_.memory)
    return std::nullopt;

  if (demand.gpu) {  // to the front, where GPUs are taken from
    if (*demand.gpu >= total_.gpus.size()) return std::nullopt;
    const auto at = std::find(free_.gpus.begin(), free_.gpus.end(), total_.gpus[*demand.gpu]);
    if (at == free_.gpus.end()) return std::nullopt;
    std::rotate(free_.gpus.begin(), at, at + 1);
  }

  Grant grant;
  grant.cpus = std::max(demand.cpus_min, std::min({demand.cpus_max, free_.cpus, cpus_share}));
  const int64_t gpus = std::min(std::max(gpus_min, demand.gpus_max), gpus_free);
  grant.gpus.assign(free_.gpus.begin(), free_.gpus.begin() + gpus);
  free_.gpus.erase(free_.gpus.begin(), free_.gpus.begin() + gpus);
  std::sort(free_.gpus.begin(), free_.gpus.end());
  grant.memory = demand.memory;
  free_.cpus -= grant.cpus;
  free_.memory -= grant.memory;

  ready_.erase({-priorities_[node], node});
  states_[node] = NodeState::kRunning;
  grants_[node] = grant;
  ++running_;
  return grant;
}

void Schedule::Vacate(size_t node) {
  if (states_[node] == NodeState::kRunning) GiveBack(node);
}

std::vector<size_t> Schedule::Finish(size_t node, Finished how) {
  Leave(node);
  std::vector<size_t> ended;
  if (how == Finished::kSucceeded || how == Finished::kCached) {
    SetFinal(node, how == Finished::kCached ? NodeState::kCached : NodeState::kSucceeded);
    for (size_t after : graph_.Successors(node)) Unblock(after);
    return ended;
  }
  SetFinal(node, how == Finished::kFailed       ? NodeState::kFailed
                 : how == Finished::kGateFailed ? NodeState::kGateFailed
                                                : NodeState::kInterrupted);
  SkipDependents(node, node, &ended);
  if (!options_.keep_going || how == Finished::kInterrupted) CancelRest(node, &ended);
  std::sort(ended.begin(), ended.end());
  return ended;
}

std::vector<size_t> Schedule::Skip(size_t node) {
  Leave(node);
  SetFinal(node, NodeState::kSkipped);
  causes_[node] = node;
  std::vector<size_t> ended;
  SkipDependents(node, node, &ended);
  std::sort(ended.begin(), ended.end());
  return ended;
}

void Schedule::Retry(size_t node) {
  Leave(node);
  states_[node] = NodeState::kWaiting;
  blockers_[node] = 1;
  if (stopped(node)) SetFinal(node, NodeState::kCancelled);
}

void Schedule::Release(size_t node) {
  if (states_[node] != NodeState::kWaiting) return;
  blockers_[node] = 0;
  MakeReady(node);
}

std::vector<size_t> Schedule::Stop(bool all) {
  std::vector<size_t> cancelled;
  stopped_all_ |= all;
  CancelRest(std::nullopt, &cancelled);
  std::sort(cancelled.begin(), cancelled.end());
  return cancelled;
}

void Schedule::Unblock(size_t node) {
  if (states_[node] == NodeState::kWaiting && --blockers_[node] == 0 && !stopped(node)) MakeReady(node);
}

void Schedule::MakeReady(size_t node) {
  states_[node] = NodeState::kReady;
  ready_.insert({-priorities_[node], node});
  fresh_.push_back(node);
  ++changes_;
}

// Takes a running or ready node out of where it stands and gives its resources back.
void Schedule::Leave(size_t node) {
  if (states_[node] == NodeState::kReady) {
    ready_.erase({-priorities_[node], node});
  } else if (states_[node] == NodeState::kRunning) {
    GiveBack(node);
  }
}

void Schedule::GiveBack(size_t node) {
  const auto grant = std::exchange(grants_[node], std::nullopt);
  if (!grant) return;
  free_.cpus += grant->cpus;
  free_.memory += grant->memory;
  free_.gpus.insert(free_.gpus.end(), grant->gpus.begin(), grant->gpus.end());
  std::sort(free_.gpus.begin(), free_.gpus.end());
  --running_;
  ++changes_;
}

void Schedule::SkipDependents(size_t node, size_t cause, std::vector<size_t>* skipped) {
  std::vector<size_t> open = {node};
  while (!open.empty()) {
    const size_t at = open.back();
    open.pop_back();
    for (size_t after : graph_.Successors(at)) {
      if (states_[after] != NodeState::kWaiting) continue;
      if (IsTolerant(after)) {
        Unblock(after);
        continue;
      }
      SetFinal(after, NodeState::kSkipped);
      causes_[after] = cause;
      skipped->push_back(after);
      open.push_back(after);
    }
  }
}

void Schedule::CancelRest(std::optional<size_t> cause, std::vector<size_t>* cancelled) {
  stopped_ = true;
  std::vector<size_t> open;
  for (size_t node = 0; node < states_.size(); ++node) {
    if (states_[node] != NodeState::kWaiting && states_[node] != NodeState::kReady) continue;
    if (!stopped(node)) continue;
    if (states_[node] == NodeState::kReady) ready_.erase({-priorities_[node], node});
    SetFinal(node, NodeState::kCancelled);
    causes_[node] = cause;
    cancelled->push_back(node);
    open.push_back(node);
  }
  for (const size_t node : open) {
    for (const size_t after : graph_.Successors(node)) Unblock(after);
  }
}

void Schedule::SetFinal(size_t node, NodeState state) {
  states_[node] = state;
  --open_;
}

}  // namespace genflow
