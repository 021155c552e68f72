// `genflow runs`: what has run.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <cstdio>
#include <memory>

#include "base/strings.h"
#include "cli/commands.h"
#include "cli/errors.h"
#include "cli/facts.h"
#include "cli/json_output.h"
#include "cli/markdown.h"
#include "cli/pager.h"
#include "cli/pipeline_options.h"
#include "cli/run_comparison.h"
#include "cli/run_metrics.h"
#include "cli/stage_origins.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "cli/times.h"

namespace genflow::cli {

namespace {

struct Options {
  std::string store, pipeline, status, tag, run;
  std::vector<std::string> runs, tags;
  int limit = 20;
  bool json = false, remove = false, no_pager = false;
};

Style StyleOf(const std::string& status) {
  if (status == "ok" || status == "run") return Style::kGreen;
  if (status == "failed" || status == "gated") return Style::kRed;
  if (status == "running" || status == "interrupted") return Style::kYellow;
  return Style::kDim;
}

int List(const Options& options) {
  auto store = OpenStore(options.store, true);
  if (!store.ok()) return Report(store.error());
  RunFilter filter;
  filter.pipeline = options.pipeline;
  filter.tag = options.tag;
  filter.limit = options.limit;
  if (!options.status.empty()) {
    filter.status = RunStatusFromName(options.status);
    if (!filter.status) {
      return Report(InvalidError("--status " + options.status + " is no status of a run",
                                 "it is one of running, ok, failed, gated, interrupted, recovered"));
    }
  }
  auto runs = store->ListRuns(filter);
  if (!runs.ok()) return Report(runs.error());
  if (options.json) {
    nlohmann::json out = nlohmann::json::array();
    for (const auto& run : *runs) out.push_back(ToJson(run));
    std::fputs(DumpPretty(out).c_str(), stdout);
    return kExitOk;
  }
  const bool color = DetectTerminal(STDOUT_FILENO).color;
  Table table({"run", "pipeline", "status", "started", "time", "ran", "cached", "failed", "skipped", "tags"},
              {Align::kLeft, Align::kLeft, Align::kLeft, Align::kLeft, Align::kRight, Align::kRight,
               Align::kRight, Align::kRight, Align::kRight});
  for (const auto& run : *runs) {
    const std::string status = RunStatusName(run.status);
    table.Add({run.id, run.pipeline, Styled(status, StyleOf(status), color), LocalTime(run.started),
               run.finished > run.started ? HumanDuration(run.finished - run.started) : "",
               std::to_string(run.stages_run), std::to_string(run.stages_cached),
               std::to_string(run.stages_failed), std::to_string(run.stages_skipped), Join(run.tags, " ")});
  }
  table.Fit(RoomForTables(), {"skipped", "failed", "cached", "tags", "ran", "time", "started"}, {"pipeline"});
  ShowText(table.empty() ? "no runs\n" : table.Render("", color), options.no_pager);
  return kExitOk;
}

int Show(const Options& options) {
  auto store = OpenStore(options.store, true);
  if (!store.ok()) return Report(store.error());
  auto id = store->ResolveRun(options.run.empty() ? "latest" : options.run);
  if (!id.ok()) return Report(id.error());
  auto run = store->GetRun(*id);
  if (!run.ok()) return Report(run.error());
  auto attempts = store->ListAttempts(*id);
  if (!attempts.ok()) return Report(attempts.error());
  if (options.json) {
    nlohmann::json out = ToJson(*run);
    out["attempts"] = nlohmann::json::array();
    for (const auto& attempt : *attempts) {
      out["attempts"].push_back(ToJson(attempt));
      AddOrigin(out["origins"], attempt.stage, &out["attempts"].back());
    }
    auto metrics = LastMetrics(*store, *attempts);
    if (!metrics.ok()) return Report(metrics.error());
    out["metrics"] = *std::move(metrics);
    std::fputs(DumpPretty(out).c_str(), stdout);
    return kExitOk;
  }
  const bool color = DetectTerminal(STDOUT_FILENO).color;
  const std::string status = RunStatusName(run->status);
  Facts facts;
  facts.Add("run", run->id);
  facts.Add("pipeline", run->pipeline + " (" + run->file + ")");
  facts.Add("status", Styled(status, StyleOf(status), color));
  facts.Add("started", LocalTime(run->started));
  facts.Add("time", run->finished > run->started ? HumanDuration(run->finished - run->started) : "");
  facts.Add("params", run->params_json);
  facts.Add("command", Join(run->argv, " "));
  facts.Add("tags", Join(run->tags, " "));
  std::string out = facts.Render() + "\n";
  Table table({"stage", "uses", "status", "attempt", "time", "memory", "outputs"},
              {Align::kLeft, Align::kLeft, Align::kLeft, Align::kRight, Align::kRight, Align::kRight});
  for (const auto& attempt : *attempts) {
    const std::string word = AttemptStatusName(attempt.status);
    std::vector<std::string> outputs;
    for (const auto& output : attempt.outputs)
      outputs.push_back(output.port + "=" + output.artifact.digest.substr(0, 12));
    const bool ran = attempt.status != AttemptStatus::kCached && attempt.status != AttemptStatus::kSkipped;
    table.Add(
        {attempt.stage, attempt.uses, Styled(word, StyleOf(word), color), std::to_string(attempt.attempt),
         ran && attempt.finished > attempt.started ? HumanDuration(attempt.finished - attempt.started) : "-",
         attempt.end.peak_rss_bytes > 0 ? HumanBytes(attempt.end.peak_rss_bytes) : "-", Join(outputs, " ")});
  }
  for (const auto& stage : run->stages) {
    if (std::any_of(attempts->begin(), attempts->end(), [&](const auto& a) { return a.stage == stage; }))
      continue;
    const std::string word = run->status == RunStatus::kRunning ? "waiting" : "not started";
    table.Add({stage, "", Styled(word, Style::kDim, color), "", "-", "-"});
  }
  table.Fit(RoomForTables(), {"outputs", "memory", "attempt", "uses", "time"}, {"stage"});
  out += table.Render("", color);
  for (const auto& attempt : *attempts) {
    const auto again = [&](const AttemptInfo& other) {
      return other.stage == attempt.stage && other.attempt > attempt.attempt &&
             other.end.error_message == attempt.end.error_message;
    };
    const bool told_later = std::any_of(attempts->begin(), attempts->end(), again);
    if (!attempt.end.error_message.empty() && attempt.status != AttemptStatus::kSkipped && !told_later) {
      const auto other = [&](const AttemptInfo& one) {
        return one.stage == attempt.stage && one.attempt != attempt.attempt;
      };
      const bool several = std::any_of(attempts->begin(), attempts->end(), other);
      out += "\n" + attempt.stage + (several ? ", attempt " + std::to_string(attempt.attempt) : "") + ": " +
             attempt.end.error_message + "\n";
      if (!attempt.end.error_hint.empty()) out += "  hint: " + attempt.end.error_hint + "\n";
    }
    if (!Trim(attempt.end.summary).empty()) {
      out += "\n" + Styled(attempt.stage, Style::kBold, color) + "\n" +
             RenderMarkdown(attempt.end.summary, "  ", color);
    }
  }
  ShowText(out, options.no_pager);
  return kExitOk;
}

int Remove(const Options& options) {
  auto store = OpenStore(options.store, false);
  if (!store.ok()) return Report(store.error());
  std::vector<std::string> removed;
  for (const auto& ref : options.runs) {
    auto id = store->ResolveRun(ref);
    if (!id.ok()) return Report(id.error());
    if (auto done = store->RemoveRun(*id); !done.ok()) return Report(done.error());
    removed.push_back(*id);
    if (!options.json) std::printf("removed %s\n", id->c_str());
  }
  if (options.json)
    std::fputs(DumpPretty({{"removed", removed}}).c_str(), stdout);
  else
    std::printf("`genflow gc` frees the artifacts that no other run uses\n");
  return kExitOk;
}

bool CanBeATag(const std::string& tag) {
  return !tag.empty() && tag.size() <= 100 && std::all_of(tag.begin(), tag.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_' || c == '.';
  });
}

// All of the tags, or none where one of them cannot be.
int Tag(const Options& options) {
  auto store = OpenStore(options.store, false);
  if (!store.ok()) return Report(store.error());
  auto id = store->ResolveRun(options.run);
  if (!id.ok()) return Report(id.error());
  auto run = store->GetRun(*id);
  if (!run.ok()) return Report(run.error());
  for (const auto& tag : options.tags) {
    if (!options.remove && !CanBeATag(tag))
      return Report(InvalidError("'" + tag + "' cannot be a tag", "use letters, digits, -, _ and ."));
    if (!options.remove) {
      auto hidden = store->RunHiddenBy(tag);
      if (!hidden.ok()) return Report(hidden.error());
      if (!hidden->empty())
        return Report(
            InvalidError("'" + tag + "' cannot be a tag: it names " + *hidden, "take another word"));
    }
    if (options.remove && std::find(run->tags.begin(), run->tags.end(), tag) == run->tags.end()) {
      const std::string all = run->tags.empty() ? "it has no tags" : "its tags: " + Join(run->tags, ", ");
      return Report(MakeError(Code::kNotFound, "run " + *id + " has no tag '" + tag + "'", all));
    }
  }
  for (const auto& tag : options.tags) {
    const auto done = options.remove ? store->UntagRun(*id, tag) : store->TagRun(*id, tag);
    if (!done.ok()) return Report(done.error());
  }
  run = store->GetRun(*id);
  if (!run.ok()) return Report(run.error());
  if (options.json)
    std::fputs(DumpPretty({{"run", run->id}, {"tags", run->tags}}).c_str(), stdout);
  else
    std::printf("%s: %s\n", id->c_str(), run->tags.empty() ? "no tags" : Join(run->tags, " ").c_str());
  return kExitOk;
}

}  // namespace

