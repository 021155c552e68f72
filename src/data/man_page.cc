#include "data/man_page.h"

#include <simdjson.h>

#include <algorithm>
#include <utility>

#include "base/strings.h"
#include "data/mdoc.h"
#include "data/roff.h"
#include "text/unicode.h"
#include "text/white_space.h"

namespace genflow::data {
namespace {

std::string Latin1ToUtf8(std::string_view text) {
  std::string out;
  out.reserve(text.size() + text.size() / 8);
  for (const char c : text) text::AppendUtf8(static_cast<unsigned char>(c), &out);
  return out;
}

// Text of the font macros of man(7): arguments joined by a space or, for the alternating ones, by nothing.
std::optional<std::string> FontText(const RoffLine& line) {
  static constexpr std::string_view kSpaced[] = {"B", "I", "SM", "SB"};
  static constexpr std::string_view kTight[] = {"BR", "BI", "IB", "IR", "RB", "RI"};
  if (std::find(std::begin(kSpaced), std::end(kSpaced), line.request) != std::end(kSpaced)) {
    return Join(line.args, " ");
  }
  if (std::find(std::begin(kTight), std::end(kTight), line.request) != std::end(kTight))
    return Join(line.args, "");
  if (line.request == "MR" && line.args.size() >= 2) {
    return line.args[0] + "(" + line.args[1] + ")" + (line.args.size() > 2 ? line.args[2] : "");
  }
  if (line.request == "UE" || line.request == "ME") return line.args.empty() ? "" : line.args[0];
  return std::nullopt;
}

bool EndsParagraph(const std::string& request) {
  static constexpr std::string_view kBreaks[] = {
      "PP", "LP", "P",  "TP", "TQ", "IP", "HP", "RS", "RE", "sp", "SS", "Ss", "nf", "EX", "Pp", "Bl",
      "El", "It", "Bd", "Ed", "in", "ti", "DS", "D1", "Dl", "bp", "Sp", "SY", "Vb", "ce", "ne"};
  return std::find(std::begin(kBreaks), std::end(kBreaks), request) != std::end(kBreaks);
}

void AppendText(std::string_view text, bool* joined, std::string* to) {
  if (!to->empty() && !*joined && to->back() != '\n') *to += ' ';
  *joined = false;
  to->append(text);
}

// Position and length of what parts the names from the description in a NAME line: a dash between spaces.
std::pair<size_t, size_t> FindDash(std::string_view text) {
  std::pair<size_t, size_t> best = {std::string_view::npos, 0};
  for (const std::string_view dash : {" - ", " -- ", " — ", " – ", " − ", " --- "}) {
    const size_t at = text.find(dash);
    if (at < best.first) best = {at, dash.size()};
  }
  return best;
}

std::vector<std::string> SplitNames(std::string_view text) {
  std::vector<std::string> names;
  for (const std::string_view piece : Split(text, ',')) {
    std::string name = text::CollapseSpaces(piece);
    if (!name.empty()) names.push_back(std::move(name));
  }
  return names;
}

// "1", "3pm", "8postfix", and the "n" and "l" of old; not the "20240101" or "log" of other files.
bool IsSection(std::string_view text) {
  constexpr size_t kLongestSuffix = 10;
  if (text == "n" || text == "l") return true;
  if (text.empty() || text[0] < '1' || text[0] > '9') return false;
  const std::string suffix = ToLowerAscii(text.substr(1));
  const auto is_letter = [](char c) { return c >= 'a' && c <= 'z'; };
  return suffix.size() <= kLongestSuffix && (suffix.empty() || is_letter(suffix[0])) &&
         std::all_of(suffix.begin(), suffix.end(),
                     [&](char c) { return is_letter(c) || (c >= '0' && c <= '9'); });
}

// Collects the lines of the two sections.
class PageReader {
 public:
  PageReader(std::string_view source, const ManFileName& file) : reader_(source), file_(file) {
    page_.section = file.section;
  }

  Result<std::optional<ManPage>> Read() {
    RoffLine line;
    while (!done_ && reader_.Next(&line)) {
      if (line.request == "so" && name_text_.empty() && page_.description.empty()) {
        return std::optional<ManPage>();
      }
      Take(line);
    }
    FinishName();
    page_.paragraph = text::CollapseSpaces(paragraph_);
    if (page_.names.empty() || page_.description.empty()) {
      return InvalidError("the page has no NAME line of the form 'name - description'");
    }
    // Some pages shout or capitalise their own name.
    if (ToLowerAscii(page_.names.front()) == ToLowerAscii(file_.stem)) page_.names.front() = file_.stem;
    // What was cut at a limit, or came from a file's name, may be no UTF-8.
    for (std::string& name : page_.names) name = text::ReplaceInvalidUtf8(name);
    page_.name = page_.names.front();
    page_.description = text::ReplaceInvalidUtf8(page_.description);
    page_.paragraph = text::ReplaceInvalidUtf8(page_.paragraph);
    return std::optional<ManPage>(std::move(page_));
  }

