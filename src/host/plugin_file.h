// Opening a plugin: the only place that calls dlopen() on one.
#pragma once

#include <filesystem>

#include "base/manifest.h"
#include "base/result.h"
#include "genflow/plugin.h"

namespace genflow {

// Loads the shared object and calls its entry point. Never unloaded. Refuses another ABI major, a newer
// minor, and descriptors that are shorter than this version's or lack names. `host` must outlive the process.
// `digest`: the SHA-256 that the file must have; empty: any.
Result<const gf_plugin*> OpenPlugin(const std::filesystem::path& file, const gf_host* host,
                                    std::string_view digest = {});

// A host for opening plugins whose stages are not run: it offers nothing.
const gf_host& IdleHost();

// The stage's descriptor, or nullptr.
const gf_stage* FindStage(const gf_plugin* plugin, std::string_view name);

// Loads a plugin and turns its descriptor into data, with the SHA-256 of the file.
Result<PluginInfo> DescribePlugin(const std::filesystem::path& file);

}  // namespace genflow
