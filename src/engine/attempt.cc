#include "engine/attempt.h"

#include <csignal>
#include <set>

#include "base/strings.h"
#include "config/placeholder.h"
#include "engine/condition.h"
#include "engine/fan_in.h"
#include "engine/resources.h"
#include "genflow/plugin.h"

namespace genflow {

namespace fs = std::filesystem;

std::vector<OutputSpec> OutputsOf(const StageSpec& stage) {
  std::vector<OutputSpec> out;
  if (stage.exec) {
    for (const auto& port : stage.exec->outputs) out.push_back({port.port, port.type, false});
  } else if (stage.info != nullptr) {
    for (const auto& port : stage.info->outputs) out.push_back({port.name, port.type, port.optional});
  }
  return out;
}

std::vector<InputUse> InputsOf(const StageSpec& stage, const KnownOutputs& known) {
  std::vector<InputUse> out;
  for (const auto* inputs : {&stage.inputs, &stage.expression_inputs}) {
    for (const auto& input : *inputs) {
      const auto it = known.find(input.Source());
      if (it == known.end()) continue;
      out.push_back({input.port, it->second.digest, it->second.type,
                     input.outside ? input.outside->label : input.Source()});
    }
  }
  return out;
}

Result<Job> MakeJob(const RunFacts& facts, const StageSpec& stage, int id, const StageKey& key,
                    const Attempt& attempt, const KnownOutputs& known) {
  const Pipeline& pipeline = *facts.pipeline;
  const PlaceholderLookup lookup = [&](const Placeholder& placeholder) -> Result<std::string> {
    if (placeholder.kind == Placeholder::Kind::kSecret) {
      const auto secret = pipeline.secrets.find(placeholder.name);
      if (secret != pipeline.secrets.end()) return secret->second.Reveal();
      return InvalidError("secret '" + placeholder.name + "' is not set");
    }
    const auto it = known.find(placeholder.stage + "." + placeholder.port);
    if (it != known.end()) return it->second.path().string();
    return InvalidError("'" + placeholder.stage + "' did not write its output '" + placeholder.port + "'");
  };

  Job job;
  job.id = id;
  job.stage = stage.id;
  job.cwd = FolderOf(pipeline, stage);
  job.memory_limit = stage.resources.memory.value_or(0);
  job.tag = facts.run + "/" + stage.id + "/" + std::to_string(attempt.number);
  // Of each process.
  const int64_t thread_count = std::max<int64_t>(1, attempt.grant.cpus / stage.resources.processes);
  const std::string threads = std::to_string(thread_count);
  job.env = {{"GENFLOW_RUN_ID", facts.run},
             {"GENFLOW_STAGE", stage.id},
             {"GENFLOW_PIPELINE", pipeline.name},
             {"GENFLOW_THREADS", threads}};
  if (!stage.exec) job.env["OMP_NUM_THREADS"] = threads;
  if (UsesGpuPool(stage)) {
    // Who names a GPU counts through all of them.
    const bool by_number = DemandOf(stage, {}).gpu.has_value();
    std::vector<std::string> gpus;
    for (const int gpu : by_number ? facts.gpus : attempt.grant.gpus) gpus.push_back(std::to_string(gpu));
    job.env["CUDA_VISIBLE_DEVICES"] = Join(gpus, ",");
  }
  for (const auto& [name, value] : stage.env) {
    GF_TRY(job.env[name], SubstitutePlaceholders(std::string_view(value), lookup));
  }

  const std::string scratch = attempt.staging ? attempt.staging->scratch().string() : std::string();
  if (stage.exec) {
    ExecRequest request;
    GF_TRY(request.run, SubstitutePlaceholders(std::string_view(stage.exec->run), lookup));
    std::map<std::string, std::vector<FanInEntry>> collected;
    for (const auto& input : stage.inputs) {
      const auto it = known.find(input.Source());
      if (it == known.end()) continue;
      if (input.collected)
        collected[input.port].push_back({input.source_stage, input.matrix, it->second});
      else
        request.inputs[input.port] = it->second.path().string();
    }
    for (const auto& [port, entries] : collected) {
      const fs::path folder = attempt.staging->scratch().parent_path() / "in" / port;
      GF_CHECK_OK(MakeFanIn(folder, entries));
      request.inputs[port] = folder.string();
    }
    request.outputs = attempt.output_paths;
    request.state_dir = attempt.state_dir;
    request.scratch_dir = scratch;
    job.request = std::move(request);
    return job;
  }

  StageRequest request;
  request.plugin = stage.info->plugin_file.string();
  request.plugin_digest = stage.info->plugin_digest;
  request.stage = stage.uses;
  GF_TRY(request.params, SubstitutePlaceholders(stage.with, lookup));
  std::vector<std::string> absent;
  for (const auto& input : stage.inputs) {
    const std::string source = input.Source();
    const auto it = known.find(source);
    if (it == known.end() && input.outside) absent.push_back(input.port);
    if (it == known.end()) continue;
    request.inputs.push_back(
        {input.port, it->second.type, it->second.path().string(), "sha256:" + it->second.digest, source});
  }
  request.outputs = attempt.output_paths;
  request.state_dir = attempt.state_dir;
  request.scratch_dir = scratch;
  request.threads = static_cast<int>(thread_count);
  request.processes = static_cast<int>(stage.resources.processes);
  request.info = {{"run_id", facts.run},       {"stage", stage.id}, {"pipeline", pipeline.name},
                  {"attempt", attempt.number}, {"key", key.key},    {"absent_inputs", absent}};
  if (const auto memory = stage.resources.memory) request.info["memory_limit"] = *memory;
  job.request = std::move(request);
  return job;
}

Verdict Judge(const StageSpec& stage, const Attempt& attempt, std::optional<int> outcome) {
  using Kind = Verdict::Kind;
  const auto failed = [](FailureCause cause, Error error, bool retry = true) {
    return Verdict{Kind::kFailed, std::move(error), retry, cause};
  };
  const ExitStatus& exit = attempt.exit;
  const bool broken = !attempt.broken.empty();
  // A command that was asked to stop may well end with 0, its work half done.
  const bool stopped = attempt.stop_asked || attempt.timed_out;
  if (!broken && (stage.exec ? exit.Succeeded() && !stopped : outcome == GF_OK && exit.Succeeded()))
    return {Kind::kSucceeded, {}, false};
  if (!broken && outcome == GF_GATE && exit.signal == 0) {
    Error error = attempt.failure.value_or(MakeError(Code::kGate, "the gate said no"));
    error.code = Code::kGate;
    return {Kind::kGated, std::move(error), false};
  }
  if (attempt.stop_asked) return {Kind::kInterrupted, {}, false};
  if (attempt.timed_out) {
    return failed(
        FailureCause::kTimeout,
        MakeError(Code::kExhausted, "ran longer than its timeout of " + HumanDuration(*stage.timeout),
                  "raise its `timeout:`"));
  }
  if (attempt.over_memory) {
    const std::string had = *attempt.over_memory == 0
                                ? "asked for more memory"
                                : "held " + HumanBytes(*attempt.over_memory) + " of memory, more";
    return failed(FailureCause::kMemory,
                  MakeError(Code::kExhausted,
                            "was killed: its processes " + had + " than its limit of " +
                                HumanBytes(*stage.resources.memory),
                            "raise `memory` in its `resources:`, or have it hold less at a time"));
  }
  if (broken) {
    return failed(FailureCause::kCrash,
                  MakeError(Code::kInternal, "its worker " + attempt.broken,
                            "a plugin must leave descriptor 3 alone; the log may say more"));
  }
  if (exit.signal == SIGKILL) {
    return failed(FailureCause::kMemory,
                  MakeError(Code::kExhausted, "was killed by signal 9 (Killed)",
                            "the system does that when memory runs out; its peak was " +
                                HumanBytes(exit.peak_rss_bytes)));
  }
  if (exit.signal != 0)
    return failed(FailureCause::kCrash, MakeError(Code::kInternal, "crashed: " + exit.ToString()));
  if (stage.exec)
    return failed(FailureCause::kExit,
                  MakeError(Code::kInvalid, "its command ended with " + exit.ToString()));
  if (!outcome) {
    return failed(
        FailureCause::kCrash,
        MakeError(Code::kInternal, "ended with " + exit.ToString() + " before it reported how it went",
                  "a stage returns from run(); it must not call exit()"));
  }
  if (outcome == GF_INTERRUPTED) {
    // Nobody has asked it to: it has lost a process, say. What it has saved is for a retry as for a later
    // run.
    return {Kind::kInterrupted, MakeError(Code::kBusy, "stopped before its end"), true, FailureCause::kCrash};
  }
  if (outcome == GF_OK || outcome == GF_GATE) {
    return failed(FailureCause::kCrash,
                  MakeError(Code::kInternal, "ended with " + exit.ToString() + " after it reported success"));
  }
  Error error = attempt.failure.value_or(MakeError(Code::kInternal, "failed without saying why"));
  const bool retry = error.code != Code::kInvalid && error.code != Code::kUnsupported;
  const auto cause = error.code == Code::kExhausted ? FailureCause::kMemory : FailureCause::kError;
  return failed(cause, std::move(error), retry);
}

Status CheckOutputs(const StageSpec& stage, const Attempt& attempt) {
  std::set<fs::path> declared, folders;
  for (const auto& output : attempt.outputs) {
    const fs::path path = attempt.output_paths.at(output.port);
    declared.insert(path);
    folders.insert(path.parent_path());
    std::error_code ec;
    if (output.optional || fs::symlink_status(path, ec).type() != fs::file_type::not_found) continue;
    return InvalidError("did not write its output '" + output.port + "'",
                        stage.exec ? "make a file or a folder at $" + PortVariable("OUT", output.port) : "");
  }
  for (const auto& folder : folders) {
    std::error_code ec;
    for (fs::directory_iterator it(folder, ec), end; !ec && it != end; it.increment(ec)) {
      if (declared.count(it->path()) != 0) continue;
      const std::string extra = it->path().filename().string();
      return InvalidError("wrote '" + extra + "' beside its outputs, which is none of them",
                          "declare it under `out:`, or write it to $GENFLOW_SCRATCH_DIR");
    }
  }
  return Ok();
}

std::map<std::string, double> SealedMetrics(const StageSpec& stage, const Attempt& attempt) {
  if (!stage.exec) return {};
  std::vector<PortArtifact> out;
  for (const auto& output : attempt.outputs) {
    PortArtifact sealed;
    sealed.port = output.port;
    sealed.artifact.type = output.type;
    sealed.artifact.outside = attempt.output_paths.at(output.port);
    std::error_code ec;
    sealed.artifact.is_tree = fs::is_directory(sealed.artifact.outside, ec);
    out.push_back(std::move(sealed));
  }
  auto metrics = ReportedMetrics(stage.id, out);
  return metrics.ok() ? *std::move(metrics) : std::map<std::string, double>();
}

AttemptEnd EndOf(const Attempt& a, AttemptStatus status, const Error& error) {
  AttemptEnd end;
  end.status = status;
  end.exit_code = a.exit.signal != 0 ? -1 : a.exit.code;
  end.exit_signal = a.exit.signal;
  if (status != AttemptStatus::kRun && status != AttemptStatus::kInterrupted) {
    end.error_code = CodeName(error.code);
    end.error_message = error.message;
    end.error_hint = error.hint;
  }
  end.summary = a.summary;
  end.peak_rss_bytes = a.exit.peak_rss_bytes;
  end.cpu_seconds = a.exit.cpu_seconds;
  return end;
}

}  // namespace genflow
