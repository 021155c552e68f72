#include "engine/engine.h"

#include <algorithm>
#include <csignal>
#include <memory>
#include <set>

#include "base/strings.h"
#include "engine/attempt.h"
#include "engine/cache_view.h"
#include "engine/condition.h"
#include "engine/resources.h"

namespace genflow {

namespace fs = std::filesystem;

namespace {

// A stage whose key is being computed by another run is looked at again after this many seconds.
constexpr double kKeyPoll = 0.2;
constexpr double kMetricsFlush = 1.0;
constexpr size_t kMetricsBatch = 1000;

constexpr size_t kReasonsShown = 3;

// Attempts whose outputs may be on their way to the disk at once: they hold no CPU.
constexpr size_t kMaxSealing = 64;

// The background job that brings sealed outputs to the disk; the others have their node's number.
constexpr int kSyncJob = -1;

// "a; b; c; and 4 more"
std::string JoinFirst(std::vector<std::string> sentences, size_t limit) {
  if (sentences.size() > limit) {
    const size_t more = sentences.size() - limit;
    sentences.resize(limit);
    sentences.push_back("and " + std::to_string(more) + " more");
  }
  return Join(sentences, "; ");
}

struct Node {
  bool looked_up = false;
  bool announced_wait = false;
  std::string lookup_problem;
  double wake_at = kNever;  // end of a backoff, or the next look at a key
  int attempts = 0;
  bool decided = false;                    // its `if`
  bool reacts = false;                     // to how others went: it runs whatever the cache has
  std::string why_not;                     // its `if` said no
  std::string made_by_run, made_by_stage;  // of its outputs
  std::optional<std::map<std::string, double>> known_metrics;
  KeyLock key_lock;
  std::unique_ptr<Attempt> attempt;
  StageResult result;
};

class Runner {
 public:
  Runner(const Pipeline& pipeline, Store& store, const RunOptions& options, Executor& executor, Clock& clock,
         Observer& observer)
      : pipeline_(pipeline),
        store_(store),
        options_(options),
        executor_(executor),
        clock_(clock),
        observer_(observer),
        graphs_(BuildGraphs(pipeline)),
        cache_(pipeline, store),
        masker_(pipeline),
        nodes_(pipeline.stages.size()) {}

  Result<RunReport> Run() {
    GF_CHECK_OK(Begin());
    while (true) {
      GF_CHECK_OK(StartWhatFits());
      if (schedule_->done()) return End();
      const double tick_at = observer_.Tick(clock_.Now());
      // What goes to the disk goes together with whatever else has come so far.
      const bool disk_waits = !synced_.empty() || (!sealed_.empty() && syncing_.empty());
      Event event = executor_.Wait(disk_waits ? clock_.Now() : std::min(tick_at, NextTimer()));
      GF_CHECK_OK(std::visit([this](auto& e) { return Handle(e); }, event));
      if (std::holds_alternative<event::Deadline>(event) || sealing_ >= kMaxSealing) {
        SyncSealed();
        GF_CHECK_OK(CommitSynced());
      }
      GF_CHECK_OK(FireTimers());
    }
  }

 private:
  // --- Beginning and end -----------------------------------------------------------------------------

  Status Begin() {
    started_ = clock_.Now();
    std::error_code ec;
    const std::string file = fs::weakly_canonical(pipeline_.file, ec).string();
    GF_TRY(plan_, PlanFor(pipeline_, graphs_, options_, store_));
    if (options_.lock != nullptr) {
      pipeline_lock_ = std::move(*options_.lock);
    } else {
      GF_TRY(pipeline_lock_, store_.LockPipeline(file));
    }
    RunHeader header{{}, pipeline_.name, store_.root(), {}};
    for (const size_t node : plan_.order) header.stages.push_back(pipeline_.stages[node].id);
    GF_TRY(facts_.run, store_.StartRun({pipeline_.name, file, masker_.Mask(pipeline_.params.dump()),
                                        MaskedArguments(), GENFLOW_VERSION, header.stages}));
    header.run = facts_.run;
    GF_CHECK_OK(store_.DescribePipelineLock(pipeline_lock_, file, facts_.run));
    facts_.pipeline = &pipeline_;
    facts_.gpus = options_.pools.gpus;
    for (const auto& notice : store_.notices()) observer_.Notice(notice);

    std::vector<Demand> demands;
    for (size_t node = 0; node < nodes_.size(); ++node) {
      demands.push_back(DemandOf(pipeline_.stages[node], options_.pools));
      nodes_[node].result.stage = pipeline_.stages[node].id;
      nodes_[node].result.uses = pipeline_.stages[node].uses;
    }
    demands_ = demands;
    ScheduleOptions schedule_options;
    schedule_options.keep_going = options_.keep_going;
    for (const auto& stage : pipeline_.stages) schedule_options.tolerant.push_back(AsksHowItWent(stage));
    if (options_.jobs) schedule_options.max_running = *options_.jobs;
    schedule_.emplace(graphs_.order, plan_, std::move(demands), options_.pools, schedule_options);

    observer_.RunStarted(header, started_);
    return ReportSkipped(schedule_->initially_skipped());
  }