 private:
  enum class Section { kNone, kTitle, kName, kDescription, kOther };

  void Take(const RoffLine& line) {
    const std::string& request = line.request;
    if (request == "SH" || request == "Sh") {
      if (in_ == Section::kDescription) {
        done_ = true;
        return;
      }
      in_ = Section::kTitle;
      if (!line.args.empty()) Title(Join(line.args, " "));
      return;
    }
    if (in_ == Section::kTitle) {  // ".SH" whose title stands on the next line
      const auto text = request.empty() ? line.text : FontText(line).value_or("");
      if (!text.empty()) Title(text);
      return;
    }
    if (in_ == Section::kName) TakeName(line);
    if (in_ == Section::kDescription) TakeDescription(line);
  }

  void Title(std::string_view title) {
    const std::string word = ToLowerAscii(text::CollapseSpaces(title));
    in_ = Section::kOther;
    if (word == "name" && page_.description.empty()) in_ = Section::kName;
    if (word == "description" || word.starts_with("description ")) {
      FinishName();
      in_ = Section::kDescription;
    }
  }

  void TakeName(const RoffLine& line) {
    if (line.request == "Nm" || line.request == "Nd" || mdoc_) {
      mdoc_ = true;
      if (line.request == "Nm") {
        for (const auto& arg : line.args) {
          if (arg != "," && !arg.empty())
            page_.names.push_back(arg.ends_with(',') ? arg.substr(0, arg.size() - 1) : arg);
        }
      } else if (line.request == "Nd") {
        page_.description = MdocText({}, line.args, MdocName());
      } else if (line.request.empty()) {
        AppendText(line.text, &joined_, &page_.description);
      } else if (!line.args.empty()) {
        AppendText(MdocText(line.request, line.args, MdocName()), &joined_, &page_.description);
      }
      return;
    }
    if (line.request == "br" || EndsParagraph(line.request) || (line.request.empty() && line.text.empty())) {
      // Only the first entry of the section counts.
      if (FindDash(text::CollapseSpaces(name_text_)).first != std::string::npos) name_done_ = true;
      if (line.request == "TP" || line.request == "IP")
        AppendText(Join(line.args, " "), &joined_, &name_text_);
      return;
    }
    if (name_done_) return;
    const auto text = line.request.empty() ? std::optional<std::string>(line.text) : FontText(line);
    if (!text) return;
    AppendText(*text, &joined_, &name_text_);
    joined_ = line.joins_next;
  }

  void FinishName() {
    if (page_.description.empty() && !name_text_.empty()) {
      const std::string text = text::CollapseSpaces(name_text_);
      if (const auto [at, size] = FindDash(text); at != std::string::npos) {
        page_.names = SplitNames(std::string_view(text).substr(0, at));
        page_.description = text.substr(at + size);
      }
    }
    page_.description = text::CollapseSpaces(page_.description);
    name_text_.clear();
    joined_ = false;
  }

  void TakeDescription(const RoffLine& line) {
    if (EndsParagraph(line.request) || (line.request.empty() && Trim(line.text).empty())) {
      if (!text::CollapseSpaces(paragraph_).empty()) done_ = true;
      return;
    }
    if (line.request.empty()) {
      AppendText(line.text, &joined_, &paragraph_);
    } else if (mdoc_) {
      const std::string text = MdocText(line.request, line.args, MdocName());
      if (!text.empty()) AppendText(text, &joined_, &paragraph_);
    } else if (const auto text = FontText(line)) {
      AppendText(*text, &joined_, &paragraph_);
    } else {
      return;
    }
    joined_ = line.joins_next;
  }

  std::string MdocName() const { return page_.names.empty() ? file_.stem : page_.names.front(); }

  RoffReader reader_;
  ManFileName file_;
  ManPage page_;
  Section in_ = Section::kNone;
  std::string name_text_, paragraph_;
  bool mdoc_ = false, joined_ = false, name_done_ = false, done_ = false;
};

}  // namespace

std::optional<ManFileName> ParseManFileName(std::string_view file_name) {
  for (const std::string_view packed : {".gz", ".zst"}) {
    if (file_name.ends_with(packed)) file_name.remove_suffix(packed.size());
  }
  const size_t dot = file_name.rfind('.');
  if (dot == std::string_view::npos || dot == 0 || dot + 1 == file_name.size()) return std::nullopt;
  const std::string_view section = file_name.substr(dot + 1);
  if (!IsSection(section)) return std::nullopt;
  return ManFileName{std::string(file_name.substr(0, dot)), std::string(section)};
}

Result<std::optional<ManPage>> ParseManPage(std::string_view source, const ManFileName& file) {
  std::string converted;
  if (!simdjson::validate_utf8(source.data(), source.size())) {
    converted = Latin1ToUtf8(source);
    source = converted;
  }
  return PageReader(source, file).Read();
}

}  // namespace genflow::data
