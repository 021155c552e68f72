// A small JSON value for plugin parameters: enough to read what the host sends, with no dependency for
// out-of-tree plugins. Numbers keep 64-bit integers exact.
#pragma once

#include <charconv>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace genflow::json {

class Value {
 public:
  enum class Kind { kNull, kBool, kInt, kDouble, kString, kArray, kObject };

  Value() = default;
  explicit Value(bool b) : kind_(Kind::kBool), int_(b ? 1 : 0) {}
  explicit Value(int64_t i) : kind_(Kind::kInt), int_(i) {}
  explicit Value(double d) : kind_(Kind::kDouble), double_(d) {}
  explicit Value(std::string s) : kind_(Kind::kString), string_(std::move(s)) {}
  static Value Array() {
    Value v;
    v.kind_ = Kind::kArray;
    return v;
  }
  static Value Object() {
    Value v;
    v.kind_ = Kind::kObject;
    return v;
  }

  Kind kind() const { return kind_; }
  bool IsNull() const { return kind_ == Kind::kNull; }
  bool IsString() const { return kind_ == Kind::kString; }
  bool IsArray() const { return kind_ == Kind::kArray; }
  bool IsObject() const { return kind_ == Kind::kObject; }
  bool IsNumber() const { return kind_ == Kind::kInt || kind_ == Kind::kDouble; }

  // Each throws std::runtime_error when the value is of another kind.
  bool AsBool() const {
    Want(kind_ == Kind::kBool, "a boolean");
    return int_ != 0;
  }
  int64_t AsInt() const {
    if (kind_ == Kind::kDouble && double_ == static_cast<double>(static_cast<int64_t>(double_))) {
      return static_cast<int64_t>(double_);
    }
    Want(kind_ == Kind::kInt, "an integer");
    return int_;
  }
  double AsDouble() const {
    Want(IsNumber(), "a number");
    return kind_ == Kind::kInt ? static_cast<double>(int_) : double_;
  }
  const std::string& AsString() const {
    Want(IsString(), "a string");
    return string_;
  }
  const std::vector<Value>& items() const {
    Want(IsArray(), "an array");
    return items_;
  }
  const std::vector<std::pair<std::string, Value>>& members() const {
    Want(IsObject(), "an object");
    return members_;
  }
  // A string alone counts as a list of one.
  std::vector<std::string> AsStrings() const {
    if (IsString()) return {string_};
    std::vector<std::string> out;
    for (const auto& item : items()) out.push_back(item.AsString());
    return out;
  }
  // Member of an object; nullptr when absent or when this is no object.
  const Value* Find(std::string_view name) const {
    for (const auto& [key, value] : members_) {
      if (key == name) return &value;
    }
    return nullptr;
  }

  void Append(Value v) { items_.push_back(std::move(v)); }
  void Set(std::string name, Value v) { members_.emplace_back(std::move(name), std::move(v)); }

 private:
  void Want(bool condition, const char* what) const {
    if (!condition) throw std::runtime_error(std::string("expected ") + what);
  }

  Kind kind_ = Kind::kNull;
  int64_t int_ = 0;
  double double_ = 0;
  std::string string_;
  std::vector<Value> items_;
  std::vector<std::pair<std::string, Value>> members_;
};

// A JSON string literal of `text`.
inline std::string Quote(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          char buffer[8];
          std::snprintf(buffer, sizeof buffer, "\\u%04x", c);
          out += buffer;
        } else {
          out += c;
        }
    }
  }
  return out + "\"";
}

namespace detail {

class Parser {
 public:
  explicit Parser(std::string_view text) : p_(text.data()), end_(text.data() + text.size()) {}

  Value Document() {
    Value v = Any(0);
    Space();
    if (p_ != end_) Bad("text after the value");
    return v;
  }

