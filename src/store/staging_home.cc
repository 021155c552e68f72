#include "store/staging_home.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <initializer_list>

#include "base/files.h"
#include "store/impl.h"

namespace genflow {

namespace fs = std::filesystem;

namespace {

constexpr size_t kMaxSpare = 64;

// A folder that this process may read, write and search, and that holds nothing but `allowed`.
bool HoldsOnly(const fs::path& folder, std::initializer_list<const char*> allowed) {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return false;
  struct stat info {};
  const bool usable = ::fstat(fd, &info) == 0 && (info.st_mode & 0700) == 0700;
  DIR* entries = ::fdopendir(fd);
  if (entries == nullptr) {
    ::close(fd);
    return false;
  }
  bool only = usable;
  while (only) {
    const dirent* entry = ::readdir(entries);
    if (entry == nullptr) break;
    bool known = std::strcmp(entry->d_name, ".") == 0 || std::strcmp(entry->d_name, "..") == 0;
    for (const char* name : allowed) known = known || std::strcmp(entry->d_name, name) == 0;
    only = known;
  }
  ::closedir(entries);
  return only;
}

bool Move(const fs::path& from, const fs::path& to) { return ::rename(from.c_str(), to.c_str()) == 0; }

}  // namespace

Result<std::shared_ptr<StagingHome>> StagingHome::Make(const fs::path& staging) {
  while (true) {
    const std::string name = std::to_string(::getpid()) + "-" + RandomName(8);
    GF_TRY(auto lock, FileLock::Try(staging / (name + ".lock"), ThisProcess("staging")));
    if (!lock) continue;  // a cleaning process looked at the new lock file: take another name
    std::shared_ptr<StagingHome> home(new StagingHome(staging / name, std::move(*lock)));
    GF_CHECK_OK(MakeDirectories(home->folder_));
    return home;
  }
}

StagingHome::~StagingHome() {
  // A leftover that cannot be removed now is removed by the next process that opens the store.
  (void)RemoveTree(folder_);
}

fs::path StagingHome::NextName(const std::string& what) {
  return folder_ / (what + "-" + std::to_string(++names_));
}

Result<fs::path> StagingHome::Take(const std::string& key) {
  const fs::path folder = NextName(SafeName(key.substr(0, 12)));
  while (!attempts_.empty()) {
    const fs::path spare = std::move(attempts_.back());
    attempts_.pop_back();
    if (Move(spare, folder)) return folder;
  }
  GF_CHECK_OK(MakeDirectories(folder / "scratch"));
  return folder;
}

void StagingHome::GiveBack(const fs::path& folder) {
  const bool clean = attempts_.size() < kMaxSpare && HoldsOnly(folder, {"scratch", "out"}) &&
                     HoldsOnly(folder / "scratch", {}) &&
                     (::access((folder / "out").c_str(), F_OK) != 0 || HoldsOnly(folder / "out", {}));
  if (clean)
    attempts_.push_back(folder);
  else
    (void)RemoveTree(folder);
}

Status StagingHome::MakeState(const fs::path& folder) {
  while (!states_.empty()) {
    const fs::path spare = states_.back();
    if (!Move(spare, folder)) {
      if (errno == ENOTEMPTY || errno == EEXIST) return Ok();
      states_.pop_back();
      continue;
    }
    states_.pop_back();
    return Ok();
  }
  return MakeDirectories(folder);
}

void StagingHome::RemoveState(const fs::path& folder) {
  const fs::path spare = NextName("state");
  // Out of the way first: another run may make the folder of the same key at any moment from now.
  if (!Move(folder, spare)) {
    if (errno != ENOENT) (void)RemoveTree(folder);
    return;
  }
  if (states_.size() < kMaxSpare && HoldsOnly(spare, {}))
    states_.push_back(spare);
  else
    (void)RemoveTree(spare);
}

}  // namespace genflow
