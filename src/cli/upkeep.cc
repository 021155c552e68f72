// `genflow fsck` and `genflow gc`.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "base/strings.h"
#include "cli/commands.h"
#include "cli/errors.h"
#include "cli/json_output.h"
#include "cli/pipeline_options.h"
#include "cli/terminal.h"

namespace genflow::cli {

namespace {

struct FsckArguments {
  std::string store;
  bool repair = false, fast = false, json = false;
};

int Fsck(const FsckArguments& arguments) {
  auto store = OpenStore(arguments.store, !arguments.repair);
  if (!store.ok()) return Report(store.error());
  FsckOptions options;
  options.repair = arguments.repair;
  options.hash = !arguments.fast;
  const bool live = !arguments.json && DetectTerminal(STDERR_FILENO).interactive;
  if (live) {
    options.progress = [](uint64_t done, uint64_t total) {
      std::fprintf(stderr, "\r\x1b[Kchecking %s of %s", HumanBytes(done).c_str(), HumanBytes(total).c_str());
    };
  }
  auto report = store->Fsck(options);
  if (live) std::fputs("\r\x1b[K", stderr);
  if (!report.ok()) return Report(report.error());
  bool whole = true;
  for (const auto& problem : report->problems)
    whole &= problem.repaired || problem.kind == FsckKind::kLeftover;
  if (arguments.json) {
    std::fputs(DumpPretty(ToJson(*report)).c_str(), stdout);
    return whole ? kExitOk : kExitFailed;
  }
  for (const auto& problem : report->problems) {
    std::printf("%s %s: %s%s\n", FsckKindName(problem.kind), problem.subject.c_str(), problem.detail.c_str(),
                problem.repaired ? " (repaired)" : "");
    for (const auto& dependent : problem.dependents) std::printf("  used by %s\n", dependent.c_str());
  }
  std::printf("%s: %s objects, %s files, %s checked\n",
              report->clean() ? "clean"
              : whole         ? "repaired"
                              : "damaged",
              WithCommas(static_cast<int64_t>(report->objects)).c_str(),
              WithCommas(static_cast<int64_t>(report->files)).c_str(), HumanBytes(report->bytes).c_str());
  if (!whole)
    std::printf("  hint: `genflow fsck --repair` sets damaged objects aside; their stages run again\n");
  return whole ? kExitOk : kExitFailed;
}

struct GcArguments {
  std::string store;
  int keep_last = 0;
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
  auto report = store->Gc(options);
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
  std::printf("%s %s; %s objects stay, %s\n", report->dry_run ? "would free" : "freed",
              HumanBytes(report->TotalBytes()).c_str(),
              WithCommas(static_cast<int64_t>(report->kept_objects)).c_str(),
              HumanBytes(report->kept_bytes).c_str());
  return kExitOk;
}

}  // namespace

void AddFsckCommand(CLI::App& app, Action& action) {
  CLI::App* fsck = app.add_subcommand("fsck", "Check every byte of the store");
  auto arguments = std::make_shared<FsckArguments>();
  fsck->add_flag("--repair", arguments->repair, "Set damaged objects aside and drop what leads to them");
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
  gc->add_option("--keep-last", arguments->keep_last,
                 "First remove all runs but this many of each pipeline (tagged ones stay)")
      ->check(AtLeastOne());
  AddStoreOption(*gc, arguments->store);
  gc->add_flag("--json", arguments->json, "JSON on stdout");
  gc->footer("Example:\n  genflow gc --keep-last 10 --dry-run");
  gc->callback([&action, arguments] { action = [arguments] { return Gc(*arguments); }; });
}

}  // namespace genflow::cli
