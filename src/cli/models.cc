// `genflow models`: versions of models, and the names that point to them.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <memory>

#include "base/strings.h"
#include "cli/commands.h"
#include "cli/errors.h"
#include "cli/facts.h"
#include "cli/json_output.h"
#include "cli/model_names.h"
#include "cli/pipeline_options.h"
#include "cli/stage_names.h"
#include "cli/times.h"

namespace genflow::cli {

namespace {

struct Options {
  std::string store, name, artifact, run, alias;
  std::vector<std::string> aliases;
  bool json = false, remove = false;
};

nlohmann::json ModelToJson(const ModelVersion& model) {
  return {{"name", model.name},
          {"version", model.version},
          {"aliases", model.aliases},
          {"run", model.run},
          {"created", model.created},
          {"digest", model.artifact.digest},
          {"type", model.artifact.type},
          {"bytes", model.artifact.bytes},
          {"path", model.artifact.path().string()}};
}

std::string FullName(const ModelVersion& model) { return model.name + "@" + std::to_string(model.version); }

int ShowOne(Store& store, const std::string& ref, bool json) {
  const auto model = FindModel(store, ref);
  if (!model.ok()) return Report(model.error());
  if (json) {
    std::fputs(DumpPretty(ModelToJson(*model)).c_str(), stdout);
    return kExitOk;
  }
  const Artifact& artifact = model->artifact;
  Facts facts;
  facts.Add("model", FullName(*model));
  facts.Add("aliases", Join(model->aliases, " "));
  facts.Add("run", model->run);
  facts.Add("registered", LocalTime(model->created));
  facts.Add("type", artifact.type);
  facts.Add("size", HumanBytes(artifact.bytes));
  facts.Add("digest", "sha256:" + artifact.digest);
  facts.Add("path", artifact.lost ? "lost: its object was damaged" : artifact.path().string());
  std::fputs(facts.Render().c_str(), stdout);
  return kExitOk;
}

int List(const Options& options) {
  auto store = OpenStore(options.store, true);
  if (!store.ok()) return Report(store.error());
  if (!options.name.empty()) {
    if (auto found = FindModel(*store, options.name); !found.ok()) return Report(found.error());
  }
  auto models = store->ListModels(options.name);
  if (!models.ok()) return Report(models.error());
  if (options.json) {
    auto out = nlohmann::json::array();
    for (const auto& model : *models) out.push_back(ModelToJson(model));
    std::fputs(DumpPretty(out).c_str(), stdout);
    return kExitOk;
  }
  Table table({"model", "aliases", "type", "size", "run", "registered"},
              {Align::kLeft, Align::kLeft, Align::kLeft, Align::kRight});
  for (const auto& model : *models) {
    table.Add({FullName(model), Join(model.aliases, " "), model.artifact.type,
               HumanBytes(model.artifact.bytes), model.run, LocalTime(model.created)});
  }
  table.Fit(RoomForTables(), {"registered", "type", "run", "size"}, {"model", "aliases"});
  table.Print("no models");
  return kExitOk;
}

int Show(const Options& options) {
  auto store = OpenStore(options.store, true);
  if (!store.ok()) return Report(store.error());
  return ShowOne(*store, options.name, options.json);
}

// The run whose artifact `ref` is: the one it names, or else the latest that has it.
Result<std::string> RunOf(Store& store, const std::string& ref, const Artifact& artifact) {
  if (const size_t colon = ref.find(':'); colon != std::string::npos) {
    return store.ResolveRun(ref.substr(0, colon));
  }
  GF_TRY(const auto producers, store.ArtifactProducers(artifact.digest));
  std::string latest = artifact.maker->run;
  double time = -1;
  for (const auto& use : producers) {
    if (use.time < time) continue;
    time = use.time;
    latest = use.run;
  }
  return latest;
}

int Register(const Options& options) {
  auto store = OpenStore(options.store, false);
  if (!store.ok()) return Report(store.error());
  auto artifact = OneArtifactNamed(*store, options.artifact);
  if (!artifact.ok()) return Report(artifact.error());
  if (artifact->type != "model" && artifact->type != "adapter" && artifact->type != "package") {
    return Report(InvalidError(options.artifact + " is a " + artifact->type,
                               "a model, an adapter or a package can be registered"));
  }
  auto run =
      options.run.empty() ? RunOf(*store, options.artifact, *artifact) : store->ResolveRun(options.run);
  if (!run.ok()) return Report(run.error());
  auto model = store->RegisterModel(options.name, artifact->digest, *run);
  if (!model.ok()) return Report(model.error());
  for (const auto& alias : options.aliases) {
    if (auto set = store->SetAlias(model->name, alias, model->version); !set.ok()) return Report(set.error());
  }
  if (options.json) return ShowOne(*store, FullName(*model), true);
  std::printf("%s: %s of run %s%s\n", FullName(*model).c_str(), artifact->type.c_str(), run->c_str(),
              options.aliases.empty() ? "" : (", " + Join(options.aliases, ", ")).c_str());
  return kExitOk;
}

int SetAlias(const Options& options) {
  auto store = OpenStore(options.store, false);
  if (!store.ok()) return Report(store.error());
  auto model = FindModel(*store, options.name);
  if (!model.ok()) return Report(model.error());
  const auto done = options.remove ? store->RemoveAlias(model->name, options.alias)
                                   : store->SetAlias(model->name, options.alias, model->version);
  if (!done.ok()) return Report(done.error());
  if (options.json) {
    std::fputs(DumpPretty({{"name", model->name},
                           {"alias", options.alias},
                           {"version", options.remove ? nlohmann::json() : nlohmann::json(model->version)}})
                   .c_str(),
               stdout);
  } else if (options.remove) {
    std::printf("%s: no longer '%s'\n", model->name.c_str(), options.alias.c_str());
  } else {
    std::printf("%s@%s is %s\n", model->name.c_str(), options.alias.c_str(), FullName(*model).c_str());
  }
  return kExitOk;
}

int Remove(const Options& options) {
  auto store = OpenStore(options.store, false);
  if (!store.ok()) return Report(store.error());
  if (options.name.find('@') == std::string::npos) {
    return Report(InvalidError("'" + options.name + "' names every version of a model",
                               "write " + options.name + "@VERSION"));
  }
  auto model = FindModel(*store, options.name);
  if (!model.ok()) return Report(model.error());
  if (auto done = store->RemoveModel(model->name, model->version); !done.ok()) return Report(done.error());
  if (options.json)
    std::fputs(DumpPretty({{"removed", FullName(*model)}}).c_str(), stdout);
  else
    std::printf("removed %s; `genflow gc` frees what no run and no model uses\n", FullName(*model).c_str());
  return kExitOk;
}

}  // namespace

void AddModelsCommand(CLI::App& app, Action& action) {
  CLI::App* models = app.add_subcommand("models", "Register models, size them, fetch them and talk to them");
  models->require_subcommand(1);
  models->footer(
      "Examples:\n  genflow models register helper package.package --alias production\n"
      "  genflow models ls");
  auto options = std::make_shared<Options>();
  const char* model_help = "NAME@VERSION or NAME@ALIAS; NAME is its latest version";
  const auto add = [&](const char* name, const char* help, const char* footer, int (*run)(const Options&)) {
    CLI::App* command = models->add_subcommand(name, help);
    command->footer(footer);
    AddStoreOption(*command, options->store);
    command->add_flag("--json", options->json, "JSON on stdout");
    command->callback([&action, options, run] { action = [options, run] { return run(*options); }; });
    return command;
  };

  CLI::App* list =
      add("ls", "List models, the latest version first", "Example:\n  genflow models ls helper", List);
  list->add_option("NAME", options->name, "Only versions of this model");

  CLI::App* show =
      add("show", "Show one version of a model", "Example:\n  genflow models show helper@production", Show);
  show->add_option("MODEL", options->name, model_help)->required();

  CLI::App* reg =
      add("register", "Make an artifact the next version of a model",
          "Example:\n  genflow models register helper latest:package.package --alias candidate", Register);
  reg->add_option("NAME", options->name, "The model's name")->required();
  reg->add_option("ARTIFACT", options->artifact,
                  "RUN:STAGE.PORT, STAGE.PORT (of the latest run), or the beginning of a digest")
      ->required();
  reg->add_option("--run", options->run, "The run that it belongs to (default: the latest that has it)")
      ->type_name("RUN");
  reg->add_option("--alias", options->aliases, "A name for this version; may be repeated")
      ->type_name("ALIAS")
      ->allow_extra_args(false);

  CLI::App* alias = add("alias", "Give a version a name, or move the name to it",
                        "Examples:\n  genflow models alias helper@3 production\n"
                        "  genflow models alias --remove helper production",
                        SetAlias);
  alias->add_option("MODEL", options->name, model_help)->required();
  alias->add_option("ALIAS", options->alias, "The name")->required();
  alias->add_flag("--remove", options->remove, "Take the name away instead");

  CLI::App* remove = add("rm", "Forget a version of a model; its artifact goes with the next gc",
                         "Example:\n  genflow models rm helper@2", Remove);
  remove->add_option("MODEL", options->name, "NAME@VERSION")->required();

  AddModelsConvertCommands(*models, action);
  AddModelsSizeCommand(*models, action);
  AddModelsPullCommand(*models, action);
  AddModelsChatCommand(*models, action);
}

}  // namespace genflow::cli