  std::vector<std::string> MaskedArguments() const {
    std::vector<std::string> out;
    for (const auto& argument : options_.argv) out.push_back(masker_.Mask(argument));
    return out;
  }

  Result<RunReport> End() {
    RunReport report;
    report.run = facts_.run;
    report.pipeline = pipeline_.name;
    bool failed = false, gated = false;
    for (size_t node = 0; node < nodes_.size(); ++node) {
      if (plan_.roles[node] == Role::kIgnored) continue;
      StageResult& result = nodes_[node].result;
      failed |= result.status == StageStatus::kFailed;
      gated |= result.status == StageStatus::kGated;
      report.resumable |= result.status == StageStatus::kRan || resumable_state_;
      report.stages.push_back(std::move(result));
    }
    const bool interrupted = signal_ != 0 || self_interrupted_;
    if (interrupted) {
      report.status = RunStatus::kInterrupted;
      report.exit_code = report.resumable || signal_ == 0 ? kExitInterrupted : 128 + signal_;
    } else if (failed) {
      report.status = RunStatus::kFailed;
      report.exit_code = kExitFailed;
    } else if (gated) {
      report.status = RunStatus::kGated;
      report.exit_code = kExitGate;
    }
    GF_CHECK_OK(store_.FinishRun(facts_.run, report.status));
    const double now = clock_.Now();
    report.seconds = now - started_;
    observer_.RunFinished(report, now);
    return report;
  }

  // --- Start what fits ---------------------------------------------------------------------------------

  Status StartWhatFits() {
    while (schedule_->changes() != seen_ && sealing_ < kMaxSealing) {
      seen_ = schedule_->changes();
      Store::WriteGroup group(store_);
      for (auto fresh = schedule_->TakeFresh(); !fresh.empty(); fresh = schedule_->TakeFresh()) {
        for (const size_t node : fresh) {
          if (schedule_->state(node) == NodeState::kReady) GF_CHECK_OK(DecideIf(node));
          if (schedule_->state(node) == NodeState::kReady) GF_CHECK_OK(TakeFromCache(node));
        }
      }
      std::optional<size_t> node;
      while (schedule_->HasRoom() && (node = schedule_->NextReady(node))) {
        if (!nodes_[*node].looked_up) continue;  // has become ready in this loop
        if (auto grant = schedule_->TryStart(*node, CpuShare(*node)))
          GF_CHECK_OK(StartAttempt(*node, *std::move(grant)));
      }
      GF_CHECK_OK(group.End());
    }
    return Ok();
  }

  // CPUs for a ready node: an equal part of what is free, and what the others that could start now leave
  // over.
  int64_t CpuShare(size_t node) const {
    const int64_t free = schedule_->free().cpus;
    int64_t most = free;  // nodes to share with, this one included
    if (options_.jobs) most = std::min(most, *options_.jobs - static_cast<int64_t>(schedule_->running()));
    std::vector<size_t> others;
    for (auto next = schedule_->NextReady(node); next && static_cast<int64_t>(others.size()) + 1 < most;
         next = schedule_->NextReady(next)) {
      others.push_back(*next);
    }
    const int64_t part = std::max<int64_t>(1, free / (static_cast<int64_t>(others.size()) + 1));
    int64_t taken = 0;
    for (const size_t other : others) taken += std::min(part, demands_[other].cpus_max);
    return std::max(part, free - taken);
  }

  // --- Conditions --------------------------------------------------------------------------------------

