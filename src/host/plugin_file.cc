#include "host/plugin_file.h"

#include <dlfcn.h>

#include <cstddef>
#include <string>

#include "base/sha256.h"

namespace genflow {

namespace fs = std::filesystem;

namespace {

std::string Text(const char* text) { return text == nullptr ? "" : text; }

Result<ParamInfo> ReadParam(const std::string& stage, const gf_param& p) {
  ParamInfo out;
  out.name = Text(p.name);
  if (out.name.empty()) return InvalidError("stage " + stage + " has a parameter without a name");
  if (p.type < GF_BOOL || p.type > GF_JSON) {
    return InvalidError("stage " + stage + ", parameter " + out.name + ": unknown type " +
                        std::to_string(p.type));
  }
  out.type = static_cast<ParamType>(p.type - GF_BOOL);
  out.required = (p.flags & GF_PARAM_REQUIRED) != 0;
  out.secret = (p.flags & GF_PARAM_SECRET) != 0;
  out.is_volatile = (p.flags & GF_PARAM_VOLATILE) != 0;
  if (p.default_json != nullptr) {
    out.default_value = nlohmann::json::parse(p.default_json, nullptr, false);
    if (out.default_value->is_discarded()) {
      return InvalidError("stage " + stage + ", parameter " + out.name +
                          ": the default is not JSON: " + p.default_json);
    }
  }
  if (p.min <= p.max) {
    out.min = p.min;
    out.max = p.max;
  }
  for (const char* const* c = p.choices; c != nullptr && *c != nullptr; ++c) out.choices.emplace_back(*c);
  out.doc = Text(p.doc);
  return out;
}

PortInfo ReadPort(const gf_port& p) {
  return PortInfo{Text(p.name), Text(p.type), (p.flags & GF_PORT_OPTIONAL) != 0,
                  (p.flags & GF_PORT_MANY) != 0, Text(p.doc)};
}

static_assert(static_cast<int>(ParamType::kJson) == GF_JSON - GF_BOOL);

constexpr size_t kFirstStageSize = offsetof(gf_stage, flags);  // as ABI 1.0 has it

// The struct with the first size in it that is smaller than what every plugin of this major has; null: none.
const char* ShortStruct(const gf_plugin& plugin) {
  if (plugin.struct_size < sizeof(gf_plugin)) return "gf_plugin";
  for (const gf_stage* const* s = plugin.stages; s != nullptr && *s != nullptr; ++s) {
    if ((*s)->struct_size < kFirstStageSize) return "gf_stage";
    for (const gf_param* const* p = (*s)->params; p != nullptr && *p != nullptr; ++p) {
      if ((*p)->struct_size < sizeof(gf_param)) return "gf_param";
    }
    for (const auto* ports : {(*s)->inputs, (*s)->outputs}) {
      for (const gf_port* const* p = ports; p != nullptr && *p != nullptr; ++p) {
        if ((*p)->struct_size < sizeof(gf_port)) return "gf_port";
      }
    }
  }
  return nullptr;
}

// What a stage lacks, as "a stage has no name"; empty: nothing.
std::string WhatIsMissing(const gf_plugin& plugin) {
  if (Text(plugin.name).empty()) return "the plugin has no name";
  for (const gf_stage* const* s = plugin.stages; s != nullptr && *s != nullptr; ++s) {
    if (Text((*s)->name).empty()) return "a stage has no name";
    if ((*s)->run == nullptr) return "stage " + Text((*s)->name) + " has no run()";
  }
  return {};
}

}  // namespace

const gf_host& IdleHost() {
  static const gf_host host = [] {
    gf_host out{};
    out.struct_size = sizeof out;
    out.abi_major = GENFLOW_ABI_MAJOR;
    out.abi_minor = GENFLOW_ABI_MINOR;
    return out;
  }();
  return host;
}

Result<const gf_plugin*> OpenPlugin(const fs::path& file, const gf_host* host, std::string_view digest) {
  if (!digest.empty()) {
    const auto found = Sha256File(file);
    if (!found.ok() || *found != digest) {
      return InvalidError("plugin " + file.string() + " is not the file its manifest describes",
                          "write the manifest again with `genflow plugin describe`");
    }
  }
  void* handle = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* why = ::dlerror();
    return MakeError(Code::kUnsupported, "cannot load plugin " + file.string() + ": " + Text(why));
  }
  auto init = reinterpret_cast<genflow_plugin_init_fn>(::dlsym(handle, "genflow_plugin_init"));
  if (init == nullptr) {
    return InvalidError(file.string() + " is not a genflow plugin: it exports no genflow_plugin_init",
                        "end the plugin's source with GENFLOW_PLUGIN(\"name\", \"1.0.0\", Stage)");
  }
  const gf_plugin* plugin = nullptr;
  const int32_t refused = init(host, &plugin);
  if (refused != GF_INIT_OK && refused != GF_INIT_OTHER_ABI)
    return InvalidError("plugin " + file.string() + " could not describe its stages");
  if (refused != GF_INIT_OK || plugin == nullptr) {
    return MakeError(Code::kUnsupported,
                     "plugin " + file.string() + " refuses this host (ABI " +
                         std::to_string(GENFLOW_ABI_MAJOR) + "." + std::to_string(GENFLOW_ABI_MINOR) + ")",
                     "build the plugin against this version's headers");
  }
  if (plugin->abi_major != GENFLOW_ABI_MAJOR || plugin->abi_minor > GENFLOW_ABI_MINOR) {
    return MakeError(Code::kUnsupported,
                     "plugin " + file.string() + " has ABI " + std::to_string(plugin->abi_major) + "." +
                         std::to_string(plugin->abi_minor) + ", this genflow has " +
                         std::to_string(GENFLOW_ABI_MAJOR) + "." + std::to_string(GENFLOW_ABI_MINOR),
                     "build the plugin against this version's headers");
  }
  if (const char* name = ShortStruct(*plugin)) {
    return InvalidError("plugin " + file.string() + ": a " + name + " is smaller than ABI " +
                            std::to_string(GENFLOW_ABI_MAJOR) + ".0 has it",
                        "set struct_size to sizeof of the struct, in each of them");
  }
  if (const std::string missing = WhatIsMissing(*plugin); !missing.empty())
    return InvalidError(file.string() + ": " + missing);
  return plugin;
}

