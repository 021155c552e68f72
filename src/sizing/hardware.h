// GPUs as data: memory, rates and prices, from configs/hardware or a file of the user's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace genflow::sizing {

struct Card {
  std::string name;   // "a100"
  std::string title;  // "NVIDIA A100 SXM 80 GB"
  uint64_t memory = 0;
  double bf16_tflops = 0, fp32_tflops = 0;  // 0: not known
  double bandwidth_gb_s = 0;
  double efficiency = 0;                  // the part of the rates that training reaches
  std::optional<double> on_demand, spot;  // dollars a card and hour
  std::string price_source, price_as_of;  // who asked for that, and when
};

// The cards of a YAML file. Errors are rendered with file, line, column and the line itself.
Result<std::vector<Card>> ReadCards(const std::string& name, std::string text);
// Those that this program brings.
Result<std::vector<Card>> BuiltinCards();
// "a100", in any case; or a size of memory ("24G"), which gives a card without rates and prices.
Result<Card> FindCard(const std::vector<Card>& cards, std::string_view name);

}  // namespace genflow::sizing
