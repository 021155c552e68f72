// `genflow fsck` and `genflow gc`.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>

#include "base/strings.h"
#include "cli/commands.h"
#include "cli/errors.h"
#include "cli/json_output.h"
#include "cli/pipeline_options.h"
#include "cli/progress_line.h"
#include "cli/terminal.h"
#include "cli/workspace.h"

namespace genflow::cli {

namespace {

struct FsckArguments {
  std::string store;
  bool repair = false, rebuild = false, fast = false, json = false;
};

// Whether SQLite or the rows themselves tell of damage in store.db.
Result<bool> DatabaseIsSound(Store& store) {
  FsckOptions options;
  options.hash = false;
  auto report = store.Fsck(options);
  if (!report.ok() && report.error().code == Code::kCorrupt) return false;
  if (!report.ok()) return report.error();
  return std::none_of(report->problems.begin(), report->problems.end(),
                      [](const FsckProblem& problem) { return problem.kind == FsckKind::kDatabase; });
}

// Opens the store, its store.db made anew from the objects where it is missing or damaged. A sound one is
// kept: the history of runs is in it alone.
Result<Store> OpenRebuilt(const std::string& option) {
  GF_TRY(const auto root, StoreFolder(option));
  StoreOptions options;
  options.create = false;
  {
    auto store = Store::Open(root, options);
    if (!store.ok() && store.error().code != Code::kCorrupt) return store.error();
    if (store.ok()) {
      GF_TRY(const bool sound, DatabaseIsSound(*store));
      if (sound) {
        ShowNotices(*store);
        if (store->notices().empty())
          std::fprintf(stderr, "notice: %s is sound and stays: a new one would lose the history of runs\n",
                       (store->root() / "store.db").c_str());
        return store;
      }
    }
  }
  auto store = Store::Rebuild(root);
  if (store.ok()) ShowNotices(*store);
  return store;
}

// What helps against problems of this kind; "" where `--repair` does nothing or has done it.
std::string FsckHint(const FsckReport& report) {
  const auto has = [&report](std::initializer_list<FsckKind> kinds) {
    return std::any_of(report.problems.begin(), report.problems.end(), [&](const FsckProblem& problem) {
      return !problem.repaired && std::find(kinds.begin(), kinds.end(), problem.kind) != kinds.end();
    });
  };
  std::string out;
  if (has({FsckKind::kDatabase}))
    out += "  hint: `genflow fsck --rebuild` makes a new store.db from the objects\n";
  if (has({FsckKind::kDamagedObject, FsckKind::kMissingObject}))
    out += "  hint: `genflow fsck --repair` sets damaged objects aside; their stages run again\n";
  if (has({FsckKind::kDamagedSidecar})) out += "  hint: `genflow fsck --repair` writes object.json anew\n";
  if (has({FsckKind::kForeignFile})) out += "  hint: move what does not belong in the store out of it\n";
  if (has({FsckKind::kUnregisteredObject, FsckKind::kLeftover}))
    out += "  hint: `genflow gc` frees what a stopped process left behind; it does no harm\n";
  return out;
}

int ShowFsckReport(const FsckReport& report, bool json) {
  const int code = report.clean() ? kExitOk : kExitFailed;
  if (json) {
    std::fputs(DumpPretty(ToJson(report)).c_str(), stdout);
    return code;
  }
  for (const auto& problem : report.problems) {
    std::printf("%s %s: %s%s\n", FsckKindName(problem.kind), problem.subject.c_str(), problem.detail.c_str(),
                problem.repaired ? " (repaired)" : "");
    for (const auto& dependent : problem.dependents) std::printf("  used by %s\n", dependent.c_str());
  }
  const bool repaired = std::any_of(report.problems.begin(), report.problems.end(),
                                    [](const FsckProblem& problem) { return problem.repaired; });
  std::printf("%s: %s, %s, %s checked\n",
              !report.clean() ? "damaged"
              : repaired      ? "repaired"
                              : "clean",
              Counted(report.objects, "object").c_str(), Counted(report.files, "file").c_str(),
              HumanBytes(report.bytes).c_str());
  std::fputs(FsckHint(report).c_str(), stdout);
  return code;
}

// A store.db that cannot be read at all: a report with that one problem where a machine asked for one.
int ReportFsckError(const Error& error, bool json) {
  if (!json || error.code != Code::kCorrupt) return Report(error);
  FsckReport report;
  report.problems.push_back({FsckKind::kDatabase, "store.db", error.message, {}, false});
  return ShowFsckReport(report, true);
}

int Fsck(const FsckArguments& arguments) {
  auto store =
      arguments.rebuild ? OpenRebuilt(arguments.store) : OpenStore(arguments.store, !arguments.repair);
  if (!store.ok()) return ReportFsckError(store.error(), arguments.json);
  FsckOptions options;
  options.repair = arguments.repair;
  options.hash = !arguments.fast;
  const bool live = !arguments.json && DetectTerminal(STDERR_FILENO).interactive;
  if (live) {
    options.progress = [line = ProgressLine()](uint64_t done, uint64_t total) mutable {
      line.Show("checking", done, total, HumanBytes(done) + " of " + HumanBytes(total));
    };
  }
  auto report = store->Fsck(options);
  if (live) std::fputs("\r\x1b[K", stderr);
  if (!report.ok()) return ReportFsckError(report.error(), arguments.json);
  return ShowFsckReport(*report, arguments.json);
}

struct GcArguments {
  std::string store;
  int keep_last = 0, keep_days = 0;
  bool dry_run = false, json = false;
};

void PrintItems(const char* what, const std::vector<GcItem>& items) {
  for (const auto& item : items) {
    const bool digest = item.name.size() == 64;
    std::printf("%s  %s  %s  %s\n", what, digest ? item.name.substr(0, 12).c_str() : item.name.c_str(),
                HumanBytes(item.bytes).c_str(), item.what.c_str());
  }
}

int Gc(const GcArguments& arguments) {
  auto store = OpenStore(arguments.store, false);
  if (!store.ok()) return Report(store.error());
  GcOptions options;
  options.dry_run = arguments.dry_run;
  options.keep_last = arguments.keep_last;
  options.keep_age = 86400.0 * arguments.keep_days;
  const bool live = !arguments.json && DetectTerminal(STDERR_FILENO).interactive;
  if (live) {
    options.progress = [line = ProgressLine()](const char* doing, uint64_t done, uint64_t total) mutable {
      line.Show(doing, done, total,
                WithCommas(static_cast<int64_t>(done)) + " of " + Counted(total, "object"));
    };
  }
  auto report = store->Gc(options);
  if (live) std::fputs("\r\x1b[K", stderr);
  if (!report.ok()) return Report(report.error());
  if (arguments.json) {
    std::fputs(DumpPretty(ToJson(*report)).c_str(), stdout);
    return kExitOk;
  }
  PrintItems("run", report->runs);
  PrintItems("object", report->objects);
  PrintItems("unregistered", report->unregistered);
  PrintItems("staging", report->staging);
  PrintItems("state", report->state);
  PrintItems("quarantine", report->quarantine);
  PrintItems("log", report->logs);
  std::printf("%s %s; %s stay%s, %s\n", report->dry_run ? "would free" : "freed",
              HumanBytes(report->TotalBytes()).c_str(), Counted(report->kept_objects, "object").c_str(),
              report->kept_objects == 1 ? "s" : "", HumanBytes(report->kept_bytes).c_str());
  return kExitOk;
}

}  // namespace

void AddFsckCommand(CLI::App& app, Action& action) {
  CLI::App* fsck = app.add_subcommand("fsck", "Check every byte of the store");
  auto arguments = std::make_shared<FsckArguments>();
  fsck->add_flag("--repair", arguments->repair, "Set damaged objects aside and drop what leads to them");
  fsck->add_flag("--rebuild", arguments->rebuild,
                 "Make a new store.db from the objects, if it is missing or damaged");
  fsck->add_flag("--fast", arguments->fast, "Compare sizes and times, without reading the files");
  AddStoreOption(*fsck, arguments->store);
  fsck->add_flag("--json", arguments->json, "JSON on stdout");
  fsck->footer("Example:\n  genflow fsck --repair\n\nExit codes: 0 whole or repaired, 1 damaged.");
  fsck->callback([&action, arguments] { action = [arguments] { return Fsck(*arguments); }; });
}

void AddGcCommand(CLI::App& app, Action& action) {
  CLI::App* gc = app.add_subcommand("gc", "Free what no kept run reaches");
  auto arguments = std::make_shared<GcArguments>();
  gc->add_flag("-n,--dry-run", arguments->dry_run, "Say what would go, and remove nothing");
  gc->add_option(
        "--keep-last,--keep-runs", arguments->keep_last,
        "First remove all runs but this many of each pipeline (tagged ones and the last success stay)")
      ->check(AtLeastOne());
  gc->add_option("--keep-days", arguments->keep_days,
                 "First remove runs that are older, but the last one and the last success; with --keep-last, "
                 "what either keeps stays")
      ->check(AtLeastOne());
  AddStoreOption(*gc, arguments->store);
  gc->add_flag("--json", arguments->json, "JSON on stdout");
  gc->footer("Example:\n  genflow gc --keep-last 10 --dry-run\n  genflow gc --keep-days 30");
  gc->callback([&action, arguments] { action = [arguments] { return Gc(*arguments); }; });
}

}  // namespace genflow::cli
