#include "nn/train/checkpoint.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <map>

#include "base/files.h"
#include "base/sha256.h"
#include "formats/safetensors.h"
#include "nn/guarded.h"

namespace genflow::nn::train {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr char kMetaKey[] = "genflow";
constexpr char kTail[] = ".safetensors";
constexpr char kHalf[] = ".tmp";  // after kTail, while it is written

// Digest over names and tensors: safetensors has none of its own.
using Part = std::pair<const void*, size_t>;  // data, bytes
std::string Digest(const std::map<std::string, Part>& parts) {
  Sha256 sha;
  for (const auto& [name, part] : parts) {
    sha.Update(name.data(), name.size());
    sha.Update(part.first, part.second);
  }
  return sha.Finish();
}

// The checkpoints of a folder, newest first, by the step in their names.
std::vector<std::pair<int64_t, fs::path>> List(const fs::path& folder) {
  std::vector<std::pair<int64_t, fs::path>> out;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("step-") || !name.ends_with(kTail)) continue;
    const char* digits = name.data() + 5;
    const char* end = name.data() + name.size() - (sizeof kTail - 1);
    int64_t step = 0;
    if (const auto [p, code] = std::from_chars(digits, end, step); code == std::errc() && p == end) {
      out.emplace_back(step, entry.path());
    }
  }
  std::sort(out.rbegin(), out.rend());
  return out;
}

// Leaves the checkpoint of `step` and the newest `older` before it; half-written files go too.
Status RemoveOthers(const fs::path& folder, int64_t step, int older) {
  for (const auto& [other, path] : List(folder)) {
    if (other == step || (other < step && older-- > 0)) continue;
    GF_CHECK_OK(RemoveTree(path));
  }
  std::error_code error;
  std::vector<fs::path> halves;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().filename().string().ends_with(std::string(kTail) + kHalf))
      halves.push_back(entry.path());
  }
  for (const auto& half : halves) GF_CHECK_OK(RemoveTree(half));
  return Ok();
}

Result<Checkpoint> Load(const fs::path& path) {
  const auto broken = [&](const std::string& why) {
    return MakeError(Code::kCorrupt, "checkpoint '" + path.filename().string() + "' " + why);
  };
  GF_TRY(const auto file, formats::SafetensorsFile::Open(path));
  const auto meta = file.metadata().find(kMetaKey);
  if (meta == file.metadata().end()) return broken("is not one of genflow's");
  const json j = json::parse(meta->second, nullptr, /*allow_exceptions=*/false);
  Checkpoint out;
  std::string digest;
  try {
    out.step = j.at("step").get<int64_t>();
    out.fingerprint = j.at("fingerprint").get<std::string>();
    out.state = j.at("state");
    digest = j.at("sha256").get<std::string>();
  } catch (const json::exception&) {
    return broken("has damaged metadata");
  }
  std::map<std::string, Part> parts;
  for (const auto& from : file.tensors()) {
    if (from.dtype != "F32" && from.dtype != "U8")
      return broken("holds tensor '" + from.name + "' of another type");
    const at::ScalarType type = from.dtype == "F32" ? at::kFloat : at::kByte;
    const at::Tensor tensor = at::empty({static_cast<int64_t>(from.elements)}, type);
    std::memcpy(tensor.mutable_data_ptr(), from.data, from.bytes);
    parts[from.name] = {tensor.const_data_ptr(), from.bytes};
    out.tensors.emplace_back(from.name, tensor);
  }
  if (Digest(parts) != digest) return broken("has damaged data");
  return out;
}

Status Write(const fs::path& folder, const Checkpoint& checkpoint) {
  GF_CHECK_OK(MakeDirectories(folder));
  // What a run left that was killed below, before it removed them: else each such kill would leave one more.
  GF_CHECK_OK(RemoveOthers(folder, checkpoint.step, 2));
  std::vector<formats::TensorView> views;
  std::map<std::string, Part> parts;
  for (const auto& [name, tensor] : checkpoint.tensors) {
    views.push_back({name, tensor.sizes().vec(), formats::DType::kF32, tensor.const_data_ptr(),
                     tensor.scalar_type() == at::kByte});
    parts[name] = {tensor.const_data_ptr(), tensor.nbytes()};
  }
  const json meta = {{"step", checkpoint.step},
                     {"fingerprint", checkpoint.fingerprint},
                     {"state", checkpoint.state},
                     {"sha256", Digest(parts)}};
  const fs::path path = folder / ("step-" + std::to_string(checkpoint.step) + kTail);
  const fs::path temporary = path.string() + kHalf;
  GF_CHECK_OK(formats::WriteSafetensors(temporary, views, {{kMetaKey, meta.dump()}}));
  if (std::rename(temporary.c_str(), path.c_str()) != 0) return ErrnoError(path.string(), errno);
  GF_CHECK_OK(SyncPath(folder));
  return RemoveOthers(folder, checkpoint.step, 1);
}

}  // namespace

CheckpointStore::~CheckpointStore() {
  if (writing_.valid()) writing_.wait();
}

Status CheckpointStore::Finish() { return writing_.valid() ? writing_.get() : Ok(); }

Status CheckpointStore::Save(const Checkpoint& checkpoint) {
  GF_CHECK_OK(Finish());
  return Guarded("saving a checkpoint", [&]() -> Status {
    Checkpoint copy = checkpoint;
    for (auto& [name, tensor] : copy.tensors) {
      tensor = tensor.detach().to(at::kCPU, tensor.scalar_type(), /*non_blocking=*/false, /*copy=*/true);
    }
    writing_ = std::async(std::launch::async,
                          [folder = folder_, copy = std::move(copy)] { return Write(folder, copy); });
    return Ok();
  });
}

Result<std::optional<Checkpoint>> CheckpointStore::LoadNewest(const std::string& fingerprint,
                                                              std::vector<std::string>* notes) const {
  return Guarded("reading a checkpoint", [&]() -> Result<std::optional<Checkpoint>> {
    for (const auto& [step, path] : List(folder_)) {
      auto loaded = Load(path);
      if (!loaded.ok()) {
        notes->push_back(loaded.error().message + ": trying an older one");
      } else if (loaded->fingerprint != fingerprint) {
        notes->push_back("checkpoint '" + path.filename().string() + "' is of another run: not used");
      } else {
        return std::optional<Checkpoint>(std::move(*loaded));
      }
    }
    return std::optional<Checkpoint>();
  });
}

}  // namespace genflow::nn::train
