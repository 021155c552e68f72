#include <nlohmann/json.hpp>

#include "base/files.h"
#include "store/objects.h"

namespace genflow {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr int kSidecarVersion = 1;

std::string TextOf(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}
double NumberOf(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_number() ? found->get<double>() : 0;
}
bool BoolOf(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_boolean() && found->get<bool>();
}

Error BadSidecar(const fs::path& path, const std::string& why) {
  return MakeError(Code::kCorrupt, path.string() + ": not a sidecar of this object (" + why + ")");
}

}  // namespace

std::string SidecarToJson(const Sidecar& sidecar) {
  json out = {{"genflow_object", kSidecarVersion},
              {"digest", sidecar.digest},
              {"type", sidecar.type},
              {"kind", sidecar.listing.is_tree ? "tree" : "file"},
              {"bytes", sidecar.listing.Bytes()},
              {"created", sidecar.created},
              {"key", sidecar.key},
              {"pipeline", sidecar.pipeline},
              {"run", sidecar.run},
              {"stage", sidecar.stage},
              {"uses", sidecar.uses},
              {"port", sidecar.port},
              {"attempt", sidecar.attempt},
              {"cached", sidecar.cached}};
  json outputs = json::array();
  for (const OutputRow& row : *sidecar.outputs) {
    outputs.push_back({{"port", row.port}, {"digest", row.digest}, {"type", row.type}});
  }
  out["outputs"] = std::move(outputs);
  json entries = json::array();
  for (const TreeEntry& entry : sidecar.listing.entries) {
    json item = {{"path", entry.path}, {"kind", std::string(1, static_cast<char>(entry.kind))}};
    if (entry.kind == EntryKind::kFile) {
      item["size"] = entry.print.size;
      item["sha256"] = entry.sha256;
      item["mode"] = entry.executable ? "0555" : "0444";
    } else if (entry.kind == EntryKind::kLink) {
      item["target"] = entry.target;
    }
    entries.push_back(std::move(item));
  }
  out["entries"] = std::move(entries);
  return out.dump(1, ' ', false, json::error_handler_t::replace) + "\n";
}

Result<Sidecar> ReadSidecar(const fs::path& object_folder, const std::string& digest) {
  const fs::path path = object_folder / "object.json";
  GF_TRY(const std::string text, ReadFile(path));
  return ParseSidecar(text, path, digest);
}

Result<Sidecar> ParseSidecar(std::string_view text, const fs::path& path, const std::string& digest) {
  const json in = json::parse(text, nullptr, false);
  if (!in.is_object()) return BadSidecar(path, "it is not JSON");
  if (NumberOf(in, "genflow_object") != kSidecarVersion) return BadSidecar(path, "its version is unknown");
  Sidecar sidecar;
  sidecar.digest = TextOf(in, "digest");
  sidecar.type = TextOf(in, "type");
  sidecar.created = NumberOf(in, "created");
  sidecar.key = TextOf(in, "key");
  sidecar.pipeline = TextOf(in, "pipeline");
  sidecar.run = TextOf(in, "run");
  sidecar.stage = TextOf(in, "stage");
  sidecar.uses = TextOf(in, "uses");
  sidecar.port = TextOf(in, "port");
  sidecar.attempt = static_cast<int>(NumberOf(in, "attempt"));
  sidecar.cached = BoolOf(in, "cached");
  sidecar.listing.is_tree = TextOf(in, "kind") == "tree";
  std::vector<OutputRow> rows;
  if (const auto outputs = in.find("outputs"); outputs != in.end() && outputs->is_array()) {
    for (const json& row : *outputs) {
      if (!row.is_object()) return BadSidecar(path, "its outputs are malformed");
      rows.push_back({TextOf(row, "port"), TextOf(row, "digest"), TextOf(row, "type")});
    }
  }
  sidecar.outputs = std::make_shared<const std::vector<OutputRow>>(std::move(rows));
  const auto entries = in.find("entries");
  if (entries == in.end() || !entries->is_array() || entries->empty()) {
    return BadSidecar(path, "it lists no files");
  }
  for (const json& item : *entries) {
    const std::string kind = item.is_object() ? TextOf(item, "kind") : "";
    if (kind != "f" && kind != "d" && kind != "l") return BadSidecar(path, "its list of files is malformed");
    TreeEntry entry;
    entry.path = TextOf(item, "path");
    entry.kind = static_cast<EntryKind>(kind[0]);
    entry.sha256 = TextOf(item, "sha256");
    entry.target = TextOf(item, "target");
    entry.executable = TextOf(item, "mode") == "0555";
    entry.print.size = static_cast<uint64_t>(NumberOf(item, "size"));
    sidecar.listing.entries.push_back(std::move(entry));
  }
  if (sidecar.digest != digest || sidecar.listing.Digest() != digest) {
    return BadSidecar(path, "the digests differ");
  }
  return sidecar;
}

}  // namespace genflow