  // Skips a ready node whose `if` is false now that all it needs has ended.
  Status DecideIf(size_t node) {
    Node& n = nodes_[node];
    const auto& stage = pipeline_.stages[node];
    if (stage.conditions.empty() || plan_.roles[node] == Role::kReuse || std::exchange(n.decided, true))
      return Ok();
    const RunKnowledge knowledge = KnowledgeOf(node);
    const auto decision = Decide(stage.conditions, knowledge);
    if (!decision.ok()) return FailBeforeStart(node, decision.error());
    n.reacts = IsReaction(stage);
    for (const size_t before : graphs_.order.Predecessors(node)) {
      const StageOutcome outcome = OutcomeOf(before);
      n.reacts |= outcome == StageOutcome::kFailure || outcome == StageOutcome::kCancelled;
    }
    if (decision->yes) return Ok();
    n.why_not = decision->Reason();
    const std::vector<size_t> skipped = schedule_->Skip(node);
    GF_CHECK_OK(ReportSkipped({node}));
    return ReportSkipped(skipped);
  }

  StageOutcome OutcomeOf(size_t node) const { return OutcomeOfState(schedule_->state(node)); }

  RunKnowledge KnowledgeOf(size_t node) {
    RunKnowledge out;
    for (const size_t before : graphs_.order.Predecessors(node)) {
      if (schedule_->state(before) != NodeState::kIgnored)
        out.needs_succeeded &= OutcomeOf(before) == StageOutcome::kSuccess;
    }
    const std::vector<bool> ancestors = graphs_.order.Ancestors({node});
    for (size_t other = 0; other < ancestors.size(); ++other) {
      if (ancestors[other] && other != node)
        out.ancestor_failed |= OutcomeOf(other) == StageOutcome::kFailure;
    }
    out.cancelled = signal_ != 0;
    out.outcome = [this](const std::string& id) { return OutcomeOf(*pipeline_.IndexOf(id)); };
    out.output = [this](const std::string& id, const std::string& port) -> std::optional<std::string> {
      const auto found = cache_.outputs().find(id + "." + port);
      return found == cache_.outputs().end() ? std::nullopt : std::optional(found->second.path.string());
    };
    out.metrics = [this](const std::string& id) -> Result<std::map<std::string, double>> {
      Node& n = nodes_[*pipeline_.IndexOf(id)];
      if (!n.known_metrics) {
        GF_TRY(n.known_metrics, MetricsOf(store_, n.made_by_run, n.made_by_stage, n.result.outputs));
      }
      return *n.known_metrics;
    };
    return out;
  }

  bool IsForced(size_t node) const { return plan_.roles[node] == Role::kForce || nodes_[node].reacts; }

  // --- The cache ---------------------------------------------------------------------------------------

  // Finishes a ready node whose answer is in the store, or that cannot be run at all.
  Status TakeFromCache(size_t node) {
    Node& n = nodes_[node];
    if (n.looked_up || schedule_->state(node) != NodeState::kReady) return Ok();
    n.looked_up = true;
    const auto& stage = pipeline_.stages[node];
    auto key = cache_.Key(node);
    if (!key.ok()) return FailBeforeStart(node, key.error());
    n.result.key = key->key;
    if (!IsForced(node)) {
      GF_TRY(auto found, Find(node, key->key));
      if (found.hit) GF_CHECK_OK(TakeHit(node, *found.hit));
      if (IsFinal(schedule_->state(node))) return Ok();
      n.lookup_problem = found.problem;
    }
    if (plan_.roles[node] == Role::kReuse) {
      return FailBeforeStart(node, MakeError(Code::kNotFound,
                                             "comes before --from and is not in the cache: " +
                                                 cache_.WhyNotCached(node, n.lookup_problem).front(),
                                             "run with --from " + stage.id + ", or without --from"));
    }
    if (auto unfit = WhyUnfit(demands_[node], options_.pools)) {
      return FailBeforeStart(
          node, MakeError(Code::kUnsupported, *unfit, "lower its `resources:`, or run on a larger machine"));
    }
    return Ok();
  }

