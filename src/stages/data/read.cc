#include "stages/data/read.h"

#include <filesystem>

#include "base/strings.h"
#include "data/read.h"
#include "stages/data/run_helpers.h"

namespace genflow::stages {

void DataRead::Declare(Spec& spec) {
  spec.Doc(
      "Compressed files (`.gz`, `.zst`) are read as they are. Records of JSONL, JSON, CSV and Parquet may "
      "be\n\n"
      "- text: the field named by `text_field`;\n"
      "- chats: `messages` of `role` and `content`, ShareGPT's `conversations` of `from` and `value`, "
      "`prompt` with "
      "`completion`, or Alpaca's `instruction`, `input` and `output`;\n"
      "- preferences: `prompt`, `chosen` and `rejected`.\n\n"
      "Which of them is decided by the first record, or by `kind`. Other fields are kept in `meta`.\n\n"
      "`format: man` reads manual pages (man and mdoc): the text of a row is the page's one-line "
      "description, and "
      "`meta` holds `name`, `names`, `section` and `paragraph`, the first paragraph of its DESCRIPTION. "
      "Pages without "
      "a NAME line are left out and counted; a page that goes by several file names gives one row.\n\n"
      "With `on_error: skip` these still fail the stage: a CSV file whose header is malformed or in which a "
      "quote is "
      "never closed, and files compressed in another way than `.gz` and `.zst`.");
  spec.Files("files", &files, "The files to read, as one pattern or a list of them.", {.required = true});
  spec.Param("format", &format, "auto", "Format of the files; auto goes by their names.",
             {.choices = {"auto", "jsonl", "json", "csv", "parquet", "text", "man"}});
  spec.Param("exclude", &exclude, "[]",
             "Patterns (* ? [a-z]) of file names, without folders, that are left out.");
  spec.Param("kind", &kind, "auto", "Kind of the rows; auto goes by the first record.",
             {.choices = {"auto", "text", "messages", "preference"}});
  spec.Param("text_field", &text_field, "text", "Field that holds the text of text rows.");
  spec.Param("id_field", &id_field, "id",
             "Field that holds a row's id. Rows without it are named by file and line: \"chats.jsonl:12\".");
  spec.Param("meta_fields", &meta_fields, "[\"*\"]", "Other fields kept in meta; \"*\" is all of them.");
  spec.Param("delimiter", &delimiter, "auto",
             "What stands between the fields of CSV: one character, or auto.");
  spec.Param("text_unit", &text_unit, "file", "What of a text file makes a row.",
             {.choices = {"file", "paragraph", "line"}});
  spec.Param("sections", &sections, "[]",
             "Sections of manual pages that are read, such as [1, 8]; all when empty.");
  spec.Param(
      "limit", &limit,
      "At most so many rows: those whose ids hash lowest, so that the sample does not depend on the order of "
      "files.",
      {.min = 1, .max = 1e12});
  spec.Param("on_error", &on_error, "fail",
             "What a malformed record does: fail the stage, or be skipped and counted.",
             {.choices = {"fail", "skip"}});
  spec.Output("dataset", "dataset", "The rows, in the order of files and records.");
}

std::string DataRead::Check() const {
  if (delimiter != "auto" && delimiter != "\\t" && delimiter.size() != 1) {
    return "delimiter must be one character, or auto, and not '" + delimiter + "'";
  }
  return "";
}

Outcome DataRead::Run(Context& context) {
  data::ReadOptions options;
  options.format = *data::FormatFromName(format);
  options.records.kind = data::KindFromName(kind);
  options.records.text_field = text_field;
  options.records.id_field = id_field;
  options.records.meta_fields = meta_fields;
  if (delimiter == "\\t") options.csv_delimiter = '\t';
  if (delimiter.size() == 1) options.csv_delimiter = delimiter[0];
  if (text_unit == "paragraph") options.text_unit = data::TextUnit::kParagraph;
  if (text_unit == "line") options.text_unit = data::TextUnit::kLine;
  options.sections = sections;
  options.exclude = exclude;
  options.skip_bad = on_error == "skip";
  if (limit) options.limit = static_cast<uint64_t>(*limit);
  const std::vector<std::filesystem::path> paths(files.begin(), files.end());
  const auto stats = ValueUnlessStopped(
      data::ReadFiles(paths, options, context.OutputPath("dataset"), ProgressOf(context, "bytes")));
  if (!stats) return Outcome::kInterrupted;

  for (const auto& problem : stats->problems) context.Warn("skipped: " + problem);
  if (stats->skipped > stats->problems.size()) {
    context.Warn(WithCommas(static_cast<int64_t>(stats->skipped - stats->problems.size())) +
                 " more were skipped");
  }
  context.Metric("rows", static_cast<double>(stats->rows));
  context.Metric("files", static_cast<double>(stats->files));
  context.Metric("skipped", static_cast<double>(stats->skipped));
  std::string summary = WithCommas(static_cast<int64_t>(stats->rows)) + " rows from " +
                        WithCommas(static_cast<int64_t>(stats->files)) + " files (" +
                        HumanBytes(stats->bytes) + ")";
  if (stats->links > 0)
    summary += ", " + WithCommas(static_cast<int64_t>(stats->links)) + " pages said twice";
  if (stats->skipped > 0) summary += ", " + WithCommas(static_cast<int64_t>(stats->skipped)) + " skipped";
  context.Info(summary);
  context.Summary(summary + ".");
  return Outcome::kOk;
}

}  // namespace genflow::stages
