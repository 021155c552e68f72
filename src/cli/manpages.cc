// `genflow manpages`: manual pages from the tree of commands, for packagers and `make install`.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>

#include "base/files.h"
#include "base/strings.h"
#include "cli/commands.h"
#include "cli/errors.h"
#include "cli/version.h"

namespace genflow::cli {

namespace {

namespace fs = std::filesystem;

// Text as troff prints it: backslashes, dashes and quotes as they are, no line a request.
std::string Escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const bool line_start = out.empty() || out.back() == '\n';
    if (line_start && (c == '.' || c == '\'')) out += "\\&";
    if (c == '\\')
      out += "\\e";
    else if (c == '-')
      out += "\\-";
    else if (c == '\'')
      out += "\\(aq";
    else if (c == '`')
      out += "\\(ga";
    else if (c == '^')
      out += "\\(ha";
    else if (c == '~')
      out += "\\(ti";
    else
      out += c;
  }
  return out;
}

std::string Bold(const std::string& text) { return "\\fB" + Escaped(text) + "\\fR"; }
std::string Italic(const std::string& text) { return "\\fI" + Escaped(text) + "\\fR"; }

std::string Title(const std::string& name) {
  std::string upper = name;
  std::transform(upper.begin(), upper.end(), upper.begin(), [](unsigned char c) { return std::toupper(c); });
  return ".TH " + upper + " 1 \"\" \"genflow " + kVersion + "\" \"genflow\"\n";
}

std::vector<const CLI::App*> Shown(const CLI::App& app) {
  auto out = app.get_subcommands([](const CLI::App* command) { return !command->get_group().empty(); });
  return {out.begin(), out.end()};
}

std::vector<const CLI::Option*> Options(const CLI::App& app, bool positional) {
  std::vector<const CLI::Option*> out;
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_positional() == positional && !option->get_group().empty()) out.push_back(option);
  }
  return out;
}

// "genflow runs show"
std::string CommandLine(const CLI::App& app) {
  return (app.get_parent() == nullptr ? "" : CommandLine(*app.get_parent()) + " ") + app.get_name();
}

// "genflow artifacts export [OPTIONS] ARTIFACT TARGET"
std::string Synopsis(const CLI::App& app) {
  std::string out = Bold(CommandLine(app)) + " [" + Italic("OPTIONS") + "]";
  for (const CLI::Option* option : Options(app, true)) {
    std::string name = Italic(option->get_name(true, false));
    if (option->get_items_expected_max() > 1) name += " ...";
    out += option->get_required() ? " " + name : " [" + name + "]";
  }
  if (!Shown(app).empty()) out += " " + Italic("COMMAND") + " ...";
  return out;
}

std::string Definition(const CLI::Option& option) {
  std::vector<std::string> names;
  if (option.get_positional()) {
    names.push_back(Italic(option.get_name(true, false)));
  } else {
    for (const auto& name : option.get_snames()) names.push_back(Bold("-" + name));
    for (const auto& name : option.get_lnames()) names.push_back(Bold("--" + name));
  }
  std::string out = ".TP\n" + Join(names, ", ");
  const std::string value = option.get_type_name();
  if (!option.get_positional() && option.get_items_expected_max() > 0)
    out += " " + Italic(value.empty() ? "VALUE" : value);
  std::string text = option.get_description();
  if (!option.get_default_str().empty() && text.find("default") == std::string::npos)
    text += " (default: " + option.get_default_str() + ")";
  return out + "\n" + Escaped(text) + (text.ends_with('.') ? "" : ".") + "\n";
}

// What stands below an option list of help: examples (indented lines), exit codes, and other sentences.
struct Footer {
  std::string examples, exit_codes, rest;
};
Footer ReadFooter(const std::string& text) {
  Footer out;
  bool in_codes = false;
  for (const auto piece : Split(text, '\n')) {
    const std::string line(piece);
    if (Trim(line).empty()) {
      in_codes = false;
    } else if (line.starts_with("Example")) {
      continue;
    } else if (line.starts_with("  ")) {
      out.examples += Escaped(line) + "\n";
    } else if (line.starts_with("Exit codes: ") || in_codes) {
      in_codes = true;
      out.exit_codes += Escaped(line.starts_with("Exit codes: ") ? line.substr(12) : line) + "\n";
    } else {
      out.rest += Escaped(line) + "\n";
    }
  }
  return out;
}

std::string Sentence(std::string text) {
  if (!text.empty() && !text.ends_with('.')) text += '.';
  return Escaped(text) + "\n";
}

std::string OptionList(const CLI::App& app) {
  std::string out;
  for (const bool positional : {true, false}) {
    for (const CLI::Option* option : Options(app, positional)) out += Definition(*option);
  }
  return out;
}

std::string Examples(const Footer& footer) {
  return footer.examples.empty() ? "" : ".PP\n.EX\n" + footer.examples + ".EE\n";
}

// A command of a command, as a part of its page.
std::string Part(const CLI::App& command) {
  const Footer footer = ReadFooter(command.get_footer());
  std::string out = ".SS " + Escaped(command.get_parent()->get_name() + " " + command.get_name()) + "\n" +
                    Synopsis(command) + "\n.PP\n" + Sentence(command.get_description());
  if (!footer.rest.empty()) out += ".PP\n" + footer.rest;
  if (!footer.exit_codes.empty()) out += ".PP\nExit codes: " + footer.exit_codes;
  return out + OptionList(command) + Examples(footer);
}

