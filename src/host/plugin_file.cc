#include "host/plugin_file.h"

#include <dlfcn.h>

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

}  // namespace

Result<const gf_plugin*> OpenPlugin(const fs::path& file, const gf_host* host) {
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
  if (refused != 0 || plugin == nullptr) {
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
  return plugin;
}

const gf_stage* FindStage(const gf_plugin* plugin, std::string_view name) {
  for (const gf_stage* const* s = plugin->stages; s != nullptr && *s != nullptr; ++s) {
    if ((*s)->name != nullptr && name == (*s)->name) return *s;
  }
  return nullptr;
}

Result<PluginInfo> DescribePlugin(const fs::path& file) {
  static gf_host host{};
  host.struct_size = sizeof host;
  host.abi_major = GENFLOW_ABI_MAJOR;
  host.abi_minor = GENFLOW_ABI_MINOR;
  std::error_code ec;
  const fs::path path = fs::absolute(file, ec);
  GF_TRY(const gf_plugin* plugin, OpenPlugin(path, &host));
  PluginInfo out;
  out.name = Text(plugin->name);
  out.version = Text(plugin->version);
  out.abi_major = plugin->abi_major;
  out.abi_minor = plugin->abi_minor;
  out.file = path;
  GF_TRY(out.digest, Sha256File(path));
  if (out.name.empty()) return InvalidError(path.string() + ": the plugin has no name");
  for (const gf_stage* const* s = plugin->stages; s != nullptr && *s != nullptr; ++s) {
    StageInfo stage;
    stage.name = Text((*s)->name);
    if (stage.name.empty()) return InvalidError(path.string() + ": a stage has no name");
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
    stage.plugin_name = out.name;
    stage.plugin_file = path;
    stage.plugin_digest = out.digest;
    out.stages.push_back(std::move(stage));
  }
  return out;
}

}  // namespace genflow