const gf_stage* FindStage(const gf_plugin* plugin, std::string_view name) {
  for (const gf_stage* const* s = plugin->stages; s != nullptr && *s != nullptr; ++s) {
    if ((*s)->name != nullptr && name == (*s)->name) return *s;
  }
  return nullptr;
}

Result<PluginInfo> DescribePlugin(const fs::path& file) {
  std::error_code ec;
  const fs::path path = fs::absolute(file, ec);
  GF_TRY(const gf_plugin* plugin, OpenPlugin(path, &IdleHost()));
  PluginInfo out;
  out.name = Text(plugin->name);
  out.version = Text(plugin->version);
  out.abi_major = plugin->abi_major;
  out.abi_minor = plugin->abi_minor;
  out.file = path;
  GF_TRY(out.digest, Sha256File(path));
  for (const gf_stage* const* s = plugin->stages; s != nullptr && *s != nullptr; ++s) {
    StageInfo stage;
    stage.name = Text((*s)->name);
    stage.version = Text((*s)->version);
    stage.summary = Text((*s)->summary);
    stage.doc = Text((*s)->doc);
    for (const gf_param* const* p = (*s)->params; p != nullptr && *p != nullptr; ++p) {
      GF_TRY(auto param, ReadParam(stage.name, **p));
      stage.params.push_back(std::move(param));
    }
    for (const gf_port* const* p = (*s)->inputs; p != nullptr && *p != nullptr; ++p) {
      stage.inputs.push_back(ReadPort(**p));
    }
    for (const gf_port* const* p = (*s)->outputs; p != nullptr && *p != nullptr; ++p) {
      stage.outputs.push_back(ReadPort(**p));
    }
    stage.has_check = (*s)->check != nullptr;
    stage.processes = (*s)->struct_size > kFirstStageSize && ((*s)->flags & GF_STAGE_PROCESSES) != 0;
    stage.plugin_name = out.name;
    stage.plugin_file = path;
    stage.plugin_digest = out.digest;
    out.stages.push_back(std::move(stage));
  }
  return out;
}

}  // namespace genflow
