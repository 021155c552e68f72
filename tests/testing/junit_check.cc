#include "testing/junit_check.h"

#include <cctype>
#include <regex>

namespace genflow {

namespace {

class XmlReader {
 public:
  XmlReader(const std::string& text, std::string* problem) : text_(text), problem_(problem) {}

  XmlElement Document() {
    CheckCharacters();
    if (!text_.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n")) return Fail("no declaration");
    at_ = text_.find("?>") + 2;
    SkipSpace();
    XmlElement root = Element();
    SkipSpace();
    if (at_ != text_.size()) Fail("something follows the root");
    return root;
  }

 private:
  XmlElement Fail(const std::string& what) {
    if (problem_->empty()) *problem_ = what + " at byte " + std::to_string(at_);
    at_ = text_.size();
    return {};
  }
  bool failed() const { return !problem_->empty(); }

  void CheckCharacters() {
    for (at_ = 0; at_ < text_.size();) {
      const auto first = static_cast<unsigned char>(text_[at_]);
      const size_t length = first < 0x80   ? 1
                            : first < 0xC2 ? 0
                            : first < 0xE0 ? 2
                            : first < 0xF0 ? 3
                            : first < 0xF5 ? 4
                                           : 0;
      bool fine = length > 0 && at_ + length <= text_.size() &&
                  (first >= 0x20 || first == '\n' || first == '\t' || first == '\r');
      for (size_t i = 1; fine && i < length; ++i)
        fine = (static_cast<unsigned char>(text_[at_ + i]) & 0xC0) == 0x80;
      const std::string_view sequence = std::string_view(text_).substr(at_, length);
      fine = fine && sequence != "\xEF\xBF\xBE" && sequence != "\xEF\xBF\xBF" &&
             !(sequence.starts_with("\xED") && sequence[1] >= '\xA0');
      if (!fine) {
        Fail("a character that XML does not allow");
        return;
      }
      at_ += length;
    }
  }

  void SkipSpace() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_])) != 0) ++at_;
  }
  std::string Name() {
    const size_t start = at_;
    while (at_ < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[at_])) != 0 ||
                                  text_[at_] == '-' || text_[at_] == '_'))
      ++at_;
    return text_.substr(start, at_ - start);
  }
  bool Take(std::string_view what) {
    if (text_.compare(at_, what.size(), what) != 0) return false;
    at_ += what.size();
    return true;
  }
  std::string Reference() {
    static const std::map<std::string, std::string> known = {
        {"&amp;", "&"}, {"&lt;", "<"}, {"&gt;", ">"}, {"&quot;", "\""}, {"&#10;", "\n"}, {"&#9;", "\t"}};
    for (const auto& [reference, character] : known) {
      if (Take(reference)) return character;
    }
    Fail("an unknown reference");
    return "";
  }

  XmlElement Element() {
    if (failed() || !Take("<")) return Fail("expected an element");
    XmlElement out;
    out.name = Name();
    if (out.name.empty()) return Fail("expected a name");
    while (!failed()) {
      const size_t before = at_;
      SkipSpace();
      if (Take("/>")) return out;
      if (Take(">")) break;
      if (at_ == before) return Fail("expected a space");
      const std::string name = Name();
      if (name.empty() || !Take("=\"")) return Fail("expected an attribute");
      std::string value;
      while (!failed() && at_ < text_.size() && text_[at_] != '"') {
        if (text_[at_] == '<' || text_[at_] == '\n' || text_[at_] == '\t')
          return Fail("a raw character in a value");
        if (text_[at_] == '&')
          value += Reference();
        else
          value += text_[at_++];
      }
      if (!Take("\"")) return Fail("a value does not end");
      if (!out.attributes.emplace(name, value).second) return Fail("an attribute twice");
    }
    while (!failed()) {
      if (at_ >= text_.size()) return Fail("an element does not end");
      if (Take("</")) {
        if (Name() != out.name || !Take(">")) return Fail("the wrong end");
        return out;
      }
      if (text_[at_] == '<') {
        out.children.push_back(Element());
      } else if (text_[at_] == '&') {
        out.text += Reference();
      } else if (text_.compare(at_, 3, "]]>") == 0) {
        return Fail("]]>");
      } else {
        out.text += text_[at_++];
      }
    }
    return out;
  }

  const std::string& text_;
  std::string* problem_;
  size_t at_ = 0;
};

