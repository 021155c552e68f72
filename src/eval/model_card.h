// MODEL_CARD.md of a package: what it is, what it was made from, how good and how safe it is, how to use it.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "eval/gate.h"
#include "formats/training_record.h"

namespace genflow::eval {

struct CardDataset {
  std::string name;  // the stage that made it
  std::string kind;  // "messages"
  int64_t rows = 0;
  int64_t characters = 0;
};

struct CardInput {
  std::string role;    // "model", "adapter", "report", "dataset"
  std::string source;  // "tune.adapter"
  std::string digest;  // "sha256:..."; "" when unknown
};

struct ModelCard {
  std::string name;
  std::string about;         // Markdown; "" leaves the paragraph out
  std::string architecture;  // "LlamaForCausalLM"
  std::string base_name;     // "SmolLM2-135M-Instruct"
  std::string base_type;     // how the base's weights are stored: "Q4_1"
  int64_t parameters = 0;
  std::string license;                     // of the package, as the user states it; "" when not stated
  std::string base_license;                // as the base model states it; "" when it does not
  std::vector<std::string> license_files;  // paths in the package
  std::vector<std::pair<std::string, std::string>> training;  // "learning rate" -> "0.0002"
  std::vector<CardDataset> datasets;
  std::vector<NamedReport> reports;
  std::vector<CardInput> lineage;
  std::string merged_dtype;  // "" when the merged model is not in the package
  std::string gguf_file;     // "gguf/name-f16.gguf"; "" when it is not
};

// What a training record says, for ModelCard::training.
std::vector<std::pair<std::string, std::string>> TrainingRows(const formats::TrainingRecord& record);

std::string RenderModelCard(const ModelCard& card);

}  // namespace genflow::eval