void AddRunsCommand(CLI::App& app, Action& action) {
  CLI::App* runs = app.add_subcommand("runs", "List, show, compare, measure, tag, move and remove runs");
  runs->require_subcommand(1);
  runs->footer("Examples:\n  genflow runs ls --status failed\n  genflow runs show");
  auto options = std::make_shared<Options>();

  CLI::App* list = runs->add_subcommand("ls", "List runs, the latest first");
  list->add_option("--pipeline", options->pipeline, "Only runs of this pipeline")->type_name("NAME");
  list->add_option("--status", options->status, "Only runs with this status")->type_name("STATUS");
  list->add_option("--tag", options->tag, "Only runs with this tag")->type_name("TAG");
  list->add_option("-n,--limit", options->limit, "At most this many; 0: all")
      ->capture_default_str()
      ->check(NotNegative());
  AddStoreOption(*list, options->store);
  list->add_flag("--json", options->json, "JSON on stdout");
  AddPagerOption(*list, &options->no_pager);
  list->footer("Example:\n  genflow runs ls --status failed");
  list->callback([&action, options] { action = [options] { return List(*options); }; });

  CLI::App* show = runs->add_subcommand("show", "Show one run with its stages");
  show->add_option("RUN", options->run, "An id, its beginning or its end, or 'latest'")
      ->default_str("latest");
  AddStoreOption(*show, options->store);
  show->add_flag("--json", options->json, "JSON on stdout");
  AddPagerOption(*show, &options->no_pager);
  show->footer("Examples:\n  genflow runs show\n  genflow runs show 20261124-1607-ab12 --json");
  show->callback([&action, options] { action = [options] { return Show(*options); }; });

  AddRunMetricsCommand(*runs, action);
  AddRunsDiffCommand(*runs, action);
  AddRunsCompareCommand(*runs, action);
  AddRunsArchiveCommands(*runs, action);

  CLI::App* tag =
      runs->add_subcommand("tag", "Tag a run: `runs ls --tag` finds it, `gc --keep-last` keeps it");
  tag->add_option("RUN", options->run, "An id, its beginning or its end, or 'latest'")->required();
  tag->add_option("TAG", options->tags, "Words of letters, digits, -, _ and .")->required();
  tag->add_flag("--remove", options->remove, "Take the tags away instead");
  AddStoreOption(*tag, options->store);
  tag->add_flag("--json", options->json, "JSON on stdout");
  tag->footer(
      "Examples:\n  genflow runs tag latest released\n  genflow runs tag --remove 20261124-1607-ab12 "
      "released");
  tag->callback([&action, options] { action = [options] { return Tag(*options); }; });

  CLI::App* remove = runs->add_subcommand("rm", "Remove runs with their logs; artifacts go with the next gc");
  remove->add_option("RUN", options->runs, "Runs to remove")->required();
  AddStoreOption(*remove, options->store);
  remove->add_flag("--json", options->json, "JSON on stdout");
  remove->footer("Example:\n  genflow runs rm 20261124-1607-ab12");
  remove->callback([&action, options] { action = [options] { return Remove(*options); }; });
}

}  // namespace genflow::cli
