#include "engine/fan_in.h"

#include "base/files.h"

namespace genflow {

namespace fs = std::filesystem;

Status MakeFanIn(const fs::path& folder, const std::vector<FanInEntry>& entries) {
  GF_CHECK_OK(MakeDirectories(folder));
  nlohmann::json index = nlohmann::json::array();
  for (const auto& entry : entries) {
    const std::string& name = entry.stage;
    GF_CHECK_OK(MakeDirectories((folder / name).parent_path()));
    std::error_code ec;
    fs::create_symlink(entry.artifact.path(), folder / name, ec);
    if (ec) return ErrnoError((folder / name).string(), ec.value());
    index.push_back({{"stage", entry.stage},
                     {"matrix", MatrixJson(entry.matrix)},
                     {"type", entry.artifact.type},
                     {"digest", "sha256:" + entry.artifact.digest},
                     {"path", name}});
  }
  return WriteFileAtomic(folder / kFanInIndex, index.dump(2) + "\n");
}

}  // namespace genflow
