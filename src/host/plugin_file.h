// Opening a plugin: the only place that calls dlopen() on one.
#pragma once

#include <filesystem>

#include "base/manifest.h"
#include "base/result.h"
#include "genflow/plugin.h"

namespace genflow {

// Loads the shared object and calls its entry point. Never unloaded. Refuses another ABI major, a newer
// minor and descriptors that lack names. `host` must outlive the process.
Result<const gf_plugin*> OpenPlugin(const std::filesystem::path& file, const gf_host* host);

// The stage's descriptor, or nullptr.
const gf_stage* FindStage(const gf_plugin* plugin, std::string_view name);

// Loads a plugin and turns its descriptor into data, with the SHA-256 of the file.
Result<PluginInfo> DescribePlugin(const std::filesystem::path& file);

}  // namespace genflow
