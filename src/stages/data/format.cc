#include "stages/data/format.h"

#include "base/strings.h"
#include "stages/data/run_helpers.h"

namespace genflow::stages {

void DataFormat::Declare(Spec& spec) {
  spec.Doc(
      "In a template `{field}` stands for a field of the row, and `{field|filter|filter}` for what filters "
      "make of it; "
      "`{{` and `}}` are braces:\n\n"
      "```yaml\n"
      "user: [\"What does {meta.name} do?\", \"Explain {meta.name}.\"]\n"
      "assistant: \"`{meta.name}`: {text|sentence}\"\n"
      "```\n\n"
      "Text rows have `id`, `text`, `source`; messages rows `id` and the first message of each role "
      "(`system`, `user`, "
      "`assistant`); preference rows `id`, `prompt`, `chosen`, `rejected`; all have `content`, all their "
      "text, and "
      "`meta.*`.\n\n"
      "Filters: `lower`, `upper`, `capitalize`, `uncapitalize` (leaves acronyms), `trim`, `oneline`, "
      "`period` (a full "
      "stop at the end), `no_period`, `sentence` (oneline, capitalize, period), `first_sentence`, "
      "`truncate:80`, "
      "`default:text`.\n\n"
      "A row that lacks a field is left out and counted, unless the template has a default for it.");
  spec.Param("to", &to, "messages", "Kind of the rows made.",
             {.choices = {"messages", "preference", "text"}});
  spec.Param("system", &system, "", "Template of the system message; none when empty.");
  spec.Param("user", &user, "[]",
             "Template of the user message, or a list of which a row takes one by the hash of its id.");
  spec.Param("assistant", &assistant, "", "Template of the assistant message; none when empty.");
  spec.Param("prompt", &prompt, "", "Template of a preference's prompt.");
  spec.Param("chosen", &chosen, "", "Template of a preference's better answer.");
  spec.Param("rejected", &rejected, "", "Template of a preference's worse answer.");
  spec.Param("text", &text, "", "Template of the text, for text rows.");
  spec.Param("seed", &seed, 0, "Another seed deals the user templates out anew.", {.min = 0, .max = 9e15});
  spec.Param("on_empty", &on_empty, "drop",
             "What a row that lacks a field does: be left out and counted, or fail.",
             {.choices = {"drop", "fail"}});
  spec.Input("dataset", "dataset", "Rows of any kind.");
  spec.Output("dataset", "dataset", "The formatted rows, with the ids and meta that they had.");
}

data::FormatOptions DataFormat::Options() const {
  data::FormatOptions out;
  out.to = *data::KindFromName(to);
  out.system = system;
  out.user = user;
  out.assistant = assistant;
  out.prompt = prompt;
  out.chosen = chosen;
  out.rejected = rejected;
  out.text = text;
  out.seed = static_cast<uint64_t>(seed);
  out.fail_on_empty = on_empty == "fail";
  return out;
}

std::string DataFormat::Check() const { return CheckText(data::CheckFormat(Options())); }

Outcome DataFormat::Run(Context& context) {
  const auto stats =
      ValueUnlessStopped(data::FormatDataset(context.GetInput("dataset").path, Options(),
                                             context.OutputPath("dataset"), ProgressOf(context, "rows")));
  if (!stats) return Outcome::kInterrupted;
  context.Metric("rows", static_cast<double>(stats->rows_out));
  std::string summary = WithCommas(static_cast<int64_t>(stats->rows_out)) + " of " +
                        WithCommas(static_cast<int64_t>(stats->rows_in)) + " rows formatted";
  for (const auto& [path, count] : stats->dropped) {
    const std::string text_of =
        WithCommas(static_cast<int64_t>(count)) + " rows without " + path + " left out";
    context.Warn(text_of);
    summary += "; " + text_of;
  }
  context.Info(summary);
  context.Summary(summary + ".");
  return Outcome::kOk;
}

}  // namespace genflow::stages
