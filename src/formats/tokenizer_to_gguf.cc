#include <algorithm>

#include "formats/gguf_model.h"

namespace genflow::formats {
namespace {

using nlohmann::json;

// Whether the post-processor puts a special token first (or last) around a single text.
bool AddsSpecial(const json& post, bool front) {
  if (!post.is_object()) return false;
  if (post.value("type", "") == "Sequence") {
    const json steps = post.value("processors", json::array());
    return std::any_of(steps.begin(), steps.end(),
                       [&](const json& step) { return AddsSpecial(step, front); });
  }
  const json single = post.value("single", json::array());
  if (!single.is_array() || single.empty()) return false;
  return (front ? single.front() : single.back()).contains("SpecialToken");
}

Status Convert(const TokenizerFiles& files, const json& config, int64_t rows, GgufWriter* writer) {
  GF_TRY(const json tokenizer, files.WholeTokenizer());
  const json& model = tokenizer.at("model");
  const bool ignore_merges = model.value("ignore_merges", false);
  const auto pre = GgufPreTokenizer(tokenizer.value("pre_tokenizer", json(nullptr)), ignore_merges);
  if (model.value("type", "") != "BPE" || !pre) {
    return MakeError(Code::kUnsupported,
                     "this tokenizer has no counterpart in llama.cpp: its pre-tokenizer is " +
                         tokenizer.value("pre_tokenizer", json(nullptr)).dump() +
                         (ignore_merges ? ", with 'ignore_merges'" : ", without 'ignore_merges'"));
  }
  constexpr int32_t kNormal = 1, kControl = 3, kUserDefined = 4, kUnused = 5;
  std::vector<std::string> tokens(static_cast<size_t>(rows));
  std::vector<int32_t> types(static_cast<size_t>(rows), kUnused);
  json ids = json::object();
  const auto place = [&](const std::string& token, int64_t id, int32_t type) -> Status {
    if (id < 0 || id >= rows) {
      return InvalidError("token '" + token + "' has id " + std::to_string(id) + ", but the model has " +
                          std::to_string(rows) + " embedding rows");
    }
    tokens[static_cast<size_t>(id)] = token;
    types[static_cast<size_t>(id)] = type;
    ids[token] = id;
    return Ok();
  };
  for (const auto& [token, id] : model.at("vocab").items())
    GF_CHECK_OK(place(token, id.get<int64_t>(), kNormal));
  for (const auto& added : tokenizer.value("added_tokens", json::array())) {
    GF_CHECK_OK(place(added.at("content").get<std::string>(), added.at("id").get<int64_t>(),
                      added.value("special", false) ? kControl : kUserDefined));
  }
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (types[i] == kUnused) tokens[i] = "[PAD" + std::to_string(i) + "]";
  }
  std::vector<std::string> merges;
  for (const auto& merge : model.at("merges")) {
    merges.push_back(merge.is_string()
                         ? merge.get<std::string>()
                         : merge.at(0).get<std::string>() + " " + merge.at(1).get<std::string>());
  }
  writer->Set("tokenizer.ggml.model", "gpt2");
  writer->Set("tokenizer.ggml.pre", *pre);
  writer->SetStrings("tokenizer.ggml.tokens", tokens);
  writer->SetInts("tokenizer.ggml.token_type", types);
  writer->SetStrings("tokenizer.ggml.merges", merges);
  static constexpr std::tuple<const char*, const char*, const char*> kSpecial[] = {
      {"bos_token", "bos_token_id", "tokenizer.ggml.bos_token_id"},
      {"eos_token", "eos_token_id", "tokenizer.ggml.eos_token_id"},
      {"unk_token", "unk_token_id", "tokenizer.ggml.unknown_token_id"},
      {"pad_token", "pad_token_id", "tokenizer.ggml.padding_token_id"}};
  for (const auto& [name, id_name, key] : kSpecial) {
    json id = nullptr;
    const std::string text = TokenText(files.tokenizer_config, name);
    if (const auto it = ids.find(text); !text.empty() && it != ids.end())
      id = *it;
    else if (const auto own = config.find(id_name); own != config.end())
      id = own->is_array() && !own->empty() ? own->front() : *own;
    if (id.is_number_unsigned() || (id.is_number_integer() && id >= 0))
      writer->SetU32(key, id.get<uint32_t>());
  }
  const json post = tokenizer.value("post_processor", json(nullptr));
  writer->Set("tokenizer.ggml.add_bos_token", AddsSpecial(post, true));
  writer->Set("tokenizer.ggml.add_eos_token", AddsSpecial(post, false));
  writer->Set("tokenizer.ggml.add_space_prefix", false);
  if (!files.chat_template.empty()) writer->Set("tokenizer.chat_template", files.chat_template);
  return Ok();
}

}  // namespace

Status TokenizerToGguf(const TokenizerFiles& files, const json& config, int64_t rows, GgufWriter* writer) {
  try {
    return Convert(files, config, rows, writer);
  } catch (const json::exception& e) {
    return MakeError(Code::kCorrupt, std::string("tokenizer.json: ") + e.what());
  }
}

}  // namespace genflow::formats
