// data.split: train, test and validation parts that share no group.
#pragma once

#include <string>

#include "genflow/plugin.hpp"

namespace genflow::stages {

struct DataSplit {
  static constexpr const char* kName = "data.split";
  static constexpr const char* kVersion = "1.1.0";
  static constexpr const char* kSummary = "Splits rows into train, test and validation parts without leaks.";

  double train = 0, test = 0.1, validation = 0;
  std::string group_by;
  int64_t seed = 0;

  void Declare(Spec& spec);
  std::string Check() const;
  Outcome Run(Context& context);
};

}  // namespace genflow::stages