std::string CheckAttributes(const XmlElement& element, const std::map<std::string, std::string>& patterns) {
  for (const auto& [name, value] : element.attributes) {
    const auto pattern = patterns.find(name);
    if (pattern == patterns.end()) return element.name + " has the attribute " + name;
    if (!std::regex_match(value, std::regex(pattern->second)))
      return element.name + "'s " + name + " is '" + value + "'";
  }
  for (const auto& [name, pattern] : patterns) {
    if (element.attributes.count(name) == 0 && pattern != "[\\s\\S]*")
      return element.name + " has no " + name;
  }
  return "";
}

}  // namespace

XmlElement ParseXml(const std::string& text, std::string* problem) {
  problem->clear();
  return XmlReader(text, problem).Document();
}

std::string CheckJunit(const std::string& text, XmlElement* suite_out) {
  std::string problem;
  const XmlElement root = ParseXml(text, &problem);
  if (!problem.empty()) return problem;
  const std::string number = "[0-9]+", time = "[0-9]+\\.[0-9]{3}", some = "[\\s\\S]+", any = "[\\s\\S]*";
  if (root.name != "testsuites" || root.children.size() != 1) return "expected one testsuite in testsuites";
  problem = CheckAttributes(
      root, {{"name", some}, {"tests", number}, {"failures", number}, {"errors", number}, {"time", time}});
  if (!problem.empty()) return problem;
  const XmlElement& suite = root.children[0];
  problem = CheckAttributes(suite, {{"name", some},
                                    {"tests", number},
                                    {"failures", number},
                                    {"errors", number},
                                    {"skipped", number},
                                    {"time", time},
                                    {"timestamp", "\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d"},
                                    {"hostname", any}});
  if (!problem.empty()) return problem;
  int tests = 0, failures = 0, errors = 0, skipped = 0;
  for (size_t i = 0; i < suite.children.size(); ++i) {
    const XmlElement& child = suite.children[i];
    if (child.name == "properties") {
      if (i != 0) return "properties are not first";
      for (const auto& property : child.children) {
        if (property.name != "property") return property.name + " in properties";
        problem = CheckAttributes(property, {{"name", some}, {"value", some}});
        if (!problem.empty()) return problem;
      }
      continue;
    }
    if (child.name != "testcase") return child.name + " in testsuite";
    problem = CheckAttributes(child, {{"name", some}, {"classname", some}, {"time", time}});
    if (!problem.empty()) return problem;
    ++tests;
    int ends = 0;
    for (const auto& part : child.children) {
      const bool wrong = part.name == "failure" || part.name == "error";
      if (wrong || part.name == "skipped") ++ends;
      failures += part.name == "failure" ? 1 : 0;
      errors += part.name == "error" ? 1 : 0;
      skipped += part.name == "skipped" ? 1 : 0;
      if (wrong)
        problem = CheckAttributes(part, {{"type", some}, {"message", any}});
      else if (part.name == "skipped")
        problem = CheckAttributes(part, {{"message", any}});
      else if (part.name != "system-out")
        return part.name + " in testcase";
      if (!problem.empty()) return problem;
      if (!part.children.empty()) return "elements in " + part.name;
    }
    if (ends > 1) return "a case ends twice: " + child.Get("name");
  }
  const std::string counted =
      std::to_string(tests) + " " + std::to_string(failures) + " " + std::to_string(errors);
  for (const XmlElement* element : {&root, &suite}) {
    const std::string said =
        element->Get("tests") + " " + element->Get("failures") + " " + element->Get("errors");
    if (said != counted) return element->name + " says " + said + ", there are " + counted;
  }
  if (suite.Get("skipped") != std::to_string(skipped)) return "skipped is " + suite.Get("skipped");
  if (suite_out != nullptr) *suite_out = suite;
  return "";
}

XmlElement FindCase(const XmlElement& suite, const std::string& name, const std::string& class_name) {
  for (const XmlElement* test : suite.All("testcase")) {
    if (test->Get("name") == name && (class_name.empty() || test->Get("classname") == class_name))
      return *test;
  }
  return {};
}

}  // namespace genflow