  // What the store has for the key. Without an output that the stage always writes it is no hit.
  Result<LookupResult> Find(size_t node, const std::string& key) {
    GF_TRY(auto found, store_.Lookup(key));
    if (!found.hit) return found;
    for (const auto& output : OutputsOf(pipeline_.stages[node])) {
      const auto& has = found.hit->outputs;
      if (output.optional ||
          std::any_of(has.begin(), has.end(), [&](const auto& o) { return o.port == output.port; }))
        continue;
      GF_CHECK_OK(store_.DropKey(key));
      found.problem = "the store has lost its output '" + output.port + "'";
      found.hit.reset();
      break;
    }
    return found;
  }

  // No effect when the hit was collected a moment ago: the node stays ready.
  Status TakeHit(size_t node, const CacheHit& hit) {
    Node& n = nodes_[node];
    AttemptStart start = Describe(node, 1);
    start.key_components_json = "{}";  // the attempt that computed the key has them
    auto recorded = store_.RecordCached(start, hit);
    if (!recorded.ok() && recorded.error().code == Code::kNotFound) return Ok();
    GF_CHECK_OK(recorded);
    n.result.summary = hit.summary;
    n.result.outputs = hit.outputs;
    n.result.seconds = hit.seconds;
    n.result.reason = hit.run;
    n.made_by_run = hit.run;
    n.made_by_stage = hit.stage;
    cache_.SetOutputs(node, hit.outputs);
    n.key_lock.Release();
    return Complete(node, StageStatus::kCached, Finished::kCached);
  }

  Status FailBeforeStart(size_t node, const Error& why) {
    const Error error = masker_.Mask(why);
    Node& n = nodes_[node];
    AttemptEnd end;
    end.status = AttemptStatus::kFailed;
    end.exit_code = -1;
    end.error_code = CodeName(error.code);
    end.error_message = error.message;
    end.error_hint = error.hint;
    GF_CHECK_OK(store_.RecordAttempt(Describe(node, n.attempts + 1), end));
    n.result.error = error;
    n.key_lock.Release();
    return Complete(node, StageStatus::kFailed, Finished::kFailed);
  }

  // The node has its resources. Another run may hold the key: then it gives them back and waits.
  Status StartAttempt(size_t node, Grant grant) {
    Node& n = nodes_[node];
    const auto& stage = pipeline_.stages[node];
    GF_TRY(const auto key, cache_.Key(node));
    if (!n.key_lock.held()) {
      std::string holder;
      GF_TRY(auto lock, store_.TryLockKey(key.key, facts_.run, &holder));
      if (!lock) {
        schedule_->Retry(node);
        WakeAt(node, clock_.Now() + kKeyPoll);
        n.looked_up = IsForced(node);
        if (!std::exchange(n.announced_wait, true)) {
          observer_.StageWaits(stage.id,
                               holder == facts_.run ? "the same stage of this run"
                               : holder.empty()     ? "another run"
                                                    : "run " + holder,
                               clock_.Now());
        }
        return Ok();
      }
      n.key_lock = *std::move(lock);
      if (!IsForced(node)) {  // someone may have finished it before the lock was ours
        GF_TRY(const auto found, Find(node, key.key));
        if (found.hit) {
          GF_CHECK_OK(TakeHit(node, *found.hit));
          if (IsFinal(schedule_->state(node))) return Ok();
        }
      }
    }
    std::string reason = n.attempts > 0                      ? "attempt " + std::to_string(n.attempts + 1)
                         : plan_.roles[node] == Role::kForce ? "forced"
                         : n.reacts                          ? "its `if` is true: " + stage.condition
                                    : JoinFirst(cache_.WhyNotCached(node, n.lookup_problem), kReasonsShown);
    n.attempts += 1;
    n.result.attempts = n.attempts;
    n.wake_at = kNever;
    n.attempt = std::make_unique<Attempt>();
    timed_.insert(node);
    Attempt& a = *n.attempt;
    a.number = n.attempts;
    a.grant = std::move(grant);
    a.started = clock_.Now();
    a.output.emplace(masker_);
    a.outputs = OutputsOf(stage);
    GF_TRY(const auto log_path, store_.LogPath(facts_.run, stage.id, a.number));
    AttemptStart start = Describe(node, a.number);
    start.log = log_path.string();
    GF_TRY(a.row, store_.StartAttempt(start));
    n.result.log = log_path;
    if (auto prepared = Prepare(node, key); !prepared.ok()) {
      return EndAttempt(node, {Verdict::Kind::kFailed, prepared.error(), false});
    }
    if (stage.timeout) a.timeout_at = a.started + *stage.timeout;
    a.log->Write(clock_.WallNow(), LogFile::kEngineLevel,
                 stage.uses + ", attempt " + std::to_string(a.number) + ", key " + key.key.substr(0, 12) +
                     ": " + reason);
    observer_.StageStarted({stage.id, stage.uses, a.number, 1 + stage.retries, reason,
                            static_cast<int>(std::max<int64_t>(1, a.grant.cpus)), a.grant.gpus, log_path},
                           a.started);
    return Ok();
  }

