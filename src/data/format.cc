#include "data/format.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "base/strings.h"
#include "data/fields.h"
#include "data/stable_hash.h"
#include "data/template.h"

namespace genflow::data {
namespace {

constexpr uint64_t kRowsOfNames = 1000;  // whose field names are suggested for one that is misspelt

using FormatProgress = std::function<bool(uint64_t done, uint64_t total)>;

Error Interrupted() { return MakeError(Code::kInterrupted, "formatting was interrupted"); }

struct Templates {
  Template system, assistant, prompt, chosen, rejected, text;
  std::vector<Template> user;

  std::vector<const Template*> All() const {
    std::vector<const Template*> out = {&system, &assistant, &prompt, &chosen, &rejected, &text};
    for (const auto& variant : user) out.push_back(&variant);
    return out;
  }
};

Result<Template> CompileParam(const std::string& name, const std::string& text) {
  auto compiled = Template::Compile(text);
  if (compiled.ok()) return compiled;
  Error error = std::move(compiled).error();
  error.message = name + ": " + error.message;
  return error;
}

Result<Templates> Compile(const FormatOptions& options) {
  Templates out;
  GF_TRY(out.system, CompileParam("system", options.system));
  GF_TRY(out.assistant, CompileParam("assistant", options.assistant));
  GF_TRY(out.prompt, CompileParam("prompt", options.prompt));
  GF_TRY(out.chosen, CompileParam("chosen", options.chosen));
  GF_TRY(out.rejected, CompileParam("rejected", options.rejected));
  GF_TRY(out.text, CompileParam("text", options.text));
  for (size_t i = 0; i < options.user.size(); ++i) {
    const std::string name = options.user.size() == 1 ? "user" : "user[" + std::to_string(i) + "]";
    GF_TRY(Template compiled, CompileParam(name, options.user[i]));
    out.user.push_back(std::move(compiled));
  }
  const auto needs = [&](const char* name, bool given) -> Status {
    if (given) return Ok();
    return InvalidError(std::string(name) + " is needed to make " + KindName(options.to) + " rows");
  };
  const bool has_user = !out.user.empty() && std::none_of(out.user.begin(), out.user.end(),
                                                          [](const auto& t) { return t.empty(); });
  switch (options.to) {
    case Kind::kText:
      GF_CHECK_OK(needs("text", !out.text.empty()));
      break;
    case Kind::kMessages:
      GF_CHECK_OK(needs("user", has_user));
      break;
    case Kind::kPreference:
      GF_CHECK_OK(needs("prompt", !out.prompt.empty()));
      GF_CHECK_OK(needs("chosen", !out.chosen.empty()));
      GF_CHECK_OK(needs("rejected", !out.rejected.empty()));
      break;
  }
  return out;
}

// Every field that the templates need is one that at least one row of the dataset has.
Status CheckFields(const Templates& templates, DatasetReader* reader, const FormatProgress& progress) {
  std::set<std::string> meta_wanted;
  for (const Template* item : templates.All()) {
    for (const auto& path : item->Paths()) GF_CHECK_OK(CheckFieldPath(path, reader->kind()));
    for (const auto& path : item->NeededPaths()) {
      if (path.starts_with("meta.")) meta_wanted.insert(path);
    }
  }
  std::set<std::string> have;
  FieldReader fields;
  AnyRow row;
  for (uint64_t i = 0; i < reader->rows() && !meta_wanted.empty(); ++i) {
    GF_TRY(const bool more, reader->Next(&row));
    if (!more) break;
    if (i % 1024 == 1023 && progress && !progress(0, reader->rows())) return Interrupted();
    fields.Set(row);
    std::erase_if(meta_wanted, [&](const std::string& path) { return fields.Get(path).has_value(); });
    if (i >= kRowsOfNames) continue;
    for (auto& path : fields.MetaPaths()) have.insert(std::move(path));
  }
  GF_CHECK_OK(reader->Rewind());
  if (meta_wanted.empty() || reader->rows() == 0) return Ok();
  const std::vector<std::string> names(have.begin(), have.end());
  const auto near = NearestName(*meta_wanted.begin(), names);
  return InvalidError("no row has the field '" + *meta_wanted.begin() + "'",
                      near            ? "did you mean '" + *near + "'?"
                      : names.empty() ? "the rows have an empty meta"
                                      : "the rows have " + Join(names, ", "));
}

class Formatter {
 public:
  Formatter(const FormatOptions& options, const Templates& templates)
      : options_(options), templates_(templates) {}

