// `genflow models convert`, `merge` and `quantize`.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "cli/sandbox.h"

namespace genflow {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

const std::string kFixtures = GENFLOW_SOURCE_DIR "/tests/parity/fixtures/";
const std::string kModel = kFixtures + "formats/tiny_llama", kTied = kFixtures + "nn/tiny_gqa_tied";

class ModelsConvert : public testing::Test {
 protected:
  CommandResult Run(std::vector<std::string> args) {
    args.insert(args.begin(), "models");
    return box_.Genflow(args);
  }
  // What is in the sandbox's folder, hidden files included.
  std::string Entries() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(box_.dir())) names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    std::string out;
    for (const auto& name : names) out += (out.empty() ? "" : " ") + name;
    return out;
  }
  Sandbox box_;
};

TEST_F(ModelsConvert, ToGgufAndBack) {
  const auto there = Run({"convert", kModel, "--to", "gguf", "--type", "q8_0", "-o", "tiny.gguf"});
  EXPECT_EQ(there.code, 0) << there.err;
  EXPECT_EQ(there.err, "");
  EXPECT_EQ(there.out, "tiny.gguf: GGUF, 119,616 parameters, 149 KiB; tensors: 5 F32, 15 Q8_0\n");
  const auto back = Run({"convert", "tiny.gguf", "-o", "back/", "--json"});
  EXPECT_EQ(back.code, 0) << back.err;
  const json answer = json::parse(back.out);
  EXPECT_EQ(answer["path"], "back");
  EXPECT_EQ(answer["format"], "hf");
  EXPECT_EQ(answer["type"], "bf16");
  EXPECT_EQ(answer["parameters"], 119616);
  EXPECT_EQ(answer["tensors"], (json{{"BF16", 20}}));
  EXPECT_GT(answer["bytes"], 2 * 119616);
  EXPECT_TRUE(box_.Exists("back/tokenizer.json"));
  EXPECT_EQ(Entries(), "back tiny.gguf");
}

TEST_F(ModelsConvert, QuantizesOnce) {
  ASSERT_EQ(Run({"convert", kModel, "-o", "f16.gguf"}).code, 0);
  const auto small = Run({"quantize", "f16.gguf", "-o", "small.gguf", "--json"});
  EXPECT_EQ(small.code, 0) << small.err;
  // Rows of 64 and 96 hold no block of 256.
  EXPECT_EQ(json::parse(small.out)["tensors"], (json{{"F32", 5}, {"Q5_0", 12}, {"Q8_0", 3}}));
  const auto again = Run({"quantize", "small.gguf", "--type", "q8_0", "-o", "again.gguf"});
  EXPECT_EQ(again.code, 2);
  EXPECT_EQ(
      again.err,
      "error: small.gguf: is quantised already: 'model.embed_tokens.weight' is Q8_0\n"
      "  hint: start from the model in f16 or bf16, or say --allow-requantize and lose more than needed\n");
  EXPECT_EQ(Run({"quantize", "small.gguf", "--type", "q8_0", "-o", "again.gguf", "--allow-requantize"}).code,
            0);
}

TEST_F(ModelsConvert, MergesAnAdapter) {
  const std::string adapter = kFixtures + "train/peft_adapter";
  const auto merged = Run({"merge", kTied, adapter, "--type", "f32", "-o", "merged"});
  EXPECT_EQ(merged.code, 0) << merged.err;
  EXPECT_TRUE(merged.out.starts_with("merged: Hugging Face, ")) << merged.out;
  EXPECT_EQ(json::parse(box_.Read("merged/config.json"))["dtype"], "float32");
  EXPECT_NE(box_.Read("merged/model.safetensors"), *ReadFile(kTied + "/model.safetensors"));

  const auto other = Run({"merge", kModel, adapter, "-o", "other"});
  EXPECT_EQ(other.code, 2);
  EXPECT_EQ(
      other.err,
      "error: '" + adapter +
          "/adapter_model.safetensors': the matrices [48, 4] x [4, 80] do not fit "
          "'model.layers.0.mlp.down_proj.weight' [64, 96] with rank 4\n"
          "  hint: the adapter belongs to another base model, or its configuration to another adapter\n");
  EXPECT_EQ(Entries(), "merged");
}

