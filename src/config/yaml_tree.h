// YAML as a tree that knows where everything stands. The only user of yaml-cpp.
#pragma once

#include <cstdint>
#include <deque>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/diagnostic.h"

namespace genflow {

// One value. Scalars are typed by YAML 1.2's core schema (yes and no are text, 010 is ten).
struct YamlNode {
  enum class Kind { kNull, kBool, kInt, kFloat, kString, kList, kMap };
  struct Entry {
    const YamlNode* key = nullptr;  // a scalar
    const YamlNode* value = nullptr;
  };

  bool is_scalar() const { return kind != Kind::kList && kind != Kind::kMap; }
  const YamlNode* Find(std::string_view key) const;  // among `entries`

  Kind kind = Kind::kNull;
  bool from_source = true;  // false: the result of an expression, `offset` is where that stands
  bool plain = true;        // a scalar without quotes
  bool boolean = false;
  int64_t integer = 0;
  double number = 0;
  std::string text;                    // scalars: as written, quotes and escapes undone
  size_t offset = 0;                   // of the value's first byte in the source
  size_t bytes = 1;                    // written length on its first line
  std::vector<const YamlNode*> items;  // kList
  std::vector<Entry> entries;          // kMap, each key once
};

// Owns nodes; pointers stay valid.
class YamlTree {
 public:
  YamlNode* New() { return &nodes_.emplace_back(); }

 private:
  std::deque<YamlNode> nodes_;
};

// Sets kind and value of a plain scalar from its text.
void ResolvePlainScalar(std::string_view text, YamlNode* node);

// The only document of a text, or null after a syntax error. Problems are added to `diagnostics`: syntax,
// repeated keys, a second document, nesting over 64 levels, aliases that unfold to more than 16 MiB.
// An empty document is a null node.
const YamlNode* ParseYaml(const SourceText& source, YamlTree* tree, std::vector<Diagnostic>* diagnostics);

// JSON of a tree without looking at expressions. Numbers that are not finite become text.
nlohmann::json YamlToJson(const YamlNode& node);

}  // namespace genflow
