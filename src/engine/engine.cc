#include "engine/engine.h"

#include <algorithm>
#include <csignal>
#include <memory>
#include <set>

#include "base/strings.h"
#include "engine/attempt.h"
#include "engine/cache_view.h"
#include "engine/condition.h"
#include "engine/input_check.h"
#include "engine/late_rows.h"
#include "engine/node.h"
#include "engine/report_lines.h"
#include "engine/resources.h"
#include "engine/run_start.h"

namespace genflow {

namespace fs = std::filesystem;

namespace {

// A stage whose key is being computed by another run is looked at again after this many seconds.
constexpr double kKeyPoll = 0.2;
constexpr double kMetricsFlush = 1.0;
constexpr size_t kMetricsBatch = 1000;

// Attempts whose outputs may be on their way to the disk at once: they hold no CPU.
constexpr size_t kMaxSealing = 64;

// The background job that brings sealed outputs to the disk; the others have their node's number.
constexpr int kSyncJob = -1;

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
        late_(store, clock, observer, options.store_patience_ms),
        nodes_(pipeline.stages.size()) {}

  Result<RunReport> Run() {
    auto report = Loop();
    if (!report.ok()) return Abandon(std::move(report).error());
    return report;
  }

 private:
  Result<RunReport> Loop() {
    GF_CHECK_OK(Begin());
    while (true) {
      GF_CHECK_OK(StartWhatFits());
      GF_TRY(const bool written, WriteRows());
      if (written && schedule_->done()) return End();
      if (signal_ != 0 && late_.Locked() && AllWaitForTheStore()) return late_.StillLocked();
      const double tick_at = observer_.Tick(clock_.Now());
      // What goes to the disk goes together with whatever else has come so far.
      const bool disk_waits = (!synced_.empty() && !late_.Locked()) || (!sealed_.empty() && syncing_.empty());
      Event event = executor_.Wait(disk_waits ? clock_.Now() : std::min(tick_at, NextTimer()));
      GF_CHECK_OK(std::visit([this](auto& e) { return Handle(e); }, event));
      if (std::holds_alternative<event::Deadline>(event) || sealing_ >= kMaxSealing) {
        SyncSealed();
        GF_CHECK_OK(CommitSynced());
      }
      GF_CHECK_OK(FireTimers());
    }
  }

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
    const RunStart start = StartOf(pipeline_, file, plan_.order, options_.argv, masker_);
    GF_TRY(facts_.run, store_.StartRun(start));
    const RunHeader header{facts_.run, pipeline_.name, store_.root(), start.stages};
    GF_CHECK_OK(store_.DescribePipelineLock(pipeline_lock_, file, facts_.run));
    facts_.pipeline = &pipeline_;
    facts_.gpus = options_.pools.gpus;
    for (const auto& notice : store_.notices()) observer_.Notice(notice);

    for (size_t node = 0; node < nodes_.size(); ++node) {
      demands_.push_back(DemandOf(pipeline_.stages[node], options_.pools));
      nodes_[node].result.stage = pipeline_.stages[node].id;
      nodes_[node].result.uses = pipeline_.stages[node].uses;
    }
    ScheduleOptions schedule_options;
    schedule_options.keep_going = options_.keep_going;
    for (const auto& stage : pipeline_.stages) schedule_options.tolerant.push_back(AsksHowItWent(stage));
    if (options_.jobs) schedule_options.max_running = *options_.jobs;
    schedule_.emplace(graphs_.order, plan_, demands_, options_.pools, schedule_options);

    observer_.RunStarted(header, started_);
    return ReportSkipped(schedule_->initially_skipped());
  }

  Result<RunReport> End() {
    RunReport report;
    report.run = facts_.run;
    report.pipeline = pipeline_.name;
    for (size_t node = 0; node < nodes_.size(); ++node) {
      if (plan_.roles[node] != Role::kIgnored) report.stages.push_back(std::move(nodes_[node].result));
    }
    report.resumable = resumable_state_;
    Conclude(&report, signal_, self_interrupted_);
    GF_CHECK_OK(store_.FinishRun(facts_.run, report.status));
    report.seconds = clock_.Now() - started_;
    observer_.RunFinished(report, started_ + report.seconds);
    return report;
  }