  // Folders, log and process of the attempt.
  Status Prepare(size_t node, const StageKey& key) {
    Attempt& a = *nodes_[node].attempt;
    GF_TRY(auto log, LogFile::Open(nodes_[node].result.log));
    a.log = std::move(log);
    GF_TRY(auto staging, store_.Stage(key.key));
    a.staging = std::move(staging);
    for (const auto& output : a.outputs) {
      GF_TRY(const auto path, a.staging->Output(output.port));
      a.output_paths[output.port] = path.string();
    }
    GF_TRY(const auto state, store_.StateDir(key.key));
    a.state_dir = state.string();
    GF_TRY(const auto job,
           MakeJob(facts_, pipeline_.stages[node], static_cast<int>(node), key, a, cache_.outputs()));
    return executor_.Start(job);
  }

  AttemptStart Describe(size_t node, int number) {
    const auto& stage = pipeline_.stages[node];
    AttemptStart start;
    start.run = facts_.run;
    start.stage = stage.id;
    start.uses = stage.uses;
    start.attempt = number;
    if (schedule_->state(node) == NodeState::kSkipped || schedule_->state(node) == NodeState::kCancelled)
      return start;
    if (auto key = cache_.Key(node); key.ok()) {
      start.key = key->key;
      start.key_components_json = masker_.Mask(key->components);
    }
    for (const auto* inputs : {&stage.inputs, &stage.expression_inputs}) {
      for (const auto& input : *inputs) {
        const auto it = cache_.outputs().find(input.Source());
        if (it == cache_.outputs().end()) continue;
        start.inputs.push_back({input.port, it->second.digest, it->second.type,
                                input.outside ? input.outside->label : input.Source()});
      }
    }
    return start;
  }

  // --- One event ---------------------------------------------------------------------------------------

  Status Handle(const event::Deadline&) { return Ok(); }

  Status Handle(const event::Signal& e) {
    const bool forced = signal_ != 0;
    if (!forced) signal_ = e.number;
    const double now = clock_.Now();
    observer_.Stopping(e.number, forced, options_.grace, now);
    for (size_t node = 0; node < nodes_.size(); ++node) {
      Attempt* a = nodes_[node].attempt.get();
      if (a == nullptr) continue;
      a->stop_asked = true;
      executor_.Stop(static_cast<int>(node), forced ? StopKind::kKill : StopKind::kAsk);
      a->kill_at = forced ? kNever : std::min(a->kill_at, now + options_.grace);
    }
    return ReportSkipped(schedule_->Stop(forced));
  }

  Status Handle(const event::Progress& e) {
    observer_.Progress({Id(e.job), e.done, e.total, masker_.Mask(e.unit), masker_.Mask(e.message)},
                       clock_.Now());
    return Ok();
  }

  Status Handle(const event::Metric& e) {
    auto& metrics = Of(e.job).metrics;
    const std::string name = masker_.Mask(e.name);
    metrics.push_back({name, e.value, e.step, clock_.WallNow()});
    observer_.Metric({Id(e.job), name, e.value, e.step}, clock_.Now());
    if (metrics_since_ == kNever) metrics_since_ = clock_.Now();
    return metrics.size() >= kMetricsBatch ? FlushMetrics(static_cast<size_t>(e.job)) : Ok();
  }

  Status Handle(const event::Log& e) {
    const bool output = e.level == LogFile::kOutputLevel;
    ShowLog(e.job, masker_.Mask(e.level),
            output ? Of(e.job).output->Add(e.text, e.text.size() >= kMaxOutputLine) : masker_.Mask(e.text));
    return Ok();
  }

  void ShowLog(int job, const std::string& level, const std::string& text) {
    Of(job).log->Write(clock_.WallNow(), level, text);
    observer_.Log({Id(job), level, text}, clock_.Now());
  }

