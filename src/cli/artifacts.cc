// `genflow artifacts`: what stages have made.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>

#include "base/strings.h"
#include "cli/commands.h"
#include "cli/errors.h"
#include "cli/facts.h"
#include "cli/json_output.h"
#include "cli/lineage.h"
#include "cli/pager.h"
#include "cli/pipeline_options.h"
#include "cli/stage_names.h"
#include "cli/stage_origins.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "cli/times.h"
#include "config/artifact_types.h"

namespace genflow::cli {

namespace {

struct Options {
  std::string store, run, stage, type, ref, target;
  int limit = 50;
  bool json = false, link = false, no_pager = false;
};

nlohmann::json UsesToJson(const std::vector<ArtifactUse>& uses, RunOrigins* origins) {
  nlohmann::json out = nlohmann::json::array();
  for (const auto& use : uses) {
    out.push_back({{"run", use.run}, {"pipeline", use.pipeline}, {"stage", use.stage}, {"port", use.port}});
    origins->Add(use.run, use.stage, &out.back());
  }
  return out;
}

nlohmann::json InputsToJson(const std::vector<InputUse>& inputs) {
  nlohmann::json out = nlohmann::json::array();
  for (const auto& in : inputs)
    out.push_back({{"port", in.port}, {"type", in.type}, {"digest", in.digest}, {"source", in.source}});
  return out;
}

std::string NameOf(const ArtifactUse& use) { return use.run + ":" + use.stage + "." + use.port; }

// What the stage read that made the artifact last.
Result<std::vector<InputUse>> InputsOf(Store& store, const std::vector<ArtifactUse>& producers) {
  if (producers.empty()) return std::vector<InputUse>();
  GF_TRY(auto attempts, store.ListAttempts(producers.front().run, producers.front().stage));
  const auto made = std::find_if(attempts.rbegin(), attempts.rend(),
                                 [](const AttemptInfo& attempt) { return !attempt.outputs.empty(); });
  return made == attempts.rend() ? std::vector<InputUse>() : std::move(made->inputs);
}

int List(const Options& options) {
  auto store = OpenStore(options.store, true);
  if (!store.ok()) return Report(store.error());
  ArtifactFilter filter;
  if (!options.run.empty()) {
    auto run = store->ResolveRun(options.run);
    if (!run.ok()) return Report(run.error());
    filter.run = *run;
  }
  filter.stage = options.stage;
  filter.type = options.type;
  if (!options.type.empty() &&
      std::find(kArtifactTypes.begin(), kArtifactTypes.end(), options.type) == kArtifactTypes.end()) {
    const auto near = NearestName(options.type, kArtifactTypes);
    return Report(
        InvalidError("--type " + options.type + " is no type of artifact",
                     near ? "did you mean '" + *near + "'?" : "it is one of " + Join(kArtifactTypes, ", ")));
  }
  filter.limit = options.limit;
  auto uses = store->ListArtifacts(filter);
  if (!uses.ok()) return Report(uses.error());
  if (options.json) {
    nlohmann::json out = nlohmann::json::array();
    RunOrigins origins(*store);
    for (const auto& use : *uses) {
      out.push_back(ToJson(use));
      origins.Add(use.run, use.stage, &out.back());
    }
    std::fputs(DumpPretty(out).c_str(), stdout);
    return kExitOk;
  }
  Table table({"artifact", "type", "digest", "size", "files", "made"},
              {Align::kLeft, Align::kLeft, Align::kLeft, Align::kRight, Align::kRight});
  for (const auto& use : *uses) {
    table.Add({NameOf(use), use.artifact.type, use.artifact.digest.substr(0, 12),
               HumanBytes(use.artifact.bytes), std::to_string(use.artifact.files), LocalTime(use.time)});
  }
  table.Fit(RoomForTables(), {"files", "made", "type", "size", "digest"}, {"artifact"});
  ShowText(table.empty() ? "no artifacts\n" : table.Render("", DetectTerminal(STDOUT_FILENO).color),
           options.no_pager);
  return kExitOk;
}

struct Shown {
  Artifact artifact;
  std::vector<ArtifactUse> producers, consumers;
  std::vector<InputUse> inputs;
};

Result<Shown> Look(Store& store, const std::string& ref) {
  Shown out;
  GF_TRY(out.artifact, store.ResolveArtifact(ref));
  GF_TRY(out.producers, store.ArtifactProducers(out.artifact.digest));
  GF_TRY(out.consumers, store.ArtifactConsumers(out.artifact.digest));
  GF_TRY(out.inputs, InputsOf(store, out.producers));
  return out;
}

nlohmann::json ShownToJson(const Shown& shown, RunOrigins* origins) {
  nlohmann::json out = ToJson(shown.artifact);
  origins->Add(shown.artifact.maker->run, shown.artifact.maker->stage, &out);
  out["producers"] = UsesToJson(shown.producers, origins);
  out["consumers"] = UsesToJson(shown.consumers, origins);
  out["inputs"] = InputsToJson(shown.inputs);
  return out;
}

std::string Render(const Shown& shown) {
  const Artifact& artifact = shown.artifact;
  Facts facts;
  facts.Add("digest", "sha256:" + artifact.digest);
  facts.Add("type", artifact.type);
  facts.Add("size", HumanBytes(artifact.bytes) + " in " + Counted(artifact.files, "file"));
  facts.Add("made", LocalTime(artifact.created));
  facts.Add("path",
            artifact.lost ? "lost: its object was damaged; run its stage again" : artifact.path().string());
  for (const auto& use : shown.producers) facts.Add("made by", NameOf(use));
  for (const auto& input : shown.inputs)
    facts.Add("made from", input.source + " (" + input.type + ", " + input.digest.substr(0, 12) + ")");
  for (const auto& use : shown.consumers) facts.Add("used by", NameOf(use));
  return facts.Render();
}

int Show(const Options& options) {
  auto store = OpenStore(options.store, true);
  if (!store.ok()) return Report(store.error());
  nlohmann::json all = nlohmann::json::array();
  RunOrigins origins(*store);
  std::string text;
  for (const auto& ref : ArtifactsNamed(*store, options.ref)) {
    const auto shown = Look(*store, ref);
    if (!shown.ok()) return Report(shown.error());
    all.push_back(ShownToJson(*shown, &origins));
    text += (text.empty() ? "" : "\n") + Render(*shown);
  }
  if (options.json) text = DumpPretty(all.size() == 1 ? all.front() : all);
  std::fputs(text.c_str(), stdout);
  return kExitOk;
}

int Export(const Options& options) {
  auto store = OpenStore(options.store, true);
  if (!store.ok()) return Report(store.error());
  auto artifact = OneArtifactNamed(*store, options.ref);
  if (!artifact.ok()) return Report(artifact.error());
  auto done =
      store->Export(*artifact, options.target, options.link ? ExportMode::kHardLink : ExportMode::kClone);
  if (!done.ok()) return Report(done.error());
  if (options.json)
    std::fputs(
        DumpPretty({{"target", options.target}, {"digest", artifact->digest}, {"bytes", artifact->bytes}})
            .c_str(),
        stdout);
  else
    std::printf("%s: %s, %s\n", options.target.c_str(), artifact->type.c_str(),
                HumanBytes(artifact->bytes).c_str());
  return kExitOk;
}

}  // namespace

void AddArtifactsCommand(CLI::App& app, Action& action) {
  CLI::App* artifacts = app.add_subcommand("artifacts", "List, show and export what stages have made");
  artifacts->require_subcommand(1);
  artifacts->footer(
      "Examples:\n  genflow artifacts ls --run latest\n  genflow artifacts export package.package "
      "./linux-helper");
  auto options = std::make_shared<Options>();
  const char* ref_help = "RUN:STAGE.PORT, STAGE.PORT (of the latest run), or the beginning of a digest";

  CLI::App* list = artifacts->add_subcommand("ls", "List artifacts, the latest first");
  list->add_option("--run", options->run, "Only those of this run")->type_name("RUN");
  list->add_option("--stage", options->stage, "Only those of this stage")->type_name("STAGE");
  list->add_option("--type", options->type,
                   "Only those of this type (dataset, model, adapter, report, package, file)")
      ->type_name("TYPE");
  list->add_option("-n,--limit", options->limit, "At most this many; 0: all")
      ->capture_default_str()
      ->check(NotNegative());
  AddStoreOption(*list, options->store);
  list->add_flag("--json", options->json, "JSON on stdout");
  AddPagerOption(*list, &options->no_pager);
  list->footer("Example:\n  genflow artifacts ls --run latest --type report");
  list->callback([&action, options] { action = [options] { return List(*options); }; });

  CLI::App* show = artifacts->add_subcommand(
      "show", "Show one artifact: where it is, what made it from what, who used it");
  show->add_option("ARTIFACT", options->ref, ref_help)->required();
  AddStoreOption(*show, options->store);
  show->add_flag("--json", options->json, "JSON on stdout");
  show->footer("Example:\n  genflow artifacts show tune.adapter");
  show->callback([&action, options] { action = [options] { return Show(*options); }; });

  AddLineageCommand(*artifacts, action);

  CLI::App* out = artifacts->add_subcommand("export", "Copy an artifact out of the store");
  out->add_option("ARTIFACT", options->ref, ref_help)->required();
  out->add_option("TARGET", options->target, "A path that does not exist yet")->required();
  out->add_flag("--link", options->link, "Hard links instead of copies: no space, read-only");
  AddStoreOption(*out, options->store);
  out->add_flag("--json", options->json, "JSON on stdout");
  out->footer("Example:\n  genflow artifacts export package.package ./linux-helper");
  out->callback([&action, options] { action = [options] { return Export(*options); }; });
}

}  // namespace genflow::cli
