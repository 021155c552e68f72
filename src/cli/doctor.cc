// `genflow doctor`: whether this machine, this installation and this store are in order.
#include "cli/doctor.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "base/strings.h"
#include "cli/commands.h"
#include "cli/errors.h"
#include "cli/json_output.h"
#include "cli/pipeline_options.h"
#include "cli/terminal.h"
#include "cli/version.h"
#include "genflow/plugin.h"
#include "store/db.h"

namespace genflow::cli {

namespace {

namespace fs = std::filesystem;

Finding Program() {
#ifdef NDEBUG
  const char* build = "optimised";
#else
  const char* build = "with assertions";
#endif
  Finding out{"genflow", Health::kOk, "", "", {}};
  out.text = std::string(kVersion) + ", " + build + ", g++ " + __VERSION__ + ", plugin ABI " +
             std::to_string(GENFLOW_ABI_MAJOR) + "." + std::to_string(GENFLOW_ABI_MINOR);
  out.facts = {{"version", kVersion},
               {"build", build},
               {"compiler", __VERSION__},
               {"abi", {GENFLOW_ABI_MAJOR, GENFLOW_ABI_MINOR}}};
  std::vector<std::string> set;
  for (const char* name : {"GENFLOW_STORE", "GENFLOW_PLUGIN_PATH", "GENFLOW_PAGER", "NO_COLOR"}) {
    if (const char* value = std::getenv(name)) set.push_back(std::string(name) + "=" + value);
  }
  if (!set.empty()) out.text += "; " + Join(set, ", ");
  out.facts["environment"] = set;
  return out;
}

// SQLite is the machine's own, the others come with genflow.
Finding Libraries() {
  Finding out{"libraries", Health::kOk, "", "", {}};
  std::vector<std::string> names;
  for (const auto& [name, version] :
       std::initializer_list<std::pair<const char*, std::string>>{{"libtorch", kTorchVersion},
                                                                  {"Arrow", kArrowVersion},
                                                                  {"llama-cpp-python (ggml)", kLlamaVersion},
                                                                  {"simdjson (pysimdjson)", kSimdjsonVersion},
                                                                  {"SQLite", SqliteVersion()}}) {
    if (version.empty()) continue;
    names.push_back(std::string(name) + " " + version);
    out.facts[name] = version;
  }
  out.text = Join(names, ", ");
  return out;
}

// Where the store is or would be; an error where that cannot be told.
Result<fs::path> Place(const std::string& option) {
  auto found = StoreFolder(option);
  if (found.ok() || found.error().code != Code::kNotFound) return found;
  std::error_code ec;
  return fs::current_path(ec) / ".genflow";
}

Style StyleOf(Health health) {
  return health == Health::kOk ? Style::kGreen : health == Health::kWarn ? Style::kYellow : Style::kRed;
}

// Text in lines of at most `columns` cells after `indent`, the first line without it; 0: one line.
std::string Wrapped(const std::string& text, size_t indent, size_t columns) {
  std::string out;
  size_t used = indent;
  for (const auto word : Split(text, ' ')) {
    const size_t cells = DisplayWidth(word);
    if (columns > 0 && used > indent && used + 1 + cells > columns) {
      out += "\n" + std::string(indent, ' ');
      used = indent;
    }
    if (used > indent) out += " ", ++used;
    out += word;
    used += cells;
  }
  return out + "\n";
}

std::string Render(const Findings& findings) {
  const TerminalTraits traits = DetectTerminal(STDOUT_FILENO);
  const size_t columns =
      traits.interactive ? static_cast<size_t>(std::max(40, SizeOfTerminal(STDOUT_FILENO).columns)) : 0;
  size_t width = 0;
  for (const auto& finding : findings) width = std::max(width, finding.check.size());
  std::string out;
  for (const auto& finding : findings) {
    const size_t indent = 6 + width + 2;
    out += Styled(PadRight(HealthName(finding.health), 6), StyleOf(finding.health), traits.color);
    out += PadRight(finding.check, width + 2) + Wrapped(finding.text, indent, columns);
    if (!finding.hint.empty())
      out += std::string(indent, ' ') + Wrapped("hint: " + finding.hint, indent, columns);
  }
  const auto count = [&](Health health) {
    return std::count_if(findings.begin(), findings.end(), [&](const auto& f) { return f.health == health; });
  };
  const auto failed = count(Health::kFail), warned = count(Health::kWarn);
  out += "\n";
  if (failed == 0 && warned == 0) return out + "all is well\n";
  std::vector<std::string> parts;
  if (failed > 0) parts.push_back(Counted(failed, "failure"));
  if (warned > 0) parts.push_back(Counted(warned, "warning"));
  return out + Join(parts, ", ") + "\n";
}

int Doctor(const std::string& store, bool json) {
  const auto place = Place(store);
  Findings findings = {Program(), Libraries()};
  const auto add = [&](Findings more) {
    for (auto& finding : more) findings.push_back(std::move(finding));
  };
  add(CheckMachine());
  add(CheckPluginsLoad());
  if (place.ok())
    add(CheckStore(*place));
  else
    findings.push_back({"store", Health::kWarn, place.error().message, place.error().hint, {}});
  const bool fails = std::any_of(findings.begin(), findings.end(),
                                 [](const Finding& finding) { return finding.health == Health::kFail; });
  if (json) {
    nlohmann::json checks = nlohmann::json::array();
    for (const auto& finding : findings) {
      checks.push_back({{"check", finding.check},
                        {"status", HealthName(finding.health)},
                        {"text", finding.text},
                        {"hint", finding.hint},
                        {"facts", finding.facts.is_null() ? nlohmann::json::object() : finding.facts}});
    }
    std::fputs(DumpPretty({{"ok", !fails}, {"checks", checks}}).c_str(), stdout);
  } else {
    std::fputs(Render(findings).c_str(), stdout);
  }
  return fails ? kExitFailed : kExitOk;
}

}  // namespace

const char* HealthName(Health health) {
  return health == Health::kOk ? "ok" : health == Health::kWarn ? "warn" : "fail";
}

void AddDoctorCommand(CLI::App& app, Action& action) {
  CLI::App* doctor = app.add_subcommand("doctor", "Check this machine, the plugins and the store");
  auto store = std::make_shared<std::string>();
  auto json = std::make_shared<bool>(false);
  AddStoreOption(*doctor, *store);
  doctor->add_flag("--json", *json, "JSON on stdout");
  doctor->footer(
      "Examples:\n  genflow doctor\n  genflow doctor --store pipelines/.genflow --json\n\n"
      "Exit codes: 0 nothing fails, 1 something does.");
  doctor->callback([&action, store, json] { action = [store, json] { return Doctor(*store, *json); }; });
}

}  // namespace genflow::cli
