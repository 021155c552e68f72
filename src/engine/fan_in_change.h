// What differs between two fan-ins: the artifacts of all children of a matrix at one port, in a key.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace genflow {

// Of an element of an input in a key's components: a digest, or {"digest", "from", ...} in a fan-in.
std::string DigestOfInput(const nlohmann::json& element);

// "tune[r=65] is new", "tune[r=64] is gone", "tune[r=16] changed" of the first `limit` children, and how many
// more there are; with so many `digits` of their digests where not 0. Empty where no child differs, or one of
// the values is no fan-in.
std::vector<std::string> ChildrenThatDiffer(const nlohmann::json& before, const nlohmann::json& after,
                                            size_t limit, size_t digits);

}  // namespace genflow
