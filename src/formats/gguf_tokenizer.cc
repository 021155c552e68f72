#include "formats/gguf_model.h"
#include "formats/split_patterns.h"

namespace genflow::formats {
namespace {

using nlohmann::json;

// The first entry of each kind gives the name that is written.
constexpr PreTokenizerName kPreTokenizers[] = {
    {"", false, false, "gpt-2"},
    {"", true, false, "smollm"},
    {"", true, false, "starcoder"},
    {"", true, false, "refact"},
    {"", true, false, "command-r"},
    {"", true, false, "codeshell"},
    {kLlama3Split, false, true, "llama-bpe"},
    {kLlama3Split, false, true, "llama3"},
    {kLlama3Split, false, true, "llama-v3"},
    {kLlama3Split, false, true, "falcon3"},
    {kLlama3Split, false, true, "pixtral"},
    {kLlama3Split, false, false, "smaug-bpe"},
    {kLlama3Split, false, false, "dbrx"},
    {kQwen2Split, false, false, "qwen2"},
    {kQwen2Split, false, false, "deepseek-r1-qwen"},
    {kGpt4oSplit, false, false, "gpt-4o"},
    {kTekkenSplit, false, true, "tekken"},
};

json ByteLevel(bool use_regex) {
  return {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", use_regex}};
}

json PreTokenizerJson(const PreTokenizerName& name) {
  if (name.digits) {
    return {{"type", "Sequence"},
            {"pretokenizers", {{{"type", "Digits"}, {"individual_digits", true}}, ByteLevel(true)}}};
  }
  if (name.pattern.empty()) return ByteLevel(true);
  const json split = {
      {"type", "Split"}, {"pattern", {{"Regex", name.pattern}}}, {"behavior", "Isolated"}, {"invert", false}};
  return {{"type", "Sequence"}, {"pretokenizers", {split, ByteLevel(false)}}};
}

}  // namespace

const PreTokenizerName* FindPreTokenizer(std::string_view gguf_name) {
  for (const auto& entry : kPreTokenizers) {
    if (entry.gguf == gguf_name) return &entry;
  }
  return nullptr;
}

std::optional<std::string> GgufPreTokenizer(const json& pre_tokenizer, bool ignore_merges) {
  if (!pre_tokenizer.is_object()) return std::nullopt;
  json steps = json::array({pre_tokenizer});
  if (pre_tokenizer.value("type", "") == "Sequence")
    steps = pre_tokenizer.value("pretokenizers", json::array());
  bool digits = false, byte_level = false, prefix_space = false;
  std::string pattern;
  for (const auto& step : steps) {
    const std::string type = step.is_object() ? step.value("type", "") : "";
    if (byte_level) return std::nullopt;
    if (type == "Digits" && step.value("individual_digits", false)) {
      digits = true;
    } else if (type == "Split" && step.value("behavior", "") == "Isolated" && !step.value("invert", false) &&
               pattern.empty() && step.contains("pattern") && step["pattern"].contains("Regex")) {
      pattern = step["pattern"]["Regex"].get<std::string>();
      // Hugging Face's Digits and a split at single digits are the same thing.
      if (pattern == "\\p{N}") digits = true, pattern.clear();
    } else if (type == "ByteLevel") {
      byte_level = true;
      prefix_space = step.value("add_prefix_space", true);
      if (step.value("use_regex", true) != pattern.empty()) return std::nullopt;
    } else {
      return std::nullopt;
    }
  }
  if (!byte_level || prefix_space) return std::nullopt;
  for (const auto& entry : kPreTokenizers) {
    if (entry.pattern == pattern && entry.digits == digits && entry.ignore_merges == ignore_merges)
      return std::string(entry.gguf);
  }
  return std::nullopt;
}

Result<TokenizerFiles> TokenizerFromGguf(const std::shared_ptr<const GgufFile>& shared) {
  const GgufFile& file = *shared;
  const std::string where = file.path().string() + ": ";
  const auto model = file.String("tokenizer.ggml.model");
  if (!model)
    return MakeError(Code::kInvalid,
                     where + "has no tokenizer (metadata key 'tokenizer.ggml.model' is missing)");
  if (*model != "gpt2") {
    return MakeError(Code::kUnsupported,
                     where + "tokenizer model '" + std::string(*model) + "' is not supported",
                     "byte-level BPE ('gpt2') is");
  }
  const std::string pre(file.String("tokenizer.ggml.pre").value_or("default"));
  const PreTokenizerName* pre_tokenizer = FindPreTokenizer(pre);
  if (pre_tokenizer == nullptr) {
    return MakeError(Code::kUnsupported, where + "pre-tokenizer '" + pre + "' is not supported",
                     "gpt-2, smollm, llama-bpe, qwen2, gpt-4o, tekken and their aliases are");
  }
  const auto* tokens = file.Strings("tokenizer.ggml.tokens");
  const auto* merges = file.Strings("tokenizer.ggml.merges");
  const auto* types = file.Ints("tokenizer.ggml.token_type");
  if (tokens == nullptr || tokens->empty() || merges == nullptr) {
    return MakeError(Code::kCorrupt,
                     where + "metadata key 'tokenizer.ggml.tokens' or 'tokenizer.ggml.merges' is missing");
  }
  if (types != nullptr && types->size() != tokens->size()) {
    return MakeError(Code::kCorrupt, where + std::to_string(types->size()) + " token types for " +
                                         std::to_string(tokens->size()) + " tokens");
  }
  TokenizerFiles out;
  BpePieces& pieces = out.pieces.emplace();
  pieces.owner = shared;
  json added = json::array(), decoder = json::object();
  constexpr int64_t kControl = 3, kUserDefined = 4;
  for (size_t i = 0; i < tokens->size(); ++i) {
    const std::string_view token = (*tokens)[i];
    const auto id = static_cast<int64_t>(i);
    pieces.vocab.emplace_back(token, id);
    const int64_t type = types == nullptr ? 1 : (*types)[i];
    if (type != kControl && type != kUserDefined) continue;
    json entry = {{"content", token}, {"single_word", false}, {"lstrip", false},
                  {"rstrip", false},  {"normalized", false},  {"special", type == kControl}};
    decoder[std::to_string(i)] = entry;
    entry["id"] = id;
    added.push_back(std::move(entry));
  }
  for (const auto merge : *merges) {
    const size_t space = merge.find(' ', 1);
    if (space == std::string_view::npos || space + 1 == merge.size()) {
      return MakeError(Code::kCorrupt, where + "merge '" + std::string(merge) + "' is not two pieces");
    }
    pieces.merges.emplace_back(merge.substr(0, space), merge.substr(space + 1));
  }

  const auto token_of = [&](const char* key) -> json {
    const auto id = file.Int(std::string("tokenizer.ggml.") + key);
    if (!id || *id < 0 || static_cast<size_t>(*id) >= tokens->size()) return nullptr;
    return (*tokens)[static_cast<size_t>(*id)];
  };
  json single = json::array({{{"Sequence", {{"id", "A"}, {"type_id", 0}}}}});
  json pair = json::array(
      {{{"Sequence", {{"id", "A"}, {"type_id", 0}}}}, {{"Sequence", {{"id", "B"}, {"type_id", 1}}}}});
  json specials = json::object();
  const auto add_special = [&](const char* flag, const char* key, bool front) {
    const json token = token_of(key);
    if (!file.Bool(flag).value_or(false) || token.is_null()) return;
    specials[token.get<std::string>()] = {
        {"id", token}, {"ids", {*file.Int(std::string("tokenizer.ggml.") + key)}}, {"tokens", {token}}};
    const json item = {{"SpecialToken", {{"id", token}, {"type_id", 0}}}};
    const json second = {{"SpecialToken", {{"id", token}, {"type_id", 1}}}};
    single.insert(front ? single.begin() : single.end(), item);
    pair.insert(front ? pair.begin() : pair.end(), front ? item : second);
  };
  add_special("tokenizer.ggml.add_bos_token", "bos_token_id", true);
  add_special("tokenizer.ggml.add_eos_token", "eos_token_id", false);
  json post = ByteLevel(true);
  if (!specials.empty()) {
    post = {{"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", specials}};
  }
  const json normalizer = pre_tokenizer->pattern == kQwen2Split ? json{{"type", "NFC"}} : json(nullptr);
  out.tokenizer = {
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens", added},
      {"normalizer", normalizer},
      {"pre_tokenizer", PreTokenizerJson(*pre_tokenizer)},
      {"post_processor", post},
      {"decoder",
       {{"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", true}, {"use_regex", true}}},
      {"model",
       {{"type", "BPE"},
        {"dropout", nullptr},
        {"unk_token", nullptr},
        {"continuing_subword_prefix", nullptr},
        {"end_of_word_suffix", nullptr},
        {"fuse_unk", false},
        {"byte_fallback", false},
        {"ignore_merges", pre_tokenizer->ignore_merges}}}};

  out.chat_template = std::string(file.String("tokenizer.chat_template").value_or(""));
  const std::string arch(file.String("general.architecture").value_or("llama"));
  out.tokenizer_config = {{"add_prefix_space", false},
                          {"added_tokens_decoder", std::move(decoder)},
                          {"bos_token", token_of("bos_token_id")},
                          {"eos_token", token_of("eos_token_id")},
                          {"pad_token", token_of("padding_token_id")},
                          {"unk_token", token_of("unknown_token_id")},
                          {"clean_up_tokenization_spaces", false},
                          {"model_max_length", file.Int(arch + ".context_length").value_or(2048)},
                          {"tokenizer_class", "PreTrainedTokenizerFast"}};
  if (!out.chat_template.empty()) out.tokenizer_config["chat_template"] = out.chat_template;
  return out;
}

}  // namespace genflow::formats