TEST_F(ModelsConvert, AdaptersForOtherPrograms) {
  const std::string adapter = kFixtures + "adapter/for_llama_cpp", dora = kFixtures + "adapter/dora";
  const auto gguf = Run({"convert", adapter, "--base", kModel, "-o", "adapter.gguf"});
  EXPECT_EQ(gguf.code, 0) << gguf.err;
  EXPECT_EQ(gguf.out, "adapter.gguf: GGUF, 1,920 parameters, 8.8 KiB; tensors: 16 F32\n");
  const auto peft = Run({"convert", kFixtures + "adapter/rslora_patterns", "--base", kTied, "-o", "plain"});
  EXPECT_EQ(peft.code, 0) << peft.err;
  EXPECT_EQ(json::parse(box_.Read("plain/adapter_config.json"))["use_rslora"], false);

  EXPECT_EQ(Run({"convert", adapter, "-o", "a.gguf"}).err,
            "error: " + adapter +
                ": is an adapter, and --base is missing\n"
                "  hint: --base PATH names the model that it belongs to\n");
  EXPECT_EQ(Run({"convert", adapter, "--base", kModel, "--type", "q8_0", "-o", "a.gguf"}).err,
            "error: --type q8_0 is no type of adapters\n  hint: f32, f16 and bf16 are\n");
  const auto refused = Run({"convert", dora, "--base", kTied, "-o", "a.gguf"});
  EXPECT_EQ(refused.code, 1);
  EXPECT_EQ(
      refused.err,
      "error: '" + dora +
          "/adapter_config.json': use_dora is true: a magnitude for each row of the weights, and llama.cpp's "
          "LoRA files have no place for it\n"
          "  hint: merge the adapter into the model instead: genflow models merge\n");
  EXPECT_EQ(Run({"quantize", adapter, "-o", "a.gguf"}).err,
            "error: " + adapter +
                ": is an adapter, which is not quantised\n"
                "  hint: genflow models merge --type q4_k_m puts it into its model first\n");
  EXPECT_EQ(Entries(), "adapter.gguf plain");
}

TEST_F(ModelsConvert, RefusalsHelp) {
  EXPECT_EQ(Run({"convert", kModel, "--type", "q4", "-o", "x"}).err,
            "error: --type is 'q4'\n  hint: f32, f16, bf16, q8_0 and q4_k_m are known\n");
  EXPECT_EQ(Run({"convert", kModel, "--type", "q8_0", "-o", "x"}).err,
            "error: --type q8_0 is a type of GGUF files\n"
            "  hint: a Hugging Face folder takes f32, f16 or bf16; --to gguf writes a GGUF\n");
  const auto missing = Run({"convert", "nowhere", "-o", "x"});
  EXPECT_EQ(missing.code, 2);
  EXPECT_EQ(missing.err, "error: nowhere: no such file or folder\n");
  EXPECT_EQ(Run({"convert", kModel, "--base", kModel, "-o", "x"}).err,
            "error: " + kModel + ": is no adapter, and --base is for adapters\n");
  const auto damaged = Run({"convert", kFixtures + "text/lines.txt.gz", "-o", "x"});
  EXPECT_EQ(damaged.code, 2);
  EXPECT_EQ(Run({"convert", kModel, "-o", "no/such/folder/x"}).err,
            "error: no/such/folder/x: No such file or directory\n");
  // Without a tokenizer there is no GGUF.
  const auto bare = Run({"convert", kTied, "-o", "x.gguf"});
  EXPECT_EQ(bare.err.substr(0, bare.err.find('\n')), "error: " + kTied + ": has no tokenizer.json");
  EXPECT_EQ(Entries(), "");
}

