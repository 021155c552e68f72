// `matrix:`, with the meaning it has for GitHub Actions: the product of the axes, less what `exclude` names;
// then each entry of `include` is added to every combination whose axes it agrees with, or is a combination
// of its own.
#include <algorithm>

#include "base/strings.h"
#include "config/load_state.h"

namespace genflow {

namespace {

constexpr size_t kMaxProduct = 100'000;  // before `exclude`
constexpr size_t kMaxSuffix = 160;

struct Axis {
  const YamlNode* key = nullptr;
  std::vector<MatrixValue> values;
};

struct Combination {
  std::vector<MatrixValue> values;  // axes first, in their order
  const YamlNode* from = nullptr;   // where a problem with it is shown
};

class MatrixReader {
 public:
  MatrixReader(LoadState* state, const YamlNode& node)
      : state_(*state), node_(node), scope_(state, Scope::kParams | Scope::kEnv, "matrix") {}

  std::optional<std::vector<std::vector<MatrixValue>>> Run() {
    const YamlNode* map = scope_.Resolve(node_);
    if (map == nullptr || !state_.ExpectMap(*map, "matrix")) return std::nullopt;
    const YamlNode *include = nullptr, *exclude = nullptr;
    for (const auto& entry : map->entries) {
      if (entry.key->text == "include")
        include = entry.value;
      else if (entry.key->text == "exclude")
        exclude = entry.value;
      else
        ReadAxis(entry);
    }
    if (failed_ || !Product()) return std::nullopt;
    if (exclude != nullptr) Exclude(*exclude);
    if (include != nullptr) Include(*include);
    if (failed_ || !Check()) return std::nullopt;
    std::vector<std::vector<MatrixValue>> out;
    out.reserve(combinations_.size());
    for (auto& combination : combinations_) out.push_back(std::move(combination.values));
    return out;
  }

 private:
  void Error(const YamlNode& at, std::string message, std::string hint = {}) {
    state_.Error(at, std::move(message), std::move(hint));
    failed_ = true;
  }

  std::optional<MatrixValue> ReadValue(const YamlNode& written, const std::string& name,
                                       const std::string& what) {
    const YamlNode* value = scope_.Resolve(written);
    if (value == nullptr) {
      failed_ = true;
      return std::nullopt;
    }
    if (value->is_scalar() && value->kind != YamlNode::Kind::kNull && value->text.empty()) {
      Error(written, what + ": a value cannot be an empty text, which has no place in a name",
            "write a word for it, such as none");
      return std::nullopt;
    }
    if (!value->is_scalar() || value->kind == YamlNode::Kind::kNull) {
      Error(written, what + ": expected a number, a text, true or false, got " + DescribeValue(*value));
      return std::nullopt;
    }
    return MatrixValue{name, YamlToJson(*value), value->text, true};
  }

  bool IsName(const YamlNode& key) {
    if (IsIdentifier(key.text, true)) return true;
    Error(key, "'" + key.text + "' cannot name an axis of a matrix", "use letters, digits, - and _");
    return false;
  }

  void ReadAxis(const YamlNode::Entry& entry) {
    const std::string& name = entry.key->text;
    if (!IsName(*entry.key)) return;
    const std::string what = "matrix." + name;
    const YamlNode* list = scope_.Resolve(*entry.value);
    if (list == nullptr) {
      failed_ = true;
      return;
    }
    if (list->kind != YamlNode::Kind::kList) {
      Error(*entry.value, what + " expects a list, got " + DescribeValue(*list),
            list->is_scalar() && list->kind != YamlNode::Kind::kNull && !list->text.empty()
                ? "write " + name + ": [" + list->text + "]"
                : "");
      return;
    }
    if (list->items.empty()) Error(*entry.value, what + ": the list is empty");
    Axis axis{entry.key, {}};
    for (const YamlNode* item : list->items) {
      auto value = ReadValue(*item, name, what);
      if (!value) continue;
      if (std::any_of(axis.values.begin(), axis.values.end(),
                      [&](const auto& other) { return SameMatrixValue(other, *value); })) {
        Error(*item, what + ": the value " + value->text + " is there twice");
        continue;
      }
      axis.values.push_back(*std::move(value));
    }
    axes_.push_back(std::move(axis));
  }

  bool Product() {
    size_t product = 1;
    for (const auto& axis : axes_) {
      product *= axis.values.size();
      if (product > kMaxProduct) {
        TooMany("more than " + WithCommas(kMaxProduct));
        return false;
      }
    }
    if (axes_.empty()) return true;
    combinations_.push_back({{}, &node_});
    for (const auto& axis : axes_) {
      std::vector<Combination> next;
      next.reserve(combinations_.size() * axis.values.size());
      for (const auto& combination : combinations_) {
        for (const auto& value : axis.values) {
          next.push_back(combination);
          next.back().values.push_back(value);
        }
      }
      combinations_ = std::move(next);
    }
    return true;
  }

  void TooMany(const std::string& count) {
    Error(node_, "the matrix has " + count + " combinations, and at most " + WithCommas(kMaxMatrixChildren) +
                     " are allowed");
  }

  const Axis* FindAxis(std::string_view name) const {
    const auto found =
        std::find_if(axes_.begin(), axes_.end(), [&](const Axis& axis) { return axis.key->text == name; });
    return found == axes_.end() ? nullptr : &*found;
  }

