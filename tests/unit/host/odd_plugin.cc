// Plugins that must be refused, one a build: ODD names what is odd about it.
#include <cstddef>
#include <stdexcept>

#include "genflow/plugin.hpp"

namespace {

enum Odd { kMajor, kMinor, kShort, kNameless, kNoRun, kThrows };

[[maybe_unused]] int32_t Run(const gf_host*, gf_run*) { return GF_OK; }

struct Throws {
  static constexpr const char* kName = "odd.throws";
  static constexpr const char* kVersion = "1.0.0";
  static constexpr const char* kSummary = "Cannot be declared.";
  void Declare(genflow::Spec&) { throw std::runtime_error("no such mood"); }
  genflow::Outcome Run(genflow::Context&) { return genflow::Outcome::kOk; }
};

}  // namespace

#if ODD == 5
GENFLOW_PLUGIN("odd", "1.0.0", Throws)
#else
extern "C" GENFLOW_EXPORT int32_t genflow_plugin_init(const gf_host*, const gf_plugin** out) {
  static gf_stage stage{};
  stage.struct_size = ODD == kShort ? offsetof(gf_stage, flags) - 8 : sizeof(gf_stage);
  stage.name = ODD == kNameless ? nullptr : "odd.stage";
  stage.run = ODD == kNoRun ? nullptr : &Run;
  static const gf_stage* const stages[] = {&stage, nullptr};
  static const gf_plugin plugin{sizeof(gf_plugin),
                                GENFLOW_ABI_MAJOR + (ODD == kMajor ? 1 : 0),
                                GENFLOW_ABI_MINOR + (ODD == kMinor ? 1 : 0),
                                "odd",
                                "1.0.0",
                                stages};
  *out = &plugin;
  return 0;
}
#endif
