#include "data/dedup.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_map>
#include <utility>

#include "base/strings.h"
#include "data/stable_hash.h"

namespace genflow::data {

SeenTexts::SeenTexts() : slots_(1024) {}

SeenTexts::Key SeenTexts::KeyOf(std::string_view text) {
  const XXH128_hash_t hash = XXH3_128bits(text.data(), text.size());
  return {hash.low64, hash.high64 | 1};  // never the free slot
}

bool SeenTexts::Insert(std::string_view text) {
  const Key key = KeyOf(text);
  Key& slot = slots_[Slot(key)];
  if (slot.high != 0) return false;
  slot = key;
  if (++size_ * 10 > slots_.size() * 7) Grow();
  return true;
}

bool SeenTexts::Contains(std::string_view text) const { return slots_[Slot(KeyOf(text))].high != 0; }

size_t SeenTexts::Slot(Key key) const {
  size_t at = key.low & (slots_.size() - 1);
  while (slots_[at].high != 0 && (slots_[at].low != key.low || slots_[at].high != key.high)) {
    at = (at + 1) & (slots_.size() - 1);
  }
  return at;
}

void SeenTexts::Grow() {
  std::vector<Key> old(slots_.size() * 2);
  old.swap(slots_);
  for (const Key& key : old) {
    if (key.high != 0) slots_[Slot(key)] = key;
  }
}

namespace {

constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();
constexpr int kMaxCandidates = 64;  // a band

// Chance that texts of similarity s share at least one band.
double CatchChance(double s, int bands, int rows) { return 1 - std::pow(1 - std::pow(s, rows), bands); }

// Bands and rows whose step lies nearest the threshold: least area of misses above it and false candidates
// below it.
std::pair<int, int> ChooseBands(double threshold, int permutations) {
  std::pair<int, int> best = {1, permutations};
  double least = std::numeric_limits<double>::infinity();
  for (int rows = 1; rows <= permutations; ++rows) {
    const int bands = permutations / rows;
    double area = 0;
    for (double s = 0.005; s < 1; s += 0.01) {
      const double chance = CatchChance(s, bands, rows);
      // Candidates are checked, so a miss is the worse of the two.
      area += s < threshold ? 0.2 * chance : 1 - chance;
    }
    if (area < least) {
      least = area;
      best = {bands, rows};
    }
  }
  return best;
}

uint64_t SplitMix(uint64_t* state) {
  uint64_t z = (*state += 0x9E3779B97F4A7C15u);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

}  // namespace

struct NearTexts::Impl {
  NearOptions options;
  int bands = 0, rows = 0;
  std::vector<uint32_t> multiply, add;  // one pair a permutation
  std::vector<uint32_t> signatures;     // `permutations` numbers a text kept
  std::vector<uint32_t> chain;          // `bands` numbers a text: the text before it in the same bucket
  std::unordered_map<uint64_t, uint32_t> buckets;  // band and its hash -> the last text in it
  std::vector<uint32_t> current;                   // signature of the text looked at
  std::vector<uint64_t> words;

  void Sign(std::string_view key) {
    words.clear();
    for (const std::string_view word : Split(key, ' ')) words.push_back(StableHash(word));
    const size_t width = std::min<size_t>(static_cast<size_t>(options.shingle_words), words.size());
    std::fill(current.begin(), current.end(), std::numeric_limits<uint32_t>::max());
    for (size_t i = 0; i + width <= words.size(); ++i) {
      const std::string_view run(reinterpret_cast<const char*>(&words[i]), width * sizeof(uint64_t));
      const uint64_t hash = StableHash(run);
      const auto folded = static_cast<uint32_t>(hash ^ (hash >> 32));
      for (size_t p = 0; p < current.size(); ++p) {
        uint32_t mixed = folded * multiply[p] + add[p];
        mixed ^= mixed >> 15;  // the low bits of a product alone are no permutation worth the name
        mixed *= 0x2C1B3C6Du;
        current[p] = std::min(current[p], mixed);
      }
    }
  }

  bool Matches(uint32_t text) const {
    const uint32_t* other = &signatures[static_cast<size_t>(text) * current.size()];
    size_t equal = 0;
    for (size_t p = 0; p < current.size(); ++p) equal += static_cast<size_t>(other[p] == current[p]);
    return static_cast<double>(equal) >= options.threshold * static_cast<double>(current.size());
  }

  uint64_t BandHash(int band) const {
    const std::string_view part(reinterpret_cast<const char*>(&current[static_cast<size_t>(band * rows)]),
                                static_cast<size_t>(rows) * sizeof(uint32_t));
    return StableHash(part, static_cast<uint64_t>(band));
  }
};

NearTexts::NearTexts(NearOptions options) : impl_(std::make_unique<Impl>()) {
  impl_->options = options;
  std::tie(impl_->bands, impl_->rows) = ChooseBands(options.threshold, options.permutations);
  uint64_t state = 1;
  for (int p = 0; p < options.permutations; ++p) {
    impl_->multiply.push_back(static_cast<uint32_t>(SplitMix(&state)) | 1);
    impl_->add.push_back(static_cast<uint32_t>(SplitMix(&state)));
  }
  impl_->current.resize(static_cast<size_t>(options.permutations));
}
NearTexts::~NearTexts() = default;

int64_t NearTexts::FindOrInsert(std::string_view key) {
  Impl& m = *impl_;
  if (key.empty()) return -1;
  m.Sign(key);
  const auto number = static_cast<uint32_t>(m.signatures.size() / m.current.size());
  for (int band = 0; band < m.bands; ++band) {
    const auto found = m.buckets.find(m.BandHash(band));
    uint32_t at = found != m.buckets.end() ? found->second : kNone;
    for (int i = 0; at != kNone && i < kMaxCandidates; ++i) {
      if (m.Matches(at)) return at;
      at = m.chain[static_cast<size_t>(at) * static_cast<size_t>(m.bands) + static_cast<size_t>(band)];
    }
  }
  m.signatures.insert(m.signatures.end(), m.current.begin(), m.current.end());
  for (int band = 0; band < m.bands; ++band) {
    uint32_t& head = m.buckets.try_emplace(m.BandHash(band), kNone).first->second;
    m.chain.push_back(head);
    head = number;
  }
  return -1;
}

int NearTexts::bands() const { return impl_->bands; }
int NearTexts::rows() const { return impl_->rows; }

}  // namespace genflow::data
