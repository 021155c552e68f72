// A plugin of another ABI major; must be refused.
#include "genflow/plugin.h"

extern "C" GENFLOW_EXPORT int32_t genflow_plugin_init(const gf_host*, const gf_plugin** out) {
  static const gf_stage* const stages[] = {nullptr};
  static const gf_plugin plugin{sizeof(gf_plugin), GENFLOW_ABI_MAJOR + 1, 0, "future", "1.0.0", stages};
  *out = &plugin;
  return 0;
}
