// Any text as an adapter_config.json: refused with a reason, or every module has a rank and a scaling, or a
// pattern that is refused.
#include <cmath>
#include <cstdlib>

#include "adapter/lora_config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace genflow;
  const auto config =
      adapter::ParseLoraConfig({reinterpret_cast<const char*>(data), size}, "adapter_config.json");
  if (!config.ok()) {
    if (config.error().message.empty()) std::abort();
    return 0;
  }
  for (const char* module : {"model.layers.0.self_attn.q_proj", "model.layers.11.mlp.down_proj", "lm_head"}) {
    (void)adapter::Adapts(*config, module);
    const auto rank = adapter::RankOf(*config, module);
    if (rank.ok() && (rank->r < 1 || rank->r > adapter::kMaxRank || !std::isfinite(rank->scaling)))
      std::abort();
  }
  return 0;
}