  // The store no longer takes what the run has to say. What runs has the grace to save its state; the end of
  // the run is written if that can be.
  Error Abandon(Error error) {
    std::vector<int> running;
    for (size_t node = 0; node < nodes_.size(); ++node) {
      if (nodes_[node].attempt && nodes_[node].attempt->running) running.push_back(static_cast<int>(node));
    }
    StopJobs(executor_, clock_, running, options_.grace);
    executor_.Join();
    if (facts_.run.empty()) return error;
    (void)store_.FinishRun(facts_.run, RunStatus::kFailed);
    // Stages may have run: this is no refusal to start.
    if (error.code == Code::kInvalid || error.code == Code::kNotFound || error.code == Code::kBusy)
      error.code = Code::kIo;
    return error;
  }

  // False where some have to wait.
  Result<bool> WriteRows() {
    if (late_.empty() && !schedule_->done()) return true;
    GF_TRY(const auto group, late_.Begin());
    if (!group) return false;
    GF_CHECK_OK(group->End());
    return true;
  }

  // Nothing is left to be done but to record what was.
  bool AllWaitForTheStore() const { return schedule_->running() == 0 && sealing_ == synced_.size(); }

  // --- Start what fits ---------------------------------------------------------------------------------

  Status StartWhatFits() {
    while (schedule_->changes() != seen_ && sealing_ < kMaxSealing) {
      GF_TRY(const auto group, late_.Begin());
      if (!group) return Ok();
      seen_ = schedule_->changes();
      for (auto fresh = schedule_->TakeFresh(); !fresh.empty(); fresh = schedule_->TakeFresh()) {
        for (const size_t node : fresh) {
          if (schedule_->state(node) == NodeState::kReady) GF_CHECK_OK(DecideIf(node));
          if (schedule_->state(node) == NodeState::kReady) GF_CHECK_OK(TakeFromCache(node));
        }
      }
      std::optional<size_t> node;
      while (schedule_->HasRoom() && (node = schedule_->NextReady(node))) {
        if (!nodes_[*node].looked_up) continue;  // has become ready in this loop
        if (auto grant = schedule_->TryStart(*node, schedule_->CpuShare(*node)))
          GF_CHECK_OK(StartAttempt(*node, *std::move(grant)));
      }
      GF_CHECK_OK(group->End());
      for (const size_t started : std::exchange(launching_, {})) GF_CHECK_OK(Launch(started));
    }
    return Ok();
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
      for (const auto& output : nodes_[*pipeline_.IndexOf(id)].result.outputs) {
        if (output.port == port) return output.artifact.path().string();
      }
      return std::nullopt;
    };
    out.metrics = [this](const std::string& id) -> Result<std::map<std::string, double>> {
      Node& n = nodes_[*pipeline_.IndexOf(id)];
      if (!n.known_metrics) {
        GF_TRY(n.known_metrics, MetricsOf(store_, n.made_by_run, n.made_by_stage, n.result.outputs.all()));
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
      GF_TRY(auto found, cache_.Find(node));
      if (found.hit) GF_CHECK_OK(TakeHit(node, *found.hit));
      if (IsFinal(schedule_->state(node))) return Ok();
      n.lookup_problem = found.problem;
    }
    if (plan_.roles[node] == Role::kReuse) {
      return FailBeforeStart(node, MakeError(Code::kNotFound,
                                             "comes before --from and is not in the cache: " +
                                                 cache_.WhyNotCached(node, n.lookup_problem, 1),
                                             "run with --from " + stage.id + ", or without --from"));
    }
    if (auto unfit = WhyUnfit(demands_[node], options_.pools)) {
      return FailBeforeStart(
          node, MakeError(Code::kUnsupported, *unfit, "lower its `resources:`, or run on a larger machine"));
    }
    return Ok();
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
    Attempt none;
    none.exit.code = -1;
    GF_CHECK_OK(
        store_.RecordAttempt(Describe(node, n.attempts + 1), EndOf(none, AttemptStatus::kFailed, error)));
    n.result.error = error;
    n.key_lock.Release();
    return Complete(node, StageStatus::kFailed, Finished::kFailed);
  }