 private:
  [[noreturn]] void Bad(const char* what) const { throw std::runtime_error(std::string("JSON: ") + what); }
  void Space() {
    while (p_ != end_ && (*p_ == ' ' || *p_ == '\n' || *p_ == '\r' || *p_ == '\t')) ++p_;
  }
  char Peek() const {
    if (p_ == end_) Bad("unexpected end");
    return *p_;
  }
  void Expect(char c) {
    if (Peek() != c) Bad("unexpected character");
    ++p_;
  }
  bool Word(std::string_view word) {
    if (std::string_view(p_, static_cast<size_t>(end_ - p_)).substr(0, word.size()) != word) return false;
    p_ += word.size();
    return true;
  }
  Value Any(int depth) {
    if (depth > 200) Bad("nested too deeply");
    Space();
    const char c = Peek();
    if (c == '{') return ObjectValue(depth);
    if (c == '[') return ArrayValue(depth);
    if (c == '"') return Value(StringText());
    if (Word("true")) return Value(true);
    if (Word("false")) return Value(false);
    if (Word("null")) return Value();
    return Number();
  }
  Value ObjectValue(int depth) {
    Value out = Value::Object();
    Expect('{');
    Space();
    if (Peek() == '}') {
      ++p_;
      return out;
    }
    while (true) {
      Space();
      std::string name = StringText();
      Space();
      Expect(':');
      out.Set(std::move(name), Any(depth + 1));
      Space();
      if (Peek() == ',') {
        ++p_;
        continue;
      }
      Expect('}');
      return out;
    }
  }
  Value ArrayValue(int depth) {
    Value out = Value::Array();
    Expect('[');
    Space();
    if (Peek() == ']') {
      ++p_;
      return out;
    }
    while (true) {
      out.Append(Any(depth + 1));
      Space();
      if (Peek() == ',') {
        ++p_;
        continue;
      }
      Expect(']');
      return out;
    }
  }
  unsigned Hex4() {
    unsigned value = 0;
    if (end_ - p_ < 4) Bad("unexpected end");
    const auto [stop, ec] = std::from_chars(p_, p_ + 4, value, 16);
    if (ec != std::errc() || stop != p_ + 4) Bad("bad \\u escape");
    p_ += 4;
    return value;
  }
  std::string StringText() {
    Expect('"');
    std::string out;
    while (true) {
      const char c = Peek();
      ++p_;
      if (c == '"') return out;
      if (c != '\\') {
        out += c;
        continue;
      }
      const char e = Peek();
      ++p_;
      switch (e) {
        case 'n':
          out += '\n';
          break;
        case 't':
          out += '\t';
          break;
        case 'r':
          out += '\r';
          break;
        case 'b':
          out += '\b';
          break;
        case 'f':
          out += '\f';
          break;
        case 'u': {
          unsigned code = Hex4();
          if (code >= 0xD800 && code < 0xDC00 && end_ - p_ >= 6 && p_[0] == '\\' && p_[1] == 'u') {
            p_ += 2;
            code = 0x10000 + ((code - 0xD800) << 10) + (Hex4() - 0xDC00);
          }
          AppendUtf8(out, code);
          break;
        }
        default:
          out += e;
      }
    }
  }
  static void AppendUtf8(std::string& out, unsigned c) {
    if (c < 0x80) {
      out += static_cast<char>(c);
    } else if (c < 0x800) {
      out += static_cast<char>(0xC0 | (c >> 6));
      out += static_cast<char>(0x80 | (c & 63));
    } else if (c < 0x10000) {
      out += static_cast<char>(0xE0 | (c >> 12));
      out += static_cast<char>(0x80 | ((c >> 6) & 63));
      out += static_cast<char>(0x80 | (c & 63));
    } else {
      out += static_cast<char>(0xF0 | (c >> 18));
      out += static_cast<char>(0x80 | ((c >> 12) & 63));
      out += static_cast<char>(0x80 | ((c >> 6) & 63));
      out += static_cast<char>(0x80 | (c & 63));
    }
  }
  Value Number() {
    const char* start = p_;
    while (p_ != end_ && std::string_view("+-.eE0123456789").find(*p_) != std::string_view::npos) ++p_;
    int64_t i = 0;
    if (const auto [stop, ec] = std::from_chars(start, p_, i);
        ec == std::errc() && stop == p_ && p_ != start) {
      return Value(i);
    }
    double d = 0;
    if (const auto [stop, ec] = std::from_chars(start, p_, d);
        ec == std::errc() && stop == p_ && p_ != start) {
      return Value(d);
    }
    Bad("unexpected character");
  }

  const char* p_;
  const char* end_;
};

}  // namespace detail

// Throws std::runtime_error on malformed text.
inline Value Parse(std::string_view text) { return detail::Parser(text).Document(); }

}  // namespace genflow::json
