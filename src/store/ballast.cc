#include "store/ballast.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <random>
#include <string>

#include "base/files.h"

namespace genflow {

namespace fs = std::filesystem;

namespace {

constexpr off_t kSize = 1 << 20;
// Given up at a time by who only reads: the index of SQLite's log (32 KiB) and what little goes with it.
constexpr off_t kPart = 1 << 16;
// Free space from which on the ballast is nothing.
constexpr uint64_t kPlenty = uint64_t{kSize} * 16;

// Bytes that no file system makes smaller.
std::string Noise(size_t size) {
  std::mt19937_64 next(size);
  std::string bytes;
  while (bytes.size() < size) {
    const uint64_t word = next();
    bytes.append(reinterpret_cast<const char*>(&word), sizeof word);
  }
  bytes.resize(size);
  return bytes;
}

// Whether a file beside `path` cannot have `bytes` of room: asked of the disk itself, because quotas do not
// show in its figures.
bool NoRoomAt(const fs::path& path, off_t bytes) {
  std::string name = path.string() + ".XXXXXX";
  const Fd fd(::mkostemp(name.data(), O_CLOEXEC));
  if (!fd.valid()) return errno == ENOSPC || errno == EDQUOT;
  ::unlink(name.c_str());
  const int failed = ::posix_fallocate(fd.get(), 0, bytes);
  return failed == ENOSPC || failed == EDQUOT;
}

}  // namespace

void Ballast::Fill() const {
  struct stat info {};
  if (::stat(file_.c_str(), &info) == 0 && info.st_size >= kSize) return;
  struct statvfs disk {};
  if (::statvfs(file_.parent_path().c_str(), &disk) != 0 ||
      static_cast<uint64_t>(disk.f_bavail) * disk.f_frsize < kPlenty)
    return;
  const Fd fd(::open(file_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0666));
  if (!fd.valid() || ::fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode) || info.st_size >= kSize) return;
  (void)WriteAll(fd.get(), Noise(static_cast<size_t>(kSize - info.st_size)));
}

bool Ballast::GiveSome() const { return Give(false); }
bool Ballast::GiveAll() const { return Give(true); }

bool Ballast::Give(bool all) const {
  const Fd fd(::open(file_.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW));
  struct stat info {};
  if (!fd.valid() || ::fstat(fd.get(), &info) != 0 || info.st_size == 0 ||
      !NoRoomAt(file_, all ? kSize : kPart))
    return false;
  const off_t rest = all ? 0 : std::max<off_t>(0, info.st_size - kPart);
  return ::ftruncate(fd.get(), rest) == 0;
}

}  // namespace genflow
