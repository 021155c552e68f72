// `genflow artifacts lineage`: what an artifact was made from, and what was made from it.
#include "cli/lineage.h"

#include <unistd.h>

#include <cstdio>
#include <memory>
#include <set>

#include "base/strings.h"
#include "cli/errors.h"
#include "cli/json_output.h"
#include "cli/pipeline_options.h"
#include "cli/stage_names.h"
#include "cli/stage_origins.h"
#include "cli/terminal.h"
#include "engine/key_change.h"

namespace genflow::cli {

namespace {

using nlohmann::json;

constexpr size_t kDigestShown = 12;
constexpr size_t kFilesShown = 5;  // of the workspace, a stage

struct Options {
  std::string store, ref;
  bool up = false, down = false, json = false;
};

// One line of the tree and what hangs below it.
struct Branch {
  std::string port;  // where it was read: of the parent, going up; of itself, going down
  std::string stage, uses, output, run, type, digest;
  std::string file;       // a workspace file, instead of an artifact
  int64_t runs = 1;       // that made it so
  bool repeated = false;  // its branches stand elsewhere in the tree
  std::vector<Branch> below;
};

class Walk {
 public:
  Walk(Store& store, const std::string& root) : store_(store), seen_{root} {}

  // What the artifact's maker read.
  Result<std::vector<Branch>> Up(const std::string& digest, const std::string& run) {
    std::vector<Branch> out;
    GF_TRY(const auto made, store_.MakerOf(digest, run));
    if (!made) return out;
    for (const InputUse& input : made->inputs) {
      Branch branch;
      branch.port = input.port;
      branch.type = input.type;
      branch.digest = input.digest;
      GF_TRY(const auto maker, store_.MakerOf(input.digest, made->run));
      if (maker) {
        branch.stage = maker->stage;
        branch.uses = maker->uses;
        branch.output = maker->port;
        branch.run = maker->run;
      } else {
        branch.output = input.source;  // its run was removed
      }
      branch.repeated = !seen_.insert(input.digest).second;
      if (!branch.repeated) {
        GF_TRY(branch.below, Up(input.digest, made->run));
      }
      out.push_back(std::move(branch));
    }
    GF_CHECK_OK(AddFiles(*made, &out));
    return out;
  }

  // What was made of the artifact.
  Result<std::vector<Branch>> Down(const std::string& digest) {
    std::vector<Branch> out;
    GF_TRY(const auto users, store_.MadeOf(digest));
    for (const MadeFrom& user : users) {
      Branch branch;
      branch.port = user.input_ports;
      branch.stage = user.stage;
      branch.uses = user.uses;
      branch.output = user.port;
      branch.run = user.run;
      branch.type = user.type;
      branch.digest = user.digest;
      branch.runs = user.runs;
      branch.repeated = !user.digest.empty() && !seen_.insert(user.digest).second;
      if (!branch.repeated && !user.digest.empty()) {
        GF_TRY(branch.below, Down(user.digest));
      }
      out.push_back(std::move(branch));
    }
    return out;
  }

 private:
  // The files of the workspace that the stage read.
  Status AddFiles(const MadeBy& made, std::vector<Branch>* out) {
    if (made.key.empty()) return Ok();
    GF_TRY(const auto components, store_.KeyComponents(made.key));
    for (const KeyPart& part : KeyParts(components)) {
      if (part.kind != KeyPartKind::kFile && part.kind != KeyPartKind::kContent) continue;
      Branch branch;
      branch.file = part.name;
      branch.type = part.kind == KeyPartKind::kFile ? "file" : "param";
      branch.digest = part.value.is_string() ? part.value.get<std::string>() : "";
      out->push_back(std::move(branch));
    }
    return Ok();
  }

