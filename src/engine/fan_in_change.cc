#include "engine/fan_in_change.h"

#include <map>

#include "base/strings.h"

namespace genflow {

using nlohmann::json;

namespace {

// The digests of a fan-in by the child that each is from; nothing where the value is none.
std::map<std::string, std::string> ByChild(const json& value) {
  std::map<std::string, std::string> out;
  if (!value.is_array()) return out;
  for (const json& one : value) {
    const auto from = one.is_object() ? one.find("from") : one.end();
    if (from == one.end() || !from->is_string()) return {};
    out[from->get<std::string>()] = DigestOfInput(one);
  }
  return out;
}

}  // namespace

std::string DigestOfInput(const json& element) {
  const json* digest = &element;
  if (element.is_object() && element.contains("digest")) digest = &element["digest"];
  return digest->is_string() ? digest->get<std::string>() : digest->dump();
}

std::vector<std::string> ChildrenThatDiffer(const json& before, const json& after, size_t limit,
                                            size_t digits) {
  const auto was = ByChild(before), is = ByChild(after);
  std::vector<std::string> out;
  if (was.empty() || is.empty()) return out;
  for (const auto& [child, digest] : is) {
    const auto found = was.find(child);
    if (found == was.end())
      out.push_back(child + " is new");
    else if (found->second != digest && digits > 0)
      out.push_back(child + " " + found->second.substr(0, digits) + " -> " + digest.substr(0, digits));
    else if (found->second != digest)
      out.push_back(child + " changed");
  }
  for (const auto& [child, digest] : was) {
    if (is.find(child) == is.end()) out.push_back(child + " is gone");
  }
  if (out.size() <= limit) return out;
  const size_t more = out.size() - limit;
  out.resize(limit);
  out.push_back("and " + WithCommas(static_cast<int64_t>(more)) + " more");
  return out;
}

}  // namespace genflow