TEST_F(ModelsConvert, WhatIsThereStays) {
  box_.Write("model.gguf", "precious");
  const auto refused = Run({"convert", kModel, "-o", "model.gguf"});
  EXPECT_EQ(refused.code, 2);
  EXPECT_EQ(refused.err, "error: model.gguf: exists already\n  hint: remove it, or write to another path\n");
  EXPECT_EQ(box_.Read("model.gguf"), "precious");
  EXPECT_EQ(Entries(), "model.gguf");
}

TEST_F(ModelsConvert, AKilledOneLeavesNothingForLong) {
  fs::create_directory(box_.dir() / ".model.gguf.partial");
  box_.Write(".model.gguf.partial/model.gguf", "half of it");
  EXPECT_EQ(Run({"convert", kModel, "-o", "model.gguf"}).code, 0);
  EXPECT_EQ(Entries(), "model.gguf");
  EXPECT_TRUE(box_.Read("model.gguf").starts_with("GGUF"));
}

TEST_F(ModelsConvert, OneWriterAtATime) {
  const fs::path partial = box_.dir() / ".model.gguf.partial";
  fs::create_directory(partial);
  const Fd lock(::open(partial.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  ASSERT_EQ(::flock(lock.get(), LOCK_EX), 0);
  const auto busy = Run({"convert", kModel, "-o", "model.gguf"});
  EXPECT_EQ(busy.code, 4);
  EXPECT_EQ(busy.err, "error: model.gguf: another process is writing it\n");
}

TEST_F(ModelsConvert, AFullDiskLeavesNothing) {
  const auto full = box_.Shell("trap '' XFSZ; ulimit -f 16; '" GENFLOW_BINARY "' models convert '" + kModel +
                               "' -o model.gguf");
  EXPECT_EQ(full.code, 1);
  EXPECT_EQ(full.err, "error: model.gguf: write: File too large\n");
  EXPECT_EQ(Entries(), "");
}

// A model of zeros that is mostly a hole in its file.
void WriteLargeModel(const Sandbox& box) {
  constexpr int64_t kHidden = 1024, kRows = 8192, kLayers = 24;
  json config = json::parse(*ReadFile(kModel + "/config.json"));
  config["hidden_size"] = kHidden;
  config["intermediate_size"] = kRows;
  config["num_hidden_layers"] = kLayers;
  box.Write("large/config.json", config.dump());
  box.Write("large/tokenizer.json", *ReadFile(kModel + "/tokenizer.json"));
  json header = json::object();
  int64_t offset = 0;
  const auto add = [&](const std::string& name, int64_t rows) {
    header[name] = {{"dtype", "BF16"},
                    {"shape", {rows, kHidden}},
                    {"data_offsets", {offset, offset + rows * kHidden * 2}}};
    offset += rows * kHidden * 2;
  };
  add("model.embed_tokens.weight", 904);
  for (int64_t layer = 0; layer < kLayers; ++layer)
    add("model.layers." + std::to_string(layer) + ".mlp.up_proj.weight", kRows);
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  const uint64_t size = text.size();
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &size, 8);
  box.Write("large/model.safetensors", bytes + text);
  fs::resize_file(box.dir() / "large/model.safetensors", 8 + size + static_cast<uint64_t>(offset));
}

TEST_F(ModelsConvert, StoppedItLeavesNothing) {
  WriteLargeModel(box_);
  auto running = box_.Start({"models", "quantize", "large", "-o", "small.gguf"});
  ASSERT_TRUE(box_.WaitFor("[ -s .small.gguf.partial/small.gguf ]"));
  running.Signal(SIGTERM);
  const auto stopped = running.Wait();
  EXPECT_EQ(stopped.code, 143);
  EXPECT_EQ(stopped.err, "error: stopped; nothing was written\n");
  EXPECT_EQ(Entries(), "large");
}

}  // namespace
}  // namespace genflow