  Store& store_;
  std::set<std::string> seen_;
};

json ToJson(const std::vector<Branch>& branches, RunOrigins* origins) {
  json out = json::array();
  for (const Branch& branch : branches) {
    if (!branch.file.empty()) {
      out.push_back(
          {{branch.type == "param" ? "content_of" : "file", branch.file}, {"digest", branch.digest}});
      continue;
    }
    json item = {
        {"input", branch.port},    {"stage", branch.stage}, {"uses", branch.uses},
        {"output", branch.output}, {"run", branch.run},     {"type", branch.type},
        {"digest", branch.digest}, {"runs", branch.runs},   {"below", ToJson(branch.below, origins)}};
    origins->Add(branch.run, branch.stage, &item);
    if (branch.repeated) item["repeated"] = true;
    out.push_back(std::move(item));
  }
  return out;
}

std::string LineOf(const Branch& branch, bool up, bool color) {
  const auto dim = [&](const std::string& text) { return Styled(text, Style::kDim, color); };
  if (!branch.file.empty()) {
    const std::string what =
        branch.type == "param" ? "content of '" + branch.file + "'" : "file " + branch.file;
    return what + "  " + dim(branch.digest.substr(0, kDigestShown));
  }
  std::string name = branch.stage.empty() ? branch.output : branch.stage;
  if (!branch.stage.empty() && !branch.output.empty()) name += "." + branch.output;
  std::string out = Styled(name, Style::kBold, color);
  if (!branch.type.empty()) out += "  " + branch.type + " " + branch.digest.substr(0, kDigestShown);
  std::string note = branch.stage.empty() ? "its run was removed" : branch.uses + ", run " + branch.run;
  if (branch.runs > 1) note += " and " + std::to_string(branch.runs - 1) + " more";
  out += "  " + dim(note);
  if (!branch.port.empty() && !up) out += dim(", read at " + branch.port);
  if (branch.repeated) out += dim(" (see above)");
  return out;
}

void Append(const std::vector<Branch>& branches, const std::string& indent, bool up, bool unicode, bool color,
            std::string* out) {
  size_t files = 0, shown = 0;
  for (const Branch& branch : branches) files += branch.file.empty() ? 0 : 1;
  const bool cut = files > kFilesShown + 1;
  for (size_t i = 0; i < branches.size(); ++i) {
    const bool file = !branches[i].file.empty();
    const bool rest = cut && file && shown == kFilesShown;
    const bool last = i + 1 == branches.size() || rest;
    const char* fork = unicode ? (last ? "└─ " : "├─ ") : (last ? "`- " : "|- ");
    if (rest) {
      *out +=
          indent + fork + "and " + WithCommas(static_cast<int64_t>(files - kFilesShown)) + " more files\n";
      return;
    }
    shown += file ? 1 : 0;
    *out += indent + fork + LineOf(branches[i], up, color) + "\n";
    const char* bar = last ? "   " : unicode ? "│  " : "|  ";
    Append(branches[i].below, indent + bar, up, unicode, color, out);
  }
}

struct Lineage {
  Branch self;
  std::vector<Branch> sources, uses;
};

Result<Lineage> LineageOf(Store& store, const std::string& ref, bool up, bool down) {
  Lineage out;
  GF_TRY(const Artifact artifact, store.ResolveArtifact(ref));
  // "RUN:STAGE.PORT" asks for what that run did.
  std::string run;
  if (const size_t colon = ref.find(':'); colon != std::string::npos) {
    if (auto resolved = store.ResolveRun(ref.substr(0, colon)); resolved.ok()) run = *resolved;
  }
  GF_TRY(const auto maker, store.MakerOf(artifact.digest, run));
  if (up) {
    GF_TRY(out.sources, Walk(store, artifact.digest).Up(artifact.digest, run));
  }
  if (down) {
    GF_TRY(out.uses, Walk(store, artifact.digest).Down(artifact.digest));
  }
  Branch& self = out.self;
  self.type = artifact.type;
  self.digest = artifact.digest;
  if (maker) {
    self.stage = maker->stage;
    self.uses = maker->uses;
    self.output = maker->port;
    self.run = maker->run;
  } else {
    self.output = artifact.maker->stage + "." + artifact.port;
  }
  return out;
}

int Show(const Options& options) {
  auto store = OpenStore(options.store, true);
  if (!store.ok()) return Report(store.error());
  const bool up = options.up || !options.down, down = options.down || !options.up;
  const TerminalTraits terminal = DetectTerminal(STDOUT_FILENO);
  json all = json::array();
  RunOrigins origins(*store);
  std::string text;
  const auto section = [&](const char* title, const std::vector<Branch>& branches, bool upwards) {
    text += "\n" + Styled(title, Style::kBold, terminal.color) + (branches.empty() ? ": nothing\n" : "\n");
    Append(branches, "", upwards, terminal.unicode, terminal.color, &text);
  };
  for (const auto& ref : ArtifactsNamed(*store, options.ref)) {
    const auto found = LineageOf(*store, ref, up, down);
    if (!found.ok()) return Report(found.error());
    const Branch& self = found->self;
    json& out = all.emplace_back(json{{"digest", self.digest},
                                      {"type", self.type},
                                      {"stage", self.stage},
                                      {"uses", self.uses},
                                      {"output", self.output},
                                      {"run", self.run}});
    origins.Add(self.run, self.stage, &out);
    if (up) out["made_from"] = ToJson(found->sources, &origins);
    if (down) out["made_into"] = ToJson(found->uses, &origins);
    text += (text.empty() ? "" : "\n\n") + LineOf(self, true, terminal.color) + "\n";
    if (up) section("made from", found->sources, true);
    if (down) section("made into", found->uses, false);
  }
  if (options.json) text = DumpPretty(all.size() == 1 ? all.front() : all);
  std::fputs(text.c_str(), stdout);
  return kExitOk;
}

}  // namespace

void AddLineageCommand(CLI::App& artifacts, Action& action) {
  CLI::App* lineage = artifacts.add_subcommand(
      "lineage", "Show what an artifact was made from, and what was made from it, to the ends");
  auto options = std::make_shared<Options>();
  lineage
      ->add_option("ARTIFACT", options->ref,
                   "RUN:STAGE.PORT, STAGE.PORT (of the latest run), or the beginning of a digest")
      ->required();
  lineage->add_flag("--up", options->up, "Only what it was made from");
  lineage->add_flag("--down", options->down, "Only what was made from it");
  AddStoreOption(*lineage, options->store);
  lineage->add_flag("--json", options->json, "JSON on stdout");
  lineage->footer(
      "Examples:\n  genflow artifacts lineage tune.adapter\n  genflow artifacts lineage pages.dataset "
      "--down");
  lineage->callback([&action, options] { action = [options] { return Show(*options); }; });
}

}  // namespace genflow::cli
