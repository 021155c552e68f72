#include "base/files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

namespace genflow {

namespace fs = std::filesystem;

void Fd::Reset() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

Result<std::string> ReadFile(const fs::path& path, uint64_t limit) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoError(path.string(), errno);
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return ErrnoError(path.string(), errno);
  if (S_ISDIR(info.st_mode)) return ErrnoError(path.string(), EISDIR);
  std::string out;
  if (info.st_size > 0) out.reserve(static_cast<size_t>(info.st_size));
  char buffer[1 << 16];
  while (true) {
    const ssize_t n = ::read(fd.get(), buffer, sizeof buffer);
    if (n == 0) return out;
    if (n < 0) {
      if (errno == EINTR) continue;
      return ErrnoError(path.string(), errno);
    }
    out.append(buffer, static_cast<size_t>(n));
    if (out.size() > limit) {
      return InvalidError(path.string() + ": larger than the limit of " + std::to_string(limit) + " bytes");
    }
  }
}

Status WriteAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0) {
      if (errno == EINTR) continue;
      return ErrnoError("write", errno);
    }
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return Ok();
}

Status WriteAll(int fd, const fs::path& path, std::string_view bytes) {
  Status written = WriteAll(fd, bytes);
  if (written.ok()) return written;
  Error error = std::move(written).error();
  error.message = path.string() + ": " + error.message;
  return error;
}

namespace {

// Into a device or a pipe, which a rename would replace.
Status WriteStraight(const fs::path& path, std::string_view bytes) {
  const Fd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoError(path.string(), errno);
  return WriteAll(fd.get(), path, bytes);
}

}  // namespace

Status WriteFileAtomic(const fs::path& path, std::string_view bytes, unsigned mode) {
  static std::atomic<unsigned> counter{0};
  struct stat there {};
  if (::stat(path.c_str(), &there) == 0 && !S_ISREG(there.st_mode) && !S_ISDIR(there.st_mode))
    return WriteStraight(path, bytes);
  fs::path folder = path.parent_path();
  if (folder.empty()) folder = ".";
  const fs::path temporary = folder / ("." + path.filename().string() + ".tmp-" + std::to_string(::getpid()) +
                                       "-" + std::to_string(counter.fetch_add(1)));
  Fd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
  if (!fd.valid()) return ErrnoError(path.string(), errno);
  auto fail = [&](Error error) -> Status {
    ::unlink(temporary.c_str());
    return error;
  };
  if (auto written = WriteAll(fd.get(), path, bytes); !written.ok()) return fail(std::move(written).error());
  if (::fsync(fd.get()) != 0) return fail(ErrnoError(path.string() + ": fsync", errno));
  fd.Reset();
  if (::rename(temporary.c_str(), path.c_str()) != 0)
    return fail(ErrnoError(path.string() + ": rename", errno));
  return SyncPath(folder);
}

Status SyncPath(const fs::path& path) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoError(path.string(), errno);
  if (::fsync(fd.get()) != 0 && errno != EINVAL) return ErrnoError(path.string() + ": fsync", errno);
  return Ok();
}

Status MakeDirectories(const fs::path& path) {
  std::error_code ec;
  fs::create_directories(path, ec);
  if (ec) return ErrnoError(path.string(), ec.value());
  return Ok();
}

Status RemoveTree(const fs::path& path) {
  std::error_code ec;
  const auto status = fs::symlink_status(path, ec);
  if (status.type() == fs::file_type::not_found) return Ok();
  if (status.type() == fs::file_type::directory) {
    ::chmod(path.c_str(), 0755);
    for (fs::directory_iterator it(path, ec), end; !ec && it != end; it.increment(ec)) {
      GF_CHECK_OK(RemoveTree(it->path()));
    }
    if (ec) return ErrnoError(path.string(), ec.value());
    if (::rmdir(path.c_str()) != 0 && errno != ENOENT) return ErrnoError(path.string(), errno);
    return Ok();
  }
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return ErrnoError(path.string(), errno);
  return Ok();
}

Result<MappedFile> MappedFile::Open(const fs::path& path) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoError(path.string(), errno);
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return ErrnoError(path.string(), errno);
  if (!S_ISREG(info.st_mode)) return InvalidError(path.string() + ": not a regular file");
  MappedFile out;
  if (info.st_size == 0) return out;
  void* map = ::mmap(nullptr, static_cast<size_t>(info.st_size), PROT_READ, MAP_PRIVATE, fd.get(), 0);
  if (map == MAP_FAILED) return ErrnoError(path.string() + ": mmap", errno);
  out.data_ = static_cast<const std::byte*>(map);
  out.size_ = static_cast<size_t>(info.st_size);
  return out;
}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::GiveBack(const std::byte* data, size_t bytes) {
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(data) + page - 1) / page * page;
  const uintptr_t end = (reinterpret_cast<uintptr_t>(data) + bytes) / page * page;
  // Without it there is only more resident memory.
  if (begin < end) (void)::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

fs::path ExecutablePath() {
  std::error_code ec;
  return fs::read_symlink("/proc/self/exe", ec);
}

}  // namespace genflow
