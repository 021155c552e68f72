// Any text as a plugin's manifest: refused, or it reads back as what was written of it.
#include <cstdlib>

#include "base/manifest.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace genflow;
  const auto plugin = ManifestFromJson({reinterpret_cast<const char*>(data), size}, "plugin.so");
  if (!plugin.ok()) {
    if (plugin.error().message.empty()) std::abort();
    return 0;
  }
  const std::string text = ManifestToJson(*plugin);
  const auto again = ManifestFromJson(text, "plugin.so");
  if (!again.ok() || ManifestToJson(*again) != text) std::abort();
  const Catalog catalog(plugin->stages);
  for (const std::string& name : catalog.Names()) {
    if (catalog.Find(name) == nullptr) std::abort();
  }
  return 0;
}
