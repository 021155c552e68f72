#include "formats/tokenizer_files.h"

#include <system_error>

#include "base/files.h"
#include "formats/json_text.h"

namespace genflow::formats {

namespace fs = std::filesystem;
using nlohmann::json;

Result<TokenizerFiles> TokenizerFromFolder(const fs::path& folder) {
  TokenizerFiles out;
  std::error_code ec;
  if (!fs::exists(folder / "tokenizer.json", ec)) {
    return MakeError(Code::kNotFound, folder.string() + ": has no tokenizer.json",
                     "save the tokenizer with Hugging Face's fast tokenizers");
  }
  GF_TRY(out.tokenizer, ReadJsonFile(folder / "tokenizer.json"));
  out.tokenizer_config = json::object();
  if (fs::exists(folder / "tokenizer_config.json", ec)) {
    GF_TRY(out.tokenizer_config, ReadJsonFile(folder / "tokenizer_config.json"));
    if (!out.tokenizer_config.is_object()) {
      return MakeError(Code::kCorrupt,
                       (folder / "tokenizer_config.json").string() + ": is not a JSON object");
    }
  }
  if (fs::exists(folder / "chat_template.jinja", ec)) {
    GF_TRY(out.chat_template, ReadFile(folder / "chat_template.jinja", 16u << 20));
  } else if (const auto it = out.tokenizer_config.find("chat_template"); it != out.tokenizer_config.end()) {
    if (it->is_string()) out.chat_template = it->get<std::string>();
    if (it->is_array()) {  // [{"name": "default", "template": ...}, ...]
      for (const auto& entry : *it) {
        if (!entry.is_object() || !entry.contains("name") || !entry.contains("template")) continue;
        if (entry["name"] == "default" && entry["template"].is_string())
          out.chat_template = entry["template"];
      }
    }
  }
  return out;
}

Result<json> TokenizerFiles::WholeTokenizer() const {
  if (!pieces) return tokenizer;
  json whole = tokenizer;
  json& vocab = whole["model"]["vocab"] = json::object();
  for (const auto& [token, id] : pieces->vocab) {
    if (!vocab.emplace(token, id).second) {
      return MakeError(Code::kCorrupt, "token " + std::to_string(id) + " has the text of an earlier one");
    }
  }
  json& merges = whole["model"]["merges"] = json::array();
  for (const auto& [left, right] : pieces->merges) merges.push_back({left, right});
  return whole;
}

std::string TokenText(const json& tokenizer_config, const char* key) {
  const auto it = tokenizer_config.find(key);
  if (it == tokenizer_config.end()) return "";
  if (it->is_string()) return it->get<std::string>();
  if (!it->is_object()) return "";
  const auto content = it->find("content");
  return content != it->end() && content->is_string() ? content->get<std::string>() : "";
}

}  // namespace genflow::formats
