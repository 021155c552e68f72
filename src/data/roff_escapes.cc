#include "data/roff_escapes.h"

#include <algorithm>

#include "data/roff_characters.h"

namespace genflow::data {

namespace {

// Where the UTF-8 character at `i` ends.
size_t CharacterEnd(std::string_view raw, size_t i) {
  if (i >= raw.size()) return raw.size();
  ++i;
  while (i < raw.size() && (raw[i] & 0xC0) == 0x80) ++i;
  return i;
}

}  // namespace

std::string_view EscapeName(std::string_view raw, size_t* i) {
  if (*i >= raw.size()) return {};
  if (raw[*i] == '(') {
    const size_t begin = *i + 1;
    *i = CharacterEnd(raw, CharacterEnd(raw, begin));
    return raw.substr(begin, *i - begin);
  }
  if (raw[*i] == '[') {
    const size_t end = std::min(raw.find(']', *i), raw.size());
    const std::string_view name = raw.substr(*i + 1, end - *i - 1);
    *i = std::min(end + 1, raw.size());
    return name;
  }
  const size_t begin = *i;
  *i = CharacterEnd(raw, begin);
  return raw.substr(begin, *i - begin);
}

std::string_view Delimited(std::string_view raw, size_t* i) {
  if (*i >= raw.size()) return {};
  const size_t begin = CharacterEnd(raw, *i);
  const std::string_view delimiter = raw.substr(*i, begin - *i);
  const size_t end = std::min(raw.find(delimiter, begin), raw.size());
  *i = std::min(end + delimiter.size(), raw.size());
  return raw.substr(begin, end - begin);
}

namespace {

// \s: a size, with a sign anywhere and one or two digits, or bracketed.
void SkipSize(std::string_view raw, size_t* i) {
  if (*i < raw.size() && (raw[*i] == '+' || raw[*i] == '-')) ++*i;
  if (*i >= raw.size()) return;
  if (raw[*i] == '(' || raw[*i] == '[') {
    EscapeName(raw, i);
  } else if (raw[*i] == '\'') {
    Delimited(raw, i);
  } else {
    const bool two =
        raw[*i] >= '1' && raw[*i] <= '3' && *i + 1 < raw.size() && raw[*i + 1] >= '0' && raw[*i + 1] <= '9';
    *i = two ? *i + 2 : CharacterEnd(raw, *i);
  }
}

}  // namespace

std::string RenderRoff(std::string_view raw, const RoffVariables& variables, bool* joins_next) {
  std::string out;
  size_t i = 0;
  while (i < raw.size() && out.size() < kMaxRoffText) {
    const char c = raw[i];
    if (c != '\\') {
      out += c == '\t' ? ' ' : c;
      ++i;
      continue;
    }
    if (++i >= raw.size()) break;
    const char e = raw[i];
    const size_t escaped = i;
    i = CharacterEnd(raw, escaped);
    if (i - escaped > 1) {  // stands for itself
      out += raw.substr(escaped, i - escaped);
      continue;
    }
    switch (e) {
      case '"':
      case '#':
        return out;
      case '-':
        out += '-';
        break;
      case ' ':
      case '~':
      case '0':
      case 't':
        out += ' ';
        break;
      case 'e':
      case '\\':
        out += '\\';
        break;
      case '\'':
        out += '\'';
        break;
      case '`':
      case '.':
        out += e;
        break;
      case 'c':
        *joins_next = true;
        break;
      case '(':
      case '[':
        --i;
        out += RoffCharacter(EscapeName(raw, &i));
        break;
      case 'C':
        out += RoffCharacter(Delimited(raw, &i));
        break;
      case 'N':
        out += RoffCharacter("char" + std::string(Delimited(raw, &i)));
        break;
      case '*': {
        std::string_view name = EscapeName(raw, &i);
        name = name.substr(0, name.find(' '));
        if (const auto found = variables.strings.find(name); found != variables.strings.end())
          out += found->second;
        break;
      }
      case 'n': {
        if (i < raw.size() && (raw[i] == '+' || raw[i] == '-')) ++i;
        const auto found = variables.registers.find(EscapeName(raw, &i));
        out += std::to_string(found != variables.registers.end() ? found->second : 0);
        break;
      }
      case 'f':
      case 'F':
      case 'm':
      case 'M':
      case 'g':
      case 'k':
      case 'V':
      case 'Y':
      case 'O':
      case '$':
        EscapeName(raw, &i);
        break;
      case 's':
        SkipSize(raw, &i);
        break;
      case 'w':
        Delimited(raw, &i);
        out += '0';
        break;
      case 'o':
      case 'Z': {
        // Text inside cannot hold its delimiter, so that this goes no deeper than there are bytes.
        const std::string_view inside = Delimited(raw, &i);
        out +=
            RenderRoff(e == 'o' ? inside.substr(0, CharacterEnd(inside, 0)) : inside, variables, joins_next);
        break;
      }
      case 'h':
      case 'v':
      case 'l':
      case 'L':
      case 'b':
      case 'x':
      case 'D':
      case 'A':
      case 'B':
      case 'R':
      case 'S':
      case 'H':
      case 'X':
        Delimited(raw, &i);
        break;
      default:
        // \& \/ \, \% \: \| \^ \{ \} \) \a \d \p \r \u \z, and escapes that mean nothing.
        break;
    }
  }
  return out;
}

}  // namespace genflow::data
