#include "config/yaml_tree.h"

#include <yaml-cpp/depthguard.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <cmath>
#include <sstream>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "base/strings.h"
#include "config/yaml_errors.h"

namespace genflow {

namespace {

constexpr size_t kMaxDepth = 64;
constexpr size_t kMaxProblems = 1000;
constexpr size_t kMaxAliasWeight = 16u << 20;
constexpr std::string_view kCoreTag = "tag:yaml.org,2002:";

// Thrown through yaml-cpp to end the parse after a problem that was reported.
struct Abort {};

class TreeBuilder : public YAML::EventHandler {
 public:
  TreeBuilder(const SourceText& source, YamlTree* tree, std::vector<Diagnostic>* diagnostics)
      : source_(source), tree_(tree), diagnostics_(diagnostics) {}

  const YamlNode* root() const { return root_; }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    YamlNode* node = Make(mark, anchor, "");
    const std::string_view text = source_.text();
    const std::string_view rest = text.substr(std::min(node->offset, text.size()));
    if (rest.starts_with('~')) {
      node->text = "~";
    } else if (ToLowerAscii(rest.substr(0, 4)) == "null") {
      node->text = rest.substr(0, 4);
      node->bytes = 4;
    } else if (!frames_.empty() && frames_.back().key != nullptr) {
      // Nothing was written: the next token may stand lines below.
      node->offset = frames_.back().key->offset;
      node->bytes = frames_.back().key->bytes;
    }
    Remember(anchor, node, 1);
    Attach(node, 1);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto known = anchors_.find(anchor);
    if (known == anchors_.end()) {
      Fail(source_.At(Offset(mark)), "this alias stands inside what it refers to");
    }
    if (frames_.size() + known->second.depth > kMaxDepth) FailDepth(Offset(mark));
    alias_weight_ += known->second.weight;
    if (alias_weight_ > kMaxAliasWeight) {
      Fail(source_.At(Offset(mark)), "the aliases of this file unfold to more than 16 MiB");
    }
    Attach(known->second.node, known->second.weight, known->second.depth);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    YamlNode* node = Make(mark, anchor, tag);
    node->text = value;
    node->plain = tag == "?";
    node->kind = YamlNode::Kind::kString;
    if (node->plain) {
      ResolvePlainScalar(value, node);
    } else if (tag != "!") {
      const std::string_view name = std::string_view(tag).starts_with(kCoreTag)
                                        ? std::string_view(tag).substr(kCoreTag.size())
                                        : std::string_view();
      if (name == "int" || name == "float" || name == "bool" || name == "null") {
        ResolvePlainScalar(value, node);
      } else if (name != "str") {
        Add(source_.At(Offset(mark), tag.size()),
            "tags such as '" + ShortTag(tag) + "' have no meaning here");
      }
    }
    node->bytes = WrittenBytes(*node);
    const size_t weight = 1 + value.size();
    Remember(anchor, node, weight);
    Attach(node, weight);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Begin(YamlNode::Kind::kList, mark, tag, anchor);
  }
  void OnSequenceEnd() override { End(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    Begin(YamlNode::Kind::kMap, mark, tag, anchor);
  }
  void OnMapEnd() override {
    Merge();
    End();
  }

 private:
  struct Frame {
    YamlNode* node = nullptr;
    YAML::anchor_t anchor = 0;
    const YamlNode* key = nullptr;  // of a map: read, its value not yet
    std::unordered_map<std::string_view, const YamlNode*> keys;
    std::vector<const YamlNode*> merges;  // values of <<
    size_t weight = 1;                    // bytes and nodes of the value so far, aliases unfolded
    size_t depth = 1;                     // levels of the value so far, aliases unfolded
  };
  struct Anchored {
    const YamlNode* node = nullptr;
    size_t weight = 0, depth = 0;
  };

  size_t Offset(const YAML::Mark& mark) const {
    return std::min(static_cast<size_t>(std::max(0, mark.pos)), source_.text().size());
  }

  [[noreturn]] void Fail(Position where, std::string message, std::string hint = {}) {
    diagnostics_->push_back(source_.Report(where, std::move(message), std::move(hint)));
    throw Abort{};
  }

  // A problem that does not end the parse, unless there are too many.
  void Add(Position where, std::string message, std::string hint = {}) {
    diagnostics_->push_back(source_.Report(where, std::move(message), std::move(hint)));
    if (diagnostics_->size() >= kMaxProblems) throw Abort{};
  }

  [[noreturn]] void FailDepth(size_t offset) {
    Fail(source_.At(offset), "values are nested more than " + std::to_string(kMaxDepth) + " levels deep");
  }

  static std::string ShortTag(const std::string& tag) {
    return tag.starts_with(kCoreTag) ? "!!" + tag.substr(kCoreTag.size()) : tag;
  }

  YamlNode* Make(const YAML::Mark& mark, YAML::anchor_t anchor, const std::string& tag) {
    YamlNode* node = tree_->New();
    node->offset = Offset(mark);
    // The mark of a value with properties is that of the properties.
    const std::string_view text = source_.text();
    if (anchor != 0 || (!tag.empty() && tag != "?")) {
      size_t at = node->offset;
      while (at < text.size() && (text[at] == '&' || text[at] == '!')) {
        at = text.find_first_of(" \t\r\n,", at);
        at = at == std::string_view::npos ? text.size() : text.find_first_not_of(" \t\r\n", at);
      }
      if (at < text.size()) node->offset = at;
    }
    return node;
  }

  // Bytes of a scalar on its first line. Quotes that are never closed, which yaml-cpp lets pass at the end
  // of the text, are a problem.
  size_t WrittenBytes(const YamlNode& node) {
    const std::string_view text = source_.text();
    const size_t start = node.offset;
    if (start >= text.size()) return 1;
    const char first = text[start];
    constexpr size_t kMaxShown = 4096;
    const size_t end =
        start + std::min(text.substr(start, kMaxShown).find('\n'), std::min(kMaxShown, text.size() - start));
    if (!node.plain && (first == '"' || first == '\'')) {
      size_t at = start + 1;
      for (; at < text.size(); ++at) {
        if (first == '"' && text[at] == '\\') {
          ++at;
        } else if (text[at] == first) {
          if (first == '\'' && at + 1 < text.size() && text[at + 1] == first)
            ++at;
          else
            break;
        }
      }
      if (at >= text.size()) Fail(source_.At(start), "not valid YAML: the quoted text is not closed");
      if (at < end) return at + 1 - start;
    } else if (!node.plain && (first == '|' || first == '>')) {
      return 1;
    } else if (text.compare(start, node.text.size(), node.text) == 0) {
      return std::max<size_t>(1, node.text.size());
    }
    return std::max<size_t>(1, Trim(text.substr(start, end - start)).size());
  }

  void Remember(YAML::anchor_t anchor, const YamlNode* node, size_t weight, size_t depth = 0) {
    if (anchor != 0) anchors_[anchor] = {node, weight, depth};
  }

  void Begin(YamlNode::Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    if (frames_.size() >= kMaxDepth) FailDepth(Offset(mark));
    YamlNode* node = Make(mark, anchor, tag);
    node->kind = kind;
    frames_.push_back({node, anchor});
  }

  void End() {
    Frame frame = std::move(frames_.back());
    frames_.pop_back();
    Remember(frame.anchor, frame.node, frame.weight, frame.depth);
    Attach(frame.node, frame.weight, frame.depth);
  }

  void Attach(const YamlNode* node, size_t weight, size_t depth = 0) {
    if (frames_.empty()) {
      root_ = node;
      return;
    }
    Frame& frame = frames_.back();
    frame.weight += weight;
    frame.depth = std::max(frame.depth, depth + 1);
    if (frame.node->kind == YamlNode::Kind::kList) {
      frame.node->items.push_back(node);
      return;
    }
    if (frame.key == nullptr) {
      if (!node->is_scalar())
        Fail(source_.At(node->offset),
             "a key must be text, not " +
                 std::string(node->kind == YamlNode::Kind::kList ? "a list" : "a mapping"));
      if (node->kind == YamlNode::Kind::kNull && node->text.empty()) {
        Fail(source_.At(node->offset), "a key is missing before ':'");
      }
      frame.key = node;
      return;
    }
    const YamlNode* key = std::exchange(frame.key, nullptr);
    if (key->plain && key->text == "<<") {
      frame.merges.push_back(node);
      return;
    }
    const auto [known, added] = frame.keys.emplace(key->text, key);
    if (!added) {
      const Position first = source_.At(known->second->offset);
      Add(source_.At(key->offset, key->bytes), "the key '" + key->text + "' is repeated",
          "it is first given in line " + std::to_string(first.line));
      return;
    }
    frame.node->entries.push_back({key, node});
  }

  // `<<: *base` (or a list of aliases): entries of other mappings that this one does not have itself.
  void Merge() {
    Frame& frame = frames_.back();
    for (const YamlNode* from : frame.merges) {
      std::vector<const YamlNode*> maps =
          from->kind == YamlNode::Kind::kList ? from->items : std::vector<const YamlNode*>{from};
      for (const YamlNode* map : maps) {
        if (map->kind != YamlNode::Kind::kMap) {
          Add(source_.At(map->offset, map->bytes), "'<<' takes a mapping, or a list of mappings");
          continue;
        }
        for (const auto& entry : map->entries) {
          if (frame.keys.emplace(entry.key->text, entry.key).second) frame.node->entries.push_back(entry);
        }
      }
    }
  }

  const SourceText& source_;
  YamlTree* tree_;
  std::vector<Diagnostic>* diagnostics_;
  const YamlNode* root_ = nullptr;
  std::vector<Frame> frames_;
  std::unordered_map<YAML::anchor_t, Anchored> anchors_;
  size_t alias_weight_ = 0;
};

}  // namespace

const YamlNode* YamlNode::Find(std::string_view key) const {
  for (const auto& entry : entries) {
    if (entry.key->text == key) return entry.value;
  }
  return nullptr;
}

const YamlNode* ParseYaml(const SourceText& source, YamlTree* tree, std::vector<Diagnostic>* diagnostics) {
  std::istringstream stream(source.text());
  TreeBuilder builder(source, tree, diagnostics);
  try {
    YAML::Parser parser(stream);
    if (!parser.HandleNextDocument(builder)) return tree->New();
    const YamlNode* root = builder.root();
    if (root == nullptr) root = tree->New();
    TreeBuilder second(source, tree, diagnostics);
    if (parser.HandleNextDocument(second)) {
      const YamlNode* other = second.root();
      diagnostics->push_back(source.Report(source.At(other == nullptr ? 0 : other->offset),
                                           "the file holds a second document",
                                           "keep one, without '---' between"));
    }
    return root;
  } catch (const Abort&) {
  } catch (const YAML::DeepRecursion& e) {
    diagnostics->push_back(
        source.Report(source.At(static_cast<size_t>(std::max(0, e.mark.pos))),
                      "values are nested more than " + std::to_string(kMaxDepth) + " levels deep"));
  } catch (const YAML::Exception& e) {
    ReportSyntaxError(source, e.mark.line + 1, static_cast<size_t>(std::max(0, e.mark.pos)), e.msg,
                      diagnostics);
  }
  return nullptr;
}

nlohmann::json YamlToJson(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::kNull:
      return nullptr;
    case YamlNode::Kind::kBool:
      return node.boolean;
    case YamlNode::Kind::kInt:
      return node.integer;
    case YamlNode::Kind::kFloat:
      if (!std::isfinite(node.number)) return node.text;
      return node.number;
    case YamlNode::Kind::kString:
      return node.text;
    case YamlNode::Kind::kList: {
      nlohmann::json out = nlohmann::json::array();
      for (const YamlNode* item : node.items) out.push_back(YamlToJson(*item));
      return out;
    }
    case YamlNode::Kind::kMap: {
      nlohmann::json out = nlohmann::json::object();
      for (const auto& entry : node.entries) out[entry.key->text] = YamlToJson(*entry.value);
      return out;
    }
  }
  return nullptr;
}

}  // namespace genflow
