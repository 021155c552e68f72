// Two texts line by line: what was taken out, what was put in.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace genflow {

struct DiffLine {
  enum class Kind : char { kSame = ' ', kRemoved = '-', kAdded = '+', kSkipped = '~' };
  Kind kind = Kind::kSame;
  std::string text;  // without its line break; of kSkipped: how many lines are left out, as a number

  bool operator==(const DiffLine&) const = default;
};

// The shortest edit from `before` to `after`, with up to `context` unchanged lines around each change. Texts
// whose changed parts are longer than some thousand lines are compared as one block taken out and one put in.
// Equal texts give nothing; a missing line break at the end counts as none.
std::vector<DiffLine> LineDiff(std::string_view before, std::string_view after, size_t context);

}  // namespace genflow