  // The row made of the row that `fields` is set to; nothing, and the field's path in `missing`, when it
  // lacks one.
  std::optional<AnyRow> Make(const AnyRow& row, FieldReader* fields, std::string* missing) const {
    const auto expand = [&](const Template& item) { return item.Expand(fields, missing); };
    switch (options_.to) {
      case Kind::kText: {
        auto text = expand(templates_.text);
        if (!text) return std::nullopt;
        const auto* from = std::get_if<TextRow>(&row);
        return TextRow{IdOf(row), *std::move(text), from != nullptr ? from->source : "", MetaOf(row)};
      }
      case Kind::kMessages: {
        const size_t variant = StableHash(IdOf(row), options_.seed) % templates_.user.size();
        MessagesRow out{IdOf(row), {}, MetaOf(row)};
        const std::pair<const char*, const Template*> turns[] = {{"system", &templates_.system},
                                                                 {"user", &templates_.user[variant]},
                                                                 {"assistant", &templates_.assistant}};
        for (const auto& [role, item] : turns) {
          if (item->empty()) continue;
          auto content = expand(*item);
          if (!content) return std::nullopt;
          out.messages.push_back({role, *std::move(content)});
        }
        return out;
      }
      case Kind::kPreference: {
        auto prompt = expand(templates_.prompt), chosen = expand(templates_.chosen),
             rejected = expand(templates_.rejected);
        if (!prompt || !chosen || !rejected) return std::nullopt;
        return PreferenceRow{IdOf(row), *std::move(prompt), *std::move(chosen), *std::move(rejected),
                             MetaOf(row)};
      }
    }
    return std::nullopt;
  }

 private:
  const FormatOptions& options_;
  const Templates& templates_;
};

}  // namespace

Status CheckFormat(const FormatOptions& options) {
  GF_CHECK_OK(Compile(options));
  return Ok();
}

Result<FormatStats> FormatDataset(const std::filesystem::path& from, const FormatOptions& options,
                                  const std::filesystem::path& folder, const FormatProgress& progress) {
  GF_TRY(const Templates templates, Compile(options));
  GF_TRY(DatasetReader reader, DatasetReader::Open(from));
  GF_CHECK_OK(CheckFields(templates, &reader, progress));
  GF_TRY(DatasetWriter writer, DatasetWriter::Create(folder, options.to));
  const Formatter formatter(options, templates);
  FormatStats stats;
  FieldReader fields;
  AnyRow row;
  while (true) {
    GF_TRY(const bool more, reader.Next(&row));
    if (!more) break;
    if (++stats.rows_in % 1024 == 0 && progress && !progress(stats.rows_in, reader.rows()))
      return Interrupted();
    fields.Set(row);
    std::string missing;
    const auto made = formatter.Make(row, &fields, &missing);
    if (made) {
      GF_CHECK_OK(writer.Append(*made));
    } else if (options.fail_on_empty) {
      return InvalidError("row '" + IdOf(row) + "' has a missing or empty field '" + missing + "'",
                          "on_empty: drop leaves such rows out, {" + missing + "|default:...} fills them in");
    } else {
      ++stats.dropped[missing];
    }
  }
  stats.rows_out = writer.rows();
  if (stats.rows_out == 0) {
    if (stats.rows_in == 0) return InvalidError("the dataset has no rows");
    return InvalidError("no row is left: each lacks a field that a template names, such as '" +
                        stats.dropped.begin()->first + "'");
  }
  GF_CHECK_OK(writer.Finish());
  return stats;
}

}  // namespace genflow::data
