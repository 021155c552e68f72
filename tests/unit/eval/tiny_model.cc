#include "unit/eval/tiny_model.h"

#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/files.h"
#include "data/dataset.h"
#include "formats/safetensors.h"

namespace genflow::testing_support {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr int64_t kVocab = 259, kHidden = 32, kIntermediate = 48, kLayers = 2, kHeads = 4, kKvHeads = 2,
                  kHeadDim = 8;

void Check(const Status& status) {
  if (!status.ok()) throw std::runtime_error(status.error().ToString());
}

std::string Utf8(unsigned c) {
  if (c < 0x80) return std::string(1, static_cast<char>(c));
  return {static_cast<char>(0xC0 | (c >> 6)), static_cast<char>(0x80 | (c & 63))};
}

// GPT-2's bytes as printable characters.
std::vector<std::string> ByteCharacters() {
  std::vector<std::string> out(256);
  unsigned next = 256;
  for (unsigned b = 0; b < 256; ++b) {
    const bool printable = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
    out[b] = Utf8(printable ? b : next++);
  }
  return out;
}

json TokenizerJson() {
  json vocab = json::object(), added = json::array();
  const auto characters = ByteCharacters();
  for (int i = 0; i < 256; ++i) vocab[characters[static_cast<size_t>(i)]] = i;
  int id = 256;
  for (const char* token : {"<|endoftext|>", "<|im_start|>", "<|im_end|>"}) {
    vocab[token] = id;
    added.push_back({{"id", id++},
                     {"content", token},
                     {"special", true},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false}});
  }
  const json bytes = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}};
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", added},
          {"normalizer", nullptr},
          {"pre_tokenizer", bytes},
          {"post_processor", nullptr},
          {"decoder", bytes},
          {"model",
           {{"type", "BPE"},
            {"dropout", nullptr},
            {"unk_token", nullptr},
            {"continuing_subword_prefix", nullptr},
            {"end_of_word_suffix", nullptr},
            {"fuse_unk", false},
            {"byte_fallback", false},
            {"vocab", vocab},
            {"merges", json::array()}}}};
}

// Tensors with their values, written as one file.
class Tensors {
 public:
  explicit Tensors(uint64_t seed) : generator_(seed) {}
  // Uniform in +-scale around `center`.
  void Add(const std::string& name, std::vector<int64_t> shape, float scale, float center = 0) {
    int64_t count = 1;
    for (const int64_t size : shape) count *= size;
    auto& values = values_.emplace_back(static_cast<size_t>(count));
    for (float& value : values) {
      const auto unit = static_cast<float>(generator_() >> 40) / static_cast<float>(1 << 24);
      value = center + scale * (2 * unit - 1);
    }
    views_.push_back({name, std::move(shape), formats::DType::kF32, values.data()});
  }
  void Write(const fs::path& file) const { Check(formats::WriteSafetensors(file, views_)); }

 private:
  std::mt19937_64 generator_;
  std::vector<std::vector<float>> values_;
  std::vector<formats::TensorView> views_;
};

struct Projection {
  const char* name;
  int64_t out, in;
};
const std::vector<Projection>& Projections() {
  static const std::vector<Projection> all = {
      {"self_attn.q_proj", kHeads * kHeadDim, kHidden},   {"self_attn.k_proj", kKvHeads * kHeadDim, kHidden},
      {"self_attn.v_proj", kKvHeads * kHeadDim, kHidden}, {"self_attn.o_proj", kHidden, kHeads * kHeadDim},
      {"mlp.gate_proj", kIntermediate, kHidden},          {"mlp.up_proj", kIntermediate, kHidden},
      {"mlp.down_proj", kHidden, kIntermediate}};
  return all;
}

}  // namespace

