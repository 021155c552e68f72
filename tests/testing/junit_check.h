// Reads XML strictly, and holds JUnit reports to what Jenkins and the Surefire schema accept.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace genflow {

struct XmlElement {
  std::string name;
  std::map<std::string, std::string> attributes;
  std::vector<XmlElement> children;
  std::string text;  // of the element itself

  std::vector<const XmlElement*> All(std::string_view child) const {
    std::vector<const XmlElement*> out;
    for (const auto& c : children) {
      if (c.name == child) out.push_back(&c);
    }
    return out;
  }
  std::string Get(const std::string& attribute) const {
    const auto at = attributes.find(attribute);
    return at == attributes.end() ? "" : at->second;
  }
};

// The root of a document, with everything unescaped. `problem` says what is wrong: not well-formed, a
// character that XML 1.0 does not allow, no declaration of UTF-8.
XmlElement ParseXml(const std::string& text, std::string* problem);

// What is wrong with a JUnit report; "" for a good one. `suite` gets its only testsuite.
std::string CheckJunit(const std::string& text, XmlElement* suite = nullptr);

// The case of that name (and class, where given), or an empty element.
XmlElement FindCase(const XmlElement& suite, const std::string& name, const std::string& class_name = {});

}  // namespace genflow
