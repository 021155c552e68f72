#include "data/roff.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/strings.h"
#include "data/roff_escapes.h"

namespace genflow::data {
namespace {

constexpr size_t kMaxStrings = 4096;

void SkipSpaces(std::string_view* text) {
  while (!text->empty() && (text->front() == ' ' || text->front() == '\t')) text->remove_prefix(1);
}

// Reads the word up to white space.
std::string_view TakeWord(std::string_view* text) {
  SkipSpaces(text);
  const size_t end = std::min(text->find_first_of(" \t"), text->size());
  const std::string_view word = text->substr(0, end);
  text->remove_prefix(end);
  return word;
}

int BraceDepth(std::string_view line) {
  int depth = 0;
  for (size_t i = 0; i + 1 < line.size(); ++i) {
    if (line[i] != '\\') continue;
    ++i;
    if (line[i] == '{') ++depth;
    if (line[i] == '}') --depth;
  }
  return depth;
}

bool ParseInt(std::string_view text, int64_t* value) {
  text = Trim(text);
  while (text.size() > 2 && text.front() == '(' && text.back() == ')') text = text.substr(1, text.size() - 2);
  if (!text.empty() && text.back() == 'u') text.remove_suffix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

RoffReader::RoffReader(std::string_view page)
    : page_(page),
      variables_{
          {{"Aq", "'"}, {"R", "®"},  {"Tm", "™"},  {"lq", "“"}, {"rq", "”"},   {"L\"", "\""}, {"R\"", "\""},
           {"C'", "'"}, {"C`", "'"}, {"--", "--"}, {"PI", "π"}, {"C+", "C++"}, {"q", "\""},   {"Lq", "“"},
           {"Rq", "”"}, {"Ba", "|"}, {"Le", "≤"},  {"Ge", "≥"}, {"Am", "&"},   {"Lt", "<"},   {"Gt", ">"}},
          {{".g", 1}}} {}

bool RoffReader::NextInput(std::string* line) {
  line->clear();
  if (!pushed_.empty()) {
    *line = std::move(pushed_.back());
    pushed_.pop_back();
    return true;
  }
  if (at_ >= page_.size()) return false;
  while (at_ < page_.size()) {
    const size_t end = std::min(page_.find('\n', at_), page_.size());
    std::string_view piece = page_.substr(at_, end - at_);
    at_ = end + 1;
    if (!piece.empty() && piece.back() == '\r') piece.remove_suffix(1);
    size_t slashes = 0;
    while (slashes < piece.size() && piece[piece.size() - 1 - slashes] == '\\') ++slashes;
    if (slashes % 2 == 0 || piece.find("\\\"") != std::string_view::npos) {
      line->append(piece);
      return true;
    }
    line->append(piece.substr(0, piece.size() - 1));
    // A block that opens at the line's end keeps its lines apart.
    if (line->ends_with("\\{") || line->size() > kMaxRoffText) return true;
  }
  return true;
}

bool RoffReader::Next(RoffLine* line) {
  std::string raw;
  while (NextInput(&raw)) {
    *line = {};
    if (!raw.empty() && (raw[0] == '.' || raw[0] == '\'')) {
      std::string_view rest = std::string_view(raw).substr(1);
      Request(rest, line);
      if (line->request.empty()) continue;
      return true;
    }
    line->text = RenderRoff(raw, variables_, &line->joins_next);
    // A line that held nothing but a comment or a closing brace is no empty line.
    if (line->text.empty() && !Trim(raw).empty()) continue;
    return true;
  }
  return false;
}

void RoffReader::Request(std::string_view rest, RoffLine* line) {
  SkipSpaces(&rest);
  const size_t end = std::min(rest.find_first_of(" \t\\"), rest.size());
  const std::string_view name = rest.substr(0, end);
  rest.remove_prefix(end);
  if (name.empty()) return;  // comment, ".\}", lone dot
  if (name == "de" || name == "de1" || name == "am" || name == "ig" || name == "dei" || name == "ami") {
    SkipDefinition(name == "ig" ? std::string(" x ") + std::string(rest) : std::string(rest));
  } else if (name == "if" || name == "ie") {
    const bool taken = Condition(&rest);
    if (name == "ie") else_branches_.push_back(!taken);
    Branch(taken, rest);
  } else if (name == "el") {
    const bool taken = !else_branches_.empty() && else_branches_.back();
    if (!else_branches_.empty()) else_branches_.pop_back();
    Branch(taken, rest);
  } else if (name == "while") {
    Branch(false, rest);
  } else if (name == "ds" || name == "as" || name == "ds1" || name == "as1") {
    const std::string key(TakeWord(&rest));
    SkipSpaces(&rest);
    if (!rest.empty() && rest.front() == '"') rest.remove_prefix(1);
    bool ignored = false;
    std::string value = RenderRoff(rest, variables_, &ignored);
    std::string& to = variables_.strings[key];
    to = name.starts_with("as") && to.size() < kMaxRoffText ? to + value : value;
    if (variables_.strings.size() > kMaxStrings) variables_.strings.clear();
  } else if (name == "nr") {
    const std::string key(TakeWord(&rest));
    bool ignored = false;
    int64_t value = 0;
    if (ParseInt(RenderRoff(rest, variables_, &ignored), &value) && variables_.registers.size() < kMaxStrings)
      variables_.registers[key] = value;
  } else if (name == "TS") {
    SkipTo("TE");
  } else if (name == "EQ") {
    SkipTo("EN");
  } else if (name == "PS") {
    SkipTo("PE");
  } else {
    line->request = name;
    line->args = Arguments(rest, &line->joins_next);
  }
}

bool RoffReader::Condition(std::string_view* rest) {
  SkipSpaces(rest);
  bool negated = false;
  while (!rest->empty() && rest->front() == '!') {
    negated = !negated;
    rest->remove_prefix(1);
  }
  if (rest->empty()) return false;
  bool value = false;
  const char first = rest->front();
  const bool letter_alone = rest->size() == 1 || !((*rest)[1] >= '0' && (*rest)[1] <= '9');
  if ((first == 'n' || first == 'o' || first == 't' || first == 'e' || first == 'v') && letter_alone) {
    value = first == 'n' || first == 'o';
    rest->remove_prefix(1);
  } else if (first == 'd' || first == 'r' || first == 'c' || first == 'm' || first == 'F' || first == 'S') {
    rest->remove_prefix(1);
    const std::string_view name = TakeWord(rest);
    value = (first == 'd' && variables_.strings.contains(name)) ||
            (first == 'r' && variables_.registers.contains(name));
  } else if (first == '\'' || first == '"') {
    bool ignored = false;
    size_t at = 0;
    const std::string left = RenderRoff(Delimited(*rest, &at), variables_, &ignored);
    --at;  // the middle delimiter opens the second text
    const std::string right = RenderRoff(Delimited(*rest, &at), variables_, &ignored);
    value = left == right;
    rest->remove_prefix(std::min(at, rest->size()));
  } else {
    size_t i = 0;
    int depth = 0;
    while (i < rest->size()) {
      const char c = (*rest)[i];
      if (c == '\\' && i + 1 < rest->size()) {
        if ((*rest)[i + 1] == '{') break;
        const bool named = (*rest)[i + 1] == 'n' || (*rest)[i + 1] == '*';
        i += 2;
        if (named) EscapeName(*rest, &i);
        continue;
      }
      if (c == '(') ++depth;
      if (c == ')') --depth;
      if ((c == ' ' || c == '\t') && depth <= 0) break;
      ++i;
    }
    bool ignored = false;
    value = Comparison(RenderRoff(rest->substr(0, i), variables_, &ignored));
    rest->remove_prefix(i);
  }
  SkipSpaces(rest);
  return value != negated;
}

bool RoffReader::Comparison(std::string_view expression) {
  int64_t left = 0, right = 0;
  if (ParseInt(expression, &left)) return left > 0;
  const size_t op = expression.find_first_of("<>=");
  if (op == std::string_view::npos || op == 0) return false;
  size_t after = op + 1;
  const bool or_equal = after < expression.size() && expression[after] == '=';
  if (or_equal) ++after;
  if (!ParseInt(expression.substr(0, op), &left) || !ParseInt(expression.substr(after), &right)) return false;
  if (expression[op] == '=') return left == right;
  if (or_equal && left == right) return true;
  return expression[op] == '<' ? left < right : left > right;
}

void RoffReader::Branch(bool taken, std::string_view rest) {
  SkipSpaces(&rest);
  const bool block = rest.starts_with("\\{");
  if (taken) {
    if (block) rest.remove_prefix(2);
    SkipSpaces(&rest);
    if (!rest.empty()) pushed_.emplace_back(rest);
    return;
  }
  int depth = BraceDepth(rest);
  std::string line;
  while (depth > 0 && NextInput(&line)) depth += BraceDepth(line);
}

void RoffReader::SkipDefinition(std::string_view rest) {
  TakeWord(&rest);
  std::string_view end = TakeWord(&rest);
  if (end.empty() || end.front() == '\\') end = ".";
  SkipTo(std::string(end));
}

void RoffReader::SkipTo(std::string_view request) {
  std::string line;
  while (NextInput(&line)) {
    if (line.empty() || (line[0] != '.' && line[0] != '\'')) continue;
    std::string_view rest = std::string_view(line).substr(1);
    if (TakeWord(&rest) == request) return;
  }
}

std::vector<std::string> RoffReader::Arguments(std::string_view rest, bool* joins_next) {
  std::vector<std::string> args;
  size_t i = 0;
  while (i < rest.size()) {
    if (rest[i] == ' ' || rest[i] == '\t') {
      ++i;
      continue;
    }
    if (rest[i] == '\\' && i + 1 < rest.size() && (rest[i + 1] == '"' || rest[i + 1] == '#')) break;
    std::string raw;
    const bool quoted = rest[i] == '"';
    if (quoted) ++i;
    while (i < rest.size()) {
      const char c = rest[i];
      if (quoted && c == '"') {
        if (i + 1 < rest.size() && rest[i + 1] == '"') {
          raw += '"';
          i += 2;
          continue;
        }
        ++i;
        break;
      }
      if (!quoted && (c == ' ' || c == '\t')) break;
      if (c == '\\' && i + 1 < rest.size()) {
        // An escape may hold a space: "\ ".
        raw.append(rest.substr(i, 2));
        i += 2;
        continue;
      }
      raw += c;
      ++i;
    }
    std::string text = RenderRoff(raw, variables_, joins_next);
    // "\}" alone closes a block; "\&" alone is an empty argument that someone wanted.
    if (raw != "\\}" && raw != "\\{") args.push_back(std::move(text));
  }
  return args;
}

}  // namespace genflow::data