  // The node has its resources. Another run may hold the key: then it gives them back and waits.
  Status StartAttempt(size_t node, Grant grant) {
    Node& n = nodes_[node];
    const auto& stage = pipeline_.stages[node];
    auto key_of_now = cache_.KeyOfNow(node);
    if (!key_of_now.ok()) return FailBeforeStart(node, key_of_now.error());
    const StageKey& key = *key_of_now;
    n.result.key = key.key;
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
        GF_TRY(const auto found, cache_.Find(node));
        if (found.hit) {
          GF_CHECK_OK(TakeHit(node, *found.hit));
          if (IsFinal(schedule_->state(node))) return Ok();
        }
      }
    }
    std::string reason = n.attempts > 0                      ? "attempt " + std::to_string(n.attempts + 1)
                         : plan_.roles[node] == Role::kForce ? "forced"
                         : n.reacts                          ? "its `if` is true: " + stage.condition
                                                             : cache_.WhyNotCached(node, n.lookup_problem);
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
    if (auto prepared = Prepare(node, key); !prepared.ok()) return FailAttempt(node, prepared.error());
    if (stage.timeout) a.timeout_at = a.started + *stage.timeout;
    a.log->Write(clock_.WallNow(), LogFile::kEngineLevel,
                 stage.uses + ", attempt " + std::to_string(a.number) + ", key " + key.key.substr(0, 12) +
                     ": " + reason);
    observer_.StageStarted({stage.id, stage.uses, a.number, 1 + stage.retries, reason,
                            static_cast<int>(std::max<int64_t>(1, a.grant.cpus)), a.grant.gpus, log_path},
                           a.started);
    launching_.push_back(node);
    return Ok();
  }

  // Folders, log and job of the attempt.
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
    GF_TRY(a.job, MakeJob(facts_, pipeline_.stages[node], static_cast<int>(node), key, a, cache_.outputs()));
    return Ok();
  }

  // Its process, once its row is in the store: it may fill the disk.
  Status Launch(size_t node) {
    Attempt& a = *nodes_[node].attempt;
    const Status started = executor_.Start(a.job);
    a.running = started.ok();
    return a.running ? Ok() : FailAttempt(node, started.error());
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
    start.inputs = InputsOf(stage, cache_.outputs());
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
    if (metrics.size() >= kMetricsBatch) FlushMetrics(static_cast<size_t>(e.job));
    return Ok();
  }

  Status Handle(const event::Log& e) {
    const bool output = e.level == LogFile::kOutputLevel;
    ShowLog(e.job, masker_.Mask(e.level),
            output ? Of(e.job).output->Add(e.text, e.text.size() >= kMaxOutputLine) : masker_.Mask(e.text));
    return Ok();
  }

  void ShowLog(int job, const std::string& level, const std::string& text) {
    const std::string written = Of(job).log->Write(clock_.WallNow(), level, text);
    observer_.Log({Id(job), level, written}, clock_.Now());
  }

  Status Handle(const event::Summary& e) {
    Of(e.job).summary = CleanText(masker_.Mask(e.text));
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
    a.running = false;
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
    if (auto checked = CheckOutputs(pipeline_.stages[node], a); !checked.ok())
      return FailAttempt(node, checked.error());
    if (auto checked = CheckWhatItRead(node); !checked.ok()) return FailAttempt(node, checked.error());
    a.verdict = verdict;
    schedule_->Vacate(node);
    ++sealing_;
    if (a.outputs.empty()) {
      synced_.push_back(node);
      return Ok();
    }
    GF_TRY(const auto key, cache_.Key(node));
    const auto& stage = pipeline_.stages[node];
    const Origin origin{facts_.run, pipeline_.name, stage.id, stage.uses, a.keyless ? "" : key.key,
                        a.number,   !IsGated(a)};
    executor_.Background(e.job, [&a, origin] { return a.staging->Seal(a.outputs, origin); });
    return Ok();
  }

  // Files that changed while the stage ran are not those of its key: its outputs are used in this run, and
  // answer to no key.
  Status CheckWhatItRead(size_t node) {
    Attempt& a = *nodes_[node].attempt;
    const auto& stage = pipeline_.stages[node];
    GF_TRY(const auto key, cache_.Key(node));
    GF_TRY(const std::string changed, CheckInputs(stage, key, cache_.outputs(), store_));
    if (changed.empty()) return Ok();
    a.keyless = true;
    const std::string said = masker_.Mask(changed + " while it ran: the next run repeats it");
    a.log->Write(clock_.WallNow(), LogFile::kEngineLevel, said);
    observer_.Notice(stage.id + ": " + said);
    late_.Add([this, row = a.row] { return store_.ClearKey(row); });
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
    for (const auto& [name, value] : SealedMetrics(pipeline_.stages[node], Of(e.job)))
      GF_CHECK_OK(Handle(event::Metric{e.job, name, value, -1}));
    sealed_.push_back(node);
    return Ok();
  }

  Status EndSealing(size_t node, const Error& error) {
    --sealing_;
    return FailAttempt(node, error);
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
    if (synced_.empty() || late_.Locked()) return Ok();
    for (const size_t node : synced_) FlushMetrics(node);
    GF_TRY(const bool written, WriteRows());
    if (!written) return Ok();
    const std::vector<size_t> nodes = std::exchange(synced_, {});
    std::vector<Store::Pending> pending;
    for (const size_t node : nodes) {
      Attempt& a = *nodes_[node].attempt;
      CommitRequest request;
      request.attempt = a.row;
      request.outputs = a.outputs;
      request.end = EndOf(a, IsGated(a) ? AttemptStatus::kGated : AttemptStatus::kRun, a.verdict.error);
      request.cache = !IsGated(a);
      pending.push_back({*std::move(a.staging), std::move(request)});
    }
    auto committed = late_.Commit(&pending);
    if (!committed) {
      for (size_t i = 0; i < nodes.size(); ++i)
        nodes_[nodes[i]].attempt->staging = std::move(pending[i].staging);
      synced_ = nodes;
      return Ok();
    }
    for (size_t i = 0; i < nodes.size(); ++i) GF_CHECK_OK(EndCommitted(nodes[i], std::move((*committed)[i])));
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
    cache_.SetOutputs(node, n.result.outputs.all());
    n.attempt.reset();
    n.key_lock.Release();
    if (!gated) return Complete(node, StageStatus::kRan, Finished::kSucceeded);
    n.result.error = said;
    return Complete(node, StageStatus::kGated, Finished::kGateFailed);
  }

  // It failed, and trying again would not help.
  Status FailAttempt(size_t node, const Error& error) {
    return EndAttempt(node, {Verdict::Kind::kFailed, error, false});
  }

  // The attempt leaves no outputs: it failed or was interrupted, and may be tried again.
  Status EndAttempt(size_t node, Verdict verdict) {
    Node& n = nodes_[node];
    Attempt& a = *n.attempt;
    verdict.error = masker_.Mask(std::move(verdict.error));
    verdict.error.message = CleanText(verdict.error.message);
    verdict.error.hint = CleanText(verdict.error.hint);
    a.staging.reset();  // on a full disk this makes room for what follows
    const bool interrupted = verdict.kind == Verdict::Kind::kInterrupted;
    const auto& stage = pipeline_.stages[node];
    const bool retries = verdict.retry_may_help && RetriesOn(stage, verdict.cause, a.exit.code) &&
                         n.attempts <= stage.retries && !schedule_->stopped(node);
    const double delay = RetryDelay(stage, facts_.run, n.attempts);
    FlushMetrics(node);
    if (a.log) {  // whole before the end is recorded: who follows it stops there
      if (!interrupted) a.log->Write(clock_.WallNow(), LogFile::kEngineLevel, verdict.error.ToString());
      if (retries) a.log->Write(clock_.WallNow(), LogFile::kEngineLevel, "again in " + HumanDuration(delay));
      n.result.log_tail = a.log->Tail();
    }
    AttemptEnd end =
        EndOf(a, interrupted ? AttemptStatus::kInterrupted : AttemptStatus::kFailed, verdict.error);
    if (retries) end.retry_at = clock_.WallNow() + delay;
    late_.Add([this, row = a.row, end] { return store_.FinishAttempt(row, end); });
    if (interrupted && !retries) {
      std::error_code ec;
      resumable_state_ |= !fs::is_empty(a.state_dir, ec) && !ec;
      self_interrupted_ |= !a.stop_asked;
    }
    Account(node);
    n.attempt.reset();
    n.key_lock.Release();
    if (interrupted && !retries) return Complete(node, StageStatus::kInterrupted, Finished::kInterrupted);
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
      late_.Add([this, start = Describe(node, nodes_[node].attempts + 1), end]() -> Status {
        auto recorded = store_.RecordAttempt(start, end);
        return recorded.ok() ? Ok() : Status(recorded.error());
      });
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
    if (late_.Locked()) next = std::min(next, late_.NextTry());
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
        if (nodes_[node].attempt) FlushMetrics(node);
      }
      metrics_since_ = kNever;
    }
    return Ok();
  }

  void FlushMetrics(size_t node) {
    auto& metrics = nodes_[node].attempt->metrics;
    if (metrics.empty()) return;
    late_.Add([this, node, points = std::exchange(metrics, {})] {
      return store_.AddMetrics(facts_.run, pipeline_.stages[node].id, points);
    });
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
  LateRows late_;  // that do not hold up the run
  Plan plan_;
  RunFacts facts_;
  FileLock pipeline_lock_;
  std::vector<Demand> demands_;
  std::optional<Schedule> schedule_;
  std::vector<Node> nodes_;
  uint64_t seen_ = 0;       // changes of the schedule that have been acted upon
  std::set<size_t> timed_;  // all nodes that have an attempt or wait for a time (and some that do no longer)
  std::vector<size_t> launching_;  // whose attempt has begun, and whose process is to be started
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
