#include "formats/json_text.h"

#include <stdexcept>
#include <unordered_set>

#include "base/files.h"

namespace genflow::formats {
namespace {

constexpr uint64_t kMaxJsonBytes = 256u << 20;

struct LimitExceeded : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace

Result<nlohmann::json> ParseJson(std::string_view text, const std::string& name, const JsonLimits& limits) {
  using Event = nlohmann::json::parse_event_t;
  std::unordered_set<std::string> keys;
  const auto check = [&](int depth, Event event, nlohmann::json& parsed) {
    if (depth > limits.max_depth) {
      throw LimitExceeded("nested deeper than " + std::to_string(limits.max_depth) + " levels");
    }
    if (limits.unique_keys && depth == 1 && event == Event::key) {
      if (const auto& key = parsed.get_ref<const std::string&>(); !keys.insert(key).second) {
        throw LimitExceeded("'" + key + "' is given twice");
      }
    }
    return true;
  };
  try {
    return nlohmann::json::parse(text.begin(), text.end(), check);
  } catch (const LimitExceeded& e) {
    return MakeError(Code::kCorrupt, name + ": " + e.what());
  } catch (const nlohmann::json::exception& e) {
    std::string what = e.what();  // "[json.exception.parse_error.101] parse error at line 1, column 2: ..."
    if (const size_t end = what.find("] "); end != std::string::npos) what.erase(0, end + 2);
    return MakeError(Code::kCorrupt, name + ": not valid JSON: " + what);
  }
}

Result<nlohmann::json> ReadJsonFile(const std::filesystem::path& path, const JsonLimits& limits) {
  GF_TRY(const std::string text, ReadFile(path, kMaxJsonBytes));
  return ParseJson(text, path.string(), limits);
}

std::string PrettyJson(const nlohmann::ordered_json& value) {
  return value.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace genflow::formats
