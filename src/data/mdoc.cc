#include "data/mdoc.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

namespace genflow::data {
namespace {

struct Enclosure {
  std::string_view macro, open, close;
};
// Enclose the rest of their line.
constexpr Enclosure kEnclosures[] = {{"Op", "[", "]"}, {"Dq", "\"", "\""}, {"Qq", "\"", "\""},
                                     {"Sq", "'", "'"}, {"Ql", "'", "'"},   {"Pq", "(", ")"},
                                     {"Bq", "[", "]"}, {"Aq", "<", ">"},   {"Brq", "{", "}"}};
// Opened by one macro and closed by another.
constexpr std::pair<std::string_view, std::string_view> kBrackets[] = {
    {"Oo", "["}, {"Oc", "]"}, {"Do", "\""}, {"Dc", "\""}, {"Qo", "\""}, {"Qc", "\""},
    {"So", "'"}, {"Sc", "'"}, {"Po", "("},  {"Pc", ")"},  {"Bo", "["},  {"Bc", "]"},
    {"Ao", "<"}, {"Ac", ">"}, {"Bro", "{"}, {"Brc", "}"}};
// Names of systems, before their arguments.
constexpr std::pair<std::string_view, std::string_view> kSystems[] = {
    {"Ux", "UNIX"},   {"Bx", "BSD"},     {"At", "AT&T UNIX"}, {"Fx", "FreeBSD"},
    {"Nx", "NetBSD"}, {"Ox", "OpenBSD"}, {"Dx", "DragonFly"}, {"Bsx", "BSD/OS"}};
// Whose arguments are printed as they are.
constexpr std::string_view kPlain[] = {"Ad", "An", "Ar", "Cd", "Cm", "Dv", "Em", "Er", "Ev", "Fa", "Ft", "Ic",
                                       "In", "Lb", "Li", "Lk", "Ms", "Mt", "Nm", "No", "Pa", "Pf", "St", "Sx",
                                       "Sy", "Tn", "Va", "Vt", "Xr", "Fn", "Fl", "Ns", "Ap", "Nd"};

template <class Table>
auto Lookup(const Table& table, std::string_view macro) {
  return std::find_if(std::begin(table), std::end(table), [&](const auto& entry) {
    if constexpr (std::is_same_v<std::decay_t<decltype(entry)>, Enclosure>) {
      return entry.macro == macro;
    } else {
      return entry.first == macro;
    }
  });
}

bool IsPlain(std::string_view macro) {
  return std::find(std::begin(kPlain), std::end(kPlain), macro) != std::end(kPlain);
}

bool IsMacro(std::string_view word) {
  return IsPlain(word) || Lookup(kEnclosures, word) != std::end(kEnclosures) ||
         Lookup(kBrackets, word) != std::end(kBrackets) || Lookup(kSystems, word) != std::end(kSystems);
}

bool Closes(std::string_view word) {
  return word.size() == 1 && std::string_view(".,:;)]?!").find(word[0]) != std::string_view::npos;
}
bool Opens(std::string_view word) { return word == "(" || word == "["; }

constexpr int kMaxDepth = 32;  // of enclosures; macros that go deeper print their arguments alone

// Arguments begin..end put one after the other with the spaces of mdoc: none before closing and after opening
// punctuation.
class Line {
 public:
  Line(const std::vector<std::string>& args, size_t begin, size_t end, const std::string& name, int depth)
      : args_(args), name_(name), at_(begin), end_(end), depth_(depth) {}

  std::string Text(std::string_view macro) {
    if (macro.empty()) {
      Words();
    } else {
      Macro(macro);
    }
    while (at_ < end_) {
      const std::string& word = args_[at_];
      if (IsMacro(word)) {
        ++at_;
        Macro(word);
      } else {
        Words();
      }
    }
    return std::move(out_);
  }

 private:
  bool AtWord() const { return at_ < end_ && !IsMacro(args_[at_]); }

  void Put(std::string_view text, bool closes = false) {
    if (!out_.empty() && !tight_ && !closes) out_ += ' ';
    out_ += text;
    tight_ = false;
  }
  void Word(const std::string& word) {
    Put(word, Closes(word));
    tight_ = Opens(word);
  }
  void Words() {
    while (AtWord()) Word(args_[at_++]);
  }

  void Macro(std::string_view macro) {
    if (const auto* e = Lookup(kEnclosures, macro); e != std::end(kEnclosures)) return Enclose(*e);
    if (const auto* b = Lookup(kBrackets, macro); b != std::end(kBrackets)) {
      const bool opens = macro.back() == 'o';
      Put(b->second, !opens);
      tight_ = opens;
      return Words();
    }
    if (const auto* s = Lookup(kSystems, macro); s != std::end(kSystems)) {
      Put(s->second);
      return Words();
    }
    if (macro == "Fl") return Flags();
    if (macro == "Ns") {
      tight_ = true;
      return Words();
    }
    if (macro == "Ap") {
      Put("'", true);
      tight_ = true;
      return;
    }
    if (macro == "Pf") {
      if (AtWord()) Put(args_[at_++]);
      tight_ = true;
      return;
    }
    if (macro == "Xr") {
      if (!AtWord()) return;
      std::string page = args_[at_++];
      if (AtWord() && !Closes(args_[at_])) page += "(" + args_[at_++] + ")";
      Put(page);
      return Words();
    }
    if (macro == "Fn") {
      if (!AtWord()) return;
      Put(args_[at_++] + "()");
      while (AtWord() && !Closes(args_[at_])) ++at_;  // its arguments
      return Words();
    }
    if ((macro == "Nm" || macro == "Ar") && (!AtWord() || Closes(args_[at_])))
      Put(macro == "Nm" ? name_ : "file ...");
    if (macro == "St" && AtWord()) {
      Put("POSIX");
      ++at_;
      return Words();
    }
    if (IsPlain(macro)) return Words();
    at_ = end_;  // a macro that makes no text
  }

  void Flags() {
    bool any = false;
    while (AtWord()) {
      const std::string& word = args_[at_++];
      if (Closes(word) || word == "|" || Opens(word)) {
        if (!any && !Opens(word)) Put("-");
        any = true;
        Word(word);
      } else {
        Put("-" + word);
        any = true;
      }
    }
    if (!any) {
      Put("-");
      tight_ = true;  // ".Fl Ar x" is "-x"
    }
  }

  void Enclose(const Enclosure& e) {
    if (depth_ == kMaxDepth) return Words();
    size_t end = end_;
    while (end > at_ && Closes(args_[end - 1])) --end;
    Put(std::string(e.open) + Line(args_, at_, end, name_, depth_ + 1).Text({}) + std::string(e.close));
    at_ = end;
    Words();
  }

  const std::vector<std::string>& args_;
  const std::string& name_;
  size_t at_, end_;
  int depth_;
  std::string out_;
  bool tight_ = false;
};

}  // namespace

std::string MdocText(std::string_view macro, const std::vector<std::string>& args, const std::string& name) {
  if (!macro.empty() && !IsMacro(macro)) return "";
  return Line(args, 0, args.size(), name, 0).Text(macro);
}

}  // namespace genflow::data