std::string CommandPage(const CLI::App& command) {
  const std::string name = "genflow-" + command.get_name();
  const Footer footer = ReadFooter(command.get_footer());
  std::string summary = command.get_description();
  std::string out = Title(name) + ".SH NAME\n" + Escaped(name) + " \\- " + Escaped(summary) +
                    "\n.SH SYNOPSIS\n" + Synopsis(command) + "\n.SH DESCRIPTION\n" + Sentence(summary) +
                    footer.rest;
  const auto parts = Shown(command);
  if (!parts.empty()) {
    out += ".SH COMMANDS\n";
    for (const CLI::App* part : parts) out += Part(*part);
  } else {
    out += ".SH OPTIONS\n" + OptionList(command);
  }
  out += ".SH EXIT STATUS\n" +
         (footer.exit_codes.empty()
              ? Escaped("0 when it is done, 1 when it failed, 2 when it was called wrongly.\n")
              : footer.exit_codes);
  if (!footer.examples.empty()) out += ".SH EXAMPLES\n.EX\n" + footer.examples + ".EE\n";
  return out + ".SH SEE ALSO\n" + Bold("genflow") + "(1)\n";
}

std::string MainPage(const CLI::App& app) {
  const Footer footer = ReadFooter(app.get_footer());
  std::string out =
      Title("genflow") + ".SH NAME\ngenflow \\- " + Escaped(app.get_description()) + "\n.SH SYNOPSIS\n" +
      Bold("genflow") + " [" + Italic("OPTIONS") + "] " + Italic("COMMAND") +
      " ...\n.SH DESCRIPTION\n"
      "A pipeline is one YAML file: stages, what they read from one another, and their parameters.\n"
      "Each stage runs in a process of its own; what has been computed from the same inputs is not\n"
      "computed again. Each command has a page of its own.\n.SH COMMANDS\n";
  std::string also;
  for (const CLI::App* command : Shown(app)) {
    out += ".TP\n" + Bold("genflow-" + command->get_name()) + "(1)\n" + Sentence(command->get_description());
    also += (also.empty() ? "" : ",\n") + Bold("genflow-" + command->get_name()) + "(1)";
  }
  out += ".SH OPTIONS\n" + OptionList(app);
  out += ".SH EXIT STATUS\n";
  static const std::pair<const char*, const char*> kCodes[] = {
      {"0", "Done, or nothing to do."},
      {"1", "A stage, or the command, failed."},
      {"2", "The pipeline is invalid, or the command was called wrongly."},
      {"3", "A gate said no."},
      {"4", "Another run holds the lock."},
      {"75", "Interrupted; the same command continues."},
      {"130, 143", "Stopped by a signal before anything was resumable."}};
  for (const auto& [code, meaning] : kCodes) out += std::string(".TP\n") + code + "\n" + meaning + "\n";
  out += ".SH ENVIRONMENT\n";
  static const std::pair<const char*, const char*> kVariables[] = {
      {"GENFLOW_STORE", "The run store, where --store does not name it."},
      {"GENFLOW_PLUGIN_PATH", "Folders of plugins, separated by colons, before those that are installed."},
      {"GENFLOW_SECRET_NAME", "The value of ${{ secrets.NAME }}."},
      {"GENFLOW_PAGER, PAGER",
       "What shows long answers on a terminal (default: less -FRX); empty or cat: nothing."},
      {"NO_COLOR", "No colours."},
      {"CUDA_VISIBLE_DEVICES", "The GPUs that may be used."}};
  for (const auto& [name, meaning] : kVariables)
    out += std::string(".TP\n") + Bold(name) + "\n" + Escaped(meaning) + "\n";
  out +=
      ".SH FILES\n.TP\n.I pipeline.yaml\nThe pipeline, where none is named.\n"
      ".TP\n.I .genflow/\nThe run store, beside the pipeline.\n";
  if (!footer.examples.empty()) out += ".SH EXAMPLES\n.EX\n" + footer.examples + ".EE\n";
  return out + ".SH SEE ALSO\n" + also + "\n";
}

int Write(const CLI::App& app, const fs::path& folder) {
  if (auto made = MakeDirectories(folder); !made.ok()) return Report(made.error());
  const auto write = [&](const std::string& name, const std::string& text) {
    return WriteFileAtomic(folder / (name + ".1"), text);
  };
  if (auto written = write("genflow", MainPage(app)); !written.ok()) return Report(written.error());
  for (const CLI::App* command : Shown(app)) {
    auto written = write("genflow-" + command->get_name(), CommandPage(*command));
    if (!written.ok()) return Report(written.error());
  }
  return kExitOk;
}

}  // namespace

void AddManpagesCommand(CLI::App& app, Action& action) {
  CLI::App* manpages = app.add_subcommand("manpages", "Write the manual pages");
  auto folder = std::make_shared<std::string>();
  manpages->add_option("DIR", *folder, "Folder to write to, such as share/man/man1")->required();
  manpages->footer("Example:\n  genflow manpages ~/.local/share/man/man1");
  manpages->callback([&app, &action, folder] { action = [&app, folder] { return Write(app, *folder); }; });
}

}  // namespace genflow::cli