void WriteTinyModel(const fs::path& folder, uint64_t seed) {
  Check(MakeDirectories(folder));
  const json config = {{"architectures", {"LlamaForCausalLM"}},
                       {"model_type", "llama"},
                       {"vocab_size", kVocab},
                       {"hidden_size", kHidden},
                       {"intermediate_size", kIntermediate},
                       {"num_hidden_layers", kLayers},
                       {"num_attention_heads", kHeads},
                       {"num_key_value_heads", kKvHeads},
                       {"head_dim", kHeadDim},
                       {"max_position_embeddings", 1024},
                       {"rms_norm_eps", 1e-5},
                       {"rope_theta", 10000.0},
                       {"hidden_act", "silu"},
                       {"tie_word_embeddings", true},
                       {"attention_bias", false},
                       {"mlp_bias", false},
                       {"bos_token_id", 257},
                       {"eos_token_id", 258},
                       {"torch_dtype", "float32"}};
  const json tokenizer_config = {
      {"tokenizer_class", "GPT2Tokenizer"},
      {"bos_token", "<|im_start|>"},
      {"eos_token", "<|im_end|>"},
      {"chat_template",
       "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + "
       "'<|im_end|>' + "
       "'\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"}};
  Check(WriteFileAtomic(folder / "config.json", config.dump(2)));
  Check(WriteFileAtomic(folder / "tokenizer.json", TokenizerJson().dump()));
  Check(WriteFileAtomic(folder / "tokenizer_config.json", tokenizer_config.dump(2)));
  Check(WriteFileAtomic(folder / "LICENSE", "Do what you like.\n"));
  Tensors tensors(seed);
  tensors.Add("model.embed_tokens.weight", {kVocab, kHidden}, 0.5f);
  tensors.Add("model.norm.weight", {kHidden}, 0.1f, 1);
  for (int64_t layer = 0; layer < kLayers; ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    tensors.Add(prefix + "input_layernorm.weight", {kHidden}, 0.1f, 1);
    tensors.Add(prefix + "post_attention_layernorm.weight", {kHidden}, 0.1f, 1);
    for (const auto& p : Projections()) tensors.Add(prefix + p.name + ".weight", {p.out, p.in}, 0.3f);
  }
  tensors.Write(folder / "model.safetensors");
}

void WriteTinyAdapter(const fs::path& folder, uint64_t seed) {
  Check(MakeDirectories(folder));
  json targets = json::array();
  for (const auto& p : Projections())
    targets.push_back(std::string(p.name).substr(std::string(p.name).find('.') + 1));
  const json config = {{"peft_type", "LORA"},
                       {"task_type", "CAUSAL_LM"},
                       {"r", 2},
                       {"lora_alpha", 4},
                       {"lora_dropout", 0.0},
                       {"bias", "none"},
                       {"target_modules", targets},
                       {"base_model_name_or_path", "tiny"},
                       {"inference_mode", true},
                       {"fan_in_fan_out", false}};
  Check(WriteFileAtomic(folder / "adapter_config.json", config.dump(2)));
  Tensors tensors(seed);
  for (int64_t layer = 0; layer < kLayers; ++layer) {
    for (const auto& p : Projections()) {
      const std::string name = "base_model.model.model.layers." + std::to_string(layer) + "." + p.name;
      tensors.Add(name + ".lora_A.weight", {2, p.in}, 0.3f);
      tensors.Add(name + ".lora_B.weight", {p.out, 2}, 0.3f);
    }
  }
  tensors.Write(folder / "adapter_model.safetensors");
}

void WriteTinyChats(const fs::path& folder, int rows) {
  auto writer = data::DatasetWriter::Create(folder, data::Kind::kMessages);
  if (!writer.ok()) throw std::runtime_error(writer.error().ToString());
  for (int i = 0; i < rows; ++i) {
    const std::string n = std::to_string(i);
    data::MessagesRow row;
    row.id = "row-" + n;
    row.messages = {{"user", "What does tool " + n + " do?"},
                    {"assistant",
                     "Tool " + n + " counts the " + n + " files of a folder and prints how many there are."}};
    Check(writer->Append(row));
  }
  const auto done = writer->Finish();
  if (!done.ok()) throw std::runtime_error(done.error().ToString());
}

}  // namespace genflow::testing_support
