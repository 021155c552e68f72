// data.format: rows made into chats, preferences or text by templates.
#pragma once

#include <string>
#include <vector>

#include "data/format.h"
#include "genflow/plugin.hpp"

namespace genflow::stages {

struct DataFormat {
  static constexpr const char* kName = "data.format";
  static constexpr const char* kVersion = "1.1.0";
  static constexpr const char* kSummary =
      "Turns rows into chat messages (or preferences, or text) by templates.";

  std::string to, system, assistant, prompt, chosen, rejected, text, on_empty;
  std::vector<std::string> user;
  int64_t seed = 0;

  void Declare(Spec& spec);
  std::string Check() const;
  Outcome Run(Context& context);

 private:
  data::FormatOptions Options() const;
};

}  // namespace genflow::stages
