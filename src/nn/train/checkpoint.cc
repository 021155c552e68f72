#include "nn/train/checkpoint.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <charconv>
#include <cstdio>

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

// Digest over the three tensors: safetensors has none of its own.
std::string Digest(const std::vector<std::pair<const void*, size_t>>& parts) {
  Sha256 sha;
  for (const auto& [data, size] : parts) sha.Update(data, size);
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

// Leaves the checkpoint of `step` and the newest before it; half-written files go too.
Status RemoveOthers(const fs::path& folder, int64_t step) {
  bool has_older = false;
  for (const auto& [other, path] : List(folder)) {
    const bool keep = other == step || (other < step && !has_older);
    has_older = has_older || other < step;
    if (!keep) GF_CHECK_OK(RemoveTree(path));
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
  std::vector<std::pair<const void*, size_t>> parts;
  const std::pair<const char*, at::Tensor*> tensors[] = {
      {"parameters", &out.parameters}, {"exp_avg", &out.exp_avg}, {"exp_avg_sq", &out.exp_avg_sq}};
  for (const auto& [name, to] : tensors) {
    const auto* from = file.Find(name);
    if (from == nullptr || from->dtype != "F32") return broken(std::string("lacks tensor '") + name + "'");
    *to = at::empty({static_cast<int64_t>(from->elements)}, at::kFloat);
    formats::ConvertElements(from->data, formats::DType::kF32, to->mutable_data_ptr(), formats::DType::kF32,
                             from->elements);
    parts.emplace_back(to->const_data_ptr(), from->bytes);
  }
  if (Digest(parts) != digest) return broken("has damaged data");
  return out;
}

}  // namespace

Status CheckpointStore::Save(const Checkpoint& checkpoint) const {
  return Guarded("saving a checkpoint", [&]() -> Status {
    GF_CHECK_OK(MakeDirectories(folder_));
    const std::pair<const char*, at::Tensor> tensors[] = {
        {"parameters", checkpoint.parameters.detach().cpu().contiguous()},
        {"exp_avg", checkpoint.exp_avg.cpu().contiguous()},
        {"exp_avg_sq", checkpoint.exp_avg_sq.cpu().contiguous()}};
    std::vector<formats::TensorView> views;
    std::vector<std::pair<const void*, size_t>> parts;
    for (const auto& [name, tensor] : tensors) {
      views.push_back({name, tensor.sizes().vec(), formats::DType::kF32, tensor.const_data_ptr()});
      parts.emplace_back(tensor.const_data_ptr(), tensor.nbytes());
    }
    const json meta = {{"step", checkpoint.step},
                       {"fingerprint", checkpoint.fingerprint},
                       {"state", checkpoint.state},
                       {"sha256", Digest(parts)}};
    const fs::path path = folder_ / ("step-" + std::to_string(checkpoint.step) + kTail);
    const fs::path temporary = path.string() + kHalf;
    GF_CHECK_OK(formats::WriteSafetensors(temporary, views, {{kMetaKey, meta.dump()}}));
    if (std::rename(temporary.c_str(), path.c_str()) != 0) return ErrnoError(path.string(), errno);
    GF_CHECK_OK(SyncPath(folder_));
    return RemoveOthers(folder_, checkpoint.step);
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