  Status Handle(const event::Summary& e) {
    Of(e.job).summary = masker_.Mask(e.text);
    return Ok();
  }

  Status Handle(const event::Fail& e) {
    Of(e.job).failure = masker_.Mask(e.error);
    return Ok();
  }

  Status Handle(const event::Broken& e) {
    Of(e.job).broken = masker_.Mask(e.what);
    return Ok();
  }

  Status Handle(const event::OverMemory& e) {
    Of(e.job).over_memory = e.bytes;
    return Ok();
  }

  Status Handle(const event::Away& e) {
    for (const size_t node : timed_) {
      Attempt* a = nodes_[node].attempt.get();
      if (a == nullptr) continue;
      a->timeout_at += e.seconds;
      a->kill_at += e.seconds;
    }
    return Ok();
  }

  Status Handle(const event::Exited& e) {
    const auto node = static_cast<size_t>(e.job);
    Attempt& a = Of(e.job);
    a.exit = e.status;
    a.timeout_at = a.kill_at = kNever;
    if (const std::string rest = a.output->Rest(); !rest.empty())
      ShowLog(e.job, std::string(LogFile::kOutputLevel), rest);
    const Verdict verdict = Judge(pipeline_.stages[node], a, e.outcome);
    a.log->Write(clock_.WallNow(), LogFile::kEngineLevel,
                 "ended: " + e.status.ToString() + " after " + HumanDuration(clock_.Now() - a.started) +
                     ", peak memory " + HumanBytes(e.status.peak_rss_bytes));
    if (verdict.kind != Verdict::Kind::kSucceeded && verdict.kind != Verdict::Kind::kGated) {
      return EndAttempt(node, verdict);
    }
    if (auto checked = CheckOutputs(pipeline_.stages[node], a); !checked.ok()) {
      return EndAttempt(node, {Verdict::Kind::kFailed, checked.error(), false});
    }
    a.verdict = verdict;
    schedule_->Vacate(node);
    ++sealing_;
    if (a.outputs.empty()) {
      synced_.push_back(node);
      return Ok();
    }
    GF_TRY(const auto key, cache_.Key(node));
    const auto& stage = pipeline_.stages[node];
    const Origin origin{facts_.run, pipeline_.name, stage.id, stage.uses, key.key, a.number, !IsGated(a)};
    executor_.Background(e.job, [&a, origin] { return a.staging->Seal(a.outputs, origin); });
    return Ok();
  }

  Status Handle(const event::Worked& e) {
    if (e.job == kSyncJob) {
      for (const size_t node : std::exchange(syncing_, {})) {
        if (e.status.ok())
          synced_.push_back(node);
        else
          GF_CHECK_OK(EndSealing(node, e.status.error()));
      }
      return Ok();
    }
    const auto node = static_cast<size_t>(e.job);
    if (!e.status.ok()) return EndSealing(node, e.status.error());
    sealed_.push_back(node);
    return Ok();
  }

  Status EndSealing(size_t node, const Error& error) {
    --sealing_;
    return EndAttempt(node, {Verdict::Kind::kFailed, error, false});
  }

  // --- Ends of attempts --------------------------------------------------------------------------------

  void Account(size_t node) {
    Node& n = nodes_[node];
    n.result.seconds += clock_.Now() - n.attempt->started;
    n.result.cpu_seconds += n.attempt->exit.cpu_seconds;
    n.result.peak_rss_bytes = std::max(n.result.peak_rss_bytes, n.attempt->exit.peak_rss_bytes);
    n.result.summary = n.attempt->summary;
  }

  static bool IsGated(const Attempt& a) { return a.verdict.kind == Verdict::Kind::kGated; }

  // One sync at a time: what is sealed meanwhile goes with the next.
  void SyncSealed() {
    if (sealed_.empty() || !syncing_.empty()) return;
    syncing_ = std::exchange(sealed_, {});
    std::vector<Staging*> stagings;
    for (const size_t node : syncing_) stagings.push_back(&*nodes_[node].attempt->staging);
    executor_.Background(kSyncJob, [stagings] { return Staging::Sync(stagings); });
  }

