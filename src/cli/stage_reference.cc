#include "cli/stage_reference.h"

#include "base/strings.h"
#include "cli/markdown.h"
#include "cli/table.h"
#include "cli/terminal.h"

namespace genflow::cli {

namespace {

std::string NumberText(double value) {
  char buffer[40];
  std::snprintf(buffer, sizeof buffer, "%.15g", value);
  return buffer;
}

// "int, 1..4096", "a | b"
std::string TypeText(const ParamInfo& param) {
  if (!param.choices.empty()) return Join(param.choices, " | ");
  std::string out = ParamTypeName(param.type);
  if (param.min && param.max) out += ", " + NumberText(*param.min) + ".." + NumberText(*param.max);
  return out;
}

std::string DefaultText(const ParamInfo& param) {
  if (param.required) return "required";
  return param.default_value ? param.default_value->dump() : "none";
}

std::string PortText(const PortInfo& port) {
  std::string out = port.type;
  if (port.many) out += ", many";
  if (port.optional) out += ", optional";
  return out;
}

constexpr size_t kTextCells = 100;

// Words in lines of at most `cells`, each behind `indent`.
std::string Wrapped(const std::string& text, const std::string& indent, size_t cells) {
  std::string out, line;
  for (const auto word : Split(text, ' ')) {
    if (!line.empty() && DisplayWidth(indent) + DisplayWidth(line) + 1 + DisplayWidth(word) > cells) {
      out += indent + line + "\n";
      line.clear();
    }
    if (!line.empty()) line += ' ';
    line += word;
  }
  return line.empty() ? out : out + indent + line + "\n";
}

std::string Notes(const ParamInfo& param) {
  std::string out = param.doc;
  if (param.secret) out += " Secret.";
  if (param.is_volatile) out += " Does not count in the cache key.";
  return out;
}

// A cell of a Markdown table.
std::string Cell(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '|')
      out += "\\|";
    else
      out += c == '\n' ? ' ' : c;
  }
  return out;
}

constexpr char kInProcesses[] = "Can run in several processes: `resources: { processes: N }`.";

std::string StageMarkdown(const StageInfo& stage) {
  std::string out = "## " + stage.name + "\n\n" + stage.summary + "\n\nVersion " + stage.version + ".";
  out += stage.processes ? std::string(" ") + kInProcesses + "\n" : "\n";
  if (!Trim(stage.doc).empty()) out += "\n" + std::string(Trim(stage.doc)) + "\n";
  const auto ports = [&](const char* title, const std::vector<PortInfo>& list) {
    if (list.empty()) return;
    out += "\n| " + std::string(title) + " | type | |\n|---|---|---|\n";
    for (const auto& port : list)
      out += "| `" + port.name + "` | " + PortText(port) + " | " + Cell(port.doc) + " |\n";
  };
  ports("input", stage.inputs);
  ports("output", stage.outputs);
  if (!stage.params.empty()) {
    out += "\n| parameter | type | default | |\n|---|---|---|---|\n";
    for (const auto& param : stage.params) {
      const std::string value =
          param.required || !param.default_value ? DefaultText(param) : "`" + Cell(DefaultText(param)) + "`";
      out += "| `" + param.name + "` | " + Cell(TypeText(param)) + " | " + value + " | " +
             Cell(Notes(param)) + " |\n";
    }
  }
  return out;
}

}  // namespace

StageInfo ExecInfo() {
  StageInfo exec;
  exec.name = "exec";
  exec.summary = "Runs a shell text with declared outputs.";
  exec.doc =
      "The text is bash, run with -eo pipefail in the pipeline's folder. The stage names its own ports: "
      "inputs "
      "under `in:`, outputs with their types under `out: { PORT: TYPE }`. Their paths are in "
      "`GENFLOW_IN_<PORT>` and `GENFLOW_OUT_<PORT>`, in capitals. What it prints is its log.";
  ParamInfo run;
  run.name = "run";
  run.required = true;
  run.doc = "The shell text.";
  ParamInfo files;
  files.name = "files";
  files.type = ParamType::kFiles;
  files.doc = "Globs of files that the text reads: when their content changes, the stage runs again.";
  exec.params = {run, files};
  return exec;
}

std::string DescribeStage(const StageInfo& stage, bool color) {
  std::string out = Styled(stage.name, Style::kBold, color);
  if (!stage.plugin_name.empty()) out += " " + stage.version + "  (plugin " + stage.plugin_name + ")";
  out += "\n" + stage.summary + "\n";
  if (stage.processes) out += RenderMarkdown(kInProcesses, "", color);
  if (!Trim(stage.doc).empty()) {
    const std::string doc = RenderMarkdown(stage.doc, "", color);
    out += "\n";
    for (const auto line : Split(Trim(doc), '\n')) {
      const bool prose = line.find("  ") == std::string_view::npos;  // tables and code keep their lines
      out += prose ? Wrapped(std::string(line), "", kTextCells) : std::string(line) + "\n";
    }
  }
  const auto ports = [&](const char* title, const std::vector<PortInfo>& list) {
    if (list.empty()) return;
    Table table({title, "type", ""});
    for (const auto& port : list) table.Add({port.name, PortText(port), port.doc});
    out += "\n" + table.Render("", color);
  };
  ports("input", stage.inputs);
  ports("output", stage.outputs);
  for (size_t i = 0; i < stage.params.size(); ++i) {
    const ParamInfo& param = stage.params[i];
    if (i == 0) out += "\n" + Styled("parameters", Style::kBold, color) + "\n";
    out += "  " + Styled(param.name, Style::kCyan, color) + "  " + ParamTypeName(param.type) +
           (param.min && param.max ? ", " + NumberText(*param.min) + ".." + NumberText(*param.max) : "") +
           ", " + (param.required ? "" : "default ") + DefaultText(param) + "\n";
    std::string text = Notes(param);
    if (!param.choices.empty()) text += " One of: " + Join(param.choices, ", ") + ".";
    out += Wrapped(text, "      ", kTextCells);
  }
  return out;
}

std::map<std::string, std::string> ReferencePages(const Catalog& catalog) {
  std::map<std::string, std::string> pages;
  std::string index =
      "# Stages\n\nGenerated by `genflow stages reference` from the stages' own descriptions.\n\n"
      "| stage | |\n|---|---|\n";
  for (const auto& stage : catalog.stages()) {
    const std::string file = stage.plugin_name + ".md";
    std::string anchor;  // as GitHub makes it from the heading
    for (const char c : stage.name) anchor += c == '.' ? std::string() : std::string(1, c);
    index += "| [" + stage.name + "](" + file + "#" + anchor + ") | " + Cell(stage.summary) + " |\n";
    std::string& page = pages[file];
    if (page.empty()) page = "# Plugin " + stage.plugin_name + "\n";
    page += "\n" + StageMarkdown(stage);
  }
  pages["README.md"] = index;
  return pages;
}

}  // namespace genflow::cli
