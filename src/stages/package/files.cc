#include "stages/package/files.h"

#include <algorithm>
#include <cctype>
#include <system_error>

#include "base/files.h"
#include "base/sha256.h"
#include "stages/model/copy_file.h"

namespace genflow::stages {

namespace fs = std::filesystem;

namespace {

Status CopyInto(const fs::path& from, const fs::path& to) {
  GF_CHECK_OK(MakeDirectories(to.parent_path()));
  return CopyFile(from, to);
}

// Regular files below `folder`, relative to it, sorted.
Result<std::vector<fs::path>> FilesBelow(const fs::path& folder) {
  std::vector<fs::path> out;
  std::error_code error;
  fs::recursive_directory_iterator it(folder, error);
  for (; !error && it != fs::recursive_directory_iterator(); it.increment(error)) {
    if (it->is_regular_file(error)) out.push_back(it->path().lexically_relative(folder));
    if (error) break;
  }
  if (error) return ErrnoError(folder.string(), error.value());
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace

Status CopyTree(const fs::path& from, const fs::path& to) {
  GF_TRY(const auto files, FilesBelow(from));
  for (const auto& file : files) GF_CHECK_OK(CopyInto(from / file, to / file));
  return Ok();
}

Result<std::vector<std::string>> CopyLicenses(const fs::path& from, const fs::path& to) {
  std::vector<std::string> out;
  std::error_code error;
  if (!fs::is_directory(from, error)) return out;
  for (fs::directory_iterator it(from, error); !error && it != fs::directory_iterator();
       it.increment(error)) {
    std::string upper = it->path().filename().string();
    std::transform(upper.begin(), upper.end(), upper.begin(),
                   [](unsigned char c) { return std::toupper(c); });
    if (!upper.starts_with("LICENSE") && !upper.starts_with("NOTICE") && !upper.starts_with("COPYING"))
      continue;
    if (!it->is_regular_file(error)) continue;
    GF_CHECK_OK(CopyInto(it->path(), to / it->path().filename()));
    out.push_back(it->path().filename().string());
  }
  if (error) return ErrnoError(from.string(), error.value());
  std::sort(out.begin(), out.end());
  return out;
}

Status WriteChecksums(const fs::path& folder) {
  GF_TRY(const auto files, FilesBelow(folder));
  std::string out;
  for (const auto& file : files) {
    if (file == "SHA256SUMS") continue;
    GF_TRY(const std::string digest, Sha256File(folder / file));
    out += digest + "  " + file.generic_string() + "\n";
  }
  return WriteFileAtomic(folder / "SHA256SUMS", out);
}

}  // namespace genflow::stages