  Status CommitSynced() {
    if (synced_.empty()) return Ok();
    const std::vector<size_t> nodes = std::exchange(synced_, {});
    std::vector<Store::Pending> pending;
    for (const size_t node : nodes) {
      Attempt& a = *nodes_[node].attempt;
      GF_CHECK_OK(FlushMetrics(node));
      CommitRequest request;
      request.attempt = a.row;
      request.outputs = a.outputs;
      request.end = EndOf(a, IsGated(a) ? AttemptStatus::kGated : AttemptStatus::kRun, a.verdict.error);
      request.cache = !IsGated(a);
      pending.push_back({*std::move(a.staging), std::move(request)});
    }
    auto committed = store_.CommitAll(std::move(pending));
    for (size_t i = 0; i < nodes.size(); ++i) GF_CHECK_OK(EndCommitted(nodes[i], std::move(committed[i])));
    return Ok();
  }

  Status EndCommitted(size_t node, Result<std::vector<PortArtifact>> committed) {
    if (!committed.ok()) return EndSealing(node, committed.error());
    --sealing_;
    Node& n = nodes_[node];
    const bool gated = IsGated(*n.attempt);
    const Error said = n.attempt->verdict.error;
    Account(node);
    n.result.outputs = *std::move(committed);
    n.made_by_run = facts_.run;
    n.made_by_stage = n.result.stage;
    cache_.SetOutputs(node, n.result.outputs);
    n.attempt.reset();
    n.key_lock.Release();
    if (!gated) return Complete(node, StageStatus::kRan, Finished::kSucceeded);
    n.result.error = said;
    return Complete(node, StageStatus::kGated, Finished::kGateFailed);
  }

  // The attempt leaves no outputs: it failed or was interrupted, and may be tried again.
  Status EndAttempt(size_t node, Verdict verdict) {
    Node& n = nodes_[node];
    Attempt& a = *n.attempt;
    verdict.error = masker_.Mask(std::move(verdict.error));
    a.staging.reset();  // on a full disk this makes room for what follows
    const bool interrupted = verdict.kind == Verdict::Kind::kInterrupted;
    const auto& stage = pipeline_.stages[node];
    const bool retries = !interrupted && verdict.retry_may_help &&
                         RetriesOn(stage, verdict.cause, a.exit.code) && n.attempts <= stage.retries &&
                         !schedule_->stopped(node);
    const double delay = RetryDelay(stage, facts_.run, n.attempts);
    GF_CHECK_OK(FlushMetrics(node));
    if (a.log) {  // whole before the end is recorded: who follows it stops there
      if (!interrupted) a.log->Write(clock_.WallNow(), LogFile::kEngineLevel, verdict.error.ToString());
      if (retries) a.log->Write(clock_.WallNow(), LogFile::kEngineLevel, "again in " + HumanDuration(delay));
      n.result.log_tail = a.log->Tail();
    }
    AttemptEnd end =
        EndOf(a, interrupted ? AttemptStatus::kInterrupted : AttemptStatus::kFailed, verdict.error);
    if (retries) end.retry_at = clock_.WallNow() + delay;
    GF_CHECK_OK(store_.FinishAttempt(a.row, end));
    if (interrupted) {
      std::error_code ec;
      resumable_state_ |= !fs::is_empty(a.state_dir, ec) && !ec;
      self_interrupted_ |= !a.stop_asked;
    }
    Account(node);
    n.attempt.reset();
    n.key_lock.Release();
    if (interrupted) return Complete(node, StageStatus::kInterrupted, Finished::kInterrupted);
    if (retries) {
      observer_.StageRetries(stage.id, n.attempts, delay, verdict.error, clock_.Now());
      schedule_->Retry(node);
      WakeAt(node, clock_.Now() + delay);
      return Ok();
    }
    n.result.error = std::move(verdict.error);
    return Complete(node, StageStatus::kFailed, Finished::kFailed);
  }

  Status Complete(size_t node, StageStatus status, Finished how) {
    nodes_[node].result.status = status;
    observer_.StageFinished(nodes_[node].result, clock_.Now());
    return ReportSkipped(schedule_->Finish(node, how));
  }

  Status ReportSkipped(const std::vector<size_t>& skipped) {
    for (const size_t node : skipped) {
      StageResult& result = nodes_[node].result;
      result.status = StageStatus::kSkipped;
      result.reason = WhySkipped(node);
      AttemptEnd end;
      end.status = AttemptStatus::kSkipped;
      end.exit_code = -1;
      end.error_message = result.reason;
      GF_CHECK_OK(store_.RecordAttempt(Describe(node, nodes_[node].attempts + 1), end));
      observer_.StageFinished(result, clock_.Now());
    }
    return Ok();
  }