  // Entries of `include` or `exclude`: the values of each, in the order of the file.
  std::vector<std::pair<const YamlNode*, std::vector<MatrixValue>>> ReadEntries(const YamlNode& written,
                                                                                const std::string& what,
                                                                                bool axes_only) {
    std::vector<std::pair<const YamlNode*, std::vector<MatrixValue>>> out;
    const YamlNode* list = scope_.Resolve(written);
    if (list == nullptr) {
      failed_ = true;
      return out;
    }
    if (list->kind != YamlNode::Kind::kList) {
      Error(written, what + " expects a list of mappings, got " + DescribeValue(*list));
      return out;
    }
    std::vector<std::string> names;
    for (const auto& axis : axes_) names.push_back(axis.key->text);
    for (const YamlNode* item : list->items) {
      const YamlNode* map = scope_.Resolve(*item);
      if (map == nullptr || map->kind != YamlNode::Kind::kMap || map->entries.empty()) {
        if (map != nullptr)
          Error(*item, what + " expects a list of mappings, got " +
                           (map->kind == YamlNode::Kind::kMap ? "an empty one" : DescribeValue(*map)));
        failed_ = true;
        continue;
      }
      std::vector<MatrixValue> values;
      for (const auto& entry : map->entries) {
        const std::string& name = entry.key->text;
        if (axes_only && FindAxis(name) == nullptr) {
          Error(*entry.key, what + ": the matrix has no axis '" + name + "'",
                state_.DidYouMean(name, names,
                                  names.empty() ? "it has no axes" : "its axes: " + Join(names, ", ")));
          continue;
        }
        if (!IsName(*entry.key)) continue;
        if (auto value = ReadValue(*entry.value, name, what + "." + name))
          values.push_back(*std::move(value));
      }
      out.emplace_back(item, std::move(values));
    }
    return out;
  }

  static const MatrixValue* Find(const std::vector<MatrixValue>& values, std::string_view name) {
    for (const auto& value : values) {
      if (value.name == name) return &value;
    }
    return nullptr;
  }

  void Exclude(const YamlNode& written) {
    for (const auto& [unused, values] : ReadEntries(written, "matrix.exclude", true)) {
      if (failed_) return;
      const auto excluded = [&values = values](const Combination& combination) {
        return std::all_of(values.begin(), values.end(), [&](const MatrixValue& value) {
          return SameMatrixValue(*Find(combination.values, value.name), value);
        });
      };
      combinations_.erase(std::remove_if(combinations_.begin(), combinations_.end(), excluded),
                          combinations_.end());
    }
  }

  void Include(const YamlNode& written) {
    const size_t originals = combinations_.size();
    for (auto& [at, values] : ReadEntries(written, "matrix.include", false)) {
      if (failed_) return;
      bool added = false;
      for (size_t i = 0; i < originals; ++i) added = AddTo(&combinations_[i], values) || added;
      if (added) continue;
      const auto place = [this](const MatrixValue& value) {
        const Axis* axis = FindAxis(value.name);
        return axis == nullptr ? axes_.size() : static_cast<size_t>(axis - axes_.data());
      };
      std::stable_sort(values.begin(), values.end(),
                       [&](const MatrixValue& a, const MatrixValue& b) { return place(a) < place(b); });
      combinations_.push_back({std::move(values), at});
    }
  }

  // Adds what is not an axis, where the axes agree; false where they do not.
  bool AddTo(Combination* combination, const std::vector<MatrixValue>& values) {
    for (const auto& value : values) {
      if (FindAxis(value.name) != nullptr && !SameMatrixValue(*Find(combination->values, value.name), value))
        return false;
    }
    for (const auto& value : values) {
      if (FindAxis(value.name) != nullptr) continue;
      auto& all = combination->values;
      all.erase(
          std::remove_if(all.begin(), all.end(), [&](const MatrixValue& v) { return v.name == value.name; }),
          all.end());
      all.push_back(value);
      all.back().in_id = false;
    }
    return true;
  }

  bool Check() {
    if (combinations_.empty()) {
      if (axes_.empty())
        Error(node_, "the matrix has no combinations", "give it axes: matrix: { r: [8, 16] }");
      else
        Error(node_, "the matrix has no combinations: exclude takes out all of them");
      return false;
    }
    if (combinations_.size() > kMaxMatrixChildren) {
      TooMany(WithCommas(static_cast<int64_t>(combinations_.size())));
      return false;
    }
    std::set<std::string> suffixes;
    for (const auto& combination : combinations_) {
      const std::string suffix = MatrixSuffix(combination.values);
      if (suffix.size() > kMaxSuffix) {
        Error(*combination.from,
              "a child of the matrix would be called " + suffix.substr(0, 40) + "..., with " +
                  std::to_string(suffix.size()) + " characters; at most " + std::to_string(kMaxSuffix) +
                  " are allowed",
              "give the axis short names, and each of them its long value under include:");
      } else if (!suffixes.insert(suffix).second) {
        Error(*combination.from, "matrix.include: the combination " + suffix + " is there twice");
      }
    }
    return !failed_;
  }

  LoadState& state_;
  const YamlNode& node_;
  Scope scope_;
  std::vector<Axis> axes_;
  std::vector<Combination> combinations_;
  bool failed_ = false;
};

}  // namespace

std::optional<std::vector<std::vector<MatrixValue>>> ReadMatrix(LoadState* state, const YamlNode& node) {
  return MatrixReader(state, node).Run();
}

}  // namespace genflow
