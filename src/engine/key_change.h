// The parts of a cache key, what differs between two keys, and how that is said to people.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace genflow {

// In the order in which differences are told, most telling first.
enum class KeyPartKind {
  kStage,    // what `uses:` names
  kVersion,  // of the stage
  kPlugin,   // digest of the plugin's file
  kParam,    // a value under `with:`, by dotted name
  kRun,      // the text of an exec stage
  kEnv,      // an environment variable
  kOutput,   // type of an exec stage's output
  kInput,    // digests of the artifacts at a port
  kFile,     // digest of a workspace file, by name
  kContent,  // digest of the file or folder that a parameter names
};
const char* KeyPartName(KeyPartKind kind);  // "stage", "version", "plugin", "param", "run", ...

struct KeyPart {
  KeyPartKind kind = KeyPartKind::kStage;
  std::string name;      // of the parameter, variable, port or file; of the stage, for its plugin; else empty
  std::string param;     // kFile: the parameter that names the file
  nlohmann::json value;  // kInput: a list of digests, of a fan-in of objects with "digest" and "from"; null
                         // in a difference: not there
};

// The leaves of a key's components (StageKey), in order; nothing when the text is no components.
std::vector<KeyPart> KeyParts(std::string_view components);

// Stands for the digest of an artifact that is not known yet. Parts that hold it are left out of comparisons.
inline constexpr std::string_view kUnknownDigest = "?";
bool IsUnknown(const KeyPart& part);

struct KeyChange {
  KeyPart part;  // with the value of now
  nlohmann::json before;
};

// What differs between two components texts. Another stage is the only difference told; of a stage with
// another version the plugin's bytes are not.
std::vector<KeyChange> CompareKeys(std::string_view before, std::string_view after);

// One sentence a difference, digests left out, long values cut: "param 'lora.r' changed: 8 -> 16",
// "input 'dataset' changed", "file 'a.jsonl' is new". Of many inputs or files the first three are named.
std::vector<std::string> DescribeChanges(const std::vector<KeyChange>& changes);
// The same from the components.
std::vector<std::string> DescribeKeyChange(std::string_view before, std::string_view after);

// The same in full, in lines of about `width` characters: digests as 12 characters, long values cut around
// what differs, texts of several lines as a line diff, of many inputs or files the first `names`. Lines that
// go on with what the line before began are indented.
std::vector<std::string> DescribeInFull(const std::vector<KeyChange>& changes, size_t width,
                                        size_t names = 3);

// A value for people, in one line: digests as 12 characters, secrets by name.
std::string ShownValue(const KeyPart& part);

}  // namespace genflow