  std::string WhySkipped(size_t node) const {
    const auto cause = schedule_->cause(node);
    if (!cause) return "the run was stopped";
    if (*cause == node)
      return nodes_[node].why_not.empty() ? "its `if` is false: " + pipeline_.stages[node].condition
                                          : nodes_[node].why_not;
    return WhyNotStarted(schedule_->state(node), pipeline_.stages[*cause].id, schedule_->state(*cause));
  }

  // --- Timers ------------------------------------------------------------------------------------------

  void WakeAt(size_t node, double when) {
    nodes_[node].wake_at = when;
    timed_.insert(node);
  }

  double NextTimer() const {
    double next = metrics_since_ == kNever ? kNever : metrics_since_ + kMetricsFlush;
    for (const size_t node : timed_) {
      const Node& n = nodes_[node];
      next = std::min(next, n.wake_at);
      if (n.attempt) next = std::min({next, n.attempt->timeout_at, n.attempt->kill_at});
    }
    return next;
  }

  Status FireTimers() {
    const double now = clock_.Now();
    for (auto at = timed_.begin(); at != timed_.end();) {
      const size_t node = *at;
      Node& n = nodes_[node];
      if (now >= n.wake_at) {
        n.wake_at = kNever;
        schedule_->Release(node);
      }
      at = n.attempt || n.wake_at != kNever ? std::next(at) : timed_.erase(at);
      if (!n.attempt) continue;
      if (now >= n.attempt->timeout_at) {
        n.attempt->timeout_at = kNever;
        n.attempt->timed_out = true;
        n.attempt->kill_at = std::min(n.attempt->kill_at, now + options_.grace);
        executor_.Stop(static_cast<int>(node), StopKind::kAsk);
      }
      if (now >= n.attempt->kill_at) {
        n.attempt->kill_at = kNever;
        executor_.Stop(static_cast<int>(node), StopKind::kKill);
      }
    }
    if (now >= metrics_since_ + kMetricsFlush) {
      for (const size_t node : timed_) {
        if (nodes_[node].attempt) GF_CHECK_OK(FlushMetrics(node));
      }
      metrics_since_ = kNever;
    }
    return Ok();
  }

  Status FlushMetrics(size_t node) {
    auto& metrics = nodes_[node].attempt->metrics;
    if (metrics.empty()) return Ok();
    GF_CHECK_OK(store_.AddMetrics(facts_.run, pipeline_.stages[node].id, metrics));
    metrics.clear();
    return Ok();
  }

  const std::string& Id(int job) const { return pipeline_.stages[static_cast<size_t>(job)].id; }
  Attempt& Of(int job) { return *nodes_[static_cast<size_t>(job)].attempt; }

  const Pipeline& pipeline_;
  Store& store_;
  const RunOptions& options_;
  Executor& executor_;
  Clock& clock_;
  Observer& observer_;
  PipelineGraphs graphs_;
  CacheView cache_;
  const Masker masker_;
  Plan plan_;
  RunFacts facts_;
  FileLock pipeline_lock_;
  std::vector<Demand> demands_;
  std::optional<Schedule> schedule_;
  std::vector<Node> nodes_;
  uint64_t seen_ = 0;       // changes of the schedule that have been acted upon
  std::set<size_t> timed_;  // all nodes that have an attempt or wait for a time (and some that do no longer)
  // Nodes on the way from the end of their process to the commit: those being sealed are in none of these.
  std::vector<size_t> sealed_, syncing_, synced_;
  size_t sealing_ = 0;  // all of them
  double started_ = 0;
  double metrics_since_ = kNever;  // when the oldest metric that is not in the store came
  int signal_ = 0;                 // the first one
  bool resumable_state_ = false;   // an interrupted stage has left checkpoints
  bool self_interrupted_ = false;  // a stage stopped by itself and wants to be run again
};

}  // namespace

Result<RunReport> RunPipeline(const Pipeline& pipeline, Store& store, const RunOptions& options,
                              Executor& executor, Clock& clock, Observer& observer) {
  return Runner(pipeline, store, options, executor, clock, observer).Run();
}

}  // namespace genflow
