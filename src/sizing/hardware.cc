#include "sizing/hardware.h"

#include <cmath>

#include "base/strings.h"
#include "config/diagnostic.h"
#include "config/yaml_tree.h"
#include "sizing/builtin.h"

namespace genflow::sizing {
namespace {

// Reads one file; stops nowhere, so that all that is wrong is said at once.
class Reader {
 public:
  Reader(const std::string& name, std::string text) : source_(name, std::move(text)) {}

  Result<std::vector<Card>> Read() {
    const YamlNode* root = ParseYaml(source_, &tree_, &problems_);
    std::vector<Card> cards;
    if (root != nullptr) {
      const YamlNode* all = root->kind == YamlNode::Kind::kMap ? root->Find("cards") : nullptr;
      if (all == nullptr || all->kind != YamlNode::Kind::kMap) {
        Problem(*root, "expected a map 'cards' of names and what is known of each",
                "such as cards: { mine: { title: My card, memory: 24G } }");
      } else {
        Known(*root, {"cards"});
        for (const auto& [key, value] : all->entries) cards.push_back(ReadCard(*key, *value));
      }
    }
    if (problems_.empty()) return cards;
    SortDiagnostics(&problems_);
    std::string text = RenderDiagnostics(problems_);
    while (text.ends_with('\n')) text.pop_back();
    return InvalidError(source_.name() + " cannot be used\n" + text);
  }

 private:
  void Problem(const YamlNode& at, std::string message, std::string hint = {}) {
    problems_.push_back(source_.Report(source_.At(at.offset, at.bytes), std::move(message), std::move(hint)));
  }

  void Known(const YamlNode& map, const std::vector<std::string>& names) {
    for (const auto& [key, value] : map.entries) {
      if (std::find(names.begin(), names.end(), key->text) != names.end()) continue;
      const auto near = NearestName(key->text, names);
      Problem(*key, "unknown key '" + key->text + "'",
              near ? "did you mean '" + *near + "'?" : "known are " + Join(names, ", "));
    }
  }

  // A number from 0 up; `to` stays where the key is absent.
  void Number(const YamlNode& map, const char* key, double* to) {
    const YamlNode* at = map.Find(key);
    if (at == nullptr) return;
    const bool number = at->kind == YamlNode::Kind::kInt || at->kind == YamlNode::Kind::kFloat;
    if (!number || !std::isfinite(at->number) || at->number < 0)
      return Problem(*at, std::string("'") + key + "' must be a number from 0 up");
    *to = at->number;
  }
  void Dollars(const YamlNode& map, const char* key, std::optional<double>* to) {
    if (map.Find(key) == nullptr) return;
    Number(map, key, &to->emplace());
  }
  void Text(const YamlNode& map, const char* key, std::string* to) {
    const YamlNode* at = map.Find(key);
    if (at == nullptr) return;
    if (!at->is_scalar()) return Problem(*at, std::string("'") + key + "' must be text");
    *to = at->text;
  }

  Card ReadCard(const YamlNode& key, const YamlNode& value) {
    Card card;
    card.name = ToLowerAscii(key.text);
    card.title = key.text;
    card.efficiency = 0.4;
    if (value.kind != YamlNode::Kind::kMap) {
      Problem(value, "expected a map with what is known of '" + key.text + "'");
      return card;
    }
    Known(value, {"title", "memory", "bf16_tflops", "fp32_tflops", "bandwidth_gb_s", "efficiency", "price"});
    Text(value, "title", &card.title);
    Number(value, "bf16_tflops", &card.bf16_tflops);
    Number(value, "fp32_tflops", &card.fp32_tflops);
    Number(value, "bandwidth_gb_s", &card.bandwidth_gb_s);
    Number(value, "efficiency", &card.efficiency);
    const YamlNode* memory = value.Find("memory");
    const auto bytes =
        memory != nullptr && memory->is_scalar() ? ParseBytes(memory->text) : std::optional<uint64_t>();
    if (!bytes || *bytes == 0) {
      Problem(memory != nullptr ? *memory : key, "'" + key.text + "' needs its memory",
              "such as memory: 24G");
    } else {
      card.memory = *bytes;
    }
    if (card.efficiency > 1) Problem(*value.Find("efficiency"), "'efficiency' must be at most 1");
    if (const YamlNode* price = value.Find("price"); price != nullptr) {
      if (price->kind != YamlNode::Kind::kMap) {
        Problem(*price, "expected a map", "such as price: { on_demand: 1.20, spot: 0.40 }");
      } else {
        Known(*price, {"on_demand", "spot", "source", "as_of"});
        Dollars(*price, "on_demand", &card.on_demand);
        Dollars(*price, "spot", &card.spot);
        Text(*price, "source", &card.price_source);
        Text(*price, "as_of", &card.price_as_of);
      }
    }
    return card;
  }

  SourceText source_;
  YamlTree tree_;
  std::vector<Diagnostic> problems_;
};

}  // namespace

Result<std::vector<Card>> ReadCards(const std::string& name, std::string text) {
  return Reader(name, std::move(text)).Read();
}

Result<std::vector<Card>> BuiltinCards() {
  std::vector<Card> all;
  for (const BuiltinFile& file : BuiltinFiles()) {
    GF_TRY(auto cards, ReadCards(std::string(file.name), std::string(file.text)));
    all.insert(all.end(), cards.begin(), cards.end());
  }
  return all;
}

Result<Card> FindCard(const std::vector<Card>& cards, std::string_view name) {
  const std::string wanted = ToLowerAscii(Trim(name));
  std::vector<std::string> names;
  for (const Card& card : cards) {
    if (card.name == wanted) return card;
    names.push_back(card.name);
  }
  const bool size = !wanted.empty() && wanted.find_first_not_of("0123456789.") != std::string::npos;
  if (const auto bytes = ParseBytes(wanted); size && bytes && *bytes > 0) {
    Card card;
    card.name = wanted;
    card.title = HumanBytes(*bytes);
    card.memory = *bytes;
    return card;
  }
  const auto near = NearestName(wanted, names);
  return InvalidError("'" + std::string(name) + "' is no GPU that is known, and no size of memory",
                      near ? "did you mean '" + *near + "'?"
                           : "known are " + Join(names, ", ") + "; a size is written as 24G");
}

}  // namespace genflow::sizing
