// References to stages: "clean", or "tune[r=16,lr=2e-4]" for a child of a matrix.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace genflow {

// A value that a child of a matrix has.
struct MatrixValue {
  std::string name;      // of the axis, or of what `include:` adds
  nlohmann::json value;  // a scalar
  std::string text;      // as written
  bool in_id = true;     // false: added by `include:` to a child that its axes name already
  bool operator==(const MatrixValue&) const = default;
};

// A reference taken apart. Values are as in the text, without their escapes.
struct StageRef {
  std::string name;                                         // what stands before the '['
  bool bracket = false;                                     // whether there is one
  std::vector<std::pair<std::string, std::string>> values;  // in the order of the text
};

// Nothing where brackets do not match, or a value has no '='.
std::optional<StageRef> ParseStageRef(std::string_view text);

// Where the stage ends in "stage.port": the offset of the '.', or npos. Dots inside brackets are values'.
size_t FindPortDot(std::string_view text);

// Letters, digits and . _ + - as they are; every other byte as %XX.
std::string EscapeMatrixValue(std::string_view text);

// "[r=16,lr=2e-4]", of the values that are in the id.
std::string MatrixSuffix(const std::vector<MatrixValue>& values);

// {"r": 16, "lr": 0.0002}
nlohmann::json MatrixJson(const std::vector<MatrixValue>& values);

// Where the stage of an id comes from: "matrix", the values it has, and "of", the stage as it is written,
// "tune" of "tune[r=16]" and "clean" of "clean/split". {} for other stages.
nlohmann::json OriginOf(std::string_view id, const std::vector<MatrixValue>& values);
// What an id alone tells of it: the values in it, as YAML reads them.
nlohmann::json OriginOf(std::string_view id);

// The end of the part of an id that names the file its stage stands in, with the '/'; 0: none.
size_t FileEnd(std::string_view id);

// The values of a reference, as YAML reads them.
std::vector<MatrixValue> TypedValues(const StageRef& ref);

// Whether a child has all the values of a reference. They are equal as text, or as the values that YAML
// reads in it: 2e-4 is 0.0002.
bool MatchesRef(const StageRef& ref, const std::vector<MatrixValue>& values);
// Whether the reference says every value of the child's id, so that it means this child alone.
bool NamesWholeId(const StageRef& ref, const std::vector<MatrixValue>& values);

// Equal as JSON, or the same text.
bool SameMatrixValue(const MatrixValue& a, const MatrixValue& b);

// Cuts a list of references at its commas, those inside brackets excepted: "a,tune[r=1,s=2]" are two.
std::vector<std::string> SplitStageRefs(std::string_view text);

}  // namespace genflow
