// `genflow runs export` and `genflow runs import`: runs on their way to another store.
#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <memory>

#include "base/files.h"
#include "base/strings.h"
#include "cli/commands.h"
#include "cli/errors.h"
#include "cli/json_output.h"
#include "cli/new_output.h"
#include "cli/pipeline_options.h"
#include "cli/run_comparison.h"

namespace genflow::cli {

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

struct Options {
  std::string store, file;
  std::vector<std::string> runs;
  bool json = false;
};

int Export(const Options& options) {
  const bool to_pipe = options.file == "-";
  if (to_pipe && ::isatty(STDOUT_FILENO) != 0)
    return Report(
        InvalidError("-o - would write the archive to the terminal", "send it to a file or a pipe"));
  if (to_pipe && options.json)
    return Report(InvalidError("-o - and --json both want standard output", "write the archive to a file"));
  auto store = OpenStore(options.store, true);
  if (!store.ok()) return Report(store.error());
  std::vector<std::string> ids;
  for (const auto& ref : options.runs) {
    auto id = store->ResolveRun(ref);
    if (!id.ok()) return Report(id.error());
    ids.push_back(*id);
  }
  std::optional<NewOutput> file;
  Fd opened;
  if (!to_pipe) {
    auto created = NewOutput::Create(options.file);
    if (!created.ok()) return Report(created.error());
    file.emplace(*std::move(created));
    opened = Fd(::open(file->partial().c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
    if (!opened.valid()) return Report(ErrnoError(options.file, errno));
  }
  auto report = store->ExportRuns(ids, file ? opened.get() : STDOUT_FILENO);
  if (!report.ok()) {
    Error error = report.error();
    if (error.code == Code::kIo || error.code == Code::kExhausted)
      error.message = (to_pipe ? std::string("standard output") : options.file) + ": " + error.message;
    return Report(error);
  }
  if (file) {
    if (auto kept = file->Keep(); !kept.ok()) return Report(kept.error());
  }
  for (const auto& digest : report->lost)
    std::fprintf(stderr, "notice: artifact %s is lost, so the archive has its name alone\n",
                 digest.substr(0, 12).c_str());
  if (options.json) {
    std::fputs(DumpPretty({{"file", options.file},
                           {"runs", report->runs},
                           {"objects", report->objects},
                           {"bytes", report->bytes},
                           {"lost", report->lost}})
                   .c_str(),
               stdout);
    return kExitOk;
  }
  std::fprintf(to_pipe ? stderr : stdout, "%s: %s, %s, %s\n", to_pipe ? "exported" : options.file.c_str(),
               Counted(report->runs.size(), "run").c_str(), Counted(report->objects, "object").c_str(),
               HumanBytes(report->bytes).c_str());
  return kExitOk;
}

// The nearest folder above `path` that is there; empty for the current one.
fs::path LastThatExists(const fs::path& path) {
  std::error_code ec;
  fs::path at = path.parent_path();
  while (!at.empty() && !fs::exists(at, ec)) at = at.parent_path();
  return at;
}

int Import(const Options& options) {
  Fd opened;
  const bool from_pipe = options.file == "-";
  if (!from_pipe) {
    opened = Fd(::open(options.file.c_str(), O_RDONLY | O_CLOEXEC));
    if (!opened.valid()) return Report(ErrnoError(options.file, errno));
  }
  auto root = StoreFolder(options.store);
  if (!root.ok()) return Report(root.error());
  std::error_code ec;
  const bool existed = fs::exists(*root, ec);
  const fs::path above = LastThatExists(*root);
  Result<ImportReport> report = ImportReport();
  {
    auto store = Store::Open(*root);
    if (!store.ok()) return Report(store.error());
    ShowNotices(*store);
    report = store->ImportRuns(from_pipe ? STDIN_FILENO : opened.get());
  }
  if (!report.ok()) {
    if (!existed) (void)RemoveTree(*root).ok();  // made for nothing, as were the folders that lead to it
    for (fs::path made = root->parent_path(); !existed && made != above && made.has_relative_path();
         made = made.parent_path())
      fs::remove(made, ec);
    Error error = report.error();
    if (error.code == Code::kCorrupt || error.code == Code::kInvalid)
      error.message = (from_pipe ? std::string("standard input") : options.file) + ": " + error.message;
    return Report(error);
  }
  if (options.json) {
    std::fputs(DumpPretty({{"runs", report->runs},
                           {"known_runs", report->known_runs},
                           {"objects", report->objects},
                           {"known_objects", report->known_objects},
                           {"bytes", report->bytes}})
                   .c_str(),
               stdout);
    return kExitOk;
  }
  if (report->NothingToDo()) {
    std::printf("nothing to do: %s and %s are there already\n",
                Counted(report->known_runs.size(), "run").c_str(),
                Counted(report->known_objects, "object").c_str());
    return kExitOk;
  }
  for (const auto& run : report->runs) std::printf("imported %s\n", run.c_str());
  for (const auto& run : report->known_runs) std::printf("%s is there already\n", run.c_str());
  std::printf("%s, %s; %s there already\n", Counted(report->objects, "object").c_str(),
              HumanBytes(report->bytes).c_str(),
              (WithCommas(static_cast<int64_t>(report->known_objects)) +
               (report->known_objects == 1 ? " was" : " were"))
                  .c_str());
  return kExitOk;
}

}  // namespace

void AddRunsArchiveCommands(CLI::App& runs, Action& action) {
  auto options = std::make_shared<Options>();
  CLI::App* out = runs.add_subcommand(
      "export", "Write runs with all that they made into one archive, for another store or machine");
  out->add_option("RUN", options->runs, "Ids, their beginnings or ends, tags, or 'latest'")->required();
  out->add_option("-o,--output", options->file, "The archive (tar), which must not exist; -: standard output")
      ->type_name("FILE")
      ->required();
  AddStoreOption(*out, options->store);
  out->add_flag("--json", options->json, "JSON on stdout");
  out->footer(
      "Examples:\n  genflow runs export latest -o run.tar\n"
      "  genflow runs export released -o - | ssh host genflow runs import -");
  out->callback([&action, options] { action = [options] { return Export(*options); }; });

  CLI::App* in =
      runs.add_subcommand("import", "Add the runs of an archive to the store; what is there stays");
  in->add_option("FILE", options->file, "An archive of runs export; -: standard input")->required();
  AddStoreOption(*in, options->store);
  in->add_flag("--json", options->json, "JSON on stdout");
  in->footer("Example:\n  genflow runs import run.tar --store .genflow");
  in->callback([&action, options] { action = [options] { return Import(*options); }; });
}

}  // namespace genflow::cli
